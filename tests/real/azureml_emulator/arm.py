"""management.azure.com: who may come in, resources by path, and assets with versions."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from azureml_emulator import checking, storage, tokens, wire
from azureml_emulator.operations import ARM
from azureml_emulator.store import stamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from azureml_emulator.server import Log
    from azureml_emulator.store import Resource, Store

SUBSCRIPTION = "44444444-4444-4444-4444-444444444444"
GROUP, WORKSPACE, REGION = "risk-rg", "risk-ws", "westeurope"
PROVIDER = "Microsoft.MachineLearningServices"
WORKSPACE_ID = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/{PROVIDER}/workspaces/{WORKSPACE}"
OTHER_WORKSPACE_ID = f"{WORKSPACE_ID.rsplit('/', 1)[0]}/risk-prod"
REGISTRY = "risk-registry"
REGISTRY_ID = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/{PROVIDER}/registries/{REGISTRY}"
DATAPLANE = f"{REGION}.api.azureml.ms"
DISCOVERY = "eastus.api.azureml.ms"
"""Where the SDK asks for any registry, whatever its region."""
ASSETS = ("codes", "environments", "data", "models", "components")
AUDIENCES = ("https://management.azure.com", "https://management.core.windows.net/")
_VERSIONED = re.compile(rf"(.*)/({'|'.join(ASSETS)})/([^/]+)/versions/([^/]+)", re.IGNORECASE)


@dataclass
class Call:
    """A request to a resource: its path, its kind (`onlineEndpoints/deployments`), and the verb of a POST."""

    request: wire.Request
    path: str
    kind: str
    verb: str = ""

    @property
    def method(self) -> str:
        return self.request.method


class Arm:
    """`special`: handlers by kind that are asked first; they return None for what they leave to us."""

    def __init__(self, store: Store, data: storage.Storage, invalid: Log) -> None:
        self.store, self.data, self._invalid = store, data, invalid
        self.special: dict[str, Callable[[Call], wire.Answer | None]] = {}
        self.operations: Callable[[wire.Request], wire.Answer] = lambda _: wire.Answer(404)
        self.monitor: Callable[[wire.Request], wire.Answer] = self.operations
        self.roles: Callable[[], list[dict[str, list[str]]]] = lambda: [{"actions": ["*"], "notActions": []}]
        self.enforced: Callable[[], bool] = lambda: False
        for workspace in (WORKSPACE_ID, OTHER_WORKSPACE_ID):
            self._furnish(workspace)
        if store.get(REGISTRY_ID) is None:
            store.put(_registry())

    def _furnish(self, workspace: str) -> None:
        if self.store.get(workspace) is not None:
            return
        self.store.put(_workspace(workspace))
        for name, container in storage.CONTAINERS.items():
            self.store.put(
                _resource(f"{workspace}/datastores/{name}", "datastores", storage.datastore(name, container))
            )
        compute = {
            "computeType": "AmlCompute",
            "provisioningState": "Succeeded",
            "properties": {"vmSize": "STANDARD_D2_V2"},
        }
        self.store.put(_resource(f"{workspace}/computes/cpu-cluster", "computes", compute) | {"location": REGION})

    def handle(self, request: wire.Request) -> wire.Answer:
        token = tokens.require(request)
        if token.get("aud") not in AUDIENCES:
            raise wire.Fault(401, "InvalidAuthenticationTokenAudience", f"audience {token.get('aud')}")
        path = request.path.rstrip("/")
        if "/mfeoperation" in path.lower():
            return self.operations(request)
        if path.lower().endswith("/providers/microsoft.authorization/permissions"):
            return wire.Answer(200, {"value": self.roles()})
        if "/providers/microsoft.insights/" in path.lower() or "/microsoft.operationalinsights/" in path.lower():
            return self.monitor(request)
        call = self._call(request, path)
        self._may(call)
        self._check(call)
        return self._special(call) or self._plain(call)

    def _special(self, call: Call) -> wire.Answer | None:
        handler = self.special.get(call.kind)
        return None if handler is None else handler(call)

    def _call(self, request: wire.Request, path: str) -> Call:
        match = re.match(rf"(?i)/subscriptions/[^/]+(?:/resourceGroups/[^/]+)?/providers/{PROVIDER}/(.+)", path)
        if match is None:
            raise wire.Fault(404, "NotFound", path)
        words = match.group(1).split("/")
        verb = ""
        if request.method == "POST" and len(words) % 2 == 1:
            verb, path, words = words[-1], path.rsplit("/", 1)[0], words[:-1]
        owner = path[: match.start(1)] + "/".join(words[:2])
        if len(words) >= 2 and self.store.get(owner) is None:
            raise wire.Fault(404, "ResourceNotFound", f"The Resource '{owner}' was not found.")
        return Call(request, path, "/".join(words[2::2]), verb)

    def _may(self, call: Call) -> None:
        """Where roles are enforced, an action that none of them allows is a 403, as Azure words it."""
        action = action_of(call)
        if self.enforced() and not any(
            any(_fits(one, action) for one in role["actions"])
            and not any(_fits(one, action) for one in role.get("notActions", []))
            for role in self.roles()
        ):
            said = f"The client does not have authorization to perform action '{action}' over scope '{call.path}'."
            raise wire.Fault(403, "AuthorizationFailed", said)

    def _check(self, call: Call) -> None:
        """Every body of a PUT, by Microsoft's schema; what does not hold is a line of `invalid.jsonl` and a 400."""
        if call.method != "PUT" or not checking.there():
            return
        version = call.request.query.get("api-version", "")
        if version.endswith("dataplanepreview"):
            return  # the registries' own plane: Microsoft publishes no schema of it
        owner = "registries" if "/registries/" in call.path.lower() else "workspaces"
        kind = "_".join(filter(None, [owner, *call.kind.split("/")]))
        wrong = checking.problems(version, kind, call.request.json())
        if wrong:
            self._invalid(kind=kind, version=version, path=call.path, problems=wrong, body=call.request.json())
            raise wire.Fault(400, "SchemaViolation", "; ".join(wrong))

    def _plain(self, call: Call) -> wire.Answer:
        if call.verb:
            return self._post(call)
        if call.method == "GET" and len(call.path.split("/")) % 2 == 0:
            return self._list(call)
        if call.method in ("GET", "HEAD"):
            return wire.Answer(200, self._get(call.path))
        if call.method == "PUT":
            return self._put(call)
        if call.method == "DELETE":
            return wire.Answer(200 if self.store.delete(call.path) else 204)
        raise wire.Fault(405, "MethodNotAllowed", call.method)

    def _get(self, path: str) -> Resource:
        found = self.store.get(path)
        if found is None:
            raise wire.Fault(404, "UserError", f"Not found: {path}")
        return found

    def _post(self, call: Call) -> wire.Answer:
        verb = call.verb.lower()
        if verb == "listsecrets":
            self._get(call.path)
            return wire.Answer(200, storage.secrets_of(self.data))
        if verb == "startpendingupload":
            return wire.Answer(200, pending(self.data))
        if verb == "listkeys" and call.kind == "":
            return wire.Answer(200, {"userStorageKey": self.data.key})
        raise wire.Fault(404, "NotFound", f"{call.path}/{call.verb}")

    def _list(self, call: Call) -> wire.Answer:
        """Newest first, as the service does; `hash`, `isDefault`, `$top` and `tags` are honoured."""
        query = call.request.query
        found = self.store.below(call.path)
        found.sort(key=lambda one: str(one.get("systemData", {}).get("createdAt", "")), reverse=True)
        archived = query.get("listViewType", "ActiveOnly")
        if archived != "All":
            wanted = archived == "ArchivedOnly"
            found = [one for one in found if bool(one["properties"].get("isArchived")) == wanted]
        if "hash" in query:
            found = [one for one in found if query["hash"] in json_text(one)]
        if query.get("isDefault", "").lower() == "true":
            found = [one for one in found if one["properties"].get("isDefault")]
        for pair in filter(None, query.get("tags", "").split(",")):
            key, _, value = pair.partition("=")
            found = [one for one in found if (one["properties"].get("tags") or {}).get(key) == value]
        top = int(query.get("$top") or 0)
        return wire.Answer(200, {"value": found[:top] if top else found})

    def _put(self, call: Call) -> wire.Answer:
        with self.store.lock:
            before = self.store.get(call.path)
            body = call.request.json()
            versioned = _VERSIONED.fullmatch(call.path)
            if before is not None and versioned and _frozen(before) != _frozen(body):
                raise wire.Fault(400, "UserError", f"A version is immutable: {call.path}")
            made = kept(call.path, call.kind, body, before)
            made["properties"] |= {"provisioningState": "Succeeded"}
            if versioned:
                self._contain(versioned, made)
            self.store.put(made)
        return wire.Answer(200 if before else 201, made)

    def _contain(self, versioned: re.Match[str], made: Resource) -> None:
        """The container of a version, which knows the latest and the next."""
        if versioned.group(2).lower() == "models":
            made["properties"].setdefault("flavors", {})
            made["properties"]["flavors"] = made["properties"]["flavors"] or {}
        path = f"{versioned.group(1)}/{versioned.group(2)}/{versioned.group(3)}"
        numbers = [one["name"] for one in self.store.below(f"{path}/versions")] + [versioned.group(4)]
        whole = [int(name) for name in numbers if name.isdigit()]
        latest = str(max(whole)) if whole else versioned.group(4)
        container = self.store.get(path) or _resource(path, versioned.group(2), {"isArchived": False, "tags": {}})
        container["properties"] |= {"latestVersion": latest, "nextVersion": str(max(whole, default=0) + 1)}
        self.store.put(container)


