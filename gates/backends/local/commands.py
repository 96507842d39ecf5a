"""Runs one process of an Azure ML job on this machine, without Docker: in a copy of its code, with an MLflow run.

Its folder is `<work>/<run id>`: `code` (the snapshot it runs in), `outputs/<name>`, `user_logs/std_log.txt`. What a
local run does not honour is a note of the result or an error, never silence; see keys.py.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from gates import confidential
from gates.backends.local import assets as asset_folder
from gates.backends.local import declared, expressions, job_file, mlflow_rest, snapshot
from gates.errors import Cancelled, InvalidInput, JobFailed
from gates.runtime import environments, process

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping

    from gates.backends.local.job_file import Command, Job

METRICS_TAG = "gates.metrics"
"""A tag of a job that names the metrics it must log, separated by commas."""
SAVE_LINE = 'mlflow.sklearn.save_model(model, path, serialization_format="cloudpickle")'
_OWNER = "gates.job_run"
"""MLflow puts the tags of MLFLOW_RUN_CONTEXT on every run that the job's own code opens beyond the first."""
_PICKLES = (".pkl", ".pickle", ".joblib", ".sav", ".dill")


class Stopped(JobFailed):
    """A process that we ended: its sweep or its pipeline had no more use for it."""


@dataclass(frozen=True)
class JobRun:
    """A job that ended well. outputs: path by name; metrics: last value by name; notes: what differs from Azure.

    differences: what of the declared environment is not what ran. read: what the process that made the model read, by
    input name.
    """

    run_id: str
    job_dir: Path
    outputs: Mapping[str, Path]
    metrics: Mapping[str, float]
    params: Mapping[str, str]
    log_path: Path
    seconds: float
    environment_declared: declared.Declared
    environment: Mapping[str, str] = field(default_factory=dict)
    python: Path = Path()
    differences: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    read: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Setting:
    """What every process of a job shares. `known`: what an interpreter has installed, asked once for each."""

    work: Path
    python: Path
    tracking_uri: str
    env: Mapping[str, str]
    assets: Path | None = None
    environment: str = "current"
    cache: Path | None = None
    on_line: Callable[[str], None] | None = None
    say: Callable[[str], None] = lambda _: None
    stop: threading.Event | None = None
    known: dict[Path, tuple[str, dict[str, str]]] = field(default_factory=dict, repr=False)


def run_command(
    command: Command,
    job: Job,
    setting: Setting,
    *,
    timeout: float | None = None,
    parent: str = "",
    name: str = "",
    tags: Mapping[str, str] | None = None,
    begun: Callable[[str], None] = lambda _: None,
) -> JobRun:
    """Run one process of a job as an MLflow run, nested under the run `parent` where given.

    `begun` is told the run's id before the process starts. JobFailed, with the last 50 lines, when it fails, is killed,
    times out, leaves an output unwritten or a declared metric unlogged; Stopped when `setting.stop` ended it.
    """
    python, built = interpreter(command, setting)
    experiment = mlflow_rest.experiment(setting.tracking_uri, job.experiment, setting.env)
    every = {**job.tags, **(tags or {}), "gates.job_file": str(job.path)}
    if parent:
        every["mlflow.parentRunId"] = parent
    title = name or job.display_name
    run_id = mlflow_rest.create_run(setting.tracking_uri, experiment, title, every, time.time(), setting.env)
    begun(run_id)
    status = "FAILED"
    try:
        outputs, log, ended, notes = _execute(command, setting, run_id, experiment, python, timeout)
        run = mlflow_rest.get_run(setting.tracking_uri, run_id, setting.env)
        if not parent:
            require_metrics(every.get(METRICS_TAG, ""), run.metrics, ended.tail)
        status = "FINISHED"
    except (Cancelled, KeyboardInterrupt, Stopped):
        status = "KILLED"
        raise
    finally:
        mlflow_rest.end_run(setting.tracking_uri, run_id, status, time.time(), setting.env)
    version, installed = _installed(python, setting)
    different = declared.differences(command.environment, installed, version)
    return JobRun(
        run_id=run_id,
        job_dir=log.parent.parent,
        outputs=outputs,
        metrics=run.metrics,
        params=run.params,
        log_path=log,
        seconds=ended.seconds,
        environment_declared=command.environment,
        environment={"python": version, **installed},
        python=python,
        differences=different,
        notes=(*notes, *(() if built else different), *_strays(run_id, experiment, setting)),
        read=references(command, setting.assets),
    )


