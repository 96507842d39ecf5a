"""The states on the way to SUCCEEDED. Each is entered again after a crash, looks first, and makes it so.

A phase returns when its state is committed; it raises Failed (roll back), Held, Stopped, or an error of `errors`.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from gates.errors import Conflict, InvalidInput, StateUnknown, Unavailable
from gates.evidence import Counted, Evidence
from gates.rollout.ends import Failed
from gates.rollout.journal import (
    BAKING,
    CANARY,
    FINALIZING,
    GREEN_CREATING,
    GREEN_READY,
    LOCKED,
    MIRRORING,
    PLANNED,
    PROMOTED,
    SMOKED,
    SNAPSHOTTED,
    SUCCEEDED,
)
from gates.rollout.plan import canary_steps
from gates.rollout.routing import Routing, routing_of, split
from gates.rollout.traffic import ask, confirm, probe, route
from gates.rollout.watch import Watch, ask_golden, bake, compared, hold, keep_watch, valid_approvals

if TYPE_CHECKING:
    from collections.abc import Callable

    from gates.rollout.plan import Plan
    from gates.rollout.run import Run
    from gates.serving import EndpointView


def phases(plan: Plan, before: Routing) -> dict[str, Callable[[Run, Plan, str], None]]:
    """State by state, in order. Without live traffic there is nothing to compare with: no mirror, no canary.

    Where green has all traffic already there is nothing to roll out: only alias and lineage are made so.
    """
    if before.traffic == {plan.green.name: 100}:
        return {PLANNED: _nothing, LOCKED: lock, SNAPSHOTTED: stamp, FINALIZING: finalize}
    order: dict[str, Callable[[Run, Plan, str], None]] = {
        PLANNED: _nothing, LOCKED: lock, SNAPSHOTTED: stamp, GREEN_CREATING: create, GREEN_READY: ready, SMOKED: smoke,
    }  # fmt: skip
    share = before.traffic.get(plan.green.name, 0)
    if any(name != plan.green.name for name in before.traffic):
        if plan.rollout.mirror and not share:
            order[MIRRORING] = mirror
        for number, percent in enumerate(canary_steps(plan.rollout, share), start=1):
            order[f"{CANARY}_{number}"] = _canary(percent)
    return {**order, PROMOTED: promote, BAKING: baking, FINALIZING: finalize}


def snapshot_of(run: Run, view: EndpointView, sick: list[str]) -> dict[str, Any]:
    return {
        **routing_of(view).to_json(),
        "deployments": sorted(view.deployments),
        "champion": run.champion.current(),
        "sick": sick,
    }


def begin(run: Run, plan: Plan) -> None:
    """PLANNED: what is there now, what is meant. Under the lease, so that nobody else plans on the same traffic."""
    until = run.now + run.rollout.write_timeout
    view = run.observe(until=until)
    present = view.deployments.get(plan.green.name)
    if present is not None and present.spec_digest != plan.green.spec_digest and view.traffic.get(present.name):
        raise InvalidInput(
            f"deployment {present.name} serves traffic with another spec than the one planned under its name",
            hint="change the deployment's name in its file",
        )
    before = routing_of(view)
    sick = [name for name in before.traffic if not run.patiently(lambda name=name: probe(run, name), until=until)]  # type: ignore[misc]  # mypy cannot see a lambda's default
    snapshot = run.patiently(lambda: snapshot_of(run, view, sick), until=until)
    deploy_id = plan.identity(before.to_json())
    document = plan.document()
    run.record(PLANNED, "done", after={"plan": document, "snapshot": snapshot}, deploy_id=deploy_id, plan=document)
    run.tell(f"{deploy_id[7:17]}: {plan.green.name} onto {before.say()}")
    if sick:
        run.tell(f"already sick before the rollout: {', '.join(sick)}; a rollback cannot return to it")


def _nothing(run: Run, plan: Plan, state: str) -> None:
    del run, plan, state


def lock(run: Run, plan: Plan, state: str) -> None:
    del plan
    lease = run.lease
    expires = lease.expires if lease else 0.0
    run.record(state, "done", after={"owner": run.owner, "epoch": run.epoch, "expires": expires})


def stamp(run: Run, plan: Plan, state: str) -> None:
    """SNAPSHOTTED: the endpoint exists and carries the pointer to this deployment; traffic as it was."""
    until = run.now + run.rollout.write_timeout
    while not (view := run.observe(until=until)).exists:
        if run.now >= until:
            raise Unavailable(f"endpoint {plan.endpoint} could not be created: {run.trouble}")
        run.tell(f"creating endpoint {plan.endpoint}", state)
        run.mutate(lambda: run.endpoint.create_endpoint(plan.endpoint_body, epoch=run.epoch))
        run.wait(run.rollout.poll)
    del view
    route(run, state, run.at.before, until=until)
    run.record(state, "done")


def create(run: Run, plan: Plan, state: str) -> None:
    """Green exists, without traffic: made, adopted when it is of the same spec, replaced when it failed."""
    until, green, attempts = run.now + run.rollout.create_timeout, plan.green, 0
    run.record(state, "intent", after={"name": green.name, "spec_digest": green.spec_digest})
    why = ""
    while True:
        view = run.observe(until=until, settled=False)
        run.ours(view)
        seen = view.deployments.get(green.name)
        if seen is None:
            if attempts >= run.rollout.create_attempts and why:
                raise Failed(f"{green.name} could not be created in {attempts} attempts: {why}")
            accepted = run.mutate(lambda: run.endpoint.create(green, epoch=run.epoch))
            attempts += accepted
            run.tell(
                f"creating {green.name}" if accepted else f"creating {green.name} again soon: {run.trouble}", state
            )
        elif seen.spec_digest == green.spec_digest and seen.state == "ready":
            break
        elif seen.state == "failed" or seen.spec_digest != green.spec_digest:
            why = seen.reason or f"its spec is {seen.spec_digest}"
            log = run.patiently(lambda: run.endpoint.logs(green.name), until=until).strip().splitlines()[-5:]
            why = f"{why}; its log ends: {' | '.join(log)}" if log else why
            run.tell(f"{green.name} is {seen.state}, deleting it: {why}", state)
            attempts = max(attempts, 1)
            run.mutate(lambda: run.endpoint.delete(green.name, epoch=run.epoch))
        if run.now >= until:
            raise Failed(f"{green.name} was not ready in {run.rollout.create_timeout:.0f} s: {why or run.trouble}")
        run.wait(run.rollout.poll)
    run.record(state, "done", after={"name": green.name})


def ready(run: Run, plan: Plan, state: str) -> None:
    """Provisioned is not serving: green answers by name."""
    until, name = run.now + run.rollout.ready_timeout, plan.green.name
    while not run.patiently(lambda: probe(run, name), until=until):
        if run.now >= until:
            raise Failed(f"{name} was provisioned but does not answer after {run.rollout.ready_timeout:.0f} s")
        run.wait(run.rollout.poll)
    run.record(state, "done", after={"name": name})


def smoke(run: Run, plan: Plan, state: str) -> None:
    """Golden rows equal the gated predictions, and the policy's deploy stage passes on what was measured."""
    import numpy as np

    until = run.now + run.rollout.step_timeout
    seconds: list[float] = []
    rows = plan.golden
    for number in range(plan.smoke.warm_ups + max(plan.smoke.requests, len(rows))):
        taken = run.patiently(lambda n=number: _smoke_one(run, plan, n), until=until)  # type: ignore[misc]  # mypy cannot see a lambda's default
        if number >= plan.smoke.warm_ups:
            seconds.append(taken)
        run.renew()
    found = Evidence(
        samples={"smoke_latency_ms": np.array(seconds, dtype=np.float64) * 1000},
        counts={"smoke_5xx": Counted(0, len(seconds))},
    )
    if plan.load is not None:
        found = _joined(found, plan.load(plan.green.name, beat=lambda: run.wait(0.0)))
    if plan.deploy_gate is not None:
        judged = plan.deploy_gate(found, final=True)
        if not judged.allowed:
            raise Failed(f"{state}: {', '.join(judged.failed_checks)} is {judged.verdict.value}")
    if seconds:
        run.tell(f"{len(seconds)} requests answered{' as gated' if rows else ''}", state)
    run.record(state, "done", after={"requests": len(seconds)})


