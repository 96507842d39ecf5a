"""Missing values as a signal of their own: the difference of their shares, with an interval and a p-value.

The interval is written here and not taken from `stats.proportion`, which imports scipy.special: a third of a second
that a drift check of a small table need not spend.
"""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gates.drift.found import ColumnDrift


def with_missing(column: ColumnDrift, confidence: float = 0.95) -> ColumnDrift:
    """With missing_difference (current − reference), its interval, and the p-value of the pooled two-proportion z-test.

    p is None where neither side misses a value: then there is nothing to test.
    """
    rows_ref, rows_cur = column.n_ref + column.nulls_ref, column.n_cur + column.nulls_cur
    if rows_ref == 0 or rows_cur == 0:
        return column
    difference = column.nulls_cur / rows_cur - column.nulls_ref / rows_ref
    p: float | None = None
    if column.nulls_ref + column.nulls_cur:
        pooled = (column.nulls_ref + column.nulls_cur) / (rows_ref + rows_cur)
        spread = math.sqrt(pooled * (1 - pooled) * (1 / rows_ref + 1 / rows_cur))
        p = math.erfc(abs(difference) / spread / math.sqrt(2)) if spread > 0 else 1.0
    interval = newcombe(column.nulls_cur, rows_cur, column.nulls_ref, rows_ref, confidence)
    return replace(column, missing_difference=difference, missing_interval=interval, missing_p=p)


def newcombe(a: int, n: int, b: int, m: int, confidence: float) -> tuple[float, float]:
    """Interval of a/n − b/m (Newcombe, Statistics in Medicine 17 (1998) 873, method 10)."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p, q = a / n, b / m
    (p_low, p_high), (q_low, q_high) = _wilson(p, n, z), _wilson(q, m, z)
    return p - q - math.hypot(p - p_low, q_high - q), p - q + math.hypot(p_high - p, q - q_low)


def _wilson(p: float, n: int, z: float) -> tuple[float, float]:
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)
