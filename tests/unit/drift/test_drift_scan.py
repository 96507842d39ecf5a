"""Scanning: equal to scipy where it is exact, within its stated bound where it is not, and never a silent zero."""

from __future__ import annotations

import tracemalloc
import warnings
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from gates.drift.decide import decide
from gates.drift.profile import build, merge_all
from gates.drift.scan import scan
from gates.drift.source import Source, from_table, open_source
from gates.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gates.drift.found import ColumnDrift

FLOATS = st.lists(
    st.one_of(st.none(), st.just(float("nan")), st.floats(-1e3, 1e3), st.integers(-3, 3).map(float)),
    min_size=1,
    max_size=80,
)


def source(**columns: Any) -> Source:
    arrays = {k: v if isinstance(v, pa.Array) else pa.array(v, from_pandas=False) for k, v in columns.items()}
    return from_table(pa.table(arrays))


def one(ref: Any, cur: Any, **options: Any) -> ColumnDrift:
    return scan(source(x=ref), source(x=cur), **options)[0]


@given(ref=FLOATS, cur=FLOATS)
@settings(max_examples=100, deadline=None)
def test_exact_mode_equals_scipy_with_nulls_nan_and_ties(ref: list[Any], cur: list[Any]) -> None:
    found = one(pa.array(ref, pa.float64(), from_pandas=False), pa.array(cur, pa.float64(), from_pandas=False))
    x, y = (np.array([v for v in side if v is not None and v == v]) for side in (ref, cur))
    assert (found.n_ref, found.n_cur) == (len(x), len(y))
    assert (found.nulls_ref, found.nulls_cur) == (len(ref) - len(x), len(cur) - len(y))
    if len(x) == 0 or len(y) == 0:
        assert (found.ks, found.p, found.psi, found.w1, found.js) == (None,) * 5
        assert "no value in the" in found.reason
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        expected = scipy_stats.ks_2samp(x, y)
    assert found.ks == pytest.approx(expected.statistic, abs=1e-12)
    gave_up = caught and expected.pvalue > 0.99  # a sum of 1 + 2e-16 makes scipy fall back to its asymptotic value
    assert found.p == pytest.approx(1.0 if gave_up else expected.pvalue, abs=1e-12)
    assert found.w1 == pytest.approx(scipy_stats.wasserstein_distance(x, y), rel=1e-12, abs=1e-9)
    assert (found.method, found.ks_bound) == ("exact", 0.0)


def data(rng: np.random.Generator, n: int, shift: float, digits: int, dtype: Any) -> Any:
    return (rng.normal(size=n) * 50 + shift).round(digits).astype(dtype)


@given(
    seed=st.integers(0, 2**31),
    shift=st.sampled_from([0.0, 0.5, 20.0, 500.0]),
    digits=st.sampled_from([0, 1, 6]),
    dtype=st.sampled_from([np.float64, np.float32, np.int64]),
    points=st.sampled_from([3, 11, 101]),
    parts=st.sampled_from([1, 3]),
)
@settings(max_examples=60, deadline=None)
def test_profile_mode_lies_within_its_bound(
    seed: int, shift: float, digits: int, dtype: Any, points: int, parts: int
) -> None:
    rng = np.random.default_rng(seed)
    x, y = data(rng, 900, 0.0, digits, dtype), data(rng, 700, shift, digits, dtype)
    exact = one(x, y)
    profile = merge_all([build(source(x=piece), points=points) for piece in np.array_split(x, parts)])
    for memory in (2**31, 4000):
        found = scan(profile, source(x=y), memory=memory)[0]
        assert exact.ks is not None
        assert found.ks is not None
        assert exact.w1 is not None
        assert found.w1 is not None
        assert abs(found.ks - exact.ks) <= found.ks_bound + 1e-12
        assert abs(found.w1 - exact.w1) <= found.w1_bound + 1e-9
        if parts == 1 and found.method == "profile":
            assert found.ks_bound <= 1 / (points - 1) + 1 / 900 + 1e-12


def test_a_profile_of_10001_points_brackets_ks_within_a_ten_thousandth() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=60_000), rng.normal(size=50_000) + 0.01
    exact = one(x, y)
    found = scan(build(source(x=x)), source(x=y))[0]
    assert found.method == "profile"
    assert found.ks_bound <= 1e-4 + 1e-12
    assert found.ks == pytest.approx(exact.ks, abs=found.ks_bound)
    assert found.w1 == pytest.approx(exact.w1, abs=found.w1_bound)
    assert (found.psi, found.js, found.psi_raw) == (exact.psi, exact.js, exact.psi_raw)


