"""Statistics that are functions of sums over rows: mean losses, RMSE, R2, alone or paired.

Each row gives d numbers; the statistic maps their sums (with the row count as the last) to a value. Few rows are
resampled (BCa); with many the bootstrap only repeats what the jackknife says, so that takes over: same limit, no draws.
Sums run over sorted columns: the order of the rows cannot change the last bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gates.stats import bootstrap
from gates.stats.estimate import Estimate, Unusable
from gates.stats.proportion import z_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gates.stats.bootstrap import Statistic

MOST_RESAMPLED = 5_000


def estimate(
    rows: NDArray[np.float64],
    statistic: Statistic,
    *,
    confidence: float,
    seed: int,
    cluster: NDArray[np.intp] | None = None,
) -> Estimate:
    """Value and interval of `statistic`, which maps sums (..., d + 1) to values (...); the last sum is the row count.

    rows: (n, d) float64. cluster: (n,) codes of the entities that rows belong to, or None.
    Raises Unusable where the statistic is undefined on the whole.
    """
    if not np.isfinite(rows).all():
        raise Unusable("a row's loss is not a finite number")
    counted = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
    if cluster is not None:
        order = np.lexsort((*counted.T, cluster))
        counted = np.stack([np.bincount(cluster[order], weights=column[order]) for column in counted.T], axis=1)
    total = np.sort(counted, axis=0).sum(axis=0)
    value = float(statistic(total))
    if not np.isfinite(value):
        raise Unusable("the metric is undefined on these rows")
    if len(counted) <= MOST_RESAMPLED:
        distinct, counts = np.unique(counted, axis=0, return_counts=True)
        found = bootstrap.interval(distinct, counts.astype(np.int64), statistic, confidence=confidence, seed=seed)
        return Estimate(value, found.low, found.high, found.n, found.method)
    return _jackknife(value, total, counted, statistic, confidence)


def _jackknife(
    value: float, total: NDArray[np.float64], counted: NDArray[np.float64], statistic: Statistic, confidence: float
) -> Estimate:
    """Jackknife standard error and a normal interval (Efron & Tibshirani 1993, eq. 11.5)."""
    n = len(counted)
    left_out = np.sort(statistic(total - counted))
    if not np.isfinite(left_out).all():
        return Estimate(value, -np.inf, np.inf, n, "undefined without one row")
    variance = (n - 1) / n * float(((left_out - left_out.mean()) ** 2).sum())
    half = z_of(confidence) * np.sqrt(variance)
    return Estimate(value, float(value - half), float(value + half), n, "jackknife")
