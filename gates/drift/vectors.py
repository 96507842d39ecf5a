"""Embeddings: columns whose rows are vectors, judged by how well a classifier tells the two sides apart.

Rules: at most `SAMPLE` vectors of a side are kept, those with the smallest hashes of their numbers: the same ones in
any order of parts, so that profiles merge exactly. A vector that stands twice in a batch has two hashes, so that rows
are sampled and not values. A row without a vector, or with a NaN or an infinity in it, is missing.

The test is the classifier two-sample test (Lopez-Paz & Oquab, ICLR 2017): learn on one half, score the other. The area
under its ROC curve is the effect, 0.5 where nothing can be told; its p-value is Mann and Whitney's of the half that was
not learned from, valid whatever the classifier is. The classifier is kernel ridge, Gaussian by the median distance
(Gretton et al., JMLR 13 (2012), section 8) beside linear: it sees a shift of the mean and a change of shape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gates.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa
    from numpy.typing import NDArray

SAMPLE = 1_000
LEAST = 40
"""Vectors on each side below which half of them teach nothing."""
SLICE = 4_096
RIDGE = 1.0


@dataclass(frozen=True, eq=False)
class Vectors:
    """n: rows with a vector. hashes: (k,) uint64 ascending; rows: (k, size) float32, k = min(n, the cap)."""

    n: int
    hashes: NDArray[np.uint64]
    rows: NDArray[np.float32]

    @property
    def size(self) -> int:
        return int(self.rows.shape[1])


EMPTY = Vectors(0, np.zeros(0, dtype=np.uint64), np.zeros((0, 0), dtype=np.float32))


class Seen(NamedTuple):
    vectors: Vectors
    nulls: int
    nans: int


def vectors(chunks: Iterable[pa.Array[Any]], name: str, cap: int = SAMPLE) -> Seen:
    """Of a column of lists of floats. InvalidInput when they are not of one length."""
    held, nulls, nans = EMPTY, 0, 0
    for chunk in chunks:
        for at in range(0, len(chunk), SLICE):
            piece: Any = chunk.slice(at, SLICE)
            nulls += piece.null_count
            rows = _matrix(piece, name)
            there = np.isfinite(rows).all(axis=1)
            nans += len(rows) - int(np.count_nonzero(there))
            rows = rows[there]
            if len(rows):
                held = merge(held, _kept(len(rows), _hashes(rows), rows, cap), name, cap)
    return Seen(held, nulls, nans)


def _matrix(array: Any, name: str) -> NDArray[np.float32]:
    """(rows that are not null, size) as float32, a null inside as NaN."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from gates.drift.column import values_of

    array = pc.drop_null(array)
    if not len(array):
        return np.zeros((0, 0), dtype=np.float32)
    lengths = pc.unique(pc.list_value_length(array)).to_pylist()
    if len(lengths) > 1 or not lengths[0]:
        raise InvalidInput(
            f"column {name!r} holds vectors of {' and '.join(str(k) for k in sorted(lengths)[:3])} numbers",
            hint="write vectors of one model",
        )
    values, valid = values_of(pc.list_flatten(array).cast(pa.float32()))
    rows: NDArray[np.float32] = np.add(values, np.float32(0))  # a copy, in which -0.0 and 0.0 are one
    if valid is not None:
        rows[~valid] = np.nan
    return rows.reshape(len(array), lengths[0])


def _hashes(rows: NDArray[np.float32]) -> NDArray[np.uint64]:
    """One a row: multilinear over its bits with fixed odd factors (Lemire & Kaser 2014), then mixed."""
    factors = _mixed(np.arange(1, rows.shape[1] + 1, dtype=np.uint64)) | np.uint64(1)
    bits = rows.view(np.uint32).astype(np.uint64)
    found = _mixed((bits * factors).sum(axis=1, dtype=np.uint64))
    order = np.argsort(found, kind="stable")
    new = np.append(True, np.diff(found[order]) != 0)
    place = np.arange(len(found))
    again = place - np.maximum.accumulate(np.where(new, place, 0))
    repeated = order[again > 0]
    found[repeated] = _mixed(found[repeated] + again[again > 0].astype(np.uint64))
    return found


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64's finaliser (Steele, Lea & Flood 2014)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = x ^ (x >> np.uint64(31))
    return mixed


