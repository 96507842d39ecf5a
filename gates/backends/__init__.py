"""Where jobs run, models are kept and endpoints serve: one protocol, one package a backend, loaded on demand.

A backend never prints a workflow command and never judges. It raises errors.Unavailable when it cannot be reached.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


@dataclass(frozen=True)
class TrainedRun:
    """A finished training job. `inputs` are its files by name, `model` the folder of the model output, fetched.

    assets: where an input stands that has a name or a place in a workspace, e.g. `azureml:census:3`. read: what the
    process that made the model read, where that is known and may be others than the job's inputs.
    """

    run_id: str
    job_url: str
    model: Path
    outputs: Path
    inputs: Mapping[str, Path]
    metrics: Mapping[str, float]
    params: Mapping[str, str]
    environment: Mapping[str, Any]
    code: Path | None
    log: Path
    seconds: float
    notes: tuple[str, ...] = ()
    assets: Mapping[str, str] = field(default_factory=dict)
    read: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class RanThere:
    """A job of ours that has completed where the data is. `folder`: one output of it, fetched."""

    name: str
    folder: Path


@dataclass(frozen=True)
class ModelVersion:
    """A registered version. `version` is an integer as text; `digest` is what was registered."""

    name: str
    version: str
    digest: str
    uri: str
    run_id: str = ""
    aliases: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    archived: bool = False


@dataclass(frozen=True)
class EndpointFiles:
    """The user's endpoint and deployment YAML, read by the SDK's loader; `warnings` are keys not honoured here.

    batch: what serves are jobs on whole files, and the endpoint's default deployment has all of them.
    """

    endpoint_name: str
    deployment_prefix: str
    endpoint_body: Mapping[str, Any]
    deployment_body: Mapping[str, Any]
    warnings: tuple[str, ...] = ()
    batch: bool = False


class Backend(Protocol):
    """What the five steps need; tests/contract runs one suite over every backend."""

    @property
    def name(self) -> str: ...

    def train(self, job: Path, *, model_output: str, compute: str, timeout: float | None, environment: str,
              tags: Mapping[str, str] | None = None, on_line: Callable[[str], None]) -> TrainedRun:  # fmt: skip
        """Submit the job and wait for its end; `tags` stand on it beside its own."""
        ...

    def run_there(self, job: Path, *, output: str, on_line: Callable[[str], None]) -> RanThere:
        """Run a command job of ours on the backend's own compute and fetch this one output of it.

        Raises errors.InvalidInput where there is no such compute, errors.JobFailed when the job failed.
        """
        ...

    def run_metrics(self, run_id: str) -> Mapping[str, float]:
        """The last value of each metric that a run logged."""
        ...

    def find(self, name: str, *, alias: str = "", version: str = "", digest: str = "") -> ModelVersion | None:
        """By alias, version or digest; None when there is no such model or version."""
        ...

    def versions(self, name: str) -> tuple[ModelVersion, ...]: ...

    def register(self, name: str, model: Path, *, digest: str, run_id: str, tags: Mapping[str, str],
                 lineage: Path) -> tuple[ModelVersion, bool]:  # fmt: skip
        """Register the folder and its lineage files. The same digest again gives the same version and False."""
        ...

    def fetch(self, version: ModelVersion, into: Path) -> Path:
        """The bytes that were registered, in a folder of their own."""
        ...

    def fetch_lineage(self, version: ModelVersion, into: Path) -> Path | None:
        """The lineage files that were registered beside the model."""
        ...

    def keep_lineage(self, version: ModelVersion, lineage: Path) -> None:
        """Replace the registry's copy of the lineage files: the model was gated or deployed after it was registered."""
        ...

    @property
    def shared(self) -> bool:
        """Whether the registry is one that other machines see, which have no state of ours."""
        ...

    def keep_events(self, folder: Path) -> None:
        """Publish these files of audit events where every machine of a shared registry finds them; none is replaced."""
        ...

    def fetch_events(self, into: Path) -> None:
        """Put the published files that the folder `into` lacks into it. Only asked where `shared`."""
        ...

    def fetch_data(self, reference: str, into: Path) -> Path:
        """The data of an `azureml:` reference, new each time: a file or folder; collected requests as one table."""
        ...

    def tag(self, version: ModelVersion, tags: Mapping[str, str]) -> None: ...

    def archive(self, version: ModelVersion, *, purge: bool = False) -> None:
        """Take a version out of `versions`; `find` by version still gives it, with `archived`. purge: its bytes too."""
        ...

    def move_alias(self, name: str, alias: str, *, expected: str | None, new: str | None) -> None:
        """Compare and set by version; errors.Conflict when `expected` is not current."""
        ...

    def endpoint_files(self, endpoint: Path, deployment: Path) -> EndpointFiles: ...

    def endpoint(self, name: str, *, score: str, batch: bool = False) -> Any:
        """Fits rollout.port.Endpoint. `score`: how the gate asked the model, so that what serves is asked likewise.

        batch: a batch endpoint, which has `answers` too; errors.InvalidInput where there are none.
        """
        ...

    def journal(self, endpoint: str) -> Any:
        """Fits rollout.journal.Store: where the rollouts of an endpoint are written down."""
        ...


def is_batch(deployment: Mapping[str, Any]) -> bool:
    """Whether a deployment file is of a batch endpoint: by its schema, or its type where it names none."""
    schema = str(deployment.get("$schema") or "")
    return "batchdeployment" in schema.lower() if schema else deployment.get("type") in ("model", "pipeline")
