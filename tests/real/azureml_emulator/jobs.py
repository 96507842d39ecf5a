"""Jobs: taken by PUT, written down as the YAML that they came from, run in a process each, cancelled, asked about.

Pipelines and sweeps too: the REST body becomes a job file of the local runner (jobyaml.py), which runs it for real on
the snapshot that was uploaded. The process uploads log and outputs as it goes.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from azureml_emulator import arm, jobyaml, wire
from gates.runtime import process

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azureml_emulator.assets import Assets
    from azureml_emulator.storage import Storage
    from azureml_emulator.store import Resource, Store
    from azureml_emulator.tracking import Tracking

ENDED = ("Completed", "Failed", "Canceled")


class Jobs:
    """`folder` holds a folder a job; `delay`: seconds that a job stays queued."""

    def __init__(
        self, folder: Path, store: Store, assets: Assets, storage: Storage, tracking: Tracking, env: Mapping[str, str]
    ) -> None:
        self._folder, self._store, self._assets, self._storage = folder, store, assets, storage
        self._tracking, self._env = tracking, env
        self._children: dict[str, process.Child] = {}
        self._turn = threading.Lock()

    def handle(self, call: arm.Call) -> wire.Answer | None:
        if call.verb.lower() == "cancel":
            return self._cancel(call)
        if call.method == "PUT":
            return self._put(call)
        if call.method == "DELETE":
            self._store.delete(call.path)
            return wire.Answer(200)
        return None

    def _put(self, call: arm.Call) -> wire.Answer:
        body = call.request.json()
        with self._store.lock:
            before = self._store.get(call.path)
            if before is not None:
                return wire.Answer(200, self._again(before, body))
            made = arm.kept(call.path, call.kind, body, None)
            about = made["properties"]
            name = made["name"]
            workspace = call.path.split("/jobs/")[0]
            studio = f"https://ml.azure.com/runs/{name}?wsid={workspace}&tid=11111111-1111-1111-1111-111111111111"
            tracking = f"azureml://{arm.DATAPLANE}/mlflow/v1.0{workspace}"
            about |= {"status": "NotStarted", "isArchived": False, "provisioningState": "Succeeded"}
            about["services"] = {
                "Tracking": {"jobServiceType": "Tracking", "endpoint": tracking, "port": None, "status": None},
                "Studio": {"jobServiceType": "Studio", "endpoint": studio, "port": None, "status": None},
            }
            about["experimentName"] = about.get("experimentName") or "Default"
            about["displayName"] = about.get("displayName") or name
            default = f"azureml://datastores/workspaceartifactstore/ExperimentRun/dcid.{name}"
            about["outputs"] = (about.get("outputs") or {}) | {
                "default": {"uri": default, "jobOutputType": "uri_folder", "mode": "ReadWriteMount"}
            }
            self._store.put(made)
        threading.Thread(target=self._run, args=(call.path,), daemon=True).start()
        return wire.Answer(201, made)

    def _again(self, before: Resource, body: dict[str, Any]) -> Resource:
        """A PUT on a job that is there changes what people say of it, and nothing that it does."""
        given = body.get("properties") or {}
        told = {
            key: given[key]
            for key in ("tags", "properties", "displayName", "description", "isArchived")
            if key in given
        }
        before["properties"] |= told
        return self._store.put(before)

    def _cancel(self, call: arm.Call) -> wire.Answer:
        found = self._store.get(call.path)
        if found is None:
            raise wire.Fault(404, "ResourceNotFound", call.path)
        with self._turn:
            child = self._children.get(call.path.lower())
            if found["properties"]["status"] not in ENDED:
                self._store.change(call.path, status="CancelRequested")
        if child is not None:
            threading.Thread(target=child.terminate, args=(2.0,), daemon=True).start()
        headers = {
            "Location": f"https://management.azure.com{call.path}?api-version=2023-02-01-preview",
            "Retry-After": "1",
        }
        return wire.Answer(202, {}, headers) if child is not None else wire.Answer(200, {})

    def _run(self, path: str) -> None:
        found = self._store.get(path)
        if found is None:
            return
        home = self._folder / found["name"]
        status, problem = "Failed", ""
        try:
            home.mkdir(parents=True, exist_ok=True)
            self._store.change(path, status="Preparing")
            document = jobyaml.write(found, self._assets, home)
            self._log(found["name"], home)
            status, problem = self._process(path, found["name"], home, document)
        except wire.Fault as fault:
            problem = fault.answer.body["error"]["message"]
        except Exception as error:  # a defect of the emulator is a failed job, with its reason
            import traceback

            traceback.print_exc()
            problem = f"the emulator failed: {error}"
        cancelled = self._store.get(path)
        if cancelled is not None and cancelled["properties"]["status"] == "CancelRequested":
            status, problem = "Canceled", ""
        self._store.change(path, status=status, error=problem)

    def _process(self, path: str, name: str, home: Path, document: Path) -> tuple[str, str]:
        options = {
            "job": str(document), "home": str(home), "name": name, "tracking": self._tracking.uri,
            "python": sys.executable,
        }  # fmt: skip
        (home / "options.json").write_text(json.dumps(options))
        root = Path(__file__).resolve().parents[1]
        env = {**self._env, "PYTHONPATH": f"{root}{os.pathsep}{root.parents[1]}"}
        argv: list[str | Path] = [sys.executable, "-m", "azureml_emulator.jobrun", home / "options.json"]
        with self._turn:
            now = self._store.get(path)
            if now is None or now["properties"]["status"] == "CancelRequested":
                return "Canceled", ""
            child = self._children[path.lower()] = process.start(argv, cwd=home, env=env, log=home / "std_log.txt")
            self._store.change(path, status="Running")
        while child.poll() is None:
            self._log(name, home)
            time.sleep(0.2)
        result = home / "result.json"
        self._log(name, home)
        if not result.exists():
            return "Failed", f"the job's process ended with {child.poll()}"
        told: dict[str, Any] = json.loads(result.read_text())
        for output, place in told.get("outputs", {}).items():
            self._storage.keep(Path(place), "azureml-blobstore-4711", f"azureml/{name}/{output}")
        self._store.change(path, mlflowRun=told.get("run_id", ""))
        return ("Completed", "") if told["ok"] else ("Failed", str(told["problem"]))

    def _log(self, name: str, home: Path) -> None:
        log = home / "std_log.txt"
        data = log.read_bytes() if log.exists() else b""
        client = self._storage.service.get_container_client("azureml")
        client.upload_blob(f"ExperimentRun/dcid.{name}/user_logs/std_log.txt", data, overwrite=True)

    def stop(self) -> None:
        for child in self._children.values():
            child.terminate(1.0)
