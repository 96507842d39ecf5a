"""The candidate against the champion on the same rows: not worse by more than a margin, or better.

Both were asked the same questions, so the paired difference is tested, which needs far fewer rows than two intervals
laid side by side. No champion is not a win: it is SKIPPED where the policy says `bootstrap`, and ERROR otherwise.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, Struct

from gates import metrics
from gates.checks import ruling
from gates.checks.spec import Need, Settings, Spec
from gates.stats.estimate import Unusable
from gates.verdict import CheckResult, Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gates.evidence import Evidence, Predictions
    from gates.stats.estimate import Estimate
    from gates.stats.measure import Difference

Method = Literal["auto", "delong", "tango", "paired_bootstrap"]
NotNegative = Annotated[float, Meta(ge=0)]
ROW_PROPORTIONS = ("accuracy", "recall", "specificity", "precision", "f1")


class Margin(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much worse is still as good: in the metric's unit, or as a share of the champion's value."""

    absolute: Annotated[NotNegative | None, Meta(description="In the metric's own unit.")] = None
    relative: Annotated[NotNegative | None, Meta(description="As a share of the champion's value.")] = None


DEPENDS = " How many rows that takes hangs on how often the two disagree; an undecided check says it."


class ChampionDelta(Spec, frozen=True, kw_only=True, tag="champion_delta"):
    """non_inferiority: the candidate may be worse by less than the margin. superiority: it must be better by more.

    Needs: `predictions` and `champion_predictions` (name: the metric, scores: whether probabilities are needed).
    """

    metric: Annotated[str, Meta(description="A known metric; see threshold.")]
    test: Annotated[Literal["non_inferiority", "superiority"], Meta(description="What the candidate has to show.")] = (
        "non_inferiority"
    )
    margin: Annotated[Margin, Meta(description="{absolute: x} or {relative: x}; superiority may leave it out.")] = (
        Margin()
    )
    method: Annotated[
        Method,
        Meta(description="auto: DeLong for areas, Tango for paired proportions, else the paired BCa bootstrap."),
    ] = "auto"
    average: Annotated[metrics.Average, Meta(description="How classes are averaged when there are more than two.")] = (
        "binary"
    )
    mcnemar: Annotated[
        Literal["exact", "mid_p"],
        Meta(description="The test beside Tango's interval; superiority without a margin needs both."),
    ] = "exact"
    min_samples: Annotated[int, Meta(description="Fewer rows than this never pass; they may fail.", ge=1)] = 1

    def needs(self) -> tuple[Need, ...]:
        known = metrics.METRICS.get(self.metric)
        scores = known is not None and known.needs_scores
        return tuple(Need(kind, self.metric, scores=scores) for kind in ("predictions", "champion_predictions"))

    def lint(self) -> Iterable[tuple[str, str]]:
        known = metrics.METRICS.get(self.metric)
        if known is None:
            yield "metric", metrics.unknown(self.metric)
        absolute, relative = self.margin.absolute, self.margin.relative
        if absolute is not None and relative is not None:
            yield "margin", "absolute and relative are both given; write one"
        if absolute is None and relative is None and self.test == "non_inferiority":
            yield "margin", "non-inferiority needs a margin; write {absolute: 0.01} or {relative: 0.02}"
        for key, value in (("absolute", absolute), ("relative", relative)):
            if value is not None and not (math.isfinite(value) and value >= 0):
                yield "margin", f"{key} margin {value} must be a finite number of at least 0"
        if relative is not None and relative >= 1:
            yield "margin", f"a relative margin of {relative:g} allows any loss; write a share such as 0.02"
        if self.method == "delong" and self.metric != "roc_auc":
            yield "method", f"delong is for roc_auc; for {self.metric} write paired_bootstrap or auto"
        if self.method == "tango" and (self.metric not in ROW_PROPORTIONS[:3] or relative is not None):
            yield "method", "tango is for accuracy, recall and specificity with an absolute margin; write auto"
        if self.method == "paired_bootstrap" and self.metric in ("roc_auc", "average_precision"):
            yield "method", f"{self.metric} has a closed form that the bootstrap only repeats; write auto"
        if self.mcnemar != "exact" and self.metric not in ROW_PROPORTIONS[:3]:
            yield "mcnemar", f"McNemar's test is for accuracy, recall and specificity; for {self.metric} leave it out"
        if self.average != "binary" and known is not None and not (known.averaged or known.needs_scores):
            yield "average", f"{self.metric} takes no average; leave it out"

    def explain(self) -> str:
        how = {"delong": " by DeLong's test", "tango": " by Tango's interval", "paired_bootstrap": " by paired BCa"}
        way = how.get(self.method, "")
        if self.test == "superiority":
            asked = f"{self.metric} must be better than the champion's by more than {self._margin_in_words()}{way}."
            return asked + DEPENDS
        allowed = f"{self.metric} may be worse than the champion's by less than {self._margin_in_words()}{way}."
        return allowed + self._rows_needed()

    def _rows_needed(self) -> str:
        """Rows at which two equally good models that disagree on 5 % of them are told from one worse by the margin."""
        if self.metric not in ROW_PROPORTIONS[:3] or not self.margin.absolute:
            return DEPENDS
        n = math.ceil(0.05 * (1.96 / self.margin.absolute) ** 2)
        return f" Two equally good models that disagree on 5 % of the rows need about {n} of them."

    def _margin_in_words(self) -> str:
        if self.margin.relative is not None:
            return f"{self.margin.relative * 100:g} % of it"
        return ruling.show(self.margin.absolute or 0.0)

    def decide(self, evidence: Evidence, settings: Settings) -> CheckResult:
        wanted = ruling.required(
            metric=self.metric, test=self.test, absolute=self.margin.absolute, relative=self.margin.relative
        )
        known = metrics.METRICS.get(self.metric)
        if known is None:
            return ruling.error(self, metrics.unknown(self.metric), wanted)
        if evidence.champion_absent and evidence.champion is None and settings.champion_when_absent == "bootstrap":
            reason = "There is no champion yet and the policy says bootstrap: not compared."
            return ruling.result(self, Status.SKIPPED, reason, wanted=wanted)
        if evidence.candidate is None or evidence.champion is None:
            missing = "candidate's" if evidence.candidate is None else "champion's"
            return ruling.error(self, f"the {missing} predictions are missing, so nothing can be compared", wanted)
        try:
            found = self._difference(known, evidence.candidate, evidence.champion, settings, sign=1.0)
            if self.margin.relative is not None and found.champion.value < 0:
                found = self._difference(known, evidence.candidate, evidence.champion, settings, sign=-1.0)
        except Unusable as unusable:
            return ruling.error(self, str(unusable), wanted)
        return self._rule(known, found, 1.0 - settings.confidence, wanted)

    def _difference(
        self, known: metrics.Metric, candidate: Predictions, champion: Predictions, settings: Settings, *, sign: float
    ) -> Difference:
        return known.difference(
            candidate,
            champion,
            confidence=settings.confidence,
            seed=settings.seed,
            average=self.average,
            method=self.method,
            mcnemar=self.mcnemar,
            weight=self._weight(known, sign),
        )

    def _weight(self, known: metrics.Metric, sign: float) -> float:
        """With a relative margin r the margin moves with the champion: candidate - (1 -+ r) champion against 0."""
        slack = self.margin.relative or 0.0
        if self.test == "superiority":
            slack = -slack
        return 1.0 - sign * slack if known.greater_is_better else 1.0 + sign * slack

    def _rule(self, known: metrics.Metric, found: Difference, alpha: float, wanted: dict[str, object]) -> CheckResult:
        """The difference, turned so that more is better, against the margin."""
        gain = found.estimate if known.greater_is_better else _turned(found.estimate)
        margin = self.margin.absolute or 0.0
        limit = margin if self.test == "superiority" else 0.0 - margin
        values = (
            f"{self.metric} {ruling.show(found.candidate)} against the champion's {ruling.show(found.champion.value)}"
        )
        relative = self.margin.relative is not None
        if relative and (abs(found.champion.value) < 1e-9 or found.champion.low <= 0.0 <= found.champion.high):
            reason = f"{values}: the champion's value is too near 0 for a relative margin; write an absolute one."
            return ruling.result(self, Status.INCONCLUSIVE, reason, wanted=wanted, found=gain)
        decided = ruling.against("gain over the limit" if relative else "gain", gain, low=limit)
        if decided.status is Status.PASS and self.test == "superiority" and not gain.low > limit:
            decided = ruling.Ruling(Status.INCONCLUSIVE, "the gain only touches the limit.")
        exact = self.test == "superiority" and limit == 0.0 and gain.method == "Tango" and found.p is not None
        if decided.status is Status.PASS and exact and not ruling.at_most(found.p or 0.0, alpha):
            decided = ruling.Ruling(Status.INCONCLUSIVE, "the interval shows a gain, McNemar's test does not.")
        p = "" if found.p is None else f" Two-sided p of no difference: {ruling.show(found.p)}."
        reason = f"{values}; {decided.reason} ({gain.method}.){p}"
        return ruling.too_few(
            self, ruling.Ruling(decided.status, reason, decided.n_needed), gain, self.min_samples, wanted
        )


def _turned(found: Estimate) -> Estimate:
    return replace(found, value=-found.value, low=-found.high, high=-found.low)
