"""Runs a pipeline: a step as soon as what it reads is written, independent steps side by side, each a nested run.

Whoever watches sees which step runs. When a step fails nothing new starts, the others are ended, and every step that
did not run is named; with `continue_on_step_failure` the steps that do not need it go on, and the job fails at the end.
"""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from gates.backends.local import commands, graph, mlflow_rest, sweeps
from gates.backends.local.commands import JobRun, Setting, Stopped
from gates.errors import Cancelled, GatesError, JobFailed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gates.backends.local.graph import Graph, Step
    from gates.backends.local.job_file import Job

_POLL = 0.1
_V = TypeVar("_V")


@dataclass
class _Watch:
    """Where the steps stand, and what is said of it: to whoever watches, and to the pipeline's log."""

    setting: Setting
    log: Path
    states: dict[str, str]
    lock: threading.Lock = field(default_factory=threading.Lock)

    def line(self, step: str, text: str) -> None:
        with self.lock:
            self._write(f"[{step}] {text}")
            if self.setting.on_line is not None:
                self.setting.on_line(f"[{step}] {text}")

    def now(self, step: str, state: str) -> None:
        with self.lock:
            self.states[step] = state
            self._write(f"step {step}: {state}")
            self.setting.say(f"step {step}: {state}")

    def _write(self, text: str) -> None:
        with self.log.open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")


def run_pipeline(plan: Graph, job: Job, setting: Setting, *, timeout: float | None = None) -> JobRun:
    """Run every step. JobFailed, with the log's end, names the first step that failed and those that did not run."""
    for step in plan.steps:  # before the first step runs, and where a signal can end it
        commands.interpreter(step.command, setting)
        commands.references(step.command, setting.assets)
    begun = time.monotonic()
    experiment = mlflow_rest.experiment(setting.tracking_uri, job.experiment, setting.env)
    runs = _open_runs(plan, job, setting, experiment)
    home = (setting.work / runs[""]).absolute()
    watch = _Watch(setting, home / "user_logs" / "std_log.txt", {step.name: "not run" for step in plan.steps})
    watch.log.parent.mkdir(parents=True, exist_ok=True)
    stop = threading.Event()
    inner = replace(setting, stop=stop, say=lambda text: watch.line("gates", text))
    status = "FAILED"
    try:
        with ThreadPoolExecutor(max(2, os.cpu_count() or 2), "step") as pool:
            try:
                done = _drive(plan, job, inner, watch, runs, pool, None if timeout is None else begun + timeout)
            finally:
                stop.set()
        result = _result(plan, done, home, runs[""], watch, time.monotonic() - begun)
        commands.require_metrics(job.tags.get(commands.METRICS_TAG, ""), result.metrics, ())
        status = "FINISHED"
    except (Cancelled, KeyboardInterrupt):
        status = "KILLED"
        raise
    finally:
        for name, run_id in runs.items():
            own = "FINISHED" if _all_done(name, watch.states) and status != "KILLED" else status
            ended = status if not name else own
            mlflow_rest.end_run(setting.tracking_uri, run_id, ended, time.time(), setting.env)
    mlflow_rest.log_metrics(setting.tracking_uri, runs[""], result.metrics, time.time(), setting.env)
    return result


def _open_runs(plan: Graph, job: Job, setting: Setting, experiment: str) -> dict[str, str]:
    """An MLflow run for the pipeline, `""`, and one for each inner pipeline."""
    tags = {**job.tags, "gates.job_file": str(job.path)}
    uri, env = setting.tracking_uri, setting.env
    runs = {"": mlflow_rest.create_run(uri, experiment, job.display_name, tags, time.time(), env)}
    for name in graph.groups(plan.steps):
        nested = {**tags, "mlflow.parentRunId": runs[name.rpartition("/")[0]]}
        runs[name] = mlflow_rest.create_run(uri, experiment, name, nested, time.time(), env)
    return runs


def _all_done(group: str, states: Mapping[str, str]) -> bool:
    inside = [state for name, state in states.items() if name.startswith(f"{group}/")]
    return bool(inside) and all(state.startswith("completed") for state in inside)


