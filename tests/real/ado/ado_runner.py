"""Walks an expanded pipeline: stages, jobs and steps in the order of `dependsOn`, each under its condition.

Output variables travel as the service carries them: to a later stage `dependencies.S.outputs['J.step.var']`, to a later
job `dependencies.J.outputs['step.var']` and `stageDependencies.S.J.outputs['step.var']`; from a deployment job with
the job's name once more before the step. Only what is named in `dependsOn` can be looked at.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ado_agent import SYSTEM_TOKEN, Agent, StepRun
from ado_expressions import FUNCTIONS, STATUS, Scope, as_text, evaluate, truth

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

GOOD = ("Succeeded", "SucceededWithIssues")
STAGE = {"stage", "displayName", "dependsOn", "condition", "jobs", "variables"}
JOB = {
    "job", "deployment", "displayName", "dependsOn", "condition", "pool", "timeoutInMinutes", "variables", "steps",
    "environment", "strategy",
}  # fmt: skip
STEP = {"task", "bash", "script", "checkout", "name", "displayName", "condition", "inputs", "env", "fetchDepth"}


class RunnerError(ValueError):
    """A construct that this runner does not know, or a pipeline that the service would refuse."""


@dataclass
class JobRun:
    result: str = "Skipped"
    steps: list[StepRun] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)

    def step(self, name: str) -> StepRun:
        return next(step for step in self.steps if step.name == name)


@dataclass
class StageRun:
    result: str = "Skipped"
    jobs: dict[str, JobRun] = field(default_factory=dict)


@dataclass
class Runner:
    """One run. `environments` says what its approvers answer: True or False; an environment not named is unknown."""

    agent: Agent
    repository: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    environments: Mapping[str, bool] = field(default_factory=dict)
    stages: dict[str, StageRun] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def run(self, document: Mapping[str, Any]) -> dict[str, StageRun]:
        """Every stage, by its name."""
        before: str | None = None
        for stage in _stages(document):
            _known(stage, STAGE)
            name = stage.get("stage", "__default")
            waits = _waits(stage, [before] if before else [])
            if missing := set(waits) - set(self.stages):
                raise RunnerError(f"stage {name} depends on {min(missing)}, which is none before it")
            self.stages[name] = ran = StageRun()
            seen = {other: self.stages[other] for other in waits}
            dependencies = {
                other: {"result": past.result, "outputs": _stage_outputs(past)} for other, past in seen.items()
            }
            scope = self._scope({"dependencies": dependencies}, [past.result for past in seen.values()], self.variables)
            if truth(evaluate(stage.get("condition", "succeeded()"), scope)):
                self._stage(stage, ran, seen)
            before = name
        return self.stages

    def _stage(self, stage: Mapping[str, Any], ran: StageRun, seen: Mapping[str, StageRun]) -> None:
        upstream = {
            name: {job: {"result": past.result, "outputs": past.outputs} for job, past in other.jobs.items()}
            for name, other in seen.items()
        }
        for job in stage["jobs"]:
            _known(job, JOB)
            name = job.get("job") or job.get("deployment") or "__default"
            waits = _waits(job, [])
            past = {other: ran.jobs[other] for other in waits}
            dependencies = {other: {"result": one.result, "outputs": one.outputs} for other, one in past.items()}
            contexts = {"dependencies": dependencies, "stageDependencies": upstream}
            scope = self._scope(contexts, [one.result for one in past.values()], self.variables)
            ran.jobs[name] = JobRun()
            if truth(evaluate(job.get("condition", "succeeded()"), scope)):
                self._job(job, name, ran.jobs[name], contexts)
        results = [job.result for job in ran.jobs.values()]
        ran.result = "Failed" if "Failed" in results else next((r for r in GOOD[::-1] if r in results), "Skipped")

    def _job(self, job: Mapping[str, Any], name: str, ran: JobRun, contexts: Mapping[str, Any]) -> None:
        variables = dict(self.variables)
        for variable in job.get("variables") or []:
            value = str(variable["value"])
            if value.startswith("$["):
                value = as_text(evaluate(value[2:].rstrip()[:-1], self._scope(contexts, [], variables)))
            variables[variable["name"]] = value
        if "deployment" in job:
            environment = job["environment"]
            if environment not in self.environments:
                raise RunnerError(f"no environment '{environment}'")
            self.asked.append(environment)
            if not self.environments[environment]:
                ran.result = "Failed"
                return
            once = job["strategy"]["runOnce"]
            _known(once, {"deploy", "on"})
            self._steps(once["deploy"]["steps"], ran, variables, checkout=False)
            if ran.result == "Failed" and "on" in once:
                _known(once["on"], {"failure"})
                hook = JobRun()
                self._steps(once["on"]["failure"]["steps"], hook, dict(variables), checkout=False)
                ran.steps += hook.steps
            ran.outputs = {f"{name}.{key}": value for key, value in ran.outputs.items()}
        else:
            self._steps(job["steps"], ran, variables, checkout=True)

    def _steps(self, steps: list[Any], ran: JobRun, variables: dict[str, str], *, checkout: bool) -> None:
        """A job of its own machine's folder: a fresh work tree, variables and secrets that end with it."""
        folder = self.agent.folder / "work" / str(len(list((self.agent.folder / "work").iterdir())))
        folder.mkdir()
        secrets = {SYSTEM_TOKEN}
        variables["System.AccessToken"] = SYSTEM_TOKEN
        variables["System.DefaultWorkingDirectory"] = variables["Build.SourcesDirectory"] = str(folder)
        ran.result = "Succeeded"
        if checkout and not any("checkout" in step for step in steps):
            self._checkout(folder)
        for step in steps:
            _known(step, STEP)
            scope = self._scope({}, [one.result for one in ran.steps] or ["Succeeded"], variables)
            if not truth(evaluate(step.get("condition", "succeeded()"), scope)):
                ran.steps.append(StepRun(str(step.get("name") or ""), "Skipped"))
                continue
            if "checkout" in step:
                self._checkout(folder)
                continue
            visible = {key: value for key, value in variables.items() if key != "System.AccessToken"}
            one = self.agent.run(_with_token(step), folder, visible, secrets)
            variables |= visible
            ran.steps.append(one)
            ran.outputs |= {f"{one.name}.{key}": value for key, value in one.outputs.items()}
            if one.result != "Succeeded":
                ran.result = "Failed" if "Failed" in (one.result, ran.result) else one.result

    def _checkout(self, folder: Path) -> None:
        if not list(folder.iterdir()):
            subprocess.run(["git", "clone", "--quiet", str(self.repository), str(folder)], check=True)

    def _scope(self, contexts: Mapping[str, Any], results: Iterable[str], variables: Mapping[str, str]) -> Scope:
        past = [result for result in results if result != "Skipped" or "dependencies" in contexts]
        status = {
            "succeeded": lambda: all(result in GOOD for result in past),
            "failed": lambda: "Failed" in past,
            "always": lambda: True,
            "succeededOrFailed": lambda: all(result in (*GOOD, "Failed") for result in past),
        }
        assert set(status) == set(STATUS)
        return Scope({"variables": dict(variables), **contexts}, {**FUNCTIONS, **status})


def _with_token(step: Mapping[str, Any]) -> Mapping[str, Any]:
    """A step sees the job's token only where its own `env` asks for it by name."""
    env = {
        name: SYSTEM_TOKEN if value == "$(System.AccessToken)" else value
        for name, value in (step.get("env") or {}).items()
    }
    return {**step, "env": env}


def _stage_outputs(stage: StageRun) -> dict[str, str]:
    return {f"{job}.{key}": value for job, ran in stage.jobs.items() for key, value in ran.outputs.items()}


def _stages(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    if "stages" in document:
        return list(document["stages"])
    if "jobs" in document:
        return [{"jobs": document["jobs"]}]
    return [{"jobs": [{"job": "__default", "steps": document["steps"]}]}]


def _waits(part: Mapping[str, Any], otherwise: list[str]) -> list[str]:
    given = part.get("dependsOn")
    if given is None:
        return otherwise
    return [given] if isinstance(given, str) else list(given)


def _known(part: Mapping[str, Any], keys: set[str]) -> None:
    if unknown := set(part) - keys:
        raise RunnerError(f"'{min(unknown)}' is not known here")
