"""mlops.yml -> Project: what this project is, as frozen values.

Paths in the file are relative to the file, the one inside a sqlite URI too; `${env:NAME}` is replaced, an unset one
is an error with file and line. Secrets never stand here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from gates import inputs
from gates.document import Document, convert, load_yaml, parse_yaml
from gates.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

Duration = Annotated[str, Meta(pattern=r"^\d+(\.\d+)?[smhd]$", description="60s, 10m, 2h or 7d")]


CredentialKind = Literal[
    "github-oidc", "azure-pipelines", "workload-identity", "client-secret", "azure-cli", "managed-identity"
]


class Workspace(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The Azure Machine Learning workspace; only for `backend: azureml`."""

    subscription_id: Annotated[str, Meta(description="The subscription that holds the workspace.")]
    resource_group: Annotated[str, Meta(description="Its resource group.")]
    name: Annotated[str, Meta(description="The workspace's name.")]
    registry: Annotated[
        str | None, Meta(description="The Azure ML registry through which `gates model promote` shares versions.")
    ] = None
    credential: Annotated[
        CredentialKind | None,
        Meta(description="How to sign in. Default: the first way for which the environment is complete."),
    ] = None


class Train(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the model is made."""

    job: Annotated[str, Meta(description="Azure ML CLI v2 job file: command, pipeline or sweep.")]
    model: Annotated[str, Meta(description="The job output that is the model, an MLflow model folder.")] = "model"


class Evaluate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The data that candidate and champion are judged on."""

    data: Annotated[str, Meta(description="Evaluation data, csv or parquet.")]
    target: Annotated[str, Meta(description="The column that holds the truth.")]
    positive_label: Annotated[
        int | str | bool | None, Meta(description="The label that counts as positive; binary classification only.")
    ] = None
    sensitive: Annotated[list[str], Meta(description="Columns that fairness checks may use.")] = []
    score: Annotated[Literal["auto", "predict", "predict_proba"], Meta(description="How the model is asked.")] = "auto"
    predictions: Annotated[str | None, Meta(description="A file with the predictions already made.")] = None
    compute: Annotated[
        str | None, Meta(description="azureml only: the compute that gates, so that the data stays in the workspace.")
    ] = None


class LoadTest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Requests at a constant rate to the new deployment, by name, before it gets any traffic."""

    rate: Annotated[float, Meta(gt=0, le=10000, description="Requests a second.")] = 20
    duration: Annotated[Duration, Meta(description="For how long.")] = "30s"


class Rollout(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How traffic moves to the new deployment."""

    steps: Annotated[list[int], Meta(description="Percent of traffic of each step, rising to 100.")] = msgspec.field(
        default_factory=lambda: [5, 25, 50, 100]
    )
    interval: Annotated[Duration, Meta(description="How long each step is watched.")] = "60s"
    mirror: Annotated[int, Meta(ge=0, le=50, description="Percent of traffic mirrored before the first step.")] = 0
    bake: Annotated[Duration, Meta(description="How long the promoted deployment is watched.")] = "10m"
    keep_old: Annotated[Duration, Meta(description="How long the old deployment is kept.")] = "1h"
    load: Annotated[
        LoadTest | None, Meta(description="A load test before the first step: signals load_latency_ms, load_errors.")
    ] = None
    synthetic: Annotated[
        float,
        Meta(ge=0, le=1000, description="Requests a second that the rollout sends itself while it watches."),
    ] = 0
    tolerance: Annotated[
        float, Meta(ge=0, description="Mirrored answers are alike when no number is further apart: mirror_differs.")
    ] = 0
    attend: Annotated[
        Duration | None,
        Meta(description="A step that takes longer is left held (exit 8) after this time; run again to go on."),
    ] = None


class Deploy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the model serves."""

    endpoint: Annotated[str, Meta(description="Azure ML CLI v2 managed online endpoint file.")]
    deployment: Annotated[str, Meta(description="… and deployment file; its name is the prefix of blue's and green's.")]
    sample_request: Annotated[str | None, Meta(description="A JSON request that green must answer.")] = None
    outcomes: Annotated[
        str | None,
        Meta(description="Predictions whose truth is known by now, with a column 'deployment': signal wrong_answers."),
    ] = None
    rollout: Annotated[Rollout, Meta(description="How traffic moves.")] = Rollout()


class Drift(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What drift-check compares."""

    reference: Annotated[str, Meta(description="'profile' (recorded at training) or a data file.")] = "profile"
    current: Annotated[str | None, Meta(description="Current data: a file, folder or glob.")] = None
    time_column: Annotated[str | None, Meta(description="The column of the current data that says when.")] = None
    window: Annotated[
        str | None,
        Meta(description="The last 7d or 12h of the current data, or FROM..UNTIL in ISO times; needs time_column."),
    ] = None
    sample: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="Compare at most so many rows, drawn at random.")
    ] = None
    memory: Annotated[
        str | None, Meta(description="What column data may take at once: 512MB, 2GB. More is compared in batches.")
    ] = None
    engine: Annotated[
        Literal["arrow", "spark"], Meta(description="arrow: this process. spark: a SparkSession, local or yours.")
    ] = "arrow"
    compute: Annotated[
        str | None, Meta(description="azureml only: an attached Spark compute, or serverless, that compares the data.")
    ] = None
    baseline: Annotated[
        str | None,
        Meta(description="A predictions file on which performance was good. Default: the champion's gate evidence."),
    ] = None


