"""The statistics of one column from what was read of it: two samples, a sketch and batches, two tables of counts.

Rules: every figure is either computed or None, and then `reason` says why. PSI and Jensen–Shannon use the bins that
the reference froze. Categories rarer than 0.1 % of the reference share one cell of PSI, all new ones another;
chi-square takes every category.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gates.drift import histograms, tails, text, vectors
from gates.drift.column import comparable
from gates.drift.sketch import Cells, Sketch, cells, gaps, moments, recast
from gates.stats.chi2 import contingency
from gates.stats.distances import compare, jensen_shannon
from gates.stats.ks import p_value
from gates.stats.psi import BINS, Edges, bin_counts, distinct, psi, quantile_edges
from gates.stats.segments import Near, segment_sums

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from gates.drift.column import Numbers
    from gates.drift.found import ColumnDrift

RARE = 0.001
_DAY = 86_400e6
_FLAT = "the reference does not vary, so there is no scale to divide by"
_INFINITE = "a value is infinite, so there is no Wasserstein distance"


def samples(base: ColumnDrift, x: NDArray[Any], y: NDArray[Any]) -> ColumnDrift:
    """Exact: reference x (n,) and current y (m,), each sorted, without NaN."""
    empty = _empty(base)
    if empty:
        return replace(base, reason=empty)
    x, y = comparable(x, y, base.name)
    n, m = len(x), len(y)
    found = compare(x, y)
    edges = _edges(x)
    ref, cur = bin_counts(x, edges), bin_counts(y, edges)
    finite, s1, s2 = moments(x)
    known = Sketch(n, finite, s1, s2, x[:0], *[np.zeros(0, dtype=np.int64)] * 4)
    out = _shape(base, known.deviation, found.w1, 0.0)
    out = tails.of_samples(_binned(out, ref, cur), x, y)
    plot = histograms.of_samples(x, y)
    return replace(
        out,
        ks=found.ks,
        p=p_value(found.ks, n, m),
        range_ref=_range(base, x[0], x[-1]),
        range_cur=_range(base, y[0], y[-1]),
        histogram=plot,
    )


def against_values(base: ColumnDrift, held: Sketch, y: NDArray[Any]) -> ColumnDrift:
    """Exact, as `samples` is: a sketch that holds every value, beside current y (m,), sorted and of the points' dtype.

    No reference value is unfolded; y is passed over only where it stands between the points, so hardly ever for a
    column of few values.
    """
    empty = _empty(base)
    if empty:
        return replace(base, reason=empty)
    total = cells(y, held.points)
    out = _shape(base, held.deviation, None if total.infinite else w1_known(held, total, y), 0.0)
    return replace(
        _at_points(out, held, total),
        range_ref=_range(base, held.points[0], held.points[-1]),
        range_cur=_range(base, y[0], y[-1]),
        histogram=histograms.of_known(held, y),
    )


def tables(base: ColumnDrift, ref: Counts, cur: Counts) -> ColumnDrift:
    """Exact, as `samples` is of all values: both sides as distinct whole numbers, ascending, and how many of each."""
    empty = _empty(base)
    if empty:
        return replace(base, reason=empty)
    points = np.union1d(ref.values, cur.values)
    held, now = _counted(ref, points), _counted(cur, points)
    no_values = np.zeros(len(points) - 1)
    total = Cells(now.n, now.below, now.at, no_values, 0.0, 0.0, False)
    w1 = float(np.sum(np.abs(held.at / held.n - now.at / now.n)[:-1] * gaps(points)))
    return replace(
        _at_points(_shape(base, held.deviation, w1, 0.0), held, total),
        range_ref=_range(base, ref.values[0], ref.values[-1]),
        range_cur=_range(base, cur.values[0], cur.values[-1]),
        histogram=histograms.of_tables(held, now),
    )


class Counts(NamedTuple):
    """values: (k,) int64 ascending, distinct; rows: (k,) int64, above 0."""

    values: NDArray[np.int64]
    rows: NDArray[np.int64]


def _counted(side: Counts, points: NDArray[np.int64]) -> Sketch:
    """Every value of one side, at points that hold all of them and more."""
    rows = np.zeros(len(points), dtype=np.int64)
    rows[np.searchsorted(points, side.values)] = side.rows
    at = np.cumsum(rows)
    pairs = list(zip(side.values.tolist(), side.rows.tolist(), strict=True))
    s1, s2 = (Fraction(sum(value**power * count for value, count in pairs)) for power in (1, 2))
    return Sketch(int(at[-1]), int(at[-1]), s1, s2, points, at - rows, at, at, at)


def _at_points(base: ColumnDrift, held: Sketch, total: Cells) -> ColumnDrift:
    """What the counts at the points of a sketch that holds every value give exactly."""
    n, m = held.n, total.n
    ks = max(
        float(np.abs(held.at / n - total.at_most / m).max()), float(np.abs(held.below / n - total.below / m).max())
    )
    binned = _binned(base, *_frozen_bins(held, total))
    return replace(tails.of_points(binned, held, total), ks=ks, p=p_value(ks, n, m))


def w1_known(held: Sketch, cur: Cells, y: NDArray[Any]) -> float:
    """∫ |F − G| of a sketch that holds every value: F is level between points, so that G crosses it once at most.

    In a cell where it does, the integral is cut at the value with which G reaches F's level.
    """
    n, m = held.n, len(y)
    near = Near(held.points[len(held.points) // 2], min(held.points[0], y[0]), max(held.points[-1], y[-1]))
    at = near(held.points)
    width, level = np.diff(at), held.lo[:-1] / n
    g_from = cur.at_most[:-1] / m
    g = g_from * width + cur.inside / m
    value = np.abs(level * width - g)
    reached = -(-held.lo[:-1] * m // n)
    """How many current values it takes for G to reach F."""
    crossed = np.flatnonzero((cur.at_most[:-1] < reached) & (reached <= cur.below[1:]))
    if len(crossed):
        start, stop = cur.at_most[:-1][crossed], reached[crossed]
        turn = near(y[stop - 1])
        before = turn - at[:-1][crossed]
        sums = segment_sums(y, start, stop, near)
        g_before = g_from[crossed] * before + ((stop - start) * turn - sums) / m
        flat, rest = level[crossed], at[1:][crossed] - turn
        value[crossed] = flat * before - g_before + (g[crossed] - g_before) - flat * rest
    return float(value.sum()) + (cur.left + cur.right) / m


def _edges(x: NDArray[Any]) -> Edges:
    """Quantile bins of a sorted sample: only values at the decile ranks can be boundaries or atoms."""
    n = len(x)
    ranks = np.ceil(np.arange(1, BINS + 1) * (n / BINS)).astype(np.int64) - 1
    values = distinct(x[np.minimum(ranks, n - 1)])
    return quantile_edges(values, np.searchsorted(x, values, "right"), np.searchsorted(x, values, "left"), n)


def _empty(base: ColumnDrift) -> str:
    sides = [side for side, n in (("reference", base.n_ref), ("current data", base.n_cur)) if n == 0]
    return f"no value in the {' nor the '.join(sides)}" if sides else ""


def _shape(base: ColumnDrift, deviation: float | None, w1: float | None, bound: float) -> ColumnDrift:
    """Wasserstein in the column's unit, and in standard deviations of the reference."""
    unit = _DAY if base.kind == "date" else 1.0
    if w1 is None:
        return replace(base, reason=_INFINITE)
    scaled = w1 / deviation if deviation else None
    reason = base.reason if deviation else _FLAT
    return replace(base, w1=w1 / unit, w1_bound=bound / unit, w1_scaled=scaled, reason=reason)


