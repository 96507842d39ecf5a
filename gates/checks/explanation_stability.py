"""What the model looks at must not change unnoticed, and what it must not look at must not matter.

The candidate's most important features are compared with the champion's, on the same rows. A champion drawn on other
rows does not fully agree with itself either: an overlap within that noise is INCONCLUSIVE, not FAIL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from gates.checks import ruling
from gates.checks.spec import Need, Settings, Spec
from gates.verdict import CheckResult, Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from gates.evidence import Evidence


@dataclass(frozen=True)
class ExplanationFacts:
    """facts["explanations"]. candidate, champion: (rows, d) float64, each row's absolute attribution to each feature
    (SHAP), or one row a repeat (permutation importance); champion None when there is none. features: d names, the same
    for both; method: shap or permutation.
    """

    features: tuple[str, ...]
    candidate: NDArray[np.float64]
    champion: NDArray[np.float64] | None
    method: Literal["shap", "permutation"]


class ExplanationStability(Spec, frozen=True, kw_only=True, tag="explanation_stability"):
    """The candidate's top features must overlap the champion's, and forbidden ones must not be among them.

    Needs: `explanations` (options: sample: how many rows to explain, champion: True; see ExplanationFacts).
    """

    top_k: Annotated[int, Meta(description="How many features count as the most important.", ge=1)]
    min_overlap: Annotated[
        float, Meta(description="The least share of them that must be the champion's too.", gt=0, le=1)
    ]
    min_rank_correlation: Annotated[
        Annotated[float, Meta(gt=-1, le=1)] | None,
        Meta(description="The least Spearman correlation of all importances."),
    ] = None
    forbidden_in_top_k: Annotated[tuple[str, ...], Meta(description="Features that must not be among them.")] = ()
    sample: Annotated[int, Meta(description="How many rows to explain.", ge=2)] = 2000

    def needs(self) -> tuple[Need, ...]:
        return (Need("explanations", options={"sample": self.sample, "champion": True}),)

    def lint(self) -> Iterable[tuple[str, str]]:
        if len(set(self.forbidden_in_top_k)) < len(self.forbidden_in_top_k):
            yield "forbidden_in_top_k", "a feature is named twice; name it once"

    def explain(self) -> str:
        least = -(-int(self.min_overlap * self.top_k * 1e9) // 10**9)
        forbidden = (
            f" None of {', '.join(self.forbidden_in_top_k)} may be among them." if self.forbidden_in_top_k else ""
        )
        return (
            f"Of the {self.top_k} features that matter most, at least {least} must be the champion's too, on "
            f"{self.sample} explained rows; less within the champion's own noise is undecided.{forbidden}"
        )

    def decide(self, evidence: Evidence, settings: Settings) -> CheckResult:
        wanted = ruling.required(
            top_k=self.top_k,
            min_overlap=self.min_overlap,
            min_rank_correlation=self.min_rank_correlation,
            forbidden_in_top_k=list(self.forbidden_in_top_k) or None,
        )
        facts = evidence.facts.get("explanations")
        wrong = self._unsound(facts)
        if not isinstance(facts, ExplanationFacts) or wrong:
            return ruling.error(self, wrong, wanted)
        from gates.stats import ranking

        ours = ranking.top(_mean(facts.candidate), facts.features, self.top_k)
        forbidden = [name for name in self.forbidden_in_top_k if name in ours]
        n = len(facts.candidate)
        if forbidden:
            reason = f"{', '.join(forbidden)} is among the {self.top_k} features that matter most ({facts.method})."
            return ruling.result(self, Status.FAIL, reason, wanted=wanted, n=n)
        if facts.champion is None:
            if evidence.champion_absent and settings.champion_when_absent == "bootstrap":
                reason = "There is no champion yet and the policy says bootstrap: not compared."
                return ruling.result(self, Status.SKIPPED, reason, wanted=wanted)
            return ruling.error(self, "the champion was not explained, so nothing can be compared", wanted)
        return self._compare(facts, facts.champion, ours, settings.seed, wanted)

    def _unsound(self, facts: object) -> str:
        if facts is None:
            return "the model was not explained"
        if not isinstance(facts, ExplanationFacts):
            return f"explanations are of the wrong type: {type(facts).__name__}"
        import numpy as np

        d = len(facts.features)
        for who, values in (("candidate", facts.candidate), ("champion", facts.champion)):
            if values is None and who == "champion":
                continue
            array = np.asarray(values)
            if array.dtype.kind != "f" or array.ndim != 2 or array.shape[1] != d or not len(array):
                return (
                    f"the {who}'s attributions are {array.dtype} of the shape {array.shape}, not rows of {d} features"
                )
            if not np.isfinite(array).all():
                return f"the {who}'s attributions hold what is not a finite number"
            if not (array != 0).any():
                return f"the {who}'s attributions are all 0: it looks at nothing"
        if d < self.top_k:
            return f"there are {d} features, fewer than top_k {self.top_k}"
        return ""

    def _compare(
        self,
        facts: ExplanationFacts,
        champion: NDArray[np.float64],
        ours: tuple[str, ...],
        seed: int,
        wanted: dict[str, Any],
    ) -> CheckResult:
        from gates.stats import ranking

        theirs = ranking.top(_mean(champion), facts.features, self.top_k)
        overlap = ranking.overlap(theirs, ours)
        correlation = ranking.spearman(_mean(facts.candidate), _mean(champion))
        noise = ranking.self_overlap(_absolute(champion), facts.features, self.top_k, seed=seed)
        floor = float(noise[len(noise) // 20])
        said = (
            f"{round(overlap * self.top_k)} of the top {self.top_k} features are the champion's too ({facts.method}, "
            f"rank correlation {ruling.show(correlation)})"
        )
        enough = ruling.at_least(overlap, self.min_overlap)
        correlated = self.min_rank_correlation is None or ruling.at_least(correlation, self.min_rank_correlation)
        n = min(len(facts.candidate), len(champion))
        if n < 2:
            status, reason = Status.INCONCLUSIVE, f"{said}, from one row."
        elif enough and correlated:
            status, reason = Status.PASS, f"{said}; at least {ruling.show(self.min_overlap)} of them was asked."
        elif enough:
            status, reason = (
                Status.FAIL,
                f"{said}; a correlation of {ruling.show(self.min_rank_correlation)} was asked.",
            )
        elif overlap >= floor:
            status = Status.INCONCLUSIVE
            reason = f"{said}; the champion agrees with itself no better than {ruling.show(floor)}. Explain more rows."
        else:
            status, reason = Status.FAIL, f"{said}; the champion agrees with itself to {ruling.show(floor)} or more."
        return ruling.with_observed(ruling.result(self, status, reason, wanted=wanted, n=n), overlap)


def _absolute(attributions: NDArray[np.float64]) -> NDArray[np.float64]:
    return abs(attributions)


def _mean(attributions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean absolute attribution by feature, (d,); summed in order of size, so that row order changes nothing."""
    import numpy as np

    return np.asarray(np.sort(abs(attributions), axis=0).mean(axis=0), dtype=np.float64)