def _drive(
    plan: Graph,
    job: Job,
    setting: Setting,
    watch: _Watch,
    runs: Mapping[str, str],
    pool: ThreadPoolExecutor,
    until: float | None,
) -> dict[str, JobRun]:
    """Start what can start, until all has ended or something failed."""
    stop = setting.stop or threading.Event()
    waiting = {step.name: step for step in plan.steps}
    running: dict[Future[JobRun], Step] = {}
    done: dict[str, JobRun] = {}
    failures: dict[str, GatesError] = {}
    while True:
        ready = [step for step in waiting.values() if step.after <= set(done)]
        for step in ready if plan.go_on or not failures else ():
            del waiting[step.name]
            future = pool.submit(_run_step, step, job, setting, watch, runs[step.group], dict(done))
            running[future] = step
        if not running:
            break
        ended, _ = wait(running, timeout=_POLL, return_when=FIRST_COMPLETED)
        if until is not None and time.monotonic() > until and not stop.is_set():
            stop.set()
            failures.setdefault("", JobFailed("the pipeline timed out"))
        for future in ended:
            step = running.pop(future)
            error = future.exception()
            if error is None:
                done[step.name] = future.result()
            elif not isinstance(error, GatesError):
                raise error
            elif not (isinstance(error, Stopped) and failures):
                failures[step.name] = error
            if error is not None and not plan.go_on:
                stop.set()
    if failures:
        raise _failure(failures, watch)
    return done


def _run_step(step: Step, job: Job, setting: Setting, watch: _Watch, parent: str, done: Mapping[str, JobRun]) -> JobRun:
    """One step, in a thread of its own."""
    watch.now(step.name, "running")
    inputs = dict(step.command.inputs)
    for name, link in step.links.items():
        inputs[name] = replace(inputs[name], reference=str(done[link.step].outputs[link.output]))
    command = replace(step.command, inputs=inputs)
    own = replace(setting, on_line=lambda text: watch.line(step.name, text))
    try:
        if step.sweep is not None:
            ended = sweeps.run_sweep(replace(step.sweep, trial=command), job, own, parent=parent, name=step.name)
        else:
            ended = commands.run_command(command, job, own, parent=parent, name=step.name)
    except Stopped:
        watch.now(step.name, "stopped")
        raise
    except GatesError as error:
        watch.now(step.name, f"failed: {error.what}")
        raise
    watch.now(step.name, f"completed in {ended.seconds:.0f} s")
    return ended


def _failure(failures: Mapping[str, GatesError], watch: _Watch) -> GatesError:
    """The first failure, with the steps that did not run because of it."""
    name, first = next(iter(failures.items()))
    idle = [step for step, state in watch.states.items() if state == "not run"]
    for step in idle:
        watch.now(step, "not run")
    if not isinstance(first, JobFailed):
        return first
    where = f"step '{name}': " if name else ""
    rest = f" (not run: {', '.join(idle)})" if idle else ""
    return JobFailed(f"{where}{first.what}{rest}", hint=first.hint, tail=first.tail)


def _result(plan: Graph, done: Mapping[str, JobRun], home: Path, run_id: str, watch: _Watch, seconds: float) -> JobRun:
    """The pipeline as one job: its outputs are those of steps; environment and model's inputs those of who wrote it."""
    outputs = {name: done[link.step].outputs[link.output] for name, link in plan.outputs.items()}
    (home / "outputs").mkdir(parents=True, exist_ok=True)
    for name, path in outputs.items():
        (home / "outputs" / name).symlink_to(path)
    kinds = {step.name: step.command.outputs for step in plan.steps}
    makers = [link.step for link in plan.outputs.values() if kinds[link.step].get(link.output) == "mlflow_model"]
    maker = done[(makers or [plan.steps[-1].name])[0]]
    return JobRun(
        run_id=run_id,
        job_dir=home,
        outputs=outputs,
        metrics=_joined({name: run.metrics for name, run in done.items()}),
        params=_joined({name: run.params for name, run in done.items()}),
        log_path=watch.log,
        seconds=seconds,
        environment_declared=maker.environment_declared,
        differences=maker.differences,
        environment=maker.environment,
        python=maker.python,
        notes=_notes(done),
        read=maker.read,
    )


def _notes(done: Mapping[str, JobRun]) -> tuple[str, ...]:
    """Every note once: with the steps it is about, when it is not about all of them."""
    where: dict[str, list[str]] = {}
    for name, run in done.items():
        for note in run.notes:
            where.setdefault(note, []).append(name)
    return tuple(
        note if len(names) == len(done) else f"step {', '.join(names)}: {note}" for note, names in where.items()
    )


def _joined(by_step: Mapping[str, Mapping[str, _V]]) -> dict[str, _V]:
    """What the steps logged, by name; a name that two steps use is `step.name` for both, so that neither hides."""
    count: dict[str, int] = {}
    for logged in by_step.values():
        for name in logged:
            count[name] = count.get(name, 0) + 1
    return {
        name if count[name] == 1 else f"{step}.{name}": value
        for step, logged in by_step.items()
        for name, value in logged.items()
    }
