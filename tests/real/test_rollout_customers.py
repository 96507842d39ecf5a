"""What customers see of rollouts on the real local endpoint, judged by the real checks: eight ask without a pause.

Through full rollouts, automatic rollbacks and a green that is killed no request fails but those that the broken green
itself was given; and a green that turns sick in any way is rolled back within seconds of its first bad answer.
"""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rollout_load import Load
from rollout_room import Room, room_in

from gates import policy as policies
from gates.backends.local.endpoint import client
from gates.rollout.plan import Rollout
from gates.steps.canary import Judging

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gates.rollout.ends import Ended
    from gates.rollout.plan import Analyse
    from gates.serving import RequestEvent

POLICY = b"""\
version: 1
name: customers
stages:
  validate:
    checks: [{id: a, type: threshold, metric: accuracy, min: 0.5}]
  canary:
    checks:
      - {id: errors, type: rate_ratio, signal: http_5xx, max_ratio: 3, negligible: 0.03}
      - {id: slow, type: latency_quantile, signal: latency_ms, q: 0.9, max_ms: MAX, min_samples: 60}
"""
PACE = Rollout(steps=(10, 50, 100), interval=0.5, bake=0.5, keep_old=3600.0, poll=0.1, answer_timeout=4.0)
SETTINGS = {"request_settings": {"request_timeout_ms": 1500, "max_concurrent_requests_per_instance": 8}}
REQUESTS = 20_000


def canary(max_ms: float = 1400.0) -> Analyse:
    """The policy's canary stage, as the step gives it to the machine. A busy machine is slow, so the limit is wide."""
    policy = policies.load(POLICY.replace(b"MAX", str(max_ms).encode()), Path("policy.yml"), today=date(2026, 1, 1))
    gate = Judging(policy, "deploy-blue-green", lambda: date(2026, 1, 1), {"digest": ""}).gate("canary")
    assert gate is not None
    return gate


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, environments: Path) -> Iterator[Room]:
    with room_in(tmp_path_factory.mktemp("customers") / "room", environments, **SETTINGS) as made:
        yield made


@contextmanager
def once_it_serves(room: Room, version: str, do: Any) -> Iterator[None]:
    """`do()` as soon as a version has traffic; seen from beside the rollout."""
    endpoint, name, over = room.endpoint(), room.name(version), threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            if endpoint.observe().traffic.get(name):
                over.wait(0.2)
                do()
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def kill(room: Room, version: str) -> None:
    """kill -9 of a model server."""
    status = client.status(room.folder / "state", "credit")
    assert status is not None
    os.kill(next(d["pid"] for d in status["deployments"] if d["name"] == room.name(version)), signal.SIGKILL)


def sick(room: Room, how: dict[str, Any], *, max_ms: float = 1400.0, also: dict[str, Any] | None = None) -> Ended:
    """Deploy v3, which is well until it has traffic."""
    room.behave({**(also or {})})
    with once_it_serves(room, "v3", lambda: room.behave({"v3": how, **(also or {})})):
        ended = room.deploy("v3", rollout=replace(PACE, interval=60.0), canary_gate=canary(max_ms))
    room.behave({})
    return ended