@given(
    ref=FLOATS,
    cur=FLOATS,
    offset=st.sampled_from([0.0, 1e9]),
    dtype=st.sampled_from([pa.float64(), pa.float32(), pa.int64(), pa.timestamp("us"), pa.decimal128(24, 6)]),
)
@settings(max_examples=150, deadline=None)
def test_a_profile_that_holds_every_value_gives_what_the_file_gives(
    ref: list[Any], cur: list[Any], offset: float, dtype: Any
) -> None:
    """Every figure, whether current values stand on the profile's points, between them or beside them."""
    whole = not pa.types.is_floating(dtype) and not pa.types.is_decimal(dtype)

    def column(values: list[Any]) -> pa.Array[Any]:
        kept = [None if v is None or (v != v and not pa.types.is_floating(dtype)) else v + offset for v in values]
        numbers = pa.array([None if v is None else int(v) for v in kept] if whole else kept, from_pandas=False)
        return numbers.cast(pa.int64()).cast(dtype) if whole else numbers.cast(pa.float64()).cast(dtype)

    a, b = column(ref), column(cur)
    exact, found = one(a, b), scan(build(source(x=a)), source(x=b))[0]
    assert found.method == "exact"
    for left, right in ((found.w1, exact.w1), (found.w1_scaled, exact.w1_scaled)):
        assert left == (None if right is None else pytest.approx(right, rel=1e-12, abs=1e-12 * (1 + offset)))
    assert replace(found, w1=None, w1_scaled=None) == replace(exact, w1=None, w1_scaled=None)


def test_a_profile_that_holds_every_value_gives_what_the_file_gives_on_many_rows() -> None:
    rng = np.random.default_rng(5)
    few, moved = rng.integers(0, 40, 30_000), rng.integers(0, 41, 20_000)
    between = rng.normal(size=20_000) * 10 + 20
    infinite = np.append(few, [np.inf, -np.inf])
    for x, y in ((few, moved), (few + 0.0, between), (infinite, between), (few + 0.0, moved.astype(np.float32))):
        exact, found = one(x, y), scan(build(source(x=x)), source(x=y))[0]
        assert found.w1 == (None if exact.w1 is None else pytest.approx(exact.w1, rel=1e-12))
        assert found.w1_scaled == (None if exact.w1_scaled is None else pytest.approx(exact.w1_scaled, rel=1e-12))
        assert replace(found, w1=None, w1_scaled=None) == replace(exact, w1=None, w1_scaled=None)


@pytest.mark.parametrize("memory", [2**31, 3000, 200])
def test_batches_and_threads_give_the_same_figures(memory: int) -> None:
    rng = np.random.default_rng(6)
    columns = {f"c{i}": rng.normal(size=2000) for i in range(4)}
    now = {name: values[:1500] + 0.1 for name, values in columns.items()}
    profile = build(source(**columns), points=50)
    base = scan(profile, source(**now))
    again = scan(profile, source(**now), memory=memory, threads=1 if memory < 1000 else 3)
    for a, b in zip(base, again, strict=True):
        assert (a.ks, a.ks_bound, a.psi, a.p, a.name) == (b.ks, b.ks_bound, b.psi, b.p, b.name)
        assert a.w1 == pytest.approx(b.w1, rel=1e-12)


def test_batches_add_what_lies_beyond_the_profile_and_what_is_infinite() -> None:
    """Values on both sides of all points in every batch; then an infinite one in the first batch, or the last."""
    rng = np.random.default_rng(14)
    profile = build(source(x=rng.normal(size=2000)), points=50)
    wide = rng.permutation(np.linspace(-50.0, 50.0, 1500))
    whole, parts = (scan(profile, source(x=wide), memory=memory)[0] for memory in (2**31, 3000))
    assert whole.w1 == pytest.approx(25, abs=1.0)
    assert parts.w1 == pytest.approx(whole.w1, rel=1e-12)
    for place in (0, -1):
        wide[place] = np.inf
        found = scan(profile, source(x=wide), memory=3000)[0]
        assert (found.w1, found.reason != "") == (None, True)
        wide[place] = 0.0


