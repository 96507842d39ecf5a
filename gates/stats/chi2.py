"""Chi-square test of homogeneity for two rows of counts, without scipy: the tail is a Poisson sum."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ChiSquare(NamedTuple):
    statistic: float
    p: float
    dof: int


def contingency(reference: NDArray[np.int64], current: NDArray[np.int64]) -> ChiSquare:
    """Pearson's chi-square of the 2 × k table; equals scipy's `chi2_contingency`, Yates' correction at k = 2 included.

    reference, current: (k,) counts of the same categories; categories empty on both sides are left out. With one
    category left there is nothing to differ in: statistic 0, p 1, dof 0. ValueError when a side counts nothing.
    """
    table = np.stack([reference, current]).astype(np.float64)
    table = table[:, table.sum(axis=0) > 0]
    rows = table.sum(axis=1)
    if not np.all(rows > 0) or np.any(table < 0):
        raise ValueError("a chi-square test needs counts on both sides")
    dof = table.shape[1] - 1
    if dof == 0:
        return ChiSquare(0.0, 1.0, 0)
    expected = rows[:, None] * table.sum(axis=0) / rows.sum()
    off = np.abs(table - expected)
    if dof == 1:
        off -= np.minimum(0.5, off)
    statistic = float(np.sum(off**2 / expected))
    return ChiSquare(statistic, tail(statistic, dof), dof)


def tail(x: float, dof: int) -> float:
    """P(X > x) for a chi-square of `dof` degrees of freedom; Abramowitz & Stegun 26.4.4 and 26.4.5."""
    if x <= 0.0:
        return 1.0
    half = x / 2.0
    if dof % 2:
        start, powers = math.erfc(math.sqrt(half)), np.arange(0.5, dof / 2.0)
    else:
        start, powers = 0.0, np.arange(0.0, dof / 2.0)
    if len(powers) == 0:
        return start
    return min(1.0, start + _gamma_terms(half, powers))


def _gamma_terms(a: float, powers: NDArray[np.float64]) -> float:
    """Σ e^(-a) a^k / Γ(k + 1), from the largest term outwards so that neither end overflows nor cancels."""
    top = int(np.clip(round(a - powers[0]), 0, len(powers) - 1))
    peak = powers[top]
    log_peak = peak * math.log(a) - a - math.lgamma(peak + 1.0) if peak < 30.0 else _log_term(a, peak)
    up = np.cumprod(a / powers[top + 1 :])
    down = np.cumprod(powers[1 : top + 1][::-1] / a)
    return math.exp(log_peak) * (1.0 + float(np.sum(up)) + float(np.sum(down)))


def _log_term(a: float, k: float) -> float:
    """log of e^(-a) a^k / Γ(k + 1) by Loader 2000: Stirling's error and the deviance, each small."""
    ratio = (a - k) / k
    deviance = k * (ratio - math.log1p(ratio)) if abs(ratio) > 0.05 else k * _log1p_rest(ratio)
    stirling = (1 / 12 - (1 / 360 - (1 / 1260 - 1 / (1680 * k * k)) / (k * k)) / (k * k)) / k
    return -stirling - deviance - 0.5 * math.log(2 * math.pi * k)


def _log1p_rest(r: float) -> float:
    """r - log(1 + r) for small r."""
    return sum((-1.0) ** j * r**j / j for j in range(2, 16))
