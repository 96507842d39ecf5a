"""The table that tells a score's bucket says what a search says, for whatever scores and bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gates.stats import order

if TYPE_CHECKING:
    from numpy.typing import NDArray

FINITE = st.floats(allow_nan=False, allow_infinity=False)
CLOSE = st.floats(-1, 1) | st.sampled_from([0.0, -0.0, 5e-324, 1.0, np.nextafter(1.0, 2.0), 0.5])


def columns(values: st.SearchStrategy[float]) -> st.SearchStrategy[NDArray[np.float64]]:
    return arrays(np.float64, st.integers(1, 60), elements=values)


@given(columns(FINITE | CLOSE), columns(FINITE | CLOSE))
@example(np.array([-1.7e308, 1.7e308]), np.array([-1.7e308, 0.0, 1.7e308]))
@example(np.array([0.0, 5e-324]), np.array([-5e-324, 0.0, 5e-324, 1.0]))
def test_a_table_says_what_a_search_says(bounds: NDArray[np.float64], scores: NDArray[np.float64]) -> None:
    edges = np.unique(bounds)
    found = order._Bounds(edges, np.zeros(len(edges) + 1, dtype=bool), order._table(edges))
    for asked in (scores, edges):
        assert found.bucket(asked).tolist() == np.searchsorted(edges, asked, side="right").tolist()


@pytest.mark.parametrize("spread", [1.0, 1e-9, 1e300])
def test_many_scores_between_many_bounds(spread: float) -> None:
    rng = np.random.default_rng(3)
    scores = rng.standard_t(2, 20_000) * spread
    edges = np.unique(np.concatenate([np.quantile(scores, np.linspace(0, 1, 300)), [0.0, np.nextafter(0.0, 1)]]))
    table = order._table(edges)
    assert table is not None
    assert table.many.any(), "cells with several edges are met too"
    assert table.look(scores, edges).tolist() == np.searchsorted(edges, scores, side="right").tolist()
