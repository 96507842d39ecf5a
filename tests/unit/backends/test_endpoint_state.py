"""The rules of a local endpoint's state."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gates.backends.local.endpoint import state as rules
from gates.backends.local.endpoint.state import Spec, State
from gates.errors import Conflict, GatesError, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAMES = ("blue", "green", "teal")


def two(**more: object) -> State:
    specs = {name: Spec(name, f"s-{name}", "m", "sha256:0") for name in ("blue", "green")}
    return msgspec.structs.replace(State("credit", created=True, deployments=specs, traffic={"blue": 100}), **more)


def put(state: State, traffic: dict[str, int], mirror: dict[str, int] | None = None, **more: object) -> State:
    given = {"tags": {}, "epoch": 0, "ready": frozenset(NAMES), **more}
    return rules.write(state, traffic=traffic, mirror=mirror or {}, **given)  # type: ignore[arg-type]  # keywords of a test


@pytest.mark.parametrize(
    ("traffic", "mirror", "message"),
    [
        ({"blue": 99}, {}, "sums to 99"),
        ({"blue": 60, "green": 60}, {}, "sums to 120"),
        ({}, {}, "sums to 0"),
        ({"blue": 110, "green": -10}, {}, "whole number"),
        ({"blue": 99.5, "green": 0.5}, {}, "whole number"),
        ({"blue": True, "green": 99}, {}, "whole number"),
        ({"blue": float("nan")}, {}, "whole number"),
        ({"blue": 100}, {"green": 51}, "at most 50"),
        ({"blue": 100}, {"blue": 10}, "live traffic and the mirror"),
        ({"blue": 100}, {"green": 10, "teal": 10}, "one deployment"),
        ({"teal": 100}, {}, "no deployment teal"),
    ],
)
def test_wrong_shares_are_refused(traffic: dict[str, int], mirror: dict[str, int], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        put(two(), traffic, mirror)


def test_traffic_may_be_nothing_only_before_the_first() -> None:
    assert put(two(traffic={}), {}).traffic == {}


def test_only_a_ready_deployment_gets_more_than_it_has() -> None:
    with pytest.raises(Conflict, match="green is not ready"):
        put(two(), {"blue": 50, "green": 50}, ready=frozenset({"blue"}))
    with pytest.raises(Conflict, match="green is not ready"):
        put(two(), {"blue": 100}, {"green": 5}, ready=frozenset({"blue"}))
    sick = two(traffic={"blue": 50, "green": 50})
    assert put(sick, {"blue": 100}, ready=frozenset({"blue"})).traffic == {"blue": 100}


def test_tags_given_replace_theirs_and_others_stay() -> None:
    state = put(two(tags={"team": "risk", "gates.id": "1"}), {"blue": 100}, tags={"gates.id": "2"})
    assert state.tags == {"team": "risk", "gates.id": "2"}
    with pytest.raises(InvalidInput, match="longer than 256"):
        put(two(), {"blue": 100}, tags={"gates.id": "x" * 257})


def test_a_later_epoch_fences_off_every_mutation() -> None:
    state = put(two(), {"blue": 100}, epoch=5)
    assert state.epoch == 5
    spec = Spec("teal", "s", "m", "d")
    attempts: list[Callable[[], State]] = [
        lambda: put(state, {"green": 100}, epoch=4),
        lambda: rules.create(state, spec, epoch=4),
        lambda: rules.delete(state, "green", epoch=4),
        lambda: rules.create_endpoint(state, {}, epoch=4),
    ]
    for attempt in attempts:
        with pytest.raises(Conflict, match="fenced off"):
            attempt()


def test_create_is_idempotent_and_refuses_another_spec() -> None:
    state = two()
    assert rules.create(state, state.deployments["blue"], epoch=0) is not None
    assert rules.create(state, state.deployments["blue"], epoch=0) == state
    with pytest.raises(Conflict, match="exists with spec"):
        rules.create(state, Spec("blue", "another", "m", "d"), epoch=0)
    with pytest.raises(Conflict, match="does not exist"):
        rules.create(State("credit"), Spec("blue", "s", "m", "d"), epoch=0)
    for name in ("1blue", "b", "blue_1", "x" * 33, "../up", "blue-"):
        with pytest.raises(InvalidInput, match="not allowed"):
            rules.create(state, Spec(name, "s", "m", "d"), epoch=0)


def test_what_has_traffic_or_mirror_is_not_deleted() -> None:
    with pytest.raises(Conflict, match="has traffic"):
        rules.delete(two(), "blue", epoch=0)
    with pytest.raises(Conflict, match="has traffic"):
        rules.delete(two(mirror={"green": 5}), "green", epoch=0)
    assert set(rules.delete(two(), "green", epoch=0).deployments) == {"blue"}
    assert rules.delete(two(), "gone", epoch=0) == two()


def test_a_lease_is_renewed_late_but_never_shared() -> None:
    first = rules.acquire(two(), "one", seconds=10, now=100.0)
    assert first.lease is not None
    assert (first.epoch, first.lease.epoch) == (1, 1)
    with pytest.raises(Conflict, match="held by one for another 5 s"):
        rules.acquire(first, "two", seconds=10, now=105.0)
    late = rules.acquire(first, "one", seconds=10, now=200.0)
    assert late.epoch == 1
    taken = rules.acquire(late, "two", seconds=10, now=211.0)
    assert taken.epoch == 2
    assert rules.release(taken, "one", 1) == taken
    free = rules.release(taken, "two", 2)
    assert free.lease is None
    assert rules.acquire(free, "two", seconds=1, now=212.0).epoch == 3


def test_state_on_disk_is_read_back_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    state = rules.acquire(put(two(), {"blue": 90, "green": 10}, tags={"a": "b"}), "one", seconds=1, now=5.5)
    path.write_bytes(rules.dump(state))
    assert rules.load(path, "credit") == state
    assert rules.load(tmp_path / "none.json", "credit") == State("credit")
    with pytest.raises(InvalidInput, match="belongs to endpoint credit"):
        rules.load(path, "other")
    path.write_bytes(rules.dump(state)[:-20])
    with pytest.raises(InvalidInput, match="damaged"):
        rules.load(path, "credit")


SHARES = st.dictionaries(st.sampled_from(NAMES), st.sampled_from([0, 5, 10, 50, 60, 90, 95, 100, 120, -5]))
STEPS = st.one_of(
    st.tuples(st.just("create"), st.sampled_from(NAMES), st.integers(0, 3)),
    st.tuples(st.just("delete"), st.sampled_from(NAMES), st.integers(0, 3)),
    st.tuples(st.just("write"), st.tuples(SHARES, SHARES, st.frozensets(st.sampled_from(NAMES))), st.integers(0, 3)),
)


@given(st.lists(STEPS, max_size=25))
def test_no_sequence_of_requests_breaks_an_invariant(steps: list[tuple[str, object, int]]) -> None:
    state = State("credit", created=True)
    for kind, what, epoch in steps:
        before = state
        try:
            if kind == "create":
                state = rules.create(state, Spec(str(what), "s", "m", "d"), epoch=epoch)
            elif kind == "delete":
                state = rules.delete(state, str(what), epoch=epoch)
            else:
                traffic, mirror, ready = cast("tuple[dict[str, int], dict[str, int], frozenset[str]]", what)
                state = rules.write(state, traffic=traffic, mirror=mirror, tags={}, epoch=epoch, ready=ready)
        except GatesError:
            assert state is before
        assert sum(state.traffic.values()) == 100 or (not state.traffic and not before.traffic)
        assert len(state.mirror) <= 1
        assert all(0 < share <= 50 for share in state.mirror.values())
        assert not set(state.mirror) & set(state.traffic)
        assert {*state.traffic, *state.mirror} <= set(state.deployments)
        assert state.epoch >= before.epoch
