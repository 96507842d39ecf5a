"""PSI: its bins, its empty cells, and that the bias it subtracts is the one it has."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gates.stats.psi import Edges, bin_counts, psi, quantile_edges


def edges_of(x: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Edges:
    values = np.unique(x)
    return quantile_edges(values, np.searchsorted(x, values, "right"), np.searchsorted(x, values, "left"), len(x))


def test_by_hand() -> None:
    found = psi(np.array([50, 50]), np.array([75, 25]))
    raw = 0.25 * math.log(1.5) - 0.25 * math.log(0.5)
    assert found.raw == pytest.approx(raw, abs=1e-15)
    assert found.bias == pytest.approx(1 / 100 + 1 / 100)
    assert found.corrected == pytest.approx(raw - 0.02, abs=1e-15)


def test_an_empty_cell_counts_half_a_row_and_a_doubly_empty_one_nothing() -> None:
    found = psi(np.array([100, 0, 0]), np.array([90, 10, 0]))
    assert found.raw == pytest.approx((0.9 - 1.0) * math.log(0.9) + (0.1 - 0.005) * math.log(0.1 / 0.005))
    assert found.bias == pytest.approx(2 / 100)


def test_ten_bins_of_equal_share() -> None:
    x = np.arange(1000.0)
    assert bin_counts(x, edges_of(x)).tolist() == [100] * 10


def test_a_constant_reference_sees_what_lies_beside_it() -> None:
    edges = edges_of(np.full(50, 2.0))
    assert bin_counts(np.array([1.0, 2.0, 2.0, 3.0]), edges).tolist() == [1, 2, 1]


def test_an_atom_has_its_own_bin() -> None:
    x = np.sort(np.concatenate([np.zeros(500), np.linspace(1, 2, 500)]))
    counts = bin_counts(x, edges_of(x))
    assert counts[:2].tolist() == [0, 500]
    moved = np.sort(np.concatenate([np.full(500, -1e-9), np.linspace(1, 2, 500)]))
    assert psi(counts, bin_counts(moved, edges_of(x))).corrected > 1.0


def test_mean_under_no_drift_is_zero() -> None:
    rng = np.random.default_rng(3)
    draws = []
    for _ in range(400):
        x, y = np.sort(rng.normal(size=400)), np.sort(rng.normal(size=300))
        edges = edges_of(x)
        draws.append(psi(bin_counts(x, edges), bin_counts(y, edges)))
    corrected = np.array([d.corrected for d in draws])
    error = corrected.std() / math.sqrt(len(corrected))
    assert abs(corrected.mean()) < 5 * error
    assert np.mean([d.raw for d in draws]) > 10 * error


def test_a_side_without_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="both sides"):
        psi(np.array([0, 0]), np.array([1, 1]))