def _binned(base: ColumnDrift, ref: NDArray[np.int64], cur: NDArray[np.int64]) -> ColumnDrift:
    found = psi(ref, cur)
    return replace(base, psi=found.corrected, psi_raw=found.raw, js=jensen_shannon(ref, cur))


def _range(base: ColumnDrift, low: Any, high: Any) -> tuple[float, float]:
    """In the column's unit; dates in seconds since the epoch."""
    unit = 1e6 if base.kind == "date" else 1.0
    return float(low) / unit, float(high) / unit


class Tally(NamedTuple):
    """Current values counted against a reference's points: additive over batches, files and machines.

    n: values; missing: rows without one; low, high: the range, None where n is 0; cells: None where n is 0.
    """

    n: int = 0
    missing: int = 0
    low: Any = None
    high: Any = None
    cells: Cells | None = None


def tally(held: Sketch, batch: Numbers, name: str) -> Tally:
    """One batch. The points may be narrowed to the batch's dtype (`comparable`)."""
    missing, values = batch.nulls + batch.nans, batch.values
    if held.n == 0 or not len(values):
        return Tally(len(values), missing)
    points, values = comparable(held.points, values, name)
    if points.dtype != held.points.dtype:
        held = recast(held, points.dtype)
    return Tally(len(values), missing, values[0], values[-1], cells(values, held.points))


