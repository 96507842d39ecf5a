"""Judge the candidate against the policy and the champion.

Scores candidate and champion on the same evaluation data in your own interpreter (or takes predictions or a metrics
file), decides every check of the policy's stage on intervals, and writes a report that is bound to the digests of the
model, the policy and the data. No evidence never passes.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gates.collect import store as stores
from gates.collect.gather import Gathering, Scorer, Subject, group_columns, needs_kind, union
from gates.collect.predictions import Shape
from gates.errors import InvalidInput, Unavailable
from gates.inputs import option, output, to_text
from gates.judge import judge
from gates.lineage.digest import file_digest, model_digest
from gates.runtime.environments import find_user_python
from gates.steps import judged, state
from gates.steps.execute import values_of
from gates.steps.step import Common, CommonOutputs, Context, Ended, ended

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gates.backends import ModelVersion
    from gates.checks.spec import Need
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
    data: Path | None = option("Evaluation data, csv or parquet.", kind="path", config="evaluate.data")
    predictions: Path | None = option(
        "A file with the candidate's predictions, instead of scoring it.", kind="path", config="evaluate.predictions"
    )
    champion_predictions: Path | None = option("Likewise the champion's.", kind="path")
    metrics: Path | None = option("A metrics file, instead of scoring; it is marked self-reported.", kind="path")
    champion: str = option("The champion: an alias or a version. Default: the alias that the policy names.")


@dataclass(kw_only=True)
class Outputs(CommonOutputs):
    verdict: str = output("PASS, INCONCLUSIVE, ERROR or FAIL.")
    decision: str = output("allow or refuse: what the exit code and `register` follow.")
    model_digest: str = output("sha256 of the model's bytes that were judged.")
    failed_checks: str = output("Ids of the blocking checks that did not pass, comma-separated, worst first.")


def run(inputs: Inputs, context: Context, out: Outputs) -> Ended:
    """Gather, judge, report."""
    policy, raw = judged.load_policy(context, inputs.policy, ref=inputs.policy_ref, pinned=inputs.policy_digest)
    stage = judged.stage_of(policy, inputs.stage, context)
    needs = union(stage.checks)
    model = _model(inputs, context)
    out.model_digest = digest = model_digest(model) if model else ""
    data_digest = file_digest(inputs.data) if inputs.data and inputs.data.is_file() else ""
    evidence_store = stores.Store(context.report_dir)
    with tempfile.TemporaryDirectory(prefix="gates-") as work:
        gathering = Gathering(
            evidence_store, _shape(context, needs), inputs.data, data_digest, _scorer(inputs, context), Path(work)
        )
        champion = _gather(inputs, context, policy, needs, gathering, model, digest)
    judged.keep_policy(evidence_store, raw)
    evidence = stores.load(evidence_store.folder, evidence_store.items)
    report = judge(
        policy, inputs.stage, evidence, step=context.step, today=context.now().date(),
        model=judged.describe(digest), champion=champion,
        data={"digest": data_digest, "rows": evidence.candidate.n if evidence.candidate else evidence.metrics_n or 0},
    )  # fmt: skip
    return finish(report, context, out, policy)


def finish(report: GateReport, context: Context, out: Outputs, policy: Policy) -> Ended:
    """Fill the outputs of a judged report and write it."""
    out.verdict, out.decision = report.verdict.value, report.decision
    out.failed_checks = to_text(report.failed_checks)
    end = ended(report)
    shown = {"message": end.message, **values_of(out, "failed_checks")}
    context.write_report(report, out, shown, policy_file=policy.file)
    state.remember(context, "validate-gate", report=out.report_path)
    return end


def _gather(
    inputs: Inputs,
    context: Context,
    policy: Policy,
    needs: Sequence[Need],
    gathering: Gathering,
    model: Path | None,
    digest: str,
) -> Mapping[str, str] | None:
    """Fill the evidence store; returns what the report says of the champion."""
    if inputs.metrics:
        gathering.reported(inputs.metrics)
    if needs_kind(needs, "metric") and model:
        size = sum(file.stat().st_size for file in model.rglob("*") if file.is_file())
        gathering.metrics.setdefault("artifact_megabytes", size / 1e6)
    wanted = needs_kind(needs, "predictions", "champion_predictions", "samples")
    if wanted and (inputs.predictions or not inputs.metrics):
        if inputs.predictions is None:
            context.need(inputs.data, "evaluate.data")
            if model is None:
                raise InvalidInput("nothing says which model to judge", hint="give --model, or run `gates train` first")
        gathering.candidate(Subject(model, digest, inputs.predictions), needs)
    champion = _champion(inputs, context, policy, needs, gathering, digest)
    gathering.finish()
    return champion


def _champion(
    inputs: Inputs, context: Context, policy: Policy, needs: Sequence[Need], gathering: Gathering, digest: str
) -> Mapping[str, str] | None:
    if not needs_kind(needs, "champion_predictions"):
        return None
    if inputs.champion_predictions:
        gathering.champion(Subject(predictions=inputs.champion_predictions))
        return judged.describe(file_digest(inputs.champion_predictions), source="predictions")
    version = find_champion(context, policy, inputs.champion)
    if version is None:
        gathering.champion_absent = True
        return None
    if version.digest == digest:
        raise Unavailable(
            f"the candidate is the champion itself ({version.name} version {version.version}, {digest})",
            hint="a model compared with itself always looks fine; train a new one, or name another champion",
        )
    if inputs.metrics and not inputs.predictions:
        return judged.describe(version.digest, version=version.version)
    folder = context.backend.fetch(version, gathering.work / "champion")
    if model_digest(folder) != version.digest:
        raise Unavailable(f"the registry's bytes of {version.uri} are not those registered ({version.digest})")
    gathering.champion(Subject(folder, version.digest))
    return judged.describe(version.digest, version=version.version)


def find_champion(context: Context, policy: Policy, name: str = "") -> ModelVersion | None:
    """By version when `name` is a number, else by alias (default: the policy's)."""
    model = context.project.settings.model
    if name.isdigit():
        found = context.backend.find(model, version=name)
        if found is None:
            raise InvalidInput(f"--champion: {model} has no version {name}", hint="see `gates model list`")
        return found
    return context.backend.find(model, alias=name or policy.settings.champion.alias)


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


def _shape(context: Context, needs: Sequence[Need]) -> Shape:
    evaluate = context.project.settings.evaluate
    if evaluate is None:
        return Shape("", None, group_columns(needs))
    return Shape(evaluate.target, evaluate.positive_label, group_columns(needs))


def _scorer(inputs: Inputs, context: Context) -> Scorer:
    evaluate = context.project.settings.evaluate
    return Scorer(
        find_user_python(context.env, inputs.python or None), context.env, context.state_dir / "cache",
        evaluate.score if evaluate else "auto", context.say,
    )  # fmt: skip
