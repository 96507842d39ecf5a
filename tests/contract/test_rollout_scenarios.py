"""Rollouts in a simulated world: what goes wrong, and how each of them ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fake_endpoint import Behaviour
from rollout_world import BODIES, QUICK, Gate, World, plan_for, spec

from gates import policy as policies
from gates.rollout.journal import fold
from gates.rollout.plan import Approval, ApprovalRule
from gates.steps.canary import Judging
from gates.verdict import Verdict

if TYPE_CHECKING:
    from gates.rollout.ends import Ended
    from gates.rollout.plan import Analyse

GREEN = spec(2).name


def breaks(world: World, after: float, **changes: object) -> None:
    world.clock.at(world.clock.now() + after, lambda: world.endpoint.behave(GREEN, **changes))


POLICY = b"""\
version: 1
name: simulated
stages:
  validate:
    checks: [{id: a, type: threshold, metric: accuracy, min: 0.5}]
  canary:
    checks:
      - {id: errors, type: rate_ratio, signal: http_5xx, max_ratio: 3, negligible: 0.005}
      - {id: p95, type: latency_quantile, signal: latency_ms, q: 0.95, max_ms: 100, min_samples: 200}
"""
BUSY = replace(QUICK, steps=(50, 100))


def real_checks(policy_text: bytes = POLICY) -> Analyse:
    """The canary stage of a policy, judged as the step does."""
    policy = policies.load(policy_text, Path("policy.yml"), today=date(2026, 1, 1))
    gate = Judging(policy, "deploy-blue-green", lambda: date(2026, 1, 1), {"digest": ""}).gate("canary")
    assert gate is not None
    return gate


def judged_run(seed: int, **sick: object) -> tuple[Ended, World]:
    """A rollout at 100 requests a second, of which one in a thousand fails on both sides; the real checks judge."""
    world = World(rps=100, seed=seed)
    world.endpoint.behave(world.blue, error_rate=0.001)
    world.endpoint.on_create = lambda spec: Behaviour(error_rate=0.001)
    if sick:
        breaks(world, 36.0, **sick)
    return world.deploy(plan_for(2, rollout=BUSY, canary_gate=real_checks())), world


def test_healthy_greens_are_promoted() -> None:
    ends = [judged_run(seed)[0] for seed in range(100)]
    promoted = sum(ended.outcome == "passed" for ended in ends)
    print(f"\nhealthy: {promoted} of 100 promoted; the others: {[e.reason for e in ends if e.outcome != 'passed']}")
    assert promoted >= 98


@pytest.mark.parametrize("sick", [{"error_rate": 0.1}, {"ms": 80.0}], ids=lambda s: next(iter(s)))
def test_the_real_checks_find_a_green_that_turns_sick(sick: dict[str, object]) -> None:
    """Ten percent of errors, or a latency of twice what it was: found in each of twenty runs."""
    took = []
    for seed in range(20):
        ended, world = judged_run(seed, **sick)
        assert (ended.outcome, world.is_snapshot()) == ("rolled-back", True), (seed, ended)
        rolling = next(ts for ts, state, _ in ended.events if state == "ROLLING_BACK")
        took.append(rolling - (1_700_000_000.0 + 36.0))
    print(f"\n{sick}: rolled back {min(took):.0f} to {max(took):.0f} s after it turned sick, in 20 of 20 runs")


@pytest.mark.parametrize(
    "sick",
    [{"error_rate": 0.1}, {"ms": 120.0}, {"wrong": True}, {"hangs": True}, {"dead": True}],
    ids=lambda s: next(iter(s)),
)
def test_a_green_that_turns_sick_in_the_canary_is_rolled_back(sick: dict[str, object]) -> None:
    world = World(rps=40, seed=3)
    breaks(world, 34.0, **sick)
    ended = world.deploy(plan_for(2))
    assert ended.outcome == "rolled-back", ended
    assert world.is_snapshot()
    given = sum(e.deployment == GREEN and not e.pinned for e in world.endpoint.events)
    took = ended.timings.get("first_bad_to_restored", ended.timings["rollback"])
    print(f"\n{sick}: {given} requests reached green; {took:.0f} s to restored traffic; {ended.reason}")
    assert took < 300


MIRRORING = replace(BUSY, mirror=20, tolerance=0.1, step_timeout=200.0)
COMPARED = POLICY + b"      - {id: alike, type: rate, signal: mirror_differs, ok: 0.02, bad: 0.2}\n"


@pytest.mark.parametrize(("wrong", "outcome"), [(False, "passed"), (True, "rolled-back")])
def test_mirrored_answers_that_differ_by_more_than_the_tolerance_end_a_rollout(wrong: bool, outcome: str) -> None:
    """Golden rows are left out, so that only the comparison can see it."""
    world = World(rps=100, seed=1)
    world.endpoint.on_create = lambda spec: Behaviour(wrong=wrong)
    ended = world.deploy(plan_for(2, rollout=MIRRORING, canary_gate=real_checks(COMPARED), golden=(), sample=BODIES[0]))
    assert ended.outcome == outcome, ended
    given = [e for e in world.endpoint.events if e.deployment == GREEN and not e.pinned and not e.mirrored]
    assert bool(given) is not wrong, "nothing that customers send has reached a green that answers otherwise"
    if wrong:
        assert ended.reason.startswith("MIRRORING: alike"), ended
        assert world.is_snapshot()


def test_what_mirroring_compared_is_still_known_after_a_crash_in_the_canary() -> None:
    world = World(rps=100, seed=1)
    plan = plan_for(2, rollout=MIRRORING, canary_gate=real_checks(COMPARED))
    first = world.points.names
    world.killed(plan, {95: "kill-after"})
    assert first != world.points.names
    assert fold(world.journal.read()).last is not None
    assert world.deploy(plan).outcome == "passed"
    done = fold(world.journal.read()).last
    assert done is not None
    assert done.compared is not None
    assert done.compared[0] == 0
    assert done.compared[1] > 100


def test_blue_sick_and_green_well_stays_on_green_and_calls_a_person() -> None:
    world = World(rps=2)
    world.clock.at(world.clock.now() + 52, lambda: world.endpoint.behave(world.blue, dead=True))
    gate = Gate()
    world.clock.at(world.clock.now() + 52, lambda: setattr(gate, "forced", Verdict.FAIL))
    ended = world.deploy(plan_for(2, canary_gate=gate))
    assert (ended.outcome, ended.state) == ("unknown", "ROLLBACK_FAILED"), ended
    assert world.endpoint.observe().traffic == {GREEN: 100}
    assert world.deploy(plan_for(3)).outcome == "unknown"
    assert world.rollback(GREEN).outcome == "rolled-back"
    assert world.deploy(plan_for(3)).outcome == "passed"


def test_a_foreign_edit_stops_the_runner_and_nothing_is_touched() -> None:
    world = World(rps=2)
    world.clock.at(world.clock.now() + 36, lambda: world.endpoint.edit_by_hand({world.blue: 30, GREEN: 70}))
    ended = world.deploy(plan_for(2))
    assert ended.outcome == "conflict"
    assert world.endpoint.observe().traffic == {world.blue: 30, GREEN: 70}
    assert world.rollback().outcome == "rolled-back"
    assert world.is_snapshot()


def test_of_two_runners_one_wins_and_the_other_is_told() -> None:
    for at in range(5, 80, 5):
        world = World(rps=2)
        ends: list[Ended] = []
        plan = plan_for(2)
        second = world.ports()
        world.clock.at(world.clock.now() + at, lambda s=second, e=ends: e.append(_deploy(s)))  # type: ignore[misc]  # mypy cannot see a lambda's default
        assert world.deploy(plan).outcome == "passed"
        assert [end.outcome for end in ends] == ["conflict"], at
        assert world.is_done()


def _deploy(ports: dict[str, object]) -> Ended:
    from gates.rollout import machine

    return machine.deploy(plan_for(2), **ports)  # type: ignore[arg-type]  # the ports of a world


def test_a_lease_that_expires_under_its_owner_goes_to_the_next_and_the_owner_stops() -> None:
    """The first runner sleeps through its lease in the middle of a call; the second finishes the deployment."""
    count = len(_names())
    told = 0
    for point in range(6, count - 2, 3):
        world = World(rps=2)
        plan = plan_for(2)
        ends: list[Ended] = []
        second = world.ports()

        def sleep_through(world: World = world, ends: list[Ended] = ends, second: dict[str, object] = second) -> None:
            world.clock.sleep(61)
            ends.append(_deploy(second))

        first = world.deploy(plan, {point: sleep_through})
        assert ends[0].outcome == "passed", (point, ends)
        assert first.outcome in ("conflict", "passed"), (point, first)
        told += first.outcome == "conflict"
        assert world.is_done(), point
    assert told >= 10


def _names() -> list[str]:
    world = World(rps=2)
    world.deploy(plan_for(2))
    return world.points.names


def test_approvals_hold_it_and_only_valid_ones_let_it_go() -> None:
    world = World(rps=2)
    plan = plan_for(2, approvals=ApprovalRule(1))
    assert world.deploy(plan).outcome == "waiting"
    assert world.endpoint.observe().traffic == {world.blue: 100}
    now, model, policy = world.clock.now(), plan.green.model_digest, plan.policy_digest
    for bad in (
        Approval("ann", now, model, policy), Approval("bob", now, "sha256:0", policy),
        Approval("bob", now, model, "sha256:0"), Approval("bob", now - 3e5, model, policy),
    ):  # fmt: skip
        assert world.deploy(replace(plan, approved=(bad,))).outcome == "waiting", bad
    assert world.deploy(plan_for(3)).outcome == "conflict"
    assert world.deploy(replace(plan, approved=(Approval("bob", now, model, policy),))).outcome == "passed"


def test_a_hold_that_nobody_ends_is_rolled_back_at_its_deadline_and_a_newer_plan_may_supersede_it() -> None:
    world = World(rps=2)
    plan = plan_for(2, approvals=ApprovalRule(1))
    assert world.deploy(plan).outcome == "waiting"
    assert world.reconcile().outcome == "waiting"
    assert world.deploy(plan_for(3), supersede=True).outcome == "passed"
    world = World(rps=2)
    assert world.deploy(plan).outcome == "waiting"
    world.clock.sleep(plan.rollout.hold_timeout + 1)
    assert world.reconcile().outcome == "rolled-back"
    assert world.is_snapshot()


def test_a_canary_that_stays_too_long_is_held_and_then_ended() -> None:
    world = World(rps=0)
    plan = plan_for(2, canary_gate=Gate(10), rollout=replace(QUICK, step_timeout=100.0, hold_timeout=200.0))
    assert world.deploy(plan).outcome == "waiting"
    world.clock.sleep(201)
    assert world.deploy(plan).outcome == "rolled-back"
    assert world.is_snapshot()


def test_a_lost_journal_is_rebuilt_from_the_tags_or_nobody_knows() -> None:
    lost = 0
    for point in range(5, len(_names()), 4):
        world, plan = World(rps=2), plan_for(2)
        world.killed(plan, {point: "kill-after"})
        world.journal.records.clear()
        ended = world.deploy(plan)
        assert ended.outcome in ("passed", "rolled-back"), (point, ended)
        assert world.is_done() or world.is_snapshot(), point
        lost += any(r["after"].get("rebuilt") for r in world.journal.records)
    assert lost >= 10
    world = World(rps=2)
    world.killed(plan_for(2), {60: "kill-after"})
    world.journal.records.clear()
    world.endpoint.tags["gates.prev"] = "?"
    assert world.deploy(plan_for(2)).outcome == "unknown"


def test_old_deployments_are_deleted_when_their_time_has_come_and_a_finished_rollout_can_be_undone() -> None:
    world = World(rps=2)
    assert world.deploy(plan_for(2)).outcome == "passed"
    assert world.reconcile().reason == "nothing to do"
    assert world.rollback().outcome == "rolled-back"
    assert (world.endpoint.observe().traffic, world.champion.version) == ({world.blue: 100}, "1")
    world.clock.sleep(3601)
    assert GREEN in world.reconcile().reason
    assert world.is_snapshot()
    assert [world.deploy(plan_for(v)).outcome for v in (2, 1, 2)] == ["passed"] * 3
    assert world.endpoint.creations == 2, "the kept deployment of the same spec is adopted, not made again"
    world.clock.sleep(61)
    assert world.blue in world.reconcile().reason
    assert world.reconcile().reason == "nothing to do"


def test_a_green_that_fails_to_be_created_leaves_nothing_behind() -> None:
    world = World(rps=2)
    world.endpoint.on_create = lambda spec: Behaviour(created=False)
    ended = world.deploy(plan_for(2))
    assert ended.outcome == "rolled-back"
    assert "image pull failed; its log ends: the log of" in ended.reason
    assert world.is_snapshot()


def test_a_stop_is_written_down_and_resumed() -> None:
    world = World(rps=2)
    world.clock.at(world.clock.now() + 40, lambda: setattr(world, "stopping", True))
    assert world.deploy(plan_for(2)).outcome == "cancelled"
    world.stopping = False
    assert world.deploy(plan_for(2)).outcome == "passed"
