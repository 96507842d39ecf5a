"""A workspace in memory, as far as an endpoint's calls go: resources by path, and what was put, posted and deleted.

A PUT replaces the whole resource, as Azure's does. `told` answers POSTs by path; `failing` raises at a call's label.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gates.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gates.serving import DeploymentSpec

ID = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"


@dataclass
class FakeWorkspace:
    """Fits backends.azureml.client.Workspace where plain requests are made."""

    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)
    failing: set[str] = field(default_factory=set)
    made: list[tuple[str, str, Any]] = field(default_factory=list)
    id: str = ID
    name: str = "w"

    def _note(self, method: str, path: str, body: Any = None) -> None:
        if f"{method} {path}" in self.failing:
            raise Unavailable(f"{method} {path}: planted")
        self.made.append((method, path, copy.deepcopy(body)))

    def get(self, path: str, *, version: str = "") -> dict[str, Any] | None:
        del version
        self._note("GET", path)
        return copy.deepcopy(self.resources.get(path))

    def put(self, path: str, body: Mapping[str, Any], *, version: str = "", conflicts: bool = False) -> dict[str, Any]:
        del version, conflicts
        self._note("PUT", path, body)
        self.resources[path] = {"name": path.rsplit("/", 1)[1], **copy.deepcopy(dict(body))}
        return self.resources[path]

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, version: str = "") -> dict[str, Any]:
        del version
        self._note("POST", path, body)
        found: dict[str, Any] = self.told.get(path, {})
        return found

    def send(self, method: str, path: str, body: Any = None, **more: Any) -> dict[str, Any] | None:
        self._note(method, path, {"body": body, **more})
        found = self.told.get(path)
        return found.pop(0) if isinstance(found, list) else found

    def delete(self, path: str, *, conflicts: bool = False) -> None:
        del conflicts
        self._note("DELETE", path)
        self.resources.pop(path, None)

    def each(self, path: str, *, version: str = "") -> Iterator[dict[str, Any]]:
        del version
        self._note("GET", path)
        for at in sorted(self.resources):
            if at.rpartition("/")[0] == path:
                yield copy.deepcopy(self.resources[at])

    def about(self) -> dict[str, Any]:
        return dict(self.told.get("about", {}))

    def token(self, scope: str = "") -> str:
        self._note("TOKEN", scope)
        return f"token for {scope}"

    def changes(self) -> list[tuple[str, str]]:
        """What changed something, in order."""
        return [(method, path) for method, path, _ in self.made if method in ("PUT", "DELETE")]


@dataclass
class FakeMaker:
    """Fits backends.azureml.deployments.Maker: what it was asked to make is there at once, and ready."""

    workspace: FakeWorkspace
    kind: str = "onlineEndpoints"
    reasons: dict[str, str] = field(default_factory=dict)

    def endpoint(self, name: str, body: Mapping[str, Any]) -> None:
        properties = {"provisioningState": "Succeeded", "scoringUri": f"https://{name}/score", "traffic": {}}
        self.workspace.put(f"{self.kind}/{name}", {"tags": dict(body.get("tags") or {}), "properties": properties})

    def deployment(self, endpoint: str, spec: DeploymentSpec, *, tags: Mapping[str, str]) -> None:
        path = f"{self.kind}/{endpoint}/deployments/{spec.name}"
        self.workspace.put(path, {"tags": dict(tags), "properties": {"provisioningState": "Succeeded"}})

    def why(self, name: str) -> str:
        return self.reasons.get(name, "")
