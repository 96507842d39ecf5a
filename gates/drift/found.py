"""What a scan found in one column: figures only, no decision.

None means 'could not be computed', and `reason` says why; it is never written as 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["numeric", "categorical", "boolean", "date", "text", "vector", "unknown"]
Method = Literal["exact", "profile", "sample"]


@dataclass(frozen=True)
class Histogram:
    """Shares of both sides in the same bins, for a plot. edges: (bins + 1) numbers, or labels: (bins) categories."""

    reference: tuple[float, ...]
    current: tuple[float, ...]
    edges: tuple[float, ...] | None = None
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True)
class ColumnDrift:
    """One column of the reference beside the same column of the current data.

    n_ref, n_cur: values that are there; nulls_ref, nulls_cur: rows without one (null or NaN). ks: D in [0, 1];
    ks_bound: how far the reported D can be from the exact one (0 in exact mode). p: of KS, or of chi-square for
    categories. psi: bias removed; psi_raw: as summed. w1: in the column's unit (days for dates); w1_scaled: divided by
    the reference's standard deviation. js: base 2, in [0, 1]. missing_difference: current share of missing rows minus
    the reference's, with its 95 % interval and p-value. tail_difference: the same of values beyond where the middle
    nine tenths of the reference lie, and tail_p. new, lost: categories seen on one side only (at most 20 of each);
    range_ref, range_cur: of both sides. oov_*: the share of a text's tokens that the reference does not know.
    auc: of a classifier that tells vectors of the two sides apart, 0.5 where it cannot.
    """

    name: str
    kind: Kind
    n_ref: int
    n_cur: int
    nulls_ref: int = 0
    nulls_cur: int = 0
    missing_difference: float | None = None
    missing_interval: tuple[float, float] | None = None
    missing_p: float | None = None
    ks: float | None = None
    ks_bound: float = 0.0
    p: float | None = None
    psi: float | None = None
    psi_raw: float | None = None
    w1: float | None = None
    w1_bound: float = 0.0
    w1_scaled: float | None = None
    js: float | None = None
    chi2: float | None = None
    tail_difference: float | None = None
    tail_p: float | None = None
    new: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    new_share: float = 0.0
    range_ref: tuple[float, float] | None = None
    range_cur: tuple[float, float] | None = None
    oov_share: float | None = None
    oov_expected: float | None = None
    oov_p: float | None = None
    auc: float | None = None
    method: Method = "exact"
    reason: str = ""
    histogram: Histogram | None = None
