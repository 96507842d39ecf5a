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


_DOCKER = "a local run needs no Docker: the interpreter is the current one, or a virtual environment (`build`)"
_COMMON: dict[str, Rule] = {
    "$schema": Rule("honoured"),
    "type": Rule("honoured"),
    "name": Rule("differs", "recorded; every local run gets an id of its own"),
    "display_name": Rule("honoured"),
    "description": Rule("honoured"),
    "experiment_name": Rule("honoured"),
    "tags": Rule("honoured"),
    "properties": Rule("differs", "recorded as tags"),
    "compute": Rule("differs", "recorded; the job runs on this machine"),
    "services": Rule("warned", "interactive services are not started by a local run"),
    "identity": Rule("warned", "a local run has the rights of whoever started it"),
    "queue_settings": Rule("warned", "a local run has no queue"),
    "creation_context": Rule("honoured"),
    "id": Rule("honoured"),
    "log_files": Rule("honoured"),
    "status": Rule("honoured"),
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
    "command": Rule("differs", "values are quoted for the shell; see `${{inputs.x}}`"),
    "code": Rule("honoured"),
    "inputs": Rule("honoured"),
    "outputs": Rule("honoured"),
    "environment": Rule("differs", _DOCKER),
    "environment_variables": Rule("honoured"),
    "distribution": Rule("refused", "a local run starts one process"),
    "limits": Rule("honoured"),
    "resources": Rule("differs", "one machine, this one"),
    "parameters": Rule("honoured"),
    "parent_job_name": Rule("warned", "recorded only"),
}
PIPELINE: dict[str, Rule] = {
    **_COMMON,
    "inputs": Rule("honoured"),
    "outputs": Rule("honoured"),
    "jobs": Rule("honoured"),
    "component": Rule("honoured"),
    "settings.default_compute": Rule("differs", "recorded; the job runs on this machine"),
    "settings.default_datastore": Rule("differs", "outputs stay in the job's folder"),
    "settings.continue_on_step_failure": Rule("honoured"),
    "settings.force_rerun": Rule("honoured", "every local run runs every step"),
    "settings": Rule("honoured"),
}
SWEEP: dict[str, Rule] = {
    **_COMMON,
    **_RESOURCES,
    "inputs": Rule("honoured"),
    "outputs": Rule("honoured"),
    "trial": Rule("honoured"),
    "search_space": Rule("honoured"),
    "sampling_algorithm": Rule("differs", "Optuna's samplers: random, grid, and TPE for bayesian"),
    "objective": Rule("honoured"),
    "early_termination": Rule("honoured"),
    "limits": Rule("honoured"),
    "resources": Rule("differs", "one machine, this one"),
}
TABLES: dict[str, dict[str, Rule]] = {"command": COMMAND, "pipeline": PIPELINE, "sweep": SWEEP}
