"""Tests that may be looked at after every request: e-processes for a rate and for a ratio of two rates.

An e-process is evidence that multiplies: under the hypothesis it speaks against, the chance that it ever reaches
1/alpha is at most alpha, however often one looks (Ville 1939; Ramdas et al. 2023, Statist. Sci. 38:576). A fixed-sample
test looked at 30 times at 5 % raises a false alarm in 22 % of runs. Values are natural logarithms of evidence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import betainc, betaincc, betaln, logsumexp

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Prior:
    """The Beta(a, b) that alternatives are mixed over, cut off at the hypothesis."""

    a: float
    b: float


def prior_above(rate: float) -> Prior:
    """Alternatives above `rate`, with their mean at 5 times it: fast against rates that are plainly bad."""
    mean = min(5.0 * rate, (1.0 + rate) / 2.0)
    return Prior(2.0, 2.0 / mean - 2.0)


def prior_below(rate: float) -> Prior:
    """Alternatives below `rate`, with their mean at half of it."""
    return Prior(1.0, 2.0 / rate - 1.0)


def above(bad: int, n: int, rate: float, prior: Prior | None = None) -> float:
    """Log evidence against p <= rate, from `bad` of `n` (Beta mixture: Robbins 1970; Johari et al. arXiv 1512.04922).

    Each likelihood ratio of p' > rate to rate is a supermartingale for every p <= rate, so the mixture over p' is too.
    Raises ValueError unless 0 < rate < 1 and 0 <= bad <= n.
    """
    _counted(bad, n, rate)
    given = prior or prior_above(rate)
    a, b = given.a, given.b
    good = n - bad
    weight = betaln(a + bad, b + good) - betaln(a, b)
    with np.errstate(divide="ignore"):
        kept = np.log(betaincc(a + bad, b + good, rate)) - np.log(betaincc(a, b, rate))
    return float(weight + kept - bad * math.log(rate) - good * math.log1p(-rate))


def below(bad: int, n: int, rate: float, prior: Prior | None = None) -> float:
    """Log evidence against p >= rate; see `above`."""
    _counted(bad, n, rate)
    given = prior or prior_below(rate)
    a, b = given.a, given.b
    good = n - bad
    weight = betaln(a + bad, b + good) - betaln(a, b)
    with np.errstate(divide="ignore"):
        kept = np.log(betainc(a + bad, b + good, rate)) - np.log(betainc(a, b, rate))
    return float(weight + kept - bad * math.log(rate) - good * math.log1p(-rate))


def _counted(bad: int, n: int, rate: float) -> None:
    if not (0.0 < rate < 1.0 and 0 <= bad <= n):
        raise ValueError(f"need 0 < rate < 1 and 0 <= bad <= n, got {bad} of {n} against {rate}")


def requests_needed(bad: int, n: int, evidence: Callable[[int, int], float], target: float) -> int | None:
    """About how many requests in all reach `target` of log evidence(bad, n), if errors keep coming at the same share.

    None when a thousand million would not: the share is on the other side of the rate, or on it.
    """

    def reached(total: int) -> bool:
        return evidence(round(total * (bad / n)), total) >= target

    high = n
    while not reached(high):
        high *= 2
        if high > 10**9:
            return None
    low = max(n, high // 2)
    while high - low > max(1, low // 1000):
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


Window = tuple[int, int, int, int]
"""A stretch of time with one split of the traffic: (requests, errors, the other side's requests, its errors)."""

GRID = 96


def ratio_above(windows: Sequence[Window], ratio: float) -> float:
    """Log evidence against p <= ratio * p_other: which side do errors fall on, given each window's share of traffic?

    An error falls on this side with probability r w / (r w + 1 - w), w its share of the window's requests and r the
    true ratio of rates (conditioning on the errors: Lindon & Malek, arXiv 2011.03567). Mixed over log-spaced
    alternatives up to 100 times `ratio`, so that the share may change from window to window. -inf is never returned; no
    error is 0.
    """
    return _mixture(windows, ratio, ratio * np.geomspace(1.02, 100.0, GRID))


def ratio_below(windows: Sequence[Window], ratio: float) -> float:
    """Log evidence against p >= ratio * p_other; see `ratio_above`."""
    return _mixture(windows, ratio, ratio / np.geomspace(1.02, 100.0, GRID))


def _mixture(windows: Sequence[Window], ratio: float, alternatives: NDArray[np.float64]) -> float:
    if not (ratio > 0.0 and math.isfinite(ratio)):
        raise ValueError(f"need a ratio over 0, got {ratio}")
    total = np.zeros(len(alternatives))
    for window in windows:
        n, bad, other_n, other_bad = window
        if n <= 0 or other_n <= 0:
            continue  # all the traffic went one way, so where its errors fell says nothing
        share = n / (n + other_n)
        here, other = _log_sides(alternatives, share), _log_sides(np.array([ratio]), share)
        total += bad * (here[0] - other[0]) + other_bad * (here[1] - other[1])
    return float(logsumexp(total) - math.log(len(alternatives)))


def _log_sides(ratio: NDArray[np.float64], share: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    weight = ratio * share
    return np.log(weight) - np.log(weight + 1.0 - share), math.log(1.0 - share) - np.log(weight + 1.0 - share)
