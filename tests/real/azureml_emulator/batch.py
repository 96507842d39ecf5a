"""Batch endpoints: a default deployment, and jobs that really run the deployment's script on the file that is asked.

As the service does, the lines of a job's answers are put together in any order (seeded here), and written as fields of
CSV, quoted where they hold quotes.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from azureml_emulator import arm, tokens, wire
from azureml_emulator.operations import busy
from gates.runtime import process

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from azureml_emulator.assets import Assets
    from azureml_emulator.operations import Operations
    from azureml_emulator.storage import Storage
    from azureml_emulator.store import Resource, Store

DOMAIN = f"{arm.REGION}.inference.ml.azure.com"
PINNED = "azureml-model-deployment"
AUDIENCE = "https://ml.azure.com"
_RUN = """
import csv, importlib.util, random, sys
script, given, out = sys.argv[1:]
sys.path.insert(0, script.rpartition("/")[0])
spec = importlib.util.spec_from_file_location("scoring", script)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.init()
lines = [str(line) for line in module.run([given])]
random.Random(4711).shuffle(lines)
with open(out, "w", newline="") as file:
    csv.writer(file, delimiter=" ", lineterminator="\\n").writerows([line] for line in lines)
"""


class Batch:
    """`folder` holds a folder a job; `failing.rule` is the planted failure of the call that is being answered."""

    def __init__(
        self, folder: Path, store: Store, assets: Assets, storage: Storage, operations: Operations,
        failing: threading.local, env: Mapping[str, str],
    ) -> None:  # fmt: skip
        self._folder, self._store, self._assets, self._storage = folder, store, assets, storage
        self._operations, self._failing, self._env = operations, failing, env
        self._children: list[process.Child] = []

    def endpoint(self, call: arm.Call) -> wire.Answer | None:
        if call.method == "PUT":
            return self._put_endpoint(call)
        if call.method == "DELETE":
            return self._delete(call, [*self._store.below(f"{call.path}/deployments")])
        return None

    def deployment(self, call: arm.Call) -> wire.Answer | None:
        endpoint = self._store.get(call.path.rsplit("/deployments", 1)[0])
        if endpoint is None:
            raise wire.Fault(404, "ResourceNotFound", call.path)
        if call.method == "PUT":
            _not_busy(self._store.get(call.path))
            before = self._store.get(call.path)
            made = self._store.put(arm.kept(call.path, call.kind, call.request.json(), before))
            headers = self._begin(call.path, lambda: self._usable(made), "Updating" if before else "Creating")
            return wire.Answer(200 if before else 201, self._store.get(call.path), headers)
        if call.method == "DELETE":
            if _default(endpoint) == call.path.rsplit("/", 1)[1]:
                raise wire.Fault(400, "UserError", "the default deployment is not deleted")
            return self._delete(call, [])
        return None

    def _begin(self, path: str, work: Any, state: str) -> dict[str, str]:
        return self._operations.begin(path, work, getattr(self._failing, "rule", None), state=state)

    def _put_endpoint(self, call: arm.Call) -> wire.Answer:
        with self._store.lock:
            before = self._store.get(call.path)
            _not_busy(before)
            made = arm.kept(call.path, call.kind, call.request.json(), before)
            wanted = _default(made)
            if wanted and self._store.get(f"{call.path}/deployments/{wanted}") is None:
                raise wire.Fault(400, "UserError", f"no deployment {wanted}")
            made["properties"] |= {
                "scoringUri": f"https://{made['name']}.{DOMAIN}/jobs", "swaggerUri": None,
                "defaults": (before or {"properties": {}})["properties"].get("defaults"),
            }  # fmt: skip
            self._store.put(made)
        given = (call.request.json().get("properties") or {}).get("defaults")
        headers = self._begin(
            call.path, lambda: self._store.change(call.path, defaults=given), "Updating" if before else "Creating"
        )
        return wire.Answer(200 if before else 201, self._store.get(call.path), headers)

    def _delete(self, call: arm.Call, below: list[Resource]) -> wire.Answer:
        if self._store.get(call.path) is None:
            return wire.Answer(204)
        _not_busy(self._store.get(call.path))

        def work() -> None:
            for one in (*(item["id"] for item in below), call.path):
                self._store.delete(one)

        return wire.Answer(202, {}, self._begin(call.path, work, "Deleting"))

    def _usable(self, made: Resource) -> None:
        """What a deployment is made of is there; it runs nothing before it is asked."""
        about = made["properties"]
        if not about.get("compute"):
            raise wire.Fault(400, "BadRequest", "a batch deployment needs a compute")
        self._assets.find(about["model"]["assetId"])
        if about.get("codeConfiguration"):
            self._assets.find(about["codeConfiguration"]["codeId"])

    # the data plane

    def invoke(self, request: wire.Request) -> wire.Answer:
        """POST https://{endpoint}.{region}.inference.ml.azure.com/jobs"""
        if tokens.require(request).get("aud") != AUDIENCE:
            return wire.error(401, "Unauthorized", "the token is for another audience")
        name = request.host.split(".")[0]
        endpoint = self._store.get(f"{arm.WORKSPACE_ID}/batchEndpoints/{name}")
        chosen = request.headers.get(PINNED) or (_default(endpoint) if endpoint else "")
        deployment = self._store.get(f"{arm.WORKSPACE_ID}/batchEndpoints/{name}/deployments/{chosen}")
        if deployment is None:
            return wire.error(404, "NotFound", f"no deployment {chosen or '(default)'} of {name}")
        asked = request.json()["properties"]
        path = f"{arm.WORKSPACE_ID}/jobs/{asked['name']}"
        if self._store.get(path) is not None:
            return wire.error(409, "Conflict", f"there is a job {asked['name']}")
        about = {"jobType": "Pipeline", "status": "NotStarted", "tags": {}, "properties": {"deployment": chosen}}
        made = self._store.put(arm.kept(path, "jobs", {"properties": about}, None))
        threading.Thread(target=self._run, args=(path, deployment, asked), daemon=True).start()
        return wire.Answer(201, made)

    def _run(self, path: str, deployment: Resource, asked: dict[str, Any]) -> None:
        about, home = deployment["properties"], self._folder / asked["name"]
        status = "Failed"
        try:
            self._store.change(path, status="Running")
            home.mkdir(parents=True)
            model = self._assets.fetch(about["model"]["assetId"], home / "model")
            code = self._assets.fetch(about["codeConfiguration"]["codeId"], home / "code")
            given = self._storage.fetch(asked["inputData"]["UriFile"]["uri"], home / "data")
            out = home / "predictions.csv"
            env = {**self._env, **(about.get("environmentVariables") or {}), "AZUREML_MODEL_DIR": str(model.parent)}
            script = code / about["codeConfiguration"]["scoringScript"]
            argv: list[str | Path] = [sys.executable, "-c", _RUN, script, given, out]
            child = process.start(argv, cwd=home, env={**env, "PATH": os.environ["PATH"]}, log=home / "log.txt")
            self._children.append(child)
            if child.wait() == 0:
                self._storage.keep(out, *self._storage.locate(asked["outputData"]["score"]["uri"]))
                status = "Completed"
        except wire.Fault as fault:
            self._store.change(path, error=json.dumps(fault.answer.body))
        self._store.change(path, status=status)

    def stop(self) -> None:
        for child in self._children:
            child.terminate(1.0)


def _default(endpoint: Resource) -> str:
    return str((endpoint["properties"].get("defaults") or {}).get("deploymentName") or "")


def _not_busy(resource: Resource | None) -> None:
    if busy(resource):
        raise wire.Fault(409, "Conflict", "Another operation on this resource is in progress.", Retry_After="1")
