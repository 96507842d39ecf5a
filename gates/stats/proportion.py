"""Intervals for one proportion, for a difference and a ratio of two, and for sums of independent ones.

All take counts, all are closed form. Wilson's score interval is the default: at the sizes of slices the textbook (Wald)
interval covers far less than it says. Clopper-Pearson is exact and wider, for where a guarantee is worth more than
width.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scipy.special import betaincinv, ndtri

if TYPE_CHECKING:
    from collections.abc import Sequence

Interval = tuple[float, float]


def z_of(confidence: float) -> float:
    """The two-sided normal quantile, e.g. 1.96 for 0.95. Raises ValueError outside (0, 1)."""
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    return float(ndtri(0.5 + confidence / 2.0))


def _counted(successes: float, n: float) -> None:
    if not (n > 0 and 0 <= successes <= n):
        raise ValueError(f"need 0 <= successes <= n and n > 0, got {successes} of {n}")


def wilson(successes: float, n: float, confidence: float) -> Interval:
    """Score interval of a proportion (Wilson 1927, JASA 22:209-212). Raises ValueError for n = 0."""
    _counted(successes, n)
    z2 = z_of(confidence) ** 2
    centre = (successes + z2 / 2.0) / (n + z2)
    half = math.sqrt(z2) / (n + z2) * math.sqrt(successes * (n - successes) / n + z2 / 4.0)
    return (0.0 if successes == 0 else max(0.0, centre - half), 1.0 if successes == n else min(1.0, centre + half))


def clopper_pearson(successes: float, n: float, confidence: float) -> Interval:
    """Exact interval of a proportion (Clopper & Pearson 1934, Biometrika 26:404-413). Raises ValueError for n = 0."""
    _counted(successes, n)
    tail = (1.0 - confidence) / 2.0
    low = 0.0 if successes == 0 else float(betaincinv(successes, n - successes + 1, tail))
    high = 1.0 if successes == n else float(betaincinv(successes + 1, n - successes, 1.0 - tail))
    return low, high


def unseen(n: int, confidence: float) -> float:
    """How far a paired difference may be off 0 when none of n rows shows one: Tango's bound, z^2 / (n + z^2)."""
    z2 = z_of(confidence) ** 2
    return z2 / (n + z2)


def newcombe(successes_a: float, n_a: float, successes_b: float, n_b: float, confidence: float) -> Interval:
    """Difference a - b of two independent proportions (Newcombe 1998, Statist. Med. 17:873-890, method 10)."""
    return mover(
        (successes_a / n_a, -successes_b / n_b),
        (wilson(successes_a, n_a, confidence), _negated(wilson(successes_b, n_b, confidence))),
    )


def _negated(interval: Interval) -> Interval:
    return -interval[1], -interval[0]


def mover(values: Sequence[float], intervals: Sequence[Interval]) -> Interval:
    """Interval of the sum of independent estimates from theirs (MOVER; Zou & Donner 2008, Statist. Med. 27:1693-1702).

    values, intervals: one of each a term. Terms that are subtracted come negated.
    """
    total = math.fsum(values)
    below = math.fsum((v - low) ** 2 for v, (low, _) in zip(values, intervals, strict=True))
    above = math.fsum((high - v) ** 2 for v, (_, high) in zip(values, intervals, strict=True))
    return total - math.sqrt(below), total + math.sqrt(above)


def ratio_of_proportions(successes_a: float, n_a: float, successes_b: float, n_b: float, confidence: float) -> Interval:
    """Ratio a / b of two independent proportions, MOVER-R on Wilson's (Donner & Zou 2012, SMMR 21:347-359, eq. 9).

    The upper bound is infinite when the interval of b reaches 0.
    """
    _counted(successes_b, n_b)
    a, b = successes_a / n_a, successes_b / n_b
    (la, ua), (lb, ub) = wilson(successes_a, n_a, confidence), wilson(successes_b, n_b, confidence)
    low = (a * b - math.sqrt(max(0.0, (a * b) ** 2 - la * ub * (2 * a - la) * (2 * b - ub)))) / (ub * (2 * b - ub))
    if lb <= 0.0:
        return (max(0.0, low) if 2 * b > ub else 0.0), math.inf
    high = (a * b + math.sqrt(max(0.0, (a * b) ** 2 - ua * lb * (2 * a - ua) * (2 * b - lb)))) / (lb * (2 * b - lb))
    return max(0.0, low), high