def added(one: Tally, other: Tally) -> Tally:
    """Both together; InvalidInput is impossible here: one reference gives one set of points."""
    if one.cells is None or other.cells is None:
        some = one if other.cells is None else other
        return some._replace(n=one.n + other.n, missing=one.missing + other.missing)
    return Tally(
        one.n + other.n,
        one.missing + other.missing,
        min(one.low, other.low),
        max(one.high, other.high),
        one.cells + other.cells,
    )


def sketched(base: ColumnDrift, held: Sketch, batches: Iterable[Numbers]) -> ColumnDrift:
    """A reference known at its points; the current data in batches. Every figure has its bound."""
    whole = Tally()
    for batch in batches:
        if held.n and len(batch.values):
            points, _ = comparable(held.points, batch.values[:1], base.name)
            if points.dtype != held.points.dtype:
                held = recast(held, points.dtype)
        whole = added(whole, tally(held, batch, base.name))
    return tallied(base, held, whole)


def tallied(base: ColumnDrift, held: Sketch, whole: Tally) -> ColumnDrift:
    """The figures of a column from the tally of all its current values."""
    base = replace(base, n_cur=whole.n, nulls_cur=whole.missing)
    empty = _empty(base)
    total = whole.cells
    if empty or total is None:
        return replace(base, reason=empty)
    ks = ks_bracket(held, total)
    w1 = None if total.infinite else w1_bracket(held, total)
    out = _shape(base, held.deviation, None if w1 is None else w1.value, 0.0 if w1 is None else w1.bound)
    out = tails.of_points(_binned(out, *_frozen_bins(held, total)), held, total)
    return replace(
        out,
        ks=ks.value,
        ks_bound=ks.bound,
        p=p_value(ks.value, held.n, total.n),
        range_ref=_range(base, held.points[0], held.points[-1]),
        range_cur=_range(base, whole.low, whole.high),
        histogram=histograms.of_points(held, total),
        method="profile",
    )


class Bracket(NamedTuple):
    """The exact figure lies within value ± bound."""

    value: float
    bound: float


def ks_bracket(held: Sketch, cur: Cells) -> Bracket:
    """KS D from bounds on the reference's counts. For one part, bound ≤ 1/10,000: the most a cell can hide."""
    n, m = held.n, cur.n
    at, before = cur.at_most / m, cur.below / m
    guess = np.maximum(
        np.abs((held.lo + held.at) / (2 * n) - at), np.abs((held.below + held.before) / (2 * n) - before)
    )
    value = float(guess.max())
    closing = np.append(before[1:], 1.0)
    most = max(
        float((held.up / n - at).max()),
        float((closing - held.lo / n).max()),
        float((held.at / n - at).max()),
        float((before - held.below / n).max()),
        float(before[0]),
    )
    least = max(
        0.0,
        float((held.lo / n - at).max()),
        float((at - held.at / n).max()),
        float((held.below / n - before).max()),
        float((before - held.before / n).max()),
    )
    return Bracket(value, max(most - value, value - least, 0.0))


