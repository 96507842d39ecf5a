"""Compare current data with the reference; decide on retraining.

The reference is the profile recorded at training time (of the champion, read from its lineage) or a data file. A column
drifted only when its effect is over the policy's limit and it is significant across all columns; whether to retrain,
and why (drift, performance, age), is an output of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from gates.collect import drift_settings
from gates.collect import store as stores
from gates.errors import InvalidInput
from gates.inputs import duration, option, output, to_text
from gates.judge import judge
from gates.lineage.audit import Event
from gates.lineage.digest import file_digest, model_digest
from gates.lineage.record import seconds
from gates.steps import drift_evidence, judged, records
from gates.steps.data_at_hand import at_hand
from gates.steps.execute import values_of
from gates.steps.step import Common, CommonOutputs, Context, Ended, ended
from gates.steps.validate_gate import find_champion
from gates.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from gates.backends import ModelVersion
    from gates.collect.performance import Performance
    from gates.drift.decide import ColumnDecision
    from gates.drift.found import ColumnDrift
    from gates.policy import Policy, Stage
    from gates.verdict import GateReport

SUMMARY = "Compare current data with the reference; decide on retraining."


@dataclass(frozen=True, kw_only=True)
class Inputs(Common):
    reference: str = option(
        "profile: the one recorded when the champion was trained; or a data file.",
        default="profile",
        config="drift.reference",
    )
    current: Path | None = option(
        "Current data: a file, folder or glob; or azureml:NAME:VERSION, azureml://datastores/NAME/paths/PATH.",
        kind="path", config="drift.current",
    )  # fmt: skip
    policy: Path | None = option("The policy file.", kind="path", config="policy")
    time_column: str = option("The column of the current data that says when.", config="drift.time_column")
    window: str = option(
        "The last so much of the current data, e.g. 7d, or FROM..UNTIL in ISO times; needs time-column.",
        config="drift.window",
    )
    sample: float | None = option(
        "Compare at most so many rows of the current data, drawn at random.", kind="number", config="drift.sample"
    )
    memory: str = option(
        "What column data may take at once, e.g. 512MB; more is compared in batches.", default="2GiB",
        config="drift.memory",
    )  # fmt: skip
    engine: str = option(
        "arrow: this process. spark: a SparkSession, for data that outgrows a machine.", kind="choice",
        default="arrow", config="drift.engine", choices=("arrow", "spark"),
    )  # fmt: skip
    drift_compute: str = option(
        "azureml: compare in a Spark job of the workspace, where the data lies: an attached compute's name, or "
        "serverless. Default: this machine.",
        config="drift.compute",
    )  # fmt: skip
    baseline: Path | None = option(
        "A predictions file on which performance was good. Default: the champion's gate evidence.", kind="path",
        config="drift.baseline",
    )  # fmt: skip
    performance_delta: float | None = option(
        "Current performance minus the baseline's, when labels have come; a drop is negative.", kind="number"
    )
    model_age: float | None = option("Age of the model. Default: since its training.", kind="duration")
    fail_on_drift: bool = option("Exit 1 on drift; false: exit 0, with verdict FAIL.", kind="bool", default=True)


@dataclass(kw_only=True)
class Outputs(CommonOutputs):
    verdict: str = output("PASS, INCONCLUSIVE, ERROR or FAIL.")
    decision: str = output("allow or refuse.")
    drifted_columns: str = output("Names of the columns that drifted, comma-separated.")
    drifted_share: str = output("Their share of all columns, 0 to 1.")
    retrain: str = output("true when the model should be trained again.")
    retrain_reason: str = output("Why: drift, performance, age.")


def run(inputs: Inputs, context: Context, out: Outputs) -> Ended:
    """Scan, judge the stage 'drift', decide on retraining."""
    window = drift_settings.window(inputs.window, inputs.time_column)
    sample, memory = drift_settings.rows(inputs.sample), drift_settings.size(inputs.memory)
    policy, raw = judged.load_policy(context, inputs.policy)
    stage = judged.stage_of(policy, "drift", context)
    given: Path = context.need(inputs.current, "drift.current")
    elsewhere = bool(inputs.drift_compute) and inputs.backend != "local"
    where = given if elsewhere else at_hand(context, given)
    weighs = drift_evidence.wants_importances(stage)
    champion = find_champion(context, policy) if inputs.reference == "profile" or weighs else None
    path = drift_evidence.reference_path(context, inputs.reference, champion)
    if elsewhere:
        compared = _there(inputs, context, stage, path, where, weighs=weighs)
    elif inputs.engine == "spark":
        compared = _on_spark(inputs, context, stage, champion, path, where)
    else:
        compared = _here(inputs, context, stage, champion, path, where, window, sample, memory)
    importances = drift_evidence.importances_of(context, champion, where) if weighs else {}
    store = stores.Store(context.report_dir)
    store.add_bytes(stores.DRIFT, msgspec.json.encode(compared.found))
    digest, data = champion.digest if champion else "", _digest(where)
    version = judged.version_of(context, policy, digest)
    about = judged.about(context, policy, digest, data, rows=compared.rows, version=version)
    stands_on = _retraining(inputs, context, stage, champion, compared.performance)
    store.add_manifest(stores.Manifest(importances=importances, about=about, retrain=stands_on))
    judged.keep_policy(store, raw)
    evidence = stores.load(store.folder, store.items)
    report = judge(
        policy, "drift", evidence, step=context.step, today=context.now().date(),
        model=about["model"], data={"digest": data, "rows": compared.rows},
    )  # fmt: skip
    decisions = decisions_of(stage, evidence)
    shown = tuple(decision.to_json() for decision in decisions)
    report = replace(report, columns=shown, retrain=retrain_of(stage, decisions, report.verdict, stands_on))
    return _finish(inputs, context, out, report, decisions, policy)


@dataclass(frozen=True)
class _Compared:
    found: tuple[ColumnDrift, ...]
    rows: int
    performance: Performance | None = None


def _here(
    inputs: Inputs,
    context: Context,
    stage: Stage,
    champion: ModelVersion | None,
    path: Path,
    where: Path,
    window: str | tuple[str | None, str | None] | None,
    sample: int | None,
    memory: int,
) -> _Compared:
    from gates.drift import scan, source

    everything = source.open_source(where)
    current = source.narrow(everything, time_column=inputs.time_column or None, window=window, sample=sample)
    reference = drift_evidence.open_reference(path, champion)
    columns = drift_evidence.columns_of(context, stage, reference.names, current.names, inputs.time_column)
    context.say(f"comparing {len(columns)} columns of {current.rows:,} rows with the reference")
    found = scan.scan(reference, current, columns=columns, threads=2, memory=memory)
    width = duration(window, "--window") if isinstance(window, str) else None
    rows = everything if isinstance(window, str) else current
    performance = drift_evidence.performance_of(context, rows, champion, inputs.baseline, inputs.time_column, width)
    return _Compared(found, current.rows, performance)


def _there(inputs: Inputs, context: Context, stage: Stage, path: Path, where: Path, *, weighs: bool) -> _Compared:
    """In a Spark job of the workspace: the columns alone, as on Spark here."""
    from gates.steps import drift_elsewhere

    given = {"--window": inputs.window, "--sample": inputs.sample, "--baseline": inputs.baseline}
    bad = next((flag for flag, value in given.items() if value), "")
    if bad or weighs:
        raise InvalidInput(
            f"{bad or 'a check that weighs columns by importance'}: needs the data here",
            hint="leave out --drift-compute (drift.compute)",
        )
    found = drift_elsewhere.compare_there(context, stage, path, where, inputs.time_column, inputs.drift_compute)
    return _Compared(found.columns, found.rows)


def _on_spark(
    inputs: Inputs, context: Context, stage: Stage, champion: ModelVersion | None, path: Path, where: Path
) -> _Compared:
    """On a SparkSession: the columns alone; a window, a sample and performance are the arrow engine's."""
    from gates.drift import spark

    given = {"--window": inputs.window, "--sample": inputs.sample, "--baseline": inputs.baseline}
    bad = next((flag for flag, value in given.items() if value), "")
    if bad:
        raise InvalidInput(f"{bad}: the spark engine has none", hint="write the rows meant to a path of their own")
    session = spark.session()
    current = spark.open_frame(session, str(where))
    recorded = path.suffix == drift_evidence.PROFILE_SUFFIX
    reference: Any = drift_evidence.open_profile(path, champion) if recorded else spark.open_frame(session, str(path))
    names = reference.names if recorded else tuple(reference.columns)
    columns = drift_evidence.columns_of(context, stage, names, tuple(current.columns), inputs.time_column)
    profile = reference if recorded else spark.build(reference, columns, where=str(path))
    context.say(f"comparing {len(columns)} columns on Spark with the reference")
    return _Compared(*spark.scan(profile, current, columns=columns, where=str(where)))


