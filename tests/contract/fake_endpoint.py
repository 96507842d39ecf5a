"""An online endpoint in memory that enforces the service's rules; its clock, journal, and what breaks it.

It is held to the same contract suite as the real ones (test_endpoint_contract.py). Mutations take simulated time, a
write during a write is refused as busy, and at every change the invariants of the design are asserted.
"""

from __future__ import annotations

import heapq
import json
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from gates.errors import Conflict, InvalidInput, Unavailable
from gates.serving import Answer, DeploymentSpec, DeploymentView, EndpointView, Lease, RequestEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gates.rollout.port import Champion, Endpoint

T = TypeVar("T")


class Killed(BaseException):
    """kill -9: nothing in the runner may catch this."""


class SimClock:
    """Simulated seconds. `at` schedules what happens while somebody sleeps, in order of time."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self.time = start
        self.due: list[tuple[float, int, Callable[[], None]]] = []
        self.number = 0

    def now(self) -> float:
        return self.time

    def at(self, when: float, what: Callable[[], None]) -> None:
        self.number += 1
        heapq.heappush(self.due, (when, self.number, what))

    def sleep(self, seconds: float) -> None:
        until = self.time + seconds
        while self.due and self.due[0][0] <= until:
            when, _, what = heapq.heappop(self.due)
            self.time = max(self.time, when)
            what()
        self.time = max(self.time, until)


@dataclass(frozen=True)
class Behaviour:
    """How a deployment answers. ms: median latency, log-normal with sigma 0.3."""

    error_rate: float = 0.0
    ms: float = 40.0
    wrong: bool = False
    dead: bool = False
    hangs: bool = False
    created: bool = True


@dataclass
class _Deployment:
    spec: DeploymentSpec
    state: str
    until: float


@dataclass
class _Write:
    until: float
    traffic: dict[str, int]
    mirror: dict[str, int]
    tags: dict[str, str]


def model_answer(model_digest: str, body: bytes, *, wrong: bool = False) -> list[float]:
    """What the model of a digest answers: a number that depends on both."""
    seed = random.Random(f"{model_digest}|{body.decode()}")
    return [round(seed.random(), 6) + (1.0 if wrong else 0.0)]


@dataclass
class FakeEndpoint:
    """`rps`: live requests a second while time passes. Seconds are how long the service takes for each operation."""

    clock: SimClock
    label: str = "credit"
    rps: float = 0.0
    seed: int = 0
    write_seconds: float = 3.0
    create_seconds: float = 20.0
    delete_seconds: float = 5.0
    propagation_seconds: float = 1.0
    exists: bool = False
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    on_create: Callable[[DeploymentSpec], Behaviour] = lambda spec: Behaviour()
    traffic: dict[str, int] = field(default_factory=dict)
    mirror: dict[str, int] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    deployments: dict[str, _Deployment] = field(default_factory=dict)
    pending: _Write | None = None
    events: list[RequestEvent] = field(default_factory=list)
    history: list[tuple[float, dict[str, int], dict[str, int]]] = field(default_factory=list)
    highest: int = 0
    lease: Lease | None = None
    lost_writes: int = 0
    unhealthy_at_gain: list[str] = field(default_factory=list)
    creations: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.routed: dict[str, int] = dict(self.traffic)
        self.routed_from = 0.0
        self.seen = self.clock.now()
        self.owed = 0.0
        self.had_blue = False

    @property
    def name(self) -> str:
        return self.label

    # what the tests do to it

    def seed_blue(self, spec: DeploymentSpec) -> None:
        """An endpoint that serves `spec` already, made by nobody we know."""
        self.exists = self.had_blue = True
        self.deployments[spec.name] = _Deployment(spec, "ready", 0.0)
        self.behaviours.setdefault(spec.name, Behaviour())
        self.traffic, self.routed = {spec.name: 100}, {spec.name: 100}

    def behave(self, name: str, **changes: Any) -> None:
        self._catch_up()
        self.behaviours[name] = replace(self.behaviours.get(name, Behaviour()), **changes)

    def edit_by_hand(self, traffic: Mapping[str, int]) -> None:
        """Somebody in a portal: traffic changes, our tags stay."""
        self._catch_up()
        self.pending = None
        self.traffic = {k: v for k, v in traffic.items() if v}
        self.routed = dict(self.traffic)

    # the port

    def observe(self) -> EndpointView:
        self._catch_up()
        return EndpointView(
            exists=self.exists,
            updating=self.pending is not None,
            url="fake://" + self.label,
            traffic=dict(self.traffic),
            mirror=dict(self.mirror),
            tags=dict(self.tags),
            deployments={name: self._view(name) for name in self.deployments},
        )

    def create_endpoint(self, body: Mapping[str, Any], *, epoch: int) -> None:
        self._fence(epoch)
        self.exists = True

    def create(self, spec: DeploymentSpec, *, epoch: int) -> None:
        self._catch_up()
        self._fence(epoch)
        if not self.exists:
            raise InvalidInput(f"endpoint {self.label} does not exist", hint="create it first")
        present = self.deployments.get(spec.name)
        if present is not None:
            if present.spec.spec_digest != spec.spec_digest or present.state == "deleting":
                raise Conflict(f"deployment {spec.name} exists with another spec")
            return
        self.creations += 1
        self.behaviours[spec.name] = self.on_create(spec)
        self.deployments[spec.name] = _Deployment(spec, "creating", self.clock.now() + self.create_seconds)

    def write(
        self, *, traffic: Mapping[str, int], mirror: Mapping[str, int], tags: Mapping[str, str], epoch: int
    ) -> None:
        self._catch_up()
        self._fence(epoch)
        live = {name: share for name, share in traffic.items() if share}
        copied = {name: share for name, share in mirror.items() if share}
        if self.pending is not None:
            raise Conflict(f"endpoint {self.label} is updating")
        if sum(live.values()) not in (0, 100) or any(share < 0 for share in traffic.values()):
            raise InvalidInput(f"traffic sums to {sum(live.values())}", hint="write percents that sum to 100")
        if len(copied) > 1 or any(not 0 < share <= 50 for share in copied.values()) or set(copied) & set(live):
            raise InvalidInput(f"mirror {copied} is not one deployment without live traffic, at most 50 percent")
        for name in {**live, **copied}:
            if name not in self.deployments or self.deployments[name].state != "ready":
                raise InvalidInput(f"deployment {name} is not ready for traffic")
        for key, value in tags.items():
            if len(value) > 255:
                raise InvalidInput(f"tag {key} is longer than 255 characters")
        self.pending = _Write(self.clock.now() + self.write_seconds, live, copied, dict(tags))
        for name, share in live.items():
            if share > self.traffic.get(name, 0) and self.behaviours[name].dead:
                self.unhealthy_at_gain.append(name)

    def delete(self, name: str, *, epoch: int) -> None:
        self._catch_up()
        self._fence(epoch)
        if name not in self.deployments:
            return
        target = self.pending.traffic if self.pending else {}
        if self.traffic.get(name) or self.mirror.get(name) or target.get(name):
            raise Conflict(f"deployment {name} has traffic")
        if self.deployments[name].state != "deleting":
            self.deployments[name].state = "deleting"
            self.deployments[name].until = self.clock.now() + self.delete_seconds

    def ask(self, body: bytes, *, deployment: str | None = None, timeout: float = 30.0) -> Answer:
        self._catch_up()
        if not self.exists:
            raise Unavailable(f"endpoint {self.label} does not exist")
        name = deployment if deployment is not None else self._choose()
        at = self.deployments.get(name or "")
        if name is None or at is None or at.state in ("creating", "failed"):
            return Answer(404, "", 0.001, b"no such deployment")
        status, ms = self._reply(name, pinned=True)
        if self.behaviours[name].hangs:
            self.clock.sleep(timeout)
        share = self.traffic.get(name, 0) / 100
        self.events.append(RequestEvent(self.clock.now(), name, status, ms, share, pinned=deployment is not None))
        wrong = self.behaviours[name].wrong
        answer = json.dumps(model_answer(at.spec.model_digest, body, wrong=wrong)).encode() if status == 200 else b"no"
        return Answer(status, name if status != 504 else "", ms / 1000, answer)

    def address(self, deployment: str) -> tuple[str, Mapping[str, str]]:
        return self.observe().url, {"azureml-model-deployment": deployment}

    def requests_since(self, cursor: int) -> tuple[Sequence[RequestEvent], int]:
        self._catch_up()
        return self.events[cursor:], len(self.events)

    def logs(self, name: str) -> str:
        return f"the log of {name}\n" if name in self.deployments else ""

    def acquire(self, owner: str, *, seconds: float, now: float) -> Lease:
        held = self.lease
        if held is not None and held.owner != owner and held.expires > now:
            left = held.expires - now
            raise Conflict(f"endpoint {self.label} is held by {held.owner} for {left:.0f} s more")
        same = held is not None and held.owner == owner
        epoch = held.epoch if held is not None and same else self.highest + 1
        self.highest = max(self.highest, epoch)
        self.lease = Lease(owner, epoch, now + seconds)
        return self.lease

    def release(self, lease: Lease) -> None:
        if self.lease is not None and (self.lease.owner, self.lease.epoch) == (lease.owner, lease.epoch):
            self.lease = None

    # inside

    def _fence(self, epoch: int) -> None:
        if epoch < self.highest:
            raise Conflict(f"epoch {epoch} is over, {self.highest} rules")

    def _view(self, name: str) -> DeploymentView:
        at = self.deployments[name]
        healthy = None if at.state != "ready" else not self.behaviours[name].dead
        reason = "image pull failed" if at.state == "failed" else ""
        return DeploymentView(name, at.state, at.spec.spec_digest, at.spec.model_digest, healthy, reason)  # type: ignore[arg-type]  # a str of the literal's values

    def _catch_up(self) -> None:
        now = self.clock.now()
        stops = sorted(
            {*(d.until for d in self.deployments.values()), self.pending.until if self.pending else now, now}
        )
        for stop in stops:
            if self.seen <= stop <= now:
                self._generate(stop)
                self._settle(stop)
        self._generate(now)
        self._settle(now)

    def _settle(self, now: float) -> None:
        if self.pending is not None and self.pending.until <= now:
            write, self.pending = self.pending, None
            if self.lost_writes:
                self.lost_writes -= 1
            else:
                self.traffic, self.mirror = write.traffic, write.mirror
                self.tags = {**self.tags, **write.tags}
                self.routed_from = now + self.propagation_seconds
                self.history.append((now, dict(self.traffic), dict(self.mirror)))
        if self.routed_from <= now:
            self.routed = dict(self.traffic)
        for name, at in list(self.deployments.items()):
            if at.state == "creating" and at.until <= now:
                at.state = "ready" if self.behaviours[name].created else "failed"
            if at.state == "deleting" and at.until <= now:
                del self.deployments[name]
        self.check()

    def check(self) -> None:
        """The invariants at every observable instant."""
        total = sum(self.traffic.values())
        assert total == 100 or (total == 0 and not self.had_blue), f"traffic sums to {total}"
        assert len(self.mirror) <= 1, self.mirror
        assert all(0 < share <= 50 for share in self.mirror.values()), self.mirror
        assert not set(self.mirror) & set(self.traffic), "mirror and live on one deployment"
        for name in self.traffic:
            assert name in self.deployments, f"{name} has traffic and is gone"
            assert self.deployments[name].state == "ready", f"{name} has traffic and is {self.deployments[name].state}"
        assert not self.unhealthy_at_gain, f"a dead deployment got traffic: {self.unhealthy_at_gain}"

    def _choose(self) -> str | None:
        weights = {name: share for name, share in self.routed.items() if name in self.deployments} or self.traffic
        if not weights:
            return None
        return self.random.choices(list(weights), list(weights.values()))[0]

    def _reply(self, name: str, *, pinned: bool = False) -> tuple[int, float]:
        at = self.behaviours[name]
        if at.dead:
            return 503, 1.0
        if at.hangs:
            return 504, 30_000.0
        if self.random.random() < at.error_rate:
            return 500, 5.0
        return 200, at.ms * self.random.lognormvariate(0.0, 0.3)

    def _generate(self, now: float) -> None:
        self.owed += (now - self.seen) * self.rps
        count, start = int(self.owed), self.seen
        self.owed -= count
        self.seen = max(self.seen, now)
        if not self.traffic:
            return
        total = sum(self.routed.values()) or 100
        target = next(iter(self.mirror), None)
        for number in range(count):
            ts = start + (now - start) * (number + 1) / count
            name = self._choose()
            if name is None:
                return
            status, ms = self._reply(name)
            self.events.append(RequestEvent(ts, name, status, ms, self.routed.get(name, 0) / total))
            if target is not None and self.random.random() < self.mirror[target] / 100:
                status, ms = self._reply(target)
                apart = (0.5 if self.behaviours[target].wrong else 0.01) if status == 200 else None
                self.events.append(RequestEvent(ts, target, status, ms, 0.0, mirrored=True, distance=apart))


class MemoryJournal:
    """The journal's store without a disk."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def append(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        record = {**json.loads(json.dumps(entry)), "seq": len(self.records), "prev_hash": "", "hash": ""}
        self.records.append(record)
        return record

    def read(self) -> list[dict[str, Any]]:
        return list(self.records)


