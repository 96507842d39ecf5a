"""Which columns drifted, and whether to retrain: pure decisions on figures.

Rule (3-policy.md): a column drifted only if an effect is over its limit and the test of the same difference is
significant after Benjamini–Hochberg over all tests of all columns. A difference in missing values, and one in the tails
that noise makes, is a test of its own.
A column with too few values, or without a statistic that its limits need, is undecided and never counts as stable.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gates.stats.multiplicity import benjamini_hochberg

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gates.drift.found import ColumnDrift, Histogram

HIGH = 0.3
"""PSI or KS D beyond which the severity is high."""
HIGH_AUC = 0.7
"""The same for vectors: normal columns that KS tells apart by 0.3 have an AUC of 0.7."""

TESTS = ("distribution", "tail", "missing", "vocabulary")
"""Each has a p-value of its own in a column."""
_TAIL = "share beyond the reference's middle 90 % differs by"

COLUMN_KEYS = ("name", "kind", "ks", "p", "q", "psi", "w1", "js", "chi2", "drifted", "severity", "action")


@dataclass(frozen=True)
class Limits:
    """Effect sizes that matter; None: that effect is not judged. tail_max, missing_max, oov_max: differences of shares.
    auc_max: of vectors.
    """

    psi_max: float | None = 0.2
    ks_max: float | None = 0.1
    tail_max: float | None = 0.05
    missing_max: float | None = 0.05
    oov_max: float | None = 0.1
    auc_max: float | None = 0.6


@dataclass(frozen=True)
class ColumnDecision:
    """What was decided of one column. drifted is None when it is undecided; n_needed says how many values would do."""

    found: ColumnDrift
    q: float | None
    drifted: bool | None
    severity: str
    action: str
    why: str
    n_needed: int | None = None
    weight: float = 1.0

    @property
    def name(self) -> str:
        return self.found.name

    def to_json(self) -> dict[str, Any]:
        """The keys of report.v1 `columns`; what is not a finite number is null, an undecided column is not drifted.

        Beside them where there is something to say: `auc` of vectors, `tail` of numbers, `ks_bound` and `w1_bound` (how
        far the figure can be from the exact one), and `histogram` of a drifted column (see `found.Histogram`; shares to
        four digits).
        """
        f = self.found
        numbers = {"ks": f.ks, "p": f.p, "q": self.q, "psi": f.psi, "w1": f.w1, "js": f.js, "chi2": f.chi2}
        row: dict[str, Any] = {"name": f.name, "kind": f.kind, "severity": self.severity, "action": self.action}
        row["drifted"] = self.drifted is True
        row.update({k: None if v is None or not math.isfinite(v) else float(v) for k, v in numbers.items()})
        more: dict[str, Any] = {
            key: float(f"{bound:.3g}")
            for key, bound in (("ks_bound", f.ks_bound), ("w1_bound", f.w1_bound))
            if bound > 0
        }
        if f.tail_difference is not None:
            more["tail"] = float(f"{f.tail_difference:.4g}")
        if f.auc is not None:
            more["auc"] = float(f"{f.auc:.4g}")
        if self.drifted is True and f.histogram is not None:
            more["histogram"] = _shown(f.histogram)
        return {**{key: row[key] for key in COLUMN_KEYS}, **more}


def _shown(histogram: Histogram) -> dict[str, Any]:
    shares = {"reference": histogram.reference, "current": histogram.current}
    shown: dict[str, Any] = {side: [round(share, 4) for share in values] for side, values in shares.items()}
    if histogram.edges is not None:
        shown["edges"] = [float(f"{edge:.6g}") for edge in histogram.edges]
    if histogram.labels is not None:
        shown["labels"] = list(histogram.labels)
    return shown


def decide(
    columns: Sequence[ColumnDrift],
    *,
    psi_max: float | None = 0.2,
    ks_max: float | None = 0.1,
    tail_max: float | None = 0.05,
    missing_max: float | None = 0.05,
    oov_max: float | None = 0.1,
    auc_max: float | None = 0.6,
    fdr_q: float = 0.05,
    min_samples: int = 100,
    weights: Mapping[str, float] | None = None,
) -> tuple[ColumnDecision, ...]:
    """One decision a column, in the order given. weights: by column name, ≥ 0; a column not named weighs 0 then."""
    limits = Limits(psi_max, ks_max, tail_max, missing_max, oov_max, auc_max)
    q_of = _adjusted(columns, limits)
    decisions = []
    for i, found in enumerate(columns):
        weight = 1.0 if weights is None else float(weights.get(found.name, 0.0))
        q = {test: q_of[i, test] for test in TESTS if (i, test) in q_of}
        decisions.append(_one(found, q, limits, fdr_q, min_samples, weight))
    return tuple(decisions)


def _adjusted(columns: Sequence[ColumnDrift], limits: Limits) -> dict[tuple[int, str], float]:
    """q-values of the family: every p-value of every column, but for effects that are not judged."""
    left_out = {t for t, limit in (("tail", limits.tail_max), ("missing", limits.missing_max)) if limit is None}
    tests: list[tuple[tuple[int, str], float]] = []
    for i, found in enumerate(columns):
        ps = zip(TESTS, (found.p, found.tail_p, found.missing_p, found.oov_p), strict=True)
        tests += [((i, t), p) for t, p in ps if p is not None and math.isfinite(p) and t not in left_out]
    if not tests:
        return {}
    adjusted = benjamini_hochberg(np.array([p for _, p in tests]))
    return {key: float(q) for (key, _), q in zip(tests, adjusted, strict=True)}


def _one(
    found: ColumnDrift, q: Mapping[str, float], limits: Limits, fdr_q: float, min_samples: int, weight: float
) -> ColumnDecision:
    effects = _effects(found, limits)
    over = [text for test, text, is_over in effects if is_over and q.get(test, 1.0) <= fdr_q]
    shown = q.get("distribution")
    if over:
        high = max(found.psi or 0.0, found.ks or 0.0) > HIGH or (found.auc or 0.0) > HIGH_AUC
        severity = "high" if high else "medium"
        return ColumnDecision(found, shown, True, severity, _action(found, high, over), ", ".join(over), weight=weight)
    rows = min(found.n_ref + found.nulls_ref, found.n_cur + found.nulls_cur)
    fewest = min(found.n_ref, found.n_cur)
    if fewest < min_samples:
        why = f"{fewest} values of {min_samples} needed on each side"
        action = "collect more rows" if rows < min_samples else "find out why the values are missing"
        return ColumnDecision(found, shown, None, "none", action, why, min_samples, weight)
    judged = any(test not in ("missing", "tail") for test, _, _ in effects)
    if not judged or "distribution" not in q:
        why = found.reason or "no statistic that the limits judge could be computed"
        action = "look at the column: it could not be compared"
        return ColumnDecision(found, shown, None, "none", action, why, None, weight)
    return ColumnDecision(found, shown, False, "none", "none", _within(effects, q, fdr_q), weight=weight)


def _effects(found: ColumnDrift, limits: Limits) -> list[tuple[str, str, bool]]:
    """(test, what was seen against the limit, whether it is over) of every effect that is judged and was computed."""
    gap = None if found.missing_difference is None else abs(found.missing_difference)
    tail = None if found.tail_difference is None else abs(found.tail_difference)
    extra = None if found.oov_share is None else found.oov_share - (found.oov_expected or 0.0)
    rows = (
        ("distribution", "PSI", found.psi, limits.psi_max),
        ("distribution", "KS", found.ks, limits.ks_max),
        ("distribution", "AUC of telling the sides apart", found.auc, limits.auc_max),
        ("tail", _TAIL, tail, limits.tail_max),
        ("missing", "missing share differs by", gap, limits.missing_max),
        ("vocabulary", "unknown tokens exceed the expected by", extra, limits.oov_max),
    )
    return [
        (test, f"{label} {value:.4g} over {limit:g}", value > limit)
        for test, label, value, limit in rows
        if value is not None and math.isfinite(value) and limit is not None
    ]


def _within(effects: list[tuple[str, str, bool]], q: Mapping[str, float], fdr_q: float) -> str:
    chance = [text for test, text, is_over in effects if is_over and q.get(test, 1.0) > fdr_q]
    return f"{', '.join(chance)}, but not beyond chance" if chance else "within the limits"


def _action(found: ColumnDrift, high: bool, over: list[str]) -> str:
    if any(text.startswith("missing") for text in over):
        return "check the upstream feed: missing values changed"
    if all(text.startswith(_TAIL) for text in over):
        return "check the upstream feed: values scatter otherwise, then retrain"
    if found.new_share > 0 and found.kind in ("categorical", "boolean"):
        return "check the encoding of new categories, then retrain"
    return "check the upstream feed, then retrain" if high else "watch, and retrain if performance drops"


@dataclass(frozen=True)
class Share:
    """Weighted share of columns: drifted for certain, and at most (when every undecided one had drifted)."""

    drifted: float
    at_most: float


def share(decisions: Sequence[ColumnDecision]) -> Share | None:
    """None when there is nothing to share in: no column, or no weight."""
    total = math.fsum(d.weight for d in decisions)
    if not total > 0 or not math.isfinite(total):
        return None
    certain = math.fsum(d.weight for d in decisions if d.drifted is True)
    open_ = math.fsum(d.weight for d in decisions if d.drifted is None)
    return Share(certain / total, (certain + open_) / total)


@dataclass(frozen=True)
class Retrain:
    decide: bool
    reason: str | None

    def to_json(self) -> dict[str, Any]:
        return {"decide": self.decide, "reason": self.reason}


def retrain(
    decisions: Sequence[ColumnDecision],
    *,
    drift_verdict: str = "",
    on_drift: bool = False,
    on_performance_drop: float | None = None,
    performance_delta: float | None = None,
    on_age: float | None = None,
    model_age: float | None = None,
) -> Retrain:
    """Whether to retrain, and every reason. drift_verdict: the drift check's status (`FAIL` is drift); when it is not
    given, any drifted column is. performance_delta: current minus baseline, so a drop is negative; on_performance_drop
    > 0. on_age, model_age: seconds. A NaN asks for a retrain: nobody knows that the model still holds.
    """
    reasons = []
    drifted = [d.name for d in decisions if d.drifted is True]
    if on_drift and (drift_verdict == "FAIL" or (not drift_verdict and drifted)):
        names = ", ".join(drifted[:5]) + (f" and {len(drifted) - 5} more" if len(drifted) > 5 else "")
        reasons.append(f"drift: {len(drifted)} of {len(decisions)} columns drifted ({names})")
    if on_performance_drop is not None and performance_delta is not None:
        if math.isnan(performance_delta):
            reasons.append("performance: the difference is NaN")
        elif -performance_delta >= on_performance_drop * (1 - 1e-12):
            reasons.append(f"performance: dropped by {-performance_delta:.4g}, limit {on_performance_drop:g}")
    if on_age is not None and model_age is not None:
        if math.isnan(model_age):
            reasons.append("age: the model's age is NaN")
        elif model_age >= on_age:
            reasons.append(f"age: {model_age / 86400:.1f} days, limit {on_age / 86400:.1f}")
    return Retrain(bool(reasons), "; ".join(reasons) or None)
