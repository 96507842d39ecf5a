"""Runs Azure ML jobs on this machine, without Docker: command, pipeline and sweep jobs, as Azure ML would.

A job's folder is `<work>/<run id>`; see commands.py for one process, pipelines.py and sweeps.py for many.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gates.backends.local import commands, graph, job_file, pipelines, sweeps
from gates.backends.local.commands import SAVE_LINE, JobRun, Setting, model_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gates.backends.local.job_file import Job

__all__ = ["SAVE_LINE", "JobRun", "code_of", "inputs_of", "load_job", "model_folder", "run_job"]


def load_job(path: Path) -> Job:
    """Parse a job file and all that it names. InvalidInput with file and line for what cannot run."""
    job = job_file.load_job(path)
    if job.kind == "pipeline":
        plan, warnings = graph.read(job)
        return replace(job, plan=plan, warnings=(*job.warnings, *warnings))
    if job.kind == "sweep":
        return replace(job, plan=sweeps.read(job.document, job.document.value, ()))
    return job


def run_job(
    job: Job,
    *,
    work: Path,
    python: Path,
    tracking_uri: str,
    env: Mapping[str, str],
    assets: Path | None = None,
    environment: str = "current",
    cache: Path | None = None,
    on_line: Callable[[str], None] | None = None,
    say: Callable[[str], None] = lambda _: None,
    timeout: float | None = None,
) -> JobRun:
    """Run the job to its end.

    environment: `current` (the interpreter `python`) or `build` (a cached environment from the job's conda file).
    JobFailed, with the last 50 lines, when it fails, is killed, times out or leaves an output unwritten; InvalidInput
    for a reference that cannot be resolved; Unavailable when the tracking server or the environment cannot be had.
    """
    setting = Setting(work, python, tracking_uri, env, assets, environment, cache, on_line, say)
    for warning in job.warnings:
        say(warning)
    if isinstance(job.plan, graph.Graph):
        done = pipelines.run_pipeline(job.plan, job, setting, timeout=timeout)
    elif isinstance(job.plan, sweeps.Sweep):
        done = sweeps.run_sweep(job.plan, job, setting, timeout=timeout)
    else:
        done = commands.run_command(job_file.command_in(job), job, setting, timeout=timeout)
    return replace(done, notes=(*job.warnings, *done.notes))


def inputs_of(job: Job, assets: Path | None) -> dict[str, Path]:
    """The files and folders that a job reads from outside, by name; `step.input` where a step names one itself."""
    if isinstance(job.plan, graph.Graph):
        return graph.inputs_of(job.plan, assets)
    return commands.references(_processes(job)[0], assets)


def code_of(job: Job) -> Path | None:
    """The folder that holds the code of all processes of a job; None where they have none."""
    found = [str(one.code) for one in _processes(job) if one.code is not None]
    return Path(os.path.commonpath(found)) if found else None


def _processes(job: Job) -> tuple[job_file.Command, ...]:
    if isinstance(job.plan, graph.Graph):
        return tuple(step.command for step in job.plan.steps)
    if isinstance(job.plan, sweeps.Sweep):
        return (job.plan.trial,)
    return (job_file.command_in(job),)
