"""Metrics where a slip would hide: averages, cells, ratios, weights and seeds, each against a figure made by hand."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as sk

from gates.evidence import Predictions
from gates.metrics import METRICS
from gates.stats import losses, measure, parity
from gates.stats.estimate import Unusable
from gates.stats.prepared import prepare
from gates.stats.proportion import newcombe, ratio_of_proportions, unseen, wilson

RNG = np.random.default_rng(21)
N = 240
Y = (RNG.random(N) < 0.3).astype(int)
S = np.clip(0.25 + 0.4 * Y + RNG.normal(0, 0.2, N), 0.02, 0.98)
T = np.clip(0.3 + 0.3 * Y + RNG.normal(0, 0.25, N), 0.02, 0.98)
ASK = measure.Ask(0.9, 7)


def binary(scores: Any = S, target: Any = Y, answer: Any = None, **more: Any) -> Predictions:
    answer = (np.asarray(scores) > 0.5).astype(int) if answer is None else np.asarray(answer)
    return Predictions(np.asarray(target), answer, scores, (0, 1), 1, **more)


def both(ours: Any = S, theirs: Any = T, **more: Any) -> Any:
    return prepare(binary(ours, **more), binary(theirs, **more), scores=True)


# losses


def test_probabilities_that_do_not_sum_to_1_are_none() -> None:
    scores = np.array([[0.2, 0.3, 0.5], [0.5, 0.3, 0.2], [0.1, 0.8, 0.1]] * 20)
    y = np.tile([2, 0, 1], 20)
    for off, refused in ((0.0005, False), (0.002, True), (-0.002, True)):
        model = Predictions(y, y, scores + np.array([0.0, 0.0, off]), (0, 1, 2))
        if refused:
            with pytest.raises(Unusable, match="do not sum to 1"):
                METRICS["log_loss"].estimate(model)
        else:
            assert METRICS["log_loss"].estimate(model).value > 0


def test_two_labels_of_which_none_is_positive_have_losses_all_the_same() -> None:
    words = np.array(["no", "yes"])[Y]
    model = Predictions(words, words, np.stack([1 - S, S], 1), ("no", "yes"), None)
    assert METRICS["log_loss"].estimate(model).value == pytest.approx(sk.log_loss(Y, S), abs=1e-9)
    assert METRICS["brier"].estimate(model).value == pytest.approx(sk.brier_score_loss(Y, S), abs=1e-9)


def test_r2_of_any_sums_is_its_definition_and_undefined_without_spread() -> None:
    """A resample's target is not centred, and may be one value alone."""
    y, error = np.array([3.0, 5.0, 10.0]), 6.0
    r2 = losses.LOSSES["r2"].statistic
    assert r2(np.array([error, y.sum(), (y**2).sum(), 3.0])) == pytest.approx(1 - error / ((y - 6.0) ** 2).sum())
    assert math.isnan(r2(np.array([error, 6.0, 12.0, 3.0])))


def test_percentages_of_a_target_that_is_negative_are_positive() -> None:
    y, p = np.array([-2.0, 4.0, -5.0] * 20), np.array([-1.0, 5.0, -6.0] * 20)
    found = METRICS["mape"].estimate(Predictions(y, p)).value
    assert found == pytest.approx(sk.mean_absolute_percentage_error(y, p), abs=1e-12)


# cells and averages


def test_specificity_and_f1_are_of_their_own_rows() -> None:
    c = sk.confusion_matrix(Y, S > 0.5)
    (tn, fp), (fn, tp) = c
    assert fp != fn
    found = METRICS["specificity"].estimate(binary())
    assert (found.low, found.high, found.n) == pytest.approx((*wilson(tn, tn + fp, 0.95), tn + fp))
    low, high = wilson(tp, tp + fp + fn, 0.95)
    f1 = METRICS["f1"].estimate(binary())
    assert (f1.low, f1.high, f1.n) == pytest.approx((2 * low / (1 + low), 2 * high / (1 + high), tp + fp + fn))


@pytest.mark.parametrize("metric", ["balanced_accuracy", "recall", "precision", "f1", "specificity", "accuracy"])
def test_five_copies_of_a_row_are_one_entity(metric: str) -> None:
    entities = np.arange(N)
    once = METRICS[metric].estimate(binary(entity=entities))
    five = METRICS[metric].estimate(binary(np.repeat(S, 5), np.repeat(Y, 5), entity=np.repeat(entities, 5)))
    assert (five.value, five.low, five.high) == pytest.approx((once.value, once.low, once.high), abs=0.01)
    assert five.high - five.low > 1.5 * (
        lambda found: found.high - found.low
    )(METRICS[metric].estimate(binary(np.repeat(S, 5), np.repeat(Y, 5))))  # fmt: skip


