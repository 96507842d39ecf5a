"""Performance over a rolling window: drops are found, noise is not, and missing labels decide nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats as scipy_stats

from gates.drift.missing import newcombe
from gates.drift.performance import Baseline, baseline_of, latest_delta, rolling
from gates.errors import InvalidInput

DAY = 86_400_000_000


def judged(right: Any) -> Baseline:
    return baseline_of(np.asarray(right, dtype=np.float64), labels=True)


def stream(rng: np.random.Generator, rates: list[float], n: int = 500) -> tuple[Any, Any]:
    times = np.concatenate([np.sort(rng.integers(i * DAY, (i + 1) * DAY, n)) for i in range(len(rates))])
    times[-1] = len(rates) * DAY - 1
    return times, np.concatenate([(rng.random(n) < rate).astype(float) for rate in rates])


def test_a_drop_is_found_in_its_window_and_only_there() -> None:
    rng = np.random.default_rng(0)
    times, scores = stream(rng, [0.9, 0.9, 0.9, 0.7])
    found = rolling(times, scores, judged(rng.random(5000) < 0.9), width=DAY, margin=0.03)
    assert [w.dropped for w in found] == [False, False, False, True]
    assert [w.n for w in found] == [500] * 4
    assert found[-1].delta == pytest.approx(-0.2, abs=0.06)
    assert latest_delta(found) == found[-1].delta
    assert (found[0].start, found[-1].stop) == (0, 4 * DAY)


def test_no_drop_raises_few_alarms_however_many_windows() -> None:
    alarms = 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        times, scores = stream(rng, [0.8] * 20, 150)
        alarms += any(w.dropped for w in rolling(times, scores, judged(rng.random(3000) < 0.8), width=DAY))
    assert alarms / 120 < 0.08


def test_errors_of_a_regression_are_compared_too() -> None:
    rng = np.random.default_rng(3)
    times, _ = stream(rng, [1.0, 1.0])
    losses = -np.abs(rng.normal(size=1000)) - np.repeat([0.0, 0.5], 500)
    before = -np.abs(rng.normal(size=2000))
    found = rolling(times, losses, baseline_of(before, labels=False), width=DAY, margin=0.1)
    assert [w.dropped for w in found] == [False, True]
    welch = scipy_stats.ttest_ind(losses[500:], before, equal_var=False).confidence_interval(1 - 0.05 / 2)
    assert (found[1].low, found[1].high) == pytest.approx((welch.low, welch.high), abs=2e-3)  # t for the normal


def test_too_few_labels_are_undecided() -> None:
    rng = np.random.default_rng(4)
    times, scores = stream(rng, [0.9, 0.1])
    scores[500:] = np.nan
    scores[500:550] = 0.0
    found = rolling(times, scores, judged(np.ones(500)), width=DAY)
    assert (found[1].n, found[1].value, found[1].dropped) == (50, None, None)
    assert latest_delta(found) == found[0].delta
    scores[:] = np.nan
    assert latest_delta(rolling(times, scores, judged(np.ones(500)), width=DAY)) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0}, "cannot be used"),
        ({"scores": np.ones(3)}, "5 times for 3 scores"),
        ({"scores": np.full(5, math.inf)}, "infinite"),
        ({"baseline": Baseline(500, math.nan, 0.0, labels=True)}, "the baseline is no number"),
        ({"baseline": judged(np.ones(3))}, "a baseline of 3"),
        ({"width": 1, "times": np.array([0, 1, 2, 3, DAY])}, "wider window"),
    ],
)
def test_what_cannot_be_compared_is_named(changes: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"times": np.arange(5), "scores": np.ones(5), "baseline": judged(np.ones(500)), "width": DAY}
    with pytest.raises(InvalidInput, match=message):
        rolling(**{**good, **changes})


@pytest.mark.parametrize("scores", [np.zeros(0), np.array([1.0, math.nan]), np.array([1.0, -math.inf])])
def test_a_baseline_of_nothing_is_refused(scores: Any) -> None:
    with pytest.raises(InvalidInput, match=f"a baseline of {len(scores)} scores"):
        baseline_of(scores, labels=True)


def test_newcombe_gives_the_published_interval() -> None:
    low, high = newcombe(56, 70, 48, 80, 0.95)  # Newcombe 1998, table II, example (a), method 10
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)
