"""How numbers become a status: an interval against limits, and the shapes of result that every check ends with.

The rule is three-way: the whole interval clears the limit: PASS; the whole interval misses it: FAIL; else INCONCLUSIVE.
Comparisons have a relative tolerance of 1e-12, so that 0.1 + 0.2 is not more than 0.3; NaN clears nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gates.verdict import CheckResult, Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gates.checks.spec import Spec
    from gates.stats.estimate import Estimate

TOLERANCE = 1e-12
FEWEST = 30
"""Rows below which an interval may be unbounded, since so few tell nothing of their own spread."""


def at_most(a: float, b: float) -> bool:
    return a <= b or math.isclose(a, b, rel_tol=TOLERANCE)


def at_least(a: float, b: float) -> bool:
    return a >= b or math.isclose(a, b, rel_tol=TOLERANCE)


def show(value: float | None) -> str:
    """Six significant digits, as people read them."""
    return "none" if value is None else f"{value:.6g}"


@dataclass(frozen=True)
class Ruling:
    """What one comparison came to. n_needed: only where it is undecided."""

    status: Status
    reason: str
    n_needed: int | None = None


def against(name: str, found: Estimate, *, low: float | None = None, high: float | None = None) -> Ruling:
    """The interval against a least value, a most value, or both: the worse of the two counts."""
    interval = f"{name} is {show(found.value)}, interval {show(found.low)} to {show(found.high)} (n = {found.n})"
    rulings = []
    if low is not None:
        good, bad = at_least(found.low, low), not at_least(found.high, low)
        rulings.append(_three_way(interval, found, low, good=good, bad=bad, sides=("at least", "below")))
    if high is not None:
        good, bad = at_most(found.high, high), not at_most(found.low, high)
        rulings.append(_three_way(interval, found, high, good=good, bad=bad, sides=("at most", "above")))
    return worse(*rulings)


def worse(*rulings: Ruling) -> Ruling:
    return max(rulings, key=lambda ruling: Verdict(ruling.status.value).rank)


def _three_way(
    interval: str, found: Estimate, limit: float, *, good: bool, bad: bool, sides: tuple[str, str]
) -> Ruling:
    if not math.isfinite(found.value) or math.isnan(found.low) or math.isnan(found.high):
        return Ruling(Status.ERROR, f"{interval}: not a number.")
    if good and not bad:
        return Ruling(Status.PASS, f"{interval}: all of it is {sides[0]} {show(limit)}.")
    if bad:
        return Ruling(Status.FAIL, f"{interval}: all of it is {sides[1]} {show(limit)}.")
    needed = found.n_needed(limit)
    if needed is None and found.n < FEWEST and math.isinf(found.high - found.low):
        return Ruling(
            Status.INCONCLUSIVE, f"{interval} straddles {show(limit)}; it takes n = {FEWEST} to say more.", FEWEST
        )
    more = f"about n = {needed} would decide." if needed else "no number of rows is known to decide."
    return Ruling(Status.INCONCLUSIVE, f"{interval} straddles {show(limit)}; {more}", needed)


def on_point(name: str, value: float, *, low: float | None = None, high: float | None = None) -> Ruling:
    """The bare value against the limits."""
    if not math.isfinite(value):
        return Ruling(Status.ERROR, f"{name} is {value}: not a finite number.")
    for limit, held, word in (
        (low, low is None or at_least(value, low), "below"),
        (high, high is None or at_most(value, high), "above"),
    ):
        if not held:
            return Ruling(Status.FAIL, f"{name} is {show(value)}: {word} {show(limit)}.")
    return Ruling(Status.PASS, f"{name} is {show(value)}: within {limits(low, high)}.")


def limits(low: float | None, high: float | None) -> str:
    """A range in words."""
    if low is not None and high is not None:
        return f"{show(low)} to {show(high)}"
    return f"at least {show(low)}" if low is not None else f"at most {show(high)}"


def required(**wanted: Any) -> dict[str, Any]:
    """What would pass, without what was not asked."""
    return {key: value for key, value in wanted.items() if value is not None}


def result(
    check: Spec,
    status: Status,
    reason: str,
    *,
    wanted: Mapping[str, Any],
    found: Estimate | None = None,
    n: int | None = None,
    n_needed: int | None = None,
) -> CheckResult:
    """A result with the numbers of `found`; an unbounded interval is not shown."""
    interval = None if found is None or not math.isfinite(found.low + found.high) else (found.low, found.high)
    return CheckResult(
        id=check.id,
        type=str(check.__struct_config__.tag),
        status=status,
        reason=reason,
        observed=None if found is None else found.value,
        interval=interval,
        required=wanted,
        n=n if n is not None else None if found is None else found.n,
        n_needed=n_needed,
    )


def error(check: Spec, reason: str, wanted: Mapping[str, Any]) -> CheckResult:
    """What could not be computed: never a pass."""
    return result(check, Status.ERROR, reason[:1].upper() + reason[1:].rstrip(".") + ".", wanted=wanted)


def too_few(check: Spec, ruling: Ruling, found: Estimate, least: int, wanted: Mapping[str, Any]) -> CheckResult:
    """A ruling on fewer rows than the policy wants: a FAIL stands, nothing else decides."""
    if found.n >= least or ruling.status in (Status.FAIL, Status.ERROR):
        return result(check, ruling.status, ruling.reason, wanted=wanted, found=found, n_needed=ruling.n_needed)
    reason = f"{found.n} rows are fewer than the {least} that the policy wants; {ruling.reason}"
    needed = max(least, ruling.n_needed or 0)
    return result(check, Status.INCONCLUSIVE, reason, wanted=wanted, found=found, n_needed=needed)


def with_observed(shown: CheckResult, value: float) -> CheckResult:
    """The result with a bare value that has no interval."""
    return replace(shown, observed=value)
