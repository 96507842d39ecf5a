"""What the blue-green machine needs of an endpoint, a registry and a clock. Backends fit these by shape.

Every mutation carries the fencing epoch; an implementation refuses (errors.Conflict) one that is lower than the
highest it has seen. Mutations are accepted, then observed: `create` and `write` may return before they took effect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from gates.serving import Answer, DeploymentSpec, DeploymentState, DeploymentView, EndpointView, Lease, RequestEvent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "Answer", "Champion", "Clock", "DeploymentSpec", "DeploymentState", "DeploymentView",
    "Endpoint", "EndpointView", "Lease", "RequestEvent",
]  # fmt: skip


class Endpoint(Protocol):
    """One online endpoint. Raises errors.Unavailable when it cannot be reached, errors.Conflict when fenced off."""

    @property
    def name(self) -> str: ...

    def observe(self) -> EndpointView: ...

    def create_endpoint(self, body: Mapping[str, Any], *, epoch: int) -> None:
        """Make the endpoint, without deployments, unless it is there."""
        ...

    def create(self, spec: DeploymentSpec, *, epoch: int) -> None:
        """Begin to create a deployment without traffic. The same name and spec_digest again: no effect."""
        ...

    def write(
        self, *, traffic: Mapping[str, int], mirror: Mapping[str, int], tags: Mapping[str, str], epoch: int
    ) -> None:
        """Set traffic, mirror and our tags in one write; foreign tags are kept."""
        ...

    def delete(self, name: str, *, epoch: int) -> None:
        """Drain and delete. Refused (errors.Conflict) while it has traffic; deleting what is gone has no effect."""
        ...

    def ask(self, body: bytes, *, deployment: str | None = None, timeout: float = 30.0) -> Answer:
        """POST to /score, as a client would; `deployment` pins one by header. A refused connection is status 0."""
        ...

    def address(self, deployment: str) -> tuple[str, Mapping[str, str]]:
        """URL and headers with which a client asks a deployment by name, the key among them: for a load test."""
        ...

    def requests_since(self, cursor: int) -> tuple[Sequence[RequestEvent], int]:
        """Requests after `cursor` (0: all that is kept), oldest first, and the next cursor."""
        ...

    def logs(self, name: str) -> str:
        """The tail of a deployment's log."""
        ...

    def acquire(self, owner: str, *, seconds: float, now: float) -> Lease:
        """Take or renew the lease. Another live owner: errors.Conflict. An expired or a free one: epoch + 1.

        `owner` is unique to a process. While nobody else took it in between, an owner's renewal keeps its epoch, even
        when it comes too late. From here on every mutation with a lower epoch is refused (errors.Conflict).
        """
        ...

    def release(self, lease: Lease) -> None:
        """Give the lease back; one that is no longer ours: no effect."""
        ...


class Champion(Protocol):
    """The registry's pointer to the model version that serves."""

    def current(self) -> str | None: ...

    def move(self, *, expected: str | None, new: str | None) -> None:
        """Compare and set; errors.Conflict when `expected` is not current. `new=current` is no effect."""
        ...


class Clock(Protocol):
    """Time is an argument: seconds since the epoch, and waiting."""

    def now(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...
