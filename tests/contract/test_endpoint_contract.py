"""One suite over every endpoint: what the blue-green machine relies on.

`ENDPOINTS` maps a name to a factory of rooms, the real local endpoint (with echo servers) among them.
`settle` lets the service finish what it accepted (simulated time for the fake, real time for a real one).
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fake_endpoint import FakeEndpoint, SimClock
from rollout_world import BODIES, spec

from gates.backends.local.endpoint import client
from gates.errors import Conflict, InvalidInput
from gates.lineage.digest import model_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from gates.rollout.port import Clock, Endpoint
    from gates.serving import DeploymentSpec


@dataclass
class Room:
    """An endpoint that does not exist yet, two specs that can be deployed on it, and time."""

    endpoint: Endpoint
    clock: Clock
    blue: DeploymentSpec
    green: DeploymentSpec
    body: bytes

    def settle(self) -> None:
        for _ in range(600):
            view = self.endpoint.observe()
            busy = any(d.state in ("creating", "updating", "deleting") for d in view.deployments.values())
            if not view.updating and not busy:
                return
            self.clock.sleep(1.0)
        raise AssertionError("the endpoint did not settle")

    def up(self, *specs: DeploymentSpec) -> int:
        epoch = self.endpoint.acquire("a", seconds=60, now=self.clock.now()).epoch
        self.endpoint.create_endpoint({"name": self.endpoint.name}, epoch=epoch)
        for one in specs:
            self.endpoint.create(one, epoch=epoch)
        self.settle()
        return epoch

    def write(self, epoch: int, traffic: dict[str, int], **more: dict[str, str] | dict[str, int]) -> None:
        parts: dict[str, dict[str, int] | dict[str, str]] = {"mirror": {}, "tags": {}, **more}
        self.endpoint.write(traffic=traffic, epoch=epoch, **parts)  # type: ignore[arg-type]  # mirror and tags by name
        self.settle()


ECHO = """
import os
def init(): pass
def run(raw): return {"version": os.environ["VERSION"]}
"""


class RealClock:
    """Real time; a second of waiting is a twentieth, since only what the endpoint does is waited for."""

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds / 20)


@contextmanager
def fake(folder: Path, cache: Path) -> Iterator[Room]:
    del folder, cache
    clock = SimClock()
    yield Room(FakeEndpoint(clock, propagation_seconds=0.0), clock, spec(1), spec(2), BODIES[0])


@contextmanager
def local(folder: Path, cache: Path) -> Iterator[Room]:
    code, model = folder / "code", folder / "model"
    for made in (code, model):
        made.mkdir()
    (code / "score.py").write_text(ECHO)
    (model / "weights").write_text("1")
    specs = []
    for number in (1, 2):
        one = spec(number)
        body = {
            "code_configuration": {"code": str(code), "scoring_script": "score.py"},
            "environment_variables": {"VERSION": one.name},
        }
        specs.append(replace(one, model=str(model), model_digest=model_digest(model), body=body))
    state = folder / "state"
    endpoint = client.connect(state, "credit", env=dict(os.environ), python=Path(sys.executable), cache=cache)
    try:
        yield Room(endpoint, RealClock(), specs[0], specs[1], b"{}")
    finally:
        client.stop(state, "credit")


ENDPOINTS: dict[str, Callable[[Path, Path], AbstractContextManager[Room]]] = {"fake": fake, "local": local}


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Environments of model servers, made once."""
    return tmp_path_factory.mktemp("environments")


@pytest.fixture(params=list(ENDPOINTS))
def room(request: pytest.FixtureRequest, tmp_path: Path, cache: Path) -> Iterator[Room]:
    with ENDPOINTS[request.param](tmp_path, cache) as made:
        yield made


