"""Runs a sweep: trials side by side, each a nested MLflow run, drawn by Optuna and judged by the primary metric.

A trial's figure is the last value that it logged of the primary metric: that of the model it saved. One that fails, is
ended early, or logs no finite value is counted and cannot be the best. The best trial's outputs are the job's. With
bayesian sampling trials go in waves, told in order, so that a seed gives the same trials however long each takes.
"""

from __future__ import annotations

import math
import os
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from gates import document
from gates.backends.local import commands, job_file, mlflow_rest, search_space, termination
from gates.backends.local.commands import JobRun, Setting, Stopped
from gates.errors import Cancelled, JobFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gates.backends.local.job_file import Command, Job
    from gates.document import Document, Key

_POLL = 0.1
_LOOK = 1.0
"""Seconds between two looks at what the trials report."""


@dataclass(frozen=True)
class Sweep:
    """A sweep. declared: the inputs of a trial that is a component file, as they stand there; None otherwise."""

    trial: Command
    space: Mapping[str, search_space.Parameter]
    sampling: search_space.Sampling
    metric: str
    maximize: bool
    total: int
    concurrent: int
    timeout: float | None
    policy: termination.Policy | None
    declared: Mapping[str, Any] | None = None


@dataclass
class _Trial:
    number: int
    values: Mapping[str, str]
    stop: threading.Event = field(default_factory=threading.Event)
    run_id: str = ""
    ended_early: str = ""
    figure: float | None = None
    run: JobRun | None = None


def read(file: Document, raw: Mapping[str, Any], at: Key) -> Sweep:
    """The sweep that a job file or a pipeline's step describes. InvalidInput for what cannot run."""
    space, sampling = search_space.read(file, raw, at)
    objective, limits = raw["objective"], raw["limits"]
    total = int(limits["max_total_trials"])
    concurrent = int(limits.get("max_concurrent_trials") or min(total, os.cpu_count() or 1))
    if total < 1 or concurrent < 1:
        raise file.error("limits: there must be at least one trial", (*at, "limits"))
    trial, declared = _trial(file, raw, at)
    own = limits.get("trial_timeout")
    return Sweep(
        trial=replace(trial, timeout=float(own) if own is not None else trial.timeout),
        space=space,
        sampling=sampling,
        metric=str(objective["primary_metric"]),
        maximize=str(objective["goal"]).lower() == "maximize",
        total=total,
        concurrent=min(concurrent, total),
        timeout=float(limits["timeout"]) if limits.get("timeout") is not None else None,
        policy=termination.read(file, raw, at),
        declared=declared,
    )


def _trial(file: Document, raw: Mapping[str, Any], at: Key) -> tuple[Command, Mapping[str, Any] | None]:
    """A trial's process: inline, with the sweep's inputs and outputs, or a component file with its own."""
    trial = raw["trial"]
    if isinstance(trial, dict):
        body = {**trial, **{key: raw[key] for key in ("inputs", "outputs") if raw.get(key)}}
        return job_file.command_of(file, body, at), trial.get("inputs") if "inputs" in trial else None
    if str(trial).startswith("azureml:"):
        raise file.error(f"trial: {trial} stands in a workspace", (*at, "trial"), "name its YAML file")
    loaded = document.load_yaml(file.file.absolute().parent / str(trial).removeprefix("file:"), "component file")
    command = job_file.command_of(loaded, loaded.value, ())
    given = {str(name): job_file.input_of(value) for name, value in (raw.get("inputs") or {}).items()}
    base = file.file.absolute().parent
    given = {name: replace(one, reference=str(base / one.reference)) if one.reference and ":" not in one.reference
             else one for name, one in given.items()}  # fmt: skip
    return replace(command, inputs={**command.inputs, **given}), loaded.value.get("inputs") or {}


