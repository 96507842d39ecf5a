"""Rows in ascending order of a score, by a sample sort: time grows as the rows do, and memory does not.

Sorting a long column jumps about in it, and takes the longer a row the less of it the cache holds. Here rows are first
dealt into buckets by bounds that a sample of the scores gives, each small enough for the cache, and sorted there. The
bounds change nothing of the result. A score that many rows share has a bucket to itself, which needs no sorting.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from gates.stats import spill

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

BUCKET = 1 << 16
"""Rows that are sorted at once, about."""
SAMPLED = 32
"""Scores sampled for each bucket."""
CELLS = 1 << 12
"""Cells of equal width between the first bound and the last."""


def ascending(scores: NDArray[np.float64], *carried: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """(scores, *carried) with rows in ascending order of score, (n,) each; equal scores in any order."""
    n = len(scores)
    if n <= 2 * BUCKET:
        order = np.argsort(scores)
        return tuple(np.asarray(column)[order] for column in (scores, *carried))
    bounds = _bounds(scores)
    found = tuple(spill.empty(n, column.dtype) for column in (scores, *carried))
    starts = _deal(bounds, (scores, *carried), found)
    walked = 0
    for start, stop in pairwise(starts):
        inside = found[0][start:stop]
        if stop - start > 1 and not bounds.alone[bounds.bucket(inside[:1])[0]]:
            order = np.argsort(inside)
            for column in found:
                column[start:stop] = np.asarray(column[start:stop])[order]
        walked += int(stop - start)
        if walked >= spill.KEPT:
            walked = 0
            spill.release(*found)
    spill.release(*found)
    return found


@dataclass(frozen=True)
class _Bounds:
    """edges (k,) ascending: bucket i holds edges[i - 1] <= score < edges[i]; alone (k + 1,): all its scores are one."""

    edges: NDArray[np.float64]
    alone: NDArray[np.bool_]
    table: _Table | None

    def bucket(self, scores: NDArray[np.float64]) -> NDArray[np.intp]:
        """Of each score: how many edges are at most it."""
        found = self.table.look(scores, self.edges) if self.table else None
        return np.searchsorted(self.edges, scores, side="right") if found is None else found


@dataclass(frozen=True)
class _Table:
    """Where a score's cell says its bucket, or all but one comparison of it; a search takes twenty times as long.

    A score's cell is a non-decreasing function of it, so an edge of a lower cell is at most the score, and one of a
    higher cell is not. below (CELLS,): edges of lower cells; edge (CELLS,): the cell's own, inf where it has none;
    many (CELLS,): whether it has several.
    """

    low: float
    scale: float
    below: NDArray[np.intp]
    edge: NDArray[np.float64]
    many: NDArray[np.bool_]

    def look(self, scores: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.intp]:
        cells = _cells(scores, self.low, self.scale)
        found: NDArray[np.intp] = self.below[cells] + (scores >= self.edge[cells])
        several = np.flatnonzero(self.many[cells])
        found[several] = np.searchsorted(edges, scores[several], side="right")
        return found


def _cells(scores: NDArray[np.float64], low: float, scale: float) -> NDArray[np.int32]:
    with np.errstate(over="ignore"):  # far outside is in the first or the last
        return np.clip((scores - low) * scale, 0, CELLS - 1).astype(np.int32)


def _table(edges: NDArray[np.float64]) -> _Table | None:
    """None where the edges are too few or too far apart to part what lies between."""
    if len(edges) < 2 or not 0 < (width := float(edges[-1]) - float(edges[0])) < np.inf:
        return None
    low, scale = float(edges[0]), CELLS / width
    if not np.isfinite(scale):
        return None
    cells = _cells(edges, low, scale)
    edge = np.full(CELLS, np.inf)
    edge[cells] = edges
    own = np.bincount(cells, minlength=CELLS)
    return _Table(low, scale, np.cumsum(own) - own, edge, own > 1)


def _bounds(scores: NDArray[np.float64]) -> _Bounds:
    k = -(-len(scores) // BUCKET)
    sample = np.sort(np.asarray(scores[:: max(1, len(scores) // (SAMPLED * k))]))
    spill.release(scores)
    chosen = sample[np.linspace(0, len(sample) - 1, k + 1).astype(np.intp)[1:-1]]
    edges, times = np.unique(chosen, return_counts=True)
    often = edges[times > 1]  # a score that fills a bucket
    edges = np.unique(np.concatenate([edges, np.nextafter(often, np.inf)]))
    alone = np.zeros(len(edges) + 1, dtype=bool)
    alone[np.searchsorted(edges, often, side="right")] = True
    return _Bounds(edges, alone, _table(edges))


def _deal(bounds: _Bounds, columns: tuple[NDArray[Any], ...], found: tuple[NDArray[Any], ...]) -> list[int]:
    """Write each row into its bucket; where the buckets start, and the end."""
    size = len(bounds.edges) + 1
    places = spill.empty(len(columns[0]), np.uint16 if size < 1 << 16 else np.uint32)
    counts = np.zeros(size, dtype=np.int64)
    for part in spill.parts(columns[0], places):
        place = bounds.bucket(np.asarray(columns[0][part]))
        places[part] = place
        counts += np.bincount(place, minlength=size)
    starts = np.concatenate([[0], np.cumsum(counts)])
    free = starts[:-1].copy()
    for part in spill.parts(*columns, places, *found):
        place = np.asarray(places[part])
        order = np.argsort(place, kind="stable")
        ends = np.cumsum(np.bincount(place, minlength=size))
        for column, out in zip(columns, found, strict=True):
            dealt, begin = np.asarray(column[part])[order], 0
            for i, end in enumerate(ends.tolist()):
                if end > begin:
                    out[free[i] : free[i] + end - begin] = dealt[begin:end]
                begin = end
        free += np.diff(ends, prepend=0)
    return [int(start) for start in starts]


@dataclass(frozen=True)
class Steps:
    """Rows [start, stop) of equal scores together: hits (u,), how many are positive, and rows (u,), by score."""

    start: int
    stop: int
    hits: NDArray[np.int64]
    rows: NDArray[np.int64]


def steps(scores: NDArray[np.float64], positive: NDArray[np.bool_], *written: NDArray[Any]) -> Iterator[Steps]:
    """All rows, which are in ascending order of score, in stretches that part no two of equal score.

    Only a stretch of one score is longer than BUCKET rows. written: columns whose pages are given back too.
    """
    n, start, walked = len(scores), 0, 0
    while start < n:
        stop = min(n, start + BUCKET)
        if stop < n and scores[stop] == scores[stop - 1]:
            first = int(np.searchsorted(scores[start:stop], scores[stop], side="left")) + start
            stop = first if first > start else start + _run(scores[start:])
        if stop - start > BUCKET:
            hits = sum(int(np.count_nonzero(block)) for (block,) in spill.blocks(positive[start:stop], size=BUCKET))
            yield Steps(start, stop, np.array([hits]), np.array([stop - start]))
        else:
            yield _counted(start, stop, np.asarray(scores[start:stop]), np.asarray(positive[start:stop]))
        walked += stop - start
        if walked >= spill.KEPT:
            walked = 0
            spill.release(scores, positive, *written)
        start = stop


def _run(scores: NDArray[np.float64]) -> int:
    """How many of the first are equal."""
    return int(np.searchsorted(scores, scores[0], side="right"))


def _counted(start: int, stop: int, scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> Steps:
    begins = np.flatnonzero(np.concatenate([[True], scores[1:] != scores[:-1]]))
    rows = np.diff(begins, append=stop - start)
    if len(begins) == stop - start:
        return Steps(start, stop, positive.astype(np.int64), rows)
    return Steps(start, stop, np.add.reduceat(positive, begins, dtype=np.int64), rows)


def write(
    step: Steps,
    positive: NDArray[np.bool_],
    out: NDArray[np.float64],
    of_hit: NDArray[np.float64],
    of_miss: NDArray[np.float64],
) -> None:
    """Each row's value, by whether it is positive; of_hit, of_miss: (u,) by score."""
    n = step.stop - step.start
    if len(step.rows) not in (1, n):
        of_hit, of_miss = np.repeat(of_hit, step.rows), np.repeat(of_miss, step.rows)
    for start in range(0, n, BUCKET):
        part = slice(start, min(n, start + BUCKET))
        here = slice(step.start + part.start, step.start + part.stop)
        one = len(of_hit) == 1
        out[here] = np.where(positive[here], of_hit if one else of_hit[part], of_miss if one else of_miss[part])
