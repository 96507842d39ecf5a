"""Intervals for a quantile from order statistics: no assumption about the distribution, exact, and honest in the tail.

With too few values the upper bound of a high quantile is unknown, and infinite: of 58 values the largest is no 95 %
upper bound for the 95th percentile.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import bdtr

from gates.stats.estimate import Estimate

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def quantile(values: NDArray[np.float64], q: float, confidence: float) -> Estimate:
    """The q-quantile with a lower and an upper bound, each one-sided at `confidence` (David & Nagaraja 2003, 7.1).

    values: (n,) float64, finite, n >= 1. The value itself is the smallest one with at least a share q at or below it.
    """
    n = len(values)
    if n == 0 or not 0.0 < q < 1.0 or not 0.0 < confidence < 1.0:
        raise ValueError(f"need values, 0 < q < 1 and 0 < confidence < 1, got {n}, {q}, {confidence}")
    ordered = np.sort(values)
    at = max(1, math.ceil(q * n - 1e-9))
    upper = _first(n, lambda k: float(bdtr(k - 1, n, q)) >= confidence)
    lower = _first(n, lambda k: float(bdtr(k - 1, n, q)) > 1.0 - confidence) - 1
    low = float(ordered[lower - 1]) if lower >= 1 else -math.inf
    high = float(ordered[upper - 1]) if upper <= n else math.inf
    return Estimate(float(ordered[at - 1]), low, high, n, "order statistics")


def _first(n: int, holds: Callable[[int], bool]) -> int:
    """The least k in 1..n for which `holds`, which is monotone; n + 1 when none."""
    low, high = 1, n + 1
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def fewest(q: float, confidence: float) -> int:
    """The least n for which an upper bound exists: 59 for the 95th percentile at 95 %, 299 for the 99th."""
    return math.ceil(math.log(1.0 - confidence) / math.log(q) - 1e-9)
