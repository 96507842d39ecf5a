"""Long-running operations: accepted at once, done by a thread, asked for by Azure-AsyncOperation and Location."""

from __future__ import annotations

import threading
import traceback
import uuid
from typing import TYPE_CHECKING, Any

from azureml_emulator import wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from azureml_emulator.faults import Rule
    from azureml_emulator.store import Store

ARM = "https://management.azure.com"
FAILURE = "InferencingClientCallFailed"


class Operations:
    """`wait_ms` is what clients are told to wait between two questions."""

    def __init__(self, store: Store, subscription: str, region: str, wait_ms: int = 100) -> None:
        self._store, self._wait = store, wait_ms
        self._base = f"/subscriptions/{subscription}/providers/Microsoft.MachineLearningServices/locations/{region}"

    def begin(self, path: str, work: Callable[[], None], rule: Rule | None, *, state: str) -> dict[str, str]:
        """Start `work` on the resource `path`, whose state becomes `state`, then Succeeded or Failed.

        The headers of the answer. A `fail` rule lets the work be done and then fails the operation: midway, as
        services do. `work` raises wire.Fault to fail by itself.
        """
        name = f"{self._base}/mfeOperationsStatus/{uuid.uuid4().hex}"
        self._store.put({"id": name, "properties": {"status": "InProgress", "resource": path}})
        self._store.change(path, provisioningState=state)
        threading.Thread(target=self._run, args=(name, path, work, rule), daemon=True).start()
        return self.headers(name)

    def headers(self, name: str) -> dict[str, str]:
        status = f"{ARM}{name}?api-version=2022-02-01-preview"
        return {
            "Azure-AsyncOperation": status,
            "Location": status.replace("mfeOperationsStatus", "mfeOperationResults"),
            "x-ms-retry-after-ms": str(self._wait),
            "x-ms-async-operation-timeout": "PT1H",
        }

    def _run(self, name: str, path: str, work: Callable[[], None], rule: Rule | None) -> None:
        problem: dict[str, Any] | None = None
        try:
            work()
            if rule is not None:
                problem = {
                    "code": rule.code if rule.code != "InternalServerError" else FAILURE,
                    "message": rule.message,
                }
        except wire.Fault as fault:
            problem = fault.answer.body["error"]
        except Exception as error:
            traceback.print_exc()
            problem = {"code": FAILURE, "message": str(error)}
        self._store.change(path, provisioningState="Succeeded" if problem is None else "Failed")
        self._store.change(name, status="Succeeded" if problem is None else "Failed", error=problem)

    def status(self, request: wire.Request) -> wire.Answer:
        """Both questions: of the operation, and of its result."""
        found = self._store.get(request.path.replace("mfeOperationResults", "mfeOperationsStatus"))
        if found is None:
            return wire.error(404, "NotFound", request.path)
        about = found["properties"]
        waiting = about["status"] == "InProgress"
        headers = {"x-ms-retry-after-ms": str(self._wait)} if waiting else {}
        if "mfeOperationResults" in request.path:
            resource = self._store.get(about["resource"])
            if waiting:
                return wire.Answer(202, {}, headers | self.headers(found["id"]))
            return wire.Answer(200 if resource else 204, resource or b"")
        body = {"id": found["id"], "name": found["id"].rsplit("/", 1)[1], "status": about["status"]}
        if about.get("error"):
            body["error"] = about["error"]
        return wire.Answer(200, body, headers)


def busy(resource: dict[str, Any] | None) -> bool:
    """Whether an operation runs on it."""
    return resource is not None and resource["properties"].get("provisioningState") in (
        "Creating",
        "Updating",
        "Deleting",
    )
