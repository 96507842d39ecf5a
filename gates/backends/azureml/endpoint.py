"""A managed online endpoint, as the blue-green machine sees one.

An endpoint's PUT replaces all of it and knows no If-Match: it is read, changed and put back as it was said, traffic and
tags in one write, after the lease's fence was asked; whoever reads back sees what took effect. Nothing is waited for:
the machine observes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gates.backends.azureml.calls import explained, scrub
from gates.backends.azureml.client import quiet
from gates.backends.azureml.scoring_client import Client
from gates.errors import Conflict, GatesError, InvalidInput, Unavailable
from gates.serving import Answer, DeploymentSpec, DeploymentState, DeploymentView, EndpointView, Lease, RequestEvent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gates.backends.azureml import deployments
    from gates.backends.azureml.client import Workspace
    from gates.backends.azureml.lease import EndpointLease
    from gates.backends.azureml.traffic_log import TrafficLog

SPEC_TAG, MODEL_TAG = "gates.spec", "gates.model"
LOG_LINES = 200
TAG_LIMIT = 256
_NAME = re.compile(r"[A-Za-z](?:[A-Za-z0-9-]{1,30}[A-Za-z0-9])")
_SETTLED = ("succeeded", "failed", "canceled")
_STATES: dict[str, DeploymentState] = {
    "creating": "creating", "updating": "updating", "scaling": "updating", "succeeded": "ready", "failed": "failed",
    "canceled": "failed", "deleting": "deleting",
}  # fmt: skip
_READ_ONLY = ("scoringUri", "swaggerUri", "provisioningState")


class AzureEndpoint:
    """One online endpoint of a workspace; fits rollout.port.Endpoint."""

    def __init__(
        self, workspace: Workspace, name: str, *, lease: EndpointLease, log: TrafficLog, maker: deployments.Maker
    ) -> None:
        self.label = named(name)
        self._workspace, self._lease, self._log, self._maker = workspace, lease, log, maker
        self._client = Client(workspace, name)
        self._where: tuple[str, str] | None = None
        self._path = f"onlineEndpoints/{name}"

    @property
    def name(self) -> str:
        return self.label

    def observe(self) -> EndpointView:
        found = self._workspace.get(self._path)
        if found is None:
            return EndpointView(exists=False)
        properties = found["properties"]
        self._where = (str(properties.get("scoringUri") or ""), str(properties.get("authMode") or "Key"))
        views = [self._view(item) for item in self._workspace.each(f"{self._path}/deployments")]
        return EndpointView(
            exists=True,
            updating=not settled(found),
            url=self._where[0],
            traffic=_shares(properties.get("traffic")),
            mirror=_shares(properties.get("mirrorTraffic")),
            tags={str(key): str(value) for key, value in (found.get("tags") or {}).items()},
            deployments={view.name: view for view in views},
        )

    def _view(self, item: Mapping[str, Any]) -> DeploymentView:
        return view_of(item, self._maker)

    def create_endpoint(self, body: Mapping[str, Any], *, epoch: int) -> None:
        self._lease.fence(epoch)
        if self._workspace.get(self._path) is not None:
            return
        self._maker.endpoint(self.name, body)
        self._log.turn_on()

    def create(self, spec: DeploymentSpec, *, epoch: int) -> None:
        self._lease.fence(epoch)
        if self._workspace.get(self._path) is None:
            raise InvalidInput(f"endpoint {self.name} does not exist", hint="create it first")
        present = self._workspace.get(f"{self._path}/deployments/{spec.name}")
        if present is not None:
            view = self._view(present)
            if view.spec_digest != spec.spec_digest or view.state == "deleting":
                raise Conflict(
                    f"deployment {spec.name} exists with another spec", hint="delete it, or wait until it is"
                )
            return
        self._maker.deployment(self.name, spec, tags={SPEC_TAG: spec.spec_digest, MODEL_TAG: spec.model_digest})

    def write(
        self, *, traffic: Mapping[str, int], mirror: Mapping[str, int], tags: Mapping[str, str], epoch: int
    ) -> None:
        live, copied = _shares(traffic), _shares(mirror)
        self._check(traffic, live, copied, tags)
        self._lease.fence(epoch)
        found = writable(self._workspace.get(self._path), self.name)
        body = changed(found, live, copied, tags)
        self._workspace.put(self._path, body, conflicts=True)

    def _check(
        self, traffic: Mapping[str, int], live: Mapping[str, int], copied: Mapping[str, int], tags: Mapping[str, str]
    ) -> None:
        """Azure takes sums of 120 and two mirrors from some callers: nothing bad leaves us."""
        if sum(live.values()) not in (0, 100) or any(share < 0 for share in traffic.values()):
            raise InvalidInput(f"traffic sums to {sum(live.values())}", hint="write percents that sum to 100")
        if len(copied) > 1 or any(not 0 < share <= 50 for share in copied.values()) or set(copied) & set(live):
            raise InvalidInput(f"mirror {dict(copied)} is not one deployment without live traffic, at most 50 percent")
        require_short(tags)
        known = {str(item["name"]): self._view(item) for item in self._workspace.each(f"{self._path}/deployments")}
        for name in {**live, **copied}:
            if name not in known or known[name].state not in ("ready", "updating"):
                raise InvalidInput(f"deployment {name} is not ready for traffic")

    def delete(self, name: str, *, epoch: int) -> None:
        self._lease.fence(epoch)
        found = self._workspace.get(self._path)
        if found is None:
            return
        properties = found["properties"]
        if _shares(properties.get("traffic")).get(name) or _shares(properties.get("mirrorTraffic")).get(name):
            raise Conflict(f"deployment {name} has traffic", hint="route it elsewhere first")
        present = self._workspace.get(f"{self._path}/deployments/{name}")
        if present is not None and self._view(present).state != "deleting":
            self._workspace.delete(f"{self._path}/deployments/{name}", conflicts=True)

    def ask(self, body: bytes, *, deployment: str | None = None, timeout: float = 30.0) -> Answer:
        if self._where is None or not self._where[0]:
            self.observe()
        if self._where is None or not self._where[0]:
            return Answer(0, "", 0.0, b"the endpoint has no address")
        return self._client.ask(*self._where, body, deployment=deployment, timeout=timeout)

    def address(self, deployment: str) -> tuple[str, Mapping[str, str]]:
        self.observe()
        if self._where is None or not self._where[0]:
            raise Unavailable(f"endpoint {self.name} has no address", hint="create it first")
        return self._where[0], self._client.headers(self._where[1], deployment)

    def requests_since(self, cursor: int) -> tuple[Sequence[RequestEvent], int]:
        return self._log.since(cursor)

    def logs(self, name: str) -> str:
        """The tail of the model server's container; of the one that fetches the model where that has not begun."""
        text, trouble = "", None
        for container in ("inference-server", "storage-initializer"):
            try:
                with quiet(), explained(f"the log of {name}"):
                    text = str(
                        self._workspace.ml.online_deployments.get_logs(
                            name, self.name, lines=LOG_LINES, container_type=container
                        )
                    )
            except GatesError as error:
                trouble = error
            if text.strip():
                return scrub(text)
        if trouble is not None:
            raise Unavailable(trouble.what, hint=trouble.hint)
        return text

    def acquire(self, owner: str, *, seconds: float, now: float) -> Lease:
        return self._lease.acquire(owner, seconds=seconds, now=now)

    def release(self, lease: Lease) -> None:
        self._lease.release(lease)