def test_a_recall_over_classes_is_no_paired_proportion() -> None:
    y = np.arange(90) % 3
    ours, theirs = np.where(np.arange(90) < 9, 0, y), np.where(np.arange(90) < 20, 1, y)
    data = prepare(Predictions(y, ours), Predictions(y, theirs))
    for average in ("macro", "weighted"):
        assert measure._discordant("recall", average, data) is None
    assert measure._discordant("recall", "micro", data) == measure._discordant("accuracy", "binary", data)
    found = measure.difference("recall", data, measure.Ask(0.9, 7, "macro"))
    theirs_by_sk = [sk.recall_score(y, answer, average="macro") for answer in (ours, theirs)]
    assert found.estimate.value == pytest.approx(theirs_by_sk[0] - theirs_by_sk[1], abs=1e-12)
    assert (found.candidate, found.champion.value) == pytest.approx(theirs_by_sk, abs=1e-12)


def test_two_labels_of_which_none_is_positive_have_no_recall() -> None:
    words = np.array(["no", "yes"])[Y]
    for metric in ("recall", "precision", "f1", "specificity", "true_positives"):
        with pytest.raises(Unusable, match=r"positive_label must say which of \('no', 'yes'\)"):
            METRICS[metric].estimate(Predictions(words, words))
    assert METRICS["accuracy"].estimate(Predictions(words, words)).value == 1.0


def test_a_perfect_balanced_accuracy_is_not_over_1() -> None:
    found = METRICS["balanced_accuracy"].estimate(binary(answer=Y))
    assert found.high == 1.0
    assert found.low < 0.99


# differences


@pytest.mark.parametrize("metric", ["f1", "precision", "brier", "log_loss", "balanced_accuracy"])
@pytest.mark.parametrize("weight", [1.0, 0.9])
def test_a_difference_weighs_the_champion(metric: str, weight: float) -> None:
    ours, theirs = (METRICS[metric].estimate(binary(scores)).value for scores in (S, T))
    found = measure.difference(metric, both(), ASK, weight=weight)
    assert found.estimate.value == pytest.approx(ours - weight * theirs, abs=1e-9)
    assert (found.candidate, found.champion.value) == pytest.approx((ours, theirs), abs=1e-9)
    assert found.estimate.low < found.estimate.value < found.estimate.high


@pytest.mark.parametrize("metric", ["f1", "roc_auc", "brier", "expected_calibration_error"])
def test_tango_is_for_paired_proportions_alone(metric: str) -> None:
    if metric == "f1":
        with pytest.raises(Unusable, match="Tango's interval fits paired proportions with an absolute margin, not f1"):
            measure.difference(metric, both(), ASK, method="tango")
    for weight, entity in ((0.9, None), (1.0, np.arange(N))):
        more = {} if entity is None else {"entity": entity}
        with pytest.raises(Unusable, match="Tango"):
            measure.difference("accuracy", both(**more), ASK, weight=weight, method="tango")


def test_what_both_models_have_right_says_nothing_of_their_difference() -> None:
    found = measure.difference("accuracy", both(), ASK)
    right, other = ((np.asarray(scores) > 0.5) == Y for scores in (S, T))
    b, c = int((right & ~other).sum()), int((other & ~right).sum())
    assert (found.estimate.method, found.estimate.n) == ("Tango", N)
    assert found.estimate.value == pytest.approx((b - c) / N, abs=1e-12)
    assert found.champion.value == pytest.approx(other.mean(), abs=1e-12)
    exact, mid = (measure.difference("accuracy", both(), measure.Ask(0.9, 7, mcnemar=m)).p for m in ("exact", "mid_p"))
    assert exact is not None
    assert mid is not None
    assert mid < exact


