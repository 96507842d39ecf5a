"""Who had lost the lease is not believed and does not go on; plain values of routing and golden rows."""

from __future__ import annotations

import pytest
from rollout_world import World, plan_for

from gates.errors import Conflict
from gates.rollout.golden import differs
from gates.rollout.journal import fold
from gates.rollout.plan import green_name
from gates.rollout.routing import split
from gates.rollout.run import Run


def test_a_record_of_an_epoch_that_is_over_is_not_believed() -> None:
    world = World()
    world.deploy(plan_for(2))
    records = world.journal.read()
    stale = {**records[-1], "seq": len(records), "epoch": 0, "state": "ROLLING_BACK", "kind": "intent"}
    assert fold([*records, stale]) == fold(records) or fold([*records, stale]).last == fold(records).last


def test_an_owner_whose_lease_went_to_another_and_came_free_again_stops() -> None:
    world = World()
    ports = world.ports()
    run = Run(**ports, rollout=plan_for(2).rollout)
    run.take()
    world.clock.sleep(61)
    world.endpoint.release(world.endpoint.acquire("other", seconds=60, now=world.clock.now()))
    with pytest.raises(Conflict, match="went to another runner"):
        run.renew()


def test_splits_are_whole_percents_that_sum_to_100_and_names_fit() -> None:
    for percent in range(1, 101):
        assert sum(split({"a": 33, "b": 33, "c": 34}, "g", percent).values()) == 100
    assert split({"a": 100}, "g", 5) == {"g": 5, "a": 95}
    assert len(green_name("a" * 40, "sha256:" + "0" * 64)) == 32


def test_an_answer_is_the_gated_one_or_says_why_not() -> None:
    assert differs(b"[0.1]", [0.1000001], atol=1e-6) == ""
    for body in (b"[0.2]", b"[NaN]", b"{}", b"[0.1, 0.1]", b"no", b"[true]"):
        assert differs(body, [0.1], atol=1e-6), body
