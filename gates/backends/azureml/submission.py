"""A job is submitted once: its name is made from what it is and from the run that asks for it.

A runner that died and comes again finds its job by name: it goes on with the one that runs, and takes the outputs of
the one that has ended meanwhile. One that failed or was cancelled is submitted again under the next name. On a laptop
a file beside the state says which run is unfinished; under a pipeline it is the platform's run.
"""

from __future__ import annotations

import json
import re
import uuid
from typing import TYPE_CHECKING

from gates.backends.azureml.calls import explain
from gates.backends.azureml.client import quiet
from gates.canonical import digest
from gates.errors import Cancelled, Conflict, GatesError, InvalidInput, Unavailable
from gates.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gates.backends.azureml.asked_job import Asked
    from gates.backends.azureml.client import Workspace

RUNNING = (
    "NotStarted", "Queued", "Preparing", "Provisioning", "Starting", "Running", "Finalizing", "CancelRequested",
    "Paused", "NotResponding", "Unknown",
)  # fmt: skip
_ATTEMPTS = 20


def find_or_submit(asked: Asked, workspace: Workspace, identity: str, note: Path, say: Callable[[str], None]) -> str:
    """The name of the job: one that this run asked for before and that did not fail, or a new one."""
    stem = f"{_stem(asked.path)}-{digest({'job': identity, 'run': _run(asked, note)})[7:19]}"
    for attempt in range(1, _ATTEMPTS + 1):
        name = stem if attempt == 1 else f"{stem}-{attempt}"
        status = status_of_job(workspace, name)
        if status is None:
            try:
                _submit(asked, workspace, name)
            except (Cancelled, KeyboardInterrupt):  # in the middle of it: it may be there
                cancel(workspace, name, say)
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


def cancel(workspace: Workspace, name: str, say: Callable[[str], None]) -> None:
    """Ask Azure to cancel the job; not waited for, since a cancelled runner has seconds. One that cannot be is said."""
    say(f"cancelling job {name}")
    try:
        workspace.post(f"jobs/{name}/cancel")
    except GatesError as error:
        say(f"job {name} could not be cancelled, and may go on: {error.what}")
