"""Each formula by hand or by brute force, where a defect would otherwise hide behind plausible numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as sk

from gates.evidence import Predictions
from gates.metrics import METRICS
from gates.stats import (
    bootstrap,
    calibration_error,
    confusion,
    losses,
    measure,
    moments,
    multiplicity,
    parity,
    precision_recall,
)
from gates.stats.estimate import Unusable
from gates.stats.prepared import combine, groups, prepare
from gates.stats.proportion import newcombe, ratio_of_proportions, wilson


def mean(sums: Any) -> Any:
    return sums[..., 0] / sums[..., -1]


def binary(target: Any, answer: Any, scores: Any = None, **more: Any) -> Predictions:
    return Predictions(np.asarray(target), np.asarray(answer), scores, (0, 1), 1, **more)


# bootstrap


def test_replicates_equal_to_the_value_count_half() -> None:
    """A symmetric lattice has no bias: z0 is 0, and the bounds are its plain quantiles."""
    drawn = np.repeat([-1.0, 0.0, 1.0], [300, 400, 300])
    flat, one = np.zeros(10), np.ones(10)
    assert bootstrap.bca(0.0, drawn, flat, one, 1.0) == (-1.0, 1.0)
    assert bootstrap.bca(0.0, np.repeat([-2.0, -1.0, 0.0, 1.0, 2.0], 200), flat, one, 0.5244) == (-1.0, 1.0)


def test_few_rows_undefined_resamples_and_equal_rows_decide_nothing() -> None:
    rows = np.column_stack([np.arange(9.0), np.ones(9)])
    few = bootstrap.interval(rows, np.ones(9, dtype=np.int64), mean, confidence=0.95, seed=1)
    assert (few.low, few.high) == (-math.inf, math.inf)
    rare = np.array([[0.0, 1.0], [1.0, 1.0]])

    def share(sums: Any) -> Any:
        return np.where(sums[..., 0] > 0, 1.0 + sums[..., 0], np.nan)

    undefined = bootstrap.interval(rare, np.array([99, 1]), share, confidence=0.95, seed=1)
    assert (undefined.high, undefined.method) == (math.inf, "undefined in too many resamples")
    for n, floor, half in ((29, None, math.inf), (30, None, 0.0), (30, 0.25, 0.25)):
        alike = bootstrap.interval(np.array([[3.0, 1.0]]), np.array([n]), mean, confidence=0.95, seed=1, floor=floor)
        assert (alike.value, alike.high - alike.value) == (3.0, half)


def test_the_seed_decides_the_resamples() -> None:
    rows = np.column_stack([np.arange(40.0) ** 2, np.ones(40)])
    found = [bootstrap.interval(rows, np.ones(40, dtype=np.int64), mean, confidence=0.95, seed=s) for s in (1, 1, 2)]
    assert found[0] == found[1]
    assert found[0] != found[2]


# multiplicity


def test_holm_by_hand() -> None:
    """3 p-values: 0.01 * 3, 0.02 * 2, 0.03 * 1, each no less than the one before."""
    assert multiplicity.holm([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert multiplicity.holm([0.01, 0.9, 0.04]) == pytest.approx([0.03, 0.9, 0.08])
    assert multiplicity.benjamini_hochberg([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.02, 0.04, 0.04, 0.02])


# moments


def test_moments_refuse_what_is_no_number() -> None:
    for bad in (np.nan, np.inf):
        with pytest.raises(Unusable, match="not a finite number"):
            moments.estimate(np.array([[1.0], [bad]] * 20), mean, confidence=0.95, seed=1)


@pytest.mark.parametrize("most", [10, 5000])
def test_clusters_are_the_units(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entities of unlike size: the mean is over rows, its spread that of a ratio over entities (Cochran 1977, 6.13)."""
    monkeypatch.setattr(moments, "MOST_RESAMPLED", most)
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 9, 400)
    cluster = np.repeat(np.arange(400), sizes)
    values = np.repeat(rng.normal(size=400), sizes) + sizes[cluster] * 0.2
    found = moments.estimate(values[:, None], mean, confidence=0.95, seed=1, cluster=cluster)
    assert found.value == pytest.approx(values.mean())
    assert found.n == 400
    residual = np.bincount(cluster, weights=values - values.mean())
    half = 1.96 * math.sqrt(float((residual**2).sum())) / len(values)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.1)