def test_two_files_that_do_not_fit_are_compared_by_profile_and_say_so() -> None:
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=90_000), rng.normal(size=30_000) + 0.05
    exact, found = one(x, y), one(x, y, memory=100_000)
    assert (exact.method, found.method) == ("exact", "profile")
    assert exact.ks is not None
    assert found.ks is not None
    assert abs(found.ks - exact.ks) <= found.ks_bound
    assert 0 < found.ks_bound < 0.01


def peak_of(action: Callable[[], Any]) -> int:
    """The most bytes of numpy and of Arrow, each at its worst."""
    pool: Any = pa.default_memory_pool()
    before, worst = pool.bytes_allocated(), pool.max_memory()
    tracemalloc.start()
    try:
        action()
        return int(tracemalloc.get_traced_memory()[1] + max(0, pool.max_memory() - max(worst, before)))
    finally:
        tracemalloc.stop()


def test_tails_by_hand() -> None:
    """Of 1 to 100 the middle 90 % is 5 to 95, beyond which 9 values lie."""
    x = np.arange(1.0, 101.0)
    found = one(x, np.concatenate([x[10:50], [4.9] * 30, [95.1] * 30, [5.0] * 50, [95.0] * 50]))
    assert found.tail_difference == pytest.approx(60 / 200 - 9 / 100, abs=1e-15)
    table = [[9, 91], [60, 140]]
    assert found.tail_p == pytest.approx(scipy_stats.chi2_contingency(table).pvalue, rel=1e-12)
    assert one([7.0] * 50, [7.0] * 40).tail_difference == 0.0
    assert one([7.0] * 50, [7.0] * 40 + [8.0] * 10).tail_difference == pytest.approx(0.2)
    assert one(["a", "b"], ["a", "b"]).tail_difference is None


