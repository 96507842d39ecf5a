"""Where a rollout's evidence comes from when customers alone do not give it: own requests, load, labels, days."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fake_endpoint import Behaviour
from rollout_world import QUICK, Gate, Judged, World, plan_for, spec

from gates import policy as policies
from gates.errors import Unavailable
from gates.evidence import Counted, Evidence
from gates.rollout.ends import Stopped
from gates.rollout.plan import Rollout
from gates.steps.canary import Judging
from gates.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

GREEN = spec(2).name
DAY = 86_400.0
AB = b"""\
version: 1
name: ab
stages:
  validate:
    checks: [{id: a, type: threshold, metric: accuracy, min: 0.5}]
  canary:
    checks:
      - {id: errors, type: rate, signal: http_5xx, ok: 0.01, bad: 0.1}
      - {id: wrong, type: rate_ratio, signal: wrong_answers, max_ratio: 1.5}
"""


def test_without_traffic_it_is_held_and_with_requests_of_its_own_it_goes_on() -> None:
    plan = plan_for(2, canary_gate=Gate(10), rollout=replace(QUICK, step_timeout=100.0))
    assert World(rps=0).deploy(plan).outcome == "waiting"
    world = World(rps=0)
    ended = world.deploy(replace(plan, rollout=replace(plan.rollout, synthetic=2.0)))
    assert ended.outcome == "passed", ended
    own = [event for event in world.endpoint.events if not event.pinned]
    assert {event.deployment for event in own} == {world.blue, GREEN}, "asked as a client asks: by the weights"
    took = ended.timings["CANARY_1"] + ended.timings["CANARY_2"] + ended.timings["BAKING"]
    assert len(own) == pytest.approx(2 * took, rel=0.15)


def test_requests_of_its_own_find_a_sick_green_where_nobody_else_asks() -> None:
    world = World(rps=0, seed=2)
    world.clock.at(world.clock.now() + 36.0, lambda: world.endpoint.behave(GREEN, error_rate=0.5))
    ended = world.deploy(plan_for(2, canary_gate=Gate(100), rollout=replace(QUICK, synthetic=5.0)))
    assert (ended.outcome, world.is_snapshot()) == ("rolled-back", True), ended


def loading(world: World, seconds: float, ms: float) -> Callable[..., Evidence]:
    """A load test that takes a while, calling `beat` as it goes."""

    def load(deployment: str, *, beat: Callable[[], None]) -> Evidence:
        assert deployment == GREEN
        for _ in range(int(seconds)):
            world.clock.sleep(1.0)
            beat()
        return Evidence(samples={"load_latency_ms": np.full(100, ms)}, counts={"load_errors": Counted(0, 100)})

    return load


def judge_load(evidence: Evidence, *, final: bool) -> Judged:
    assert final
    assert {"smoke_latency_ms", "load_latency_ms"} <= set(evidence.samples)
    fast = float(evidence.samples["load_latency_ms"].max()) <= 350
    return Judged(Verdict.PASS if fast else Verdict.FAIL, ("load.p95",))


@pytest.mark.parametrize(("ms", "outcome"), [(100.0, "passed"), (400.0, "rolled-back")])
def test_a_load_test_is_judged_before_any_traffic_and_keeps_the_lease(ms: float, outcome: str) -> None:
    world = World(rps=2)
    plan = plan_for(2, deploy_gate=judge_load, load=loading(world, 300, ms))
    others: list[str] = []
    second = world.ports()

    def intrude() -> None:
        from gates.rollout import machine

        others.append(machine.deploy(plan_for(3), **second).outcome)

    world.clock.at(world.clock.now() + 250.0, intrude)
    ended = world.deploy(plan)
    assert (ended.outcome, others) == (outcome, ["conflict"]), (ended, others)
    if outcome == "rolled-back":
        assert ended.reason == "SMOKED: load.p95 is FAIL"
        assert not [event for event in world.endpoint.events if event.deployment == GREEN and not event.pinned]


def test_a_load_test_that_is_stopped_is_resumed_by_the_next_runner() -> None:
    world = World(rps=2)

    def stopped(deployment: str, *, beat: Callable[[], None]) -> Evidence:
        del deployment, beat
        raise Stopped

    assert world.deploy(plan_for(2, load=stopped)).outcome == "cancelled"
    assert world.deploy(plan_for(2, load=loading(world, 5, 1.0))).outcome == "passed"


def ab(world: World, wrong: float, seed: int = 4) -> Callable[[Evidence], Evidence]:
    """Labels that come a day late: a tenth of blue's answers were wrong, of green's `wrong`."""
    drawn = np.random.default_rng(seed).random(1_000_000)

    def labels(evidence: Evidence) -> Evidence:
        old = [e for e in world.endpoint.events if not e.pinned and e.ts < world.clock.now() - DAY]
        bad = [bool(drawn[i] < (wrong if e.deployment == GREEN else 0.1)) for i, e in enumerate(old)]
        mine = [e.deployment == GREEN for e in old]
        ours = Counted(sum(b and m for b, m in zip(bad, mine, strict=True)), sum(mine))
        theirs = Counted(sum(bad) - ours.bad, len(old) - ours.n)
        return replace(
            evidence,
            counts={**evidence.counts, "wrong_answers": ours},
            champion_counts={**evidence.champion_counts, "wrong_answers": theirs},
        )

    return labels


@pytest.mark.parametrize(("wrong", "outcome"), [(0.1, "passed"), (0.25, "rolled-back")])
def test_a_fixed_split_is_evaluated_for_days_on_labels_that_come_late(wrong: float, outcome: str) -> None:
    """Nobody's runner stays for a week: each watches for ten minutes, leaves it held, and the next one goes on."""
    world = World(rps=0.02)
    rollout = Rollout(steps=(50, 100), interval=7 * DAY, bake=60.0, attend=600.0, poll=60.0, step_timeout=7200.0)
    policy = policies.load(AB, Path("policy.yml"), today=date(2026, 1, 1))
    gate = Judging(policy, "deploy-blue-green", lambda: date(2026, 1, 1), {"digest": ""}).gate("canary")
    plan = plan_for(2, rollout=rollout, canary_gate=gate, enrich=ab(world, wrong))
    begun, splits, ends = world.clock.now(), set[tuple[tuple[str, int], ...]](), list[str]()
    while not ends or ends[-1] == "waiting":
        ended = world.deploy(plan)
        ends.append(ended.outcome)
        if ended.outcome == "waiting":
            splits.add(tuple(sorted(world.endpoint.observe().traffic.items())))
            assert world.reconcile().outcome == "waiting", "nobody takes it away meanwhile"
            world.clock.sleep(6 * 3600.0)
    days = (world.clock.now() - begun) / DAY
    print(
        f"\nwrong answers {wrong:g} against 0.1: {outcome} after {days:.1f} days and {len(ends)} runs; {ended.reason}"
    )
    assert ends[-1] == outcome, ended
    assert splits == {tuple(sorted({world.blue: 50, GREEN: 50}.items()))}
    assert days >= 7.0 if outcome == "passed" else 1.0 < days < 7.0
    assert world.is_done() if outcome == "passed" else world.is_snapshot()


