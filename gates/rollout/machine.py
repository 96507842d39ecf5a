"""deploy, resume, rollback, reconcile: the four ways to move the blue-green machine, each ending in a value.

Observe first, then compare with the journal, never replay blindly. Whatever a killed runner left is finished or rolled
back by the next call; two calls in a row end as one. The caller maps `Ended.outcome` to errors and exit codes.
"""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING, Any

from gates.canonical import digest
from gates.errors import Conflict, InvalidInput, StateUnknown, Unavailable
from gates.rollout import lost
from gates.rollout.back import LEFT, retire, roll_back
from gates.rollout.ending import ended
from gates.rollout.ends import Ended, Failed, Held
from gates.rollout.forward import begin, phases
from gates.rollout.journal import (
    FINALIZING,
    LOCKED,
    PLANNED,
    ROLLBACK_FAILED,
    ROLLED_BACK,
    ROLLING_BACK,
    SUCCEEDED,
)
from gates.rollout.plan import Rollout
from gates.rollout.routing import routing_of
from gates.rollout.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gates.rollout.ends import Outcome
    from gates.rollout.journal import Folded, Progress, Store
    from gates.rollout.plan import Plan
    from gates.rollout.port import Champion, Clock, Endpoint
    from gates.serving import DeploymentView


def deploy(
    plan: Plan, *, endpoint: Endpoint, champion: Champion, journal: Store, clock: Clock,
    say: Callable[[str, str], None], stop: Callable[[], bool], owner: str, supersede: bool = False,
) -> Ended:  # fmt: skip
    """Bring `plan` to SUCCEEDED, or back to what was before. Resumes what was begun with the same deploy_id.

    owner: unique to this process. supersede: a deployment that another plan left HELD is rolled back first.
    """
    run = Run(endpoint, champion, journal, clock, say, stop, owner, plan.rollout, plan.sample)
    return ended(run, lambda: _deploy(run, plan, supersede=supersede))


def resume(
    plan: Plan, *, endpoint: Endpoint, champion: Champion, journal: Store, clock: Clock,
    say: Callable[[str, str], None], stop: Callable[[], bool], owner: str,
) -> Ended:  # fmt: skip
    """As `deploy`, but begins nothing: without an unfinished deployment of this plan it changes nothing."""
    run = Run(endpoint, champion, journal, clock, say, stop, owner, plan.rollout, plan.sample)
    return ended(run, lambda: _reconcile(run, plan, begun_by_others=False))


def reconcile(
    plan: Plan | None, *, endpoint: Endpoint, champion: Champion, journal: Store, clock: Clock,
    say: Callable[[str, str], None], stop: Callable[[], bool], owner: str, rollout: Rollout | None = None,
    sample: bytes | None = None,
) -> Ended:  # fmt: skip
    """Finish an unfinished deployment when `plan` is its plan, roll it back otherwise; delete old ones that are due."""
    options = plan.rollout if plan is not None else rollout or Rollout()
    run = Run(endpoint, champion, journal, clock, say, stop, owner, options, plan.sample if plan else sample)
    return ended(run, lambda: _reconcile(run, plan, begun_by_others=True))


def rollback(
    *, endpoint: Endpoint, champion: Champion, journal: Store, clock: Clock, say: Callable[[str, str], None],
    stop: Callable[[], bool], owner: str, to: str | None = None, rollout: Rollout | None = None,
    sample: bytes | None = None, verify: Callable[[DeploymentView], None] = lambda _: None,
) -> Ended:  # fmt: skip
    """A person wants what was before (or deployment `to`), now: all traffic there, the alias too, verified.

    An unfinished deployment is rolled back to its snapshot; a finished one to the deployment it replaced. verify: asked
    of each deployment that would serve again and does not serve now, before anything is touched; it raises Refused.
    """
    run = Run(endpoint, champion, journal, clock, say, stop, owner, rollout or Rollout(), sample)
    return ended(run, lambda: _rollback(run, to, verify))


def _deploy(run: Run, plan: Plan, *, supersede: bool) -> tuple[Outcome, str]:
    run.take()
    folded = _look(run, plan)
    active = folded.active
    if active is not None:
        if plan.identity(active.before.to_json()) == active.deploy_id:
            if not _untouched(run, active):
                return _go_on(run, plan)
            run.record(ROLLED_BACK, "done", after={"reason": "nothing had begun and the traffic is another by now"})
        else:
            if active.held is not None and active.state != ROLLING_BACK and not supersede:
                raise Conflict(
                    f"deployment {active.green} is held: {active.held['reason']}",
                    hint="approve or roll it back, or say --supersede",
                )
            outcome, reason = _back(run, f"abandoned, and superseded by {plan.green.name}")
            if outcome != "rolled-back" or LEFT in reason:
                return outcome, reason
    folded = run.read()
    if folded.last is not None and folded.last.reached == ROLLBACK_FAILED:
        raise StateUnknown(
            f"the last rollout's rollback failed: {folded.last.reason}", hint="look, then: gates rollback --to NAME"
        )
    retire(run, folded)
    begin(run, plan)
    return _go_on(run, plan)


def _look(run: Run, plan: Plan | None) -> Folded:
    """The journal, mended from the endpoint's tags when it was lost."""
    folded = run.read()
    view = run.observe(until=run.now + run.rollout.write_timeout)
    if lost.rebuild(run, folded, view, plan):
        folded = run.read()
    return folded


def _untouched(run: Run, active: Progress) -> bool:
    """Nothing was done yet, and the traffic is not the one it was planned on: it can be planned anew."""
    if active.reached not in (PLANNED, LOCKED) or active.pending is not None or active.state == ROLLING_BACK:
        return False
    return routing_of(run.observe(until=run.now + run.rollout.write_timeout)) != active.before