def action_of(call: Call) -> str:
    """The action that Azure's roles name for a request."""
    owner = "registries" if "/registries/" in call.path.lower() else "workspaces"
    verb = (
        f"{call.verb}/action"
        if call.verb
        else {"PUT": "write", "PATCH": "write", "DELETE": "delete"}.get(call.method, "read")
    )
    return "/".join(filter(None, [PROVIDER, owner, call.kind, verb]))


def _fits(pattern: str, action: str) -> bool:
    import fnmatch

    return fnmatch.fnmatchcase(action.lower(), pattern.lower())


def pending(data: storage.Storage) -> dict[str, Any]:
    """Where the bytes of a code or a registry's asset go: a container of their own, by signature."""
    container = f"up-{uuid.uuid4().hex}"
    data.service.create_container(container)
    url = data.sas(container, write=True)
    return {
        "pendingUploadId": uuid.uuid4().hex, "pendingUploadType": "TemporaryBlobReference",
        "blobReferenceForConsumption": {
            "blobUri": url.partition("?")[0], "storageAccountArmId": "",
            "credential": {"credentialType": "SAS", "sasUri": url},
        },
    }  # fmt: skip


def json_text(value: Any) -> str:
    import json

    return json.dumps(value)


def _frozen(resource: Resource) -> dict[str, Any]:
    """What may not change in a version: what it is made of. Tags, properties, description and stage may."""
    made_of = ("modelUri", "modelType", "dataUri", "dataType", "codeUri", "condaFile", "image", "componentSpec")
    given = resource["properties"]
    return {name: given.get(name) for name in made_of}


