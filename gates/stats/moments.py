"""Statistics that are functions of sums over rows: mean losses, RMSE, R2, alone or paired.

Each row gives d numbers; the statistic maps their sums (with the row count as the last) to a value. Few rows are
resampled (BCa); with many the bootstrap only repeats what the jackknife says, so that takes over: same limit, same
skewness, no draws. Sums are exact: the order of the rows cannot change the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gates.stats import bootstrap, exact, spill, student
from gates.stats.estimate import Estimate, Unusable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from gates.stats.bootstrap import Statistic

MOST_RESAMPLED = 2_000


@dataclass(frozen=True)
class Rows:
    """n rows of d numbers each, which `stretch` makes: float64 (stop - start, d) of a slice."""

    n: int
    stretch: Callable[[slice], NDArray[np.float64]]
    columns: Sequence[NDArray[Any]] = ()
    """What they are made of, to be given back when walked over."""

    def blocks(self) -> Iterator[NDArray[np.float64]]:
        over = self.columns or (np.empty(self.n, dtype=np.bool_),)
        for part in spill.parts(*over):
            yield self.stretch(part)

    def all(self) -> NDArray[np.float64]:
        return self.stretch(slice(0, self.n))


def estimate(
    rows: NDArray[np.float64] | Rows,
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
    rows: NDArray[np.float64] | Rows,
    statistics: Sequence[Statistic],
    *,
    confidence: float,
    seed: int,
    cluster: NDArray[np.intp] | None = None,
) -> list[Estimate]:
    """The same of several statistics, on the same resamples. Few rows, and rows of entities, are held at once."""
    whole = rows if isinstance(rows, Rows) else Rows(len(rows), lambda part: rows[part])
    n, held = whole.n, None
    if cluster is not None:
        _finite(whole.all())
        added, held = _by_cluster(whole.all(), cluster)
        whole = Rows(len(added), lambda part: added[part])
    total = np.array([*_totals(whole), float(n)])
    values = [float(statistic(total)) for statistic in statistics]
    if not np.isfinite(values).all():
        raise Unusable("the metric is undefined on these rows")
    if whole.n > MOST_RESAMPLED:
        return [
            _jackknife(value, total, whole, held, statistic, confidence)
            for value, statistic in zip(values, statistics, strict=True)
        ]
    counted = np.column_stack([whole.all(), np.ones(whole.n) if held is None else held])
    distinct, seen = np.unique(counted, axis=0, return_counts=True)
    counts = seen.astype(np.int64)
    sums = bootstrap.resample(distinct, counts, seed) if whole.n >= bootstrap.FEWEST else None
    found = [
        bootstrap.interval(distinct, counts, statistic, confidence=confidence, seed=seed, sums=sums)
        for statistic in statistics
    ]
    return [Estimate(value, one.low, one.high, one.n, one.method) for value, one in zip(values, found, strict=True)]


def _finite(block: NDArray[np.float64]) -> None:
    if not np.isfinite(block).all():
        raise Unusable("a row's loss is not a finite number")


def _totals(rows: Rows) -> list[float]:
    sums: list[exact.Sum] = []
    for block in rows.blocks():
        _finite(block)
        sums = sums or [exact.Sum() for _ in block.T]
        for found, column in zip(sums, block.T, strict=True):
            found.add(np.ascontiguousarray(column))
    return [found.value for found in sums]


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
    rows: Rows,
    held: NDArray[np.float64] | None,
    statistic: Statistic,
    confidence: float,
) -> Estimate:
    """Jackknife standard error (Efron & Tibshirani 1993, eq. 11.5), a block of rows at a time, and bounds bent by the
    acceleration as BCa bends them. Few large losses among many rows make the bounds uneven, and wide.
    """
    n, start = rows.n, 0
    left_out = spill.empty(n, np.float64)
    for block in rows.blocks():
        here = slice(start, start + len(block))
        count = np.ones(len(block)) if held is None else held[here]
        without = statistic(total - np.column_stack([block, count]))
        if not np.isfinite(without).all():
            return Estimate(value, -np.inf, np.inf, n, "undefined without one row")
        left_out[here] = (without - value) * (1.0 - n)  # pseudo-values: the value's own scale and variance
        start += len(block)
    spread = student.spread_of(lambda: (block for (block,) in spill.blocks(left_out)))
    low, high = spread.bounds(value, confidence)
    return Estimate(value, low, high, n, "accelerated jackknife")
