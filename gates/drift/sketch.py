"""The distribution of one numeric column in a bounded number of points, with what it does not know written down.

Between points only bounds on #{values ≤ x} are known. All four are integer step functions, so merging is their sum at
the union of the points: exact, commutative and associative, which a re-compressing sketch (KLL, t-digest) is not. The
price is size: a merge keeps every point of its parts until `compact` is asked to drop some.
Moments are kept as exact binary fractions for the same reason: sums of floats depend on their order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from gates.stats.segments import Near, first_two, segment_sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

POINTS = 10_001
"""Points of a column with more distinct values than that: ranks ceil(n i / 10,000) and the smallest value."""


@dataclass(frozen=True, eq=False)
class Sketch:
    """n values (infinite ones too). points: (k,) ascending, distinct; the others (k,) int64, counts of values:

    below ≤ #{< points[i]};  #{≤ points[i]} ≤ at;  lo ≤ #{≤ x} ≤ up for points[i] ≤ x < points[i + 1].
    Of one part, below and at = lo are exact; of a merge they are bounds. finite: how many values are; s1, s2: exact
    sums of what stands for the finite values and their squares.
    """

    n: int
    finite: int
    s1: Fraction
    s2: Fraction
    points: NDArray[Any]
    below: NDArray[np.int64]
    at: NDArray[np.int64]
    lo: NDArray[np.int64]
    up: NDArray[np.int64]

    @property
    def exact(self) -> bool:
        """Whether every value is known."""
        return bool(np.array_equal(self.lo, self.up) and np.array_equal(self.at, self.lo))

    @property
    def before(self) -> NDArray[np.int64]:
        """(k,) at most so many values are < points[i]."""
        return np.concatenate([[0], self.up[:-1]]).astype(np.int64)

    @property
    def mean(self) -> float | None:
        return float(self.s1 / self.finite) if self.finite else None

    @property
    def deviation(self) -> float | None:
        """Sample standard deviation of the finite values; None below two of them."""
        if self.finite < 2:
            return None
        return math.sqrt(max(0.0, float((self.s2 - self.s1 * self.s1 / self.finite) / (self.finite - 1))))

    def expand(self) -> NDArray[Any]:
        """All n values, sorted; only where `exact`."""
        if not self.exact:
            raise ValueError("a sketch that does not hold every value cannot be expanded")
        values: NDArray[Any] = np.repeat(self.points, np.diff(self.lo, prepend=0))
        return values


def sketch(values: NDArray[Any], points: int = POINTS) -> Sketch:
    """From all values, (n,) sorted ascending without NaN."""
    n = len(values)
    kept = _kept(values, points)
    if kept.dtype.kind == "f":
        kept = kept + kept.dtype.type(0)  # -0.0 and 0.0 are one value and must be one pattern of bits
    at_most = np.searchsorted(values, kept, side="right").astype(np.int64)
    below = np.searchsorted(values, kept, side="left").astype(np.int64)
    finite, s1, s2 = moments(values)
    return Sketch(n, finite, s1, s2, kept, below, at_most, at_most, np.append(below[1:], n)[: len(kept)])


def _kept(values: NDArray[Any], points: int) -> NDArray[Any]:
    n = len(values)
    if n == 0:
        return values[:0]
    new = np.empty(n, dtype=np.bool_)
    new[0] = True
    np.not_equal(values[1:], values[:-1], out=new[1:])
    if int(np.count_nonzero(new)) <= points:
        distinct: NDArray[Any] = values[new]
        return distinct
    steps = points - 1
    ranks = -(-n * np.arange(1, steps + 1, dtype=np.int64) // steps) - 1
    picked = values[np.concatenate([[0], ranks])]
    kept: NDArray[Any] = picked[np.concatenate([[True], picked[1:] != picked[:-1]])]
    return kept


def moments(values: NDArray[Any]) -> tuple[int, Fraction, Fraction]:
    """How many of the sorted values are finite, their sum, their sum of squares.

    The sums are of floats (about the mean, so that nothing cancels), then carried over to fractions without loss.
    """
    if values.dtype.kind == "f":
        low, high = np.searchsorted(values, [-np.inf, np.inf], side="right")
        high = np.searchsorted(values, np.inf, side="left")
        values = values[low:high]
    n = len(values)
    if n == 0:
        return 0, Fraction(0), Fraction(0)
    with np.errstate(over="ignore"):
        middle = float(np.mean(values, dtype=np.float64))
    if not math.isfinite(middle):
        middle = float(values[n // 2])
    first, second = first_two(values, middle)
    if not math.isfinite(first) or not math.isfinite(second):
        return _exact_moments(values)
    c, d1, d2 = Fraction(middle), Fraction(first), Fraction(second)
    return n, n * c + d1, d2 + 2 * c * d1 + n * c * c


def _exact_moments(values: NDArray[Any]) -> tuple[int, Fraction, Fraction]:
    """For values near the largest float: slow, and never wrong."""
    whole = [Fraction(v) for v in values.tolist()]
    return len(whole), sum(whole, Fraction(0)), sum((v * v for v in whole), Fraction(0))


def merge(one: Sketch, other: Sketch) -> Sketch:
    """The sketch of both together: bounds add."""
    if one.n == 0 or other.n == 0:
        return other if one.n == 0 else one
    dtype = np.result_type(one.points.dtype, other.points.dtype)
    points = np.union1d(one.points.astype(dtype), other.points.astype(dtype))
    a, b = _spread(one, points), _spread(other, points)
    below, at, lo, up = (x + y for x, y in zip(a, b, strict=True))
    n, finite = one.n + other.n, one.finite + other.finite
    return Sketch(n, finite, one.s1 + other.s1, one.s2 + other.s2, points, below, at, lo, up)


def _spread(part: Sketch, points: NDArray[Any]) -> tuple[NDArray[np.int64], ...]:
    """below, at, lo and up of one part at the points of the union."""
    where = np.searchsorted(part.points, points, side="right") - 1
    inside = where >= 0
    own = inside & (part.points[where] == points)
    lo = np.where(inside, part.lo[where], 0)
    up = np.where(inside, part.up[where], 0)
    return np.where(own, part.below[where], lo), np.where(own, part.at[where], up), lo, up


def compact(part: Sketch, points: int = POINTS) -> Sketch:
    """At most `points` of the points, at even ranks: the bounds get wider and stay true."""
    k = len(part.points)
    if k <= points:
        return part
    middle = (part.lo + part.at) / 2
    targets = np.linspace(middle[0], part.n, points)
    index = np.unique(np.concatenate([[0], np.minimum(np.searchsorted(middle, targets), k - 1), [k - 1]]))
    up = part.up[np.append(index[1:], k) - 1]
    arrays = (part.points[index], part.below[index], part.at[index], part.lo[index], up)
    return Sketch(part.n, part.finite, part.s1, part.s2, *arrays)


def recast(part: Sketch, dtype: np.dtype[Any]) -> Sketch:
    """The same with points of another dtype; points that become equal become one."""
    points = part.points.astype(dtype)
    first = np.flatnonzero(np.concatenate([[True], points[1:] != points[:-1]]))
    last = np.append(first[1:], len(points)) - 1
    arrays = (points[first], part.below[first], part.at[last], part.lo[last], part.up[last])
    return Sketch(part.n, part.finite, part.s1, part.s2, *arrays)


@dataclass(frozen=True, eq=False)
class Cells:
    """Values counted against the points of a sketch: additive over batches. All of shape (k,) but the tails.

    below, at_most: #{< points[i]}, #{≤ points[i]}. inside: Σ (points[i + 1] − value) over the open cell, (k − 1,).
    left: Σ (points[0] − value) below the first point; right: Σ (value − points[-1]) above the last.
    """

    n: int
    below: NDArray[np.int64]
    at_most: NDArray[np.int64]
    inside: NDArray[np.float64]
    left: float
    right: float
    infinite: bool

    def __add__(self, other: Cells) -> Cells:
        return Cells(
            self.n + other.n,
            self.below + other.below,
            self.at_most + other.at_most,
            self.inside + other.inside,
            self.left + other.left,
            self.right + other.right,
            self.infinite or other.infinite,
        )


def cells(values: NDArray[Any], points: NDArray[Any]) -> Cells:
    """values: (n,) sorted, no NaN; points: (k,) of the same dtype, k ≥ 1."""
    below = np.searchsorted(values, points, side="left").astype(np.int64)
    at_most = below.copy()
    hit = below < len(values)
    hit[hit] = values[below[hit]] == points[hit]
    at_most[hit] = np.searchsorted(values, points[hit], side="right")
    ends = np.concatenate([values[:1], values[-1:], points[:1], points[-1:]])
    infinite = bool(ends.dtype.kind == "f" and not np.isfinite(ends).all())
    if infinite or len(values) == 0:
        return Cells(len(values), below, at_most, np.zeros(len(points) - 1), 0.0, 0.0, infinite)
    low, high = min(points[0], values[0]), max(points[-1], values[-1])
    near = Near(points[len(points) // 2], low, high)
    at = near(points)
    sums = segment_sums(values, np.append(0, at_most), np.append(below, len(values)), near)
    sizes = below[1:] - at_most[:-1]
    left = float(below[0] * at[0] - sums[0])
    right = float(sums[-1] - (len(values) - at_most[-1]) * at[-1])
    return Cells(len(values), below, at_most, sizes * at[1:] - sums[1:-1], left, right, False)


def gaps(points: NDArray[Any]) -> NDArray[np.float64]:
    """(k − 1,) distances between neighbours; of 64-bit integers without overflow."""
    if points.dtype.kind in "iu" and points.dtype.itemsize == 8:
        return np.diff(points).view(np.uint64).astype(np.float64)
    return np.diff(points.astype(np.float64))
