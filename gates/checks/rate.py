"""A rate of errors, watched request by request: FAIL as soon as it is plainly too high, PASS as soon as plainly low.

Two one-sided e-processes, so that one may look after every request. Between `ok` and `bad` neither need ever speak: the
deadline then gives INCONCLUSIVE.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from gates.checks import ruling, sizes
from gates.checks.spec import Need, Settings, Spec
from gates.evidence import Counted
from gates.verdict import CheckResult, Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gates.evidence import Evidence

Duration = Annotated[str, Meta(pattern=r"^[1-9][0-9]*(s|m|h|d)$")]


class Rate(Spec, frozen=True, kw_only=True, tag="rate"):
    """FAIL when the evidence against rate <= ok reaches 1/alpha, PASS when that against rate >= bad reaches 1/beta.

    Needs: `counts` (name: the signal; options.max_duration: how long to watch at most, or None).
    """

    signal: Annotated[str, Meta(description="The counted event, e.g. http_5xx.")]
    ok: Annotated[float, Meta(description="A rate that is fine.", gt=0, lt=1)]
    bad: Annotated[float, Meta(description="A rate that is not.", gt=0, lt=1)]
    alpha: Annotated[float, Meta(description="The chance to refuse a rate that is ok.", gt=0, lt=0.5)] = 0.01
    beta: Annotated[float, Meta(description="The chance to pass a rate that is bad.", gt=0, lt=0.5)] = 0.05
    max_duration: Annotated[Duration | None, Meta(description="How long to watch at most, e.g. 2h.")] = None

    def needs(self) -> tuple[Need, ...]:
        return (Need("counts", self.signal, options={"max_duration": self.max_duration}),)

    def lint(self) -> Iterable[tuple[str, str]]:
        if self.ok >= self.bad:
            yield "ok", f"ok {self.ok:g} must be less than bad {self.bad:g}; else both could be shown at once"

    def explain(self) -> str:
        clear = sizes.requests(self.bad, self.beta)
        return (
            f"The rate of {self.signal} fails once it is shown to be over {ruling.show(self.ok)} (wrong in at most "
            f"{self.alpha:g} of runs) and passes once it is shown to be under {ruling.show(self.bad)} (wrong in at "
            f"most {self.beta:g}); without any error that takes about {clear} requests."
        )

    def decide(self, evidence: Evidence, settings: Settings) -> CheckResult:  # noqa: ARG002  # alpha, beta are its own
        wanted = ruling.required(signal=self.signal, ok=self.ok, bad=self.bad, alpha=self.alpha, beta=self.beta)
        seen = evidence.counts.get(self.signal)
        wrong = miscounted(seen, self.signal)
        if seen is None or wrong:
            return ruling.error(self, wrong, wanted)
        if seen.n == 0:
            if evidence.final:
                return ruling.error(self, f"no request was counted for '{self.signal}'", wanted)
            return ruling.result(self, Status.INCONCLUSIVE, "No request was seen yet.", wanted=wanted, n=0)
        from gates.stats import sequential
        from gates.stats.estimate import Estimate
        from gates.stats.proportion import wilson

        against_ok = sequential.above(seen.bad, seen.n, self.ok)
        against_bad = sequential.below(seen.bad, seen.n, self.bad)
        said = f"{seen.bad} of {seen.n} requests are {self.signal}"
        needed = None
        if against_ok >= -math.log(self.alpha):
            status, reason = (
                Status.FAIL,
                f"{said}: over {ruling.show(self.ok)}, wrong in at most {self.alpha:g} of runs.",
            )
        elif against_bad >= -math.log(self.beta):
            status, reason = (
                Status.PASS,
                f"{said}: under {ruling.show(self.bad)}, wrong in at most {self.beta:g} of runs.",
            )
        else:
            status = Status.INCONCLUSIVE
            reason = f"{said}: neither over {ruling.show(self.ok)} nor under {ruling.show(self.bad)} is shown."
            needed = self._needed(seen)
        value = seen.bad / seen.n
        found = Estimate(value, *wilson(seen.bad, seen.n, 0.95), seen.n, "Wilson")
        return ruling.result(self, status, reason, wanted=wanted, found=found, n_needed=needed)

    def _needed(self, seen: Counted) -> int | None:
        """The requests at which one side would speak, at the present share of errors."""
        from gates.stats import sequential

        fails = sequential.requests_needed(
            seen.bad, seen.n, lambda bad, n: sequential.above(bad, n, self.ok), -math.log(self.alpha)
        )
        passes = sequential.requests_needed(
            seen.bad, seen.n, lambda bad, n: sequential.below(bad, n, self.bad), -math.log(self.beta)
        )
        return min((n for n in (fails, passes) if n is not None), default=None)


def miscounted(seen: object, signal: str, whose: str = "") -> str:
    """What is wrong with a count; empty when nothing is. whose: e.g. "the champion's "."""
    if seen is None:
        return f"{whose}'{signal}' was not counted"
    whole = isinstance(seen, Counted) and all(type(value) is int for value in (seen.bad, seen.n))
    if not isinstance(seen, Counted) or not whole or not 0 <= seen.bad <= seen.n:
        return f"{whose}'{signal}' is not a count of errors and requests: {seen!r}"
    return ""
