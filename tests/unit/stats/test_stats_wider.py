"""A bound is the farther of two that each pass a little too often, and B resamples have B + 1 gaps between them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gates.stats import bootstrap, student

if TYPE_CHECKING:
    from numpy.typing import NDArray


def precision_gap(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Columns: hits and false alarms of one model, then of the other."""
    ours: NDArray[np.float64] = sums[..., 0] / (sums[..., 0] + sums[..., 1])
    return ours - sums[..., 2] / (sums[..., 2] + sums[..., 3])


def test_a_bootstrap_bound_is_never_nearer_than_bca_or_student() -> None:
    rng = np.random.default_rng(3)
    cells = np.array(
        [[1, 0, 1, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 1], [0, 1, 0, 0], [0, 0, 0, 1.0], [0, 0, 0, 0]]
    )
    farther = [0, 0]
    for seed in range(40):
        counts = rng.multinomial(300, [0.2, 0.02, 0.03, 0.04, 0.03, 0.02, 0.66])
        value = float(precision_gap(counts @ cells))
        left_out = precision_gap(counts @ cells - cells)
        drawn = bootstrap.replicates(cells, counts, precision_gap, seed, bootstrap.RESAMPLES)
        order = np.argsort(left_out)
        spread = student.spread(left_out[order], counts[order].astype(np.float64))
        t = student.reach(0.95, spread.degrees)
        bca = bootstrap.bca(value, drawn, left_out, counts.astype(np.float64), t)
        reps = np.repeat(left_out, counts)
        half = t * math.sqrt(299 / 300 * float(((reps - reps.mean()) ** 2).sum()))
        found = bootstrap.interval(cells, counts, precision_gap, confidence=0.95, seed=seed)
        assert found.low == pytest.approx(min(bca[0], value - half), abs=1e-12)
        assert found.high == pytest.approx(max(bca[1], value + half), abs=1e-12)
        farther[0] += value - half < bca[0]
        farther[1] += value - half > bca[0]
    assert min(farther) > 0  # each of the two is sometimes the farther


def test_the_accelerated_bounds_are_never_nearer_than_students() -> None:
    skewed = np.sort(np.random.default_rng(6).lognormal(0, 1, 200))
    found = student.spread(skewed)
    low, high = found.bounds(2.0, 0.95)
    half = student.reach(0.95, found.degrees) * found.error
    assert low == pytest.approx(2.0 - half)
    assert high > 2.0 + 1.1 * half


def test_of_199_resamples_the_fifth_is_the_fortieth_part() -> None:
    """k / (B + 1) = 0.025 at k = 5 of 199, with no bias and no acceleration."""
    drawn = np.arange(-99.0, 100.0)
    low, high = bootstrap.bca(0.0, drawn, np.array([-1.0, 1.0]), np.array([1.0, 1.0]), 1.959963984540054)
    assert (low, high) == pytest.approx((drawn[4], drawn[-5]), abs=1e-6)


def test_rows_drawn_one_by_one_are_drawn_as_counts_are() -> None:
    """Few profiles: counts are drawn. Many: rows. Both have the binomial's mean and variance, and one seed's bytes."""
    distinct = np.array([[0.0], [1.0]])
    counts = np.array([70, 30])

    def total(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        return sums[..., 0]

    as_counts = bootstrap.replicates(distinct, counts, total, 1, 4000)
    rows = np.repeat(distinct, counts, axis=0) + np.linspace(0, 1e-9, 100)[:, None]
    as_rows = bootstrap.replicates(rows, np.ones(100, dtype=np.int64), total, 1, 4000)
    for drawn in (as_counts, as_rows):
        assert drawn.mean() == pytest.approx(30, abs=4 * math.sqrt(21 / 4000))
        assert drawn.var() == pytest.approx(21, rel=0.1)
    assert (as_rows == bootstrap.replicates(rows, np.ones(100, dtype=np.int64), total, 1, 4000)).all()
