"""Reading: every format and layout gives the same columns; whatever is wrong is named."""

from __future__ import annotations

import datetime as dt
import gc
import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from gates.drift import csv_stream, files
from gates.drift.column import categories, numbers
from gates.drift.source import Source, from_table, open_source
from gates.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

TABLE = pa.table(
    {
        "x": pa.array([3.0, None, 1.0, float("nan"), 2.0, float("inf")], from_pandas=False),
        "k": pa.array([1, 2, None, 4, 5, 6]),
        "s": pa.array(["a", "b", None, "a", "c", "a"]),
        "t": pa.array([dt.datetime(2026, 1, d) for d in range(1, 7)], type=pa.timestamp("us")),  # noqa: DTZ001  # zone-less on purpose
    }
)


def column(source: Source, name: str) -> list[Any]:
    return [v for chunk in source.chunks(name) for v in chunk.to_pylist()]


def write(folder: Path, table: pa.Table, name: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=2)
    elif path.suffix == ".csv":
        pacsv.write_csv(table, path)
    elif path.suffix == ".feather":
        pyarrow.feather.write_feather(table, str(path))
    else:
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    return path


@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "a.feather", "a.arrow"])
def test_every_format_gives_the_same_numbers(tmp_path: Path, name: str) -> None:
    source = open_source(write(tmp_path, TABLE, name))
    assert source.rows == 6
    found = numbers(source.chunks("x"), source.rows)
    assert found.values.tolist() == [1.0, 2.0, 3.0, float("inf")]
    assert found.nulls + found.nans == 2
    assert numbers(source.chunks("k"), source.rows).values.tolist() == [1, 2, 4, 5, 6]
    counted = categories(source.chunks("s"), 10)
    assert (counted.counts, counted.n, counted.nulls) == ({"a": 3, "b": 1, "c": 1}, 5, 1)
    assert numbers(source.chunks("t"), source.rows).values[0] == 1767225600_000_000


def test_folder_glob_and_single_files_give_the_same_column(tmp_path: Path) -> None:
    write(tmp_path, TABLE.slice(0, 2), "d/1.parquet")
    write(tmp_path, TABLE.slice(2, 4), "d/2.parquet")
    (tmp_path / "d" / "_SUCCESS").write_text("")
    for where in (tmp_path / "d", tmp_path / "d" / "*.parquet"):
        assert column(open_source(where), "k") == [1, 2, None, 4, 5, 6]


def test_hive_partitions_are_columns(tmp_path: Path) -> None:
    write(tmp_path, TABLE.slice(0, 2), "d/year=2025/region=north/p.parquet")
    write(tmp_path, TABLE.slice(2, 4), "d/year=2026/region=__HIVE_DEFAULT_PARTITION__/p.parquet")
    source = open_source(tmp_path / "d")
    assert column(source, "year") == [2025] * 2 + [2026] * 4
    assert column(source, "region") == ["north"] * 2 + [None] * 4
    assert source.names == ("x", "k", "s", "t", "year", "region")


@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "a.feather"])
def test_a_window_and_a_sample_keep_columns_aligned(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, TABLE, name)
    last = open_source(path, time_column="t", window="2d")
    assert column(last, "k") == [5, 6]
    assert last.rows == 2
    middle = open_source(path, time_column="t", window=("2026-01-02", "2026-01-05T00:00:00Z"))
    assert column(middle, "k") == [2, None, 4]
    drawn = open_source(path, sample=3, seed=5)
    pairs = list(zip(column(drawn, "k"), column(drawn, "s"), strict=True))
    assert drawn.rows == len(pairs) == 3
    assert set(pairs) <= set(zip(TABLE["k"].to_pylist(), TABLE["s"].to_pylist(), strict=True))
    assert pairs == list(zip(*(column(open_source(path, sample=3, seed=5), c) for c in "ks"), strict=True))
    both = open_source(path, time_column="t", window=("2026-01-02", "2026-01-05"), sample=2)
    assert both.rows == 2
    assert set(column(both, "k")) <= {2, None, 4}


