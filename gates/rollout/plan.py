"""What a rollout is asked to do, as one frozen value, and the identity of a deployment.

`deploy_id` binds what is deployed and onto what: the same plan on the same traffic is the same deployment and is
resumed; anything else is another deployment. The new deployment's name is made from its spec, so that a half-made one
of another spec is never taken for ours.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from gates.canonical import digest
from gates.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gates.evidence import Evidence
    from gates.rollout.port import DeploymentSpec
    from gates.verdict import Verdict

NAME_LIMIT = 32


class Judgement(Protocol):
    """What an analysis says; `verdict.GateReport` is one."""

    @property
    def verdict(self) -> Verdict: ...
    @property
    def allowed(self) -> bool: ...
    @property
    def failed_checks(self) -> tuple[str, ...]: ...


class Loading(Protocol):
    """Sends load to a deployment by name and returns what was measured. `beat` must be called every few seconds: it
    keeps the lease, and raises what ends the test early."""

    def __call__(self, deployment: str, *, beat: Callable[[], None]) -> Evidence: ...


class Analyse(Protocol):
    """Judges one stage's evidence. `final`: no more will come, so what is undecided stays undecided."""

    def __call__(self, evidence: Evidence, *, final: bool) -> Judgement: ...


@dataclass(frozen=True)
class Golden:
    """A request and the answer that was gated: `expected` is a JSON value (see `golden.differs`)."""

    body: bytes
    expected: Any