def test_a_value_that_hangs_on_one_row_has_no_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moments, "MOST_RESAMPLED", 5)
    rows = np.zeros((50, 1))
    rows[7] = 1.0

    def inverse(sums: Any) -> Any:
        with np.errstate(divide="ignore"):
            return sums[..., -1] / sums[..., 0]

    found = moments.estimate(rows, inverse, confidence=0.95, seed=1)
    assert (found.low, found.high) == (-math.inf, math.inf)


# calibration error


def test_bins_hold_their_right_edge_and_few_rows_say_nothing() -> None:
    p = np.repeat([3 / 15, 1.0, 0.0], 20)
    data = prepare(binary(np.arange(60) % 2, np.arange(60) % 2, p), scores=True)
    found = calibration_error.bins(data, 0)
    assert np.flatnonzero(found.gap).tolist() == [0, 2, 14]
    few = prepare(binary([0, 1] * 14, [0, 1] * 14, np.tile([0.1, 0.9], 14)), scores=True)
    assert calibration_error.estimate(few, 0, 0.95, 1).high == 1.0
    assert calibration_error.estimate(few, 0, 0.95, 1).low == 0.0


def test_a_difference_of_calibration_errors_adds_both_bounds() -> None:
    rng = np.random.default_rng(2)
    y = rng.integers(0, 2, 500)
    one, two = (binary(y, y, rng.random(500)) for _ in range(2))
    data = prepare(one, two, scores=True)
    a, b = (calibration_error.estimate(data, i, 0.975, 3) for i in (0, 1))
    found = calibration_error.difference(data, 0.95, 3, 0.5)
    assert (found.low, found.high) == pytest.approx((a.low - 0.5 * b.high, a.high - 0.5 * b.low))


# losses


def test_losses_refuse_what_is_no_probability_and_clip_certainty() -> None:
    y = np.array([0, 1] * 20)
    for bad in (np.full(40, 1.5), np.full(40, -0.1)):
        with pytest.raises(Unusable, match=r"outside \[0, 1\]"):
            METRICS["brier"].estimate(binary(y, y, bad))
    wide = Predictions(np.arange(40) % 3, np.arange(40) % 3, np.full((40, 3), 0.5), (0, 1, 2))
    with pytest.raises(Unusable, match="do not sum to 1"):
        METRICS["brier"].estimate(wide)
    certain = METRICS["log_loss"].estimate(binary(y, y, np.where(np.arange(40) == 1, 0.0, y.astype(float))))
    assert certain.value == pytest.approx(-math.log(np.finfo(float).eps) / 40, rel=1e-6)
    with pytest.raises(Unusable, match="holds zeros"):
        METRICS["mape"].estimate(Predictions(np.array([0.0, 1.0] * 20), np.ones(40)))
    assert losses.LOSSES["rmse"].statistic(np.array([36.0, 4.0])) == 3.0
    far = Predictions(1e6 + np.arange(40.0), 1e6 + np.arange(40.0) + np.tile([1.0, -1.0], 20))
    assert METRICS["r2"].estimate(far).value == pytest.approx(sk.r2_score(far.target, far.prediction), abs=1e-9)


# confusion


def test_classes_that_are_absent_count_as_scikit_learn_counts_them() -> None:
    truth, answer = np.array([0, 0, 1, 1, 1, 0]), np.array([0, 2, 1, 1, 0, 0])  # class 2 is answered, never true
    c = confusion.matrix(truth, answer, 4)  # class 3 is neither
    recall, precision, f1 = (
        confusion.averaged(of, "macro")(c) for of in (confusion.recalls, confusion.precisions, confusion.f1s)
    )
    theirs = sk.precision_recall_fscore_support(truth, answer, average="macro", zero_division=0)
    assert (float(precision), float(recall), float(f1)) == pytest.approx(theirs[:3], abs=1e-12)
    balanced = sk.recall_score(truth, answer, average=None, labels=[0, 1]).mean()
    assert float(confusion.balanced_accuracy(c)) == pytest.approx(balanced)
    two = confusion.matrix(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), 2)
    assert float(confusion.specificity(two)) == pytest.approx(2 / 3)
    weighted = confusion.averaged(confusion.f1s, "weighted")(c)
    assert float(weighted) == pytest.approx(sk.f1_score(truth, answer, average="weighted", zero_division=0))