def test_a_large_row_group_is_read_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({"x": pa.array([None, *range(99)]), "s": [str(i % 7) for i in range(100)]})
    pq.write_table(table, tmp_path / "a.parquet")
    whole = open_source(tmp_path / "a.parquet", sample=60)
    expected = [column(whole, name) for name in ("x", "s")]
    monkeypatch.setattr(files, "LARGE", 9)
    again = open_source(tmp_path / "a.parquet", sample=60)
    assert [column(again, name) for name in ("x", "s")] == expected
    assert max(len(chunk) for chunk in again.chunks("x")) <= 9


def test_times_of_every_unit_are_microseconds() -> None:
    days = pa.array([dt.date(2026, 1, 1)])
    stamp = days.cast(pa.timestamp("s"))
    for type_ in (pa.date32(), pa.date64(), *(pa.timestamp(u) for u in ("s", "ms", "us", "ns"))):
        found = numbers([stamp.cast(type_)], 1)
        assert found.values.tolist() == [1767225600_000_000], type_


def test_slices_and_offsets_are_respected() -> None:
    array = pa.array([1, None, 3, 4, None, 6]).slice(1, 4)
    found = numbers([array], 4)
    assert (found.values.tolist(), found.nulls) == ([3, 4], 2)
    words = pa.array(["a", None, "b", "a"]).dictionary_encode().slice(1, 3)
    counted = categories([words], 10)
    assert (counted.counts, counted.nulls) == ({"b": 1, "a": 1}, 1)
    flags = categories([pa.array([True, False, None, True]).slice(1)], 10)
    assert (flags.counts, flags.nulls) == ({"false": 1, "true": 1}, 1)


def test_decimals_and_halves_are_numbers() -> None:
    from decimal import Decimal

    found = numbers([pa.array([Decimal("1.25"), None], type=pa.decimal128(6, 2))], 2)
    assert (found.values.tolist(), found.nulls) == ([1.25], 1)
    half = numbers([pa.array(np.array([1.5, 0.5], dtype=np.float16))], 2)
    assert half.values.tolist() == [0.5, 1.5]


def bad(tmp_path: Path, name: str, content: bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", ["a.parquet", "a.feather", "a.csv"])
def test_a_file_cut_anywhere_is_named(tmp_path: Path, name: str) -> None:
    whole = write(tmp_path, TABLE, name).read_bytes()
    for size in (0, 3, len(whole) // 2) if not name.endswith("csv") else (0,):
        path = bad(tmp_path, f"cut-{name}", whole[:size])
        with pytest.raises(InvalidInput, match=rf"cut-{name}") as caught:
            open_source(path)
        assert "\n" not in str(caught.value)


def test_a_csv_cut_in_a_row_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"cut\.csv: cannot be read as csv"):
        open_source(bad(tmp_path, "cut.csv", b"a,b\n1,2\n3"))


def test_a_broken_page_names_file_and_column(tmp_path: Path) -> None:
    path = write(tmp_path, pa.table({"x": pa.array(np.random.default_rng(0).normal(size=5000))}), "a.parquet")
    content = bytearray(path.read_bytes())
    content[100:2000] = b"\xff" * 1900
    source = open_source(bad(tmp_path, "broken.parquet", bytes(content)))
    with pytest.raises(InvalidInput, match=r"broken\.parquet: column 'x'"):
        numbers(source.chunks("x"), source.rows)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, TABLE, "a.parquet")
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (tmp_path / "none.parquet", {}, r"none\.parquet: no such file"),
        (tmp_path / "*.csv", {}, "no file matches"),
        (bad(tmp_path, "a.txt", b"x"), {}, "txt suffix is not a known format"),
        (path, {"window": "2d"}, "needs a time column"),
        (path, {"window": "2d", "time_column": "q"}, "no column 'q'; the columns are x, k, s, t"),
        (path, {"window": "2d", "time_column": "k"}, "'k' is int64, no date or time"),
        (path, {"window": "soon", "time_column": "t"}, "'soon' is no window"),
        (path, {"window": ("yesterday", None), "time_column": "t"}, "'yesterday' is no time"),
        (path, {"window": ("2030-01-01", None), "time_column": "t"}, "no row in the window; 't' runs from 2026-01-01"),
        (path, {"sample": 0}, "a sample of 0 rows"),
        (write(tmp_path, TABLE.slice(0, 0), "empty.parquet"), {}, "no rows"),
    ]
    for where, options, message in cases:
        with pytest.raises(InvalidInput, match=message):
            open_source(where, **options)
    (tmp_path / "void").mkdir()
    with pytest.raises(InvalidInput, match="holds no data file"):
        open_source(tmp_path / "void")