@pytest.mark.timeout(900)
def test_no_request_fails_but_the_broken_greens_own(room: Room) -> None:
    cursor = room.endpoint().requests_since(0)[1]
    with Load(room) as load:
        assert room.deploy("v2", rollout=PACE, canary_gate=canary()).outcome == "passed"
        full = len(load.given)
        ended = sick(room, {"errors": 0.3})
        assert ended.outcome == "rolled-back", ended
        broken = len(load.given)
        with once_it_serves(room, "v3", lambda: kill(room, "v3")):
            ended = room.deploy("v3", rollout=replace(PACE, interval=60.0), canary_gate=canary())
        assert ended.outcome == "rolled-back", ended
        killed = len(load.given)
        new = "v1"
        while len(load.given) < REQUESTS:
            assert room.deploy(new, rollout=PACE, canary_gate=canary()).outcome == "passed"
            new = "v2" if new == "v1" else "v1"
    events = [e for e in room.endpoint().requests_since(cursor)[0] if not e.pinned]
    green = room.name("v3")
    failed = [one for one in load.given if not one.right]
    assert [one for one in failed if one.served_by != green] == [], "only the broken green fails"
    assert all(one.status != 200 for one in failed), "no answer is from another version than it says"
    assert 0 < len(failed) <= sum(e.deployment == green for e in events)
    for some, versions in (
        (load.given[:full], {"v1", "v2"}),
        (load.given[full:killed], {"v2", "v3"}),
        (load.given[killed:], {"v1", "v2"}),
    ):
        assert {one.version for one in some if one.right} <= versions
    first = {one.version for one in load.given[:full] if one.right}
    assert first == {"v1", "v2"}
    print(
        f"\n{len(load.given)} requests on 8 connections: {full} through a rollout, {broken - full} through a rollback, "
        f"{killed - broken} through a killed green; {len(failed)} failed, all given to the broken green"
    )
    assert len(load.given) >= REQUESTS
    assert len(events) >= len(load.given) - 8
    hold_the_split(events, room.name("v2"))


def hold_the_split(events: list[RequestEvent], other: str) -> None:
    """Where traffic was split, the smaller side's requests lie in the 99 % binomial interval; of halves `other`'s."""
    counts: dict[int, list[int]] = {}
    for event in events:
        if not 0 < event.share < 1:
            continue
        low = min(event.share, 1 - event.share)
        seen = counts.setdefault(round(100 * low), [0, 0])
        seen[0] += event.deployment == other if low == 0.5 else event.share == low
        seen[1] += 1
    assert set(counts) == {10, 50}
    for percent, (count, n) in counts.items():
        share = percent / 100
        assert n >= 100
        assert math.fabs(count - n * share) <= 2.576 * math.sqrt(n * share * (1 - share)), (percent, count, n)
    print("split:", ", ".join(f"{count} of {n} at {percent} %" for percent, (count, n) in counts.items()))


KINDS: dict[str, tuple[dict[str, Any], str, float, dict[str, Any]]] = {
    "errors 10 %": ({"errors": 0.1}, "errors", 1400.0, {}),
    "latency doubled": ({"ms": 200}, "slow", 150.0, {"v1": {"ms": 100}, "v2": {"ms": 100}}),
    "wrong answers": ({"wrong": 1}, "differently from what was gated", 1400.0, {}),
    "hangs": ({"hangs": True}, "does not answer a golden row", 1400.0, {}),
    "dies": ({"dies": True}, "its log ends", 1400.0, {}),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.timeout(300)
def test_a_green_that_turns_sick_is_rolled_back_in_seconds(room: Room, kind: str) -> None:
    how, why, max_ms, also = KINDS[kind]
    before = dict(room.endpoint().observe().traffic)
    with Load(room, pause=0.005) as load:
        ended = sick(room, how, max_ms=max_ms, also=also)
        restored = time.time()
    assert ended.outcome == "rolled-back", ended
    assert why in ended.reason, ended
    view = room.endpoint().observe()
    assert (dict(view.traffic), room.name("v3") in view.deployments) == (before, False)
    mine = [one for one in load.given if one.served_by == room.name("v3")]
    bad = [one.at for one in mine if not one.right or one.seconds > max_ms / 1000]
    assert [one for one in load.given if not one.right and one.served_by != room.name("v3")] == []
    assert bad
    first = min(bad)
    print(
        f"\n{kind}: {len(mine)} requests reached green, {len(bad)} badly answered; last of them "
        f"{max(one.at for one in mine) - first:.1f} s after the first bad one, all over after "
        f"{restored - first:.1f} s; {ended.reason[:110]}"
    )
    assert ended.timings["rollback"] < 60