def run_sweep(
    sweep: Sweep, job: Job, setting: Setting, *, timeout: float | None = None, parent: str = "", name: str = ""
) -> JobRun:
    """Run the trials; the result is the best one's, with its run. JobFailed when none was good, or time ran out."""
    commands.interpreter(sweep.trial, setting)
    commands.references(sweep.trial, setting.assets)
    begun = time.monotonic()
    experiment = mlflow_rest.experiment(setting.tracking_uri, job.experiment, setting.env)
    tags = {**job.tags, "gates.job_file": str(job.path), "gates.sweep.seed": str(sweep.sampling.seed)}
    if parent:
        tags["mlflow.parentRunId"] = parent
    uri, env = setting.tracking_uri, setting.env
    run_id = mlflow_rest.create_run(uri, experiment, name or job.display_name, tags, time.time(), env)
    limits = [limit for limit in (timeout, sweep.timeout) if limit is not None]
    work = _Work(sweep, job, setting, run_id, begun + min(limits) if limits else None)
    status = "FAILED"
    try:
        best = work.run()
        assert best.run is not None  # noqa: S101  # the best has ended well
        if not parent:
            commands.require_metrics(job.tags.get(commands.METRICS_TAG, ""), best.run.metrics, ())
        status = "FINISHED"
    except (Cancelled, KeyboardInterrupt, Stopped):
        status = "KILLED"
        raise
    finally:
        mlflow_rest.end_run(uri, run_id, status, time.time(), env)
    mlflow_rest.log_metrics(uri, run_id, best.run.metrics, time.time(), env)
    mlflow_rest.set_tag(uri, run_id, "gates.sweep.best", best.run.run_id, env)
    params = {**best.values, **best.run.params}
    return replace(best.run, params=params, seconds=time.monotonic() - begun)