def require_metrics(declared_names: str, metrics: Mapping[str, float], tail: tuple[str, ...]) -> None:
    """JobFailed unless each of the names, separated by commas, is there with a finite value."""
    names = [name.strip() for name in declared_names.split(",") if name.strip()]
    missing = [name for name in names if name not in metrics]
    if missing:
        hint = f'log it with mlflow.log_metric("{missing[0]}", value), or take it out of the tag {METRICS_TAG}'
        raise JobFailed(f"the job ended well but did not log its declared metrics: {', '.join(missing)}", hint=hint,
                        tail=tail)  # fmt: skip
    strange = [name for name in names if not math.isfinite(metrics[name])]
    if strange:
        raise JobFailed(f"the job logged {metrics[strange[0]]} as its declared metric {strange[0]}", tail=tail)


def _strays(run_id: str, experiment: str, setting: Setting) -> tuple[str, ...]:
    """A note when the job opened further MLflow runs: what it logged there is not the job's."""
    found = mlflow_rest.search_runs(setting.tracking_uri, experiment, {_OWNER: run_id}, setting.env)
    if not found:
        return ()
    runs = "1 more MLflow run" if len(found) == 1 else f"{len(found)} more MLflow runs"
    return (f"the job opened {runs}, nested under its own; what was logged there is not among the job's metrics",)


def _installed(python: Path, setting: Setting) -> tuple[str, dict[str, str]]:
    """(version, distributions) of an interpreter."""
    if python not in setting.known:
        version = environments.describe(python, setting.env).version
        setting.known[python] = (version, environments.freeze(python, setting.env))
    return setting.known[python]


def interpreter(command: Command, setting: Setting) -> tuple[Path, bool]:
    """The interpreter to use, and whether it was built from what the job declares."""
    if setting.environment == "current":
        return setting.python, False
    if setting.environment != "build":
        raise InvalidInput(f"environment: {setting.environment!r} is not known", hint="write current or build")
    if not command.environment.buildable:
        raise command.error("environment: nothing to build from; give it a conda_file with pip packages", "environment")
    cache = setting.cache or setting.work / "environments"
    lines = command.environment.requirements
    return environments.build(lines, python=setting.python, cache=cache, env=setting.env, say=setting.say), True


def references(command: Command, assets: Path | None) -> dict[str, Path]:
    """The files and folders that a command reads, by input name."""
    return {
        name: asset_folder.resolve(
            given.reference,
            base=command.base,
            assets=assets,
            where=lambda what, name=name: command.error(f"inputs.{name}: {what}", "inputs", name),  # type: ignore[misc]  # the default binds the loop's name
        )
        for name, given in command.inputs.items()
        if given.reference is not None
    }


def _execute(
    command: Command, setting: Setting, run_id: str, experiment: str, python: Path, timeout: float | None
) -> tuple[dict[str, Path], Path, process.Finished, tuple[str, ...]]:
    home = (setting.work / run_id).absolute()
    outputs = _output_places(command, home)
    values, notes = _values(command, setting, outputs)
    text = expressions.render(command.command, values, lambda what: command.error(what, "command"))
    notes += tuple(
        f"{name} holds spaces and is passed as one word; Azure ML would split it: quote it in the command"
        for name in expressions.spaced(command.command, values)
        if name.startswith("inputs.") and command.inputs[name[len("inputs.") :]].literal is not None
    )
    code = home / "code"
    if command.code is None:
        code.mkdir(parents=True)
    else:
        snapshot.take(command.code, code)
    log = home / "user_logs" / "std_log.txt"
    env = job_environment(setting, command, run_id, experiment, python, home)
    limits = [limit for limit in (timeout, command.timeout) if limit is not None]
    ended = process.run(
        [_shell(env), "-c", text],
        cwd=code,
        env=env,
        on_line=setting.on_line,
        timeout=min(limits) if limits else None,
        log=log,
        stop=setting.stop,
        hide=confidential.values(setting.env),
    )
    if not ended.ok:
        kind = Stopped if ended.stopped else JobFailed
        raise kind(f"the job {ended.how}", hint=f"its log is {log}", tail=ended.tail)
    if (code / "outputs").is_dir() and any((code / "outputs").iterdir()):
        outputs.setdefault("default", code / "outputs")  # what Azure ML uploads without being asked
    _require_outputs(outputs, command, ended.tail)
    return outputs, log, ended, notes


