"""Sums are what math.fsum says, whatever the order and the blocks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gates.stats import exact, student

if TYPE_CHECKING:
    from numpy.typing import NDArray

RNG = np.random.default_rng(1)
VALUES = {
    "even": RNG.random(70_001),
    "wide": np.exp(RNG.normal(0, 60, 5000)),
    "cancelling": np.r_[1e16, RNG.random(999), -1e16],
    "tiny": np.r_[5e-324, np.full(300, 3 * 5e-324), 1e-300],
    "huge": np.r_[1e308, np.full(500, -1e305)],
    "whole": RNG.integers(-5, 5, 1000).astype(np.float64),
    "zeros": np.zeros(10),
    "none": np.zeros(0),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_sum_is_exact(name: str) -> None:
    values = VALUES[name]
    assert exact.total(values) == math.fsum(values)
    found = exact.Sum()
    for part in np.array_split(values[::-1], 7):
        found.add(part)
    assert found.value == math.fsum(values)


def test_a_coarser_grid_is_as_independent_of_order() -> None:
    values: NDArray[np.float64] = VALUES["even"] ** 9
    sums = []
    for order in (values, np.sort(values), values[::-1]):
        found = exact.Sum(-74)
        for part in np.array_split(order, 5):
            found.add(part)
        sums.append(found.value)
    assert sums[0] == sums[1] == sums[2] == pytest.approx(math.fsum(values), rel=1e-15)


def test_what_is_not_finite_is_no_value_to_add() -> None:
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match="not finite"):
            exact.total(np.array([1.0, bad]))
    assert exact.total(np.full(3, 1.7e308)) == math.inf  # the sum itself may be out of range


def test_a_spread_is_of_any_order_and_any_blocks_and_any_unit() -> None:
    values = np.random.default_rng(2).lognormal(0, 1, 40_000)
    found = student.spread(values)
    assert found == student.spread(values[::-1])
    assert found == student.spread_of(lambda: iter(np.array_split(np.sort(values), 9)))
    in_grams = student.spread(values * 2.0**300)
    assert (in_grams.variance, in_grams.degrees) == (found.variance * 2.0**600, found.degrees)
