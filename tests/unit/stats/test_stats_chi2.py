"""Chi-square equals scipy's, Yates' correction and extreme tails included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from gates.stats.chi2 import contingency, tail


@given(st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 5_000)), min_size=1, max_size=40))
@settings(max_examples=200, deadline=None)
def test_equal_to_scipy(cells: list[tuple[int, int]]) -> None:
    a, b = np.array([c[0] for c in cells]), np.array([c[1] for c in cells])
    a[0] += 1
    b[-1] += 1
    used = (a + b) > 0
    expected = scipy_stats.chi2_contingency(np.stack([a, b])[:, used])
    found = contingency(a, b)
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-12, abs=1e-12)
    assert found.p == pytest.approx(expected.pvalue, abs=1e-12)
    assert found.dof == expected.dof


@given(dof=st.integers(1, 20_000), ratio=st.floats(0.0, 4.0))
@settings(max_examples=300, deadline=None)
def test_tail_equals_scipy(dof: int, ratio: float) -> None:
    x = ratio * dof
    assert tail(x, dof) == pytest.approx(float(scipy_stats.chi2.sf(x, dof)), rel=1e-8, abs=1e-12)


@pytest.mark.parametrize(("x", "dof"), [(1400.0, 1), (1400.0, 2), (5000.0, 7), (1e-300, 3)])
def test_extreme_tails(x: float, dof: int) -> None:
    assert tail(x, dof) == pytest.approx(float(scipy_stats.chi2.sf(x, dof)), rel=1e-9, abs=1e-300)


def test_one_category_has_nothing_to_differ_in() -> None:
    assert contingency(np.array([5, 0]), np.array([9, 0])) == (0.0, 1.0, 0)


def test_a_side_without_counts_is_refused() -> None:
    with pytest.raises(ValueError, match="both sides"):
        contingency(np.array([0, 0]), np.array([1, 2]))