def view_of(item: Mapping[str, Any], maker: deployments.Maker) -> DeploymentView:
    """A deployment as Azure tells of it, and as its maker knows why it failed."""
    name, tags = str(item["name"]), item.get("tags") or {}
    state = _STATES.get(str(item["properties"].get("provisioningState") or "Succeeded").lower(), "updating")
    reason = maker.why(name) if state == "failed" else ""
    return DeploymentView(name, state, str(tags.get(SPEC_TAG, "")), str(tags.get(MODEL_TAG, "")), None, reason)


def settled(found: Mapping[str, Any]) -> bool:
    """Whether no operation runs on an endpoint."""
    return str(found["properties"].get("provisioningState") or "Succeeded").lower() in _SETTLED


def writable(found: dict[str, Any] | None, name: str) -> dict[str, Any]:
    """What was read of an endpoint, if it may be written now."""
    if found is None:
        raise InvalidInput(f"endpoint {name} does not exist", hint="create it first")
    if not settled(found):
        raise Conflict(f"endpoint {name} is updating")
    return found


def require_short(tags: Mapping[str, str]) -> None:
    """Raises InvalidInput for a value longer than Azure takes, before it is sent."""
    long = next((key for key, value in tags.items() if len(value) > TAG_LIMIT), None)
    if long is not None:
        raise InvalidInput(f"tag {long} is longer than {TAG_LIMIT} characters")


def changed(
    found: Mapping[str, Any], traffic: Mapping[str, int], mirror: Mapping[str, int], tags: Mapping[str, str]
) -> dict[str, Any]:
    """The body of a PUT: all that was read, with traffic, mirror and these tags; what Azure only tells is left out.

    A key that neither we nor this version of the SDK know stays as it was.
    """
    return kept(found, {"traffic": dict(traffic), "mirrorTraffic": dict(mirror)}, tags)


def kept(found: Mapping[str, Any], properties: Mapping[str, Any], tags: Mapping[str, str]) -> dict[str, Any]:
    """The body of a PUT: all that was read, with these properties and tags; what Azure only tells is left out."""
    body = {key: value for key, value in found.items() if key not in ("id", "name", "type", "systemData", "etag")}
    said = {key: value for key, value in found["properties"].items() if key not in _READ_ONLY and value is not None}
    body["properties"] = {**said, **properties}
    body["tags"] = {**(found.get("tags") or {}), **tags}
    identity = found.get("identity")
    if identity:
        own = identity.get("userAssignedIdentities")
        body["identity"] = {key: value for key, value in identity.items() if key not in ("principalId", "tenantId")}
        if own is not None:
            body["identity"]["userAssignedIdentities"] = {key: {} for key in own}
    return body


def _shares(raw: Mapping[str, Any] | None) -> dict[str, int]:
    return {str(name): int(share) for name, share in (raw or {}).items() if share}


def named(name: str) -> str:
    """An endpoint's name that Azure takes, checked before the first call."""
    if _NAME.fullmatch(name) is None:
        raise InvalidInput(
            f"endpoint name {name!r} is not allowed",
            hint="3 to 32 letters, digits and -, a letter first, no - at the end",
        )
    return name