@dataclass(frozen=True)
class Rollout:
    """How traffic moves. Durations in seconds. The first five are the user's, the rest bound every state's stay.

    step_timeout: a canary step or the mirroring that is still undecided then is held (inconclusive) or rolled back
    (evidence could not be had). hold_timeout: a hold that nobody ends is rolled back. attend: a runner that would have
    to watch one step for longer leaves it held and is started again later. answer_timeout: in which green must answer
    a golden row or a probe, all tries together. synthetic: requests a second that the rollout itself sends while it
    watches, as a client does. tolerance: mirrored answers are alike when no number is further apart.
    """

    steps: tuple[int, ...] = (5, 25, 50, 100)
    interval: float = 60.0
    mirror: int = 0
    bake: float = 600.0
    keep_old: float = 3600.0
    poll: float = 5.0
    lease: float = 60.0
    lock_timeout: float = 0.0
    create_timeout: float = 1800.0
    create_attempts: int = 2
    ready_timeout: float = 300.0
    write_timeout: float = 900.0
    step_timeout: float = 7200.0
    hold_timeout: float = 259200.0
    rollback_timeout: float = 300.0
    attend: float = 1e9
    answer_timeout: float = 10.0
    synthetic: float = 0.0
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        steps = tuple(self.steps)
        if not steps or steps[-1] != 100 or list(steps) != sorted(set(steps)) or steps[0] < 1:
            raise InvalidInput(f"rollout.steps: {list(steps)} do not rise to 100", hint="write e.g. [5, 25, 100]")
        if not 0 <= self.mirror <= 50:
            raise InvalidInput(f"rollout.mirror: {self.mirror} is not from 0 to 50", hint="write 0 for none")
        if not 0 <= self.synthetic <= 1000:
            raise InvalidInput(f"rollout.synthetic: {self.synthetic} requests a second", hint="write 0 to 1000")
        if not 0 <= self.tolerance < float("inf"):
            raise InvalidInput(f"rollout.tolerance: {self.tolerance} is no tolerance", hint="write e.g. 0.01")
        for name in ("interval", "bake", "keep_old", "lock_timeout"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InvalidInput(f"rollout.{name}: not a duration", hint="write e.g. 60s")
        object.__setattr__(self, "steps", steps)


@dataclass(frozen=True)
class Smoke:
    """Requests to green by name before it gets traffic. The first `warm_ups` answers are not measured."""

    requests: int = 20
    warm_ups: int = 3


@dataclass(frozen=True)
class ApprovalRule:
    """How many people must agree before green gets traffic. max_age in seconds."""

    minimum: int = 0
    forbid_author: bool = True
    max_age: float = 259200.0


@dataclass(frozen=True)
class Approval:
    """One person's yes, bound to what they saw. ts: wall seconds."""

    by: str
    ts: float
    model_digest: str
    policy_digest: str


@dataclass(frozen=True)
class Plan:
    """All that the machine must know. `champion` is the registry's name of the new version, e.g. '7'.

    prefix: the user's deployment name. green.name must be `green_name(prefix, green.spec_digest)`. sample: a body that
    any version answers with 200; default the first golden row's. deploy_gate, canary_gate: None where the policy does
    not judge. load: a load test of green by name, in SMOKED after the plain requests; its evidence joins theirs.
    enrich: adds late evidence (labels) to what was seen. record: writes the lineage, idempotent.
    """

    endpoint: str
    green: DeploymentSpec
    policy_digest: str
    champion: str
    environment_digest: str = ""
    endpoint_body: Mapping[str, Any] = field(default_factory=dict)
    rollout: Rollout = field(default_factory=Rollout)
    smoke: Smoke = field(default_factory=Smoke)
    golden: tuple[Golden, ...] = ()
    sample: bytes | None = None
    atol: float = 1e-6
    approvals: ApprovalRule = field(default_factory=ApprovalRule)
    approved: tuple[Approval, ...] = ()
    author: str = ""
    deploy_gate: Analyse | None = None
    canary_gate: Analyse | None = None
    load: Loading | None = None
    enrich: Callable[[Evidence], Evidence] | None = None
    record: Callable[[Mapping[str, Any]], None] | None = None

    def __post_init__(self) -> None:
        if self.sample is None and self.golden:
            object.__setattr__(self, "sample", self.golden[0].body)
        if self.sample is None and (self.smoke.requests or self.load is None):
            raise InvalidInput("there is no request to try the deployment with", hint="set deploy.sample_request")
        if self.canary_gate is None:
            raise InvalidInput("the plan has no canary gate", hint="use the policy's stage or the built-in one")

    def identity(self, snapshot: Mapping[str, Any]) -> str:
        """deploy_id: `sha256:<hex>` of what is deployed, by which policy, onto which traffic."""
        return digest(
            {
                "endpoint": self.endpoint,
                "model": self.green.model_digest,
                "environment": self.environment_digest,
                "spec": self.green.spec_digest,
                "policy": self.policy_digest,
                "traffic": snapshot,
            }
        )

    def document(self) -> dict[str, Any]:
        """What the journal keeps of the plan, enough to know what was meant."""
        return {
            "endpoint": self.endpoint,
            "environment_digest": self.environment_digest,
            "green": {
                "name": self.green.name, "spec_digest": self.green.spec_digest, "model": self.green.model,
                "model_digest": self.green.model_digest, "body": dict(self.green.body),
            },
            "policy_digest": self.policy_digest,
            "champion": self.champion,
            "author": self.author,
            "rollout": {**asdict(self.rollout), "steps": list(self.rollout.steps)},
        }  # fmt: skip


def green_name(prefix: str, spec_digest: str) -> str:
    """`<prefix>-<10 hex of the spec's digest>`, at most 32 characters, the prefix cut when it must be."""
    tail = spec_digest.removeprefix("sha256:")[:10]
    if not re.fullmatch(r"[0-9a-f]{10}", tail):
        raise InvalidInput(f"spec digest {spec_digest!r} is not a sha256", hint="write sha256:<64 hex>")
    return f"{prefix[: NAME_LIMIT - 11].rstrip('-')}-{tail}"


def canary_steps(rollout: Rollout, share: int) -> tuple[int, ...]:
    """The percents below 100 that are more than green's present share."""
    return tuple(percent for percent in rollout.steps if share < percent < 100)
