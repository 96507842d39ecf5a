"""A Hypothesis machine over the fake endpoint: any order of deployments, deaths, illnesses, rollbacks and waiting.

The endpoint asserts its invariants at every change; after each rule a resume must come to a known end.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from rollout_world import World, plan_for, spec

from gates.rollout.journal import fold

KINDS = st.sampled_from(["kill-before", "kill-after", "timeout", "500", "hang"])
STEPS = {"taken": 0}


class Rollouts(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World(rps=1.0)
        self.edited = False

    @rule(version=st.integers(1, 4), point=st.integers(1, 130), fault=KINDS, supersede=st.booleans())
    def deploy(self, version: int, point: int, fault: str, supersede: bool) -> None:
        STEPS["taken"] += 1
        from fake_endpoint import Killed

        try:
            self.world.deploy(plan_for(version), {point: fault}, supersede=supersede)
        except Killed:
            self.world.clock.sleep(61)

    @rule(point=st.integers(1, 40), fault=KINDS)
    def reconcile_and_die(self, point: int, fault: str) -> None:
        STEPS["taken"] += 1
        from fake_endpoint import Killed

        try:
            self.world.reconcile(None, {point: fault})
        except Killed:
            self.world.clock.sleep(61)

    @rule()
    def reconcile(self) -> None:
        STEPS["taken"] += 1
        ended = self.world.reconcile()
        assert ended.outcome in ("passed", "rolled-back", "error", "unknown"), ended
        if ended.outcome in ("passed", "rolled-back", "error"):
            before = self.world.fingerprint()
            self.world.reconcile()
            assert self.world.fingerprint()[0] == before[0], "reconciling twice is reconciling once"

    @rule(seconds=st.sampled_from([1.0, 30.0, 61.0, 3700.0]))
    def wait(self, seconds: float) -> None:
        STEPS["taken"] += 1
        self.world.clock.sleep(seconds)

    @rule(version=st.integers(1, 4), after=st.sampled_from([5.0, 30.0, 45.0, 60.0]), error=st.sampled_from([0.4, 0.0]))
    def turn_sick_later(self, version: int, after: float, error: float) -> None:
        STEPS["taken"] += 1
        name = spec(version).name
        self.world.clock.at(
            self.world.clock.now() + after, lambda: self.world.endpoint.behave(name, error_rate=error, ms=40.0)
        )

    @precondition(lambda self: self.world.ended_in() != "")
    @rule()
    def roll_back(self) -> None:
        STEPS["taken"] += 1
        ended = self.world.rollback()
        assert ended.outcome in ("rolled-back", "invalid", "unknown"), ended

    @invariant()
    def the_endpoint_is_within_its_rules(self) -> None:
        view = self.world.endpoint.observe()
        self.world.endpoint.check()
        assert sum(view.traffic.values()) == 100

    @invariant()
    def the_champion_is_one_that_serves_once_all_is_at_rest(self) -> None:
        last = fold(self.world.journal.read()).last
        if last is not None and last.reached in ("SUCCEEDED", "ROLLED_BACK"):
            live = self.world.endpoint.observe().traffic
            assert live == {spec(int(self.world.champion.version or 0)).name: 100}


def test_any_order_of_rollouts_deaths_and_illnesses_keeps_the_invariants() -> None:
    from hypothesis.stateful import run_state_machine_as_test

    STEPS["taken"] = 0
    run_state_machine_as_test(
        Rollouts,
        settings=settings(
            max_examples=110, stateful_step_count=25, deadline=None, derandomize=True, database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
    print(f"\n{STEPS['taken']} steps")
    assert STEPS["taken"] >= 2000
