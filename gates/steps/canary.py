"""What a rollout is judged by: the policy's stages as the machine asks them, and the built-in canary where it has none.

What was judged last of each stage is kept beside the report, so that `gates replay` decides it again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import msgspec

from gates.checks import CHECKS
from gates.collect import live
from gates.collect.store import POLICY, ROLLOUT, Manifest, Store
from gates.judge import judge
from gates.policy import Bound, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import date
    from pathlib import Path

    from gates.evidence import Evidence
    from gates.policy import Policy
    from gates.rollout.plan import Analyse
    from gates.verdict import GateReport

BUILT_IN = "builtin.errors"
METRIC = "builtin.accuracy"
DOWN = 0.02
"""The share of its gated accuracy that a version may lose among customers before the built-in canary refuses it."""
FEWEST_WRONG = 0.005
"""A model gated at more than 99.5 % is compared as if it erred so often: no ratio to almost nothing can be shown."""


@dataclass
class Judging:
    """Judges a rollout's evidence under one policy and remembers the last of each stage. model: as in report.v1.

    accuracy: the gated one, where labels come during the rollout; the built-in canary then watches it too.
    """

    policy: Policy
    step: str
    today: Callable[[], date]
    model: Mapping[str, Any]
    accuracy: float | None = None
    reports: dict[str, GateReport] = field(default_factory=dict)
    evidence: dict[str, Evidence] = field(default_factory=dict)

    def gate(self, stage: str) -> Analyse | None:
        """A stage as the machine asks it; None when the policy has no such stage."""
        if stage not in with_canary(self.policy, self.accuracy).stages:
            return None
        known = {} if self.accuracy is None else {"accuracy": self.accuracy}

        def analyse(evidence: Evidence, *, final: bool) -> GateReport:
            self.evidence[stage] = evidence = replace(evidence, final=final, facts={**evidence.facts, **known})
            self.reports[stage] = report = judged_live(
                self.policy, stage, evidence, step=self.step, today=self.today(), model=self.model
            )
            return report

        return analyse

    def report(self, folder: Path, raw: bytes, *, allowed: bool) -> GateReport | None:
        """What was judged last, as one report, with its evidence stored; None when nothing was judged.

        raw: the policy's bytes. allowed: whether the rollout went through, which takes more than its checks; a bake
        that nothing spoke against went through undecided.
        """
        if not self.reports:
            return None
        store = Store(folder)
        for stage, evidence in self.evidence.items():
            store.add_bytes(ROLLOUT + stage, live.dump(evidence))
        about = {"step": self.step, "source": self.policy.source, "model": dict(self.model)}
        store.add_manifest(Manifest(about=about))
        store.add_bytes(POLICY, raw)
        kept = tuple(item for item in store.items if item.name != POLICY)
        return replace(join(self.reports), decision="allow" if allowed else "refuse", evidence=kept)


def judged_live(
    policy: Policy, stage: str, evidence: Evidence, *, step: str, today: date, model: Mapping[str, Any]
) -> GateReport:
    """One stage of a rollout, decided; the built-in canary stands in, a first deployment is compared with nobody."""
    accuracy = evidence.facts.get("accuracy")
    policy = with_canary(policy, accuracy)
    judging = _without_blue(policy, accuracy) if evidence.champion_absent else policy
    if evidence.facts.get("mirroring"):  # no customer got an answer, so none can be labelled
        judging = _without(judging, "wrong_answers")
    return judge(judging, stage, evidence, step=step, today=today, model=model)


def join(reports: Mapping[str, GateReport]) -> GateReport:
    """The stages of a rollout as one report: all checks, the worst verdict, refused."""
    last = list(reports.values())[-1]
    return replace(
        last,
        stage="+".join(reports),
        checks=tuple(check for report in reports.values() for check in report.checks),
        verdict=max((report.verdict for report in reports.values()), key=lambda verdict: verdict.rank),
        decision="refuse",
    )


def with_canary(policy: Policy, accuracy: float | None = None) -> Policy:
    """The policy, with the built-in canary where it has none: errors over 3 times blue's, p95 over the limit + 25 %,
    and where the gated accuracy is given, wrong answers so much over blue's as costs 2 % of it.

    Fewer errors than 0.5 % pass whatever blue's are: two sides without errors would never show a ratio. Labels may be
    too few to show anything: that holds nobody up.
    """
    if "canary" in policy.stages:
        return policy
    checks = [_check("rate_ratio", signal="http_5xx", max_ratio=3.0, negligible=0.005)]
    deploy = policy.stages.get("deploy")
    limits: list[Any] = [b.check for b in (deploy.checks if deploy else ()) if b.type == "latency_quantile"]
    if limits:
        wider = {"id": "builtin.latency", "signal": "latency_ms", "max_ms": limits[0].max_ms * 1.25}
        checks.append(msgspec.structs.replace(limits[0], **wider))
    if accuracy is not None:
        wrong, lost = _wrong(accuracy)
        asked = {"signal": "wrong_answers", "max_ratio": 1 + lost / wrong, "on_inconclusive": "warn"}
        checks.append(_check("rate_ratio", id=METRIC, **asked))
    return _with_stage(policy, checks)


def _wrong(accuracy: float) -> tuple[float, float]:
    """(the share of wrong answers that was gated, the share more that costs `DOWN` of the accuracy)."""
    wrong = max(1 - accuracy, FEWEST_WRONG)
    return wrong, DOWN * (1 - wrong)


def _without_blue(policy: Policy, accuracy: float | None) -> Policy:
    """For a first deployment: what compares with blue is SKIPPED or left out; the built-in ratio becomes a rate."""
    champion = msgspec.structs.replace(policy.settings.champion, when_absent="bootstrap")
    policy = replace(policy, settings=msgspec.structs.replace(policy.settings, champion=champion))
    canary = policy.stages["canary"]
    if canary.checks[0].check.id == BUILT_IN:
        rest = [bound.check for bound in canary.checks[1:] if bound.check.id != METRIC]
        checks = [_check("rate", signal="http_5xx", ok=0.01, bad=0.05), *rest]
        if accuracy is not None:
            wrong, lost = _wrong(accuracy)
            asked = {"signal": "wrong_answers", "ok": wrong, "bad": wrong + lost, "on_inconclusive": "warn"}
            checks.append(_check("rate", id=METRIC, **asked))
        return _with_stage(policy, checks)
    return _without(policy, "mirror_differs")


def _without(policy: Policy, signal: str) -> Policy:
    """The policy whose canary does not look at a signal, unless nothing else is looked at."""
    canary = policy.stages["canary"]
    rest = tuple(bound for bound in canary.checks if signal not in signals([bound]))
    return replace(policy, stages={**policy.stages, "canary": replace(canary, checks=rest or canary.checks)})


def signals(checks: list[Bound] | tuple[Bound, ...]) -> dict[str, dict[str, Any]]:
    """The signals that checks need, each with the options of the needs joined, the largest `min_samples` first."""
    found: dict[str, dict[str, Any]] = {}
    for bound in checks:
        for need in bound.check.needs():
            known = found.setdefault(need.name, {})
            fewest = max(known.get("min_samples", 0), need.options.get("min_samples", 0))
            durations = [*known.get("max_durations", []), need.options.get("max_duration")]
            known.update(min_samples=fewest, max_durations=[one for one in durations if one])
    return found


def _check(kind: str, **keys: Any) -> Any:
    make: Any = CHECKS[kind]
    return make(**{"id": BUILT_IN, **keys})


def _with_stage(policy: Policy, checks: list[Any]) -> Policy:
    bounds = tuple(
        Bound(check, type(check).__struct_config__.tag, 0, "block", check.on_inconclusive or "block")
        for check in checks
    )
    return replace(policy, stages={**policy.stages, "canary": Stage("canary", 0, bounds)})
