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

import numpy as np
from scipy.special import stdtrit

from gates.stats import exact
from gates.stats.estimate import Unusable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    Blocks = Callable[[], Iterator[NDArray[np.float64]]]

FEWEST = 2.0
FINE = -2 * exact.DIGIT  # powers of numbers up to 1 need no finer grid than 2^-74


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


def spread(values: NDArray[np.float64], counts: NDArray[np.float64] | None = None) -> Spread:
    """Of the mean of `values` (u,) float64, in any order; counts: (u,) how many rows share each, None for one.

    Degrees of freedom are 2 n / (kurtosis - 1), at least 2 and at most n - 1: a variance s2 of n values has variance
    s2^2 (kurtosis - 1) / n, one of f degrees of freedom 2 s2^2 / f (Satterthwaite 1946, Biometrics Bull. 2:110; for
    influence values: Pan & Wall 2002, Statist. Med. 21:1429). Raises Unusable for fewer than two values.
    """
    if counts is None:
        return spread_of(lambda: iter((values,)))
    return spread_of(lambda: iter((values,)), lambda: iter((counts,)))


def spread_of(blocks: Blocks, counts: Blocks | None = None) -> Spread:
    """The same of values that come a block at a time, as often as they are asked for: three times."""
    n, low, high, total = 0.0, math.inf, -math.inf, exact.Sum()
    for block, weight in _weighted(blocks, counts):
        if not len(block):
            continue
        n += len(block) if weight is None else float(weight.sum())
        low, high = min(low, float(block.min())), max(high, float(block.max()))
        total.add(block if weight is None else block * weight)
    if n < 2:
        raise Unusable("one row alone shows no spread")
    mean = total.value / n
    scale = math.ldexp(1.0, math.frexp(max(high - mean, mean - low))[1])  # powers of it neither vanish nor overflow
    second, third, fourth = _powers(blocks, counts, mean, scale)
    most = max(FEWEST, n - 1.0)
    if second == 0.0 or high == low:
        return Spread(0.0, most)
    excess = fourth / n / (second / n) ** 2 - 1.0
    degrees = most if 2.0 * n >= excess * most else max(FEWEST, 2.0 * n / excess)
    return Spread(second / n / (n - 1.0) * scale**2, degrees, third / n**3 * scale**3)


def _weighted(
    blocks: Blocks, counts: Blocks | None
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64] | None]]:
    if counts is None:
        yield from ((block, None) for block in blocks())
    else:
        yield from zip(blocks(), counts(), strict=True)


def _powers(blocks: Blocks, counts: Blocks | None, mean: float, scale: float) -> tuple[float, float, float]:
    """The sums of ((value - mean) / scale)^2, ^3 and ^4."""
    sums = exact.Sum(FINE), exact.Sum(FINE), exact.Sum(FINE)
    for block, weight in _weighted(blocks, counts):
        for start in range(0, len(block), exact.BLOCK):
            part = slice(start, start + exact.BLOCK)
            away = (block[part] - mean) / scale
            power = away if weight is None else away * weight[part]
            for i, found in enumerate(sums):
                power = np.multiply(power, away, out=power if i else None)
                found.add(power)
    return sums[0].value, sums[1].value, sums[2].value


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