def test_mirroring_does_not_wait_for_labels_of_answers_that_nobody_got() -> None:
    world = World(rps=20, seed=1)
    rollout = replace(QUICK, mirror=20, step_timeout=600.0)
    policy = policies.load(AB, Path("policy.yml"), today=date(2026, 1, 1))
    judging = Judging(policy, "deploy-blue-green", lambda: date(2026, 1, 1), {"digest": ""})
    ended = world.deploy(plan_for(2, rollout=rollout, canary_gate=judging.gate("canary"), enrich=ab(world, 0.1)))
    assert (ended.outcome, ended.state) == ("waiting", "CANARY_1"), "the labels are waited for where there can be some"
    assert ended.timings["MIRRORING"] < 600


def test_labels_that_cannot_be_read_are_an_error_and_never_a_pass() -> None:
    world = World(rps=2)

    def unreadable(evidence: Evidence) -> Evidence:
        del evidence
        raise Unavailable("the file of outcomes is not a readable CSV file")

    ended = world.deploy(plan_for(2, enrich=unreadable, rollout=replace(QUICK, step_timeout=60.0)))
    assert (ended.outcome, world.is_snapshot()) == ("rolled-back", True)
    assert "the evidence could not be had" in ended.reason


def test_a_hang_is_noticed_within_the_time_to_answer() -> None:
    world = World(rps=2)
    world.clock.at(world.clock.now() + 36.0, lambda: world.endpoint.behave(GREEN, hangs=True))
    ended = world.deploy(plan_for(2, rollout=replace(QUICK, answer_timeout=8.0)))
    assert ended.outcome == "rolled-back"
    said = next(ts for ts, state, _ in ended.events if state == "ROLLING_BACK")
    assert said - (1_700_000_000.0 + 36.0) < 8.0 + QUICK.poll + 1
    assert Behaviour().hangs is False