def test_files_of_one_data_set_must_agree(tmp_path: Path) -> None:
    write(tmp_path, TABLE, "d/1.parquet")
    write(tmp_path, TABLE.drop_columns(["s"]), "d/2.parquet")
    with pytest.raises(InvalidInput, match=r"2\.parquet: no column 's', which .*1\.parquet has"):
        open_source(tmp_path / "d")
    write(tmp_path, TABLE.set_column(1, "k", pa.array(list("abcdef"))), "d/2.parquet")
    with pytest.raises(InvalidInput, match=r"2\.parquet: column 'k' is string here and int64"):
        open_source(tmp_path / "d")


def test_two_columns_of_one_name_are_refused() -> None:
    twice = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(InvalidInput, match="two columns are named 'a'"):
        from_table(twice)


def as_csv(folder: Path, *lines: str) -> Path:
    path = folder / "a.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def streaming(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every CSV file is too large to hold, and a block is a few lines."""
    monkeypatch.setattr(files, "CSV_WHOLE", 0)
    monkeypatch.setattr(csv_stream, "BLOCK", 64)


@pytest.mark.usefixtures("streaming")
def test_a_streamed_csv_has_the_columns_of_one_that_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each column meets, long after the first block, a value that its first type cannot hold."""
    early, late = ["1", "1", "true", "2026-01-01", "", "x", "", "1"], ["2", "1.5", "maybe", "2026-01-02 03:04:05"]
    lines = [",".join(early)] * 30 + [",".join([*late, "7", "y", "2026-01-01", "word"])] + [",".join(early)] * 9
    path = as_csv(tmp_path, "whole,part,flag,at,later,word,moment,mixed", *lines)
    streamed = open_source(path)
    monkeypatch.setattr(files, "CSV_WHOLE", 1 << 20)
    held = open_source(path)
    kept = {"at": pa.timestamp("ms"), "moment": pa.timestamp("ms")}  # parquet has no seconds
    assert dict(streamed.types) == {
        **held.types,
        **{k: t for k, t in kept.items() if held.types[k] == pa.timestamp("s")},
    }
    assert len(streamed.readers[0].pieces) > 5
    for name in held.names:
        assert column(streamed, name) == column(held, name)


@pytest.mark.usefixtures("streaming")
@pytest.mark.parametrize("cut", ["1,2,3,4", "1"])
def test_a_streamed_csv_cut_in_a_row_is_named(tmp_path: Path, cut: str) -> None:
    path = as_csv(tmp_path, "x,y", *["1,2"] * 200, cut)
    with pytest.raises(InvalidInput, match=r"a\.csv: cannot be read as csv: CSV parse error: Expected 2 columns"):
        open_source(path)


@pytest.mark.usefixtures("streaming")
def test_the_file_of_a_streamed_csv_goes_with_its_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    opened = open_source(as_csv(tmp_path, "x", *["1"] * 50))
    assert column(opened, "x") == [1] * 50
    assert list(tmp_path.glob("gates-csv-*/data.parquet"))
    del opened
    gc.collect()
    assert not list(tmp_path.glob("gates-csv-*"))


def test_arrow_batches_are_read_one_at_a_time_with_masks(tmp_path: Path) -> None:
    table = pa.table({"x": list(range(100)), "s": pa.array([f"k{i % 3}" for i in range(100)]).dictionary_encode()})
    for name, make in (("a.arrow", pa.ipc.new_file), ("b.arrow", pa.ipc.new_stream)):
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.OSFile(str(tmp_path / name), "wb") as sink, make(sink, table.schema, options=options) as writer:
            writer.write_table(table, max_chunksize=7)
        opened = open_source(tmp_path / name, sample=40)
        assert len(opened.readers[0].pieces) == 15
        words = [f"k{v % 3}" for v in column(opened, "x")]
        assert len(words) == 40
        assert column(opened, "s") == words
