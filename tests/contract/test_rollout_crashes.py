"""Every death of the runner ends well: killed at each numbered point, the next run ends in SUCCEEDED or the snapshot.

Points are all calls of a runner: every journal record, every call of the endpoint and of the registry; it dies before,
after, or is told of a time-out although the call took effect. The counts are printed (`pytest -s`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fake_endpoint import Behaviour
from rollout_world import QUICK, World, plan_for

from gates.rollout.plan import Rollout

if TYPE_CHECKING:
    from collections.abc import Callable

MIRRORED = Rollout(steps=(50, 100), interval=10.0, mirror=20, bake=10.0, keep_old=60.0, poll=5.0)


def healthy() -> World:
    return World(rps=2.0)


def bare() -> World:
    return World(rps=2.0, bare=True)


def sick() -> World:
    """Green is created well and breaks in the second canary step."""
    world = World(rps=2.0)
    start = world.clock.now()

    def die() -> None:
        for name in green_of(world):
            world.endpoint.behave(name, dead=True)

    world.clock.at(start + 47, die)
    return world


def green_of(world: World) -> list[str]:
    return [name for name in world.endpoint.deployments if name != world.blue]


WORLDS: dict[str, tuple[Callable[[], World], Rollout]] = {
    "healthy": (healthy, QUICK),
    "bootstrap": (bare, QUICK),
    "mirrored": (healthy, MIRRORED),
    "sick": (sick, QUICK),
}


def points_of(make: Callable[[], World], rollout: Rollout) -> int:
    world = make()
    world.deploy(plan_for(2, rollout=rollout))
    return len(world.points.names)


@pytest.mark.parametrize("name", WORLDS)
def test_a_runner_killed_at_any_point_is_finished_or_undone_by_the_next(name: str) -> None:
    make, rollout = WORLDS[name]
    count = points_of(make, rollout)
    ends: dict[str, int] = {}
    for fault in ("kill-before", "kill-after"):
        for point in range(1, count + 1):
            world = make()
            plan = plan_for(2, rollout=rollout)
            died = world.killed(plan, {point: fault}) is None
            assert died, f"{fault} at point {point} did not happen"
            where = f"{fault} at {point} ({world.points.names[-1]})"
            second = world.deploy(plan)
            assert second.outcome in ("passed", "rolled-back"), (where, second.outcome, second.reason)
            assert_end(world, where)
            before = (world.fingerprint(), len(world.journal.records))
            for _ in range(2):
                again = world.reconcile(plan)
                assert again.outcome == "passed", (where, again)
            assert (world.fingerprint(), len(world.journal.records)) == before, where
            ends[world.ended_in()] = ends.get(world.ended_in(), 0) + 1
    print(f"\n{name}: {2 * count} deaths at {count} points, then: {ends}")
    assert 2 * count >= 60
    assert set(ends) <= {"SUCCEEDED", "ROLLED_BACK"}


@pytest.mark.parametrize("name", ["healthy", "sick"])
def test_reconcile_without_the_plan_restores_the_snapshot(name: str) -> None:
    make, rollout = WORLDS[name]
    for point in range(1, points_of(make, rollout) + 1):
        world = make()
        world.killed(plan_for(2, rollout=rollout), {point: "kill-after"})
        ended = world.reconcile()
        assert ended.outcome in ("passed", "rolled-back", "error"), (point, ended.outcome, ended.reason)
        assert world.is_snapshot() or world.ended_in() == "SUCCEEDED", (point, world.points.names[-1], ended)


@pytest.mark.parametrize("fault", ["timeout", "409", "429", "500", "hang"])
def test_a_fault_at_any_point_is_only_a_delay(fault: str) -> None:
    """One run, no death, green is well: one fault anywhere is a delay. 409 is for mutations only."""
    first = healthy()
    first.deploy(plan_for(2))
    names = first.points.names
    count = len(names)
    outcomes: dict[str, int] = {}
    for point in range(1, count + 1):
        world = healthy()
        plan = plan_for(2)
        name = names[point - 1]
        if fault == "409" and name not in ("create", "write", "delete", "create_endpoint"):
            continue
        ended = world.deploy(plan, {point: fault})
        outcomes[ended.outcome] = outcomes.get(ended.outcome, 0) + 1
        assert ended.outcome == "passed", (point, name, ended)
        world.clock.sleep(plan.rollout.lease + 1)
        assert_end(world, f"{fault} at {point} ({name})")
    print(f"\n{fault}: {sum(outcomes.values())} faults: {outcomes}")
    assert outcomes["passed"] >= 5


def test_a_second_death_while_rolling_back_is_like_the_first() -> None:
    plan = plan_for(2)
    deaths = 0
    for point in range(1, 60):
        world = sick()
        world.killed(plan, {70: "kill-after"})
        world.endpoint.behave(green_of(world)[0], dead=True)
        if world.killed(plan, {point: "kill-after"}) is not None:
            break
        deaths += 1
        ended = world.deploy(plan)
        assert ended.outcome in ("passed", "rolled-back"), (point, ended)
        assert_end(world, f"second death at {point}")
    assert deaths >= 10


def assert_end(world: World, where: str) -> None:
    if world.ended_in() == "SUCCEEDED":
        assert world.is_done(), (where, world.fingerprint())
        assert [r["after"]["champion"] for r in world.journal.records if "champion" in r["after"]][-1] == "2"
    else:
        assert world.ended_in() == "ROLLED_BACK", (where, world.ended_in())
        assert world.is_snapshot(), (where, world.fingerprint())
    lease = world.endpoint.lease
    assert lease is None or lease.expires <= world.clock.now(), where


def test_the_sick_world_is_sick() -> None:
    world = sick()
    ended = world.deploy(plan_for(2))
    assert (ended.outcome, ended.state, world.is_snapshot()) == ("rolled-back", "ROLLED_BACK", True), ended
    assert Behaviour().dead is False
