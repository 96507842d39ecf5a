"""Corrections for looking at many things at once.

Many slices or columns tested at 5 % each raise false alarms almost surely; these keep the rate of the whole family.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjusted p-values that hold the family-wise error rate (Holm 1979, Scand. J. Statist. 6:65-70).

    p_values: (m,) in [0, 1]. Returns (m,) float64 in the same order; reject where adjusted <= alpha.
    Raises ValueError for a value outside [0, 1] or NaN.
    """
    p, order = _ordered(p_values)
    m = len(p)
    adjusted = np.minimum(np.maximum.accumulate(p[order] * (m - np.arange(m))), 1.0)
    return _unsort(adjusted, order)


def benjamini_hochberg(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjusted p-values (q-values) that hold the false discovery rate (Benjamini & Hochberg 1995, JRSS B 57:289-300).

    p_values: (m,) in [0, 1]. Returns (m,) float64 in the same order; a discovery where adjusted <= q.
    Raises ValueError for a value outside [0, 1] or NaN.
    """
    p, order = _ordered(p_values)
    m = len(p)
    scaled = p[order] * m / np.arange(1, m + 1)
    adjusted = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return _unsort(adjusted, order)


def _ordered(p_values: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not np.all((p >= 0) & (p <= 1)):
        raise ValueError(f"p-values must be one row of numbers in [0, 1], got {p!r}")
    return p, np.argsort(p, kind="stable")


def _unsort(values: NDArray[np.float64], order: NDArray[np.intp]) -> NDArray[np.float64]:
    out = np.empty_like(values)
    out[order] = values
    return out
