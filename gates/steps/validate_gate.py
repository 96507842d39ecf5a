"""Judge the candidate against the policy and the champion.

Scores candidate and champion on the same evaluation data in your own interpreter (or takes predictions or a metrics
file), decides every check of the policy's stage on intervals, and writes a report that is bound to the digests of the
model, the policy and the data. No evidence never passes.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gates.collect import facts
from gates.collect import store as stores
from gates.collect.gather import Gathering, Scorer, Subject, group_columns, needs_kind, union
from gates.collect.predictions import Shape
from gates.collect.tables import column_names
from gates.errors import InvalidInput, Unavailable
from gates.files import write_whole
from gates.inputs import option, output, to_text
from gates.judge import judge
from gates.lineage.audit import Event
from gates.lineage.digest import file_digest, model_digest
from gates.lineage.record import Gating
from gates.lineage.statement import gate_statement
from gates.runtime.environments import find_user_python
from gates.steps import approvals, judged, records, state
from gates.steps.execute import values_of
from gates.steps.step import Common, CommonOutputs, Context, Ended, ended

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    metrics: str = option(
        "A metrics file, or runs:/ID for what an MLflow run logged, instead of scoring; it is marked self-reported."
    )
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
    champion = _champion(inputs, context, policy, digest)
    evidence_store = stores.Store(context.report_dir)
    with tempfile.TemporaryDirectory(prefix="gates-") as work:
        gathering = Gathering(
            evidence_store, _shape(context, needs), inputs.data, data_digest, _scorer(inputs, context), Path(work)
        )
        gathering.about = about = judged.about(context, policy, digest, data_digest, champion)
        _gather(inputs, context, needs, gathering, Subject(model, digest, inputs.predictions), champion)
    judged.keep_policy(evidence_store, raw)
    evidence = stores.load(evidence_store.folder, evidence_store.items)
    report = judge(
        policy, inputs.stage, evidence, step=context.step, today=context.now().date(),
        model=about["model"], champion=about["champion"],
        data={"digest": data_digest, "rows": judged.rows_of(evidence)},
    )  # fmt: skip
    out.verdict, out.decision = report.verdict.value, report.decision
    out.failed_checks = to_text(report.failed_checks)
    end = ended(report)
    shown = {"message": end.message, **values_of(out, "failed_checks")}
    context.write_report(report, out, shown, policy_file=policy.file)
    context.platform.tag(f"gate-{report.verdict.value.lower()}")
    if inputs.stage == "validate":
        _baseline(context, digest, evidence_store)
    _record(context, report, out.report_digest, policy)
    state.remember(context, "validate-gate", report=out.report_path)
    return end


def _baseline(context: Context, digest: str, store: stores.Store) -> None:
    """How the model did, kept with its lineage: what drift-check compares with once labels come."""
    evaluate = context.project.settings.evaluate
    scored = next((item.sha256 for item in store.items if item.name == stores.CANDIDATE), None)
    folder = records.lineage_of(context, digest).path if digest else None
    if evaluate is None or scored is None or folder is None or not folder.is_dir():
        return
    from gates.collect.performance import baseline_in  # numpy: a gate over a metrics file does without

    found = baseline_in(store.folder / scored.partition(":")[2], evaluate.target)
    write_whole(folder / records.BASELINE, msgspec.json.encode(found) + b"\n")


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


def _gather(
    inputs: Inputs,
    context: Context,
    needs: Sequence[Need],
    gathering: Gathering,
    candidate: Subject,
    champion: ModelVersion | None,
) -> None:
    """Fill the evidence store with what the checks need."""
    _readable(inputs, context)
    if inputs.metrics:
        gathering.reported(_metrics(inputs.metrics, context, gathering.work))
    if needs_kind(needs, "metric") and candidate.model:
        size = sum(file.stat().st_size for file in candidate.model.rglob("*") if file.is_file())
        gathering.metrics["artifact_megabytes"] = size / 1e6
    wanted = needs_kind(needs, "predictions", "champion_predictions", "samples")
    if wanted and (inputs.predictions or not inputs.metrics):
        context.need(gathering.shape.target, "evaluate.target", flag="")
        if inputs.predictions is None:
            context.need(inputs.data, "evaluate.data")
            if candidate.model is None:
                raise InvalidInput("nothing says which model to judge", hint="give --model, or run `gates train` first")
        gathering.candidate(candidate, needs)
    if needs_kind(needs, "champion_predictions", "explanations"):
        _gather_champion(inputs, context, gathering, candidate, champion)
    other = gathering.work / "champion"
    lineage = records.lineage_of(context, candidate.digest) if candidate.digest else None
    about = facts.About(
        candidate,
        Subject(other, champion.digest) if champion and other.is_dir() else None,
        inputs.data if inputs.data and inputs.data.is_file() else None,
        lineage.composite() if lineage and lineage.path.is_dir() else None,
        _reference(lineage.path / records.PROFILE) if lineage else None,
        context.project.folder,
    )
    facts.gather(needs, about, gathering)
    given = approvals.given(context, candidate.digest) if candidate.digest else ()
    if given:
        gathering.store.add_bytes(stores.APPROVALS, msgspec.json.encode(given))
    gathering.finish()


def _reference(path: Path) -> Any:
    """The profile that training recorded, which a drift check compares the evaluation data with; None without one."""
    from gates.drift.profile import Profile

    return Profile.from_bytes(path.read_bytes(), file=str(path)) if path.is_file() else None


def _metrics(given: str, context: Context, work: Path) -> Path:
    """The metrics file; of `runs:/ID`, what that run logged, written as one."""
    if not given.startswith("runs:/"):
        return context.cwd / given
    path = work / "run-metrics.json"
    found = context.backend.run_metrics(given.removeprefix("runs:/").strip("/"))
    path.write_text(json.dumps({"metrics": dict(sorted(found.items()))}), encoding="utf-8")
    return path


def _readable(inputs: Inputs, context: Context) -> None:
    """Files that the caller named are there, also where nothing will look at them."""
    if inputs.data is not None and inputs.data != context.project.get("evaluate.data"):
        column_names(inputs.data, "the evaluation data")
    for path, what in (
        (inputs.predictions, "the predictions"),
        (inputs.champion_predictions, "the champion's predictions"),
    ):
        if path is not None:
            column_names(path, what)


def _gather_champion(
    inputs: Inputs, context: Context, gathering: Gathering, candidate: Subject, champion: ModelVersion | None
) -> None:
    if inputs.champion_predictions:
        gathering.champion(Subject(predictions=inputs.champion_predictions))
    elif champion is None:
        gathering.champion_absent = True
    elif champion.digest == candidate.digest:
        raise Unavailable(
            f"the candidate is the champion itself ({champion.name} version {champion.version}, {champion.digest})",
            hint="a model compared with itself always looks fine; train a new one, or name another champion",
        )
    elif inputs.predictions or not inputs.metrics:
        folder = context.backend.fetch(champion, gathering.work / "champion")
        if model_digest(folder) != champion.digest:
            raise Unavailable(f"the registry's bytes of {champion.uri} are not those registered ({champion.digest})")
        gathering.champion(Subject(folder, champion.digest))


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