def _kept(n: int, hashes: NDArray[np.uint64], rows: NDArray[np.float32], cap: int) -> Vectors:
    order = np.argsort(hashes, kind="stable")[:cap]
    return Vectors(n, hashes[order], rows[order])


def merge(one: Vectors, other: Vectors, name: str, cap: int = SAMPLE) -> Vectors:
    """The smallest hashes of both; InvalidInput when the vectors are not of one length."""
    if one.n == 0 or other.n == 0:
        return other if one.n == 0 else one
    if one.size != other.size:
        raise InvalidInput(
            f"column {name!r} holds vectors of {one.size} and {other.size} numbers", hint="write vectors of one model"
        )
    hashes, rows = np.concatenate([one.hashes, other.hashes]), np.concatenate([one.rows, other.rows])
    return _kept(one.n + other.n, hashes, rows, cap)


class Told(NamedTuple):
    """auc: of telling the sides apart, on the halves that were not learned from; p: one-sided.

    reference, current: the scores of these halves, each sorted; more is more like the current data.
    """

    auc: float
    p: float
    reference: NDArray[np.float64]
    current: NDArray[np.float64]


def tell_apart(reference: Vectors, current: Vectors, name: str) -> Told | None:
    """None when a side has fewer than `LEAST` vectors. InvalidInput when they are not of one length."""
    if min(reference.n, current.n) and reference.size != current.size:
        raise InvalidInput(
            f"column {name!r} holds vectors of {current.size} numbers, and of {reference.size} in the reference",
            hint="embed both with one model",
        )
    a, b = reference.rows.astype(np.float64), current.rows.astype(np.float64)
    if min(len(a), len(b)) < LEAST:
        return None
    learn_a, learn_b = a[::2], b[::2]  # in the order of their hashes, which is no order at all
    known = np.concatenate([learn_a, learn_b])
    middle, spread = known.mean(axis=0), known.std(axis=0)
    spread[spread == 0] = 1.0
    known = (known - middle) / spread
    targets = np.concatenate([np.full(len(learn_a), -1 / len(learn_a)), np.full(len(learn_b), 1 / len(learn_b))])
    squares = _squares(known, known)
    width = float(np.median(squares[np.triu_indices(len(known), 1)])) or 1.0
    gram = _kernel(known, known, squares, width)
    gram[np.diag_indices_from(gram)] += RIDGE
    weights = np.linalg.solve(gram, targets)
    x, y = (
        np.sort(_kernel(half, known, _squares(half, known), width) @ weights)
        for half in ((a[1::2] - middle) / spread, (b[1::2] - middle) / spread)
    )
    return Told(*mann_whitney(x, y), x, y)


def _squares(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, m) squared distances."""
    found: NDArray[np.float64] = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2 * (a @ b.T)
    return np.maximum(found, 0.0)


def _kernel(
    a: NDArray[np.float64], b: NDArray[np.float64], squares: NDArray[np.float64], width: float
) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.exp(-squares / width) + a @ b.T / a.shape[1]
    return found


def mann_whitney(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """P(x < y) + P(x = y)/2 of two sorted samples, and the p-value of it being over 1/2.

    Mann & Whitney 1947, with the variance for ties (Lehmann 1975, eq. 1.35) and the continuity correction of 1/2.
    """
    n, m = len(x), len(y)
    below = np.searchsorted(x, y, side="left")
    upto = np.searchsorted(x, y, side="right")
    u = float((below + upto).sum()) / 2
    ties = np.unique(np.concatenate([x, y]), return_counts=True)[1].astype(np.float64)
    total = n + m
    variance = n * m / 12 * (total + 1 - float((ties**3 - ties).sum()) / (total * (total - 1)))
    if variance <= 0:
        return u / (n * m), 1.0
    return u / (n * m), 0.5 * math.erfc((u - n * m / 2 - 0.5) / math.sqrt(2 * variance))


ARRAYS = ("hashes", "rows")


def arrays(held: Vectors) -> dict[str, NDArray[Any]]:
    return {"hashes": held.hashes, "rows": held.rows.ravel()}


def header(held: Vectors) -> dict[str, int]:
    return {"n": held.n, "size": held.size}


def parse(row: dict[str, int], found: dict[str, NDArray[Any]]) -> Vectors:
    """ValueError when the numbers do not fit the header."""
    return Vectors(row["n"], found["hashes"], found["rows"].reshape(len(found["hashes"]), row["size"]))
