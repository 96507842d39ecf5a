"""Statistics that are functions of sums over rows: mean losses, RMSE, R2, alone or paired.

Each row gives d numbers; the statistic maps their sums (with the row count as the last) to a value. Few rows are
resampled (BCa); with many the bootstrap only repeats what the jackknife says, so that takes over: same limit, same
skewness, no draws. Sums are exact: the order of the rows cannot change the last bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gates.stats import bootstrap, exact, student
from gates.stats.estimate import Estimate, Unusable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from gates.stats.bootstrap import Statistic

MOST_RESAMPLED = 2_000
BLOCK = 1_000_000  # rows treated at once, so that temporary arrays stay small


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
    return estimates(rows, (statistic,), confidence=confidence, seed=seed, cluster=cluster)[0]


def estimates(
    rows: NDArray[np.float64],
    statistics: Sequence[Statistic],
    *,
    confidence: float,
    seed: int,
    cluster: NDArray[np.intp] | None = None,
) -> list[Estimate]:
    """The same of several statistics, on the same resamples."""
    if not all(np.isfinite(column).all() for column in rows.T):
        raise Unusable("a row's loss is not a finite number")
    added, held = (rows, None) if cluster is None else _by_cluster(rows, cluster)
    total = np.array([exact.total(column) for column in added.T] + [float(len(rows))])
    values = [float(statistic(total)) for statistic in statistics]
    if not np.isfinite(values).all():
        raise Unusable("the metric is undefined on these rows")
    if len(added) > MOST_RESAMPLED:
        return [
            _jackknife(value, total, added, held, statistic, confidence)
            for value, statistic in zip(values, statistics, strict=True)
        ]
    counted = np.column_stack([added, np.ones(len(added)) if held is None else held])
    distinct, seen = np.unique(counted, axis=0, return_counts=True)
    counts = seen.astype(np.int64)
    sums = bootstrap.resample(distinct, counts, seed) if len(added) >= bootstrap.FEWEST else None
    found = [
        bootstrap.interval(distinct, counts, statistic, confidence=confidence, seed=seed, sums=sums)
        for statistic in statistics
    ]
    return [Estimate(value, one.low, one.high, one.n, one.method) for value, one in zip(values, found, strict=True)]


def _by_cluster(
    rows: NDArray[np.float64], cluster: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The sums of each entity's rows, (entities, d), and how many rows it has."""
    order = np.lexsort((*rows.T, cluster))
    sums = np.stack([np.bincount(cluster[order], weights=column[order]) for column in rows.T], axis=1)
    return np.asarray(sums, dtype=np.float64), np.bincount(cluster).astype(np.float64)


def _jackknife(
    value: float,
    total: NDArray[np.float64],
    added: NDArray[np.float64],
    held: NDArray[np.float64] | None,
    statistic: Statistic,
    confidence: float,
) -> Estimate:
    """Jackknife standard error (Efron & Tibshirani 1993, eq. 11.5), a block of rows at a time, and bounds bent by the
    acceleration as BCa bends them. Few large losses among many rows make the bounds uneven, and wide.
    """
    n = len(added)
    left_out = np.empty(n)
    for start in range(0, n, BLOCK):
        block = slice(start, start + BLOCK)
        count = np.ones(len(added[block])) if held is None else held[block]
        left_out[block] = statistic(total - np.column_stack([added[block], count]))
    if not np.isfinite(left_out).all():
        return Estimate(value, -np.inf, np.inf, n, "undefined without one row")
    left_out -= value
    left_out *= 1.0 - n  # pseudo-values: the value's own scale, whose mean has the jackknife's variance
    low, high = student.spread(left_out).bounds(value, confidence)
    return Estimate(value, low, high, n, "accelerated jackknife")
