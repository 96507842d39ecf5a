"""The content hash of a table: blind to storage, sensitive to every cell, null, type, name and the order of rows."""

from __future__ import annotations

from datetime import date, datetime, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gates.errors import InvalidInput, Unavailable
from gates.lineage.digest import file_digest, model_digest
from gates.lineage.fingerprint import TableHash, fingerprint

if TYPE_CHECKING:
    from pathlib import Path

N = 1000


def _table(**changes: Any) -> pa.Table:
    columns: dict[str, Any] = {
        "id": pa.array(range(N), pa.int64()),
        "x": pa.array([None if i % 7 == 0 else i / 3 for i in range(N)], pa.float64()),
        "f": pa.array([float("nan") if i == 5 else -0.0 for i in range(N)], pa.float32()),
        "s": pa.array([None if i % 11 == 0 else "" if i % 5 == 0 else f"tëxt{i % 9}" for i in range(N)], pa.string()),
        "b": pa.array([None if i % 13 == 0 else i % 2 == 0 for i in range(N)], pa.bool_()),
        "t": pa.array([datetime(2026, 1, 1, i % 24, tzinfo=timezone.utc) for i in range(N)], pa.timestamp("us", "UTC")),
        "d": pa.array([date(2026, 1, 1 + i % 28) for i in range(N)], pa.date32()),
        "m": pa.array([Decimal(i) / 4 for i in range(N)], pa.decimal128(12, 2)),
        "l": pa.array([None if i % 17 == 0 else [i, None] * (i % 3) for i in range(N)], pa.list_(pa.int32())),
        "r": pa.array([None if i % 19 == 0 else {"a": i, "b": None if i % 2 else "q"} for i in range(N)],
                      pa.struct([("a", pa.int16()), ("b", pa.string())])),
        "n": pa.nulls(N),
    }  # fmt: skip
    return pa.table(columns | changes)


def _content(table: pa.Table, chunk: int = N) -> str:
    hasher = TableHash(table.schema)
    for batch in table.to_batches(max_chunksize=chunk):
        hasher.add(batch)
    return hasher.digest()


def _file(tmp_path: Path, table: pa.Table, **options: Any) -> str | None:
    path = tmp_path / "t.parquet"
    pq.write_table(table, path, **options)
    return fingerprint(path).content


BASE = _content(_table())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "none"},
        {"compression": "zstd"},
        {"row_group_size": 37},
        {"use_dictionary": False},
        {"store_schema": False},
        {"data_page_version": "2.0"},
        {"write_statistics": False, "data_page_size": 64},
        {"version": "1.0"},
    ],
    ids=str,
)
def test_parquet_storage_does_not_count(tmp_path: Path, options: dict[str, Any]) -> None:
    table = _table().drop_columns(["n"]) if "store_schema" in options else _table()
    if options == {"store_schema": False}:  # without it, the null type itself is not stored
        assert _file(tmp_path, table, **options) == _content(table)
    else:
        assert _file(tmp_path, table, **options) == BASE


@pytest.mark.parametrize("chunk", [1, 7, 64, 999])
def test_chunks_do_not_count(chunk: int) -> None:
    assert _content(_table(), chunk) == BASE


def test_column_order_and_metadata_do_not_count(tmp_path: Path) -> None:
    table = _table()
    assert _content(table.select(list(reversed(table.column_names)))) == BASE
    assert _file(tmp_path, table.replace_schema_metadata({"pandas": "{}", "note": "x"})) == BASE


def test_slices_hash_as_their_rows(tmp_path: Path) -> None:
    """Buffers behind a slice hold more than the slice."""
    assert _content(_table().slice(3, 500)) == _content(
        pa.Table.from_pylist(_table().slice(3, 500).to_pylist(), _table().schema)
    )


