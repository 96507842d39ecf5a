"""Areas under curves: the joined interval of two by hand, relative margins, and the ends of 0 to 1."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, logit, ndtr

from gates.evidence import Predictions
from gates.stats import delong, measure, precision_recall, student
from gates.stats.estimate import Unusable
from gates.stats.prepared import prepare

CONFIDENCE = 0.9
RNG = np.random.default_rng(12)
Y = (RNG.random(120) < 0.3).astype(int)
OURS, THEIRS = RNG.normal(2.0 * Y, 1.0), RNG.normal(0.7 * Y, 2.0)


def binary(scores: np.ndarray, y: np.ndarray = Y, **more: Any) -> Predictions:
    return Predictions(y, y, scores, (0, 1), 1, **more)


def brute(scores: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """The area and DeLong's components by the double loop (1988, eq. 2-4)."""
    x, y = scores[Y == 1], scores[Y == 0]
    wins = (y[None, :] < x[:, None]) + 0.5 * (y[None, :] == x[:, None])
    return float(wins.mean()), wins.mean(1), wins.mean(0)


@pytest.mark.parametrize("weight", [1.0, 0.8])
def test_two_correlated_areas_are_joined_as_zou_says(weight: float) -> None:
    """Zou 2007, eq. 15, on the logit scale: each bound moves by one's lower and the other's upper arm."""
    (a, a1, a0), (b, b1, b0) = brute(OURS), brute(THEIRS)
    se_a, se_b = (math.sqrt(np.var(p, ddof=1) / len(p) + np.var(q, ddof=1) / len(q)) for p, q in ((a1, a0), (b1, b0)))
    shared = np.cov(a1, b1)[0, 1] / len(a1) + np.cov(a0, b0)[0, 1] / len(a0)
    correlation = shared / (se_a * se_b)
    t = student.reach(CONFIDENCE, delong.compare(Y == 1, OURS, THEIRS, weight).spread.degrees)
    (low_a, high_a), (low_b, high_b) = (
        (expit(logit(v) - t * se / (v * (1 - v))), expit(logit(v) + t * se / (v * (1 - v))))
        for v, se in ((a, se_a), (b, se_b))
    )

    def arm(one: float, other: float) -> float:
        return math.sqrt(one**2 + (weight * other) ** 2 - 2 * correlation * one * weight * other)

    value = a - weight * b
    data = prepare(binary(OURS), binary(THEIRS), scores=True)
    found = precision_recall.area_difference("roc_auc", data, CONFIDENCE, "binary", weight)
    assert found.difference.value == pytest.approx(value, abs=1e-12)
    assert found.difference.low == pytest.approx(value - arm(a - low_a, high_b - b), abs=1e-9)
    assert found.difference.high == pytest.approx(value + arm(high_a - a, b - low_b), abs=1e-9)
    assert (found.candidate, found.champion.value) == pytest.approx((a, b), abs=1e-12)
    spread = math.sqrt(se_a**2 + (weight * se_b) ** 2 - 2 * weight * shared)
    assert found.p == pytest.approx(2 * ndtr(-abs(value) / spread), abs=1e-9)


@pytest.mark.parametrize("metric", ["roc_auc", "average_precision"])
def test_a_relative_margin_shrinks_the_champion(metric: str) -> None:
    data = prepare(binary(OURS), binary(THEIRS), scores=True)
    whole, shrunk = (
        measure.difference(metric, data, measure.Ask(CONFIDENCE, 1), weight=weight) for weight in (1.0, 0.8)
    )
    assert whole.champion.value == shrunk.champion.value
    assert shrunk.estimate.value == pytest.approx(whole.candidate - 0.8 * whole.champion.value, abs=1e-12)
    gained = 0.2 * whole.champion.value
    assert shrunk.estimate.low > whole.estimate.low + 0.5 * gained
    assert shrunk.estimate.low < shrunk.estimate.value < shrunk.estimate.high


@pytest.mark.parametrize("metric", ["roc_auc", "average_precision"])
@pytest.mark.parametrize("entity", [None, np.arange(120)])
def test_a_perfect_and_a_reversed_ranking_stay_inside_0_and_1(metric: str, entity: np.ndarray | None) -> None:
    more: dict[str, Any] = {} if entity is None else {"entity": entity}
    for scores in (Y.astype(float), 1.0 - Y):
        data = prepare(binary(scores, **more), scores=True)
        found = precision_recall.area(metric, data, CONFIDENCE, "binary")
        assert 0.0 <= found.low <= found.value <= found.high <= 1.0
        assert found.high - found.low > 0.01
    certain = precision_recall.area_difference(
        metric, prepare(binary(Y.astype(float), **more), binary(Y.astype(float), **more), scores=True),
        CONFIDENCE, "binary", 1.0,
    )  # fmt: skip
    assert (certain.difference.value, certain.p) == (0.0, None)
    assert certain.difference.low < -0.01


def test_classes_are_weighted_by_support_or_alike() -> None:
    y = np.repeat([0, 1, 2], [60, 30, 10])
    scores = np.random.default_rng(3).dirichlet([1, 1, 1], 100) * 0.5 + 0.5 * np.eye(3)[y]
    data = prepare(Predictions(y, y, scores, (0, 1, 2)), scores=True)
    parts = [delong.components(y == k, scores[:, k]).auc for k in range(3)]
    for average, weights in (("macro", [1 / 3] * 3), ("weighted", [0.6, 0.3, 0.1])):
        found = precision_recall.area("roc_auc", data, CONFIDENCE, average)
        assert found.value == pytest.approx(float(np.dot(weights, parts)), abs=1e-12)
    with pytest.raises(Unusable, match="needs `average: macro` or `weighted`"):
        precision_recall.area("roc_auc", data, CONFIDENCE, "binary")


def test_a_target_of_one_class_or_of_one_positive_has_no_precision_recall_curve() -> None:
    for positive, said in ((np.ones(9), "one class"), (np.zeros(9), "one class"), (np.eye(9)[0], "one positive row")):
        with pytest.raises(Unusable, match=said):
            precision_recall._ap_influence(positive.astype(bool), np.arange(9.0))


def test_influences_of_unequal_classes_have_delong_s_variance() -> None:
    """Each row counts by its class, of which there are few or many."""
    found = precision_recall._auc_influence(Y == 1, OURS)
    variance = float(np.var(found.influence)) / len(Y)
    assert variance == pytest.approx(delong.compare(Y == 1, OURS, THEIRS).a.spread.variance, rel=0.05)


@pytest.mark.parametrize("weight", [1.0, 0.5])
def test_a_weighted_difference_of_average_precisions_spreads_as_weighted_influences_do(weight: float) -> None:
    a, b = (precision_recall._ap_influence(Y == 1, scores) for scores in (OURS, THEIRS))
    errors = [precision_recall._spread(part.influence, None)[1].error for part in (a, b)]
    _, spread = precision_recall._spread(a.influence - weight * b.influence, None)
    low, high = precision_recall._joined((a.value, b.value), (errors[0], errors[1]), spread, CONFIDENCE, weight)
    straight = spread.bounds(a.value - weight * b.value, CONFIDENCE)
    low, high = min(low, straight[0]), max(high, straight[1])  # the farther of both
    data = prepare(binary(OURS), binary(THEIRS), scores=True)
    found = precision_recall.area_difference("average_precision", data, CONFIDENCE, "binary", weight).difference
    apart = abs(a.bias - weight * b.bias)
    assert (found.low, found.high) == pytest.approx((low - apart, high + apart), abs=1e-9)