def _joined(smoked: Evidence, loaded: Evidence) -> Evidence:
    return replace(
        loaded, samples={**smoked.samples, **loaded.samples}, counts={**smoked.counts, **loaded.counts}
    )  # fmt: skip


def _smoke_one(run: Run, plan: Plan, number: int) -> float:
    if plan.golden:
        return ask_golden(run, plan, number)
    name = plan.green.name
    answer = ask(run, plan.sample or b"", name)
    if answer.status == 200 and answer.served_by == name:
        return answer.seconds
    raise Failed(
        f"{name} does not answer the sample request: status {answer.status} from {answer.served_by or 'nobody'}"
    )


def approved(run: Run, plan: Plan) -> None:
    """Enough people agreed to give green traffic. Raises Held, or Failed when nobody did in time."""
    known = [dict(a) for a in run.at.approvals]
    for given in map(asdict, plan.approved):
        if given not in known:
            run.record(run.at.reached, "observed", after={"approval": given})
    need, have = plan.approvals.minimum, valid_approvals(run, plan)
    if len(have) < need:
        hold(run, SMOKED, f"{need} approval{'s' if need > 1 else ''} needed for {plan.green.name}, {len(have)} valid")


def cursor(run: Run) -> int:
    """The request log's end: what came before is not evidence about this deployment."""
    return run.patiently(lambda: run.endpoint.requests_since(0)[1], until=run.now + run.rollout.write_timeout)


