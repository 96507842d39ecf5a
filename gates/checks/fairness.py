"""Groups of people must be treated alike, within a limit, and not less alike than the champion treats them.

Decided three-way on intervals that hold for all pairs of groups at once. A group that the policy requires and the data
lack is FAIL: leaving people out is no way to be fair to them. A group too small to judge is INCONCLUSIVE.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta, field

from gates.checks import ruling, sizes
from gates.checks.spec import Need, Settings, Spec
from gates.checks.threshold import limits
from gates.stats.estimate import Unusable
from gates.verdict import CheckResult, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gates.checks.slices import Slices
    from gates.evidence import Evidence
    from gates.stats.estimate import Estimate
    from gates.stats.prepared import Prepared

FairnessMetric = Literal[
    "demographic_parity_difference", "demographic_parity_ratio", "equalized_odds_difference",
    "equalized_odds_ratio", "equal_opportunity_difference", "equal_opportunity_ratio",
]  # fmt: skip
AsText = Annotated[list[str | int | float | bool], Meta(description="Values that must be in the data.")]


class Fairness(Spec, frozen=True, kw_only=True, tag="fairness"):
    """A disparity between groups must be at most `max` (a difference) or at least `min` (a ratio).

    Needs: `predictions` (columns: the sensitive features) and, with `max_regression`, `champion_predictions`.
    """

    metric: Annotated[
        FairnessMetric, Meta(description="fairlearn's names; equalized odds take the worse of two rates.")
    ]
    sensitive: Annotated[list[str], Meta(description="Sensitive features, each judged on its own.", min_length=1)]
    max: Annotated[float | None, Meta(description="The largest difference that passes, in (0, 1).")] = None
    min: Annotated[float | None, Meta(description="The smallest ratio that passes, in (0, 1].")] = None
    max_regression: Annotated[
        Annotated[float, Meta(ge=0)] | None, Meta(description="How much more unequal than the champion it may be.")
    ] = None
    min_slice_samples: Annotated[int, Meta(description="A group with fewer rows is INCONCLUSIVE.", ge=1)] = 30
    required_groups: Annotated[
        dict[str, AsText], Meta(description="By feature, the groups that must be in the data.")
    ] = field(default_factory=dict)
    intersect: Annotated[bool, Meta(description="Judge the combinations of the features instead of each.")] = False

    @property
    def _is_ratio(self) -> bool:
        return self.metric.endswith("_ratio")

    def needs(self) -> tuple[Need, ...]:
        columns = tuple(self.sensitive)
        own = Need("predictions", self.metric, columns=columns)
        return (own,) if self.max_regression is None else (own, Need("champion_predictions", self.metric))

    def lint(self) -> Iterable[tuple[str, str]]:
        right, wrong = ("min", "max") if self._is_ratio else ("max", "min")
        if getattr(self, wrong) is not None:
            yield wrong, f"{self.metric} is limited by `{right}`, not by `{wrong}`"
        limit = getattr(self, right)
        if limit is None:
            yield "metric", f"nothing is required; write `{right}`"
        elif not 0.0 < limit <= 1.0:
            yield right, f"{right} {limit:g} can never decide; write a number between 0 and 1"
        yield from limits(self.min, self.max)
        if self.max_regression is not None and not math.isfinite(self.max_regression):
            yield "max_regression", "write a finite number of at least 0"
        for feature in self.required_groups:
            if feature not in self.sensitive:
                yield "required_groups", f"'{feature}' is not in `sensitive`; add it there or remove it here"

    def explain(self) -> str:
        limit = f"at least {ruling.show(self.min)}" if self._is_ratio else f"at most {ruling.show(self.max)}"
        than = ""
        if self.max_regression is not None:
            than = f", and no more than {ruling.show(self.max_regression)} worse than the champion's"
        by = (" and " if self.intersect else ", ").join(self.sensitive)
        return (
            f"{self.metric} by {by} must be {limit}{than}; every group needs {self.min_slice_samples} rows, "
            f"and the bounds hold for all pairs of groups at once.{self._rows_needed()}"
        )

    def _rows_needed(self) -> str:
        if self.max is None:
            return ""
        rows = sizes.groups(self.max)
        return f" Two groups that are treated alike need up to about {rows} rows each; more groups, more."

    def decide(self, evidence: Evidence, settings: Settings) -> CheckResult:
        wanted = ruling.required(
            metric=self.metric,
            max=self.max,
            min=self.min,
            max_regression=self.max_regression,
            min_slice_samples=self.min_slice_samples,
        )
        if evidence.candidate is None:
            return ruling.error(self, "no predictions were given", wanted)
        with_champion = self.max_regression is not None and not (
            evidence.champion is None and evidence.champion_absent and settings.champion_when_absent == "bootstrap"
        )
        if with_champion and evidence.champion is None:
            return ruling.error(self, "the champion's predictions are missing, and max_regression needs them", wanted)
        from gates.checks.slices import slices
        from gates.stats.prepared import prepare

        try:
            data = prepare(evidence.candidate, evidence.champion if with_champion else None)
            if data.k != 2 or data.positive is None:
                return ruling.error(self, "fairness needs a binary problem and its positive_label", wanted)
            cuts = slices(evidence.candidate, self.sensitive, intersect=self.intersect)
            return self._judge(data, cuts, settings, wanted, with_champion)
        except Unusable as unusable:
            return ruling.error(self, str(unusable), wanted)

    def _judge(
        self, data: Prepared, cuts: Sequence[Slices], settings: Settings, wanted: dict[str, Any], with_champion: bool
    ) -> CheckResult:
        rulings: list[tuple[ruling.Ruling, Estimate | None]] = []
        for cut in cuts:
            gone = cut.missing(self.required_groups)
            if gone:
                reason = f"The data hold no row of {', '.join(gone)}, which the policy requires."
                rulings.append((ruling.Ruling(Status.FAIL, reason), None))
                continue
            rulings.extend(self._feature(data, cut, settings, len(cuts), with_champion))
        worst = ruling.worse(*(item for item, _ in rulings))
        shown = next((found for item, found in rulings if item is worst and found is not None), None)
        shown = shown or next((found for _, found in rulings if found is not None), None)
        reason = " ".join(item.reason for item, _ in rulings if item.status is worst.status)
        if self.max_regression is not None and not with_champion:
            reason += " There is no champion yet (bootstrap): regression not judged."
        return ruling.result(self, worst.status, reason, wanted=wanted, found=shown, n=data.n, n_needed=worst.n_needed)

    def _feature(
        self, data: Prepared, cut: Slices, settings: Settings, families: int, with_champion: bool
    ) -> Iterable[tuple[ruling.Ruling, Estimate | None]]:
        from gates.stats import parity

        kind = self.metric.rsplit("_", 1)[0]
        by_rate = parity.rates(kind, cut.codes, cut.names, data.truth, data.models[0].answer)
        of = parity.ratio if self._is_ratio else parity.difference
        worst = of(by_rate, settings.confidence, families)
        name = f"{self.metric} by {cut.feature} ({worst.rate}: {worst.pair[0]} against {worst.pair[1]})"
        decided = ruling.against(name, worst.estimate, low=self.min, high=self.max)
        small = [f"{group} ({size})" for group, size in cut.sizes() if size < self.min_slice_samples]
        if small and decided.status is Status.PASS:
            reason = f"Groups of {cut.feature} with fewer than {self.min_slice_samples} rows: {', '.join(small)}."
            smallest = max(1, min(size for _, size in cut.sizes()))
            needed = math.ceil(data.n * self.min_slice_samples / smallest)
            decided = ruling.Ruling(Status.INCONCLUSIVE, f"{reason} About n = {needed} rows would hold them.", needed)
        yield decided, worst.estimate
        if with_champion and self.max_regression is not None:
            change = parity.change(
                kind, cut.codes, len(cut.names), data.truth, data.models[0].answer, data.models[1].answer,
                as_ratio=self._is_ratio, confidence=settings.confidence, seed=settings.seed,
            )  # fmt: skip
            name = f"The change of {self.metric} by {cut.feature} from the champion's"
            if self._is_ratio:
                yield ruling.against(name, change, low=-self.max_regression), None
            else:
                yield ruling.against(name, change, high=self.max_regression), None