def _go_on(run: Run, plan: Plan) -> tuple[Outcome, str]:
    """From where the journal stands to an end."""
    plan = replace(plan, rollout=_options(run.at.plan.get("rollout", {}), plan.rollout))
    run.rollout = plan.rollout
    if run.at.state == ROLLING_BACK:
        return _back(run, run.at.reason)
    order = phases(plan, run.at.before)
    names = list(order)
    start = names.index(run.at.reached) + 1 if run.at.reached in order else 0
    try:
        _settle(run)
        for name in names[start:]:
            order[name](run, plan, name)
    except (Failed, Unavailable) as error:
        if run.at.state == FINALIZING and isinstance(error, Unavailable):
            raise
        why = str(error) if isinstance(error, Failed) else error.what
        return _back(run, why, wrong=isinstance(error, Failed) and error.wrong)
    live = plan.green.name
    run.tell(f"{live} serves all traffic", SUCCEEDED)
    return "passed", f"{live} serves all traffic"


def _settle(run: Run) -> None:
    """After a crash: the endpoint is as the journal says or meant, once it stops updating. Raises Conflict."""
    view = run.observe(until=run.now + run.rollout.write_timeout)
    run.ours(view)


def _back(run: Run, why: str, *, wrong: bool = False, force: bool = False) -> tuple[Outcome, str]:
    existed = run.at.created
    reason = roll_back(run, why, green_is_wrong=wrong, force=force)
    return ("rolled-back" if existed else "error"), reason


def _options(raw: Mapping[str, Any], otherwise: Rollout) -> Rollout:
    """The rollout options that the journal keeps: the same deployment goes on under the same plan."""
    known = {field.name for field in fields(Rollout)}
    kept = {key: value for key, value in raw.items() if key in known}
    return replace(otherwise, **{**asdict(otherwise), **kept})


def _reconcile(run: Run, plan: Plan | None, *, begun_by_others: bool) -> tuple[Outcome, str]:
    if _is_new(run):
        return "passed", "nothing to do: nothing was ever deployed here"
    run.take()
    folded = _look(run, plan)
    active = folded.active
    if active is None:
        if not begun_by_others:
            return "passed", "nothing to resume"
        gone = retire(run, folded)
        return "passed", f"deleted {', '.join(gone)}" if gone else "nothing to do"
    if plan is not None and plan.identity(active.before.to_json()) == active.deploy_id:
        return _go_on(run, plan)
    if not begun_by_others:
        return "passed", "nothing to resume: the unfinished deployment is another plan's"
    if active.held is not None and active.state != ROLLING_BACK and run.now < active.held["until"]:
        raise Held(str(active.held["reason"]))
    run.rollout = _options(active.plan.get("rollout", {}), run.rollout)
    return _back(run, active.reason or f"abandoned by its runner in {active.state}")


def _is_new(run: Run) -> bool:
    """Whether there is neither a journal nor an endpoint. One that cannot be reached is waited for with the lease."""
    try:
        return not run.journal.read() and not run.endpoint.observe().exists
    except Unavailable as error:
        run.trouble = error.what
        return False


def _rollback(run: Run, to: str | None, verify: Callable[[DeploymentView], None]) -> tuple[Outcome, str]:
    run.take()
    folded = _look(run, None)
    active, last = folded.active, folded.last
    view = run.observe(until=run.now + run.rollout.write_timeout)
    if active is not None and to is None:
        for name in active.before.traffic:
            if name in view.deployments and not view.traffic.get(name):
                verify(view.deployments[name])
        outcome, reason = _back(run, "a person asked for it", force=True)
        return outcome if outcome == "rolled-back" else "rolled-back", reason
    target = to or (max(last.before.traffic, key=lambda n: last.before.traffic[n], default="") if last else "")
    if not target or target not in view.deployments:
        raise InvalidInput(
            f"there is no deployment {target or 'to go back to'} on endpoint {run.endpoint.name}",
            hint=f"write --to with one of: {', '.join(sorted(view.deployments)) or '(none)'}",
        )
    if not view.traffic.get(target):
        verify(view.deployments[target])
    _plan_back(run, folded, target)
    _, reason = _back(run, f"a person asked for {target}", force=True)
    return "rolled-back", reason


def _plan_back(run: Run, folded: Folded, target: str) -> None:
    """A rollback of what has ended is a deployment of its own, whose snapshot is what is wanted."""
    view = run.observe(until=run.now + run.rollout.write_timeout)
    traffic = routing_of(view).traffic
    live = max((n for n in traffic if n != target), key=lambda n: traffic[n], default=target)
    current = run.champion.current()
    snapshot = {
        "traffic": {target: 100}, "mirror": {}, "deployments": sorted(view.deployments),
        "champion": folded.champions.get(target, current), "sick": [],
    }  # fmt: skip
    seen = view.deployments.get(live)
    document = {
        "endpoint": run.endpoint.name, "policy_digest": "", "champion": current, "author": "", "rollout": {},
        "green": {"name": live, "spec_digest": seen.spec_digest if seen else "", "model": "",
                  "model_digest": seen.model_digest if seen else ""},
        "retire_after_rollback": {} if live == target else {live: run.now + run.rollout.keep_old},
    }  # fmt: skip
    after = {"plan": document, "snapshot": snapshot, "routing": routing_of(view).to_json(), "created": True}
    deploy_id = digest({"rollback": target, "seq": folded.seq, "endpoint": run.endpoint.name})
    run.record(PLANNED, "done", after=after, deploy_id=deploy_id, plan=document)


__all__ = ["Ended", "deploy", "reconcile", "resume", "rollback"]