def test_what_is_not_there_is_observed_as_absent_and_made_once(room: Room) -> None:
    assert room.endpoint.observe().exists is False
    epoch = room.up(room.blue)
    room.endpoint.create_endpoint({}, epoch=epoch)
    room.endpoint.create(room.blue, epoch=epoch)
    room.settle()
    view = room.endpoint.observe()
    assert view.exists
    assert (view.deployments[room.blue.name].state, view.traffic) == ("ready", {})
    assert view.deployments[room.blue.name].spec_digest == room.blue.spec_digest


def test_traffic_mirror_and_tags_are_one_write_and_foreign_tags_stay(room: Room) -> None:
    epoch = room.up(room.blue, room.green)
    room.write(epoch, {room.blue.name: 100}, tags={"team": "risk"})
    room.write(epoch, {room.blue.name: 100}, mirror={room.green.name: 20}, tags={"gates.state": "MIRRORING"})
    view = room.endpoint.observe()
    assert (dict(view.traffic), dict(view.mirror)) == ({room.blue.name: 100}, {room.green.name: 20})
    assert (view.tags["team"], view.tags["gates.state"]) == ("risk", "MIRRORING")


def test_bad_traffic_is_refused_and_changes_nothing(room: Room) -> None:
    epoch = room.up(room.blue, room.green)
    room.write(epoch, {room.blue.name: 100})
    blue, green = room.blue.name, room.green.name
    bad: list[tuple[dict[str, int], dict[str, int]]] = [
        ({blue: 60}, {}), ({blue: 120, green: -20}, {}), ({"nobody": 100}, {}), ({blue: 100}, {green: 51}),
        ({blue: 50, green: 50}, {green: 10}),
    ]  # fmt: skip
    for traffic, mirror in bad:
        with pytest.raises((InvalidInput, Conflict)):
            room.write(epoch, traffic, mirror=mirror)
    assert dict(room.endpoint.observe().traffic) == {blue: 100}


def test_a_deployment_with_traffic_is_never_deleted_and_twice_is_once(room: Room) -> None:
    epoch = room.up(room.blue, room.green)
    room.write(epoch, {room.blue.name: 100})
    with pytest.raises(Conflict):
        room.endpoint.delete(room.blue.name, epoch=epoch)
    for _ in range(2):
        room.endpoint.delete(room.green.name, epoch=epoch)
        room.settle()
    assert set(room.endpoint.observe().deployments) == {room.blue.name}


def test_a_pinned_request_is_answered_by_whom_it_named_and_is_marked(room: Room) -> None:
    epoch = room.up(room.blue, room.green)
    room.write(epoch, {room.blue.name: 100})
    _, cursor = room.endpoint.requests_since(0)
    pinned = room.endpoint.ask(room.body, deployment=room.green.name)
    plain = room.endpoint.ask(room.body)
    assert [(a.status, a.served_by) for a in (pinned, plain)] == [(200, room.green.name), (200, room.blue.name)]
    events, last = room.endpoint.requests_since(cursor)
    assert [(e.deployment, e.pinned) for e in events] == [(room.green.name, True), (room.blue.name, False)]
    assert room.endpoint.requests_since(last)[0] == []


def test_a_lease_is_exclusive_and_its_epoch_rises_when_it_changes_hands(room: Room) -> None:
    now = room.clock.now()
    first = room.endpoint.acquire("a", seconds=60, now=now)
    with pytest.raises(Conflict):
        room.endpoint.acquire("b", seconds=60, now=now + 59)
    assert room.endpoint.acquire("a", seconds=60, now=now + 61).epoch == first.epoch
    taken = room.endpoint.acquire("b", seconds=60, now=now + 122)
    assert taken.epoch > first.epoch
    with pytest.raises(Conflict):
        room.endpoint.create_endpoint({}, epoch=first.epoch)
    room.endpoint.release(first)
    with pytest.raises(Conflict):
        room.endpoint.acquire("c", seconds=60, now=now + 123)
    room.endpoint.release(taken)
    assert room.endpoint.acquire("c", seconds=60, now=now + 124).epoch > taken.epoch
