"""What a local run does with every key of an Azure ML job file. The docs' table and the warnings are made from it.

A test walks the SDK's schemas and fails when a key is not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

How = Literal["honoured", "differs", "warned", "refused"]


@dataclass(frozen=True)
class Rule:
    """How a key is treated, and the sentence that says so. `unless`: values for which nothing need be said."""

    how: How
    why: str = ""
    unless: tuple[object, ...] = ()


WORDS: dict[How, str] = {
    "honoured": "honours it",
    "differs": "honours it with a difference",
    "warned": "warns",
    "refused": "refuses",
}
INTRODUCTION = """\
The SDK's own loader reads the file, so what runs here is what Azure ML accepts. Then each key is honoured, honoured
with a difference, warned of (the job runs, and the warning names file and line), or refused (exit code 2)."""
_DOCKER = "a local run needs no Docker: the interpreter is the current one, or a virtual environment (`build`)"
_QUEUE = Rule("warned", "a local run has no queue")
_SERVER = "Azure ML sets it; it means nothing here"
_COMMON: dict[str, Rule] = {
    "$schema": Rule("honoured"),
    "type": Rule("honoured"),
    "name": Rule("differs", "recorded; every local run gets an id of its own"),
    "display_name": Rule("honoured"),
    "description": Rule("honoured", "as the run's note"),
    "experiment_name": Rule("honoured"),
    "tags": Rule("honoured", "`gates.metrics: a, b` names metrics that the job must log"),
    "properties": Rule("differs", "recorded as tags"),
    "compute": Rule("differs", "recorded; the job runs on this machine"),
    "services": Rule("warned", "interactive services are not started by a local run"),
    "identity": Rule("warned", "a local run has the rights of whoever started it"),
    "creation_context": Rule("differs", _SERVER),
    "id": Rule("differs", _SERVER),
    "log_files": Rule("differs", _SERVER),
    "status": Rule("differs", _SERVER),
}
_RESOURCES: dict[str, Rule] = {
    "resources.instance_count": Rule("refused", "a local run has one machine", unless=(1, None)),
    "resources.max_instance_count": Rule("refused", "a local run has one machine", unless=(1, None)),
    "resources.instance_type": Rule("warned", "the job runs on this machine"),
    "resources.locations": Rule("warned", "the job runs on this machine"),
    "resources.shm_size": Rule("warned", "the machine's own shared memory is used"),
    "resources.docker_args": Rule("warned", "a local run needs no Docker"),
    "resources.properties": Rule("warned", "the job runs on this machine"),
}
COMMAND: dict[str, Rule] = {
    **_COMMON,
    **_RESOURCES,
    "queue_settings": _QUEUE,
    "command": Rule("differs", "values are quoted for the shell; see `${{inputs.x}}`"),
    "code": Rule("honoured", "a copy, without what `.amlignore` or else `.gitignore` leaves out"),
    "inputs": Rule("differs", "data is read where it stands; `mode` makes no copy"),
    "outputs": Rule("differs", "a folder or file of the run; a `path` in a datastore is not written to"),
    "environment": Rule("differs", _DOCKER),
    "environment_variables": Rule("honoured"),
    "distribution": Rule("refused", "a local run starts one process"),
    "limits": Rule("honoured"),
    "resources": Rule("differs", "one machine, this one"),
    "parameters": Rule("differs", _SERVER),
    "parent_job_name": Rule("warned", "recorded only"),
}
PIPELINE: dict[str, Rule] = {
    **_COMMON,
    "inputs": Rule("differs", "data is read where it stands; `mode` makes no copy"),
    "outputs": Rule("differs", "what the step wrote; a `path` in a datastore is not written to"),
    "jobs": Rule("differs", "command, sweep and pipeline steps; others are refused"),
    "component": Rule("differs", "a file; one that stands in a workspace is refused"),
    "settings.default_compute": Rule("differs", "the job runs on this machine"),
    "settings.default_datastore": Rule("differs", "outputs stay in the job's folder"),
    "settings.continue_on_step_failure": Rule("honoured", "the job fails all the same, at the end"),
    "settings.force_rerun": Rule("differs", "every local run runs every step"),
    "settings": Rule("honoured"),
}
SWEEP: dict[str, Rule] = {
    **_COMMON,
    **_RESOURCES,
    "queue_settings": _QUEUE,
    "inputs": Rule("differs", "data is read where it stands; `mode` makes no copy"),
    "outputs": Rule("differs", "those of the best trial"),
    "trial": Rule("differs", "as a command job; a component that stands in a workspace is refused"),
    "search_space": Rule("differs", "choices of mappings are refused"),
    "sampling_algorithm": Rule("differs", "Optuna's samplers: random or Sobol, grid, TPE for bayesian; seed 0 if none"),
    "objective": Rule("differs", "a trial's last value counts, that of the model it saved"),
    "early_termination": Rule("honoured"),
    "limits": Rule("differs", "as many trials at once as there are processors, where max_concurrent_trials is absent"),
    "resources": Rule("differs", "one machine, this one"),
}
_STEP: dict[str, Rule] = {
    "$schema": Rule("honoured"),
    "type": Rule("honoured"),
    "comment": Rule("honoured", "it is one"),
    "inputs": Rule("honoured"),
    "outputs": Rule("differs", "`${{parent.outputs.x}}`; a path in a datastore is refused"),
    "properties": Rule("warned", "a step's properties are not recorded"),
}
_STEP_MACHINE: dict[str, Rule] = {
    **_RESOURCES,
    "compute": Rule("differs", "the step runs on this machine"),
    "resources": Rule("differs", "one machine, this one"),
    "queue_settings": _QUEUE,
}
COMMAND_STEP: dict[str, Rule] = {
    **_STEP,
    **_STEP_MACHINE,
    "component": Rule("differs", "a file or inline; one that stands in a workspace is refused"),
    "command": COMMAND["command"],
    "code": COMMAND["code"],
    "environment": COMMAND["environment"],
    "environment_variables": Rule("honoured"),
    "limits": Rule("honoured"),
    "distribution": COMMAND["distribution"],
    "identity": COMMAND["identity"],
    "services": COMMAND["services"],
}
SWEEP_STEP: dict[str, Rule] = {
    **_STEP,
    **_STEP_MACHINE,
    **{key: SWEEP[key] for key in ("trial", "search_space", "sampling_algorithm", "objective", "limits")},
    "early_termination": Rule("honoured"),
}
PIPELINE_STEP: dict[str, Rule] = {**_STEP, "component": PIPELINE["component"]}
COMPONENT: dict[str, Rule] = {
    **{key: _COMMON[key] for key in ("$schema", "type", "creation_context", "id")},
    **_RESOURCES,
    **{key: COMMAND[key] for key in ("command", "code", "environment", "distribution", "resources", "queue_settings")},
    "name": Rule("differs", "a component is found by its file"),
    "version": Rule("differs", "a component is found by its file"),
    "latest_version": Rule("differs", _SERVER),
    "display_name": Rule("differs", "a step has its name in the pipeline"),
    "description": Rule("differs", "not recorded"),
    "tags": Rule("differs", "not recorded"),
    "properties": Rule("differs", "not recorded"),
    "inputs": Rule("honoured", "types, defaults and `optional`; a group of inputs is refused"),
    "outputs": Rule("honoured"),
    "jobs": PIPELINE["jobs"],
    "is_deterministic": Rule("differs", "every local run runs every step"),
    "auto_delete_setting": Rule("warned", "nothing is deleted by a local run"),
    "additional_includes": Rule("refused", "a local run copies `code` only", unless=(None,)),
}
TABLES: dict[str, dict[str, Rule]] = {
    "command": COMMAND,
    "pipeline": PIPELINE,
    "sweep": SWEEP,
    "command step": COMMAND_STEP,
    "sweep step": SWEEP_STEP,
    "pipeline step": PIPELINE_STEP,
    "component": COMPONENT,
}
JOBS = ("command", "pipeline", "sweep")