class FakeChampion:
    """The registry's alias, with a history of its moves."""

    def __init__(self, version: str | None = None) -> None:
        self.version = version
        self.moves: list[str | None] = [version]

    def current(self) -> str | None:
        return self.version

    def move(self, *, expected: str | None, new: str | None) -> None:
        if new == self.version:
            return
        if expected != self.version:
            raise Conflict(f"the champion is {self.version}, not {expected}")
        self.version = new
        self.moves.append(new)


@dataclass
class Points:
    """Numbers every call of a runner, and lets a fault happen at one of them.

    Faults: kill-before, kill-after, timeout (it took effect, the caller is told it did not), 409, 429, 500 (no effect),
    hang (120 s, no effect), or a callable that is run before the call.
    """

    clock: SimClock
    faults: dict[int, str | Callable[[], None]] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)

    def call(self, name: str, effect: Callable[[], T]) -> T:
        self.names.append(name)
        fault = self.faults.pop(len(self.names), None)
        if callable(fault):
            fault()
            return effect()
        if fault == "kill-before":
            raise Killed(name)
        if fault == "409":
            raise Conflict(f"409 at {name}: the operation conflicts with another")
        if fault in ("429", "500"):
            raise Unavailable(f"{fault} at {name}")
        if fault == "hang":
            self.clock.sleep(120.0)
            raise Unavailable(f"{name} timed out")
        result = effect()
        if fault == "kill-after":
            raise Killed(name)
        if fault == "timeout":
            raise Unavailable(f"{name} timed out")
        return result


