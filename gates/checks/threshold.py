"""A metric against a limit, decided on the bound of its interval: a lucky test set does not pass.

Figures that the user's own code wrote (a metrics file) have no interval. They are decided on the point, and the reason
says '(self-reported)'; a policy that asks for a bound cannot be met by them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from gates import metrics
from gates.checks import ruling, sizes
from gates.checks.spec import Need, Settings, Spec
from gates.stats.estimate import Unusable
from gates.verdict import CheckResult, Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gates.evidence import Evidence, Predictions

DecideOn = Literal["ci", "ci_lower", "ci_upper", "point"]
OURS = ("artifact_megabytes",)
SHARES = ("accuracy", "precision", "recall", "specificity")


class Threshold(Spec, frozen=True, kw_only=True, tag="threshold"):
    """A metric must be at least `min`, at most `max`, or both.

    Needs: `predictions` (name: the metric, scores: whether probabilities are needed) for a known metric; the collector
    may give a ready figure of that name in `Evidence.metrics` instead. Else `metric` (name, options.source: `package`
    for artifact_megabytes, `import_path` for `module:function`, `metrics` for a figure of the metrics file).
    """

    metric: Annotated[str, Meta(description="A known metric, artifact_megabytes, or module:function of yours.")]
    min: Annotated[float | None, Meta(description="The least value that passes.")] = None
    max: Annotated[float | None, Meta(description="The largest value that passes.")] = None
    decide_on: Annotated[
        DecideOn | None,
        Meta(description="ci (default): the interval; ci_lower, ci_upper: the same, said; point: the value alone."),
    ] = None
    min_samples: Annotated[int, Meta(description="Fewer rows than this never pass; they may fail.", ge=1)] = 1
    average: Annotated[metrics.Average, Meta(description="How classes are averaged when there are more than two.")] = (
        "binary"
    )
    source: Annotated[
        Literal["auto", "metrics"], Meta(description="metrics: take the figure of that name from the metrics file.")
    ] = "auto"

    @property
    def _ready(self) -> bool:
        return self.source == "metrics" or self.metric in OURS or ":" in self.metric

    def needs(self) -> tuple[Need, ...]:
        if self._ready:
            source = "metrics" if self.source == "metrics" else "package" if self.metric in OURS else "import_path"
            return (Need("metric", self.metric, options={"source": source}),)
        known = metrics.METRICS.get(self.metric)
        return (Need("predictions", self.metric, scores=known is not None and known.needs_scores),)

    def lint(self) -> Iterable[tuple[str, str]]:
        if not self._ready and self.metric not in metrics.METRICS:
            yield "metric", metrics.unknown(self.metric, "For a figure of your own metrics file add `source: metrics`")
        if self.min is None and self.max is None:
            yield "metric", "nothing is required; write `min` or `max`"
        yield from limits(self.min, self.max)
        if self.decide_on == "ci_lower" and self.min is None:
            yield "decide_on", "ci_lower goes with `min`; for a `max` write ci_upper"
        if self.decide_on == "ci_upper" and self.max is None:
            yield "decide_on", "ci_upper goes with `max`; for a `min` write ci_lower"
        if self.decide_on in ("ci", "ci_lower", "ci_upper") and self._ready:
            yield "decide_on", f"{self.metric} is a ready figure without an interval; write `decide_on: point`"
        if self.average != "binary" and (self._ready or not metrics.METRICS.get(self.metric, _NONE).averaged):
            yield "average", f"{self.metric} takes no average; leave it out"

    def explain(self) -> str:
        way = "the figure itself" if self.decide_on == "point" or self._ready else "its whole interval"
        least = f", on at least {self.min_samples} rows" if self.min_samples > 1 else ""
        return f"{self.metric}: {way} must be {ruling.limits(self.min, self.max)}{least}.{self._rows_needed()}"

    def _rows_needed(self) -> str:
        """The size at which a value 0.02 from the limit is told from it, where one can be told beforehand."""
        limit = self.min if self.min is not None else self.max
        if self.decide_on == "point" or self._ready or limit is None or not 0.0 < limit < 1.0:
            return ""
        if self.metric in SHARES:
            rows = f"{sizes.share(limit)} such rows"
        elif self.metric == "f1" and self.average == "binary":
            rows = f"{sizes.f1(limit)} rows that are positive, in truth or in prediction"
        elif self.metric == "roc_auc" and limit > 0.5:
            rows = f"{sizes.area(limit)} rows of each class"
        else:
            return ""
        return f" Where the truth lies {ruling.show(sizes.gap_of(limit))} from the limit, that takes about {rows}."

    def decide(self, evidence: Evidence, settings: Settings) -> CheckResult:
        wanted = ruling.required(
            metric=self.metric, min=self.min, max=self.max, decide_on=self.decide_on, min_samples=self.min_samples
        )
        if self._ready or (evidence.candidate is None and self.metric in evidence.metrics):
            return self._ready_figure(evidence, wanted)
        if evidence.candidate is None:
            return ruling.error(self, f"no predictions and no figure '{self.metric}' were given", wanted)
        return self._estimated(evidence.candidate, settings, wanted)

    def _estimated(self, candidate: Predictions, settings: Settings, wanted: dict[str, object]) -> CheckResult:
        known = metrics.METRICS.get(self.metric)
        if known is None:
            return ruling.error(self, metrics.unknown(self.metric), wanted)
        try:
            found = known.estimate(candidate, confidence=settings.confidence, seed=settings.seed, average=self.average)
        except Unusable as unusable:
            return ruling.error(self, str(unusable), wanted)
        if self.decide_on == "point":
            decided = ruling.on_point(self.metric, found.value, low=self.min, high=self.max)
        else:
            decided = ruling.against(self.metric, found, low=self.min, high=self.max)
        return ruling.too_few(self, decided, found, self.min_samples, wanted)

    def _ready_figure(self, evidence: Evidence, wanted: dict[str, object]) -> CheckResult:
        value: object = evidence.metrics.get(self.metric)  # from a file: of any type
        if value is None:
            return ruling.error(self, f"no figure '{self.metric}' was given", wanted)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            return ruling.error(self, f"the figure {self.metric} is {value!r}, not a finite number", wanted)
        said = f"{self.metric} (self-reported)" if evidence.self_reported else self.metric
        decided = ruling.on_point(said, float(value), low=self.min, high=self.max)
        n = evidence.metrics_n
        status, reason, needed = decided.status, decided.reason, None
        if status is Status.PASS and n is not None and n <= 0:
            return ruling.error(self, f"the figure {said} stands on {n} rows", wanted)
        if self.decide_on not in (None, "point"):
            status = Status.INCONCLUSIVE
            reason = f"{reason} It has no interval, and the policy decides on {self.decide_on}; give predictions."
        elif status is Status.PASS and self.min_samples > 1 and (n is None or n < self.min_samples):
            status, needed = Status.INCONCLUSIVE, self.min_samples
            reason = f"{reason} It stands on {'an unknown number of' if n is None else n} rows, not {self.min_samples}."
        shown = ruling.result(self, status, reason, wanted=wanted, n=n, n_needed=needed)
        return ruling.with_observed(shown, float(value))


_NONE = metrics.Metric("", "")


def limits(low: float | None, high: float | None) -> Iterable[tuple[str, str]]:
    """What is wrong with a pair of limits."""
    for key, value in (("min", low), ("max", high)):
        if value is not None and not math.isfinite(value):
            yield key, f"{value} is no limit; write a finite number"
    if low is not None and high is not None and low > high:
        yield "min", f"min {low:g} is over max {high:g}, so nothing passes; swap them"
