"""The azureml backend: every step's jobs, models and endpoints in one workspace; fits backends.Backend."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from gates import confidential
from gates.backends import RanThere
from gates.backends.azureml import asked_job, collected, job_outputs, jobs, schedules
from gates.backends.azureml.archives import pack, unpack
from gates.backends.azureml.batch import AzureBatchEndpoint
from gates.backends.azureml.client import Workspace
from gates.backends.azureml.deployments import Maker
from gates.backends.azureml.endpoint import AzureEndpoint
from gates.backends.azureml.journal import BlobJournal
from gates.backends.azureml.lease import EndpointLease
from gates.backends.azureml.references import data_uri
from gates.backends.azureml.registry import Registry
from gates.backends.azureml.shared_registry import Shared, SharedRegistry, named
from gates.backends.azureml.storage import ROOT, Storage
from gates.backends.azureml.traffic_log import TrafficLog
from gates.errors import InvalidInput
from gates.lineage.digest import hexdigest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gates.backends import EndpointFiles, ModelVersion, TrainedRun

EVENTS = f"{ROOT}/events"


class NamedWorkspace(Protocol):
    """The key `workspace` of mlops.yml."""

    @property
    def subscription_id(self) -> str: ...
    @property
    def resource_group(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def registry(self) -> str | None: ...


class AzureMLBackend:
    """`model`: the registered model's name; `output`: the job output that is the model; `run`: the platform's run;
    `hidden`: values that no log of a job may keep."""

    name = "azureml"
    shared = True

    def __init__(
        self, workspace: Workspace, *, state_dir: Path, model: str, output: str, run: str, say: Callable[[str], None],
        hidden: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        self._workspace, self._state, self._model = workspace, state_dir, model
        self._output, self._run, self._say, self._hidden = output, run, say, hidden
        self._storage = Storage(workspace)
        self._registry = Registry(workspace, self._storage)

    def train(
        self,
        job: Path,
        *,
        model_output: str,
        compute: str,
        timeout: float | None,
        environment: str,
        tags: Mapping[str, str] | None = None,
        on_line: Callable[[str], None],
    ) -> TrainedRun:
        if environment != "current":
            raise InvalidInput("--environment: the workspace builds the job's own", hint="leave it out")
        asked = asked_job.load(
            job, model_output=model_output, compute=compute, timeout=timeout, run=self._run,
            pending=self._state / "azureml" / "pending", tags=tags or {},
        )  # fmt: skip
        work = self._state / "runs"
        return jobs.train(
            asked, self._workspace, self._storage, work=work, on_line=on_line, say=self._say, hidden=self._hidden
        )

    def run_there(self, job: Path, *, output: str, on_line: Callable[[str], None]) -> RanThere:
        asked = asked_job.load(
            job, model_output=output, compute="", timeout=None, run=self._run,
            pending=self._state / "azureml" / "pending", tags={}, kinds=("command", "spark"),
        )  # fmt: skip
        done = jobs.run(
            asked, self._workspace, self._storage, work=self._state / "runs", on_line=on_line, say=self._say,
            hidden=self._hidden,
        )  # fmt: skip
        folder = job_outputs.fetch_output(self._workspace, self._storage, done.name, output, done.folder / output)
        done.note.unlink(missing_ok=True)
        return RanThere(done.name, folder)

    def run_metrics(self, run_id: str) -> Mapping[str, float]:
        return dict(job_outputs.run_of(self._workspace, run_id)["metrics"])

    def find(self, name: str, *, alias: str = "", version: str = "", digest: str = "") -> ModelVersion | None:
        if version:
            return self._registry.get(name, version)
        return self._registry.by_digest(name, digest) if digest else self._registry.find(name, alias)

    def versions(self, name: str) -> tuple[ModelVersion, ...]:
        return self._registry.versions(name)

    def register(
        self, name: str, model: Path, *, digest: str, run_id: str, tags: Mapping[str, str], lineage: Path
    ) -> tuple[ModelVersion, bool]:
        output = self._output if run_id and model.name == self._output else ""
        version, new = self._registry.register(
            name, model, digest=digest, job=run_id if output else "", output=output, tags=tags
        )
        self.keep_lineage(version, lineage)
        return version, new

    def fetch(self, version: ModelVersion, into: Path) -> Path:
        return self._registry.fetch(version, into)

    def fetch_lineage(self, version: ModelVersion, into: Path) -> Path | None:
        if into.exists():
            return into
        packed = self._storage.read(_lineage(version))
        if packed is None:
            return None
        into.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=into.parent) as beside:
            return unpack(packed, Path(beside) / "lineage", version.uri).replace(into)

    def keep_lineage(self, version: ModelVersion, lineage: Path) -> None:
        self._storage.write(_lineage(version), pack(lineage))

    def keep_events(self, folder: Path) -> None:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            self._storage.add(f"{EVENTS}/{path.relative_to(folder).as_posix()}", path.read_bytes())

    def fetch_events(self, into: Path) -> None:
        for name in self._storage.below(EVENTS):
            target = into / name
            if not target.exists() and target.resolve().is_relative_to(into.resolve()):
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(self._storage.read(f"{EVENTS}/{name}") or b"")

    def fetch_data(self, reference: str, into: Path) -> Path:
        if into.exists():
            shutil.rmtree(into)
        uri = data_uri(self._workspace, reference)
        return collected.as_table(self._storage.download(uri, into / "as-stored"), into / "collected.parquet")

    def tag(self, version: ModelVersion, tags: Mapping[str, str]) -> None:
        self._registry.tag(version, tags)

    def move_alias(self, name: str, alias: str, *, expected: str | None, new: str | None) -> None:
        self._registry.move_alias(name, alias, expected=expected, new=new)

    def archive(self, version: ModelVersion, *, purge: bool = False) -> None:
        if purge:
            raise InvalidInput(
                "--purge: the workspace keeps the bytes", hint="leave it out, and delete the blobs there"
            )
        self._registry.archive(version)

    def share(self, version: ModelVersion, lineage: Path, registry: str = "") -> tuple[str, bool]:
        """The version's URI in the registry that workspaces share, and whether it is new there."""
        return SharedRegistry(self._workspace.beside(registry)).share(version, lineage)

    def shared_version(self, uri: str, into: Path) -> Shared:
        """A version of a registry, with its lineage, in the folder `into`; its bytes are those that were shared."""
        registry, name, version = named(uri)
        return SharedRegistry(self._workspace.beside(registry)).fetch(name, version, into)

    def schedule_training(self, job: Path, name: str, clock: schedules.Clock) -> None:
        """Train by the clock: the workspace submits the job, whoever runs or not."""
        schedules.retrain(self._workspace, job, name, clock)

    def schedule_monitor(self, name: str, clock: schedules.Clock, **what: Any) -> None:
        """Azure ML's model monitor over a deployment; see schedules.monitor."""
        schedules.monitor(self._workspace, name, clock, **what)

    def endpoint_files(self, endpoint: Path, deployment: Path) -> EndpointFiles:
        from gates.backends.local.endpoint import yamlfiles

        return replace(yamlfiles.read(endpoint, deployment, say=self._say, batch=True), warnings=())

    def endpoint(self, name: str, *, score: str, batch: bool = False) -> AzureEndpoint | AzureBatchEndpoint:
        maker = Maker(self._workspace, model_of=self._registered, score=score, batch=batch)
        lease = EndpointLease(self._storage, f"endpoints/{name}")
        if batch:
            return AzureBatchEndpoint(self._workspace, self._storage, name, lease=lease, maker=maker)
        log = TrafficLog(self._workspace, name, self.journal(name))
        return AzureEndpoint(self._workspace, name, lease=lease, log=log, maker=maker)

    def journal(self, endpoint: str) -> BlobJournal:
        return BlobJournal(self._storage, endpoint)

    def _registered(self, digest: str) -> str:
        found = self._registry.by_digest(self._model, digest)
        return "" if found is None else found.uri