@given(seed=st.integers(0, 2**31), rows=st.integers(1, 3000), digits=st.sampled_from([0, 1, 9]))
@settings(max_examples=60, deadline=None)
def test_tails_against_a_profile_are_those_of_the_file(seed: int, rows: int, digits: int) -> None:
    """Whether the profile holds every value or only its points, which the bounds of the middle are."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=rows).round(digits), (rng.normal(size=900) * 1.3).round(digits)
    exact = one(x, y)
    for points in (10_001, 101):
        found = scan(build(source(x=x), points=points), source(x=y))[0]
        if points > rows or rows % 100 == 0 or digits == 0:
            assert (found.tail_difference, found.tail_p) == (exact.tail_difference, exact.tail_p)
        else:
            assert found.tail_difference == pytest.approx(exact.tail_difference, abs=0.04)


def test_noise_is_drift_by_default_and_no_drift_is_none() -> None:
    """Noise that KS and PSI hardly see; and null data, where any effect counts: as many alarms as the rate promises."""
    rng = np.random.default_rng(11)
    x, y = rng.normal(size=5000), rng.normal(size=2000)
    noisy = y + rng.normal(size=2000) * 0.75
    found = one(x, noisy)
    assert (found.ks or 1.0) < 0.1
    assert (found.psi or 1.0) < 0.2
    assert decide([found])[0].drifted is True
    assert decide([found], tail_max=None)[0].drifted is False
    alarms = 0
    for _ in range(60):
        before, after = (source(**{f"c{i}": rng.normal(size=300) for i in range(10)}) for _ in range(2))
        alarms += any(d.drifted for d in decide(scan(before, after), psi_max=0.0, ks_max=0.0, tail_max=0.0))
    assert alarms <= 8, "3 are expected at a rate of 5 %"


def test_the_memory_budget_is_kept_whatever_the_rows() -> None:
    memory, rng = 8_000_000, np.random.default_rng(9)
    ref, cur = source(x=rng.normal(size=2_000_000)), source(x=rng.normal(size=1_500_000))
    scan(source(x=[1.0, 2.0]), source(x=[1.0]))  # imports
    profile = build(ref)
    assert peak_of(lambda: scan(profile, cur, memory=memory)) < memory + 3_000_000  # the points of the profile
    assert peak_of(lambda: scan(ref, cur, memory=memory)) < memory + 5_000_000  # those of six parts, being merged
    assert peak_of(lambda: scan(ref, cur)) > 3 * memory


def texts(path: Path, rows: int, start: int, *, length: int = 9, groups: int | None = None) -> Source:
    """A file of as many different strings as rows."""
    ids = pa.array([f"{(i + start) * 7919 % 1_000_000_007:0{length}d}" for i in range(rows)])
    pq.write_table(pa.table({"id": ids}), path, row_group_size=groups or rows)
    return open_source(path)


def test_the_memory_budget_holds_for_categories_and_text(tmp_path: Path) -> None:
    """As many different strings as rows: the tokens that are kept and what reads the file are all that is beside it."""
    memory = 2_000_000
    ref, cur = texts(tmp_path / "a.parquet", 70_000, 0), texts(tmp_path / "b.parquet", 60_000, 30_000)
    assert scan(ref, cur, memory=memory)[0].kind == "text"
    within, whole = (peak_of(partial(scan, ref, cur, memory=m)) for m in (memory, 2**31))
    assert within < memory + 5_000_000
    assert whole > within + 3_000_000


def test_the_budget_changes_no_figure_of_text(tmp_path: Path) -> None:
    ref, cur = texts(tmp_path / "a.parquet", 4_000, 0, groups=1_500), texts(tmp_path / "b.parquet", 3_000, 2_000)
    assert scan(ref, cur, memory=1_000_000)[0] == scan(ref, cur)[0]
    few = source(x=[f"k{i % 40}" for i in range(4_000)]), source(x=[f"k{i % 41}" for i in range(3_000)])
    assert scan(*few, memory=100_000)[0] == scan(*few)[0]


def test_new_categories_beyond_the_budget_are_one_more() -> None:
    """Their rows are counted, their names are not kept."""
    ref, cur = source(x=["a", "b"] * 500), source(x=["a", "b"] * 500 + [f"n{i}" for i in range(3_000)])
    held, all_apart = scan(ref, cur, memory=100_000)[0], scan(ref, cur)[0]
    assert (held.new_share, held.psi, held.n_cur) == (all_apart.new_share, all_apart.psi, all_apart.n_cur)
    assert held.new_share == 0.75
    assert decide([held])[0].drifted is True


def test_one_text_larger_than_the_budget_names_its_column(tmp_path: Path) -> None:
    for side, text in (("a", "short"), ("b", "x" * 3_000_000)):
        pq.write_table(pa.table({"note": [f"{text} {i}" for i in range(3)]}), tmp_path / f"{side}.parquet")
    ref, cur = (open_source(tmp_path / f"{side}.parquet") for side in "ab")
    said = (
        r"b\.parquet: column 'note' holds a value of 3,000,\d+ bytes, and the memory leaves 62,500 for one; give more"
    )
    with pytest.raises(InvalidInput, match=said):
        scan(ref, cur, memory=1_000_000)
    assert scan(ref, cur)[0].n_cur == 3


def test_vectors_are_read_within_the_budget(tmp_path: Path) -> None:
    rng = np.random.default_rng(12)
    for side in "ab":
        flat = pa.array(rng.normal(size=60_000 * 64).astype(np.float32))
        rows: Any = pa.FixedSizeListArray.from_arrays(flat, 64)
        pq.write_table(pa.table({"v": rows}), tmp_path / f"{side}.parquet")
    ref, cur = (open_source(tmp_path / f"{side}.parquet") for side in "ab")
    assert scan(ref, cur, memory=8_000_000)[0].auc is not None
    assert peak_of(lambda: build(ref, memory=8_000_000)) < 8_000_000
    assert peak_of(lambda: build(ref)) > 15_000_000


def test_a_column_whose_name_holds_dots_is_found_in_the_file(tmp_path: Path) -> None:
    columns: dict[str, Any] = {"a.b": ["x"] * 9, "v": pa.array([[1.0]] * 9), "a": ["y"] * 9, "s.t": [{"u": 1}] * 9}
    pq.write_table(pa.table(columns), tmp_path / "dots.parquet")
    opened = open_source(tmp_path / "dots.parquet")
    assert [len(next(opened.chunks(name, 1_000))) for name in opened.names] == [9] * 4


def test_two_equal_samples_need_no_more_room_than_themselves() -> None:
    x = np.random.default_rng(2).normal(size=1_000_000)
    same = source(x=x)
    assert scan(same, same)[0].ks == 0.0
    assert peak_of(lambda: scan(same, same)) < 3 * x.nbytes


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_the_order_of_rows_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=200).round(1), rng.normal(size=150).round(1)
    s = rng.choice(["a", "b", "c"], 200)
    before = scan(source(x=x, s=s), source(x=y, s=s[:150]))
    order, other = rng.permutation(200), rng.permutation(150)
    assert scan(source(x=x[order], s=s[order]), source(x=y[other], s=s[:150][other])) == before


def test_infinite_values_have_a_ks_but_no_wasserstein() -> None:
    x, y = [1.0, float("inf"), 2.0, 3.0], [1.0, 2.0, 2.5]
    for found in (one(x, y), scan(build(source(x=x), points=3), source(x=y))[0], one(y, x)):
        assert found.ks is not None
        assert found.w1 is None
        assert "infinite" in found.reason


def test_a_constant_reference_has_no_scale() -> None:
    found = one([2.0] * 50, [2.0] * 30)
    assert (found.ks, found.p, found.psi, found.w1) == (0.0, 1.0, 0.0, 0.0)
    assert found.w1_scaled is None
    assert "does not vary" in found.reason
    moved = one([2.0] * 50, [3.0] * 30)
    assert (moved.ks, moved.w1) == (1.0, 1.0)
    assert moved.psi is not None
    assert moved.psi > 1


def test_floats_of_two_widths_are_compared_in_the_narrower() -> None:
    wide = np.array([0.1, 0.2, 0.3] * 30)
    assert one(wide, wide.astype(np.float32)).ks == 0.0
    assert scan(build(source(x=wide)), source(x=wide.astype(np.float32)))[0].ks == 0.0
    assert scan(build(source(x=wide), points=2), source(x=wide.astype(np.float32)))[0].method == "profile"


def test_categories_equal_scipy_and_name_new_and_lost() -> None:
    ref, cur = ["a"] * 50 + ["b"] * 30 + ["gone"] * 5, ["a"] * 40 + ["b"] * 41 + ["fresh"] * 3 + [None]
    for found in (one(ref, cur), scan(build(source(x=ref)), source(x=cur))[0]):
        expected = scipy_stats.chi2_contingency([[50, 30, 5, 0], [40, 41, 0, 3]])
        assert found.chi2 == pytest.approx(expected.statistic, rel=1e-12)
        assert found.p == pytest.approx(expected.pvalue, abs=1e-12)
        assert (found.new, found.lost) == (("fresh",), ("gone",))
        assert found.new_share == pytest.approx(3 / 84)
        assert (found.kind, found.nulls_cur, found.ks) == ("categorical", 1, None)
    assert one([True, False, True], [False, False, None]).kind == "boolean"


def test_current_categories_without_end_are_one_more() -> None:
    ref = ["a", "b"] * 500
    cur = [f"id{i}" for i in range(1000)]
    found = one(ref, cur)
    assert found.new_share == 1.0
    assert found.psi is not None
    assert found.psi > 1


def test_dates_are_measured_in_days() -> None:
    days = pa.array(np.arange(100), pa.int32()).cast(pa.date32())
    later = pa.array(np.arange(10, 110) * 86_400_000_000_000, pa.int64()).cast(pa.timestamp("ns"))
    found = one(days, later)
    assert (found.kind, found.w1) == ("date", 10.0)
    assert found.ks == pytest.approx(0.1)
    assert found.range_ref == (0.0, 99 * 86400.0)


def test_missing_values_are_a_signal_of_their_own() -> None:
    found = one([1.0, 2.0] * 100, [1.0, None, 2.0, float("nan")] * 50)
    assert found.missing_difference == 0.5
    assert found.missing_interval is not None
    assert found.missing_interval[0] > 0.4
    assert found.missing_p is not None
    assert found.missing_p < 1e-20
    assert one([1.0], [2.0]).missing_p is None
    nothing = one(pa.array([None, None], pa.float64()), [1.0, 2.0])
    assert (nothing.ks, nothing.reason) == (None, "no value in the reference")
    empty = scan(build(source(x=[1.0, 2.0])), source(x=pa.nulls(5)))[0]
    assert (empty.kind, empty.n_cur, empty.nulls_cur, empty.ks, empty.missing_difference) == (
        "numeric",
        0,
        5,
        None,
        1.0,
    )


def test_text_of_the_same_kind_is_no_drift_and_of_another_is() -> None:
    rng = np.random.default_rng(0)
    words = np.array([f"word{k}" for k in range(400)])

    def texts(n: int, pool: Any) -> list[str]:
        return [" ".join(rng.choice(pool, rng.integers(3, 9))) for _ in range(n)]

    ref, same = texts(3000, words), texts(2000, words)
    other = texts(2000, np.array([f"wxyz{k}" for k in range(400)]))
    for reference in (source(x=ref), build(source(x=ref))):
        calm, loud = scan(reference, source(x=same))[0], scan(reference, source(x=other))[0]
        assert (calm.kind, calm.oov_share, loud.oov_share) == ("text", 0.0, 1.0)
        assert calm.p is not None
        assert calm.p > 1e-3
        assert loud.oov_p is not None
        assert loud.oov_p < 1e-10


def test_lengths_of_texts_have_the_figures_of_the_numbers() -> None:
    """Counted on both sides, never unfolded; of lengths that only one side has, and of gaps between them."""
    rng = np.random.default_rng(13)
    lengths = [rng.integers(8, 90, 1_500) // 3 * 3 + 12, rng.integers(1, 60, 1_200) // 2 * 2 + 12]
    said = [[f"{i:012d}" + "x" * (size - 12) for i, size in enumerate(side)] for side in lengths]
    numbers, found = one(*lengths), one(*said)
    assert found.kind == "text"
    for key in ("n_ref", "n_cur", "ks", "p", "psi", "psi_raw", "js", "tail_difference", "tail_p", "range_ref"):
        assert getattr(found, key) == getattr(numbers, key), key
    assert (found.range_cur, found.histogram) == (numbers.range_cur, numbers.histogram)
    assert found.w1 == pytest.approx(numbers.w1, rel=1e-12)
    assert found.w1_scaled == pytest.approx(numbers.w1_scaled, rel=1e-12)


def test_what_cannot_be_compared_says_so() -> None:
    found = one(pa.array([["a"]] * 3), pa.array([["b"]] * 3))
    assert (found.kind, found.ks, found.psi, found.p) == ("unknown", None, None, None)
    assert "are not compared" in found.reason


def test_a_missing_column_a_changed_type_and_nothing_to_compare_are_named() -> None:
    ref, cur = source(x=[1.0], y=[2.0]), source(x=[1.0])
    profile = build(ref)
    for reference in (ref, profile):
        with pytest.raises(InvalidInput, match="table: no column 'y'; the columns are x"):
            scan(reference, cur)
        with pytest.raises(InvalidInput, match="column 'x' is string now and was double in the reference"):
            scan(reference, source(x=["a"]), columns=["x"])
    with pytest.raises(InvalidInput, match="no column 'z'"):
        scan(profile, source(z=[1.0]), columns=["z"])
    with pytest.raises(InvalidInput, match="no column to compare"):
        scan(ref, cur, columns=[])


def test_histograms_are_shares_of_the_same_bins() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=30_000), rng.normal(size=20_000) + 1
    exact, profiled = one(x, y), scan(build(source(x=x)), source(x=y))[0]
    for found in (exact, profiled, one(["a", "b"], ["b", "c"])):
        plot = found.histogram
        assert plot is not None
        assert sum(plot.reference) == pytest.approx(1.0)
        assert sum(plot.current) == pytest.approx(1.0)
        assert min(plot.reference + plot.current) >= 0
    assert exact.histogram is not None
    assert profiled.histogram is not None
    assert np.allclose(exact.histogram.reference, profiled.histogram.reference, atol=0.02)


def test_the_widest_integers_do_not_overflow() -> None:
    x, y = np.array([-(2**62), 0, 2**62] * 10), np.array([-(2**62), 0, 2**62 + 2**61] * 10)
    exact = one(x, y)
    held = scan(build(source(x=x), points=2), source(x=y))[0]
    assert exact.w1 == pytest.approx(2**61 / 3, rel=1e-12)
    assert held.w1 is not None
    assert abs(held.w1 - 2**61 / 3) <= held.w1_bound * (1 + 1e-9)


def test_figures_do_not_hold_numpy_values() -> None:
    found = replace(one([1.0, 2.0], [2.0, 3.0]), histogram=None)
    for value in vars(found).values():
        assert not isinstance(value, np.generic), value


def test_categories_rarer_than_a_thousandth_share_one_cell_of_psi() -> None:
    """Ten words of one row each, beside one word of ten rows: the cell of all rare ones has not moved."""
    ref = ["a"] * 10_490 + [f"rare {i}" for i in range(10)]
    cur = ["a"] * 10_490 + ["rare 3"] * 10
    found = one(ref, cur)
    assert found.psi_raw == pytest.approx(0.0, abs=1e-12)
    assert len(found.lost) == 9
    eleven = ["b"] * 11
    assert (one(ref + eleven, cur + eleven * 3).psi_raw or 0.0) > 1e-4, "b holds more than a thousandth"
