"""The sizes that `gates policy explain` tells do decide at the distance that it names, and half of them do not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from decided import check

from gates.checks import sizes
from gates.stats import delong, sequential
from gates.stats.proportion import newcombe, wilson


@pytest.mark.parametrize("limit", [0.05, 0.5, 0.85, 0.95])
def test_a_share(limit: float) -> None:
    p, n = limit + sizes.gap_of(limit), sizes.share(limit)
    assert [wilson(p * m, m, 0.95)[0] >= limit for m in (n // 2, math.ceil(1.1 * n))] == [False, True]


@pytest.mark.parametrize("limit", [0.3, 0.6, 0.8, 0.9])
def test_an_f1(limit: float) -> None:
    f, n = limit + sizes.gap_of(limit), sizes.f1(limit)
    bounds = [wilson(f / (2 - f) * m, m, 0.95)[0] for m in (n // 2, math.ceil(1.1 * n))]
    assert [2 * low / (1 + low) >= limit for low in bounds] == [False, True]


@pytest.mark.parametrize("limit", [0.7, 0.9])
def test_an_area(limit: float) -> None:
    """Of exponential scores, which is what the formula is of: they rank right with A / (1 - A) to 1."""
    found = []
    area, n = limit + sizes.gap_of(limit), sizes.area(limit)
    for m in (n // 2, math.ceil(1.2 * n)):
        grid = -np.log1p(-(np.arange(m) + 0.5) / m)
        scores = np.concatenate([grid * area / (1 - area), grid])
        found.append(delong.auc(np.arange(2 * m) < m, scores, 0.95).low >= limit)
    assert found == [False, True]


@pytest.mark.parametrize("limit", [0.05, 0.08, 0.2])
def test_two_groups(limit: float) -> None:
    n = sizes.groups(limit)
    assert [newcombe(m / 2, m, m / 2, m, 0.95)[1] <= limit for m in (n // 2, math.ceil(1.1 * n))] == [False, True]


@pytest.mark.parametrize("ratio", [1.5, 2.0, 3.0, 5.0])
def test_errors_of_two_sides(ratio: float) -> None:
    n = sizes.errors(ratio, 0.05)
    shown = [
        sequential.ratio_below([(10**5, k, 10**5, k)], ratio) >= math.log(20) for k in (n // 4, math.ceil(0.65 * n))
    ]
    assert shown == [False, True]


def test_who_can_be_told_a_size_is_told_one() -> None:
    told = {
        "accuracy": "about 1225 such rows",
        "f1": "rows that are positive, in truth or in prediction",
        "roc_auc": "rows of each class",
    }
    for metric, said in told.items():
        assert said in check("threshold", metric=metric, min=0.85).explain()
        assert "takes about" not in check("threshold", metric=metric, min=0.85, decide_on="point").explain()
    assert "takes about" not in check("threshold", metric="rmse", max=0.5).explain()
    assert "takes about" not in check("threshold", metric="f1", min=0.85, average="macro").explain()
    fair = {"metric": "demographic_parity_difference", "sensitive": ["g"], "max": 0.08}
    assert "up to about 301 rows each" in check("fairness", **fair).explain()
    assert "about 34 in all" in check("rate_ratio", signal="http_5xx", max_ratio=3.0).explain()
    assert "never shown" in check("rate_ratio", signal="http_5xx", max_ratio=1.0).explain()
    depends = "hangs on how often the two disagree"
    assert depends in check("champion_delta", metric="roc_auc", margin={"absolute": 0.01}).explain()
    assert depends in check("champion_delta", metric="accuracy", test="superiority").explain()
