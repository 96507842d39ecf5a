"""Measurements that must be refused: none, too few, slow, failing, drifted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gates.checks.drift import Drift
from gates.checks.latency_quantile import LatencyQuantile
from gates.checks.rate import Rate
from gates.checks.rate_ratio import RateRatio
from gates.drift.found import ColumnDrift
from gates.evidence import Counted, Evidence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gates.checks.spec import Check

    Bad = tuple[str, Evidence]

MANY = 20_000


def _latency(check: Check) -> Iterable[Bad]:
    assert isinstance(check, LatencyQuantile)  # noqa: S101  # the table's key is the class's tag
    import numpy as np

    quick, slow = check.max_ms / 10.0, check.max_ms * 10.0
    share = int(MANY * (1.0 - check.q) * 2)  # twice as many slow ones as the quantile allows
    series = {
        "no value": np.empty(0),
        "one value, a quick one": np.array([quick]),
        "a value that is NaN": np.array([quick] * MANY + [np.nan]),
        "a time below 0": np.array([quick] * MANY + [-1.0]),
        "every answer ten times too slow": np.full(MANY, slow),
        "twice as many slow answers as the quantile allows": np.r_[np.full(MANY - share, quick), np.full(share, slow)],
    }
    yield "nothing measured", Evidence()
    for what, values in series.items():
        yield what, Evidence(samples={check.signal: values})
        if len(values):
            yield f"{what}, while watching", Evidence(samples={check.signal: values}, final=False)


def _rate(check: Check) -> Iterable[Bad]:
    assert isinstance(check, Rate)  # noqa: S101  # as above
    worse = min(1.0, (1.0 + check.bad) / 2.0)
    yield "nothing counted", Evidence()
    for what, counted in (
        ("no request", Counted(0, 0)),
        ("one request, without an error", Counted(0, 1)),
        ("every request an error", Counted(MANY, MANY)),
        (f"a rate of {worse:g}, over bad", Counted(round(worse * MANY), MANY)),
        ("more errors than requests", Counted(MANY + 1, MANY)),
    ):
        yield what, Evidence(counts={check.signal: counted})


def _rate_ratio(check: Check) -> Iterable[Bad]:
    assert isinstance(check, RateRatio)  # noqa: S101  # as above
    some = Counted(max(1, int(MANY * min(0.05, 0.05 / check.max_ratio))), MANY)
    much = Counted(min(MANY, int(10 * check.max_ratio * some.bad)), MANY)
    for what, ours, theirs in (
        ("nothing counted", None, some),
        ("nothing counted of the champion's", some, None),
        ("no request", Counted(0, 0), some),
        ("no request of the champion's", some, Counted(0, 0)),
        (f"errors {much.bad / some.bad:.0f} times as often as the champion's", much, some),
        ("one request each, without an error", Counted(0, 1), Counted(0, 1)),
    ):
        yield (
            what,
            Evidence(
                counts={check.signal: ours} if ours else {}, champion_counts={check.signal: theirs} if theirs else {}
            ),
        )


def _drift(check: Check) -> Iterable[Bad]:
    assert isinstance(check, Drift)  # noqa: S101  # as above
    weights = check.weights if isinstance(check.weights, dict) else {}
    names = ["one", "two", "three"] if isinstance(check.columns, str) else list(check.columns)
    names = [name for name in weights if weights[name] > 0] if isinstance(check.columns, str) and weights else names
    importances = dict.fromkeys(names, 1.0) if check.weights == "importance" else None

    def columns(ks: float, psi: float, p: float, n: int) -> tuple[ColumnDrift, ...]:
        return tuple(
            ColumnDrift(name, "numeric", n, n, missing_difference=0.0, missing_interval=(0.0, 0.0), missing_p=1.0,
                        ks=ks, p=p, psi=psi, psi_raw=psi)
            for name in names
        )  # fmt: skip

    enough = max(MANY, 2 * check.min_samples)
    far = 100.0 * (1.0 + (check.effect.psi_max or 0.0))
    yield "nothing compared", Evidence(importances=importances)
    yield "no column compared", Evidence(drift=(), importances=importances)
    yield (
        "every column moved beyond all it was",
        Evidence(drift=columns(1.0, far, 0.0, enough), importances=importances),
    )
    few = columns(0.0, 0.0, 1.0, min(5, check.min_samples - 1))
    yield "too few values to compare", Evidence(drift=few, importances=importances)
    yield (
        "statistics that are NaN",
        Evidence(drift=columns(float("nan"), float("nan"), float("nan"), enough), importances=importances),
    )


KNOWN_BAD: dict[str, Callable[[Check], Iterable[Bad]]] = {
    "latency_quantile": _latency,
    "rate": _rate,
    "rate_ratio": _rate_ratio,
    "drift": _drift,
}
