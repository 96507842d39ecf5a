"""What a batch deployment gets and what it answered: no truth goes out, and every row comes back once or not at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gates.backends import is_batch
from gates.collect.batch import read_answers, write_input
from gates.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    from pathlib import Path

CSV = 'a,zip,y\n1.50,00417,1\n"2,5",,0\n'


def test_a_csv_goes_out_as_it_is_written_without_the_truth_and_with_its_rows_numbered(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text(CSV)
    path, rows = write_input(tmp_path / "test.csv", tmp_path, without=("y",))
    assert (path, rows) == (tmp_path / "input.csv", 2)
    assert path.read_bytes() == b'a,zip,gates_row\r\n1.50,00417,0\r\n"2,5",,1\r\n'
    path, _ = write_input(tmp_path / "test.csv", tmp_path, features=("zip",), without=("a",))
    assert path.read_text().splitlines() == ["zip,gates_row", "00417,0", ",1"]


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_bytes(b"\xef\xbb\xbfa,y\n1,0\n")
    path, _ = write_input(tmp_path / "test.csv", tmp_path, without=("y",))
    assert path.read_text().splitlines() == ["a,gates_row", "1,0"]


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    table = pa.table({"a": pa.array([1, None], pa.int16()), "y": [0, 1], "b": ["x", "y"]})
    pq.write_table(table, tmp_path / "test.parquet")
    path, rows = write_input(tmp_path / "test.parquet", tmp_path, without=("y",))
    sent = pq.read_table(path)
    assert (path.name, rows, sent.column_names) == ("input.parquet", 2, ["a", "b", "gates_row"])
    assert sent.schema.field("a").type == pa.int16()
    assert sent.column("gates_row").to_pylist() == [0, 1]


def test_a_column_of_our_name_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("gates_row,y\n1,0\n")
    with pytest.raises(InvalidInput, match="has a column 'gates_row'") as raised:
        write_input(tmp_path / "test.csv", tmp_path)
    assert raised.value.hint


@pytest.mark.parametrize("name", ["test.csv", "test.parquet"])
def test_no_rows_decide_nothing(tmp_path: Path, name: str) -> None:
    pq.write_table(pa.table({"a": [], "y": []}), tmp_path / "test.parquet")
    (tmp_path / "test.csv").write_text("a,y\n")
    with pytest.raises(InvalidInput, match="has no rows"):
        write_input(tmp_path / name, tmp_path, without=("y",))


def read(folder: Path, lines: list[str], rows: int) -> dict[str, list[Any]]:
    (folder / "lines").write_text("\n".join(lines) + "\n")
    found: dict[str, list[Any]] = pq.read_table(
        read_answers(folder / "lines", rows, folder / "out.parquet")
    ).to_pydict()
    return found


def test_answers_come_back_in_the_order_of_the_data_quoted_or_not(tmp_path: Path) -> None:
    quoted = json.dumps({"gates_row": 0, "prediction": "yes", "score_no": 0.5, "score_yes": 0.5}).replace('"', '""')
    lines = [
        json.dumps({"gates_row": 1, "prediction": "no", "score_no": 0.75, "score_yes": 0.25, "file": "x"}),
        "",
        f'"{quoted}"',
    ]  # fmt: skip
    with pytest.raises(Unavailable, match="answers 2 of 3 rows; the first without is 2"):
        read(tmp_path, lines, 3)
    assert read(tmp_path, lines, 2) == {"prediction": ["yes", "no"], "score_no": [0.5, 0.75], "score_yes": [0.5, 0.25]}
    assert read(tmp_path, ['{"gates_row": 0, "prediction": 1, "score": 0.5, "scored": 2}'], 1) == {
        "prediction": [1], "score": [0.5],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("1,0.5", "line 2 of the batch output is no answer: '1,0.5'"),
        ('{"prediction": 1}', "is no answer"),
        ('{"gates_row": 1}', "is no answer"),
        ('{"gates_row": "1", "prediction": 1}', "is no answer"),
        ('{"gates_row": true, "prediction": 1}', "is no answer"),
        ('{"gates_row": 1.0, "prediction": 1}', "is no answer"),
        ("[1]", "is no answer"),
        ('"half', "is no answer"),
        ('{"gates_row": 0, "prediction": 1}', "answers row 0, a second time"),
        ('{"gates_row": 2, "prediction": 1}', "answers row 2, which is none of 2"),
        ('{"gates_row": -1, "prediction": 1}', "answers row -1, which is none of 2"),
        ('{"gates_row": 1, "prediction": 1, "x": 1}', "have not the same keys"),
    ],
)
def test_what_is_no_answer_is_no_evidence(tmp_path: Path, line: str, why: str) -> None:
    with pytest.raises(Unavailable, match=why) as raised:
        read(tmp_path, ['{"gates_row": 0, "prediction": 1, "score": 0.5}', line], 2)
    assert "write one JSON object a row" in raised.value.hint


@pytest.mark.parametrize(
    ("deployment", "batch"),
    [
        ({"$schema": "https://azuremlschemas.azureedge.net/latest/modelBatchDeployment.schema.json"}, True),
        ({"$schema": "https://azuremlschemas.azureedge.net/latest/batchDeployment.schema.json"}, True),
        ({"$schema": "https://azuremlschemas.azureedge.net/latest/managedOnlineDeployment.schema.json"}, False),
        ({"$schema": "managedOnlineDeployment.schema.json", "type": "model"}, False),
        ({"type": "model"}, True), ({"type": "pipeline"}, True), ({"type": "managed"}, False), ({}, False),
    ],
)  # fmt: skip
def test_a_batch_deployment_is_known_by_its_schema_or_its_type(deployment: dict[str, str], batch: bool) -> None:
    assert is_batch(deployment) is batch
