"""Distances between two samples: KS and Wasserstein-1 from two sorted arrays in one pass, Jensen–Shannon on counts.

`compare` never merges the whole: it cuts both sides at every 64th reference value. In a block the two distribution
functions are known at the ends, so that a block whose sign cannot change gives its integral from sums alone, and a
block that cannot hold the largest distance is not looked into. Only the rest is merged. Result: exact, in the time of
a few passes, instead of a search of everything in everything.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gates.stats.segments import SLAB, Near, segment_sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK = 64


class Distances(NamedTuple):
    ks: float
    """sup |F − G|."""
    w1: float | None
    """∫ |F − G| in the values' unit; None when a value is infinite."""


def compare(x: NDArray[Any], y: NDArray[Any], block: int = BLOCK) -> Distances:
    """KS distance and Wasserstein-1 of two samples, each sorted ascending, without NaN, of one dtype.

    x: (n,), y: (m,), n, m ≥ 1, of a numeric dtype. Infinities have their place in the order (KS) but no distance (W1).
    ValueError when a side is empty.
    """
    if len(x) == 0 or len(y) == 0:
        raise ValueError("a distance needs values on both sides")
    blocks = _Blocks(x, y, block)
    ks = blocks.ks()
    finite = all(math.isfinite(float(v)) for v in (x[0], x[-1], y[0], y[-1]))
    return Distances(ks, blocks.w1() if finite else None)


