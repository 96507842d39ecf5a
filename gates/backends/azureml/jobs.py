"""Training jobs of a workspace: submitted once, streamed, fetched; cancelled with the runner, taken up again after it.

The job's name is made from what it is and from the run that asks for it, so that a runner that died and comes again
finds its job by name: it goes on with the one that runs, and takes the outputs of the one that has ended meanwhile. One
that failed or was cancelled is submitted again under the next name. On a laptop a file beside the state says which run
is unfinished; under a pipeline it is the platform's run.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import sys
import time
import urllib.parse
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from gates import confidential, document
from gates.backends import TrainedRun
from gates.backends.azureml.calls import explain, scrub
from gates.backends.azureml.client import quiet
from gates.backends.azureml.storage import Absent
from gates.backends.local.endpoint.copies import code_digest
from gates.backends.local.job_file import ask_sdk
from gates.canonical import digest
from gates.errors import Cancelled, Conflict, GatesError, InvalidInput, JobFailed, Unavailable
from gates.files import write_whole
from gates.lineage.digest import file_digest, model_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from gates.backends.azureml.client import Workspace
    from gates.backends.azureml.storage import Storage
    from gates.document import Document

RUNNING = (
    "NotStarted", "Queued", "Preparing", "Provisioning", "Starting", "Running", "Finalizing", "CancelRequested",
    "Paused", "NotResponding", "Unknown",
)  # fmt: skip
TAIL = 50
_ATTEMPTS = 20
_STREAM_PATIENCE = 600.0
"""Seconds that a job's log may be out of reach before we give up; the job goes on."""
_SAID_BY_SDK = re.compile(r"^(RunId: |Web View: |Execution Summary$|=+$|Streaming \S+$)")


@dataclass(frozen=True)
class Asked:
    """What `gates train` asks for. run: the platform's run, '' on a laptop; pending: the folder of unfinished ones.

    tags: beside those of the file; they do not make another job of it.
    """

    path: Path
    file: Document
    entity: Any
    model_output: str
    compute: str
    timeout: float | None
    run: str
    pending: Path
    tags: Mapping[str, str] = field(default_factory=dict)


def load(
    path: Path, *, model_output: str, compute: str, timeout: float | None, run: str, pending: Path,
    tags: Mapping[str, str],
) -> Asked:  # fmt: skip
    """Read a job file with the SDK's loader. InvalidInput with file and line for what Azure refuses."""
    file = document.load_yaml(path, "the job file")
    if compute == "local":
        raise InvalidInput(
            "--compute local: the azureml backend runs jobs in the workspace", hint="write backend: local"
        )
    kind = str(file.value.get("type") or "command")
    if kind not in ("command", "pipeline", "sweep"):
        raise file.error(f"type: {kind} is not a job that trains", ("type",), "write command, pipeline or sweep")
    entity = ask_sdk(file)
    if model_output not in (file.value.get("outputs") or {}):
        raise file.error(f"the job has no output '{model_output}'", ("outputs",), "name it in train.model of mlops.yml")
    return Asked(path, file, entity, model_output, compute, timeout, run, pending, tags)


def train(
    asked: Asked, workspace: Workspace, storage: Storage, *, work: Path, on_line: Callable[[str], None],
    say: Callable[[str], None], hidden: tuple[str, ...] = (),
) -> TrainedRun:  # fmt: skip
    """Run the job to its end and fetch what it made. A runner that is cancelled cancels it. hidden: never in its log.

    JobFailed with the log's tail when the job failed, was cancelled or wrote no model; Unavailable when Azure cannot
    be had: the job goes on then, and the same command takes it up again.
    """
    begun = time.monotonic()
    identity = identity_of(asked)
    note = asked.pending / f"{identity[7:23]}.json"
    name = _find_or_submit(asked, workspace, identity, note, say)
    lines: list[str] = []

    def hear(line: str) -> None:
        for secret in hidden:
            line = line.replace(secret, confidential.HIDDEN)
        lines.append(line)
        on_line(line)

    try:
        status = _follow(workspace, name, hear)
    except (Cancelled, KeyboardInterrupt):
        _cancel(workspace, name, say)
        raise
    folder = work / name
    write_whole(folder / "log.txt", "".join(f"{line}\n" for line in lines))
    if status != "Completed":
        note.unlink(missing_ok=True)
        how = {"Failed": "failed", "Canceled": "was cancelled"}.get(status, f"ended as {status}")
        raise JobFailed(
            f"job {name} {how}", hint="its log's end is above; see it whole in the studio", tail=tuple(lines[-TAIL:])
        )
    trained = _fetch(asked, workspace, storage, name, folder)
    note.unlink(missing_ok=True)
    return replace(trained, seconds=time.monotonic() - begun)


