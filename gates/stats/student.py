"""How far to reach for an interval whose standard error was itself estimated from few rows, or from few that matter.

The normal quantile is right for a known error. Two models that answer alike on nine rows of ten differ on the tenth
alone, so a thousand rows tell as much of the spread as a hundred would: Student's quantile at that many degrees of
freedom holds the promised error where the normal one passes a little too often. And a mean of skewed values is skewed:
bounds are bent by it as BCa bends them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy.special import stdtrit

from gates.stats.estimate import Unusable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

FEWEST = 2.0


@dataclass(frozen=True)
class Spread:
    """Of a mean of n values: its variance, the degrees of freedom of that variance, and its third central moment."""

    variance: float
    degrees: float
    third: float = 0.0

    @property
    def error(self) -> float:
        return math.sqrt(self.variance)

    @property
    def acceleration(self) -> float:
        """A sixth of the skewness (Efron & Tibshirani 1993, eq. 14.15)."""
        return 0.0 if self.variance == 0.0 else self.third / (6.0 * self.variance**1.5)

    def bounds(self, value: float, confidence: float) -> tuple[float, float]:
        """The wider, on each side, of value +- t se and value + se w / (1 - a w)^2 with w = a +- t (ABC without its
        terms of curvature; DiCiccio & Efron 1992, Biometrika 79:231), t Student's quantile; see `bootstrap`.
        """
        a, t = self.acceleration, reach(confidence, self.degrees)
        low, high = (value + self.error * w / max(1.0 - a * w, 1e-3) ** 2 for w in (a - t, a + t))
        return min(low, value - t * self.error), max(high, value + t * self.error)


def spread(ordered: NDArray[np.float64], counts: NDArray[np.float64] | None = None) -> Spread:
    """Of the mean of `ordered` (u,) float64, in ascending order so that sums do not depend on the order of rows;
    counts: (u,) how many rows share each, None for one.

    Degrees of freedom are 2 n / (kurtosis - 1), at least 2 and at most n - 1: a variance s2 of n values has variance
    s2^2 (kurtosis - 1) / n, one of f degrees of freedom 2 s2^2 / f (Satterthwaite 1946, Biometrics Bull. 2:110; for
    influence values: Pan & Wall 2002, Statist. Med. 21:1429). Raises Unusable for fewer than two values.
    """
    n = float(len(ordered)) if counts is None else float(counts.sum())
    if n < 2:
        raise Unusable("one row alone shows no spread")
    centred = ordered - (ordered.sum() if counts is None else (counts * ordered).sum()) / n
    powers, moments = centred.copy(), []
    for _ in range(3):
        powers *= centred
        moments.append(float((powers if counts is None else powers * counts).sum()) / n)
    second, third, fourth = moments
    most = max(FEWEST, n - 1.0)
    if second == 0.0:
        return Spread(0.0, most)
    excess = fourth / second**2 - 1.0
    degrees = most if 2.0 * n >= excess * most else max(FEWEST, 2.0 * n / excess)
    return Spread(second / (n - 1.0), degrees, third / n**2)


def joined(parts: Sequence[Spread]) -> Spread:
    """Of a sum of independent means; degrees of freedom as Welch 1947 and Satterthwaite 1946 join them."""
    variance = math.fsum(part.variance for part in parts)
    if variance == 0.0:
        return Spread(0.0, max(part.degrees for part in parts))
    degrees = variance**2 / math.fsum(part.variance**2 / part.degrees for part in parts)
    return Spread(variance, degrees, math.fsum(part.third for part in parts))


def reach(confidence: float, degrees: float) -> float:
    """The two-sided quantile of Student's t, e.g. 1.98 for 0.95 and 100 degrees; as `proportion.z_of` for many."""
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    return float(stdtrit(degrees, 0.5 + confidence / 2.0))