# areas


def test_equal_models_are_bounded_by_the_smallest_class() -> None:
    rng = np.random.default_rng(3)
    y = np.r_[np.ones(30, dtype=int), np.zeros(270, dtype=int)]
    model = binary(y, y, rng.random(300))
    for name in ("roc_auc", "average_precision"):
        found = METRICS[name].difference(model, model).estimate
        z2 = 1.959963985**2
        assert (found.low, found.high) == pytest.approx((-z2 / (30 + z2), z2 / (30 + z2)))


def test_a_difference_of_areas_is_narrower_the_more_alike_two_models_are() -> None:
    rng = np.random.default_rng(4)
    y = rng.integers(0, 2, 600)
    base = rng.normal(y, 1)
    model = binary(y, y, base)
    for name in ("roc_auc", "average_precision"):
        widths = []
        for noise in (0.1, 3.0):
            other = binary(y, y, base + rng.normal(0, noise, 600))
            found = METRICS[name].difference(model, other).estimate
            widths.append(found.high - found.low)
        alone = METRICS[name].estimate(model)
        assert widths[0] < 0.4 * (alone.high - alone.low)
        assert widths[1] > 0.8 * (alone.high - alone.low)


def test_a_difference_of_average_precisions_is_as_much_wider_as_their_bias_differs() -> None:
    rng = np.random.default_rng(11)
    y = (rng.random(300) < 0.2).astype(int)
    one, two = binary(y, y, rng.normal(y, 1)), binary(y, y, rng.normal(0, 1, 300))
    a, b = (precision_recall._ap_influence(y == 1, np.asarray(p.scores)) for p in (one, two))
    errors = [precision_recall._spread(part.influence, None)[1].error for part in (a, b)]
    _, spread = precision_recall._spread(a.influence - b.influence, None)
    joined = precision_recall._joined((a.value, b.value), (errors[0], errors[1]), spread, 0.95, 1.0)
    straight = spread.bounds(a.value - b.value, 0.95)
    low, high = min(joined[0], straight[0]), max(joined[1], straight[1])
    apart = abs(a.bias - b.bias)
    assert apart > 1e-4
    found = METRICS["average_precision"].difference(one, two).estimate
    assert (found.low, found.high) == pytest.approx((low - apart, high + apart), abs=1e-12)


def test_rows_that_repeat_in_an_entity_add_nothing() -> None:
    """Each row five times, as one entity: the interval is that of the rows once."""
    rng = np.random.default_rng(5)
    y = rng.integers(0, 2, 200)
    s, t = rng.normal(y, 1), rng.normal(y, 1.2)
    once = (binary(y, y, s, entity=np.arange(200)), binary(y, y, t, entity=np.arange(200)))
    five = tuple(
        binary(np.repeat(y, 5), np.repeat(y, 5), np.repeat(v, 5), entity=np.repeat(np.arange(200), 5)) for v in (s, t)
    )
    for name in ("roc_auc", "accuracy", "brier"):
        if name == "brier":
            once, five = (tuple(_squashed(p) for p in pair) for pair in (once, five))  # type: ignore[assignment]  # pairs
        a, b = METRICS[name].estimate(once[0]), METRICS[name].estimate(five[0])
        assert (a.low, a.high) == pytest.approx((b.low, b.high), rel=0.02)
        d, e = METRICS[name].difference(*once).estimate, METRICS[name].difference(*five).estimate
        assert (d.low, d.high) == pytest.approx((e.low, e.high), rel=0.02, abs=1e-9)


def _squashed(p: Predictions) -> Predictions:
    assert p.scores is not None
    return binary(p.target, p.prediction, 1 / (1 + np.exp(-p.scores)), entity=p.entity)


def test_areas_over_classes_agree_with_scikit_learn_and_need_every_class() -> None:
    rng = np.random.default_rng(6)
    y = rng.choice(3, 300, p=[0.6, 0.3, 0.1])
    s = rng.dirichlet([1, 1, 1], 300) * 0.6 + 0.4 * np.eye(3)[y]
    model = Predictions(y, s.argmax(1), s, (0, 1, 2))
    for average in ("macro", "weighted"):
        ours = METRICS["roc_auc"].estimate(model, average=average).value
        assert ours == pytest.approx(sk.roc_auc_score(y, s, multi_class="ovr", average=average), abs=1e-9)
        ours = METRICS["average_precision"].estimate(model, average=average).value
        assert ours == pytest.approx(sk.average_precision_score(np.eye(3)[y], s, average=average), abs=1e-9)
    gone = Predictions(np.where(y == 2, 0, y), s.argmax(1), s, (0, 1, 2))
    with pytest.raises(Unusable, match="a class is absent"):
        METRICS["roc_auc"].estimate(gone, average="macro")