def w1_bracket(held: Sketch, cur: Cells) -> Bracket:
    """∫ |F − G|: in each cell F is taken halfway between its bounds, and G's integral is exact."""
    n, m = held.n, cur.n
    width = gaps(held.points)
    lo, up = held.lo[:-1] / n, held.up[:-1] / n
    g_from, g_to = cur.at_most[:-1] / m, cur.below[1:] / m
    g = g_from * width + cur.inside / m
    value = np.abs((lo + up) / 2 * width - g)
    crossing = (up > g_from) & (g_to > lo)
    largest = np.maximum(up - g_from, g_to - lo) * width
    bound = np.where(crossing, np.maximum(largest - value, value), (up - lo) / 2 * width)
    return Bracket(float(value.sum()) + (cur.left + cur.right) / m, float(bound.sum()))


def _frozen_bins(held: Sketch, cur: Cells) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Counts of both sides in the reference's quantile bins, whose boundaries are points."""
    at_most, below = (held.lo + held.at) // 2, (held.below + held.before) // 2
    edges = quantile_edges(held.points, at_most, below, held.n)
    where = np.searchsorted(held.points, edges.values)
    ref = np.where(edges.strict, below[where], at_most[where])
    now = np.where(edges.strict, cur.below[where], cur.at_most[where])
    return np.diff(ref, prepend=0, append=held.n), np.diff(now, prepend=0, append=cur.n)


def counts(base: ColumnDrift, ref: Mapping[str, int], cur: Mapping[str, int], other: int) -> ColumnDrift:
    """Categories; `other`: current rows of new categories beyond the cap, taken as one more category."""
    empty = _empty(base)
    if empty:
        return replace(base, reason=empty)
    new = sorted((word for word in cur if word not in ref), key=lambda word: (-cur[word], word))
    lost = sorted((word for word in ref if not cur.get(word)), key=lambda word: (-ref[word], word))
    words = [*ref, *new]
    a = np.array([ref.get(word, 0) for word in words] + [0], dtype=np.int64)
    b = np.array([cur.get(word, 0) for word in words] + [other], dtype=np.int64)
    tested = contingency(a, b)
    known, common = a > 0, a >= RARE * a.sum()
    cells_ref = np.array([*a[common], a[known & ~common].sum(), 0])
    cells_cur = np.array([*b[common], b[known & ~common].sum(), b[~known].sum()])
    out = _binned(base, cells_ref, cells_cur)
    return replace(
        out,
        chi2=tested.statistic,
        p=tested.p,
        new=tuple(new[: histograms.SHOWN]),
        lost=tuple(lost[: histograms.SHOWN]),
        new_share=float(b[~known].sum() / b.sum()),
        histogram=histograms.of_categories(words, a, b),
    )


def texts(base: ColumnDrift, ref: text.Words, cur: text.Words) -> ColumnDrift:
    """Lengths in characters as a numeric column, and the share of tokens that the reference does not have."""
    before, after = Counts(ref.lengths, ref.length_counts), Counts(cur.lengths, cur.length_counts)
    n, m = int(before.rows.sum()), int(after.rows.sum())
    out = tables(replace(base, kind="text", n_ref=n, n_cur=m), before, after)
    unknown = text.unknown(ref, cur)
    if unknown is None:
        return out
    return replace(out, oov_share=unknown.share, oov_expected=unknown.expected, oov_p=unknown.p)


def told_apart(base: ColumnDrift, ref: vectors.Vectors, cur: vectors.Vectors) -> ColumnDrift:
    """Vectors by a classifier; the histogram is of its scores on the halves that it did not learn from."""
    sampled = max(ref.n - len(ref.rows), cur.n - len(cur.rows)) > 0
    base = replace(base, method="sample" if sampled else "exact")
    empty = _empty(base)
    found = None if empty else vectors.tell_apart(ref, cur, base.name)
    if found is None:
        return replace(base, reason=empty or f"fewer than {vectors.LEAST} vectors on a side")
    return replace(base, auc=found.auc, p=found.p, histogram=histograms.of_samples(found.reference, found.current))