@pytest.mark.parametrize(
    ("column", "type_"),
    [("s", pa.large_string()), ("s", pa.dictionary(pa.int8(), pa.string())), ("s", pa.string_view()),
     ("l", pa.large_list(pa.int32()))],
    ids=str,
)  # fmt: skip
def test_layouts_of_one_type_do_not_count(column: str, type_: Any) -> None:
    table = _table()
    array = table[column].combine_chunks()
    other = array.dictionary_encode() if pa.types.is_dictionary(type_) else array.cast(type_)
    assert _content(_table(**{column: other})) == BASE


def test_nan_payloads_are_one_nan() -> None:
    import numpy as np

    odd = np.array([0x7FF8000000000001], dtype=np.uint64).view(np.float64)
    assert _content(pa.table({"x": pa.array(odd)})) == _content(pa.table({"x": [float("nan")]}))


def _changed(column: str, row: int, value: Any) -> pa.Table:
    table = _table()
    values = table[column].to_pylist()
    assert values[row] != value
    values[row] = value
    return _table(**{column: pa.array(values, table.schema.field(column).type)})


@pytest.mark.parametrize(
    ("column", "row", "value"),
    [
        ("id", 999, 0), ("x", 1, 0.3333333333333334), ("x", 1, None), ("x", 0, 0.0), ("f", 0, 1e-45), ("f", 5, None),
        ("s", 1, "text1"), ("s", 5, None), ("s", 0, ""), ("b", 1, None), ("b", 0, False), ("b", 1, True),
        ("t", 0, datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=timezone.utc)), ("d", 0, date(2026, 1, 2)),
        ("m", 0, Decimal("0.01")), ("l", 0, []), ("l", 1, [1, 0]), ("l", 1, [1]), ("l", 2, None),
        ("r", 0, {"a": None, "b": None}),
        ("r", 1, {"a": 1, "b": ""}), ("r", 2, {"a": 3, "b": "q"}),
    ],
)  # fmt: skip
def test_one_cell_counts(column: str, row: int, value: Any) -> None:
    assert _content(_changed(column, row, value)) != BASE


def test_negative_zero_is_not_zero() -> None:
    assert _content(pa.table({"x": [0.0]})) != _content(pa.table({"x": [-0.0]}))


def test_text_moved_across_cells_counts() -> None:
    seen = {
        _content(pa.table({"s": pa.array(v, pa.string())}))
        for v in (["ab", "c"], ["a", "bc"], ["abc", ""], ["abc", None])
    }
    assert len(seen) == 4


@pytest.mark.parametrize(
    ("column", "type_"), [("id", pa.int32()), ("f", pa.float64()), ("t", pa.timestamp("ns", "UTC")), ("d", pa.date64()),
                          ("m", pa.decimal128(13, 2)), ("s", pa.binary()), ("b", pa.uint8())],
    ids=str,
)  # fmt: skip
def test_one_type_counts(column: str, type_: Any) -> None:
    assert _content(_table(**{column: _table()[column].cast(type_)})) != BASE


def test_names_rows_and_their_order_count() -> None:
    table = _table()
    assert _content(table.rename_columns(["ID", *table.column_names[1:]])) != BASE
    assert _content(table.slice(0, N - 1)) != BASE
    assert _content(table.take([1, 0, *range(2, N)])) != BASE
    assert _content(table.drop_columns(["n"])) != BASE
    swapped = table.rename_columns([{"a": "b"}.get(n, n) for n in table.column_names])
    assert _content(swapped) == BASE
    assert _content(pa.table({"a": [1], "b": [2]})) != _content(pa.table({"a": [2], "b": [1]}))


def test_no_rows_and_no_batches_are_one() -> None:
    empty = _table().slice(0, 0)
    hasher = TableHash(empty.schema)
    first = hasher.digest()
    hasher.add(pa.RecordBatch.from_pylist([], schema=empty.schema))
    assert hasher.digest() == first
    assert first != BASE


