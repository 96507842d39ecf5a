"""Deploy with smoke, gradual traffic and rollback.

Verifies the registered version (its bytes, its lineage, its gate), makes a new deployment with no traffic, asks it the
golden rows that were gated, moves the traffic step by step while the policy's canary checks watch, bakes, and moves the
champion alias. Whatever fails is rolled back to the snapshot; a run that dies is finished or rolled back by the next.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gates import errors
from gates import inputs as declaring
from gates.errors import InvalidInput
from gates.inputs import option, output
from gates.project import Rollout as RolloutFile
from gates.project import parse_rollout
from gates.rollout import machine
from gates.rollout.plan import ApprovalRule, Plan, Rollout, Smoke, green_name
from gates.serving import DeploymentSpec
from gates.steps import batching, canary, deploying, judged, pages, records, state
from gates.steps.execute import values_of
from gates.steps.step import Common, CommonOutputs, Context, Ended, done

if TYPE_CHECKING:
    from pathlib import Path

    from gates.backends import EndpointFiles, ModelVersion
    from gates.policy import Policy
    from gates.rollout.port import Endpoint

SUMMARY = "Deploy with smoke, gradual traffic and rollback."


@dataclass(frozen=True, kw_only=True)
class Inputs(Common):
    model_version: str = option("The registered version. Default: what `register` registered last.")
    endpoint: Path | None = option("The managed online endpoint file.", kind="path", config="deploy.endpoint")
    deployment: Path | None = option("The managed online deployment file.", kind="path", config="deploy.deployment")
    rollout: str = option("How traffic moves, as YAML or JSON: {steps: [5, 25, 100], interval: 60s, …}.")
    outcomes: Path | None = option(
        "Predictions whose truth is known by now, with a column 'deployment'; read again while green is watched.",
        kind="path", config="deploy.outcomes",
    )  # fmt: skip
    approve: bool = option("Approve, as whoever the platform says you are.", kind="bool", default=False)
    supersede: bool = option(
        "Roll back a deployment that another plan left held, and go on.", kind="bool", default=False
    )
    allow_ungated: str = option(
        "A REASON lets a model through without a gate's decision; it goes into lineage, audit log, tags and reports."
    )


@dataclass(kw_only=True)
class Outputs(CommonOutputs):
    state: str = output("The state that the deployment reached: SUCCEEDED, ROLLED_BACK, HELD, …")
    deploy_id: str = output("The deployment's identity: what is deployed, by which policy, onto which traffic.")
    live_deployment: str = output("The deployment that has most traffic now.")
    previous_deployment: str = output("The one that had it before.")
    endpoint_url: str = output("Where the endpoint answers.")
    rolled_back: str = output("true when what was before was restored.")


def run(inputs: Inputs, context: Context, out: Outputs) -> Ended:
    """Verify, plan, and let the machine run to an end."""
    policy, raw = judged.load_policy(context, context.project.get("policy"))
    files = context.backend.endpoint_files(
        context.need(inputs.endpoint, "deploy.endpoint"), context.need(inputs.deployment, "deploy.deployment")
    )
    for warning in files.warnings:
        context.platform.annotate("warning", warning)
    version = _version(inputs, context)
    folder = deploying.verified_model(context, policy, version, inputs.allow_ungated)
    endpoint = context.backend.endpoint(files.endpoint_name, score=deploying.score_function(context), batch=files.batch)
    model = judged.describe(version.digest, version=version.version)
    judged_at = records.judged_baseline(context, version) if inputs.outcomes else None
    judging = canary.Judging(
        policy, context.step, lambda: context.now().date(), model,
        accuracy=judged_at.mean if judged_at and judged_at.labels else None,
    )  # fmt: skip
    whole = None
    if files.batch:
        own_script = "code_configuration" in files.deployment_body
        whole = batching.Batch(context, policy, raw, version, folder, own_script)
    elif "canary" not in policy.stages:
        watched = ", ".join(
            bound.check.id for bound in canary.with_canary(policy, judging.accuracy).stages["canary"].checks
        )
        context.platform.annotate("notice", f"the policy has no stage 'canary': the built-in one applies ({watched})")
    plan = _plan(inputs, context, judging, files, version, folder, endpoint, whole)
    journal = context.backend.journal(files.endpoint_name)
    with context.group(f"deploy {version.name} version {version.version} to {files.endpoint_name}"):
        ended = machine.deploy(
            plan, endpoint=endpoint, champion=deploying.ChampionAlias(context, version.name, policy),
            journal=journal, clock=deploying.WallClock(),
            say=lambda where, text: context.say(f"{where:<14} {text}" if where else text), stop=lambda: False,
            owner=f"{socket.gethostname()}:{os.getpid()}", supersede=inputs.supersede,
        )  # fmt: skip
    out.state, out.deploy_id = ended.state, ended.deploy_id
    out.live_deployment, out.previous_deployment = ended.live, ended.previous
    out.rolled_back = "true" if ended.rolled_back else "false"
    out.endpoint_url = endpoint.observe().url if ended.outcome != "error" else ""
    names = ("state", "live_deployment", "previous_deployment", "endpoint_url", "rolled_back", "deploy_id")
    shown = {**values_of(out, *names), "reason": ended.reason, "ungated": inputs.allow_ungated, **_timings(ended)}
    report = judging.report(context.report_dir, raw, allowed=ended.outcome == "passed")
    if whole is not None and whole.report is not None:
        report = replace(whole.report, decision="allow" if ended.outcome == "passed" else "refuse")
    report = report or done(context, stage="canary", policy=policy, model=version.digest)
    rollout = pages.write_rollout(context, endpoint, journal)
    context.write_report(report, out, shown, policy_file=policy.file, rollout=rollout)
    return _end(ended, context, version, plan)


def _plan(
    inputs: Inputs,
    context: Context,
    judging: canary.Judging,
    files: EndpointFiles,
    version: ModelVersion,
    folder: Path,
    endpoint: Endpoint,
    whole: batching.Batch | None,
) -> Plan:
    policy = judging.policy
    spec_digest = deploying.spec_digest(files, version)
    approvals = policy.stages["deploy"].approvals if "deploy" in policy.stages else None
    rule = ApprovalRule()
    if approvals:
        age = declaring.duration(approvals.max_age, "approvals.max_age")
        rule = ApprovalRule(approvals.min, approvals.forbid_author, age)
    if inputs.approve:
        deploying.approve(context, version, policy)
    if whole is not None:
        keep_old = declaring.duration(_rollout_file(inputs, context).keep_old, "rollout.keep_old")
        other = whole.parts(endpoint, keep_old)
    else:
        other = _live(inputs, context, judging, files, version, folder, endpoint)
    return Plan(
        endpoint=files.endpoint_name,
        green=DeploymentSpec(
            name=green_name(files.deployment_prefix, spec_digest), spec_digest=spec_digest, model=str(folder),
            model_digest=version.digest, body=files.deployment_body,
        ),
        policy_digest=policy.digest,
        champion=version.version,
        endpoint_body=files.endpoint_body,
        approvals=rule,
        approved=deploying.approvals(context, version, policy),
        author=context.platform.run().get("actor", ""),
        record=lambda what: deploying.record(context, policy, version, files, what, inputs.allow_ungated),
        **other,
    )  # fmt: skip


def _live(
    inputs: Inputs,
    context: Context,
    judging: canary.Judging,
    files: EndpointFiles,
    version: ModelVersion,
    folder: Path,
    endpoint: Endpoint,
) -> dict[str, Any]:
    """What of the plan is of a deployment that answers requests."""
    golden, sample = deploying.golden(context, files, version, folder), deploying.sample(context)
    load, name = _rollout_file(inputs, context).load, deploying.spec_digest(files, version)
    return {
        "rollout": _rollout(inputs, context, judging.policy), "smoke": _smoke(judging.policy), "golden": golden,
        "sample": sample, "deploy_gate": judging.gate("deploy"), "canary_gate": judging.gate("canary"),
        "load": deploying.load_test(context, endpoint, load, golden, sample) if load else None,
        "enrich": deploying.labels(context, inputs.outcomes, green_name(files.deployment_prefix, name)),
    }  # fmt: skip


def _rollout_file(inputs: Inputs, context: Context) -> RolloutFile:
    deploy = context.project.settings.deploy
    if inputs.rollout:
        return parse_rollout(inputs.rollout, "--rollout")
    return deploy.rollout if deploy else RolloutFile()


def _rollout(inputs: Inputs, context: Context, policy: Policy) -> Rollout:
    """As the user's file says; a step is undecided for at most the shortest `max_duration` of the canary's checks."""
    asked, wanted = _rollout_file(inputs, context), canary.signals(canary.with_canary(policy).stages["canary"].checks)
    if "mirror_differs" in wanted and not asked.mirror:
        raise InvalidInput(
            "the policy's canary compares mirrored answers (mirror_differs), and the rollout mirrors nothing",
            hint="set deploy.rollout.mirror, e.g. to 20", file=policy.file,
        )  # fmt: skip
    if "wrong_answers" in wanted and inputs.outcomes is None:
        raise InvalidInput(
            "the policy's canary counts wrong_answers, and nothing says which answers were wrong",
            hint="set deploy.outcomes to the file of labelled answers", file=policy.file,
        )  # fmt: skip
    interval, bake, keep_old = (
        declaring.duration(getattr(asked, key), f"rollout.{key}") for key in ("interval", "bake", "keep_old")
    )
    poll = min(5.0, max(interval / 4, 0.2))
    limits = [declaring.duration(text, "max_duration") for one in wanted.values() for text in one["max_durations"]]
    return Rollout(
        tuple(asked.steps), interval, asked.mirror, bake, keep_old, poll,
        step_timeout=min(limits, default=Rollout.step_timeout),
        attend=declaring.duration(asked.attend, "rollout.attend") if asked.attend else Rollout.attend,
        synthetic=asked.synthetic, tolerance=asked.tolerance,
    )  # fmt: skip


def _smoke(policy: Policy) -> Smoke:
    """As many requests as the deploy stage's checks need to decide."""
    wanted = canary.signals(policy.stages["deploy"].checks if "deploy" in policy.stages else ())
    return Smoke(max(Smoke.requests, wanted.get("smoke_latency_ms", {}).get("min_samples", 0)))


