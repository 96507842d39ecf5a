"""The commands: one file each. `gates --help` needs this table alone."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Command:
    """`verb` as it is typed; `module` below gates.steps; `action`: it is also a composite action and a task;
    `takes`: the input that the first bare argument is; `founds`: it makes the project file."""

    verb: str
    module: str
    summary: str
    action: bool = False
    takes: str = ""
    founds: bool = False

    def load(self) -> Any:
        """The module: SUMMARY, Inputs, Outputs, run."""
        return importlib.import_module(f"gates.steps.{self.module}")


STEPS = (
    Command("train", "train", "Run the training job and record what the model came from.", action=True),
    Command("validate-gate", "validate_gate", "Judge the candidate against the policy and the champion.", action=True),
    Command("register", "register", "Register the model that the gate allowed, and no other.", action=True),
    Command("deploy-blue-green", "deploy_blue_green", "Deploy with smoke, gradual traffic and rollback.", action=True),
    Command(
        "drift-check", "drift_check", "Compare current data with the reference; decide on retraining.", action=True
    ),
)
COMMANDS = {
    command.verb: command
    for command in (
        Command("run", "run", "All five steps in order; stops at the first refusal.", action=True),
        *STEPS,
        Command("rollback", "rollback", "Route all traffic back to a deployment, now.", action=True),
        Command("reconcile", "reconcile", "Finish or undo what a killed deployment left.", action=True),
        Command("comment", "comment", "Put a report on the pull request, in place.", action=True, takes="report"),
        Command("endpoint status", "endpoint_status", "What a local endpoint serves, as JSON."),
        Command("endpoint stop", "endpoint_stop", "Stop a local endpoint; nothing of it stays."),
        Command("doctor", "doctor", "What the backend needs and lacks: credentials, rights, packages."),
        Command("schedule", "schedule", "Train by the clock, or have Azure ML's monitor watch.", takes="what"),
        Command("gate-inside", "gate_inside", "Judge what a gate on another machine sent here; its job's command."),
        Command("policy check", "policy_check", "Parse and lint a policy; --prove feeds it bad evidence."),
        Command("policy explain", "policy_explain", "Say in plain words what each check requires."),
        Command("replay", "replay", "Decide again from a report's stored evidence, byte for byte.", takes="report"),
        Command("init", "init", "Make a repository ready: finds what is there, writes what is missing.", founds=True),
        Command("report html", "report_html", "Reports as one self-contained page for people.", takes="report"),
        Command("model list", "model_list", "The registered versions, with digests and aliases."),
        Command("model archive", "model_archive", "Take old versions out of the lists; --purge frees their disk."),
        Command("model promote", "model_promote", "Take a version to another workspace through a registry."),
        Command("model card", "model_card", "The model card: what lineage knows and what people say."),
        Command("lineage verify", "lineage_verify", "Verify a version's bytes and records; train it again and grade."),
        Command("lineage audit", "lineage_audit", "Ask the audit log what stands behind what serves, and how fast."),
        Command("lineage show", "lineage_show", "What a model was made from, and what was decided about it."),
    )
}
