"""What serves, as values: an endpoint and its deployments as observed, one request, one answer, a lease.

Both sides of the seam between rollout and backends speak in these, so they stand below both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_DISTANCE = 1e308
"""How far answers are apart that differ in more than their numbers. Finite, so that JSON can hold it."""

DeploymentState = Literal["creating", "updating", "ready", "failed", "deleting"]


@dataclass(frozen=True)
class DeploymentSpec:
    """What to deploy. `body` is the user's deployment YAML, resolved; `model` is where the backend finds the bytes."""

    name: str
    spec_digest: str
    model: str
    model_digest: str
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DeploymentView:
    """A deployment as observed. `healthy` is None where nobody could tell."""

    name: str
    state: DeploymentState
    spec_digest: str
    model_digest: str
    healthy: bool | None = None
    reason: str = ""


@dataclass(frozen=True)
class EndpointView:
    """An endpoint as observed. traffic: whole percents by deployment; mirror: likewise, at most one entry."""

    exists: bool
    updating: bool = False
    url: str = ""
    traffic: Mapping[str, int] = field(default_factory=dict)
    mirror: Mapping[str, int] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    deployments: Mapping[str, DeploymentView] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """One reply to a request. `served_by` is what the answer itself says, never what was asked for."""

    status: int
    served_by: str
    seconds: float
    body: bytes


@dataclass(frozen=True)
class RequestEvent:
    """One request as the endpoint saw it. `share`: the traffic share (0 to 1) of its deployment at that time.

    `status` is what the deployment gave: 502 or 503 where it was dead, 504 where it did not answer in time.
    A request that named its deployment by header is `pinned`, one that was copied is `mirrored`: neither says anything
    about the split, and neither reached a client by the weights. `distance`: of a mirrored one whose answer was
    compared with the live one's, the largest difference between their numbers; MAX_DISTANCE where more differs.
    """

    ts: float
    deployment: str
    status: int
    ms: float
    share: float
    mirrored: bool = False
    pinned: bool = False
    distance: float | None = None


@dataclass(frozen=True)
class Lease:
    """Who may write to the endpoint, until when (wall seconds)."""

    owner: str
    epoch: int
    expires: float