def identity_of(asked: Asked) -> str:
    """`sha256:…` of what the job is: its file, its code, its local inputs, and what the command line changed."""
    with quiet():
        whole = json.dumps(asked.entity._to_dict(), sort_keys=True, default=str)  # noqa: SLF001  # components inlined
    parts: dict[str, Any] = {
        "file": file_digest(asked.path), "compute": asked.compute, "timeout": str(asked.timeout or ""),
        "code": code_digest(code) if (code := code_of(asked)) is not None and code.is_dir() else "",
        "inputs": {name: _bytes(path) for name, path in sorted(local_inputs(asked).items())},
        "whole": whole,
    }  # fmt: skip
    return digest(parts)


def _bytes(path: Path) -> str:
    return file_digest(path) if path.is_file() else model_digest(path)


def local_inputs(asked: Asked) -> dict[str, Path]:
    """The inputs that are files or folders beside the job file, by name."""
    base = asked.path.absolute().parent
    found = {}
    for name, value in (asked.file.value.get("inputs") or {}).items():
        path = value.get("path") if isinstance(value, dict) else None
        if path is not None and not re.match(r"^[a-z][a-z0-9+]+:", str(path)):
            found[str(name)] = (base / str(path)).resolve()
            if not found[str(name)].exists():
                raise asked.file.error(f"no such file or folder: {base / str(path)}", ("inputs", name, "path"))
    return found


def code_of(asked: Asked) -> Path | None:
    raw = asked.file.value
    code = raw.get("code") or (raw.get("trial") or {}).get("code") if isinstance(raw.get("trial") or {}, dict) else None
    if code is None or re.match(r"^[a-z][a-z0-9+]+:", str(code)):
        return None
    return (asked.path.absolute().parent / str(code)).resolve()


def _find_or_submit(asked: Asked, workspace: Workspace, identity: str, note: Path, say: Callable[[str], None]) -> str:
    """The name of the job: one that this run asked for before and that did not fail, or a new one."""
    stem = f"{_stem(asked.path)}-{digest({'job': identity, 'run': _run(asked, note)})[7:19]}"
    for attempt in range(1, _ATTEMPTS + 1):
        name = stem if attempt == 1 else f"{stem}-{attempt}"
        status = status_of_job(workspace, name)
        if status is None:
            try:
                _submit(asked, workspace, name)
            except (Cancelled, KeyboardInterrupt):  # in the middle of it: it may be there
                _cancel(workspace, name, say)
                raise
            say(f"job {name} is submitted")
            return name
        if status in RUNNING:
            say(f"job {name} was submitted before and is {status}: going on with it")
            return name
        if status == "Completed":
            say(f"job {name} was submitted before and has completed: taking its outputs")
            return name
    raise Unavailable(f"job {stem} failed {_ATTEMPTS} times in this run", hint="look at its logs in the studio")


def _run(asked: Asked, note: Path) -> str:
    """Which run asks: the platform's, or one of our own that is noted until it has ended."""
    if asked.run:
        return asked.run
    if note.is_file():
        return str(json.loads(note.read_text(encoding="utf-8"))["run"])
    fresh = str(uuid.uuid4())
    write_whole(note, json.dumps({"run": fresh, "job": str(asked.path)}))
    return fresh


def _stem(path: Path) -> str:
    return re.sub(r"[^A-Za-z0-9-]+", "-", path.stem).strip("-")[:40] or "train"


def status_of_job(workspace: Workspace, name: str) -> str | None:
    """None when there is no such job."""
    found = workspace.get(f"jobs/{name}")
    return None if found is None else str(found["properties"].get("status") or "Unknown")


