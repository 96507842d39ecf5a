"""Values beyond where the middle nine tenths of the reference lie: the share of them, on both sides, as a signal.

Noise that widens a column hardly moves its KS distance and its PSI; it shows here: a normal column that becomes half as
wide again puts 27 % of its values there instead of 10 %. A shift of a quarter standard deviation, KS 0.1, puts 11 %.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gates.stats.chi2 import contingency

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gates.drift.found import ColumnDrift
    from gates.drift.sketch import Cells, Sketch


def of_samples(column: ColumnDrift, x: NDArray[Any], y: NDArray[Any]) -> ColumnDrift:
    """Reference x (n,) and current y (m,), each sorted, of one dtype, neither empty."""
    low, high = x[[rank - 1 for rank in _ranks(len(x))]]
    return _shares(column, _beyond(x, low, high), _beyond(y, low, high), len(x), len(y))


def _ranks(n: int) -> tuple[int, int]:
    """Of the values that bound the middle: the smallest with at least 5 % and 95 % of the n at or below them."""
    return -(-n // 20), -(-19 * n // 20)


def _beyond(values: NDArray[Any], low: Any, high: Any) -> int:
    below, at_most = np.searchsorted(values, low, side="left"), np.searchsorted(values, high, side="right")
    return int(below) + len(values) - int(at_most)


def of_points(column: ColumnDrift, held: Sketch, cur: Cells) -> ColumnDrift:
    """A reference known at its points. Of one part, the bounds of the middle are points: the counts of all values."""
    at_most, below = (held.lo + held.at) // 2, (held.below + held.before) // 2
    low, high = np.minimum(np.searchsorted(at_most, _ranks(held.n)), len(at_most) - 1)
    ref, now = int(below[low]) + held.n - int(at_most[high]), int(cur.below[low]) + cur.n - int(cur.at_most[high])
    return _shares(column, ref, now, held.n, cur.n)


def _shares(column: ColumnDrift, ref: int, cur: int, n: int, m: int) -> ColumnDrift:
    """With tail_difference, current minus reference, and tail_p by chi-square with Yates' correction, so that a handful
    of values alarms nobody.
    """
    p = contingency(np.array([ref, n - ref]), np.array([cur, m - cur])).p
    return replace(column, tail_difference=cur / m - ref / n, tail_p=p)
