"""Compare current data with the reference; decide on retraining.

The reference is the profile recorded at training time (of the champion, read from its lineage) or a data file. A column
drifted only when its effect is over the policy's limit and it is significant across all columns; whether to retrain,
and why (drift, performance, age), is an output of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from gates.collect import store as stores
from gates.collect.gather import union
from gates.errors import InvalidInput, Unavailable
from gates.inputs import duration, option, output, to_text
from gates.judge import judge
from gates.lineage.audit import Event
from gates.lineage.digest import file_digest, model_digest
from gates.lineage.record import seconds
from gates.steps import judged, records
from gates.steps.execute import values_of
from gates.steps.step import Common, CommonOutputs, Context, Ended, ended
from gates.steps.validate_gate import find_champion
from gates.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from gates.backends import ModelVersion
    from gates.drift.decide import ColumnDecision
    from gates.drift.profile import Profile
    from gates.drift.source import Source
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
    current: Path | None = option("Current data: a file, folder or glob.", kind="path", config="drift.current")
    policy: Path | None = option("The policy file.", kind="path", config="policy")
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
    from gates.drift import scan, source

    policy, raw = judged.load_policy(context, inputs.policy)
    stage = judged.stage_of(policy, "drift", context)
    where: Path = context.need(inputs.current, "drift.current")
    current = source.open_source(where)
    champion = find_champion(context, policy) if inputs.reference == "profile" else None
    reference = _reference(inputs, context, champion)
    columns = _columns(stage, reference)
    context.say(f"comparing {len(columns)} columns of {current.rows:,} rows with the reference")
    found = scan.scan(reference, current, columns=columns, threads=2)
    store = stores.Store(context.report_dir)
    store.add_bytes(stores.DRIFT, msgspec.json.encode(found))
    store.add_manifest(stores.Manifest())
    judged.keep_policy(store, raw)
    evidence = stores.load(store.folder, store.items)
    report = judge(
        policy, "drift", evidence, step=context.step, today=context.now().date(),
        model=judged.describe(champion.digest if champion else ""),
        data={"digest": _digest(where), "rows": current.rows},
    )  # fmt: skip
    decisions = _decisions(stage, evidence)
    retrain = _retrain(inputs, context, stage, decisions, report, champion)
    report = replace(report, columns=tuple(d.to_json() for d in decisions), retrain=retrain)
    return _finish(inputs, context, out, report, decisions, policy)


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


def _reference(inputs: Inputs, context: Context, champion: ModelVersion | None) -> Profile | Source:
    from gates.drift import source
    from gates.drift.profile import Profile

    if inputs.reference != "profile":
        return source.open_source(context.cwd / inputs.reference)
    if champion is None:
        raise Unavailable(
            "there is no champion whose profile could be the reference",
            hint="deploy a model first, or give --reference FILE",
        )
    path = records.fetched_lineage(context, champion).path / records.PROFILE
    if not path.is_file():
        raise Unavailable(
            f"version {champion.version} has no reference profile",
            file=path,
            hint="give --reference FILE, or train again",
        )
    profile = Profile.from_bytes(path.read_bytes(), file=str(path))
    profile.require(champion.digest)
    return profile


def _columns(stage: Stage, reference: Profile | Source) -> list[str]:
    """The columns that the checks name; all of the reference's where one says `all`."""
    needs = [need for need in union(stage.checks) if need.kind == "drift"]
    if not needs or any(not need.columns for need in needs):
        return list(reference.names)
    return list(dict.fromkeys(column for need in needs for column in need.columns))


def _decisions(stage: Stage, evidence: Any) -> tuple[ColumnDecision, ...]:
    """One decision a column, the first check that judges it; drifted wins."""
    chosen: dict[str, ColumnDecision] = {}
    for bound in stage.checks:
        check: Any = bound.check
        for decision in check.decisions(evidence) if bound.type == "drift" else ():
            if decision.name not in chosen or (decision.drifted and not chosen[decision.name].drifted):
                chosen[decision.name] = decision
    return tuple(chosen.values())


def _retrain(
    inputs: Inputs,
    context: Context,
    stage: Stage,
    decisions: Sequence[ColumnDecision],
    report: GateReport,
    champion: ModelVersion | None,
) -> Mapping[str, Any]:
    from gates.drift.decide import retrain

    rule = stage.retrain
    if rule is None:
        return {"decide": False, "reason": None}
    age = inputs.model_age
    if age is None and champion is not None and rule.on_age:
        age = _age(context, champion)
    decided = retrain(
        decisions, drift_verdict=report.verdict.value, on_drift=rule.on_drift,
        on_performance_drop=rule.on_performance_drop, performance_delta=inputs.performance_delta,
        on_age=duration(rule.on_age, "retrain.on_age") if rule.on_age else None, model_age=age,
    )  # fmt: skip
    return decided.to_json()


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
