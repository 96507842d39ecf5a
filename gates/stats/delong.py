"""Areas under the ROC curve: one, and two on the same rows, with DeLong's variance in O(n log n).

The variance comes from each row's structural component: the share of the other class that it is ranked against rightly.
Sums run over sorted values, so that the order of the rows cannot change the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, logit, ndtr

from gates.stats.estimate import Estimate, Unusable
from gates.stats.proportion import clopper_pearson, z_of

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
    sorted_positive, sorted_negative = np.sort(of_positive), np.sort(of_negative)
    v10 = _share_below(sorted_negative, of_positive, sorted_positive)
    v01 = 1.0 - _share_below(sorted_positive, of_negative, sorted_negative)
    return Components(float(np.sort(v10).sum() / m), v10, v01)


def _share_below(
    reference: NDArray[np.float64], values: NDArray[np.float64], in_order: NDArray[np.float64]
) -> NDArray[np.float64]:
    """For each value, the share of the sorted `reference` below it, ties one half. `in_order`: the values, sorted."""
    below = np.searchsorted(reference, in_order, side="left") + np.searchsorted(reference, in_order, side="right")
    ranks = np.empty(len(values))
    ranks[np.argsort(values, kind="stable")] = below
    return ranks / (2.0 * len(reference))


def _covariance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return 0.0 if len(a) < 2 else float(np.sort((a - np.sort(a).mean()) * (b - np.sort(b).mean())).sum()) / (len(a) - 1)


def auc(positive: NDArray[np.bool_], scores: NDArray[np.float64], confidence: float) -> Estimate:
    """The area with an interval on the logit scale (Pepe 2003, section 5.2.5), which stays inside (0, 1).

    A perfect ranking has no variance to estimate: there the bound is Clopper-Pearson over min(m, n) independent pairs.
    """
    parts = components(positive, scores)
    m, n = len(parts.positive), len(parts.negative)
    variance = _covariance(parts.positive, parts.positive) / m + _covariance(parts.negative, parts.negative) / n
    pairs = min(m, n)
    if variance <= 0.0 or not 0.0 < parts.auc < 1.0:
        low, high = clopper_pearson(parts.auc * pairs, pairs, confidence)
        return Estimate(parts.auc, low, high, m + n, "Clopper-Pearson over pairs")
    half = z_of(confidence) * np.sqrt(variance) / (parts.auc * (1.0 - parts.auc))
    low, high = expit(logit(parts.auc) - half), expit(logit(parts.auc) + half)
    return Estimate(parts.auc, float(low), float(high), m + n, "DeLong")


@dataclass(frozen=True)
class Comparison:
    """difference = a - weight * b, its standard error, and the two-sided p of difference = 0."""

    a: float
    b: float
    difference: float
    standard_error: float
    p: float


def compare(
    positive: NDArray[np.bool_], a: NDArray[np.float64], b: NDArray[np.float64], weight: float = 1.0
) -> Comparison:
    """Two areas on the same rows, as correlated as they are (DeLong 1988, eq. 5-7, contrast (1, -weight))."""
    ca, cb = components(positive, a), components(positive, b)
    contrast10, contrast01 = ca.positive - weight * cb.positive, ca.negative - weight * cb.negative
    variance = _covariance(contrast10, contrast10) / len(contrast10) + _covariance(contrast01, contrast01) / len(
        contrast01
    )
    difference, se = ca.auc - weight * cb.auc, float(np.sqrt(variance))
    p = 1.0 if se == 0.0 else float(2.0 * ndtr(-abs(difference) / se))
    return Comparison(ca.auc, cb.auc, difference, se, p)