@pytest.mark.parametrize("metric", ["f1", "true_positives", "brier"])
def test_another_seed_draws_other_rows(metric: str) -> None:
    found = {
        (estimate.low, estimate.high)
        for seed in (1, 2)
        for estimate in [measure.difference(metric, both(), measure.Ask(0.9, seed)).estimate]
    }
    again = measure.difference(metric, both(), measure.Ask(0.9, 1)).estimate
    assert len(found) == 2
    assert (again.low, again.high) in found
    whole = {
        METRICS["f1"].estimate(binary(entity=np.arange(N) // 2), seed=seed).low for seed in (1, 2)
    }  # fmt: skip
    assert len(whole) == 2


def test_a_count_of_cells_that_no_row_shows_may_be_off_by_as_many_rows() -> None:
    """The smallest class may hide a share; of counts that is so many rows."""
    model = binary(answer=Y)
    found = measure.difference("true_positives", prepare(model, model), ASK).estimate
    assert found.high == pytest.approx(unseen(int(Y.sum()), 0.9) * N)
    alone = measure.estimate("true_positives", prepare(binary(answer=Y, entity=np.arange(N))), ASK)
    assert alone.high - alone.low > 1.0
    same = measure.estimate("f1", prepare(binary(answer=Y, entity=np.arange(N))), ASK)
    assert same.high - same.low >= unseen(int(Y.sum()), 0.9)


# groups


def rates(*pairs: tuple[float, float]) -> dict[str, parity.Rates]:
    return {"selection": dict(zip("abcd", pairs, strict=False))}


@pytest.mark.parametrize(
    "pairs", [((30, 100), (20, 100), (10, 100)), ((9, 10), (1, 50), (40, 80)), ((0, 40), (7, 40)), ((3, 30), (1, 10))]
)
def test_bounds_of_a_disparity_are_those_of_its_worst_pairs(pairs: tuple[tuple[float, float], ...]) -> None:
    """The gap: the largest lower and the largest upper bound of all pairs; the ratio: the smallest of each."""
    level = 1 - 0.05 / math.comb(len(pairs), 2)
    gaps = [newcombe(*one, *other, level) for one, other in combinations(pairs, 2)]
    found = parity.difference(rates(*pairs), 0.95).estimate
    assert found.low == pytest.approx(min(found.value, max(max(0.0, low, -high) for low, high in gaps)))
    assert found.high == pytest.approx(min(1.0, max(max(abs(low), abs(high)) for low, high in gaps)))
    ratios = []
    for one, other in combinations(pairs, 2):
        small, large = sorted((one, other), key=lambda pair: pair[0] / pair[1])
        low, high = ratio_of_proportions(*small, *large, level)
        ratios.append((min(low, 1 / high if high > 1 else low), min(1.0, high)))
    ratio = parity.ratio(rates(*pairs), 0.95).estimate
    assert ratio.low == pytest.approx(min(ratio.value, min(low for low, _ in ratios)))
    assert ratio.high == pytest.approx(max(ratio.value, min(high for _, high in ratios)))
    assert 0.0 <= ratio.low <= ratio.value <= ratio.high <= 1.0


def test_a_ratio_of_rates_that_are_alike_may_be_turned_round() -> None:
    """30 of 100 against 31 of 100: the other may be the smaller, so that its bound counts too."""
    found = parity.ratio(rates((30, 100), (31, 100)), 0.95).estimate
    low, high = ratio_of_proportions(30, 100, 31, 100, 0.95)
    assert high > 1
    assert found.low == pytest.approx(min(low, 1 / high))
    assert (1 / high < low) == (found.low < low)
    twice = parity.ratio(rates((3, 10), (60, 100)), 0.95).estimate
    assert twice.high <= 1.0


def test_no_rate_of_0_beside_another_is_a_ratio_of_1() -> None:
    found = parity.ratio(rates((0, 50), (0, 50), (20, 50)), 0.95)
    assert (found.estimate.value, found.estimate.low) == (0.0, 0.0)
    assert found.pair in (("a", "c"), ("b", "c"))


@pytest.mark.parametrize("as_ratio", [False, True])
@pytest.mark.parametrize("kind", ["demographic_parity", "equalized_odds", "equal_opportunity"])
def test_a_change_of_disparity_is_the_two_models_disparities_apart(kind: str, *, as_ratio: bool) -> None:
    g, ours, theirs = np.random.default_rng(4).integers(0, 3, N), (S > 0.5).astype(int), (T > 0.45).astype(int)
    found = parity.change(kind, g, 3, Y, ours, theirs, as_ratio=as_ratio, confidence=0.9, seed=1)
    way = parity.ratio if as_ratio else parity.difference
    values = [way(parity.rates(kind, g, "abc", Y, answer), 0.9).estimate.value for answer in (ours, theirs)]
    assert found.value == pytest.approx(values[0] - values[1], abs=1e-12)
    assert found.low < found.value < found.high


def test_a_change_draws_by_its_seed() -> None:
    """Few are selected, so that BCa's upper bound lies beyond Student's."""
    rng = np.random.default_rng(5)
    g, y = rng.integers(0, 2, 200), rng.integers(0, 2, 200)
    ours, theirs = (rng.random(200) < 0.02 + 0.1 * g).astype(int), (rng.random(200) < 0.02).astype(int)
    found = [
        parity.change("demographic_parity", g, 2, y, ours, theirs, as_ratio=False, confidence=0.9, seed=seed).high
        for seed in (1, 1, 2)
    ]
    assert found[0] == found[1] != found[2]


def test_a_change_that_no_row_shows_is_bounded_by_the_smallest_group() -> None:
    g = np.repeat([0, 1], [N - 20, 20])
    found = parity.change("demographic_parity", g, 2, Y, Y, Y, as_ratio=False, confidence=0.9, seed=1)
    assert found.value == 0.0
    assert found.high == pytest.approx(2 / 22)