def test_with_a_key_the_order_of_rows_does_not_count(tmp_path: Path) -> None:
    table = _table().drop_columns(["n"])
    path, shuffled = tmp_path / "a.parquet", tmp_path / "b.parquet"
    pq.write_table(table, path)
    pq.write_table(table.take(list(range(N - 1, -1, -1))), shuffled)
    assert fingerprint(path).content != fingerprint(shuffled).content
    assert fingerprint(path, key=["id"]).content == fingerprint(shuffled, key=["id"]).content
    with pytest.raises(InvalidInput, match="not unique"):
        fingerprint(path, key=["d"])
    with pytest.raises(InvalidInput, match="no key column nope"):
        fingerprint(path, key=["id", "nope"])


def test_csv_with_its_types_is_the_parquet(tmp_path: Path) -> None:
    table = _table().select(["id", "x", "s", "b", "d"])
    pq.write_table(table, tmp_path / "t.parquet")
    pa.csv.write_csv(table, tmp_path / "t.csv")
    types = {field.name: field.type for field in table.schema}
    csv = fingerprint(tmp_path / "t.csv", types=types)
    parquet = fingerprint(tmp_path / "t.parquet")
    assert (csv.content, csv.rows, csv.columns) == (parquet.content, parquet.rows, parquet.columns)
    assert csv.sha256 != parquet.sha256
    with pytest.raises(InvalidInput, match="no column gone"):
        fingerprint(tmp_path / "t.csv", types=types | {"gone": pa.int8()})


def test_csv_text_that_looks_like_null_is_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('s\nNA\n""\n')
    (tmp_path / "b.csv").write_text("s\nnull\n,\n".replace(",", ""))
    (tmp_path / "c.csv").write_text('s\n"NA"\n""\n')
    contents = [fingerprint(tmp_path / f"{name}.csv", types={"s": pa.string()}).content for name in "abc"]
    assert contents[0] == contents[2] != contents[1]


def test_the_fingerprint_says_what_it_saw(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"b": pa.array([1], pa.int8()), "a": ["x"]}), path)
    found = fingerprint(path)
    assert found.sha256 == file_digest(path)
    assert (found.rows, found.columns) == (1, (("a", "string"), ("b", "int8")))
    other = tmp_path / "notes.txt"
    other.write_text("x")
    assert fingerprint(other).content is None
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x").write_text("x")
    assert fingerprint(tmp_path / "folder").sha256 == model_digest(tmp_path / "folder")


def test_what_is_no_table_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1 not really PAR1")
    with pytest.raises(Unavailable, match="cannot be read as a table"):
        fingerprint(tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_text("a,b\n1\n")
    with pytest.raises(Unavailable, match="cannot be read as a table"):
        fingerprint(tmp_path / "t.csv")
    with pytest.raises(InvalidInput, match="not a file"):
        fingerprint(tmp_path / "none.csv")
    with pytest.raises(InvalidInput, match="named twice: a"):
        TableHash(pa.schema([("a", pa.int8()), ("a", pa.int8())]))
    with pytest.raises(InvalidInput, match="no content hash"):
        TableHash(pa.schema([("u", pa.dense_union([pa.field("a", pa.int8())]))]))


def test_the_content_hash_of_this_release_stays() -> None:
    """Recorded hashes of older lineage must stay comparable: a change here is a new scheme."""
    table = pa.table({"a": pa.array([1, None, 3], pa.int32()), "s": ["x", "", None], "f": [0.5, float("nan"), -1.0]})
    assert _content(table) == "sha256:fa9d90be9c2237c0e1ffd0c1aae3cf2a41f39fde9114d452d730e6eec48e65cd"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.one_of(st.none(), st.floats()), st.one_of(st.none(), st.text(max_size=4))), max_size=20),
    st.integers(1, 5),
)
def test_any_chunks_any_values(rows: list[tuple[float | None, str | None]], chunk: int) -> None:
    table = pa.table(
        {"x": pa.array([r[0] for r in rows], pa.float64()), "s": pa.array([r[1] for r in rows], pa.string())}
    )
    assert _content(table, chunk) == _content(table, 100)
