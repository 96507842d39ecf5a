"""ROC corners lie on scikit-learn's curve, calibration bins count as by hand, and both stay small."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from gates.stats import curves


@pytest.mark.parametrize("n", [2, 50, 5_000])
@pytest.mark.parametrize("grain", [None, 0.1])
def test_every_corner_is_one_of_scikit_learn_s(n: int, grain: float | None) -> None:
    random = np.random.default_rng(n)
    positive = random.random(n) < 0.4
    positive[:2] = [True, False]
    score = random.random(n) * 0.7 + positive * 0.3
    score = np.round(score / grain) * grain if grain else score
    found = curves.roc(positive, score)
    x, y, _ = roc_curve(positive, score, drop_intermediate=False)
    theirs = {(round(float(a), 12), round(float(b), 12)) for a, b in zip(x, y, strict=True)}
    assert {(round(a, 12), round(b, 12)) for a, b in found} <= theirs
    assert found[0] == (0.0, 0.0)
    assert found[-1] == (1.0, 1.0)
    assert len(found) <= curves.POINTS
    assert found == sorted(found)


def test_the_thinned_curve_has_nearly_the_area_of_the_whole() -> None:
    random = np.random.default_rng(3)
    positive = random.random(20_000) < 0.1
    score = random.normal(size=20_000) + positive
    x, y = np.transpose(curves.roc(positive, score))
    area = float(((x[1:] - x[:-1]) * (y[1:] + y[:-1]) / 2).sum())
    assert area == pytest.approx(roc_auc_score(positive, score), abs=0.002)


def test_calibration_counts_rows_of_each_bin_and_leaves_empty_ones_out() -> None:
    score = np.array([0.0, 0.05, 0.51, 0.59, 0.55, 1.0])
    positive = np.array([False, True, True, False, True, True])
    found = curves.calibration(positive, score)
    assert [row[-1] for row in found] == [2, 3, 1]
    assert list(found[1][:2]) == pytest.approx([0.55, 2 / 3])
    assert all(low <= share <= high for _, share, low, high, _ in found)
    assert list(found[2][1:]) == pytest.approx([1.0, 0.2065, 1.0, 1], abs=1e-4)  # Wilson's interval of 1 of 1
