"""Areas under the ROC curve: one, and two on the same rows, with DeLong's variance in O(n log n).

The variance comes from each row's structural component: the share of the other class that it is ranked against rightly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, logit, ndtr

from gates.stats import student
from gates.stats.estimate import Estimate, Unusable
from gates.stats.proportion import clopper_pearson

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Components:
    """auc, and the structural components: positive (m,), negative (n,), each float64 with mean `auc`."""

    auc: float
    positive: NDArray[np.float64]
    negative: NDArray[np.float64]


def components(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> Components:
    """Structural components V10, V01 (DeLong 1988, Biometrics 44:837-845, eq. 3-4; ranks: Sun & Xu 2014, SPL 21:1389).

    positive: (n,) bool. scores: (n,) float64, finite. Ties count one half.
    Raises Unusable when one of the classes is absent.
    """
    of_positive, of_negative = scores[positive], scores[~positive]
    m, n = len(of_positive), len(of_negative)
    if m == 0 or n == 0:
        raise Unusable("the target holds one class only, so there is no ROC curve")
    twice10 = _twice_below(np.sort(of_negative), of_positive)
    twice01 = _twice_below(np.sort(of_positive), of_negative)
    return Components(int(twice10.sum()) / (2 * m * n), twice10 / (2.0 * n), 1.0 - twice01 / (2.0 * m))


def _twice_below(reference: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.intp]:
    """For each of `values`, twice the number of the ascending `reference` below it, ties once.

    Asked in ascending order: a search that jumps about is ten times as slow.
    """
    order = np.argsort(values)
    ascending = values[order]
    below = np.searchsorted(reference, ascending, side="left")
    below += np.searchsorted(reference, ascending, side="right")
    found = np.empty_like(below)
    found[order] = below
    return found


def spread(parts: Components) -> student.Spread:
    """Of an area (DeLong 1988, eq. 5-6)."""
    return _spread(parts.positive, parts.negative)


def _spread(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> student.Spread:
    """Of a mean over both classes: of an area, or of a contrast of areas."""
    parts = [student.spread(part) for part in (positive, negative) if len(part) > 1]
    return student.joined(parts) if parts else student.Spread(0.0, student.FEWEST)


def auc(positive: NDArray[np.bool_], scores: NDArray[np.float64], confidence: float) -> Estimate:
    """The area with its interval; see `components` and `interval`."""
    return interval(components(positive, scores), confidence)


def interval(parts: Components, confidence: float) -> Estimate:
    """An interval on the logit scale (Pepe 2003, section 5.2.5), which stays inside (0, 1).

    A perfect ranking has no variance to estimate: there the bound is Clopper-Pearson over min(m, n) independent pairs.
    """
    m, n = len(parts.positive), len(parts.negative)
    found, pairs = spread(parts), min(m, n)
    if found.variance <= 0.0 or not 0.0 < parts.auc < 1.0:
        low, high = clopper_pearson(parts.auc * pairs, pairs, confidence)
        return Estimate(parts.auc, low, high, m + n, "Clopper-Pearson over pairs")
    half = student.reach(confidence, found.degrees) * found.error / (parts.auc * (1.0 - parts.auc))
    low, high = expit(logit(parts.auc) - half), expit(logit(parts.auc) + half)
    return Estimate(parts.auc, float(low), float(high), m + n, "DeLong")


@dataclass(frozen=True)
class Comparison:
    """difference = a - weight * b, its spread, and the two-sided p of difference = 0 (normal, as published)."""

    a: Components
    b: Components
    difference: float
    spread: student.Spread
    p: float

    @property
    def standard_error(self) -> float:
        return self.spread.error


def compare(
    positive: NDArray[np.bool_], a: NDArray[np.float64], b: NDArray[np.float64], weight: float = 1.0
) -> Comparison:
    """Two areas on the same rows, as correlated as they are (DeLong 1988, eq. 5-7, contrast (1, -weight))."""
    ca, cb = components(positive, a), components(positive, b)
    apart = _spread(ca.positive - weight * cb.positive, ca.negative - weight * cb.negative)
    difference = ca.auc - weight * cb.auc
    p = 1.0 if apart.error == 0.0 else float(2.0 * ndtr(-abs(difference) / apart.error))
    return Comparison(ca, cb, difference, apart, p)