# parity


def test_disparities_by_hand() -> None:
    """Selected 30 of 100, 20 of 100, 10 of 100: 3 pairs share the level."""
    found = {"selection": {"a": (30.0, 100.0), "b": (20.0, 100.0), "c": (10.0, 100.0)}}
    pairs = [newcombe(30, 100, 10, 100, 1 - 0.05 / 3), newcombe(30, 100, 20, 100, 1 - 0.05 / 3)]
    gap = parity.difference(found, 0.95)
    assert gap.estimate.value == pytest.approx(0.2)
    assert (gap.pair, gap.rate) == (("a", "c"), "selection")
    assert (gap.estimate.low, gap.estimate.high) == pytest.approx(pairs[0])
    turned = {"selection": dict(reversed(list(found["selection"].items())))}
    same = parity.difference(turned, 0.95).estimate
    assert (same.low, same.high) == pytest.approx((gap.estimate.low, gap.estimate.high))
    ratio = parity.ratio(found, 0.95).estimate
    assert ratio.value == pytest.approx(1 / 3)
    assert ratio.low == pytest.approx(ratio_of_proportions(10, 100, 30, 100, 1 - 0.05 / 3)[0])
    two = parity.difference(found, 0.95, families=2).estimate
    assert (two.low, two.high) == pytest.approx(newcombe(30, 100, 10, 100, 1 - 0.05 / 6))


def test_rates_are_of_the_rows_in_question_and_a_group_without_any_is_unusable() -> None:
    g, y, a = np.array([0, 0, 0, 1, 1, 1]), np.array([1, 1, 0, 1, 0, 0]), np.array([1, 0, 1, 1, 0, 1])
    assert parity.rates("equalized_odds", g, ("a", "b"), y, a) == {
        "tpr": {"a": (1.0, 2.0), "b": (1.0, 1.0)},
        "fpr": {"a": (1.0, 1.0), "b": (1.0, 2.0)},
    }
    with pytest.raises(Unusable, match="no row for the tpr rate"):
        parity.rates("equal_opportunity", g, ("a", "b"), np.array([1, 1, 0, 0, 0, 0]), a)
    nobody = {"selection": {"a": (0.0, 50.0), "b": (0.0, 50.0), "c": (5.0, 50.0)}}
    assert parity.ratio(nobody, 0.95).estimate.low == 0.0  # 0 of 0 is no proof of likeness
    with pytest.raises(Unusable, match="0 in every group"):
        parity.ratio({"selection": {"a": (0.0, 50.0), "b": (0.0, 50.0)}}, 0.95)


def test_a_change_is_the_candidate_s_disparity_less_the_champion_s() -> None:
    rng = np.random.default_rng(7)
    g, y = rng.integers(0, 2, 2000), rng.integers(0, 2, 2000)
    unfair, fair = (rng.random(2000) < 0.3 + 0.3 * g).astype(int), rng.integers(0, 2, 2000)
    kept: dict[str, Any] = {"as_ratio": False, "confidence": 0.95, "seed": 1}
    found = parity.change("demographic_parity", g, 2, y, unfair, fair, **kept)
    gaps = [abs(a[g == 0].mean() - a[g == 1].mean()) for a in (unfair, fair)]
    assert found.value == pytest.approx(gaps[0] - gaps[1])
    assert 0.1 < found.low < found.value < found.high < 0.45


# measure


def test_closed_forms_are_wilson_s_and_f1_goes_by_jaccard() -> None:
    model = binary(np.repeat([1, 1, 0, 0], [40, 10, 20, 30]), np.repeat([1, 0, 1, 0], [40, 10, 20, 30]))
    found = METRICS["recall"].estimate(model)
    assert (found.low, found.high, found.n) == pytest.approx((*wilson(40, 50, 0.95), 50))
    low, high = wilson(40, 70, 0.95)
    f1 = METRICS["f1"].estimate(model)
    assert (f1.value, f1.low, f1.high) == pytest.approx((80 / 110, 2 * low / (1 + low), 2 * high / (1 + high)))


