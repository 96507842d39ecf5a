"""Population stability index on frozen bins, with its bias removed, and the bins themselves.

Rules: bins are quantile bins of the reference. A boundary is a value and a side, so that a value that holds a whole
bin's share of the rows (an atom) gets a bin of its own, and a constant reference still sees what lies beside it.
A cell empty on both sides is left out; a cell empty on one side counts as half a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 10


def distinct(values: NDArray[Any]) -> NDArray[Any]:
    """The distinct values of an ascending array. `np.unique` would sort again, and import numpy.ma (50 ms)."""
    if len(values) == 0:
        return values
    kept: NDArray[Any] = values[np.append(True, values[1:] != values[:-1])]
    return kept


class Edges(NamedTuple):
    """Boundaries between bins: the rows before boundary i are those < values[i] where strict[i], else ≤ values[i]."""

    values: NDArray[Any]
    strict: NDArray[np.bool_]


def quantile_edges(values: NDArray[Any], at_most: NDArray[Any], below: NDArray[Any], n: int, bins: int = BINS) -> Edges:
    """Boundaries from the sorted distinct `values` (k,), the number of rows ≤ each (k,) and < each (k,), of n rows."""
    targets = np.ceil(np.arange(1, bins) * (n / bins))
    heavy = (at_most - below) * bins >= n
    chosen = heavy.copy()
    chosen[np.minimum(np.searchsorted(at_most, targets, side="left"), len(values) - 1)] = True
    both = np.flatnonzero(chosen)
    alone = heavy[both]
    index = np.concatenate([both[alone], both])
    strict = np.concatenate([np.ones(int(alone.sum()), dtype=np.bool_), np.zeros(len(both), dtype=np.bool_)])
    order = np.lexsort((~strict, index))
    return Edges(values[index[order]], strict[order])


def bin_counts(sorted_values: NDArray[Any], edges: Edges) -> NDArray[np.int64]:
    """Rows in each of the len(edges) + 1 bins; `sorted_values` (n,) ascending without NaN."""
    before = np.where(
        edges.strict,
        np.searchsorted(sorted_values, edges.values, side="left"),
        np.searchsorted(sorted_values, edges.values, side="right"),
    )
    return np.diff(np.concatenate([[0], before, [len(sorted_values)]])).astype(np.int64)


class Psi(NamedTuple):
    corrected: float
    """raw − bias: mean 0 under no drift, so it can be a little below 0."""
    raw: float
    bias: float


def psi(reference: NDArray[np.int64], current: NDArray[np.int64]) -> Psi:
    """Σ (q − p) ln(q / p) over the bins, and its mean (B − 1)(1/n + 1/m) under no drift.

    Source: Yurdakul & Naranjo, Journal of Risk Model Validation 14 (2020), for mean and distribution.

    reference, current: (bins,) counts. ValueError when a side counts nothing.
    """
    n, m = int(reference.sum()), int(current.sum())
    if n < 1 or m < 1:
        raise ValueError("PSI needs rows on both sides")
    used = (reference > 0) | (current > 0)
    p = np.maximum(reference[used], 0.5) / n
    q = np.maximum(current[used], 0.5) / m
    raw = float(np.sum((q - p) * np.log(q / p)))
    bias = (int(used.sum()) - 1) * (1.0 / n + 1.0 / m)
    return Psi(raw - bias, raw, bias)