def _submit(asked: Asked, workspace: Workspace, name: str) -> None:
    entity = asked.entity
    entity.name = name
    entity.tags = {**(entity.tags or {}), **asked.tags, "gates.job": asked.path.name}
    if asked.compute:
        entity.compute = asked.compute
    if asked.timeout is not None:
        _limit(asked, asked.timeout)
    try:
        _create(asked, workspace)
    except Conflict:  # an upload whose answer was lost is sent again and finds itself; the next try uploads elsewhere
        _create(asked, workspace)


def _create(asked: Asked, workspace: Workspace) -> None:
    with quiet():
        try:
            workspace.ml.jobs.create_or_update(asked.entity)
        except Exception as error:
            known = explain(f"submit {asked.path.name}", error)
            if known is None:
                raise
            if isinstance(known, InvalidInput) and known.file is None:
                known = InvalidInput(known.what, hint=known.hint, file=asked.path)
            raise known from error


def _limit(asked: Asked, seconds: float) -> None:
    from azure.ai.ml.entities import CommandJobLimits
    from azure.ai.ml.sweep import SweepJobLimits

    entity = asked.entity
    kind = str(asked.file.value.get("type") or "command")
    if kind == "pipeline":
        raise InvalidInput(
            "--timeout: a pipeline has no limit of its own", hint="set limits in its steps", file=asked.path
        )
    if entity.limits is None:
        entity.limits = SweepJobLimits() if kind == "sweep" else CommandJobLimits()
    entity.limits.timeout = int(seconds)


def _follow(workspace: Workspace, name: str, hear: Callable[[str], None]) -> str:
    """Stream until the job has ended; its status. A stream that breaks goes on where it was."""
    seen, since = 0, time.monotonic()
    while True:
        out = _Lines(hear, skip=seen)
        trouble: GatesError | None = None
        try:
            with quiet(out):
                workspace.ml.jobs.stream(name)
        except GatesError:
            raise
        except Exception as error:
            trouble = None if type(error).__name__ == "JobException" else explain(f"the log of job {name}", error)
            if trouble is None and type(error).__name__ != "JobException":
                raise
        finally:
            out.finish()
        if out.count > seen:
            seen, since = out.count, time.monotonic()
        try:
            status = status_of_job(workspace, name)
        except Unavailable as error:
            status, trouble = "Unknown", error
        if status is None:
            raise Unavailable(f"job {name} is gone from the workspace", hint="somebody deleted it; train again")
        if status not in RUNNING:
            return status
        if time.monotonic() - since > _STREAM_PATIENCE and trouble is not None:
            raise Unavailable(f"{trouble.what}; job {name} goes on", hint="run the same command again to go on with it")
        time.sleep(2.0)


class _Lines(io.TextIOBase):
    """A stream that hands on whole lines, without what the SDK says of itself, and without the first `skip`."""

    def __init__(self, hear: Callable[[str], None], *, skip: int = 0) -> None:
        self._hear, self._skip, self._rest, self.count = hear, skip, "", 0
        self._out, self._err = sys.stdout, sys.stderr  # whoever hears a line may print it: not to us again

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._say(line)
        return len(text)

    def finish(self) -> None:
        if self._rest:
            self._say(self._rest)
            self._rest = ""

    def _say(self, line: str) -> None:
        if not line.strip() or _SAID_BY_SDK.match(line):
            return
        self.count += 1
        if self.count > self._skip:
            with contextlib.redirect_stdout(self._out), contextlib.redirect_stderr(self._err):
                self._hear(scrub(line))


def _cancel(workspace: Workspace, name: str, say: Callable[[str], None]) -> None:
    """Ask Azure to cancel the job; not waited for, since a cancelled runner has seconds. One that cannot be is said."""
    say(f"cancelling job {name}")
    try:
        workspace.post(f"jobs/{name}/cancel")
    except GatesError as error:
        say(f"job {name} could not be cancelled, and may go on: {error.what}")