def kept(path: str, kind: str, body: dict[str, Any], before: Resource | None) -> Resource:
    """The resource that a PUT makes: the whole body, nothing of what was there but who made it when."""
    made = _resource(path, kind, {**(body.get("properties") or {})})
    made |= {
        name: value for name, value in body.items() if name not in ("properties", "id", "name", "type", "systemData")
    }
    if before is not None:
        made["systemData"] |= {"createdAt": before["systemData"]["createdAt"]}
    return made


def _resource(path: str, kind: str, properties: dict[str, Any]) -> Resource:
    who = {"createdBy": "loopback", "createdByType": "Application", "lastModifiedBy": "loopback"}
    about = {"createdAt": stamp(), "lastModifiedAt": stamp(), **who}
    owner = "registries" if "/registries/" in path else "workspaces"
    return {
        "id": path, "name": path.rsplit("/", 1)[1], "type": f"{PROVIDER}/{owner}/{kind}", "systemData": about,
        "properties": properties,
    }  # fmt: skip


def _workspace(path: str) -> Resource:
    group = path.split("/providers/")[0]
    properties = {
        "friendlyName": path.rsplit("/", 1)[1], "provisioningState": "Succeeded",
        "workspaceId": str(uuid.uuid5(uuid.NAMESPACE_URL, path)), "tenantId": tokens.TENANT,
        "storageAccount": f"{group}/providers/Microsoft.Storage/storageAccounts/{storage.ACCOUNT}",
        "keyVault": f"{group}/providers/Microsoft.KeyVault/vaults/riskkv",
        "applicationInsights": f"{group}/providers/Microsoft.Insights/components/riskai",
        "discoveryUrl": f"https://{DATAPLANE}/discovery",
        "mlFlowTrackingUri": f"azureml://{DATAPLANE}/mlflow/v1.0{path}",
        "publicNetworkAccess": "Enabled", "hbiWorkspace": False, "v1LegacyMode": False,
    }  # fmt: skip
    return _resource(path, "", properties) | {
        "type": f"{PROVIDER}/workspaces", "location": REGION, "tags": {}, "kind": "Default",
        "identity": {"type": "SystemAssigned", "principalId": str(uuid.uuid4()), "tenantId": tokens.TENANT},
        "sku": {"name": "Basic", "tier": "Basic"},
    }  # fmt: skip


def _registry() -> Resource:
    properties = {"discoveryUrl": f"https://{DATAPLANE}/registrymanagement/v1.0/registries/{REGISTRY}/discovery"}
    return _resource(REGISTRY_ID, "", properties) | {"type": f"{PROVIDER}/registries", "location": REGION, "tags": {}}


__all__ = ["ARM", "Arm", "Call", "kept", "pending"]
