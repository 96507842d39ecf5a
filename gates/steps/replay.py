"""Decide again from a report's stored evidence, and compare the result byte for byte.

`gates replay REPORT` reads the policy's bytes and every evidence file beside the report, each by its digest, judges as
of the day of the report, and compares the canonical JSON of `result`. Evidence or a report that was changed is refused;
so is a day that is not the audit log's, where this project's log tells of the report.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from gates import policy as policies
from gates.canonical import digest
from gates.collect import store as stores
from gates.document import load_json, read_bytes
from gates.errors import InvalidInput, Refused
from gates.inputs import option
from gates.judge import judge
from gates.reports import json as json_report
from gates.steps import judged, records
from gates.steps.canary import join, judged_live
from gates.steps.drift_check import decisions_of, retrain_of
from gates.steps.step import Common, CommonOutputs, Context, Ended
from gates.verdict import EvidenceItem, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gates.policy import Policy
    from gates.verdict import GateReport

SUMMARY = "Decide again from a report's stored evidence, byte for byte."


@dataclass(frozen=True, kw_only=True)
class Inputs(Common):
    report: Path | None = option("The report.json to decide again; its evidence folder stands beside it.", kind="path")


@dataclass(kw_only=True)
class Outputs(CommonOutputs):
    """The common ones; the answer is on stdout."""


def run(inputs: Inputs, context: Context, out: Outputs) -> Ended:
    if inputs.report is None:
        raise InvalidInput("gates replay: no report is named", hint="write gates replay PATH/report.json")
    path = inputs.report
    said = load_json(path, "the report")
    try:
        if said["schema"] != json_report.SCHEMA:
            raise InvalidInput(f"the report is of {said['schema']}, not {json_report.SCHEMA}", file=path)
        result = said["result"]
        day = datetime.fromisoformat(said["run"]["started"]).date()
        again = _judge(result, day, path)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidInput(f"not a report: {type(error).__name__} {error}", file=path) from error
    out.report_path, out.report_digest = str(path), digest(result)
    computed = again.to_json()
    if digest(computed) != out.report_digest:
        keys = [key for key in {**computed, **result} if digest([computed.get(key)]) != digest([result.get(key)])]
        raise Refused(
            f"the evidence decides otherwise: {', '.join(keys)} differ; {again.verdict.value}, {again.decision}",
            file=path, hint="the report was changed, or another version of gates wrote it",
        )  # fmt: skip
    whose = _day_of(context, out.report_digest, day, path)
    return Ended(
        text=f"{again.verdict.value} {again.decision}: the same bytes again, {out.report_digest}\nas of {day}, {whose}"
    )


def _day_of(context: Context, report: str, day: date, path: Path) -> str:
    """Who says which day it was, on which waivers and the policy's own end depend: the audit log where it knows."""
    told = {event.at[:10] for event in records.audit(context).events() if event.report == report}
    if told and not {day.isoformat(), (day + timedelta(days=1)).isoformat()} & told:  # the log is written after
        raise Refused(
            f"the report says that it was judged on {day}, the audit log says {', '.join(sorted(told))}",
            file=path, hint="the report was changed",
        )  # fmt: skip
    return "as the audit log says too" if told else "by the report's own word: no audit log here tells of it"


def _judge(result: Mapping[str, Any], day: date, path: Path) -> GateReport:
    if not result["checks"]:
        raise InvalidInput("nothing was judged in this report", file=path, hint="replay the report of a gate")
    folder, said = path.parent / "evidence", result["policy"]
    items = tuple(
        EvidenceItem(item["name"], item["sha256"], stores.self_reported(item["name"])) for item in result["evidence"]
    )
    kept = folder / said["digest"].partition(":")[2]
    raw = read_bytes(kept, "the policy's bytes in the evidence")
    live = any(item.name.startswith(stores.ROLLOUT) for item in items)
    manifest = stores.manifest_of(folder, items)
    about = manifest.about
    if not about:
        raise InvalidInput(
            "the evidence does not say what it is about", file=path, hint="it was changed, or is of an older gates"
        )
    if f"sha256:{hashlib.sha256(raw).hexdigest()}" != said["digest"]:
        raise InvalidInput("evidence 'policy' was changed", file=kept, hint=f"its digest is not {said['digest']}")
    policy = policies.load(raw, kept, source=about["source"], today=day)
    if live:
        return _judge_rollout(policy, stores.load_rollout(folder, items), result, items, day, about)
    evidence = stores.load(folder, items)
    report = judge(
        policy, result["stage"], evidence, step=about["step"], today=day, model=about["model"],
        champion=about["champion"], data={"rows": judged.rows_of(evidence), **about["data"]},
    )  # fmt: skip
    if "columns" not in result:
        return report
    stage = policy.stages[result["stage"]]
    decisions = decisions_of(stage, evidence)
    retrain = retrain_of(stage, decisions, report.verdict, manifest.retrain or stores.Retraining())
    return replace(report, columns=tuple(decision.to_json() for decision in decisions), retrain=retrain)


def _judge_rollout(
    policy: Policy,
    seen: Mapping[str, Any],
    result: Mapping[str, Any],
    items: tuple[EvidenceItem, ...],
    day: date,
    about: Mapping[str, Any],
) -> GateReport:
    """A rollout's stages again. That it went through took more than its checks, so its decision is only held to them:
    no failed or erroneous check lets it through."""
    reports = {
        stage: judged_live(
            policy, stage, seen[stage], step=about["step"], today=day, model=about["model"]
        )
        for stage in result["stage"].split("+")
    }  # fmt: skip
    joined = join(reports)
    undone = joined.verdict in (Verdict.FAIL, Verdict.ERROR) or result["decision"] not in ("allow", "refuse")
    return replace(joined, evidence=items, decision="refuse" if undone else result["decision"])
