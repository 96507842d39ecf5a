"""Collected requests become one table, or an error that says where; a reference stays one through inputs."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from gates.backends.azureml.collected import as_table
from gates.errors import InvalidInput
from gates.inputs import Option, parse, remote


def event(rows: list[dict[str, object]], time: str, identity: str = "c1") -> str:
    return json.dumps({"specversion": "1.0", "id": "e", "type": "azureml.inference.inputs", "time": time,
                       "correlationid": identity, "data": rows})  # fmt: skip


def test_rows_of_all_files_are_one_table_with_their_times(tmp_path: Path) -> None:
    hours = tmp_path / "stored/2026/01/01"
    first = [event([{"age": 31, "sex": "Female"}, {"age": 45, "sex": "Male"}], "2026-01-01T00:10:00Z")]
    for hour, lines in (("00", first), ("01", [event([{"age": 28, "sex": "Male"}], "2026-01-01T01:00:00Z", "c2"), ""])):
        (hours / hour).mkdir(parents=True)
        (hours / hour / "a.jsonl").write_text("\n".join(lines))
    made = as_table(tmp_path / "stored", tmp_path / "t/collected.parquet")
    table = pq.read_table(made)
    assert table.column("age").to_pylist() == [31, 45, 28]
    assert table.column("collected_at").to_pylist()[2] == "2026-01-01T01:00:00Z"
    assert table.column("row_id").to_pylist() == ["c1", "c1", "c2"]


def test_what_is_a_table_already_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x\n1\n")
    assert as_table(tmp_path, tmp_path / "t") == tmp_path
    assert as_table(tmp_path / "a.csv", tmp_path / "t") == tmp_path / "a.csv"
    (tmp_path / "b.jsonl").write_text(event([{"x": 1}], "t"))  # beside a table, it is no collector's folder
    assert as_table(tmp_path, tmp_path / "t") == tmp_path


def test_hours_are_read_in_their_order_into_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    for hour in ("03", "00", "02", "01"):
        (tmp_path / "stored" / hour).mkdir(parents=True)
        (tmp_path / "stored" / hour / "a.jsonl").write_text(event([{"hour": hour}], f"2026-01-01T{hour}:00:00Z"))
    made = as_table(tmp_path / "stored", tmp_path / "deep/er/collected.parquet")
    assert pq.read_table(made).column("hour").to_pylist() == ["00", "01", "02", "03"]


@pytest.mark.parametrize(
    "line",
    ["{", '{"time": "t"}', '{"data": [[1]], "time": "t"}', "[]", '{"data": [{"x": 1}, {"x": "a"}], "time": "t"}'],
)
def test_a_line_that_is_no_event_is_an_error_with_its_place(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.jsonl").write_text(line)
    with pytest.raises(InvalidInput, match=r"a\.jsonl:1|one table"):
        as_table(tmp_path, tmp_path / "t")


def test_nothing_collected_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("\n")
    with pytest.raises(InvalidInput, match="no request was collected"):
        as_table(tmp_path, tmp_path / "t")


@pytest.mark.parametrize("reference", ["azureml:loans:3", "azureml:loans@latest", "azureml://datastores/d/paths/a/b"])
def test_a_reference_is_no_path(reference: str) -> None:
    path = parse(Option("current", kind="path", help=""), reference, "--current", Path("/work"))
    assert remote(path) == reference
    assert remote(parse(Option("current", kind="path", help=""), "data/a.csv", "--current", Path("/work"))) == ""
