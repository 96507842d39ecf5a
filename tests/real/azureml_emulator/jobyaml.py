"""A job's REST body as the job file (Azure ML CLI v2) that the local runner reads, its data and code fetched first."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import yaml

from azureml_emulator import wire

if TYPE_CHECKING:
    from pathlib import Path

    from azureml_emulator.assets import Assets
    from azureml_emulator.store import Resource

_STOP = {
    "slackFactor": "slack_factor", "slackAmount": "slack_amount", "evaluationInterval": "evaluation_interval",
    "delayEvaluation": "delay_evaluation", "truncationPercentage": "truncation_percentage",
}  # fmt: skip
_SWEEP = ("search_space", "objective", "limits", "sampling_algorithm")


def write(job: Resource, assets: Assets, home: Path) -> Path:
    """`home/job.yml` and beside it what it names."""
    about = job["properties"]
    writer = _Writer(assets, home)
    kind = str(about["jobType"]).lower()
    made: dict[str, Any] = {
        "type": kind, "experiment_name": about["experimentName"], "display_name": about["displayName"],
        "tags": {str(k): str(v) for k, v in (about.get("tags") or {}).items()} | {"emulator.job": job["name"]},
        "inputs": writer.inputs(about.get("inputs") or {}),
        "outputs": writer.outputs(about.get("outputs") or {}),
    }  # fmt: skip
    if kind == "command":
        made |= writer.command(about)
    elif kind == "sweep":
        made |= writer.sweep(about)
    elif kind == "spark":
        made |= writer.spark(about)
    elif kind == "pipeline":
        made["jobs"] = {name: writer.step(step) for name, step in (about.get("jobs") or {}).items()}
    else:
        raise wire.Fault(400, "UserError", f"the emulator runs no {kind} job")
    path = home / "job.yml"
    path.write_text(yaml.safe_dump(made, sort_keys=False))
    return path


class _Writer:
    def __init__(self, assets: Assets, home: Path) -> None:
        self._assets, self._home, self._count = assets, home, 0

    def _folder(self, what: str) -> Path:
        self._count += 1
        return self._home / "fetched" / f"{self._count:02d}-{what}"

    def inputs(self, given: dict[str, Any]) -> dict[str, Any]:
        return {name: self._input(name, value) for name, value in given.items() if value is not None}

    def _input(self, name: str, value: dict[str, Any]) -> Any:
        kind = str(value.get("jobInputType") or value.get("job_input_type") or "literal").lower()
        if kind == "literal":
            return value["value"]
        if "${{" in str(value.get("uri", "")):
            return value["uri"]
        return {"type": kind, "path": str(self._assets.fetch(str(value["uri"]), self._folder(name)))}

    def outputs(self, given: dict[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, value in given.items():
            if name == "default":
                continue
            if "${{" in str((value or {}).get("value", "")):
                made[name] = value["value"]
            else:
                made[name] = {"type": str((value or {}).get("jobOutputType") or "uri_folder").lower()}
        return made

    def command(self, about: dict[str, Any]) -> dict[str, Any]:
        """The keys of a command: of a job, a sweep's trial, a component."""
        made: dict[str, Any] = {
            "command": about["command"],
            "environment": self._environment(about.get("environmentId")),
        }
        if about.get("codeId"):
            made["code"] = str(self._assets.fetch(about["codeId"], self._folder("code")))
        if about.get("environmentVariables"):
            made["environment_variables"] = {k: str(v) for k, v in about["environmentVariables"].items()}
        timeout = (about.get("limits") or {}).get("timeout")
        if timeout:
            made["limits"] = {"timeout": _seconds(timeout)}
        return made

    def spark(self, about: dict[str, Any]) -> dict[str, Any]:
        """A command that submits it to a Spark on this machine, as the service submits it to its own."""
        code = self._assets.fetch(about["codeId"], self._folder("code"))
        packages = ",".join(about.get("pyFiles") or [])
        submit = f"spark-submit --master 'local[1]' --conf spark.ui.enabled=false --py-files '{packages}'"
        entry = about["entry"]["file"]
        return {
            "type": "command", "code": str(code), "command": f"{submit} {entry} {about.get('args') or ''}",
            "environment": self._environment(about.get("environmentId")),
            "environment_variables": {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable,
                                      "PYSPARK_DRIVER_PYTHON": sys.executable},
        }  # fmt: skip

    def _environment(self, reference: str | None) -> dict[str, Any]:
        image = {"image": "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04"}
        conda = self._assets.conda(reference)
        if not conda:
            return image
        folder = self._folder("environment")
        folder.mkdir(parents=True)
        (folder / "conda.yml").write_text(conda)
        return image | {"conda_file": str(folder / "conda.yml")}

    def sweep(self, about: dict[str, Any]) -> dict[str, Any]:
        limits = about.get("limits") or {}
        sampling = about["samplingAlgorithm"]
        made: dict[str, Any] = {
            "trial": self.command(about["trial"]),
            "search_space": {name: _distribution(value) for name, value in about["searchSpace"].items()},
            "objective": {
                "goal": str(about["objective"]["goal"]).lower(), "primary_metric": about["objective"]["primaryMetric"],
            },
            "sampling_algorithm": {"type": str(sampling["samplingAlgorithmType"]).lower()},
            "limits": {
                "max_total_trials": limits.get("maxTotalTrials", 1),
                "max_concurrent_trials": limits.get("maxConcurrentTrials", 1),
            },
        }  # fmt: skip
        if sampling.get("seed") is not None:
            made["sampling_algorithm"]["seed"] = sampling["seed"]
        if limits.get("timeout"):
            made["limits"]["timeout"] = _seconds(limits["timeout"])
        stop = about.get("earlyTermination")
        if stop:
            kind = re.sub(r"(?<!^)(?=[A-Z])", "_", stop["policyType"]).lower()
            made["early_termination"] = {"type": kind} | {_STOP[key]: stop[key] for key in _STOP if stop.get(key)}
        return made

    def step(self, step: dict[str, Any]) -> dict[str, Any]:
        """A node of a pipeline: its component's command with the node's inputs."""
        kind = str(step.get("type") or "command")
        made: dict[str, Any] = {"type": kind, "inputs": self.inputs(step.get("inputs") or {})}
        outputs = {name: value for name, value in (step.get("outputs") or {}).items() if value}
        if outputs:
            made["outputs"] = {name: _step_output(value) for name, value in outputs.items()}
        if kind == "command":
            made["component"] = str(self._component(str(step["componentId"])))
        elif kind == "sweep":
            made |= {key: step[key] for key in _SWEEP if key in step}
            trial = step["trial"]
            made["trial"] = str(self._component(str(trial["componentId"] if isinstance(trial, dict) else trial)))
        else:
            raise wire.Fault(400, "UserError", f"the emulator runs no {kind} step")
        if step.get("environment_variables"):
            made["environment_variables"] = step["environment_variables"]
        return made

    def _component(self, reference: str) -> Path:
        spec: dict[str, Any] = dict(self._assets.find(reference)["properties"]["componentSpec"])
        folder = self._folder("component")
        folder.mkdir(parents=True)
        for key in ("id", "_source", "creation_context", "$schema", "is_deterministic"):
            spec.pop(key, None)
        if spec.get("code"):
            spec["code"] = str(self._assets.fetch(re.sub("^azureml:(?=/)", "", str(spec["code"])), folder / "code"))
        spec["environment"] = self._environment(re.sub("^azureml:(?=/)", "", str(spec.get("environment") or "")))
        spec["version"] = str(spec.get("version") or "1")
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", str(spec.get("name") or "")) or spec["name"] == "azureml_anonymous":
            spec["name"] = f"step_{self._count}"
        path = folder / "component.yml"
        path.write_text(yaml.safe_dump(spec, sort_keys=False))
        return path


def _step_output(value: dict[str, Any]) -> Any:
    return value.get("value") or {"type": str(value.get("type", "uri_folder"))}


def _distribution(value: Any) -> dict[str, Any]:
    """`["uniform", [0, 1]]` of the REST body as the YAML's `{type: uniform, min_value: 0, max_value: 1}`."""
    kind, arguments = value[0], value[1]
    names = {
        "choice": ("values",), "uniform": ("min_value", "max_value"), "loguniform": ("min_value", "max_value"),
        "quniform": ("min_value", "max_value", "q"), "qloguniform": ("min_value", "max_value", "q"),
        "normal": ("mu", "sigma"), "lognormal": ("mu", "sigma"), "qnormal": ("mu", "sigma", "q"),
        "qlognormal": ("mu", "sigma", "q"), "randint": ("upper",),
    }[kind]  # fmt: skip
    return {"type": kind} | dict(zip(names, arguments, strict=True))


def _seconds(duration: str) -> int:
    match = re.fullmatch(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?)?", duration)
    days, hours, minutes, seconds = match.groups() if match else (None,) * 4
    return int(((int(days or 0) * 24 + int(hours or 0)) * 60 + int(minutes or 0)) * 60 + float(seconds or 0))