def _finish(
    inputs: Inputs,
    context: Context,
    out: Outputs,
    report: GateReport,
    decisions: Sequence[ColumnDecision],
    policy: Policy,
) -> Ended:
    drifted = [decision.name for decision in decisions if decision.drifted]
    out.verdict, out.decision = report.verdict.value, report.decision
    out.drifted_columns = to_text(drifted)
    out.drifted_share = to_text(len(drifted) / len(decisions)) if decisions else ""
    retrain = report.retrain or {}
    out.retrain, out.retrain_reason = to_text(bool(retrain.get("decide"))), retrain.get("reason") or ""
    names = ("drifted_columns", "drifted_share")
    context.write_report(report, out, values_of(out, *names), policy_file=policy.file)
    _note(context, report, out)
    end = ended(report)
    if report.verdict is Verdict.FAIL and not inputs.fail_on_drift:
        return Ended("passed", 0, f"drift found, and let through by --fail-on-drift false: {end.message}")
    return end


def _note(context: Context, report: GateReport, out: Outputs) -> None:
    about: dict[str, Any] = {
        "at": records.now(context), "model_name": context.project.settings.model, "model": report.model["digest"],
        "policy": report.policy["digest"], "actor": context.platform.run().get("actor", ""),
    }  # fmt: skip
    if report.verdict is Verdict.FAIL:
        data = tuple(filter(None, [report.data["digest"]]))
        records.note(context, Event(kind="drifted", verdict="FAIL", data=data, report=out.report_digest, **about))
    if out.retrain == "true":
        records.note(context, Event(kind="retrain-asked", reason=out.retrain_reason, **about))


