"""Sums over stretches of a sorted array, as distances from one of its values, in slabs that stay in the cache.

A whole column minus its middle would be a second column: its pages cost more than the sum.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SLAB = 1 << 15
"""Values that are looked at together."""


class Near:
    """value − middle as float64: near the data's own scale, so that sums keep their digits; exact for integers."""

    def __init__(self, middle: Any, low: Any, high: Any) -> None:
        """middle: a numpy scalar of the data's dtype; low, high: their range."""
        self.middle = middle
        wide = middle.dtype.kind in "iu" and middle.dtype.itemsize == 8
        self.whole = wide and int(high) - int(low) < 2**62

    def __call__(self, values: NDArray[Any]) -> NDArray[np.float64]:
        if self.whole:
            difference = (values - self.middle).view(np.int64)  # unsigned wraps round to the right signed difference
            exact: NDArray[np.float64] = difference.astype(np.float64)
            return exact
        near: NDArray[np.float64] = np.subtract(values, float(self.middle), dtype=np.float64)
        return near


def segment_sums(
    values: NDArray[Any], start: NDArray[np.int64], stop: NDArray[np.int64], near: Near
) -> NDArray[np.float64]:
    """(k,) Σ near(values[start:stop]) of k ascending, disjoint segments of sorted `values`; 0 where one is empty."""
    sums = np.zeros(len(start))
    filled = np.flatnonzero(stop > start)
    start, stop = start[filled], stop[filled]
    first = 0
    while first < len(filled):
        begin = int(start[first])
        last = max(first + 1, int(np.searchsorted(stop, begin + SLAB, side="right")))
        if last == first + 1:
            sums[filled[first]] = _sum(values[begin : int(stop[first])], near)
        else:
            bounds = np.stack([start[first:last], stop[first:last]], axis=1).ravel()[:-1] - begin
            piece = near(values[begin : int(stop[last - 1])])
            sums[filled[first:last]] = np.add.reduceat(piece, bounds)[::2]
        first = last
    return sums


def _sum(values: NDArray[Any], near: Near) -> float:
    return float(sum(float(np.sum(near(values[i : i + SLAB]))) for i in range(0, len(values), SLAB)))


def first_two(values: NDArray[Any], middle: float) -> tuple[float, float]:
    """Σ (value − middle) and Σ (value − middle)²; (n,) values."""
    first = second = 0.0
    with np.errstate(over="ignore"):
        for i in range(0, len(values), SLAB):
            away = np.subtract(values[i : i + SLAB], middle, dtype=np.float64)
            first += float(np.sum(away))
            second += float(np.dot(away, away))
    return first, second
