"""The two distributions of a column side by side, as shares in the same bins: what a drifted column's plot shows.

Rules: twenty bins of equal width between the first and the ninety-ninth percentile of both sides, the rest in the
outer two; the largest twenty categories, the rest as one. No plot where the span is infinite.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gates.drift.found import Histogram

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gates.drift.sketch import Cells, Sketch

SHOWN = 20
BINS = 20


def of_samples(x: NDArray[Any], y: NDArray[Any]) -> Histogram | None:
    low = min(float(x[len(x) // 100]), float(y[len(y) // 100]))
    high = max(float(x[-1 - len(x) // 100]), float(y[-1 - len(y) // 100]))
    edges = _edges(low, high)
    if edges is None:
        return None
    ref, cur = _below(x, edges), _below(y, edges)
    return _histogram(ref / len(x), cur / len(y), edges)


def of_known(held: Sketch, y: NDArray[Any]) -> Histogram | None:
    """`of_samples` of every reference value and y."""
    m = len(y)
    low, high = _percentiles(held)
    edges = _edges(min(low, float(y[m // 100])), max(high, float(y[-1 - m // 100])))
    return None if edges is None else _histogram(_shares(held, edges), _below(y, edges) / m, edges)


def of_tables(ref: Sketch, cur: Sketch) -> Histogram | None:
    """`of_samples` of every value of both sides."""
    ends = [*_percentiles(ref), *_percentiles(cur)]
    edges = _edges(min(ends), max(ends))
    return None if edges is None else _histogram(_shares(ref, edges), _shares(cur, edges), edges)


def _percentiles(held: Sketch) -> tuple[float, float]:
    """The values of rank n // 100 from either end, of a sketch that holds every value."""
    ranks = [held.n // 100, held.n - 1 - held.n // 100]
    low, high = held.points[np.searchsorted(held.at, ranks, side="right")]
    return float(low), float(high)


def _shares(held: Sketch, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    rows = np.diff(np.append(0, held.at)[np.cumsum(_below(held.points, edges))], prepend=0)
    shares: NDArray[np.float64] = rows / held.n
    return shares


def _below(values: NDArray[Any], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rows in each bin of the plot. For whole numbers ≤ an edge is ≤ its floor, so the column stays as it is."""
    inner = edges[1:-1] if values.dtype.kind == "f" else np.clip(np.floor(edges[1:-1]), -(2.0**62), 2.0**62)
    ranks = np.searchsorted(values, inner.astype(values.dtype), side="right")
    return np.diff(ranks, prepend=0, append=len(values)).astype(np.int64)


def _edges(low: float, high: float) -> NDArray[np.float64] | None:
    if not (np.isfinite(low) and np.isfinite(high) and np.isfinite(high - low)):
        return None
    if low == high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, BINS + 1)


def of_points(held: Sketch, cur: Cells) -> Histogram | None:
    at = held.points.astype(np.float64)
    f, g = (held.lo + held.at) / 2 / held.n, cur.at_most / cur.n
    spots = [np.clip(np.searchsorted(side, [0.01, 0.99]), 0, len(at) - 1) for side in (f, g)]
    edges = _edges(float(min(at[s[0]] for s in spots)), float(max(at[s[1]] for s in spots)))
    if edges is None or not np.isfinite(at).all():
        return None
    shares = [
        np.diff(np.interp(edges[1:-1], at, side, left=0.0, right=1.0), prepend=0.0, append=1.0) for side in (f, g)
    ]
    return _histogram(shares[0], shares[1], edges)


def _histogram(ref: NDArray[np.float64], cur: NDArray[np.float64], edges: NDArray[np.float64]) -> Histogram:
    return Histogram(tuple(ref.tolist()), tuple(cur.tolist()), edges=tuple(edges.tolist()))


def of_categories(words: list[str], a: NDArray[np.int64], b: NDArray[np.int64]) -> Histogram:
    """The largest categories of either side, the rest as one."""
    share_a, share_b = a / a.sum(), b / b.sum()
    order = np.argsort(-np.maximum(share_a, share_b), kind="stable")
    top = [int(i) for i in order[:SHOWN] if i < len(words)]
    labels = [words[i] for i in top]
    ref, cur = [float(share_a[i]) for i in top], [float(share_b[i]) for i in top]
    if len(top) < len(words) or b[-1]:
        labels.append("(other)")
        ref.append(max(0.0, 1.0 - sum(ref)))
        cur.append(max(0.0, 1.0 - sum(cur)))
    return Histogram(tuple(ref), tuple(cur), labels=tuple(labels))
