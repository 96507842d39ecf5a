"""What a finished job left: outputs, metrics, and what it read and ran on."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gates.backends import TrainedRun
from gates.backends.azureml.asked_job import code_of, local_inputs
from gates.backends.azureml.references import asset_of, data_uri, output_uri
from gates.backends.azureml.storage import Absent
from gates.errors import JobFailed, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gates.backends.azureml.asked_job import Asked
    from gates.backends.azureml.client import Workspace
    from gates.backends.azureml.storage import Storage


def fetch(asked: Asked, workspace: Workspace, storage: Storage, name: str, folder: Path) -> TrainedRun:
    """The job's outputs, metrics, and what it ran on."""
    about = (workspace.get(f"jobs/{name}") or {}).get("properties") or {}
    outputs = folder / "outputs"
    model = fetch_output(workspace, storage, name, asked.model_output, outputs / asked.model_output)
    inputs, assets = _inputs(asked, storage, workspace, about, folder)
    run = run_of(workspace, name)
    return TrainedRun(
        run_id=name,
        job_url=str(((about.get("services") or {}).get("Studio") or {}).get("endpoint") or ""),
        model=model_in(model, asked.model_output),
        outputs=outputs,
        inputs=inputs,
        metrics=run["metrics"],
        params={**run["params"], **_about(about, name)},
        environment=_environment(workspace, about, model),
        code=code_of(asked),
        log=folder / "log.txt",
        seconds=0.0,
        assets=assets,
    )


def fetch_output(workspace: Workspace, storage: Storage, name: str, output: str, into: Path) -> Path:
    """One output of a job, as a folder. JobFailed when the job wrote nothing there."""
    about = (workspace.get(f"jobs/{name}") or {}).get("properties") or {}
    if into.exists():
        shutil.rmtree(into)
    try:
        storage.download(output_uri(about, name, output), into)
    except Unavailable as error:
        if not isinstance(error, Absent):
            raise
        raise JobFailed(f"job {name} wrote nothing to its output '{output}'", hint="let it write there") from error
    return into


def log_of(storage: Storage, name: str) -> str:
    """What a job of one process said, as it is kept; '' where nothing is, as of a pipeline."""
    uri = f"azureml://datastores/workspaceartifactstore/paths/ExperimentRun/dcid.{name}/user_logs/std_log.txt"
    with tempfile.TemporaryDirectory(prefix="gates-") as folder:
        try:
            return storage.download(uri, Path(folder)).read_text(encoding="utf-8", errors="replace")
        except Unavailable:  # a log that cannot be had must not change how the job ended
            return ""


def model_in(folder: Path, name: str) -> Path:
    """The folder below the output that holds the file MLmodel."""
    found = sorted(path.parent for path in folder.rglob("MLmodel"))
    if not found:
        raise JobFailed(
            f"the output '{name}' holds no MLflow model", hint="save one there with mlflow.<flavour>.save_model"
        )
    return found[0]


def _about(about: Mapping[str, Any], name: str) -> dict[str, str]:
    found = {
        "azureml.job": name,
        "azureml.compute": str(about.get("computeId") or "").rpartition("/")[2],
        "azureml.environment": _short(str(about.get("environmentId") or "")),
    }
    return {key: value for key, value in found.items() if value}


def _short(arm: str) -> str:
    match = re.search(r"/environments/([^/]+)/versions/([^/]+)$", arm)
    return f"azureml:{match.group(1)}:{match.group(2)}" if match else arm


def _inputs(
    asked: Asked, storage: Storage, workspace: Workspace, about: Mapping[str, Any], folder: Path
) -> tuple[dict[str, Path], dict[str, str]]:
    """The files that the job read, here, and where they stand in the workspace, by name."""
    local = local_inputs(asked)
    paths, assets = dict(local), {}
    for name, value in (about.get("inputs") or {}).items():
        uri = str(value.get("uri") or "")
        if not uri or value.get("jobInputType") == "literal":
            continue
        assets[str(name)] = asset_of(uri)
        if name not in local:
            paths[str(name)] = storage.download(data_uri(workspace, uri), folder / "inputs" / str(name))
    return paths, assets


def _environment(workspace: Workspace, about: Mapping[str, Any], model: Path) -> dict[str, Any]:
    """The environment that the job named; what the model says was installed where it was made."""
    match = re.search(r"/environments/([^/]+)/versions/([^/]+)$", str(about.get("environmentId") or ""))
    found = workspace.get(f"environments/{match.group(1)}/versions/{match.group(2)}") if match else None
    properties = (found or {}).get("properties") or {}
    declared = [f"{key}: {properties[key]}" for key in ("image", "condaFile", "build") if properties.get(key)]
    image = str(properties.get("image") or "an image built from the environment")
    requirements = next(iter(sorted(model.rglob("requirements.txt"))), None)
    lines = requirements.read_text(encoding="utf-8").splitlines() if requirements else []
    installed = sorted(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    lock = "".join(f"{line}\n" for line in installed).encode()
    python = next((path.read_text(encoding="utf-8") for path in sorted(model.rglob("python_env.yaml"))), "")
    version = re.search(r"^python: *(\S+)", python, re.MULTILINE)
    return {
        "python": version.group(1) if version else "",
        "lock": f"sha256:{hashlib.sha256(lock).hexdigest()}" if installed else None,
        "installed": installed,
        "declared": [line for text in declared for line in text.splitlines()],
        "platform": f"Azure ML, {str(about.get('computeId') or 'serverless').rpartition('/')[2]}, {image}",
        "image": image.rpartition("@")[2] if "@sha256:" in image else None,
    }


def run_of(workspace: Workspace, run_id: str) -> dict[str, Any]:
    """Metrics (last values) and params that the run logged through MLflow: `{metrics, params}`."""
    from gates.backends.local import mlflow_rest

    tracking = str(workspace.about().get("mlFlowTrackingUri") or "")
    if not tracking:
        raise Unavailable(f"workspace {workspace.name} names no MLflow tracking URI", hint="check the workspace")
    uri = re.sub(r"^azureml://", "https://", tracking)
    answer = workspace.send("GET", f"{uri}/api/2.0/mlflow/runs/get?run_id={urllib.parse.quote(run_id)}")
    if answer is None:
        raise Unavailable(f"job {run_id} has no MLflow run", hint="see the job in Azure ML studio")
    found = mlflow_rest.read_run(answer)
    return {"metrics": dict(found.metrics), "params": dict(found.params)}
