"""The p-value equals scipy's, by its own rule of exact and asymptotic, without importing scipy.stats."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from gates.stats import ks
from gates.stats.distances import compare


@given(n=st.integers(1, 120), m=st.integers(1, 120), seed=st.integers(0, 2**32 - 1), digits=st.sampled_from([0, 1, 9]))
@settings(max_examples=150, deadline=None)
def test_exact_p_value_equals_scipy(n: int, m: int, seed: int, digits: int) -> None:
    rng = np.random.default_rng(seed)
    x = np.sort(rng.normal(size=n).round(digits))
    y = np.sort((rng.normal(size=m) + rng.choice([0.0, 0.5, 3.0])).round(digits))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        expected = scipy_stats.ks_2samp(x, y)
    d = compare(x, y).ks
    assert d == pytest.approx(expected.statistic, abs=1e-15)
    gave_up = caught and expected.pvalue > 0.99  # a sum of 1 + 2e-16 makes scipy fall back to its asymptotic value
    assert ks.p_value(d, n, m) == pytest.approx(1.0 if gave_up else expected.pvalue, abs=1e-12)


@given(
    n=st.integers(10_001, 3_000_000),
    m=st.integers(1, 3_000_000),
    z=st.floats(0.02, 4.0),
)
@settings(max_examples=60, deadline=None)
def test_asymptotic_p_value_equals_scipy(n: int, m: int, z: float) -> None:
    d = min(1.0, z * math.sqrt((n + m) / (n * m)))
    expected = float(scipy_stats.kstwo.sf(d, round(n * m / (n + m))))
    assert ks.p_value(d, n, m) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("n", "m"), [(10_000, 9_999), (10_000, 10_000), (9_973, 128), (10_000, 1), (5_000, 1_000)])
@pytest.mark.parametrize("shift", [0.01, 0.06, 0.4])
def test_large_exact_samples_equal_scipy(n: int, m: int, shift: float) -> None:
    """A little, some and a lot, so that both ways of counting paths are gone; to twelve digits, not places."""
    rng = np.random.default_rng(n)
    x, y = np.sort(rng.normal(size=n)), np.sort(rng.normal(size=m) + shift)
    d = compare(x, y).ks
    expected = scipy_stats.ks_2samp(x, y).pvalue
    assert ks.p_value(d, n, m) == pytest.approx(expected, rel=2e-12, abs=0)
    assert ks.p_value(d, m, n) == ks.p_value(d, n, m)


@given(n=st.integers(1, 400), m=st.integers(1, 400), share=st.floats(0.0, 1.0))
@settings(max_examples=80, deadline=None)
def test_both_ways_of_counting_paths_agree(n: int, m: int, share: float) -> None:
    n, m = min(n, m), max(n, m)
    g = math.gcd(n, m)
    slope, rise = m // g, n // g
    reach = 1 + int(share * (n * slope - 1))
    at = np.arange(n + 1, dtype=np.int64) * slope
    low, high = np.maximum((at - reach) // rise + 1, 0), np.minimum(-(-(at + reach) // rise) - 1, m)
    if np.any(low > high):
        assert ks._exact_unequal(n, m, g, reach) == 1.0
        return
    slow = ks._by_diagonals(n, m, slope, rise, reach)
    assert ks._by_rows(n, m, low, high) == pytest.approx(slow, rel=1e-11, abs=1e-250)


def test_no_distance_is_certain_and_full_distance_is_rare() -> None:
    assert ks.p_value(0.0, 5, 7) == 1.0
    assert ks.p_value(0.0, 50_000, 70_000) == 1.0
    assert ks.p_value(1.0, 5, 7) == pytest.approx(2 / math.comb(12, 5), abs=1e-15)
    assert ks.p_value(1.0, 50_000, 70_000) == 0.0


@pytest.mark.parametrize(("d", "n", "m"), [(math.nan, 5, 5), (-0.1, 5, 5), (1.1, 5, 5), (0.5, 0, 5), (0.5, 5, 0)])
def test_what_is_no_distance_is_refused(d: float, n: int, m: int) -> None:
    with pytest.raises(ValueError, match="no p-value"):
        ks.p_value(d, n, m)


def test_p_value_falls_as_the_distance_grows() -> None:
    for n, m in ((50, 70), (200_000, 90_000)):
        ps = [ks.p_value(d, n, m) for d in np.linspace(0.0, 1.0, 200)]
        assert all(b <= a + 1e-12 for a, b in itertools.pairwise(ps))