def _shift(run: Run, plan: Plan, state: str, target: Routing) -> float:
    """Route, unless that is done; the wall time from which green is watched at this share."""
    until = run.now + run.rollout.write_timeout
    if run.at.reached == SMOKED:
        approved(run, plan)
    if run.at.state != state or run.at.since is None:
        if not run.patiently(lambda: probe(run, plan.green.name), until=until):
            raise Failed(f"{plan.green.name} does not answer, so it gets no traffic in {state}")
        mark = run.at.cursor if run.at.cursor is not None and run.at.reached != MIRRORING else cursor(run)
        route(run, state, target, until=until, after={"cursor": mark})
        run.tell(target.say(), state)
    run.patiently(lambda: confirm(run, frozenset(target.traffic), until=until), until=until)
    return run.at.since if run.at.since is not None else run.now


def mirror(run: Run, plan: Plan, state: str) -> None:
    """Copies of live requests to green, answers dropped; cleared before green gets any traffic of its own."""
    target = Routing(run.at.before.traffic, {plan.green.name: plan.rollout.mirror})
    if run.at.pending is None and run.at.state == state and run.at.routing == run.at.before:
        run.record(state, "done")
        return
    since = _shift(run, plan, state, target)
    watch = Watch(run, plan, run.at.cursor or 0)
    keep_watch(run, plan, watch, state, since=since, mirrored=True)
    differing, count = compared(watch.events, plan.green.name, run.rollout.tolerance)
    if count:
        run.tell(f"{differing} of {count} mirrored answers differ from the live ones", state)
    route(
        run, state, Routing(run.at.before.traffic), until=run.now + run.rollout.write_timeout, label=f"{state}_CLEARED",
        after={"differing": differing, "compared": count},
    )  # fmt: skip
    run.record(state, "done")


def _canary(percent: int) -> Callable[[Run, Plan, str], None]:
    def canary(run: Run, plan: Plan, state: str) -> None:
        since = _shift(run, plan, state, Routing(split(run.at.before.traffic, plan.green.name, percent)))
        watch = Watch(run, plan, run.at.cursor or 0)
        keep_watch(run, plan, watch, state, since=since)
        run.tell(f"{percent} % passed with {len(watch.events)} requests seen", state)
        run.record(state, "done", after={"requests": len(watch.events)})

    return canary


def promote(run: Run, plan: Plan, state: str) -> None:
    """All traffic to green; blue is kept at full size."""
    _shift(run, plan, state, Routing({plan.green.name: 100}))
    run.record(state, "done", after={"bake_until": run.now + plan.rollout.bake})


def baking(run: Run, plan: Plan, state: str) -> None:
    if run.at.bake_until is None:
        run.record(state, "intent", after={"bake_until": run.now + plan.rollout.bake})
    until = run.at.bake_until or run.now
    bake(run, Watch(run, plan, run.at.cursor or 0), since=until - plan.rollout.bake, until=until)
    run.record(state, "done")


def finalize(run: Run, plan: Plan, state: str) -> None:
    """The alias moves, the lineage is written, the pointer says SUCCEEDED. Forward only, and again after a crash."""
    until, expected = run.now + run.rollout.write_timeout, run.at.snapshot.get("champion")
    run.record(state, "intent", after={"champion": plan.champion})

    def move() -> None:
        if run.champion.current() != plan.champion:
            run.renew(always=True)
            run.champion.move(expected=expected, new=plan.champion)

    run.patiently(move, until=until)
    if (current := run.patiently(run.champion.current, until=until)) != plan.champion:
        raise Conflict(f"the champion is {current}, not {plan.champion}: somebody else moved the alias")
    if plan.record is not None:
        record, at = plan.record, run.at
        run.patiently(lambda: record({"deploy_id": at.deploy_id, "snapshot": at.snapshot, **at.plan}), until=until)
    view = run.observe(until=until)
    run.ours(view)
    if routing_of(view) != Routing({plan.green.name: 100}):
        raise StateUnknown(f"traffic is {routing_of(view).say()} while {plan.green.name} should have all of it")
    route(run, state, Routing({plan.green.name: 100}), until=until, label=SUCCEEDED)
    old = {name: run.now + plan.rollout.keep_old for name in run.at.before.traffic if name != plan.green.name}
    run.record(SUCCEEDED, "done", after={"retire": old, "live": plan.green.name})
