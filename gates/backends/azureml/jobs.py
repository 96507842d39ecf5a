"""Jobs of a workspace, from asking to the end: submitted once, streamed, cancelled with the runner, taken up again.

What is asked stands in asked_job.py, how a job is found again in submission.py, its log in job_log.py, what it left in
job_outputs.py; the order of these is here, for training and for a gate alike.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gates import confidential
from gates.backends.azureml import job_outputs
from gates.backends.azureml.asked_job import identity_of
from gates.backends.azureml.job_log import follow, heed, heeded
from gates.backends.azureml.submission import cancel, find_or_submit
from gates.errors import Cancelled, JobFailed
from gates.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gates.backends import TrainedRun
    from gates.backends.azureml.asked_job import Asked
    from gates.backends.azureml.client import Workspace
    from gates.backends.azureml.storage import Storage

TAIL = 50


@dataclass(frozen=True)
class Done:
    """A job that has completed. `note`: the file that says that it is unfinished, for whoever has its outputs."""

    name: str
    folder: Path
    note: Path


def train(
    asked: Asked, workspace: Workspace, storage: Storage, *, work: Path, on_line: Callable[[str], None],
    say: Callable[[str], None], hidden: tuple[str, ...] = (),
) -> TrainedRun:  # fmt: skip
    """Run the job to its end and fetch what it made; see `run`. JobFailed too when it wrote no model."""
    begun = time.monotonic()
    done = run(asked, workspace, storage, work=work, on_line=on_line, say=say, hidden=hidden)
    trained = job_outputs.fetch(asked, workspace, storage, done.name, done.folder)
    done.note.unlink(missing_ok=True)
    return replace(trained, seconds=time.monotonic() - begun)


def run(
    asked: Asked, workspace: Workspace, storage: Storage, *, work: Path, on_line: Callable[[str], None],
    say: Callable[[str], None], hidden: tuple[str, ...] = (),
) -> Done:  # fmt: skip
    """Run the job to its end. A runner that is cancelled cancels it. hidden: never in its log.

    JobFailed with the log's tail when the job failed or was cancelled; Unavailable when Azure cannot be had: the job
    goes on then, and the same command takes it up again.
    """
    identity = identity_of(asked)
    note = asked.pending / f"{identity[7:23]}.json"
    lines: list[str] = []

    def hear(line: str) -> None:
        for secret in hidden:
            line = line.replace(secret, confidential.HIDDEN)
        lines.append(line)
        on_line(line)

    with heeded() as told:
        name = find_or_submit(asked, workspace, identity, note, say)
        try:
            heed(told)
            status = follow(workspace, name, hear, whole=lambda: job_outputs.log_of(storage, name), told=told)
        except (Cancelled, KeyboardInterrupt):
            cancel(workspace, name, say)
            raise
    folder = work / name
    write_whole(folder / "log.txt", "".join(f"{line}\n" for line in lines))
    if status != "Completed":
        note.unlink(missing_ok=True)
        how = {"Failed": "failed", "Canceled": "was cancelled"}.get(status, f"ended as {status}")
        raise JobFailed(
            f"job {name} {how}", hint="its log's end is above; see it whole in the studio", tail=tuple(lines[-TAIL:])
        )
    return Done(name, folder, note)
