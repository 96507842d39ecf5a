"""A quantile of measured times against a limit.

On finished evidence: bounds from order statistics, each one-sided at the policy's confidence, which assume nothing and
need 59 values for a p95 and 299 for a p99. While more is still coming (a canary that is watched): an anytime-valid test
of the share of slow answers, so that looking again and again does not raise the error. A rollout
judges a series live only, up to its deadline: the two errors never add up.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from gates.checks import ruling
from gates.checks.spec import Need, Settings, Spec
from gates.verdict import CheckResult, Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from gates.evidence import Evidence


class LatencyQuantile(Spec, frozen=True, kw_only=True, tag="latency_quantile"):
    """The q-quantile of a signal must be at most `max_ms`.

    Needs: `samples` (name: the signal, in milliseconds; options.min_samples: how many to measure at least).
    """

    signal: Annotated[str, Meta(description="The measured series, e.g. predict_one_ms, smoke_latency_ms, latency_ms.")]
    q: Annotated[float, Meta(description="Which quantile, e.g. 0.95.", gt=0, lt=1)]
    max_ms: Annotated[float, Meta(description="The largest value that passes, in milliseconds.", gt=0)]
    min_samples: Annotated[int, Meta(description="Fewer values than this never pass; they may fail.", ge=1)] = 1
    alpha: Annotated[float, Meta(description="While watching: the chance to be wrong at any look.", gt=0, lt=0.5)] = (
        0.01
    )

    def needs(self) -> tuple[Need, ...]:
        return (Need("samples", self.signal, options={"min_samples": self.min_samples}),)

    def lint(self) -> Iterable[tuple[str, str]]:
        if not math.isfinite(self.max_ms):
            yield "max_ms", "write a finite number of milliseconds"
        fewest = math.ceil(math.log(0.05) / math.log(self.q) - 1e-9)
        if 1 < self.min_samples < fewest:
            yield "min_samples", f"{self.min_samples} can never pass: q {self.q:g} needs at least {fewest} at 95 %"

    def explain(self) -> str:
        fewest = math.ceil(math.log(0.05) / math.log(self.q) - 1e-9)
        return (
            f"The {self.q * 100:g}th percentile of {self.signal} must be at most {ruling.show(self.max_ms)} ms, by its "
            f"upper bound; that takes at least {max(fewest, self.min_samples)} values at 95 % confidence."
        )

    def decide(self, evidence: Evidence, settings: Settings) -> CheckResult:
        wanted = ruling.required(signal=self.signal, q=self.q, max_ms=self.max_ms, min_samples=self.min_samples)
        raw = evidence.samples.get(self.signal)
        if raw is None:
            return ruling.error(self, f"'{self.signal}' was not measured", wanted)
        from gates.stats.estimate import Unusable
        from gates.stats.prepared import column

        try:
            values = column(raw, f"'{self.signal}'")
        except Unusable as unusable:
            return ruling.error(self, str(unusable), wanted)
        if values.dtype.kind not in "if" or (len(values) and values.min() < 0):
            return ruling.error(self, f"'{self.signal}' holds what is no time in milliseconds", wanted)
        if not len(values):
            if evidence.final:
                return ruling.error(self, f"'{self.signal}' holds no value", wanted)
            return ruling.result(self, Status.INCONCLUSIVE, "Nothing was measured yet.", wanted=wanted, n=0)
        return self._finished(values, settings, wanted) if evidence.final else self._live(values, wanted)

    def _finished(self, values: NDArray[Any], settings: Settings, wanted: dict[str, Any]) -> CheckResult:
        from gates.stats.quantiles import fewest, quantile

        found = quantile(values, self.q, settings.confidence)
        decided = ruling.against(f"q{self.q:g} of {self.signal}", found, high=self.max_ms)
        if decided.status is Status.INCONCLUSIVE:
            needed = max(fewest(self.q, settings.confidence), decided.n_needed or 0)
            if needed > found.n and decided.n_needed is None:
                reason = decided.reason.replace(
                    "no number of rows is known to decide", f"it takes at least n = {needed}"
                )
                decided = ruling.Ruling(decided.status, reason, needed)
        return ruling.too_few(self, decided, found, self.min_samples, wanted)

    def _live(self, values: NDArray[np.float64], wanted: dict[str, Any]) -> CheckResult:
        from gates.stats import sequential

        n, slow = len(values), int((values > self.max_ms).sum())
        share, target = 1.0 - self.q, -math.log(self.alpha)
        needed = None
        said = f"{slow} of {n} values of {self.signal} are over {ruling.show(self.max_ms)} ms"
        if sequential.above(slow, n, share) >= target:
            status, reason = Status.FAIL, f"{said}: more than a share of {ruling.show(share)}, at any look."
        elif sequential.below(slow, n, share) >= target and n >= self.min_samples:
            status, reason = Status.PASS, f"{said}: less than a share of {ruling.show(share)}, at any look."
        else:
            status, reason = Status.INCONCLUSIVE, f"{said}; keep watching."
            needed = self._needed(slow, n, share, target)
        shown = ruling.result(self, status, reason, wanted=wanted, n=n, n_needed=needed)
        return ruling.with_observed(shown, slow / n)

    def _needed(self, slow: int, n: int, share: float, target: float) -> int | None:
        """The values at which one side would speak, at the present share of slow ones."""
        from gates.stats import sequential

        fails = sequential.requests_needed(slow, n, lambda bad, m: sequential.above(bad, m, share), target)
        passes = sequential.requests_needed(slow, n, lambda bad, m: sequential.below(bad, m, share), target)
        passes = None if passes is None else max(passes, self.min_samples)
        return min((m for m in (fails, passes) if m is not None), default=None)
