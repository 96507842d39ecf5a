"""KS and Wasserstein equal scipy's to 1e-12: ties, infinities, constants, tiny samples, every kind of number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from scipy.spatial.distance import jensenshannon

from gates.stats import distances, segments
from gates.stats.distances import compare, jensen_shannon

if TYPE_CHECKING:
    from numpy.typing import NDArray

DTYPES = [np.float64, np.float32, np.int64, np.int32, np.int8, np.uint64, np.uint8]


def samples(dtype: Any) -> st.SearchStrategy[NDArray[Any]]:
    numbers: st.SearchStrategy[Any]
    if np.dtype(dtype).kind == "f":
        numbers = st.one_of(st.floats(-1e6, 1e6, width=32), st.integers(-3, 3))
    else:
        info = np.iinfo(dtype)
        numbers = st.one_of(st.integers(max(info.min, -(10**15)), min(info.max, 10**15)), st.integers(0, 4))
    return st.lists(numbers, min_size=1, max_size=60).map(lambda v: np.sort(np.array(v).astype(dtype)))


@given(data=st.data(), dtype=st.sampled_from(DTYPES), block=st.sampled_from([1, 2, 7, 64]))
@settings(max_examples=300, deadline=None)
def test_equal_to_scipy(data: st.DataObject, dtype: Any, block: int) -> None:
    x, y = data.draw(samples(dtype)), data.draw(samples(dtype))
    found = compare(x, y, block)
    assert found.ks == pytest.approx(scipy_stats.ks_2samp(x, y).statistic, abs=1e-15)
    expected = float(scipy_stats.wasserstein_distance(x.astype(np.float64), y.astype(np.float64)))
    assert found.w1 == pytest.approx(expected, rel=1e-12, abs=1e-12 * max(1.0, float(np.abs(x.astype(float)).max())))


@pytest.mark.parametrize("slab", [1, 5, 64])
@pytest.mark.parametrize("block", [1, 3, 16])
def test_slabs_of_any_size_give_the_same_sums(slab: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    x, y = np.sort(rng.normal(size=1_003).round(2)), np.sort(rng.normal(size=907).round(2))
    expected = float(scipy_stats.wasserstein_distance(x, y))
    monkeypatch.setattr(segments, "SLAB", slab)
    monkeypatch.setattr(distances, "SLAB", slab)
    assert compare(x, y, block).w1 == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
@pytest.mark.parametrize("shift", [0.0, 0.001, 0.3, 50.0])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_equal_to_scipy_on_thousands_of_rows(dtype: Any, shift: float, offset: float) -> None:
    rng = np.random.default_rng(7)
    x = np.sort((rng.normal(size=5_003) * 100 + offset).astype(dtype))
    y = np.sort((rng.normal(size=7_919) * 100 + shift * 100 + offset).astype(dtype))
    found = compare(x, y)
    assert found.ks == pytest.approx(scipy_stats.ks_2samp(x, y).statistic, abs=1e-15)
    expected = float(scipy_stats.wasserstein_distance(x.astype(np.float64), y.astype(np.float64)))
    assert found.w1 == pytest.approx(expected, rel=1e-12 * max(1.0, offset / 100))


def test_infinities_have_an_order_but_no_distance() -> None:
    x = np.array([-np.inf, 0.0, 1.0, np.inf])
    y = np.array([-np.inf, -np.inf, 0.5])
    found = compare(x, y)
    assert found.ks == pytest.approx(scipy_stats.ks_2samp(x, y).statistic, abs=1e-15)
    assert found.w1 is None


def test_the_widest_integers_do_not_overflow() -> None:
    x = np.array([-(2**63), 2**63 - 1])
    found = compare(x, x[::-1].copy()[:1])
    assert found.w1 == pytest.approx(2**63, rel=1e-12)


def test_constants() -> None:
    same = np.full(100, 3.5)
    assert compare(same, same[:7]) == (0.0, 0.0)
    assert compare(same, same[:7] + 2.0) == (1.0, 2.0)


def test_an_empty_side_is_refused() -> None:
    with pytest.raises(ValueError, match="both sides"):
        compare(np.zeros(0), np.zeros(3))
    with pytest.raises(ValueError, match="both sides"):
        jensen_shannon(np.array([0, 0]), np.array([1, 1]))


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=20))
@settings(deadline=None)
def test_jensen_shannon_equals_scipy(cells: list[tuple[int, int]]) -> None:
    a, b = np.array([c[0] for c in cells]), np.array([c[1] for c in cells])
    a[0] += 1
    b[-1] += 1
    assert jensen_shannon(a, b) == pytest.approx(float(jensenshannon(a, b, base=2)), abs=1e-7)
    assert jensen_shannon(a, b) ** 2 == pytest.approx(float(jensenshannon(a, b, base=2)) ** 2, abs=1e-12)