def connect(
    named_workspace: NamedWorkspace | None, *, env: Mapping[str, str], state_dir: Path, model: str, output: str,
    say: Callable[[str], None], credential: str = "",
) -> AzureMLBackend:  # fmt: skip
    """The backend on the workspace that mlops.yml names. Nothing is asked of Azure before it is needed."""
    if named_workspace is None:
        raise InvalidInput("backend azureml needs a workspace", hint="add the key 'workspace' to mlops.yml")

    def opened() -> tuple[Any, str]:
        from gates.backends.azureml import credentials

        return credentials.open_credential(env, credential)

    workspace = Workspace(
        subscription=named_workspace.subscription_id, group=named_workspace.resource_group, name=named_workspace.name,
        open_credential=opened, registry=named_workspace.registry or "",
    )  # fmt: skip
    return AzureMLBackend(
        workspace, state_dir=state_dir, model=model, output=output, run=run_of(env), say=say,
        hidden=confidential.values(env),
    )  # fmt: skip


def run_of(env: Mapping[str, str]) -> str:
    """The pipeline's run, the same in each attempt at it; '' on a laptop and under act, where each is number 1."""
    if env.get("ACT"):
        return ""
    if env.get("GITHUB_RUN_ID"):
        return f"github {env.get('GITHUB_REPOSITORY', '')} {env['GITHUB_RUN_ID']}"
    if env.get("BUILD_BUILDID"):
        return f"azure-devops {env.get('SYSTEM_COLLECTIONURI', '')} {env['BUILD_BUILDID']}"
    return ""


def _lineage(version: ModelVersion) -> str:
    return f"{ROOT}/lineage/{version.name}/{hexdigest(version.digest)}.zip"
