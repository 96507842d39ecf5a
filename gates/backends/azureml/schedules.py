"""What a workspace does by the clock: train again, and watch an endpoint's data with Azure ML's own model monitor.

Azure schedules no bare command or sweep job: it becomes the one step of a pipeline. The monitor gets the limits of the
policy that Azure's metrics have a word for; what it has none for (false discoveries, missing values, the share of
columns) is drift-check's alone, and said.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from gates.backends.azureml.calls import explained
from gates.backends.azureml.client import quiet
from gates.backends.azureml.references import data_uri
from gates.backends.local.job_file import ask_sdk
from gates.document import load_yaml
from gates.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gates.backends.azureml.client import Workspace

_STEP = (
    "type", "code", "command", "environment", "environment_variables", "compute", "resources", "limits", "distribution",
    "identity", "queue_settings", "trial", "search_space", "sampling_algorithm", "objective", "early_termination",
)  # fmt: skip
_FREQUENCIES = {86400: "day", 3600: "hour", 60: "minute"}


@dataclass(frozen=True)
class Clock:
    """When: `cron` (five fields), or `every` so many seconds; in `zone`, a Windows name of a time zone, or UTC."""

    cron: str = ""
    every: float = 0.0
    zone: str = "UTC"

    def trigger(self) -> Any:
        from azure.ai.ml.entities import CronTrigger, RecurrenceTrigger

        if bool(self.cron) == bool(self.every):
            raise InvalidInput("a schedule needs a time", hint="give either --cron '0 6 * * 1' or --every 7d")
        if self.cron:
            if len(self.cron.split()) != 5:
                raise InvalidInput(f"--cron: '{self.cron}' has not five fields", hint="write e.g. 0 6 * * 1")
            return CronTrigger(expression=self.cron, time_zone=self.zone)
        unit = next((unit for unit in _FREQUENCIES if self.every % unit == 0), 0)
        if not unit:
            raise InvalidInput(f"--every: {self.every:g} s is no number of minutes", hint="write e.g. 30m, 12h or 7d")
        return RecurrenceTrigger(frequency=_FREQUENCIES[unit], interval=int(self.every // unit), time_zone=self.zone)


def retrain(workspace: Workspace, job: Path, name: str, clock: Clock) -> None:
    """Make or replace the schedule `name`, which submits the job. InvalidInput for what Azure refuses."""
    with quiet(), explained(f"schedule {name}"):
        from azure.ai.ml import load_job
        from azure.ai.ml.entities import JobSchedule

        trigger = clock.trigger()
        file = load_yaml(job, "the job file")
        entity = ask_sdk(file)
        if str(file.value.get("type") or "command") != "pipeline":
            text = yaml.safe_dump(pipeline_of(file.value), sort_keys=False)
            entity = load_job(io.StringIO(text), relative_origin=str(job.absolute()))
        schedule = JobSchedule(name=name, trigger=trigger, create_job=entity, tags={"gates.schedule": job.name})
        workspace.ml.schedules.begin_create_or_update(schedule).result()


def pipeline_of(job: Mapping[str, Any]) -> dict[str, Any]:
    """A pipeline whose one step is this command or sweep job, with its outputs as the pipeline's."""
    outputs = {name: value if isinstance(value, dict) else {} for name, value in (job.get("outputs") or {}).items()}
    step = {key: job[key] for key in _STEP if key in job}
    step |= {"type": job.get("type") or "command", "inputs": dict(job.get("inputs") or {})}
    step["outputs"] = {name: f"${{{{parent.outputs.{name}}}}}" for name in outputs}
    made = {"type": "pipeline", "outputs": outputs, "jobs": {"train": step}}
    for key in ("experiment_name", "display_name", "description", "tags"):
        if key in job:
            made[key] = job[key]
    return made


@dataclass(frozen=True)
class Limits:
    """What the policy's drift check says, in the words that Azure's monitor has. columns: () is all."""

    psi: float | None
    ks: float | None
    columns: tuple[str, ...] = ()


def _collects(workspace: Workspace, endpoint: str, deployment: str) -> None:
    """Raises InvalidInput unless the deployment's data collector is on: a monitor would have nothing to look at."""
    found = workspace.get(f"onlineEndpoints/{endpoint}/deployments/{deployment}") or {}
    collections = ((found.get("properties") or {}).get("dataCollector") or {}).get("collections") or {}
    if str((collections.get("model_inputs") or {}).get("dataCollectionMode") or "").lower() != "enabled":
        raise InvalidInput(
            f"deployment {deployment} of {endpoint} collects nothing",
            hint="set data_collector with model_inputs and model_outputs in the deployment file, and deploy again",
        )


def monitor(
    workspace: Workspace, name: str, clock: Clock, *, endpoint: str, deployment: str, reference: str, limits: Limits,
    regression: bool,
) -> None:  # fmt: skip
    """Make or replace the model monitor `name` over a deployment whose data_collector is on."""
    if limits.psi is None and limits.ks is None:
        raise InvalidInput("the policy's drift check limits neither PSI nor KS", hint="write effect: {psi_max: 0.2}")
    kind = "uri_file" if reference.endswith((".parquet", ".csv")) else "mltable"
    data_uri(workspace, reference)
    _collects(workspace, endpoint, deployment)
    with quiet(), explained(f"monitor {name}"):
        from azure.ai.ml import Input
        from azure.ai.ml.entities import (
            CategoricalDriftMetrics,
            DataDriftMetricThreshold,
            DataDriftSignal,
            MonitorDefinition,
            MonitoringTarget,
            MonitorSchedule,
            NumericalDriftMetrics,
            ReferenceData,
            ServerlessSparkCompute,
        )

        numerical = (
            NumericalDriftMetrics(population_stability_index=limits.psi) if limits.psi is not None
            else NumericalDriftMetrics(two_sample_kolmogorov_smirnov_test=limits.ks)
        )  # fmt: skip
        categorical = CategoricalDriftMetrics(population_stability_index=limits.psi) if limits.psi is not None else None
        signal = DataDriftSignal(
            reference_data=ReferenceData(input_data=Input(type=kind, path=reference), data_context="training"),
            features=list(limits.columns) or "all_features",
            metric_thresholds=DataDriftMetricThreshold(numerical=numerical, categorical=categorical),
            alert_enabled=True,
        )
        definition = MonitorDefinition(
            compute=ServerlessSparkCompute(instance_type="standard_e4s_v3", runtime_version="3.4"),
            monitoring_target=MonitoringTarget(
                ml_task="regression" if regression else "classification",
                endpoint_deployment_id=f"azureml:{endpoint}:{deployment}",
            ),
            monitoring_signals={"gates_drift": signal},
        )
        schedule = MonitorSchedule(name=name, trigger=clock.trigger(), create_monitor=definition)
        workspace.ml.schedules.begin_create_or_update(schedule).result()