def test_discordant_rows_are_those_that_the_proportion_is_of() -> None:
    y = np.repeat([1, 0], [60, 40])
    ours, theirs = y.copy(), y.copy()
    ours[:3], theirs[3:10], ours[60:65], theirs[65:67] = 0, 0, 1, 1
    data = prepare(binary(y, ours), binary(y, theirs))
    assert measure._discordant("accuracy", "binary", data) == (9, 8, 100)
    assert measure._discordant("recall", "binary", data) == (7, 3, 60)
    assert measure._discordant("specificity", "binary", data) == (2, 5, 40)
    relative = measure.difference("accuracy", data, measure.Ask(0.95, 1), weight=0.9)
    assert relative.estimate.method == "BCa bootstrap"
    assert relative.estimate.value == pytest.approx(0.92 - 0.9 * 0.91)


def test_many_classes_are_counted_without_a_table_of_all_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """60 classes and two models make 216,000 cells; the same answer comes of the few that occur."""
    rng = np.random.default_rng(8)
    y = rng.integers(0, 60, 1500)
    a, b = (np.where(rng.random(1500) < share, y, rng.integers(0, 60, 1500)) for share in (0.8, 0.7))
    found = METRICS["f1"].difference(Predictions(y, a), Predictions(y, b), average="macro")
    theirs = [sk.f1_score(y, answer, average="macro") for answer in (a, b)]
    assert found.estimate.value == pytest.approx(theirs[0] - theirs[1], abs=1e-9)
    monkeypatch.setattr(measure, "MOST_COUNTED", 1000)
    again = METRICS["f1"].difference(Predictions(y, a), Predictions(y, b), average="macro")
    assert again == found


def test_a_difference_that_no_row_shows_is_not_certain() -> None:
    """f1 of two models that answer alike: as far off as the smallest class may hide."""
    y = np.repeat([1, 0], [20, 180])
    model = binary(y, y)
    found = METRICS["f1"].difference(model, model).estimate
    assert found.high == pytest.approx(1.959963985**2 / (20 + 1.959963985**2))


# prepared


def test_rows_are_matched_by_their_ids_in_any_order() -> None:
    rng = np.random.default_rng(9)
    y = rng.integers(0, 2, 50)
    answer, ids = rng.integers(0, 2, 50), rng.permutation(50)
    ours = binary(y, y, row_id=ids)
    order = rng.permutation(50)
    theirs = binary(y[order], answer[order], row_id=ids[order])
    assert prepare(ours, theirs).models[1].answer.tolist() == answer.tolist()
    twice = np.r_[ids[:49], ids[48]]
    with pytest.raises(Unusable, match="repeat"):
        prepare(binary(y, y, row_id=twice), binary(y[order], y[order], row_id=twice[order]))


def test_labels_and_columns_of_scores_come_in_one_order() -> None:
    y = np.array(["no", "yes"] * 20)
    scores = np.tile([[0.9, 0.1], [0.2, 0.8]], (20, 1))
    for labels, given in ((("no", "yes"), scores), (("yes", "no"), scores[:, ::-1])):
        data = prepare(Predictions(y, y, given, labels, "yes"), scores=True)
        found = data.models[0].scores
        assert found is not None
        assert found[:2].tolist() == [0.1, 0.8]
    turned = prepare(Predictions(y, y, np.tile([0.9, 0.2], 20), (), "no"), scores=True)
    assert (turned.labels, turned.truth[:2].tolist()) == (("yes", "no"), [1, 0])


def test_groups_and_their_combinations() -> None:
    codes, names = groups(np.array(["b", "a", "b"], dtype=object), "g", 3)
    assert (codes.tolist(), names) == ([1, 0, 1], ["a", "b"])
    many = np.array([f"g{i % 40:02d}" for i in range(200)])
    codes, names = groups(many, "g", 200)
    assert [names[i] for i in codes] == many.tolist()
    both, parts = combine([np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])], [2, 2])
    assert [tuple(parts[i]) for i in both] == [(0, 0), (0, 1), (1, 0), (1, 1)]
