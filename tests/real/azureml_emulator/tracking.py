"""The workspace's MLflow: a server on loopback, started when first asked for, reached through the data plane.

A job is its run there: what comes in with a job's name as run id goes on with the run's own id, and back.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from azureml_emulator import wire
from gates.backends.local import tracking as local

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from azureml_emulator.store import Store


class Tracking:
    def __init__(self, folder: Path, store: Store, env: Mapping[str, str]) -> None:
        self._folder, self._store, self._env = folder, store, env
        self._stack, self._turn = contextlib.ExitStack(), threading.Lock()
        self._server: local.Tracking | None = None

    @property
    def uri(self) -> str:
        with self._turn:
            if self._server is None:
                database = f"sqlite:///{self._folder / 'mlflow.db'}"
                opened = local.tracking(database, state_dir=self._folder, env=self._env)
                self._server = self._stack.enter_context(opened)
            return self._server.uri

    def stop(self) -> None:
        self._stack.close()

    def handle(self, request: wire.Request) -> wire.Answer:
        """`/mlflow/v1.0/subscriptions/…/workspaces/W/api/2.0/mlflow/…`"""
        _, found, rest = request.target.partition("/api/2.0/")
        if not found:
            return wire.error(404, "NotFound", request.path)
        names = self._names(request)
        target, body = f"/api/2.0/{rest}", request.body
        for job, run in names.items():
            target, body = target.replace(job, run), body.replace(job.encode(), run.encode())
        address = urlsplit(self.uri)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
        try:
            connection.request(request.method, target, body or None, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        for job, run in names.items():
            content = content.replace(run.encode(), job.encode())
        return wire.Answer(answer.status, content, {"Content-Type": "application/json"})

    def _names(self, request: wire.Request) -> dict[str, str]:
        """Job name to run id, of the job that a request names."""
        text = request.target + request.body.decode("utf-8", "replace")
        workspace = request.path[request.path.index("/subscriptions") :].partition("/api/2.0/")[0]
        found = {}
        for job in self._store.below(f"{workspace}/jobs"):
            if job["name"] in text:
                run = job["properties"].get("mlflowRun") or self.run_of(job["name"])
                if run:
                    found[job["name"]] = run
        return found

    def run_of(self, job: str) -> str:
        """The run that carries the job's name as a tag; empty while there is none."""
        experiments = [
            one["experiment_id"] for one in self._post("experiments/search", max_results=1000)["experiments"]
        ]
        filtered = f"tags.`emulator.job` = '{job}'"
        runs = self._post("runs/search", experiment_ids=experiments, filter=filtered).get("runs") or []
        top = [one for one in runs if not _tag(one, "mlflow.parentRunId")] or runs
        return str(top[0]["info"]["run_id"]) if top else ""

    def _post(self, method: str, **body: Any) -> Any:
        address = urlsplit(self.uri)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", f"/api/2.0/mlflow/{method}", json.dumps(body), headers)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


def _tag(run: dict[str, Any], name: str) -> str:
    return next((tag["value"] for tag in run["data"].get("tags", []) if tag["key"] == name), "")