def _output_places(command: Command, home: Path) -> dict[str, Path]:
    """Where each output goes: a folder that is there, or, for uri_file, a path whose folder is there."""
    places = {}
    for name, kind in command.outputs.items():
        places[name] = home / "outputs" / name
        (places[name].parent if kind in job_file.FILE_TYPES else places[name]).mkdir(parents=True, exist_ok=True)
    return places


def _values(
    command: Command, setting: Setting, outputs: Mapping[str, Path]
) -> tuple[dict[str, str | None], tuple[str, ...]]:
    """The value of every reference a command may hold, by full name."""
    values: dict[str, str | None] = {f"outputs.{name}": str(path) for name, path in outputs.items()}
    values |= {f"search_space.{name}": value for name, value in command.search.items()}
    notes: tuple[str, ...] = ()
    for name, path in references(command, setting.assets).items():
        values[f"inputs.{name}"] = values[f"inputs.{name}.path"] = str(path)
        if command.inputs[name].mode == "direct":
            notes += (f"inputs.{name} has mode direct: it is given as a local path, not as a URI",)
    for name, given in command.inputs.items():
        if given.reference is None and given.literal is None and not given.optional:
            raise command.error(f"inputs.{name} has no value", "inputs", name)
        values.setdefault(f"inputs.{name}", given.literal)
    return values, notes


def job_environment(
    setting: Setting, command: Command, run_id: str, experiment: str, python: Path, home: Path
) -> dict[str, str]:
    """The environment of the job's process: the user's own, the job's variables, and where MLflow logs to."""
    env = environments.clean(setting.env)
    shims = _shims(python, home)
    no_proxy = ",".join(
        part for part in (env.get("NO_PROXY") or env.get("no_proxy") or "", "127.0.0.1,localhost") if part
    )
    return {
        **env,
        "PYTHONUNBUFFERED": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        **command.variables,
        "PATH": os.pathsep.join([str(shims), str(python.parent), env.get("PATH", os.defpath)]),
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
        "MLFLOW_TRACKING_URI": setting.tracking_uri,
        "MLFLOW_EXPERIMENT_ID": experiment,
        "MLFLOW_RUN_ID": run_id,
        "MLFLOW_RUN_CONTEXT": json.dumps({_OWNER: run_id, "mlflow.parentRunId": run_id}),
    }


def _shims(python: Path, home: Path) -> Path:
    """A folder where `python` and `python3` are the chosen interpreter, whatever its own name is."""
    folder = home / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("python", "python3"):
        shim = folder / name
        shim.write_text(f'#!/bin/sh\nexec {expressions.quoted(str(python), "")} "$@"\n', encoding="utf-8")
        shim.chmod(0o755)
    return folder


def _shell(env: Mapping[str, str]) -> str:
    return shutil.which("bash", path=env.get("PATH", os.defpath)) or "/bin/sh"


def _require_outputs(outputs: Mapping[str, Path], command: Command, tail: tuple[str, ...]) -> None:
    for name, kind in command.outputs.items():
        path = outputs[name]
        empty = not path.exists() or (path.is_dir() and not any(path.iterdir()))
        if empty:
            what = f"the job ended well but wrote nothing to its output {name!r}"
            raise JobFailed(what, hint=f"write to ${{{{outputs.{name}}}}}", tail=tail)
        if kind == "mlflow_model":
            model_folder(path, name)


def model_folder(path: Path, name: str = "model") -> Path:
    """`path` if it is an MLflow model folder. InvalidInput, with the line that saves one, if it is not."""
    if (path / "MLmodel").is_file():
        return path
    if path.is_dir():
        inside = sorted(child.name for child in path.iterdir())
        nested = [child for child in inside if (path / child / "MLmodel").is_file()]
        if nested:
            hint = f"save the model into ${{{{outputs.{name}}}}} itself, not into a folder {nested[0]!r} in it"
            raise InvalidInput(f"output {name!r} holds an MLflow model one folder too deep", hint=hint, file=path)
    else:
        inside = [path.name]
    pickles = [child for child in inside if child.lower().endswith(_PICKLES)]
    what = f"output {name!r} is not an MLflow model folder" + (f" but a pickle, {pickles[0]}" if pickles else "")
    raise InvalidInput(what, hint=f"save the model with {SAVE_LINE}", file=path)
