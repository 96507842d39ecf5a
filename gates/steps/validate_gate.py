"""Judge the candidate against the policy and the champion.

Scores candidate and champion on the same evaluation data in your own interpreter (or takes predictions or a metrics
file), decides every check of the policy's stage on intervals, and writes a report that is bound to the digests of the
model, the policy and the data. No evidence never passes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from gates.collect.gather import needs_kind, union
from gates.collect.tables import column_names
from gates.errors import InvalidInput
from gates.files import write_whole
from gates.inputs import option, output, to_text
from gates.lineage.audit import Event
from gates.lineage.digest import model_digest
from gates.lineage.record import Gating
from gates.lineage.statement import gate_statement
from gates.steps import approvals, judged, records, state
from gates.steps.data_at_hand import at_hand
from gates.steps.execute import values_of
from gates.steps.gating import Asked, baseline, judge_asked
from gates.steps.step import Common, CommonOutputs, Context, Ended, ended

if TYPE_CHECKING:
    from gates.backends import ModelVersion
    from gates.policy import Policy
    from gates.verdict import GateReport

SUMMARY = "Judge the candidate against the policy and the champion."


@dataclass(frozen=True, kw_only=True)
class Inputs(Common):
    model: str = option("The candidate: a model folder. Default: what `train` made last.")
    policy: Path | None = option("The policy file.", kind="path", config="policy")
    policy_ref: str = option("A git ref: judge with the policy as it is there, e.g. the base branch of a pull request.")
    policy_digest: str = option("The sha256 that the policy must have.")
    stage: str = option("The policy's stage to judge.", default="validate")
    data: Path | None = option(
        "Evaluation data, csv or parquet: a path, or azureml:NAME:VERSION.", kind="path", config="evaluate.data"
    )
    predictions: Path | None = option(
        "A file with the candidate's predictions, instead of scoring it.", kind="path", config="evaluate.predictions"
    )
    champion_predictions: Path | None = option("Likewise the champion's.", kind="path")
    metrics: str = option(
        "A metrics file, or runs:/ID for what an MLflow run logged, instead of scoring; it is marked self-reported."
    )
    champion: str = option("The champion: an alias or a version. Default: the alias that the policy names.")
    gate_compute: str = option(
        "azureml: the workspace's compute on which it gates, where the data should not leave the workspace; "
        "serverless: what Azure finds. Default: this machine.",
        config="evaluate.compute",
    )  # fmt: skip


@dataclass(kw_only=True)
class Outputs(CommonOutputs):
    verdict: str = output("PASS, INCONCLUSIVE, ERROR or FAIL.")
    decision: str = output("allow or refuse: what the exit code and `register` follow.")
    model_digest: str = output("sha256 of the model's bytes that were judged.")
    failed_checks: str = output("Ids of the blocking checks that did not pass, comma-separated, worst first.")


def run(inputs: Inputs, context: Context, out: Outputs) -> Ended:
    """Gather, judge, report."""
    policy, raw = judged.load_policy(context, inputs.policy, ref=inputs.policy_ref, pinned=inputs.policy_digest)
    judged.stage_of(policy, inputs.stage, context)
    model = _model(inputs, context)
    out.model_digest = digest = model_digest(model) if model else ""
    elsewhere = bool(inputs.gate_compute) and inputs.backend != "local"
    data = inputs.data if inputs.data is None or elsewhere else at_hand(context, inputs.data)
    champion = _champion(inputs, context, policy, digest)
    if not elsewhere:
        _readable(inputs, data, context)
    asked = Asked(
        step=context.step, stage=inputs.stage, model=model, digest=digest, data=data, champion=champion,
        fetch=lambda version, into: context.backend.fetch(version, into), predictions=inputs.predictions,
        champion_predictions=inputs.champion_predictions, metrics=inputs.metrics, python=inputs.python,
        approvals=approvals.given(context, digest) if digest else (),
        version=judged.version_of(context, policy, digest),
    )  # fmt: skip
    if elsewhere:
        from gates.steps import gate_elsewhere

        report, found, rows = gate_elsewhere.judge_there(asked, context, policy, raw, inputs.gate_compute)
    else:
        report, store = judge_asked(asked, context, policy, raw)
        found, rows = baseline(asked, context, store), ""
    out.verdict, out.decision = report.verdict.value, report.decision
    out.failed_checks = to_text(report.failed_checks)
    end = ended(report)
    shown = {"message": end.message, **values_of(out, "failed_checks")}
    context.write_report(report, out, shown, policy_file=policy.file, places={"rows": rows} if rows else {})
    context.platform.tag(f"gate-{report.verdict.value.lower()}")
    if found:
        write_whole(records.lineage_of(context, digest).path / records.BASELINE, found)
    _record(context, report, out.report_digest, policy)
    state.remember(context, "validate-gate", report=out.report_path)
    return end


def _record(context: Context, report: GateReport, report_digest: str, policy: Policy) -> None:
    """The gate statement, beside the train statement that it follows; and the event."""
    digest = report.model["digest"]
    statement = ""
    if digest and (folder := records.lineage_of(context, digest)).path.is_dir():
        gating = Gating(
            result=report.to_json(), report_digest=report_digest, run=records.run_of(context),
            expires=policy.settings.expires or "", waivers=tuple(msgspec.to_builtins(policy.settings.waivers)),
        )  # fmt: skip
        sealed = gate_statement(
            gating, model_digest=digest, time=records.now(context), inputs=[folder.statements()[0].digest],
            audit_head=records.audit(context).head(),
        )  # fmt: skip
        statement = records.seal(context, folder, sealed).digest
    head = records.note(
        context,
        Event(
            kind="gated", at=records.now(context), model_name=context.project.settings.model, model=digest,
            policy=policy.digest, verdict=report.verdict.value, decision=report.decision, report=report_digest,
            data=tuple(filter(None, [report.data["digest"]])), statement=statement,
            actor=context.platform.run().get("actor", ""),
        ),
    )  # fmt: skip
    version = context.backend.find(context.project.settings.model, digest=digest) if statement else None
    if version is not None:  # registered before: its tags and its copy of the lineage know of this gate from now on
        records.publish(context, version, head)


def _readable(inputs: Inputs, data: Path | None, context: Context) -> None:
    """Files that the caller named are there, also where nothing will look at them."""
    if data is not None and data != context.project.get("evaluate.data"):
        column_names(data, "the evaluation data")
    for path, what in (
        (inputs.predictions, "the predictions"),
        (inputs.champion_predictions, "the champion's predictions"),
    ):
        if path is not None:
            column_names(path, what)


def _champion(inputs: Inputs, context: Context, policy: Policy, digest: str) -> ModelVersion | None:
    """The live champion, which the report is bound to; not looked up where no model is judged."""
    if not digest and not inputs.champion and not _compares(policy, inputs.stage):
        return None
    if not digest and inputs.champion_predictions:
        return None
    return find_champion(context, policy, inputs.champion)


def _compares(policy: Policy, stage: str) -> bool:
    return needs_kind(union(policy.stages[stage].checks), "champion_predictions")


def find_champion(context: Context, policy: Policy, name: str = "") -> ModelVersion | None:
    """By version when `name` is a number, else by alias (default: the policy's)."""
    model = context.project.settings.model
    if name.isdigit():
        found = context.backend.find(model, version=name)
        if found is None:
            raise InvalidInput(f"--champion: {model} has no version {name}", hint="see `gates model list`")
        return found
    found = context.backend.find(model, alias=name or policy.settings.champion.alias)
    if found is None and name not in ("", policy.settings.champion.alias):  # misspelt, it would skip every comparison
        raise InvalidInput(f"--champion: {model} has no alias '{name}'", hint="see `gates model list`")
    return found


def _model(inputs: Inputs, context: Context) -> Path | None:
    """The candidate's folder: as named, or what `train` made last (not when ready evidence is given)."""
    if inputs.model:
        path = context.cwd / inputs.model
        if not path.is_dir():
            raise InvalidInput(
                f"--model: no model folder at {path}", hint="name the folder that holds the file MLmodel"
            )
        return path
    if inputs.metrics or inputs.predictions:
        return None
    found = state.recall(context, "train").get("model")
    return Path(found) if found else None