class Mlops(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """mlops.yml, version 1: what this project is. Owned by the model's team."""

    version: Annotated[Literal[1], Meta(description="The version of this file's form.")]
    model: Annotated[
        str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$", description="The registered model's name.")
    ]
    backend: Annotated[Literal["local", "azureml"], Meta(description="Where things run.")] = "local"
    workspace: Annotated[Workspace | None, Meta(description="azureml only.")] = None
    tracking_uri: Annotated[
        str | None,
        Meta(
            description="local only: sqlite:///PATH or an http(s) MLflow server. Default: mlflow.db in the state-dir."
        ),
    ] = None
    policy: Annotated[str, Meta(description="The policy file: what is good enough.")] = "policy.yml"
    train: Annotated[Train | None, Meta(description="How the model is made.")] = None
    evaluate: Annotated[Evaluate | None, Meta(description="What it is judged on.")] = None
    deploy: Annotated[Deploy | None, Meta(description="Where it serves.")] = None
    drift: Annotated[Drift | None, Meta(description="What is watched.")] = None


_PATHS = {
    "policy", "train.job", "evaluate.data", "evaluate.predictions", "deploy.endpoint", "deploy.deployment",
    "deploy.sample_request", "deploy.outcomes", "drift.current", "drift.baseline",
}  # fmt: skip


@dataclass(frozen=True)
class Project:
    """A parsed mlops.yml; `settings` as written, `get` with paths resolved."""

    file: Path
    settings: Mlops
    document: Document

    @property
    def folder(self) -> Path:
        return self.file.parent

    def get(self, dotted: str) -> Any:
        """The value at `train.job` and the like; None when the section or key is absent; paths are absolute."""
        value: Any = self.settings
        for key in dotted.split("."):
            value = getattr(value, key, None)
        if value is None or value == []:
            return None
        if dotted in _PATHS:
            return Path(value) if str(value).startswith(inputs.REMOTE) else self.folder / value
        if dotted == "drift.reference":
            return value if value == "profile" else str(self.folder / value)
        if dotted == "tracking_uri":
            return _tracking_uri(value, self.folder)
        return tuple(value) if isinstance(value, list) else value

    def line(self, dotted: str) -> int | None:
        return self.document.line(tuple(dotted.split(".")))


def load(path: Path, env: Mapping[str, str]) -> Project:
    """Read mlops.yml. Raises errors.InvalidInput with file, line and what to write instead."""
    if not path.exists():
        hint = "run `gates init` to write one, or name it with --config"
        raise InvalidInput("the project file not found", file=path, hint=hint)
    document = load_yaml(path, "the project file", env=env)
    settings = convert(document, Mlops)
    if settings.backend == "azureml" and settings.workspace is None:
        raise document.error("backend: azureml needs a workspace", ("backend",), "add the key 'workspace'")
    if settings.deploy:
        check_rollout(settings.deploy.rollout, document, ("deploy", "rollout"))
    return Project(path.absolute(), settings, document)


def none(path: Path) -> Project:
    """The project of a folder that has no mlops.yml yet."""
    return Project(path.absolute(), Mlops(version=1, model="model"), Document(path, {}, b""))


def parse_rollout(text: str, where: str) -> Rollout:
    """The `rollout` input: YAML or JSON text of the same form as in mlops.yml."""
    document = parse_yaml(text.encode(), Path(where), where)
    rollout = convert(document, Rollout)
    check_rollout(rollout, document, ())
    return rollout


def check_rollout(rollout: Rollout, document: Document, at: tuple[str, ...]) -> None:
    steps = list(rollout.steps)
    if not steps or steps[-1] != 100 or sorted(set(steps)) != steps or steps[0] < 1:
        raise document.error(
            f"rollout.steps: expected rising percents that end with 100, got {steps}",
            (*at, "steps"),
            "write e.g. [5, 25, 100]",
        )
    for key in ("interval", "bake", "keep_old", "attend"):
        if (text := getattr(rollout, key)) is not None:
            inputs.duration(text, f"rollout.{key}")
    if rollout.load is not None:
        inputs.duration(rollout.load.duration, "rollout.load.duration")


def schema() -> dict[str, Any]:
    """The JSON Schema of mlops.yml, for editors."""
    return msgspec.json.schema(Mlops)


def _tracking_uri(uri: str, folder: Path) -> str:
    match = re.fullmatch(r"sqlite:///(?!/)(.+)", uri)
    return f"sqlite:///{(folder / match.group(1)).absolute()}" if match else uri
