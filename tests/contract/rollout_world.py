"""A rollout in a simulated world: endpoint, registry, journal and clock, and runners that can be killed in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fake_endpoint import (
    Behaviour,
    FakeChampion,
    FakeEndpoint,
    FaultyChampion,
    FaultyEndpoint,
    FaultyJournal,
    Killed,
    MemoryJournal,
    Points,
    SimClock,
    model_answer,
)

from gates.rollout import machine
from gates.rollout.journal import fold
from gates.rollout.plan import Golden, Plan, Rollout, Smoke, green_name
from gates.serving import DeploymentSpec
from gates.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gates.evidence import Evidence
    from gates.rollout.ends import Ended

BODIES = (b'{"input_data": [[1]]}', b'{"input_data": [[2]]}')
QUICK = Rollout(steps=(10, 50, 100), interval=10.0, bake=20.0, keep_old=60.0, poll=5.0, lease=60.0)


def spec(version: int) -> DeploymentSpec:
    digest = f"sha256:{version:064x}"[:71]
    tail = f"sha256:{(version * 7919):x}".ljust(71, "0")
    return DeploymentSpec(green_name("credit", tail), tail, f"models:/credit/{version}", digest)


@dataclass(frozen=True)
class Judged:
    verdict: Verdict
    failed_checks: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        return self.verdict is Verdict.PASS


@dataclass
class Gate:
    """A canary's judge of plain counts: fails at 5 errors above 5 %, decides from `enough` requests on."""

    enough: int = 0
    forced: Verdict | None = None
    asked: int = 0

    def __call__(self, evidence: Evidence, *, final: bool) -> Judged:
        self.asked += 1
        if self.forced is not None:
            return Judged(self.forced, ("forced",))
        seen = evidence.counts["http_5xx"]
        if seen.bad >= 5 and seen.bad > 0.05 * seen.n:
            return Judged(Verdict.FAIL, ("err.rate",))
        latency = evidence.samples["latency_ms"]
        if len(latency) >= 30 and float(sorted(latency)[int(len(latency) * 0.5)]) > 100:
            return Judged(Verdict.FAIL, ("lat.p50",))
        return Judged(Verdict.PASS if seen.n >= self.enough else Verdict.INCONCLUSIVE, ("err.rate",))


def plan_for(version: int, *, rollout: Rollout = QUICK, **changes: Any) -> Plan:
    made = spec(version)
    golden = tuple(Golden(body, model_answer(made.model_digest, body)) for body in BODIES)
    parts: dict[str, Any] = {
        "endpoint": "credit", "green": made, "policy_digest": "sha256:" + "9" * 64, "champion": str(version),
        "rollout": rollout, "golden": golden, "smoke": Smoke(4, 1), "canary_gate": Gate(), "author": "ann",
    }  # fmt: skip
    return Plan(**{**parts, **changes})


@dataclass
class World:
    """Version 1 serves, unless `bare`. Every runner sees the world through its own numbered points."""

    rps: float = 0.0
    seed: int = 0
    bare: bool = False
    clock: SimClock = field(default_factory=SimClock)
    runners: int = 0
    said: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.endpoint = FakeEndpoint(self.clock, rps=self.rps, seed=self.seed)
        self.journal = MemoryJournal()
        self.champion = FakeChampion(None if self.bare else "1")
        self.points = Points(self.clock)
        self.stopping = False
        if not self.bare:
            self.endpoint.seed_blue(spec(1))

    @property
    def blue(self) -> str:
        return spec(1).name

    def ports(self, faults: Mapping[int, str | Callable[[], None]] | None = None) -> dict[str, Any]:
        self.runners += 1
        self.points = Points(self.clock, dict(faults or {}))
        return {
            "endpoint": FaultyEndpoint(self.endpoint, self.points),
            "champion": FaultyChampion(self.champion, self.points),
            "journal": FaultyJournal(self.journal, self.points),
            "clock": self.clock,
            "say": lambda state, text: self.said.append((state, text)),
            "stop": lambda: self.stopping,
            "owner": f"runner-{self.runners}",
        }

    def deploy(self, plan: Plan, faults: Mapping[int, str | Callable[[], None]] | None = None, **more: Any) -> Ended:
        return machine.deploy(plan, **self.ports(faults), **more)

    def reconcile(
        self, plan: Plan | None = None, faults: Mapping[int, str | Callable[[], None]] | None = None
    ) -> Ended:
        return machine.reconcile(plan, **self.ports(faults), sample=None if plan else BODIES[0])

    def rollback(self, to: str | None = None) -> Ended:
        return machine.rollback(**self.ports(), to=to, sample=BODIES[0])

    def killed(self, plan: Plan, faults: Mapping[int, str | Callable[[], None]]) -> Ended | None:
        """A deploy that dies where the faults say; None when it died. Then its lease runs out."""
        try:
            ended = self.deploy(plan, faults)
        except Killed:
            ended = None
        self.clock.sleep(plan.rollout.lease + 1)
        return ended

    def fingerprint(self) -> tuple[Any, ...]:
        """Everything that a second resume may not change."""
        view = self.endpoint.observe()
        tags = {key: value for key, value in view.tags.items() if key.removeprefix("gates.") in ("deploy_id", "state")}
        return (dict(view.traffic), dict(view.mirror), sorted(view.deployments), self.champion.version, tags)

    def ended_in(self) -> str:
        last = fold(self.journal.read()).last
        return "" if last is None else last.reached

    def is_snapshot(self) -> bool:
        view = self.endpoint.observe()
        if self.bare:
            return not view.traffic and not view.deployments
        return (view.traffic, sorted(view.deployments), self.champion.version) == ({self.blue: 100}, [self.blue], "1")

    def is_done(self, version: int = 2) -> bool:
        view = self.endpoint.observe()
        return view.traffic == {spec(version).name: 100} and self.champion.version == str(version) and not view.mirror


__all__ = ["BODIES", "QUICK", "Behaviour", "Gate", "Judged", "World", "plan_for", "spec"]