class _Blocks:
    """Ranks of both sides at the cuts. Block j lies strictly between cut j−1 and cut j; the first and last are open.

    x_from, y_from: how many values stand ≤ the left cut; x_to, y_to: how many stand < the right cut. What equals a cut
    belongs to no block, so that a value that holds many rows costs nothing.
    """

    def __init__(self, x: NDArray[Any], y: NDArray[Any], block: int) -> None:
        self.x, self.y = x, y
        self.n, self.m = len(x), len(y)
        self.cuts, self.x_from, self.x_to = _cuts(x, block)
        self.y_from, self.y_to = _ranks(y, self.cuts)
        at = np.abs(self.x_from / self.n - self.y_from / self.m)
        before = np.abs(self.x_to / self.n - self.y_to / self.m)
        self.seen = float(max(at.max(), before.max()))
        self.above = self.x_to / self.n - self.y_from / self.m
        """The most that F − G can be inside each block."""
        self.under = self.y_to / self.m - self.x_from / self.n
        """The most that G − F can be inside each block."""

    def ks(self) -> float:
        most, seen = np.maximum(self.above, self.under), self.seen
        for part in self._slabs(most > seen):
            chosen = part[most[part] > seen]
            if len(chosen):
                seen = max(seen, self._largest(chosen))
        return seen

    def _largest(self, chosen: NDArray[np.int64]) -> float:
        """The largest distance at and just before a reference value inside the chosen blocks."""
        take = _members(chosen, self.x_from, self.x_to)
        values, inside = self.x[take], self.y[_members(chosen, self.y_from, self.y_to)]
        lost = np.repeat(_lost(chosen, self.y_from, self.y_to), (self.x_to - self.x_from)[chosen])
        g_at = (np.searchsorted(inside, values, side="right") + lost) / self.m
        g_before = (np.searchsorted(inside, values, side="left") + lost) / self.m
        f_at = (take[np.searchsorted(values, values, side="right") - 1] + 1) / self.n
        f_before = take[np.searchsorted(values, values, side="left")] / self.n
        return max(float(np.max(f_at - g_at, initial=0.0)), float(np.max(g_before - f_before, initial=0.0)))

    def _slabs(self, chosen: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
        """The chosen blocks by number, in groups of about a slab of values."""
        blocks = np.flatnonzero(chosen)
        if not len(blocks):
            return []
        groups = np.cumsum((self.x_to - self.x_from + self.y_to - self.y_from)[blocks]) // SLAB
        return np.split(blocks, np.flatnonzero(np.diff(groups)) + 1)

    def w1(self) -> float:
        low, high = min(self.x[0], self.y[0]), max(self.x[-1], self.y[-1])
        near = Near(self.x[self.n // 2], low, high)
        ends = near(np.concatenate([low[None], self.cuts, high[None]]))
        width = np.diff(ends)
        unsure = (self.above > 0) & (self.under > 0) & (width > 0)
        f = self.x_from * width + _grown(self.x, self.x_from, ends, near)
        g = self.y_from * width + _grown(self.y, self.y_from, ends, near)
        sure = float(np.sum(np.abs(f / self.n - g / self.m), where=~unsure))
        return sure + sum(self._merged(part, ends, near) for part in self._slabs(unsure))

    def _merged(self, chosen: NDArray[np.int64], ends: NDArray[np.float64], near: Near) -> float:
        """∫ |F − G| over the chosen blocks, none of them empty, by a merge of what lies in them."""
        xs = self.x[_members(chosen, self.x_from, self.x_to)]
        ys = self.y[_members(chosen, self.y_from, self.y_to)]
        size_x, size_y = (self.x_to - self.x_from)[chosen], (self.y_to - self.y_from)[chosen]
        stops = np.cumsum(size_x + size_y)
        starts = stops - size_x - size_y
        values = np.concatenate([xs, ys])
        order = np.argsort(values, kind="stable")  # two ascending runs: merged in linear time
        points = near(values[order])
        count_x = np.cumsum(order < len(xs))
        count_y = np.arange(1, len(order) + 1) - count_x
        count_x += np.repeat(_lost(chosen, self.x_from, self.x_to), size_x + size_y)
        count_y += np.repeat(_lost(chosen, self.y_from, self.y_to), size_x + size_y)
        nexts = np.append(points[1:], 0.0)
        nexts[stops - 1] = ends[1:][chosen]
        inside = float(np.sum(np.abs(count_x / self.n - count_y / self.m) * (nexts - points)))
        before = np.abs(self.x_from[chosen] / self.n - self.y_from[chosen] / self.m)
        return inside + float(np.sum(before * (points[starts] - ends[:-1][chosen])))


def _cuts(values: NDArray[Any], block: int) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]:
    """The distinct ones of every `block`-th value, and their ranks as `_ranks` has them, searched only where tied."""
    n = len(values)
    index = np.arange(block - 1, n, block)
    cuts = values[index]
    last = cuts[1:] != cuts[:-1]
    index = index[np.append(last, True)[: len(index)]]
    cuts = values[index]
    at_most, below = index + 1, index.copy()
    tied = values[np.minimum(at_most, n - 1)] == cuts
    at_most[tied] = np.searchsorted(values, cuts[tied], side="right")
    tied = values[np.maximum(index - 1, 0)] == cuts
    below[tied] = np.searchsorted(values, cuts[tied], side="left")
    return cuts, np.concatenate([[0], at_most]), np.concatenate([below, [n]])


def _ranks(values: NDArray[Any], cuts: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many values are ≤ the left cut, and < the right cut, of each block."""
    at_most = np.searchsorted(values, cuts, side="right")
    below = at_most.copy()
    tied = (at_most > 0) & (values[at_most - 1] == cuts)
    below[tied] = np.searchsorted(values, cuts[tied], side="left")
    return np.concatenate([[0], at_most]), np.concatenate([below, [len(values)]])


def _grown(
    values: NDArray[Any], bounds: NDArray[np.int64], ends: NDArray[np.float64], near: Near
) -> NDArray[np.float64]:
    """Σ (right end − value) over each block: the integral of the count that grows inside it."""
    stops = np.append(bounds[1:], len(values))
    result: NDArray[np.float64] = (stops - bounds) * ends[1:] - segment_sums(values, bounds, stops, near)
    return result


def _members(chosen: NDArray[Any], start: NDArray[np.int64], stop: NDArray[np.int64]) -> NDArray[np.int64]:
    """The positions of all values of the chosen blocks, ascending."""
    sizes = (stop - start)[chosen]
    first = np.cumsum(sizes) - sizes
    positions: NDArray[np.int64] = np.arange(int(sizes.sum())) + np.repeat(start[chosen] - first, sizes)
    return positions


def _lost(chosen: NDArray[Any], start: NDArray[np.int64], stop: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each chosen block, how many values stand before it that were not chosen."""
    sizes = (stop - start)[chosen]
    lost: NDArray[np.int64] = start[chosen] - (np.cumsum(sizes) - sizes)
    return lost


def jensen_shannon(reference: NDArray[np.int64], current: NDArray[np.int64]) -> float:
    """Jensen–Shannon distance, base 2, in [0, 1], of two rows of counts; Lin 1991, eq. 4.1, its root.

    ValueError when a side counts nothing.
    """
    n, m = float(reference.sum()), float(current.sum())
    if n <= 0 or m <= 0:
        raise ValueError("a distance needs rows on both sides")
    p, q = reference / n, current / m
    mean = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.where(p > 0, p * np.log2(p / mean), 0.0).sum()
        right = np.where(q > 0, q * np.log2(q / mean), 0.0).sum()
    return math.sqrt(max(0.0, float(left + right) / 2))
