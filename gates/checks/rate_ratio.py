"""The candidate's rate of errors against the champion's, while both serve.

Only errors are looked at: if both are alike, an error falls on the candidate with its share of the traffic at that
time. So a storm that hits both sides accuses neither, and the share may change from step to step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from gates.checks import ruling, sizes
from gates.checks.rate import miscounted
from gates.checks.spec import Need, Settings, Spec
from gates.verdict import CheckResult, Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gates.evidence import Counted, Evidence


@dataclass(frozen=True)
class Window:
    """A stretch of time with one split of the traffic. Gathered as facts["windows"][signal]: tuple[Window, ...]."""

    candidate: Counted
    champion: Counted


class RateRatio(Spec, frozen=True, kw_only=True, tag="rate_ratio"):
    """FAIL once a ratio over `max_ratio` is shown, PASS once one of at most `max_ratio` is.

    Needs: `counts` and `champion_counts` (name: the signal; options.windows: True). Where the split of the traffic
    changed, facts["windows"][signal] holds the stretches; without them the totals count as one.
    """

    signal: Annotated[str, Meta(description="The counted event, e.g. http_5xx.")]
    max_ratio: Annotated[float, Meta(description="How many times the champion's rate is allowed.", gt=0)]
    alpha: Annotated[float, Meta(description="The chance to refuse a ratio that is fine.", gt=0, lt=0.5)] = 0.01
    beta: Annotated[float, Meta(description="The chance to pass a ratio that is not.", gt=0, lt=0.5)] = 0.05
    negligible: Annotated[
        Annotated[float, Meta(gt=0, lt=1)] | None,
        Meta(description="A rate below which no ratio matters: shown to be under it, the candidate passes."),
    ] = None

    def needs(self) -> tuple[Need, ...]:
        return tuple(Need(kind, self.signal, options={"windows": True}) for kind in ("counts", "champion_counts"))

    def lint(self) -> Iterable[tuple[str, str]]:
        if not math.isfinite(self.max_ratio):
            yield "max_ratio", "write a finite number"
        if self.max_ratio < 1.0:
            yield "max_ratio", f"{self.max_ratio:g} asks the candidate to err less than the champion; write 1 or more"

    def explain(self) -> str:
        apart = ""
        if self.negligible is not None:
            apart = f" A rate shown to be under {ruling.show(self.negligible)} passes whatever the champion's is."
        return (
            f"The rate of {self.signal} may be at most {ruling.show(self.max_ratio)} times the champion's at the same "
            f"time; refused wrongly in at most {self.alpha:g} of runs, passed wrongly in at most {self.beta:g}. Errors "
            f"decide, not requests: {self._errors_needed()}.{apart}"
        )

    def _errors_needed(self) -> str:
        if self.max_ratio <= 1.0:
            return "a limit of once as often is never shown"
        return f"where both err alike, at an even split, about {sizes.errors(self.max_ratio, self.beta)} in all"

    def decide(self, evidence: Evidence, settings: Settings) -> CheckResult:
        wanted = ruling.required(signal=self.signal, max_ratio=self.max_ratio, negligible=self.negligible)
        ours, theirs = evidence.counts.get(self.signal), evidence.champion_counts.get(self.signal)
        if theirs is None and evidence.champion_absent and settings.champion_when_absent == "bootstrap":
            reason = "There is no champion yet and the policy says bootstrap: not compared."
            return ruling.result(self, Status.SKIPPED, reason, wanted=wanted)
        wrong = miscounted(ours, self.signal) or miscounted(theirs, self.signal, "the champion's ")
        if ours is None or theirs is None or wrong:
            return ruling.error(self, wrong, wanted)
        windows = self._windows(evidence, ours, theirs)
        if windows is None:
            return ruling.error(self, f"the windows of '{self.signal}' do not add up to its counts", wanted)
        if ours.n == 0 or theirs.n == 0:
            side = "candidate" if ours.n == 0 else "champion"
            if evidence.final:
                return ruling.error(self, f"the {side} had no request, so no ratio can be had", wanted)
            return ruling.result(self, Status.INCONCLUSIVE, f"The {side} had no request yet.", wanted=wanted, n=ours.n)
        return self._rule(ours, theirs, windows, wanted)

    def _windows(self, evidence: Evidence, ours: Counted, theirs: Counted) -> tuple[Window, ...] | None:
        """The stretches given, else the totals as one; None when they are not what the totals say."""
        given = evidence.facts.get("windows")
        windows = given.get(self.signal) if isinstance(given, dict) else None
        if windows is None:
            return (Window(ours, theirs),)
        for window in windows:
            if not isinstance(window, Window) or miscounted(window.candidate, "") or miscounted(window.champion, ""):
                return None
        for side, total in (("candidate", ours), ("champion", theirs)):
            parts = [getattr(window, side) for window in windows]
            if sum(part.n for part in parts) != total.n or sum(part.bad for part in parts) != total.bad:
                return None
        return tuple(windows)

    def _rule(self, ours: Counted, theirs: Counted, windows: tuple[Window, ...], wanted: dict[str, Any]) -> CheckResult:
        from gates.stats import sequential

        rows = [(w.candidate.n, w.candidate.bad, w.champion.n, w.champion.bad) for w in windows]
        said = f"{self.signal}: {ours.bad} of {ours.n} against the champion's {theirs.bad} of {theirs.n}"
        limit = ruling.show(self.max_ratio)
        if sequential.ratio_above(rows, self.max_ratio) >= -math.log(self.alpha):
            status, reason = Status.FAIL, f"{said}: more than {limit} times as often, at any look."
        elif sequential.ratio_below(rows, self.max_ratio) >= -math.log(self._beta):
            status, reason = Status.PASS, f"{said}: at most {limit} times as often, at any look."
        elif self._negligible(ours):
            status, reason = Status.PASS, f"{said}: under {ruling.show(self.negligible)}, where no ratio matters."
        else:
            more = "errors are needed to compare" if self.negligible is None else "keep watching"
            status, reason = Status.INCONCLUSIVE, f"{said}: a ratio to {limit} is not shown; {more}."
        needed = self._requests_needed(ours, theirs) if status is Status.INCONCLUSIVE else None
        if needed:
            reason = f"{reason[:-1]}, about n = {needed} of the candidate's requests would decide."
        shown = ruling.result(self, status, reason, wanted=wanted, n=ours.n, n_needed=needed)
        if ours.n and theirs.bad:
            shown = ruling.with_observed(shown, ours.bad / ours.n / (theirs.bad / theirs.n))
        return shown

    def _requests_needed(self, ours: Counted, theirs: Counted) -> int | None:
        """At the errors seen so far, or without any under `negligible`; None where there is neither."""
        found = []
        errors = ours.bad + theirs.bad
        if errors and self.max_ratio > 1.0:
            split = ours.n / (ours.n + theirs.n)
            found.append(ours.n * max(sizes.errors(self.max_ratio, self._beta, split), errors + 1) / errors)
        if self.negligible is not None and not ours.bad:
            found.append(max(sizes.requests(self.negligible, self._beta), ours.n + 1))
        return math.ceil(min(found)) if found else None

    @property
    def _beta(self) -> float:
        """With two ways to pass, each has half of the chance to pass wrongly."""
        return self.beta if self.negligible is None else self.beta / 2.0

    def _negligible(self, ours: Counted) -> bool:
        from gates.stats import sequential

        if self.negligible is None:
            return False
        return sequential.below(ours.bad, ours.n, self.negligible) >= -math.log(self._beta)