def _version(inputs: Inputs, context: Context) -> ModelVersion:
    name = context.project.settings.model
    wanted = inputs.model_version or state.recall(context, "register").get("version", "")
    if not wanted:
        raise InvalidInput("nothing says which version to deploy", hint="run `gates register`, or give --model-version")
    if not wanted.isdigit():
        raise InvalidInput(f"--model-version: '{wanted}' is not a version", hint="write an integer, e.g. 7")
    found = context.backend.find(name, version=wanted)
    if found is None:
        raise InvalidInput(f"{name} has no version {wanted}", hint="see `gates model list`")
    return found


def _timings(ended: machine.Ended) -> dict[str, str]:
    return {f"seconds {name.lower()}": f"{value:.1f}" for name, value in ended.timings.items() if value >= 0.05}


_ENDS: dict[str, type[errors.GatesError]] = {
    "rolled-back": errors.RolledBack,
    "unknown": errors.StateUnknown,
    "conflict": errors.Conflict,
    "refused": errors.Refused,
    "waiting": errors.Waiting,
    "error": errors.Unavailable,
    "invalid": errors.InvalidInput,
}


def _end(ended: machine.Ended, context: Context, version: ModelVersion, plan: Plan) -> Ended:
    if ended.outcome == "passed":
        state.remember(context, "deploy", endpoint=plan.endpoint, deployment=ended.live)
        return Ended(
            message=f"{version.name} version {version.version} serves all traffic of {plan.endpoint}: {ended.live}"
        )
    if ended.outcome == "cancelled":
        raise errors.Cancelled(ended.signal or 15)
    if ended.outcome == "rolled-back":
        head = records.note(context, deploying.rolled_back_event(context, version, plan, ended))
        records.publish(context, version, head)
    raise _ENDS[ended.outcome](ended.reason, hint=ended.hint)
