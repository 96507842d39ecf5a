"""Every metric against scikit-learn or fairlearn to 1e-9, and what is undefined."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as sk
from fairlearn import metrics as fair

from gates.evidence import Predictions
from gates.metrics import FAIRNESS, METRICS, unknown
from gates.stats import parity
from gates.stats.estimate import Unusable
from gates.stats.prepared import prepare

RNG = np.random.default_rng(11)
N = 800
Y = (RNG.random(N) < 0.35).astype(int)
S = np.clip(np.round(0.3 + 0.35 * Y + RNG.normal(0, 0.2, N), 2), 0.01, 0.99)
B = Predictions(target=Y, prediction=(S > 0.5).astype(int), scores=S, labels=(0, 1), positive_label=1)
Y3 = RNG.integers(0, 3, N)
P3 = np.where(RNG.random(N) < 0.7, Y3, RNG.integers(0, 3, N))
S3 = RNG.dirichlet([1, 1, 1], N) * 0.5 + 0.5 * np.eye(3)[P3]
M = Predictions(
    target=np.array(["a", "b", "c"])[Y3], prediction=np.array(["a", "b", "c"])[P3], scores=S3, labels=("a", "b", "c")
)
R = RNG.normal(10, 2, N)
RP = R + RNG.normal(0, 1, N)
REG = Predictions(target=R, prediction=RP)
HAT = B.prediction
TN, FP, FN, TP = (float(x) for x in sk.confusion_matrix(Y, HAT).ravel())

BINARY: dict[str, float] = {
    "accuracy": sk.accuracy_score(Y, HAT),
    "balanced_accuracy": sk.balanced_accuracy_score(Y, HAT),
    "precision": sk.precision_score(Y, HAT),
    "recall": sk.recall_score(Y, HAT),
    "specificity": sk.recall_score(Y, HAT, pos_label=0),
    "f1": sk.f1_score(Y, HAT),
    "true_negatives": TN,
    "false_positives": FP,
    "false_negatives": FN,
    "true_positives": TP,
    "roc_auc": sk.roc_auc_score(Y, S),
    "average_precision": sk.average_precision_score(Y, S),
    "log_loss": sk.log_loss(Y, S),
    "brier": sk.brier_score_loss(Y, S),
}
REGRESSION: dict[str, float] = {
    "mae": sk.mean_absolute_error(R, RP),
    "mse": sk.mean_squared_error(R, RP),
    "rmse": sk.root_mean_squared_error(R, RP),
    "mape": sk.mean_absolute_percentage_error(R, RP),
    "r2": sk.r2_score(R, RP),
}


def test_every_metric_is_compared_with_something() -> None:
    assert {*BINARY, *REGRESSION, "expected_calibration_error"} == METRICS.keys()


@pytest.mark.parametrize("name", BINARY)
def test_binary_metrics_agree_with_scikit_learn(name: str) -> None:
    found = METRICS[name].estimate(B)
    assert found.value == pytest.approx(BINARY[name], abs=1e-9)
    assert found.low < found.value < found.high


@pytest.mark.parametrize("name", REGRESSION)
def test_regression_metrics_agree_with_scikit_learn(name: str) -> None:
    found = METRICS[name].estimate(REG)
    assert found.value == pytest.approx(REGRESSION[name], abs=1e-9)
    assert found.low < found.value < found.high


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
@pytest.mark.parametrize("name", ["precision", "recall", "f1"])
def test_multiclass_averages_agree_with_scikit_learn(name: str, average: Any) -> None:
    theirs = getattr(sk, f"{name}_score")(Y3, P3, average=average)
    found = METRICS[name].estimate(M, average=average)
    assert found.value == pytest.approx(theirs, abs=1e-9)
    assert found.low < found.value < found.high


@pytest.mark.parametrize("average", ["macro", "weighted"])
def test_multiclass_areas_and_losses_agree_with_scikit_learn(average: Any) -> None:
    ours = METRICS["roc_auc"].estimate(M, average=average).value
    assert ours == pytest.approx(sk.roc_auc_score(Y3, S3, multi_class="ovr", average=average), abs=1e-9)
    theirs = sk.average_precision_score(np.eye(3)[Y3], S3, average=average)
    assert METRICS["average_precision"].estimate(M, average=average).value == pytest.approx(theirs, abs=1e-9)
    assert METRICS["log_loss"].estimate(M).value == pytest.approx(sk.log_loss(Y3, S3), abs=1e-9)
    brier = float(((S3 - np.eye(3)[Y3]) ** 2).sum(1).mean())
    assert METRICS["brier"].estimate(M).value == pytest.approx(brier, abs=1e-9)


def test_calibration_error_agrees_with_its_definition() -> None:
    edges = np.linspace(0, 1, 16)
    total = 0.0
    for low, high in itertools.pairwise(edges):
        inside = (low < S) & (high >= S)
        if inside.any():
            total += inside.mean() * abs(S[inside].mean() - Y[inside].mean())
    assert METRICS["expected_calibration_error"].estimate(B).value == pytest.approx(total, abs=1e-9)


@pytest.mark.parametrize("kind", ["demographic_parity", "equalized_odds", "equal_opportunity"])
def test_fairness_agrees_with_fairlearn(kind: str) -> None:
    groups = RNG.integers(0, 3, N)
    data = prepare(B)
    found = parity.rates(kind, groups, ("a", "b", "c"), data.truth, data.models[0].answer)
    for way, of in (("difference", parity.difference), ("ratio", parity.ratio)):
        theirs = getattr(fair, f"{kind}_{way}")(Y, HAT, sensitive_features=groups)
        estimate = of(found, 0.95).estimate
        assert estimate.value == pytest.approx(theirs, abs=1e-9)
        assert estimate.low <= estimate.value <= estimate.high
        assert f"{kind}_{way}" in FAIRNESS


@pytest.mark.parametrize("name", ["accuracy", "recall", "precision", "f1", "roc_auc", "average_precision", "brier"])
def test_a_difference_is_the_difference_of_the_values_and_its_interval_is_paired(name: str) -> None:
    worse = np.clip(S + RNG.normal(0, 0.05, N), 0.01, 0.99)
    other = Predictions(target=Y, prediction=(worse > 0.5).astype(int), scores=worse, labels=(0, 1), positive_label=1)
    one, two = METRICS[name].estimate(B), METRICS[name].estimate(other)
    found = METRICS[name].difference(B, other)
    assert found.estimate.value == pytest.approx(one.value - two.value, abs=1e-9)
    apart = (one.high - one.low) + (two.high - two.low)
    assert found.estimate.high - found.estimate.low < 0.75 * apart


def test_rows_of_one_entity_do_not_count_as_many() -> None:
    codes = np.arange(N)
    for name in ("accuracy", "roc_auc", "brier", "average_precision"):
        once = METRICS[name].estimate(Predictions(Y, HAT, S, (0, 1), 1, entity=codes))
        tenfold = np.tile(codes, 10)
        again = METRICS[name].estimate(Predictions(Y[tenfold], HAT[tenfold], S[tenfold], (0, 1), 1, entity=tenfold))
        assert again.high - again.low == pytest.approx(once.high - once.low, rel=0.15)


def test_text_labels_and_objects_are_the_same_as_codes() -> None:
    words = np.array(["no", "yes"])
    as_text = Predictions(words[Y].astype(object), words[HAT], S, ("no", "yes"), "yes")
    for name in ("f1", "roc_auc", "brier"):
        assert METRICS[name].estimate(as_text).value == METRICS[name].estimate(B).value


@pytest.mark.parametrize(
    ("name", "prediction", "said"),
    [
        ("precision", np.zeros(N, dtype=int), "predicts no row positive"),
        ("r2", None, "constant"),
        ("mape", None, "zeros"),
    ],
)
def test_what_is_undefined_is_no_number(name: str, prediction: Any, said: str) -> None:
    target = Y if prediction is not None else np.zeros(N)
    with pytest.raises(Unusable, match=said):
        METRICS[name].estimate(Predictions(target, target if prediction is None else prediction, positive_label=1))


def test_several_classes_without_an_average_are_refused() -> None:
    with pytest.raises(Unusable, match="average"):
        METRICS["f1"].estimate(M)


def test_a_misspelt_metric_is_answered() -> None:
    assert "did you mean 'accuracy'?" in unknown("acuracy")
    assert "type: fairness" in unknown("demographic_parity_ratio")
    assert "known: accuracy" in unknown("zzz")
