"""judge(policy, stage, evidence) -> GateReport: pure and short. The worst verdict wins.

Blocking and advisory checks are joined apart; an advisory check never decides. A waiver excuses FAIL, never ERROR. A
stage in which no blocking check decided is ERROR: silence is not consent.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gates.verdict import CheckResult, GateReport, Status, Verdict, worst

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from gates.evidence import Evidence
    from gates.policy import Bound, Policy, Waiver


def judge(
    policy: Policy,
    stage: str,
    evidence: Evidence,
    *,
    step: str,
    today: date,
    model: Mapping[str, Any] | None = None,
    champion: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
) -> GateReport:
    """Decide every check of a stage, which the policy must have, and join them.

    `model` ({"digest", "version"?}), `champion` and `data` ({"digest", "rows"}) say what the evidence is about.
    """
    bound = policy.stages[stage].checks
    about = model or {}
    results = tuple(_waive(_decide(item, evidence, policy), policy.settings.waivers, about, today) for item in bound)
    blocking = [result.status for result in results if result.severity == "block"]
    verdict = worst(blocking) or Verdict.ERROR
    tolerated = {item.check.id for item in bound if item.on_inconclusive == "warn"}
    undecided = {r.id for r in results if r.severity == "block" and r.status is Status.INCONCLUSIVE}
    allow = verdict is Verdict.PASS or (verdict is Verdict.INCONCLUSIVE and undecided <= tolerated)
    return GateReport(
        step=step,
        stage=stage,
        verdict=verdict,
        decision="allow" if allow else "refuse",
        policy=policy.describe(),
        model={"digest": about.get("digest", "")},
        champion=champion,
        data=data or {"digest": "", "rows": 0},
        checks=results,
        evidence=evidence.items,
    )


def _decide(item: Bound, evidence: Evidence, policy: Policy) -> CheckResult:
    result = item.check.decide(evidence, policy.check_settings).at(severity=item.severity, line=item.line)
    if result.status is not Status.ERROR:
        return result
    said = dict.fromkeys(evidence.lacking[need.kind] for need in item.check.needs() if need.kind in evidence.lacking)
    return replace(result, reason=" ".join([result.reason, *said]))


def _waive(result: CheckResult, waivers: list[Waiver], model: Mapping[str, Any], today: date) -> CheckResult:
    if result.status is not Status.FAIL:
        return result
    for waiver in waivers:
        if (
            waiver.check == result.id
            and waiver.expires >= today.isoformat()
            and waiver.model_version in (None, model.get("version"))
            and waiver.model_digest in (None, model.get("digest"))
        ):
            reason = f"{result.reason} Waived until {waiver.expires} by {waiver.approved_by}: {waiver.reason}"
            return replace(result, status=Status.WAIVED, reason=reason)
    return result
