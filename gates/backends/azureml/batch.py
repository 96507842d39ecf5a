"""A batch endpoint, as the blue-green machine sees one: its default deployment has all of its traffic.

There are no shares, no copies and no requests to watch: a deployment is asked by a job on a whole file, by name, before
it becomes the default; its answers are what is gated. Writes, fence and tags are those of endpoint.py. A job's name is
made from the deployment as it was created and from the file, so a runner that comes after a dead one finds its job.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NoReturn

from gates.backends.azureml.calls import explained
from gates.backends.azureml.endpoint import MODEL_TAG, SPEC_TAG, kept, named, require_short, settled, view_of, writable
from gates.backends.azureml.scoring_client import SERVED_BY
from gates.backends.azureml.storage import ROOT
from gates.canonical import digest
from gates.errors import Conflict, InvalidInput, Unavailable
from gates.lineage.digest import file_digest
from gates.serving import Answer, DeploymentSpec, EndpointView, Lease, RequestEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from gates.backends.azureml import deployments
    from gates.backends.azureml.client import Workspace
    from gates.backends.azureml.lease import EndpointLease
    from gates.backends.azureml.storage import Storage

_SCOPE = "https://ml.azure.com/.default"
_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
_ATTEMPTS = 20
_ENDED_BADLY = ("Failed", "Canceled", "NotResponding")


class AzureBatchEndpoint:
    """One batch endpoint of a workspace; fits rollout.port.Endpoint, and has `answers`."""

    def __init__(
        self, workspace: Workspace, storage: Storage, name: str, *, lease: EndpointLease, maker: deployments.Maker
    ) -> None:
        self.name = named(name)
        self._workspace, self._storage, self._lease, self._maker = workspace, storage, lease, maker
        self._path = f"batchEndpoints/{name}"

    def observe(self) -> EndpointView:
        found = self._workspace.get(self._path)
        if found is None:
            return EndpointView(exists=False)
        default = _default(found)
        views = [view_of(item, self._maker) for item in self._workspace.each(f"{self._path}/deployments")]
        return EndpointView(
            exists=True,
            updating=not settled(found),
            url=str(found["properties"].get("scoringUri") or ""),
            traffic={default: 100} if default else {},
            tags={str(key): str(value) for key, value in (found.get("tags") or {}).items()},
            deployments={view.name: view for view in views},
        )

    def create_endpoint(self, body: Mapping[str, Any], *, epoch: int) -> None:
        self._lease.fence(epoch)
        if self._workspace.get(self._path) is None:
            self._maker.endpoint(self.name, body)

    def create(self, spec: DeploymentSpec, *, epoch: int) -> None:
        self._lease.fence(epoch)
        present = self._workspace.get(f"{self._path}/deployments/{spec.name}")
        if present is None:
            self._maker.deployment(self.name, spec, tags={SPEC_TAG: spec.spec_digest, MODEL_TAG: spec.model_digest})
            return
        view = view_of(present, self._maker)
        if view.spec_digest != spec.spec_digest or view.state == "deleting":
            raise Conflict(f"deployment {spec.name} exists with another spec", hint="delete it, or wait until it is")

    def write(
        self, *, traffic: Mapping[str, int], mirror: Mapping[str, int], tags: Mapping[str, str], epoch: int
    ) -> None:
        """Make the one with all traffic the default; without traffic there is none."""
        live = {name: share for name, share in traffic.items() if share}
        if mirror or any(share != 100 for share in live.values()) or len(live) > 1:
            raise InvalidInput("a batch endpoint has one default deployment, and no shares", hint="steps: [100]")
        require_short(tags)
        self._lease.fence(epoch)
        found = writable(self._workspace.get(self._path), self.name)
        for name in live:
            one = self._workspace.get(f"{self._path}/deployments/{name}")
            if one is None or view_of(one, self._maker).state not in ("ready", "updating"):
                raise InvalidInput(f"deployment {name} is not ready for traffic")
        defaults = {**(found["properties"].get("defaults") or {}), "deploymentName": next(iter(live), None)}
        self._workspace.put(self._path, kept(found, {"defaults": defaults}, tags), conflicts=True)

    def delete(self, name: str, *, epoch: int) -> None:
        self._lease.fence(epoch)
        found = self._workspace.get(self._path)
        if found is None:
            return
        if _default(found) == name:
            raise Conflict(f"deployment {name} is the default", hint="make another the default first")
        present = self._workspace.get(f"{self._path}/deployments/{name}")
        if present is not None and view_of(present, self._maker).state != "deleting":
            self._workspace.delete(f"{self._path}/deployments/{name}", conflicts=True)

    def answers(self, deployment: str, data: Path, into: Path, *, beat: Callable[[], None], seconds: float) -> Path:
        """What a deployment answers to a file, by a job of its own; the file of its lines, below `into`.

        beat: called every few seconds; it raises what ends the wait, and the job goes on. Raises Unavailable when the
        job fails or takes longer than `seconds`.
        """
        found = self._workspace.get(f"{self._path}/deployments/{deployment}")
        if found is None:
            raise Unavailable(f"deployment {deployment} is gone", hint="deploy again")
        made = str((found.get("systemData") or {}).get("createdAt") or "")
        key = digest({"endpoint": self.name, "of": deployment, "made": made, "data": file_digest(data)})[7:19]
        job = self._job(f"gates-batch-{key}", deployment, data)
        self._await(job, beat, seconds)
        return self._storage.download(self._uri(job, "predictions.csv"), into)

    def _job(self, prefix: str, deployment: str, data: Path) -> str:
        """The job that is under way or done, or a new one."""
        for attempt in range(1, _ATTEMPTS + 1):
            name = f"{prefix}-{attempt}"
            known = self._workspace.get(f"jobs/{name}")
            if known is None:
                return self._invoke(name, deployment, data)
            if known["properties"].get("status") not in _ENDED_BADLY:
                return name
        raise Unavailable(
            f"{_ATTEMPTS} jobs of {deployment} failed on the same data", hint="look at them in the studio"
        )

    def _invoke(self, name: str, deployment: str, data: Path) -> str:
        """Put the file into the workspace's storage and start the job; its name, as the service says."""
        self._storage.write(f"{ROOT}/batch/{name}/{data.name}", data.read_bytes())
        url = self.observe().url
        if not url:
            raise Unavailable(f"endpoint {self.name} has no address", hint="create it first")
        body = {
            "properties": {
                "name": name,
                "inputData": {"UriFile": {"jobInputType": "UriFile", "uri": self._uri(name, data.name)}},
                "outputData": {"score": {"jobOutputType": "UriFile", "uri": self._uri(name, "predictions.csv")}},
            }
        }
        with explained(f"ask {deployment}"):
            said = self._workspace.send("POST", url, body, scope=_SCOPE, headers={SERVED_BY: deployment})
        if str((said or {}).get("name") or name) != name:
            raise Unavailable(f"the job of {deployment} is named {(said or {})['name']}, not {name} as asked")
        return name

    def _uri(self, job: str, file: str) -> str:
        return f"azureml://datastores/{self._storage.default}/paths/{ROOT}/batch/{job}/{file}"

    def _await(self, job: str, beat: Callable[[], None], seconds: float) -> None:
        until, turn = time.monotonic() + seconds, 0
        while True:
            found = self._workspace.get(f"jobs/{job}")
            status = str(((found or {}).get("properties") or {}).get("status") or "NotStarted")
            if status == "Completed":
                return
            if status in _ENDED_BADLY:
                raise Unavailable(f"batch job {job} ended as {status}", hint="see its log in the studio")
            if time.monotonic() > until:
                raise Unavailable(f"batch job {job} is {status} after {seconds:.0f} s", hint="look at its compute")
            time.sleep(_PAUSES[min(turn, len(_PAUSES) - 1)])
            turn += 1
            beat()

    # what only a deployment that answers requests has

    def ask(self, body: bytes, *, deployment: str | None = None, timeout: float = 30.0) -> Answer:  # noqa: ARG002  # the port's
        self._refuse()

    def address(self, deployment: str) -> tuple[str, Mapping[str, str]]:  # noqa: ARG002  # same
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise InvalidInput(
            f"{self.name} is a batch endpoint: it takes files, no requests", hint="leave out deploy.sample_request"
        )

    def requests_since(self, cursor: int) -> tuple[Sequence[RequestEvent], int]:
        return (), cursor

    def logs(self, name: str) -> str:  # noqa: ARG002  # same
        """None: a batch deployment has no container until a job runs."""
        return ""

    def acquire(self, owner: str, *, seconds: float, now: float) -> Lease:
        return self._lease.acquire(owner, seconds=seconds, now=now)

    def release(self, lease: Lease) -> None:
        self._lease.release(lease)


def _default(found: Mapping[str, Any]) -> str:
    return str((found["properties"].get("defaults") or {}).get("deploymentName") or "")
