"""{region}.api.azureml.ms: discovery, run history, resolved URIs of data and models, MLflow."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from azureml_emulator import arm, tokens, wire

if TYPE_CHECKING:
    from azureml_emulator.assets import Assets
    from azureml_emulator.server import Handler
    from azureml_emulator.storage import Storage
    from azureml_emulator.store import Resource, Store
    from azureml_emulator.tracking import Tracking

_RUN = re.compile(
    r"(?i)/history/v1\.0(/subscriptions/.+/workspaces/[^/]+)/(?:experiments/[^/]+/)?runs/([^/]+)(?:/(\w+))?"
)
_FRONT = "/mferp/managementfrontend"
"""Where registries are managed: the resources of ARM, by another door."""
_TYPES = {"mlflow_model": "MLFlowModel", "custom_model": "CustomModel", "triton_model": "TritonModel"}


class DataPlane:
    def __init__(self, store: Store, storage: Storage, assets: Assets, tracking: Tracking) -> None:
        self._store, self._storage, self._assets, self._tracking = store, storage, assets, tracking
        self.manager: Handler = lambda _: wire.Answer(404)

    def handle(self, request: wire.Request) -> wire.Answer:
        path = request.path
        if path.startswith("/discovery"):
            base = f"https://{arm.DATAPLANE}"
            return wire.Answer(200, dict.fromkeys(("api", "history", "mlflow", "catalog", "experimentation"), base))
        tokens.require(request)
        if path.startswith(_FRONT):
            return _by_name(self.manager(replace(request, target=request.target[len(_FRONT) :])))
        if path.startswith("/mlflow/"):
            return self._tracking.handle(request)
        if path.startswith("/registrymanagement/"):
            return wire.Answer(200, _registry())
        run = _RUN.match(path)
        if run:
            return self._run(request, *run.groups())
        if path.endswith("/rundata"):
            workspace = path[path.index("/subscriptions") :].rsplit("/", 1)[0]
            job = self._job(workspace, request.json()["runId"])
            return wire.Answer(200, {"runMetadata": self._metadata(job), "runDefinition": {}, "jobSpecification": {}})
        if path.endswith("/dataversion/batchGetResolvedUris"):
            values = request.json()["values"]
            return wire.Answer(200, {"values": {one: {"uri": self._of(one), "type": "UriFolder"} for one in values}})
        if path.endswith("/models/batchGetResolvedUris"):
            values = request.json()["values"]
            return wire.Answer(200, {"values": {one: {"path": self._of(one), "uri": self._of(one)} for one in values}})
        return wire.error(404, "NotFound", path)

    def _of(self, asset: str) -> str:
        """The long URI behind an internal id, `azureml://…/jobs/NAME/OUTPUT`."""
        match = re.search(r"/jobs/([^/]+)/outputs/([^/]+)$", asset)
        if match is None:
            raise wire.Fault(404, "NotFound", asset)
        job, output = match.groups()
        base = f"azureml:/{arm.WORKSPACE_ID}".replace("resourceGroups", "resourcegroups").replace(
            f"providers/{arm.PROVIDER}/", ""
        )
        return f"{base}/datastores/workspaceblobstore/paths/azureml/{job}/{output}/"

    def _job(self, workspace: str, name: str) -> Resource:
        found = self._store.get(f"{workspace}/jobs/{name}")
        if found is None:
            raise wire.Fault(404, "UserError", f"Run {name} not found")
        return found

    def _run(self, request: wire.Request, workspace: str, name: str, what: str | None) -> wire.Answer:
        job = self._job(workspace, name)
        if request.method == "PATCH":
            given = request.json()
            about = job["properties"]
            for key in ("tags", "properties"):
                about[key] = (about.get(key) or {}) | (given.get(key) or {})
            for key in ("displayName", "description"):
                about[key] = given.get(key) or about.get(key)
            if given.get("hidden") is not None:
                about["isArchived"] = given["hidden"]
            self._store.put(job)
            return wire.Answer(200, self._metadata(job))
        if what == "details":
            return wire.Answer(200, self._details(job))
        if what == "children":
            return wire.Answer(200, {"value": []})
        return wire.Answer(200, self._metadata(job))

    def _details(self, job: Resource) -> dict[str, Any]:
        about, name = job["properties"], job["name"]
        logs = self._storage.names("azureml", f"ExperimentRun/dcid.{name}")
        prefix = f"ExperimentRun/dcid.{name}/"
        files = {one[len(prefix) :]: self._storage.sas("azureml", one) for one in logs if "/outputs/" not in one}
        error = {"error": {"code": "UserError", "message": about["error"]}} if about.get("error") else None
        return {
            "runId": name, "target": "cpu-cluster", "status": about["status"], "logFiles": files, "warnings": [],
            "error": error, "properties": about.get("properties") or {}, "inputDatasets": [], "outputDatasets": [],
            "startTimeUtc": job["systemData"]["createdAt"], "endTimeUtc": None, "runDefinition": {},
        }  # fmt: skip

    def _metadata(self, job: Resource) -> dict[str, Any]:
        about, name = job["properties"], job["name"]
        outputs = {}
        if about["status"] == "Completed":
            for output, value in about["outputs"].items():
                if output != "default":
                    kind = str((value or {}).get("jobOutputType") or "uri_folder")
                    asset = f"azureml://locations/{arm.REGION}/workspaces/1/jobs/{name}/outputs/{output}"
                    outputs[output] = {"assetId": asset, "type": _TYPES.get(kind, kind)}
        return {
            "runId": name, "status": about["status"], "displayName": about.get("displayName"), "outputs": outputs,
            "experimentId": name, "dataContainerId": f"dcid.{name}", "tags": about.get("tags") or {},
            "properties": about.get("properties") or {}, "createdUtc": job["systemData"]["createdAt"],
            "runType": "azureml.commandjob", "inputs": {}, "hidden": bool(about.get("isArchived")),
        }  # fmt: skip


def _by_name(answer: wire.Answer) -> wire.Answer:
    """Through that door a registry's assets are called `azureml://registries/R/…`."""
    text = answer.raw().replace(f'"{arm.REGISTRY_ID}/'.encode(), f'"azureml://registries/{arm.REGISTRY}/'.encode())
    return wire.Answer(answer.status, text, answer.headers)


def _registry() -> dict[str, Any]:
    """What the SDK asks before it speaks to a registry."""
    return {
        "registryName": arm.REGISTRY, "primaryRegion": arm.REGION, "regions": [arm.REGION],
        "primaryRegionResourceProviderUri": f"https://{arm.DATAPLANE}/", "subscriptionId": arm.SUBSCRIPTION,
        "resourceGroup": arm.GROUP, "workspaceUri": None,
    }  # fmt: skip
