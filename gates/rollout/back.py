"""The way back: what was before is made so again, verified in responses, and only then is green deleted.

Never route to the dead: where the old deployment is sick and green is well, green keeps all traffic and a person is
called (ROLLBACK_FAILED). Every step looks first, so a second crash in here is like the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gates.errors import Conflict, StateUnknown, Unavailable
from gates.rollout.journal import RETIRED, ROLLBACK_FAILED, ROLLED_BACK, ROLLING_BACK
from gates.rollout.routing import Routing, routing_of
from gates.rollout.traffic import confirm, probe, route

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gates.rollout.journal import Folded
    from gates.rollout.run import Run
    from gates.serving import EndpointView

LEFT = "could not be deleted"


def roll_back(run: Run, reason: str, *, force: bool = False, green_is_wrong: bool = False) -> str:
    """Restore the snapshot; the reason as it stands at the end. `force`: a person asked, so edits are overwritten.

    Raises StateUnknown when the old deployment is sick or the endpoint cannot be had, Conflict when somebody else
    took over, Stopped.
    """
    if run.at.state != ROLLING_BACK:
        run.record(ROLLING_BACK, "intent", after={"reason": reason, "green_is_wrong": green_is_wrong})
    reason = run.at.reason or reason
    run.tell(reason, ROLLING_BACK)
    began, until = run.now, run.now + run.rollout.rollback_timeout
    try:
        _restore(run, until=until, force=force)
        run.timings["rollback"] = run.now - began
        if run.first_bad is not None:
            run.timings["first_bad_to_restored"] = run.now - run.first_bad
        _champion_back(run, until=until)
    except Unavailable as error:
        raise StateUnknown(
            f"the rollback could not be finished: {error.what}", hint="run gates reconcile, or look at the endpoint"
        ) from error
    green = run.at.green
    if green not in run.at.snapshot["deployments"] and not delete(
        run, green, until=run.now + run.rollout.create_timeout
    ):
        run.tell(f"traffic is restored; {green} {LEFT}: {run.trouble}; gates reconcile tries again")
        return f"{reason}; {green} {LEFT}"
    _close(run, reason)
    return reason


def _close(run: Run, reason: str) -> None:
    until = run.now + run.rollout.rollback_timeout
    try:
        if run.observe(until=until).exists:
            route(run, ROLLING_BACK, run.at.before, until=until, label=ROLLED_BACK)
    except Unavailable as error:
        raise StateUnknown(f"the rollback could not be read back: {error.what}", hint="run gates reconcile") from error
    retire: Mapping[str, Any] = run.at.plan.get("retire_after_rollback") or {}
    run.record(ROLLED_BACK, "done", after={"reason": reason, "retire": dict(retire)})
    run.tell(f"restored {run.at.before.say()}", ROLLED_BACK)


def _restore(run: Run, *, until: float, force: bool) -> None:
    view = run.observe(until=until)
    if not view.exists:
        return
    if force:
        run.fenced(view)
    else:
        run.ours(view)
    target = run.at.before
    if routing_of(view) != target:
        sick = [name for name in target.traffic if not _well(run, view, name, until)]
        if sick:
            _stay(run, view, sick, until)
        route(run, ROLLING_BACK, target, until=until, force=force)
    if target.traffic:
        run.patiently(lambda: confirm(run, frozenset(target.traffic), until=until), until=until)


def _well(run: Run, view: EndpointView, name: str, until: float) -> bool:
    seen = view.deployments.get(name)
    if seen is None or seen.state not in ("ready", "updating"):
        return False
    for _ in range(3):
        if run.patiently(lambda: probe(run, name), until=until):
            return True
        run.wait(min(run.rollout.poll, 2.0))
    return False


def _stay(run: Run, view: EndpointView, sick: list[str], until: float) -> None:
    """Blue is sick. Raises StateUnknown, after green was given all traffic where green is the healthier one."""
    green, who = run.at.green, ", ".join(sick)
    if view.traffic.get(green) and _well(run, view, green, until) and not run.at.wrong:
        route(run, ROLLING_BACK, Routing({green: 100}), until=until, label=ROLLBACK_FAILED, force=True)
        why = f"not rolled back: {who} is sick and {green} is well, so {green} has all traffic"
    else:
        why = f"not rolled back: {who} is sick and {green} is no better; nothing was touched"
    why = f"{why} (it was to be rolled back because: {run.at.reason})"
    run.record(ROLLBACK_FAILED, "done", after={"reason": why})
    raise StateUnknown(why, hint="look now; gates rollback --to NAME routes to a deployment that you trust")


def _champion_back(run: Run, *, until: float) -> None:
    old, new = run.at.snapshot.get("champion"), run.at.plan["champion"]

    def move() -> None:
        if run.champion.current() == new and new != old:
            run.renew(always=True)
            run.champion.move(expected=new, new=old)

    run.patiently(move, until=until)


def delete(run: Run, name: str, *, until: float) -> bool:
    """Make a deployment without traffic be gone; False when that could not be had in time."""
    try:
        while True:
            view = run.observe(until=until, settled=False)
            seen = view.deployments.get(name)
            if seen is None:
                return True
            if view.traffic.get(name) or view.mirror.get(name):
                raise Conflict(f"{name} has traffic again: somebody changed it", hint="look at the endpoint")
            if seen.state != "deleting":
                run.mutate(lambda: run.endpoint.delete(name, epoch=run.epoch))
            if run.now >= until:
                return False
            run.wait(run.rollout.poll)
    except Unavailable as error:
        run.trouble = error.what
        return False


def retire(run: Run, folded: Folded) -> list[str]:
    """Delete old deployments whose time has come and that have no traffic; a name with traffic waits. The deleted."""
    gone = []
    for name, due in sorted(folded.retire.items()):
        if run.now < due or folded.last is None:
            continue
        view = run.observe(until=run.now + run.rollout.write_timeout)
        run.fenced(view)
        if view.traffic.get(name) or view.mirror.get(name):
            continue
        if delete(run, name, until=run.now + run.rollout.create_timeout):
            run.record(RETIRED, "done", after={"name": name})
            run.tell(f"deleted {name}, kept since its last use", RETIRED)
            gone.append(name)
    return gone
