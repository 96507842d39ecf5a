"""Online endpoints and deployments: the rules of the service, and long-running operations around real model servers."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from azureml_emulator import arm, wire
from azureml_emulator.operations import busy

if TYPE_CHECKING:
    import threading

    from azureml_emulator.operations import Operations
    from azureml_emulator.serving import Serving
    from azureml_emulator.store import Resource, Store

DOMAIN = f"{arm.REGION}.inference.ml.azure.com"


class Endpoints:
    """`failing.rule` is the planted failure of the call that is being answered."""

    def __init__(self, store: Store, serving: Serving, operations: Operations, failing: threading.local) -> None:
        self._store, self._serving, self._operations, self._failing = store, serving, operations, failing

    def endpoint(self, call: arm.Call) -> wire.Answer | None:
        if call.verb:
            return self._keys(call)
        if call.method == "PUT":
            return self._put_endpoint(call)
        if call.method == "DELETE":
            return self._delete_endpoint(call)
        if call.method == "PATCH":
            raise wire.Fault(405, "MethodNotAllowed", "the SDK sends no PATCH")
        return None

    def deployment(self, call: arm.Call) -> wire.Answer | None:
        if call.verb.lower() == "getlogs":
            return self._logs(call)
        if call.method == "PUT":
            return self._put_deployment(call)
        if call.method == "DELETE":
            return self._delete_deployment(call)
        return None

    def _begin(self, path: str, work: Any, state: str) -> dict[str, str]:
        return self._operations.begin(path, work, getattr(self._failing, "rule", None), state=state)

    def _put_endpoint(self, call: arm.Call) -> wire.Answer:
        body = call.request.json()
        with self._store.lock:
            before = self._store.get(call.path)
            self._not_busy(before)
            names = {one["name"] for one in self._store.below(f"{call.path}/deployments")}
            properties = body.get("properties") or {}
            traffic, mirror = properties.get("traffic") or {}, properties.get("mirrorTraffic") or {}
            check_shares(traffic, mirror, names)
            for name in (*traffic, *mirror):
                if traffic.get(name) or mirror.get(name):
                    self._not_busy(self._store.get(f"{call.path}/deployments/{name}"))
            made = arm.kept(call.path, call.kind, body, before)
            name = made["name"]
            made["properties"] |= {
                "scoringUri": f"https://{name}.{DOMAIN}/score", "swaggerUri": f"https://{name}.{DOMAIN}/swagger.json",
                "traffic": before["properties"].get("traffic", {}) if before else {},
                "mirrorTraffic": before["properties"].get("mirrorTraffic", {}) if before else {},
            }  # fmt: skip
            if before is None:
                self._serving.set_keys(name, [secrets.token_urlsafe(24), secrets.token_urlsafe(24)])
            self._store.put(made)

        def work() -> None:
            self._serving.open(name)
            self._store.change(call.path, traffic=traffic, mirrorTraffic=mirror)

        headers = self._begin(call.path, work, "Updating" if before else "Creating")
        return wire.Answer(200 if before else 201, self._store.get(call.path), headers)

    def _delete_endpoint(self, call: arm.Call) -> wire.Answer:
        with self._store.lock:
            before = self._store.get(call.path)
            if before is None:
                return wire.Answer(204)
            self._not_busy(before)

        def work() -> None:
            self._serving.close(before["name"])
            for one in self._store.below(f"{call.path}/deployments"):
                self._store.delete(one["id"])
            self._store.delete(call.path)

        return wire.Answer(202, {}, self._begin(call.path, work, "Deleting"))

    def _keys(self, call: arm.Call) -> wire.Answer:
        found = self._store.get(call.path)
        if found is None:
            raise wire.Fault(404, "ResourceNotFound", call.path)
        verb, name = call.verb.lower(), found["name"]
        if verb == "listkeys":
            first, second = self._serving.keys(name)
            return wire.Answer(200, {"primaryKey": first, "secondaryKey": second})
        if verb == "regeneratekeys":
            which = 0 if call.request.json().get("keyType", "Primary").lower() == "primary" else 1
            both = self._serving.keys(name)
            both[which] = call.request.json().get("keyValue") or secrets.token_urlsafe(24)
            self._serving.set_keys(name, both)
            return wire.Answer(200, {})
        if verb == "token":
            return wire.Answer(200, {"accessToken": self._serving.keys(name)[0], "tokenType": "Bearer"})
        raise wire.Fault(404, "NotFound", call.verb)

    def _put_deployment(self, call: arm.Call) -> wire.Answer:
        endpoint = call.path.rsplit("/", 2)[0]
        body = call.request.json()
        with self._store.lock:
            owner = self._store.get(endpoint)
            if owner is None:
                raise wire.Fault(404, "ResourceNotFound", f"no endpoint {endpoint}")
            self._not_busy(owner)
            before = self._store.get(call.path)
            self._not_busy(before)
            made = arm.kept(call.path, call.kind, body, before)
            made["properties"].setdefault("scaleSettings", {"scaleType": "Default"})
            made["properties"]["scaleSettings"] = made["properties"]["scaleSettings"] or {"scaleType": "Default"}
            for one in ((made["properties"].get("dataCollector") or {}).get("collections") or {}).values():
                one["dataCollectionMode"] = str(one.get("dataCollectionMode") or "Disabled").capitalize()  # an enum
            self._store.put(made)

        def work() -> None:
            self._serving.deploy(owner["name"], made, before)

        headers = self._begin(call.path, work, "Updating" if before else "Creating")
        return wire.Answer(200 if before else 201, self._store.get(call.path), headers)

    def _delete_deployment(self, call: arm.Call) -> wire.Answer:
        endpoint = call.path.rsplit("/", 2)[0]
        with self._store.lock:
            before, owner = self._store.get(call.path), self._store.get(endpoint)
            if before is None or owner is None:
                return wire.Answer(204)
            self._not_busy(before)
            name, about = before["name"], owner["properties"]
            if (about.get("traffic") or {}).get(name) or (about.get("mirrorTraffic") or {}).get(name):
                raise wire.Fault(400, "UserError", f"deployment {name} has non-zero traffic")

        def work() -> None:
            self._serving.remove(owner["name"], name)
            self._store.delete(call.path)

        return wire.Answer(202, {}, self._begin(call.path, work, "Deleting"))

    def _logs(self, call: arm.Call) -> wire.Answer:
        found = self._store.get(call.path)
        if found is None:
            raise wire.Fault(404, "ResourceNotFound", call.path)
        given = call.request.json()
        text = self._serving.logs(call.path.rsplit("/", 3)[1], found["name"])
        lines = text.splitlines()[-int(given.get("tail") or 5000) :]
        return wire.Answer(200, {"content": "\n".join(lines)})

    def _not_busy(self, resource: Resource | None) -> None:
        if busy(resource):
            raise wire.Fault(409, "Conflict", "Another operation on this resource is in progress.", Retry_After="1")


def check_shares(traffic: dict[str, Any], mirror: dict[str, Any], names: set[str]) -> None:
    """The service's rules. 400 where they are broken."""
    for name, share in (*traffic.items(), *mirror.items()):
        if not isinstance(share, int) or not 0 <= share <= 100:
            raise wire.Fault(400, "UserError", f"share of {name} is {share}")
        if share and name not in names:
            raise wire.Fault(400, "UserError", f"no deployment {name}")
    if sum(traffic.values()) not in (0, 100):
        raise wire.Fault(400, "UserError", f"traffic sums to {sum(traffic.values())}")
    live = [name for name, share in mirror.items() if share]
    if len(live) > 1 or any(share > 50 for share in mirror.values()) or any(traffic.get(name) for name in live):
        raise wire.Fault(400, "UserError", "mirror: one deployment without live traffic, at most 50")