class _Work:
    """The trials of one sweep while it runs."""

    def __init__(self, sweep: Sweep, job: Job, setting: Setting, run_id: str, until: float | None) -> None:
        self._sweep, self._job, self._setting = sweep, job, setting
        self._run_id, self._until = run_id, until
        self._search = search_space.Search(sweep.space, sweep.sampling, maximize=sweep.maximize)
        self._total = min(sweep.total, self._search.size or sweep.total)
        self._trials: list[_Trial] = []
        self._reports: dict[int, tuple[float, ...]] = {}
        self._errors: list[JobFailed] = []
        self._lock = threading.Lock()

    def run(self) -> _Trial:
        """All trials to their end; the best of them."""
        running: dict[Future[JobRun], _Trial] = {}
        looked = 0.0
        with ThreadPoolExecutor(self._sweep.concurrent, "trial") as pool:
            try:
                while len(self._trials) < self._total or running:
                    self._fill(pool, running)
                    ended, _ = wait(running, timeout=_POLL, return_when=FIRST_COMPLETED)
                    for future in ended:
                        self._end(running.pop(future), future)
                    self._check_time()
                    if self._sweep.policy is not None and time.monotonic() - looked > _LOOK:
                        self._look(running.values())
                        looked = time.monotonic()
            finally:
                for trial in self._trials:
                    trial.stop.set()
        return self._best()

    def _fill(self, pool: ThreadPoolExecutor, running: dict[Future[JobRun], _Trial]) -> None:
        """Start trials where there is room; in waves where the next ones depend on the results."""
        if self._search.waves and running:
            return
        if self._search.waves:
            self._tell_all()
        while len(self._trials) < self._total and len(running) < self._sweep.concurrent:
            trial = _Trial(*self._search.ask())
            self._trials.append(trial)
            self._setting.say(f"trial {trial.number + 1} of {self._total}: running, {_shown(trial.values)}")
            running[pool.submit(self._run_trial, trial)] = trial

    def _tell_all(self) -> None:
        for trial in self._trials[-self._sweep.concurrent :]:
            self._search.tell(trial.number, trial.figure)

    def _run_trial(self, trial: _Trial) -> JobRun:
        """One trial, in a thread of its own."""
        command, inputs = self._sweep.trial, dict(self._sweep.trial.inputs)
        for name, value in trial.values.items():
            if name in inputs or name in (self._sweep.declared or ()):
                inputs[name] = job_file.Input("literal", literal=value)

        def begun(run_id: str) -> None:
            trial.run_id = run_id

        def on_line(text: str) -> None:
            if self._setting.on_line is not None:
                with self._lock:
                    self._setting.on_line(f"[trial {trial.number + 1}] {text}")

        return commands.run_command(
            replace(command, inputs=inputs, search=trial.values),
            self._job,
            replace(self._setting, stop=trial.stop, on_line=on_line),
            parent=self._run_id,
            name=f"trial-{trial.number + 1}",
            tags={f"gates.sweep.{name}": value for name, value in trial.values.items()},
            begun=begun,
        )

    def _end(self, trial: _Trial, future: Future[JobRun]) -> None:
        """Take down how a trial ended."""
        error = future.exception()
        if error is not None and not isinstance(error, JobFailed):
            raise error  # a wrong input is wrong for every trial, and so is a server that is gone
        if trial.ended_early:
            state = f"ended early: {trial.ended_early}"
        elif error is not None:
            self._errors.append(error)
            state = f"failed: {error.what}"
        else:
            run = future.result()
            value = run.metrics.get(self._sweep.metric)
            if value is None or not math.isfinite(value):
                what = f"logged no metric {self._sweep.metric!r}" if value is None else f"logged {value}"
                tail = tuple(run.log_path.read_text(encoding="utf-8", errors="replace").splitlines()[-50:])
                self._errors.append(JobFailed(f"the job ended well but {what}", tail=tail))
                state = f"failed: it {what}"
            else:
                trial.figure, trial.run = value, run
                state = f"{self._sweep.metric} {value:.6g}"
                if self._sweep.policy is not None:
                    self._reports[trial.number] = self._history(trial)
        if not self._search.waves:
            self._search.tell(trial.number, trial.figure)
        self._setting.say(f"trial {trial.number + 1} of {self._total}: {state}")

    def _check_time(self) -> None:
        if self._setting.stop is not None and self._setting.stop.is_set():
            raise Stopped("the sweep was stopped")
        if self._until is not None and time.monotonic() > self._until:
            done = sum(trial.run is not None for trial in self._trials)
            raise JobFailed(f"the sweep timed out; {done} of {self._total} trials had ended well",
                            hint="raise limits.timeout, or lower limits.max_total_trials")  # fmt: skip

    def _history(self, trial: _Trial) -> tuple[float, ...]:
        found = mlflow_rest.metric_history(
            self._setting.tracking_uri, trial.run_id, self._sweep.metric, self._setting.env
        )
        return tuple(value for _, value in found)

    def _look(self, running: Any) -> None:
        """End the trials that the policy gives up."""
        policy = self._sweep.policy
        now = [trial for trial in running if trial.run_id and not trial.stop.is_set()]
        for trial in now:
            self._reports[trial.number] = self._history(trial)
        for trial in now:
            if policy and (
                why := termination.verdict(policy, self._reports, trial.number, maximize=self._sweep.maximize)
            ):
                trial.ended_early = f"{policy.type}: {why}"
                trial.stop.set()

    def _best(self) -> _Trial:
        good = [trial for trial in self._trials if trial.figure is not None]
        early = sum(bool(trial.ended_early) for trial in self._trials)
        if not good:
            last = self._errors[-1] if self._errors else JobFailed("every trial was ended early")
            raise JobFailed(f"none of {len(self._trials)} trials ended well; the last: {last.what}", hint=last.hint,
                            tail=last.tail)  # fmt: skip
        sign = -1.0 if self._sweep.maximize else 1.0
        best = min(good, key=lambda trial: (sign * (trial.figure or 0.0), trial.number))
        failed = len(self._trials) - len(good) - early
        self._setting.say(
            f"best of {len(self._trials)} trials ({failed} failed, {early} ended early): trial {best.number + 1}, "
            f"{self._sweep.metric} {best.figure:.6g}, {_shown(best.values)}"
        )
        return best


def _shown(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
