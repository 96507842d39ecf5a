"""The reference profile: the same in any order and grouping, read back to the byte, refused when it is not one."""

from __future__ import annotations

import itertools
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gates.drift.packing import MAGIC
from gates.drift.profile import Profile, build, compacted, merge, merge_all
from gates.drift.source import from_table
from gates.errors import InvalidInput

if TYPE_CHECKING:
    import random

ROW = st.tuples(
    st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True), st.integers(-2, 2).map(float)),
    st.one_of(st.none(), st.integers(-(2**62), 2**62)),
    st.one_of(st.none(), st.sampled_from(["a", "b", "c d", "E f g", "ü", "b a"])),
    st.one_of(st.none(), st.booleans()),
)


def table(rows: list[Any]) -> pa.Table:
    types = {"x": pa.float64(), "k": pa.int64(), "s": pa.string(), "b": pa.bool_()}
    columns = list(zip(*rows, strict=True))
    return pa.table({n: pa.array(list(v), type=t) for (n, t), v in zip(types.items(), columns, strict=True)})


def profile(rows: list[Any], **options: Any) -> Profile:
    return build(from_table(table(rows)), **options)


@given(st.lists(st.lists(ROW, min_size=1, max_size=30), min_size=2, max_size=5), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_parts_merged_in_any_order_and_grouping_give_the_same_bytes(parts: list[Any], rng: random.Random) -> None:
    made = [profile(p, points=5, category_cap=3, data_digest=str(i)) for i, p in enumerate(parts)]
    forward = merge_all(made).to_bytes()
    pool = made[:]
    while len(pool) > 1:
        rng.shuffle(pool)
        pool.append(merge(pool.pop(), pool.pop()))
    assert pool[0].to_bytes() == forward


@given(st.lists(ROW, min_size=1, max_size=60), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_order_of_rows_changes_nothing(rows: list[Any], rng: random.Random) -> None:
    shuffled = rows[:]
    rng.shuffle(shuffled)
    assert profile(rows, points=7) == profile(shuffled, points=7)


def test_small_parts_merge_to_the_profile_of_the_whole() -> None:
    rng = np.random.default_rng(2)
    rows = [(float(rng.integers(0, 50)), int(rng.integers(0, 9)), "ab"[i % 2], True) for i in range(300)]
    whole, merged = profile(rows), merge_all([profile(rows[i : i + 37]) for i in range(0, 300, 37)])
    for name in ("x", "k"):
        a, b = whole.columns[name].sketch, merged.columns[name].sketch
        assert a is not None
        assert b is not None
        assert b.exact
        assert np.array_equal(a.points, b.points)
        assert np.array_equal(a.lo, b.lo)
        assert a.deviation == pytest.approx(b.deviation, rel=1e-14)
    assert whole.columns["s"].counts == merged.columns["s"].counts == {"a": 150, "b": 150}


def test_bytes_are_read_back_to_the_byte() -> None:
    made = profile(
        [(1.5, 2**60, f"word {i}", None) for i in range(40)], category_cap=3, data_digest="d", model_digest="m"
    )
    again = Profile.from_bytes(made.to_bytes())
    assert again.to_bytes() == made.to_bytes()
    assert again.columns["s"].kind == "text"
    assert again.columns["x"].sketch is not None
    assert again.columns["x"].sketch.mean == 1.5
    assert (again.data_digests, again.model_digest) == (("d",), "m")


def test_every_cut_and_every_changed_byte_is_refused() -> None:
    good = profile([(1.0, 1, "a", True)]).to_bytes()
    for size in itertools.chain(range(0, len(good), 17), [len(good) - 1]):
        with pytest.raises(InvalidInput, match="profile"):
            Profile.from_bytes(good[:size], file="p.gates")
    for at in range(0, len(good), 13):
        changed = bytearray(good)
        changed[at] ^= 1
        with pytest.raises(InvalidInput, match=r"p\.gates: .*profile"):
            Profile.from_bytes(bytes(changed), file="p.gates")


def test_another_version_and_another_model_are_named() -> None:
    made = profile([(1.0, 1, "a", True)], model_digest="m1")
    good = bytearray(made.to_bytes())
    struct.pack_into("<I", good, len(MAGIC), 9)
    with pytest.raises(InvalidInput, match="of version 9, this release reads 1; record it again"):
        Profile.from_bytes(bytes(good))
    made.require("m1")
    with pytest.raises(InvalidInput, match="is of model m1, not of m2"):
        made.require("m2")


def test_profiles_that_do_not_fit_are_not_merged() -> None:
    one = profile([(1.0, 1, "a", True)])
    with pytest.raises(InvalidInput, match="different columns cannot be merged: b"):
        merge(one, build(from_table(table([(1.0, 1, "a", True)])), columns=["x", "k", "s"]))
    with pytest.raises(InvalidInput, match="different models"):
        merge(one, profile([(1.0, 1, "a", True)], model_digest="m"))
    other = build(from_table(pa.table({"x": ["q"], "k": [1], "s": ["a"], "b": [True]})))
    with pytest.raises(InvalidInput, match="column 'x' is numeric in one profile and categorical in the other"):
        merge(one, other)


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(InvalidInput, match="no column 'q'"):
        build(from_table(table([(1.0, 1, "a", True)])), columns=["q"])


def test_bounds_hold_after_merging_and_compacting() -> None:
    rng = np.random.default_rng(9)
    values = [np.round(rng.normal(size=n), 2 if i % 2 else 9) for i, n in enumerate((400, 1300, 77, 900))]
    parts = [build(from_table(pa.table({"x": pa.array(v)})), points=20) for v in values]
    everything = np.sort(np.concatenate(values))
    for made in (parts[0], merge_all(parts), compacted(merge_all(parts), 15)):
        held = made.columns["x"].sketch
        assert held is not None
        data = np.sort(values[0]) if made is parts[0] else everything
        middles = (held.points[:-1] + held.points[1:]) / 2
        for probe, i in [*zip(held.points, range(99999), strict=False), *zip(middles, range(99999), strict=False)]:
            true = int(np.searchsorted(data, probe, "right"))
            assert held.lo[i] <= true <= held.up[i]
        assert np.all(held.below <= np.searchsorted(data, held.points, "left"))
        assert np.all(np.searchsorted(data, held.points, "right") <= held.at)
        assert held.lo[-1] == held.up[-1] == held.n == len(data)
    assert len(compacted(merge_all(parts), 15).columns["x"].sketch.points) <= 17  # type: ignore[union-attr]  # it is numeric


def test_the_two_zeros_are_one_value() -> None:
    a, b = profile([(0.0, 1, "a", True)]), profile([(-0.0, 1, "a", True)])
    assert a == b
    assert merge(a, b).to_bytes() == merge(b, a).to_bytes()


def test_moments_are_exact_for_offset_data() -> None:
    values = np.random.default_rng(1).normal(size=5000) + 1e9
    held = build(from_table(pa.table({"x": pa.array(values)}))).columns["x"].sketch
    assert held is not None
    assert held.deviation == pytest.approx(float(np.std(values, ddof=1)), rel=1e-12)
    halves = [build(from_table(pa.table({"x": pa.array(h)}))) for h in np.split(values, 2)]
    merged = merge_all(halves).columns["x"].sketch
    assert merged is not None
    assert merged.deviation == pytest.approx(float(np.std(values, ddof=1)), rel=1e-12)


def test_values_near_the_largest_float_do_not_overflow() -> None:
    held = build(from_table(pa.table({"x": [1e308, -1e308, 1.7e308]}))).columns["x"].sketch
    assert held is not None
    assert held.mean == pytest.approx(1.7e308 / 3, rel=1e-12)


def test_as_many_categories_as_the_cap_are_categories_still() -> None:
    """Of the whole and of parts that were merged; one more makes both text."""
    parts = [from_table(pa.table({"x": [f"k{i}" for i in range(*span)]})) for span in ((0, 6), (4, 10))]
    for cap, kind in ((10, "categorical"), (9, "text")):
        assert merge_all([build(part, category_cap=cap) for part in parts]).columns["x"].kind == kind
        whole = from_table(pa.table({"x": [f"k{i}" for i in range(10)]}))
        assert build(whole, category_cap=cap).columns["x"].kind == kind


def test_a_column_recorded_in_parts_keeps_few_points() -> None:
    values = np.random.default_rng(3).normal(size=20_000)
    held = build(from_table(pa.table({"x": pa.array(values)})), points=101, memory=8_000).columns["x"].sketch
    assert held is not None
    assert (held.n, len(held.points) <= 4 * 101) == (20_000, True)