def decisions_of(stage: Stage, evidence: Any) -> tuple[ColumnDecision, ...]:
    """One decision a column, the first check that judges it; drifted wins."""
    chosen: dict[str, ColumnDecision] = {}
    for bound in stage.checks:
        check: Any = bound.check
        for decision in check.decisions(evidence) if bound.type == "drift" else ():
            if decision.name not in chosen or (decision.drifted and not chosen[decision.name].drifted):
                chosen[decision.name] = decision
    return tuple(chosen.values())


def _retraining(
    inputs: Inputs, context: Context, stage: Stage, champion: ModelVersion | None, performance: Performance | None
) -> stores.Retraining:
    """What else than drift may ask for a retrain, where the policy has such a rule: kept for `gates replay`."""
    rule = stage.retrain
    delta, age = inputs.performance_delta, inputs.model_age
    if delta is None and performance is not None:
        delta = performance.delta
    if age is None and champion is not None and rule is not None and rule.on_age:
        age = _age(context, champion)
    shown = None if performance is None else performance.to_json()
    texts = ["" if value is None else repr(float(value)) for value in (delta, age)]
    return stores.Retraining(performance_delta=texts[0], model_age=texts[1], performance=shown)


def retrain_of(
    stage: Stage, decisions: Sequence[ColumnDecision], verdict: Verdict, stands_on: stores.Retraining
) -> Mapping[str, Any]:
    """`retrain` of report.v1."""
    from gates.drift.decide import retrain

    rule = stage.retrain
    shown = {} if stands_on.performance is None else {"performance": stands_on.performance}
    if rule is None:
        return {"decide": False, "reason": None, **shown}
    delta, age = (float(text) if text else None for text in (stands_on.performance_delta, stands_on.model_age))
    decided = retrain(
        decisions, drift_verdict=verdict.value, on_drift=rule.on_drift,
        on_performance_drop=rule.on_performance_drop, performance_delta=delta,
        on_age=duration(rule.on_age, "retrain.on_age") if rule.on_age else None, model_age=age,
    )  # fmt: skip
    return {**decided.to_json(), **shown}


def _age(context: Context, champion: ModelVersion) -> float:
    """Seconds since the champion's training ended, by its own lineage."""
    finished = str(records.fetched_lineage(context, champion).composite().run.get("finished", ""))
    if not finished:
        raise InvalidInput("the champion's lineage does not say when it was trained", hint="give --model-age")
    return context.now().timestamp() - seconds(finished)


def _digest(where: Path) -> str:
    """Of the file's bytes; of a folder, as a model's; of a glob, nothing that is stable: left out."""
    if where.is_file():
        return file_digest(where)
    return model_digest(where) if where.is_dir() else ""
