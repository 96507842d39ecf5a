"""What green does while it is watched: its requests as evidence, its golden rows, its health.

A look never decides more than the policy's checks do, but for three things that need no statistics: green is gone or
does not answer, green answers a golden row wrongly, somebody else changed the endpoint.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from gates.checks.rate_ratio import Window
from gates.errors import Unavailable
from gates.evidence import Counted, Evidence
from gates.rollout.ends import Failed, Held
from gates.rollout.golden import differs
from gates.rollout.traffic import ask, probe
from gates.verdict import Verdict

if TYPE_CHECKING:
    from gates.rollout.plan import Judgement, Plan
    from gates.rollout.run import Run
    from gates.serving import RequestEvent


@dataclass
class Watch:
    """Requests seen since a cursor, and which golden row comes next."""

    run: Run
    plan: Plan
    cursor: int
    events: list[RequestEvent] = field(default_factory=list)
    row: int = 0
    sent: int = 0
    last: Judgement | None = None

    def pull(self) -> None:
        fresh, self.cursor = self.run.endpoint.requests_since(self.cursor)
        self.events.extend(event for event in fresh if not event.pinned)
        green = self.run.at.green
        if self.run.first_bad is None:
            bad = (e.ts for e in fresh if e.deployment == green and is_error(e.status))
            self.run.first_bad = next(bad, None)

    def look(self, *, mirrored: bool = False) -> tuple[Verdict, bool]:
        """(verdict, allowed) of all that is known now; ERROR when it could not be had. Raises Failed, Conflict."""
        try:
            self._alive()
            self.pull()
        except Unavailable as error:
            self.run.trouble = error.what
            return Verdict.ERROR, False
        gate = self.plan.canary_gate
        if gate is None:
            raise AssertionError("a plan has a canary gate")
        found = self._gathered(self.events, mirrored=mirrored)
        if self.plan.enrich is not None:
            try:
                found = self.plan.enrich(found)
            except Unavailable as error:
                self.run.trouble = error.what
                return Verdict.ERROR, False
        self.last = gate(replace(found, final=False), final=False)
        return self.last.verdict, self.last.allowed

    def late(self, since: float) -> Verdict:
        """The verdict on what came after a time alone, so that a good past does not hide a bad present."""
        gate = self.plan.canary_gate
        if gate is None:
            raise AssertionError("a plan has a canary gate")
        recent = [event for event in self.events if event.ts >= since]
        found = self._gathered(recent)
        if self.plan.enrich is not None:
            try:
                found = self.plan.enrich(found)
            except Unavailable as error:
                self.run.trouble = error.what
                return Verdict.ERROR
        self.last = gate(replace(found, final=False), final=False)
        return self.last.verdict

    def _gathered(self, events: list[RequestEvent], *, mirrored: bool = False) -> Evidence:
        at = self.run.at
        found = gather(events, at.green, mirrored=mirrored, bootstrap=not at.before.traffic)
        differing = compared(self.events, at.green, self.run.rollout.tolerance) if mirrored else at.compared
        if differing is None:
            return found
        counts = {**found.counts, "mirror_differs": Counted(*differing)}
        return replace(found, counts=counts, facts={**found.facts, "mirroring": mirrored})

    def pass_time(self, seconds: float) -> None:
        """Wait, and send our own requests meanwhile where the plan says so. Raises Stopped, Conflict."""
        rate, run, until = self.run.rollout.synthetic, self.run, self.run.now + seconds
        due = run.now
        while rate and due < until:
            body = self.plan.golden[self.sent % len(self.plan.golden)].body if self.plan.golden else self.plan.sample
            self.sent += 1
            try:
                run.endpoint.ask(body or b"", timeout=run.rollout.answer_timeout)
            except Unavailable as error:
                run.trouble = error.what
            due = max(due + 1 / rate, run.now)
            run.wait(max(min(due, until) - run.now, 0.0))
        run.wait(max(until - run.now, 0.0))

    def why(self) -> str:
        return ", ".join(self.last.failed_checks) if self.last else self.run.trouble

    def _alive(self) -> None:
        run, green = self.run, self.run.at.green
        view = run.endpoint.observe()
        run.ours(view)
        seen = view.deployments.get(green)
        if seen is None or seen.state in ("failed", "deleting"):
            raise Failed(f"{green} is {'gone' if seen is None else seen.state}{_tail(run, green)}")
        if seen.healthy is False and not probe(run, green):
            raise Failed(f"{green} is unhealthy: {seen.reason or 'it does not answer'}{_tail(run, green)}")
        if self.plan.golden:
            ask_golden(run, self.plan, self.row)
            self.row += 1
        elif not probe(run, green):
            raise Failed(f"{green} does not answer{_tail(run, green)}")


def is_error(status: int) -> bool:
    return status == 0 or status >= 500


def ask_golden(run: Run, plan: Plan, row: int) -> float:
    """Ask green one golden row by name; the seconds it took. Raises Failed when the answer is not the gated one."""
    green, golden, asked = run.at.green, plan.golden[row % len(plan.golden)], run.now
    answer = ask(run, golden.body, green)
    if answer.status != 200:
        run.first_bad = asked if run.first_bad is None else run.first_bad
        raise Failed(f"{green} does not answer a golden row: status {answer.status}{_tail(run, green)}")
    why = differs(answer.body, golden.expected, atol=plan.atol)
    if answer.served_by != green:
        why = f"asked of {green}, answered by {answer.served_by or 'nobody'}"
    if why:
        run.first_bad = asked if run.first_bad is None else run.first_bad
        which = row % len(plan.golden)
        raise Failed(f"{green} answers golden row {which} differently from what was gated: {why}", wrong=True)
    return answer.seconds


def gather(events: list[RequestEvent], green: str, *, bootstrap: bool, mirrored: bool = False) -> Evidence:
    """Evidence of http_5xx and latency_ms for green and for all others. Mirrored copies count only while mirroring."""
    import numpy as np

    mine = [e for e in events if e.deployment == green and (e.mirrored == mirrored)]
    others = [e for e in events if e.deployment != green and not e.mirrored]
    parts: dict[str, Any] = {
        "counts": {"http_5xx": Counted(sum(is_error(e.status) for e in mine), len(mine))},
        "samples": {"latency_ms": np.array([e.ms for e in mine], dtype=np.float64)},
    }
    if not bootstrap:
        parts["champion_counts"] = {"http_5xx": Counted(sum(is_error(e.status) for e in others), len(others))}
        parts["facts"] = {"windows": {"http_5xx": windows(events, green, mirrored=mirrored)}}
        parts["champion_samples"] = {"latency_ms": np.array([e.ms for e in others], dtype=np.float64)}
    return Evidence(champion_absent=bootstrap, **parts)


def compared(events: list[RequestEvent], green: str, tolerance: float) -> tuple[int, int]:
    """(answers of green that differed from the live one by more than a tolerance, answers compared)."""
    apart = [e.distance for e in events if e.deployment == green and e.mirrored and e.distance is not None]
    return sum(distance > tolerance for distance in apart), len(apart)


def windows(events: list[RequestEvent], green: str, *, mirrored: bool) -> tuple[Window, ...]:
    """Green's and the others' errors while green's share was the same: an error falls on green with that share.

    The share is what the events say: green's own, else one minus the other's, or green's last where others are many.
    """
    many = len({e.deployment for e in events if e.deployment != green}) > 1
    cells: dict[float, list[int]] = {}
    last = 0.0
    for event in events:
        mine = event.deployment == green
        if event.mirrored != (mirrored and mine):
            continue
        last = event.share if mine else last if many else 1.0 - event.share
        cell = cells.setdefault(0.0 if mirrored else round(last, 4), [0, 0, 0, 0])
        cell[0 if mine else 2] += is_error(event.status)
        cell[1 if mine else 3] += 1
    return tuple(Window(Counted(a, n), Counted(b, m)) for a, n, b, m in cells.values())


def keep_watch(run: Run, plan: Plan, watch: Watch, state: str, *, since: float, mirrored: bool = False) -> None:
    """Watch until the interval is over and the evidence allows the next step. Raises Failed, Held, Conflict, Stopped.

    At step_timeout: undecided is held for a person; evidence that could not be had is a failure.
    """
    rollout, began = run.rollout, run.now
    while True:
        verdict, allowed = watch.look(mirrored=mirrored)
        waited = run.now - since
        if verdict is Verdict.FAIL:
            raise Failed(f"{state}: {watch.why()} failed after {waited:.0f} s")
        if waited >= rollout.interval and allowed:
            return
        if verdict is Verdict.INCONCLUSIVE and released(run, plan, state):
            return
        if rollout.interval - waited > rollout.attend and run.now - began >= rollout.attend:
            until = since + rollout.interval
            hold(run, state, f"{state} is watched for another {until - run.now:.0f} s", until=until)
        if waited >= max(rollout.step_timeout, rollout.interval):
            if verdict is Verdict.ERROR:
                raise Failed(f"{state}: the evidence could not be had for {waited:.0f} s: {watch.why()}")
            hold(run, state, f"{state} is undecided after {waited:.0f} s ({watch.why()})")
        left = rollout.interval - waited
        watch.pass_time(min(rollout.poll, max(left, 0.1) if left > 0 else rollout.poll))


def bake(run: Run, watch: Watch, *, since: float, until: float) -> None:
    """Watch the promoted green until a wall time. Raises Failed, Conflict, Stopped."""
    while True:
        verdict, _ = watch.look()
        if verdict is Verdict.FAIL or (verdict is not Verdict.ERROR and watch.late(since) is Verdict.FAIL):
            raise Failed(f"BAKING: {watch.why()} failed {run.now - since:.0f} s after the promotion")
        if run.now >= until and verdict is not Verdict.ERROR:
            if verdict is Verdict.INCONCLUSIVE:
                run.tell(f"the bake time is over and {watch.why()} is undecided: nothing failed, so green stays")
            return
        if run.now >= until + run.rollout.step_timeout:
            raise Failed(f"BAKING: the evidence could not be had until the deadline: {watch.why()}")
        watch.pass_time(min(run.rollout.poll, max(until - run.now, 1.0)))


def hold(run: Run, state: str, why: str, *, until: float | None = None) -> None:
    """Wait for a person, at most hold_timeout from the first time, or from `until`. Raises Held, or Failed when the
    time is over."""
    held = run.at.held
    if held is None or held["state"] != state:
        until = (run.now if until is None else until) + run.rollout.hold_timeout
        run.record("HELD", "observed", after={"state": state, "until": until, "reason": why})
        raise Held(why)
    if run.now >= held["until"]:
        raise Failed(f"{held['reason']}, and nobody approved in time")
    raise Held(str(held["reason"]))


def released(run: Run, plan: Plan, state: str) -> bool:
    """Whether somebody approved after this state was held."""
    held = run.at.held
    if held is None or held["state"] != state:
        return False
    return any(a["ts"] >= held["ts"] for a in valid_approvals(run, plan))


def valid_approvals(run: Run, plan: Plan) -> list[dict[str, Any]]:
    """The journal's approvals that are for these digests, fresh, and of somebody who may; one a person, the newest."""
    rule, people = plan.approvals, {}
    for given in sorted(run.at.approvals, key=lambda a: a["ts"]):
        bound = (given["model_digest"], given["policy_digest"]) == (plan.green.model_digest, plan.policy_digest)
        fresh = 0 <= run.now - given["ts"] <= rule.max_age
        if bound and fresh and given["by"] and not (rule.forbid_author and given["by"] == plan.author):
            people[given["by"]] = dict(given)
    return list(people.values())


def _tail(run: Run, name: str) -> str:
    """The last lines of a deployment's log, for an error; '' when there are none to be had."""
    try:
        lines = run.endpoint.logs(name).strip().splitlines()[-5:]
    except Unavailable as error:
        return f" (its log could not be had: {error.what})"
    return f"; its log ends: {' | '.join(lines)}" if lines else ""
