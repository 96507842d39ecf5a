"""Model servers and what stands before them: keys, weights drawn by a seeded generator, pinning, mirroring.

The servers are those of the local backend (Azure's own inference server), one supervisor an endpoint; the split, the
keys and the mirror are done here, by the service's rules. What was asked goes to `noted`.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from azureml_emulator import wire
from azureml_emulator.collecting import Collecting
from gates.backends.local.endpoint import client
from gates.errors import GatesError
from gates.lineage.digest import file_digest, model_digest
from gates.serving import DeploymentSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from azureml_emulator.assets import Assets
    from azureml_emulator.store import Resource, Store

PINNED = "azureml-model-deployment"
_TIMEOUT = 600.0


class Serving:
    """`cache`: where the environments of model servers are kept; `env`: what they inherit."""

    def __init__(self, folder: Path, store: Store, assets: Assets, *, env: Mapping[str, str], cache: Path) -> None:
        self._folder, self._store, self._assets, self._env, self._cache = folder, store, assets, env, cache
        self._random = random.Random(4711)
        self._turn = threading.Lock()
        self._endpoints: dict[str, client.LocalEndpoint] = {}
        self._collecting = Collecting(assets.storage)
        self.noted: Callable[[str, str, int, float, float, wire.Request], None] = lambda *_: None

    def open(self, name: str) -> client.LocalEndpoint:
        with self._turn:
            if name not in self._endpoints:
                endpoint = client.connect(
                    self._folder, name, env=self._env, python=Path(sys.executable), cache=self._cache, score="predict"
                )
                endpoint.create_endpoint({}, epoch=0)
                self._endpoints[name] = endpoint
            return self._endpoints[name]

    def close(self, name: str) -> None:
        with self._turn:
            self._endpoints.pop(name, None)
            client.stop(self._folder, name)
            import shutil

            shutil.rmtree(self._folder / "endpoints" / name, ignore_errors=True)

    def stop(self) -> None:
        for name in list(self._endpoints):
            client.stop(self._folder, name)
        self._collecting.stop()

    def keys(self, name: str) -> list[str]:
        found: list[str] = json.loads((self._folder / f"{name}.keys").read_text())
        return found

    def set_keys(self, name: str, keys: list[str]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / f"{name}.keys").write_text(json.dumps(keys))

    def deploy(self, endpoint: str, resource: Resource, before: Resource | None) -> None:
        """Start the model server, or a new one where what it is made of has changed. 400 when it does not come up."""
        name, about = resource["name"], resource["properties"]
        made_of = (
            "model",
            "codeConfiguration",
            "environmentId",
            "environmentVariables",
            "requestSettings",
            "dataCollector",
        )
        old = {} if before is None else before["properties"]
        if old.get("provisioningState") == "Succeeded" and all(old.get(key) == about.get(key) for key in made_of):
            return
        if before is not None:
            self.remove(endpoint, name)
        home = self._folder / "fetched" / endpoint / f"{name}-{int(time.time() * 1e6)}"
        collects = self._collecting.variables(endpoint, name, about, home)
        body: dict[str, Any] = {"environment_variables": {**(about.get("environmentVariables") or {}), **collects}}
        model = self._assets.fetch(about["model"], home / "model") if about.get("model") else _nothing(home)
        given = about.get("codeConfiguration")
        if given:
            code = self._assets.fetch(given["codeId"], home / "code")
            body["code_configuration"] = {"code": str(code), "scoring_script": given["scoringScript"]}
        conda = self._assets.conda(about.get("environmentId"))
        if conda:
            body["environment"] = {"conda_file": yaml.safe_load(conda)}
        timeout = (about.get("requestSettings") or {}).get("requestTimeout")
        if timeout:
            body["request_settings"] = {"request_timeout_ms": _milliseconds(timeout)}
        digest = model_digest(model) if model.is_dir() else file_digest(model)
        spec = DeploymentSpec(name, f"{home.name}", str(model), digest, body)
        try:
            self.open(endpoint).create(spec, epoch=0)
            self._await(endpoint, name)
        except GatesError as error:
            raise wire.Fault(400, "BadRequest", str(error)) from error

    def _await(self, endpoint: str, name: str) -> None:
        until = time.monotonic() + _TIMEOUT
        while time.monotonic() < until:
            view = self.open(endpoint).observe().deployments.get(name)
            if view is None or view.state == "failed":
                raise wire.Fault(400, "ResourceNotReady", "User container has crashed or terminated. See its log.")
            if view.state == "ready":
                return
            time.sleep(0.1)
        raise wire.Fault(400, "ResourceNotReady", "the container did not become ready")

    def remove(self, endpoint: str, name: str) -> None:
        local = self.open(endpoint)
        local.delete(name, epoch=0)
        while name in local.observe().deployments:
            time.sleep(0.05)

    def logs(self, endpoint: str, name: str) -> str:
        return self.open(endpoint).logs(name)

    def handle(self, request: wire.Request) -> wire.Answer:
        """`{endpoint}.{region}.inference.ml.azure.com`"""
        name = request.host.split(".")[0]
        found = next((one for one in self._all() if one["name"] == name), None)
        if found is None:
            return wire.Answer(404, {"message": "no such endpoint"})
        if request.bearer not in self.keys(name):
            return wire.Answer(401, {"message": "key_auth_access_denied"})
        if request.path.rstrip("/") != "/score":
            return wire.Answer(200 if request.path == "/" else 404)
        traffic = {key: share for key, share in (found["properties"].get("traffic") or {}).items() if share}
        pinned = request.headers.get(PINNED)
        if pinned is None and not traffic:
            return wire.Answer(404, {"message": "no deployment has traffic"})
        with self._turn:
            chosen = pinned or self._random.choices(list(traffic), list(traffic.values()))[0]
            draw = self._random.random() * 100
        mirror = {key: share for key, share in (found["properties"].get("mirrorTraffic") or {}).items() if share}
        for target, share in mirror.items():
            if pinned is None and draw < share:
                threading.Thread(target=self._ask, args=(name, target, request), daemon=True).start()
        return self._ask(name, chosen, request)

    def _all(self) -> list[Resource]:
        from azureml_emulator import arm

        return [
            one
            for workspace in (arm.WORKSPACE_ID, arm.OTHER_WORKSPACE_ID)
            for one in self._store.below(f"{workspace}/onlineEndpoints")
        ]

    def _ask(self, endpoint: str, deployment: str, request: wire.Request) -> wire.Answer:
        begun = time.perf_counter()
        local = self.open(endpoint)
        if deployment not in local.observe().deployments:
            return wire.Answer(404, {"message": f"no deployment {deployment}"})
        answer = local.ask(request.body, deployment=deployment, timeout=60)
        status = answer.status or 502
        took = (time.perf_counter() - begun) * 1000
        self.noted(endpoint, deployment, status, took, time.time(), request)
        headers = {PINNED: deployment, "Content-Type": "application/json", "x-ms-request-id": f"{time.time_ns()}"}
        return wire.Answer(status, answer.body, headers)


def _nothing(home: Path) -> Path:
    (home / "model" / "none").mkdir(parents=True, exist_ok=True)
    return home / "model" / "none"


def _milliseconds(duration: str) -> int:
    """An ISO 8601 duration of seconds, minutes and hours."""
    import re

    match = re.fullmatch(r"P(?:T(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?)?", duration)
    hours, minutes, seconds = match.groups() if match else (None, None, None)
    return int((int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds or 0)) * 1000)


__all__ = ["Serving"]
