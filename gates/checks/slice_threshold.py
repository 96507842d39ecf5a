"""A metric against a limit in every slice: an average must not hide the part of the world where the model fails.

PASS needs every slice to clear the limit, each at the policy's confidence (an intersection-union test needs no
correction; Berger 1982). FAIL needs one slice that misses it beyond Holm's correction over the slices. A required slice
that is missing is FAIL; a small one is INCONCLUSIVE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta, field

from gates import metrics
from gates.checks import ruling
from gates.checks.fairness import AsText  # noqa: TC001  # msgspec reads it at run time
from gates.checks.spec import Need, Settings, Spec
from gates.checks.threshold import limits
from gates.stats.estimate import Estimate, Unusable
from gates.verdict import CheckResult, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gates.checks.slices import Slices
    from gates.evidence import Evidence
    from gates.stats.prepared import Prepared


class SliceThreshold(Spec, frozen=True, kw_only=True, tag="slice_threshold"):
    """A metric must be at least `min`, or at most `max`, in every slice.

    Needs: `predictions` (name: the metric, columns: those of `by`, scores: whether probabilities are needed).
    """

    metric: Annotated[str, Meta(description="A known metric; see threshold.")]
    by: Annotated[list[str], Meta(description="Columns to slice by, each on its own.", min_length=1)]
    min: Annotated[float | None, Meta(description="The least value that passes, in every slice.")] = None
    max: Annotated[float | None, Meta(description="The largest value that passes, in every slice.")] = None
    required: Annotated[dict[str, AsText], Meta(description="By column, the values that must be in the data.")] = field(
        default_factory=dict
    )
    min_slice_samples: Annotated[int, Meta(description="A slice with fewer rows is INCONCLUSIVE.", ge=1)] = 30
    intersect: Annotated[bool, Meta(description="Slice by the combinations of the columns.")] = False
    average: Annotated[metrics.Average, Meta(description="How classes are averaged when there are more than two.")] = (
        "binary"
    )

    def needs(self) -> tuple[Need, ...]:
        known = metrics.METRICS.get(self.metric)
        scores = known is not None and known.needs_scores
        return (Need("predictions", self.metric, columns=tuple(self.by), scores=scores),)

    def lint(self) -> Iterable[tuple[str, str]]:
        known = metrics.METRICS.get(self.metric)
        if known is None:
            yield "metric", metrics.unknown(self.metric)
        if self.min is None and self.max is None:
            yield "metric", "nothing is required; write `min` or `max`"
        yield from limits(self.min, self.max)
        if len(set(self.by)) < len(self.by):
            yield "by", "a column is named twice; name it once"
        for column, values in self.required.items():
            if column not in self.by:
                yield "required", f"'{column}' is not in `by`; add it there or remove it here"
            if not values:
                yield "required", f"'{column}' names no value; list them or remove it"
        if self.average != "binary" and known is not None and not (known.averaged or known.needs_scores):
            yield "average", f"{self.metric} takes no average; leave it out"

    def explain(self) -> str:
        by = (" and " if self.intersect else ", ").join(self.by)
        return (
            f"{self.metric} must be {ruling.limits(self.min, self.max)} in every slice by {by}, by the whole interval; "
            f"each slice needs {self.min_slice_samples} rows."
        )

    def decide(self, evidence: Evidence, settings: Settings) -> CheckResult:
        wanted = ruling.required(
            metric=self.metric, min=self.min, max=self.max, by=list(self.by), min_slice_samples=self.min_slice_samples
        )
        known = metrics.METRICS.get(self.metric)
        if known is None:
            return ruling.error(self, metrics.unknown(self.metric), wanted)
        if evidence.candidate is None:
            return ruling.error(self, "no predictions were given", wanted)
        from gates.checks.slices import slices

        try:
            data = known.prepare(evidence.candidate)
            cuts = slices(evidence.candidate, self.by, intersect=self.intersect)
        except Unusable as unusable:
            return ruling.error(self, str(unusable), wanted)
        rulings: list[tuple[ruling.Ruling, Estimate | None]] = []
        for cut in cuts:
            gone = cut.missing(self.required)
            if gone:
                said = f"The data hold no row of {', '.join(gone)}, which the policy requires."
                rulings.append((ruling.Ruling(Status.FAIL, said), None))
        rulings += self._slices(known, data, cuts, settings)
        worst = ruling.worse(*(item for item, _ in rulings))
        shown = next((found for item, found in rulings if item is worst), None)
        same = [item.reason for item, _ in rulings if item.status is worst.status]
        reason = " ".join(same[:5]) + (f" And {len(same) - 5} more." if len(same) > 5 else "")
        if worst.status is Status.PASS:
            shown = min((found for _, found in rulings if found is not None), key=self._room, default=None)
            name = next(item.reason for item, found in rulings if found is shown)
            reason = f"All {len(rulings)} slices clear the limit; the closest: {name}"
        return ruling.result(self, worst.status, reason, wanted=wanted, found=shown, n=data.n, n_needed=worst.n_needed)

    def _room(self, found: Estimate) -> float:
        below = found.low - self.min if self.min is not None else float("inf")
        return min(below, self.max - found.high if self.max is not None else float("inf"))

    def _slices(
        self, known: metrics.Metric, data: Prepared, cuts: list[Slices], settings: Settings
    ) -> list[tuple[ruling.Ruling, Estimate | None]]:
        rulings: dict[str, tuple[ruling.Ruling, Estimate | None]] = {}
        again: dict[str, Callable[[float], Estimate]] = {}
        for cut in cuts:
            for i, (group, size) in enumerate(cut.sizes()):
                name = f"{self.metric} where {cut.feature} is {group}"
                part = data.take(cut.rows(i))
                estimate = _estimator(known, part, settings.seed, self.average)
                try:
                    found = estimate(settings.confidence)
                except Unusable as unusable:
                    rulings[name] = (ruling.Ruling(Status.ERROR, f"{name}: {unusable}."), None)
                    continue
                decided = ruling.against(name, found, low=self.min, high=self.max)
                if size < self.min_slice_samples and decided.status is Status.PASS:
                    said = f"{name} has {size} rows, fewer than {self.min_slice_samples}."
                    decided = ruling.Ruling(Status.INCONCLUSIVE, said, self.min_slice_samples)
                rulings[name] = (decided, found)
                if decided.status is Status.FAIL:
                    again[name] = estimate
        self._holm(rulings, again, settings.confidence)
        return list(rulings.values())

    def _holm(
        self,
        rulings: dict[str, tuple[ruling.Ruling, Estimate | None]],
        suspects: dict[str, Callable[[float], Estimate]],
        confidence: float,
    ) -> None:
        """Holm's step-down by intervals: who misses the limit at alpha / (slices not yet rejected) is rejected."""
        rejected: set[str] = set()
        while True:
            level = 1.0 - (1.0 - confidence) / max(1, len(rulings) - len(rejected))
            new = set()
            for name in suspects.keys() - rejected:
                decided = ruling.against(name, suspects[name](level), low=self.min, high=self.max)
                if decided.status is Status.FAIL:
                    new.add(name)
            if not new:
                break
            rejected |= new
        for name in suspects.keys() - rejected:
            found = rulings[name][1]
            said = f"{name} misses the limit, but not beyond what {len(rulings)} slices show by chance (Holm)."
            rulings[name] = (ruling.Ruling(Status.INCONCLUSIVE, said), found)


def _estimator(known: metrics.Metric, part: Any, seed: int, average: metrics.Average) -> Callable[[float], Estimate]:
    return lambda level: known.estimate_on(part, confidence=level, seed=seed, average=average)
