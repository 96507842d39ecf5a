"""Columns of files as arrays: types, nulls, and files that are not what their name says."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gates.collect.tables import read_schema, read_table, to_numpy
from gates.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("column", "kind", "values"),
    [
        (pa.array([1, 2]), "i", [1, 2]),
        (pa.array([1, None]), "f", [1.0, np.nan]),
        (pa.array([1.5, None]), "f", [1.5, np.nan]),
        (pa.array([True, False]), "b", [True, False]),
        (pa.array(["a", None]), "O", ["a", None]),
        (pa.array(["a", "b"]).dictionary_encode(), "O", ["a", "b"]),
        (pa.array([], pa.int64()), "f", []),
        (pa.array([1, 2], pa.uint8()), "u", [1, 2]),
        (pa.array([True, None]), "O", [True, None]),
        (pa.array([Decimal("1.5"), None]), "f", [1.5, np.nan]),
    ],
)
def test_a_column_becomes_an_array_of_its_kind(column: pa.Array[Any], kind: str, values: list[object]) -> None:
    found = to_numpy(pa.chunked_array([column]))
    assert found.dtype.kind == kind
    np.testing.assert_array_equal(found, np.array(values, dtype=found.dtype))


def test_chunks_are_joined() -> None:
    assert to_numpy(pa.chunked_array([[1, 2], [], [3]], type=pa.int64())).tolist() == [1, 2, 3]


def test_a_csv_and_a_parquet_file_say_the_same_with_and_without_a_suffix(tmp_path: Path) -> None:
    table = pa.table({"y": [1, 0], "name": ["a", "b"]})
    pq.write_table(table, tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_text("y,name\n1,a\n0,b\n")
    for name in ("t.parquet", "t.csv"):
        (tmp_path / "bare").write_bytes((tmp_path / name).read_bytes())
        for path in (tmp_path / name, tmp_path / "bare"):
            assert read_table(path, ["name", "y"], "it").select(["y", "name"]).to_pylist() == table.to_pylist()
            assert list(read_schema(path, "it")) == ["y", "name"]


@pytest.mark.parametrize("name", ["t.parquet", "t.csv"])
@pytest.mark.parametrize("raw", [b"", b"PAR1", b"\x00\x01\x02", b"a,b\n1\n\xff,2,3\n", b"PK\x03\x04zip"])
def test_a_broken_file_is_one_line_with_its_name(name: str, raw: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(raw)
    with pytest.raises(InvalidInput) as caught:
        read_table(path, ["a"], "the data")
    assert str(caught.value).startswith(f"{path}: the data ")
    assert "\n" not in str(caught.value)


def test_a_column_that_is_not_there_is_named_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("target,prediction\n1,1\n")
    with pytest.raises(InvalidInput, match=r"the data has no column 'taget'; did you mean 'target'\?"):
        read_table(tmp_path / "t.csv", ["taget"], "the data")


def test_an_empty_file_is_said_to_be_empty(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"")
    with pytest.raises(InvalidInput, match="the data is empty; an empty file decides nothing"):
        read_table(tmp_path / "t.parquet", ["a"], "the data")
