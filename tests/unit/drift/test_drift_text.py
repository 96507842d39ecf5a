"""Vocabularies: the same in any order, also where most tokens are dropped, and new words alone are no drift."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gates.drift.text import ARRAYS, Words, from_counts, merge, unknown, words

if TYPE_CHECKING:
    import random

TEXTS = [f"w{i} w{i * 7 % 30}" for i in range(30)]


def made(rows: list[str | None], cap: int) -> Words:
    return words([pa.array(rows, pa.string())], cap)[0]


def same(a: Words, b: Words) -> bool:
    arrays = all(np.array_equal(getattr(a, key), getattr(b, key)) for key in ARRAYS)
    return arrays and (a.tokens, a.complete) == (b.tokens, b.complete)


@given(
    st.lists(
        st.lists(st.sampled_from([f"w{i} w{i * 7 % 30}" for i in range(30)]), max_size=12), min_size=2, max_size=5
    ),
    st.randoms(use_true_random=False),
)
@settings(max_examples=80, deadline=None)
def test_parts_in_any_grouping_keep_the_same_tokens(parts: list[Any], rng: random.Random) -> None:
    cap = 7
    whole = made([row for part in parts for row in part], cap)
    pool = [made(part, cap) for part in parts]
    while len(pool) > 1:
        rng.shuffle(pool)
        pool.append(merge(pool.pop(), pool.pop(), cap))
    assert same(pool[0], whole)


def test_tokens_and_lengths_by_hand() -> None:
    held, nulls = words([pa.array(["Über uns, über-all", None, ""])])
    assert (held.tokens, nulls, held.complete) == (4, 1, True)
    assert sorted(held.counts.tolist()) == [1, 1, 2]
    assert (held.lengths.tolist(), held.length_counts.tolist()) == ([0, 18], [1, 1])
    assert same(held, from_counts({"Über uns, über-all": 1, "": 1}))
    coded, _ = words([pa.array(["Über uns, über-all", None, ""]).dictionary_encode()])
    assert same(coded, held)


def zipf(rng: np.random.Generator, n: int) -> list[str | None]:
    return [f"t{k}" for k in rng.zipf(1.3, n)]


def test_new_words_of_the_same_language_are_expected() -> None:
    """A vocabulary with a long tail: one token in ten is new, and that is no drift."""
    low, gaps = 0, []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        found = unknown(made(zipf(rng, 8000), 50_000), made(zipf(rng, 5000), 50_000))
        assert found is not None
        assert found.expected > 0.02
        assert found.share == pytest.approx(found.expected, abs=0.04)
        gaps.append(found.share - found.expected)
        low += found.p < 0.001
    assert low <= 2
    assert abs(np.mean(gaps)) < 0.005


def test_a_dropped_vocabulary_still_estimates_the_share() -> None:
    rng = np.random.default_rng(1)
    ref = [f"a{k}" for k in rng.integers(0, 3000, 30_000)]
    half = [f"{'ab'[k % 2]}{k}" for k in rng.integers(0, 3000, 20_000)]
    full, kept = unknown(made([*ref], 50_000), made([*half], 50_000)), unknown(made([*ref], 500), made([*half], 500))
    assert full is not None
    assert kept is not None
    assert full.share == pytest.approx(0.5, abs=0.02)
    assert kept.share == pytest.approx(0.5, abs=0.1)
    assert kept.p < 1e-6


def test_no_token_is_no_figure() -> None:
    assert unknown(made(["a"], 9), made(["", "--"], 9)) is None