def _fetch(asked: Asked, workspace: Workspace, storage: Storage, name: str, folder: Path) -> TrainedRun:
    """The job's outputs, metrics, and what it ran on."""
    about = (workspace.get(f"jobs/{name}") or {}).get("properties") or {}
    outputs = folder / "outputs"
    model = outputs / asked.model_output
    if model.exists():
        shutil.rmtree(model)
    try:
        storage.download(output_uri(about, name, asked.model_output), model)
    except Unavailable as error:
        if not isinstance(error, Absent):
            raise
        raise JobFailed(
            f"job {name} wrote nothing to its output '{asked.model_output}'", hint="save the model there"
        ) from error
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


def resolved(workspace: Workspace, uri: str) -> str:
    """The datastore path behind `azureml://…jobs/J/outputs/O`; any other URI as it is."""
    match = re.search(r"^azureml://(?:.*/)?jobs/([^/]+)/outputs/([^/]+)/?$", uri)
    if match is None:
        return uri
    about = (workspace.get(f"jobs/{match.group(1)}") or {}).get("properties") or {}
    return output_uri(about, match.group(1), match.group(2))


def output_uri(about: Mapping[str, Any], name: str, output: str) -> str:
    """Where the output stands: as the job says, else where Azure puts it; of a sweep, the best trial's.

    Not `jobs.download`: for an output of a model type this SDK fails before it asks.
    """
    said = str(((about.get("outputs") or {}).get(output) or {}).get("uri") or "")
    if "/datastores/" in said and "/paths/" in said and "${{" not in said:
        return said
    best = str((about.get("properties") or {}).get("best_child_run_id") or "")
    return f"azureml://datastores/workspaceblobstore/paths/azureml/{best or name}/{output}"


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
        assets[str(name)] = _asset(uri)
        if name not in local:
            paths[str(name)] = storage.download(data_uri(workspace, uri), folder / "inputs" / str(name))
    return paths, assets


def _asset(uri: str) -> str:
    match = re.search(r"/data/([^/]+)/versions/([^/]+)$", uri)
    return f"azureml:{match.group(1)}:{match.group(2)}" if match else uri


def data_uri(workspace: Workspace, uri: str) -> str:
    """The datastore path behind a data asset: `azureml:NAME:VERSION`, `azureml:NAME@latest` or its ARM id."""
    if "/datastores/" in uri:
        return uri
    match = re.search(r"(?:^azureml:|/data/)([^/:@]+)(?:/versions/|[:@])([^/:@]+)$", uri)
    if match is None:
        raise InvalidInput(
            f"{uri} names no data", hint="write azureml:NAME:VERSION or azureml://datastores/NAME/paths/PATH"
        )
    name, version = match.groups()
    if version == "latest":
        container = workspace.get(f"data/{name}") or {"properties": {}}
        version = str(container["properties"].get("latestVersion") or "")
    found = workspace.get(f"data/{name}/versions/{version}")
    if found is None:
        raise InvalidInput(f"the workspace has no data {name} version {version}", hint="check name and version")
    return str(found["properties"]["dataUri"])


def _environment(workspace: Workspace, about: Mapping[str, Any], model: Path) -> dict[str, Any]:
    """The environment that the job named; what the model says was installed where it was made."""
    match = re.search(r"/environments/([^/]+)/versions/([^/]+)$", str(about.get("environmentId") or ""))
    found = workspace.get(f"environments/{match.group(1)}/versions/{match.group(2)}") if match else None
    properties = (found or {}).get("properties") or {}
    declared = {key: properties.get(key) for key in ("image", "condaFile", "build") if properties.get(key)}
    image = str(properties.get("image") or "an image built from the environment")
    requirements = next(iter(sorted(model.rglob("requirements.txt"))), None)
    lines = requirements.read_text(encoding="utf-8").splitlines() if requirements else []
    python = next((path.read_text(encoding="utf-8") for path in sorted(model.rglob("python_env.yaml"))), "")
    version = re.search(r"^python: *(\S+)", python, re.MULTILINE)
    return {
        "python": version.group(1) if version else "",
        "lock": digest(declared) if declared else None,
        "installed": sorted(line.strip() for line in lines if line.strip() and not line.startswith("#")),
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