class FaultyEndpoint:
    """Any endpoint, seen through numbered points."""

    def __init__(self, inner: Endpoint, points: Points) -> None:
        self.inner, self.points = inner, points

    @property
    def name(self) -> str:
        return self.inner.name

    def observe(self) -> EndpointView:
        return self.points.call("observe", self.inner.observe)

    def create_endpoint(self, body: Mapping[str, Any], *, epoch: int) -> None:
        self.points.call("create_endpoint", lambda: self.inner.create_endpoint(body, epoch=epoch))

    def create(self, spec: DeploymentSpec, *, epoch: int) -> None:
        self.points.call("create", lambda: self.inner.create(spec, epoch=epoch))

    def write(
        self, *, traffic: Mapping[str, int], mirror: Mapping[str, int], tags: Mapping[str, str], epoch: int
    ) -> None:
        self.points.call("write", lambda: self.inner.write(traffic=traffic, mirror=mirror, tags=tags, epoch=epoch))

    def delete(self, name: str, *, epoch: int) -> None:
        self.points.call("delete", lambda: self.inner.delete(name, epoch=epoch))

    def ask(self, body: bytes, *, deployment: str | None = None, timeout: float = 30.0) -> Answer:
        return self.points.call("ask", lambda: self.inner.ask(body, deployment=deployment, timeout=timeout))

    def address(self, deployment: str) -> tuple[str, Mapping[str, str]]:
        return self.inner.address(deployment)

    def requests_since(self, cursor: int) -> tuple[Sequence[RequestEvent], int]:
        return self.points.call("requests_since", lambda: self.inner.requests_since(cursor))

    def logs(self, name: str) -> str:
        return self.points.call("logs", lambda: self.inner.logs(name))

    def acquire(self, owner: str, *, seconds: float, now: float) -> Lease:
        return self.points.call("acquire", lambda: self.inner.acquire(owner, seconds=seconds, now=now))

    def release(self, lease: Lease) -> None:
        self.points.call("release", lambda: self.inner.release(lease))


class FaultyJournal:
    """A journal seen through numbered points; only deaths happen to it."""

    def __init__(self, inner: MemoryJournal, points: Points) -> None:
        self.inner, self.points = inner, points

    def append(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        return self.points.call(f"append {entry['state']}/{entry['kind']}", lambda: self.inner.append(entry))

    def read(self) -> list[dict[str, Any]]:
        return self.inner.read()


class FaultyChampion:
    """A registry seen through numbered points."""

    def __init__(self, inner: Champion, points: Points) -> None:
        self.inner, self.points = inner, points

    def current(self) -> str | None:
        return self.points.call("champion.current", self.inner.current)

    def move(self, *, expected: str | None, new: str | None) -> None:
        self.points.call("champion.move", lambda: self.inner.move(expected=expected, new=new))
