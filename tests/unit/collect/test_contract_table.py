"""What a data contract asks of a table is counted as it stands there, whatever the file's form and types."""

from __future__ import annotations

import os
import time
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gates.checks.data_contract import ColumnFacts, DataContract, TableFacts
from gates.checks.spec import Settings
from gates.collect import table
from gates.errors import InvalidInput
from gates.evidence import Evidence

if TYPE_CHECKING:
    from pathlib import Path

COUNTS = ("nulls", "below", "above", "not_allowed", "infinite")


def contract(**raw: Any) -> DataContract:
    return msgspec.convert({"id": "c", "type": "data_contract", **raw}, DataContract)


def column(values: Any, **promised: Any) -> ColumnFacts:
    """The facts of one column, in batches of three rows."""
    batches = pa.table({"a": values}).to_batches(max_chunksize=3)
    return table.table_facts(iter(batches), contract(columns={"a": promised})).columns["a"]


def counts(found: ColumnFacts) -> dict[str, int]:
    return {name: getattr(found, name) for name in COUNTS if getattr(found, name)}


@pytest.mark.parametrize(
    ("values", "promised", "counted"),
    [
        ([1, 2, 3, 4, 5], {"min": 2, "max": 4}, {"below": 1, "above": 1}),
        ([2, 4], {"min": 2, "max": 4}, {}),
        ([1.5, None, float("nan"), float("inf"), float("-inf")], {"min": 0, "max": 9},
         {"nulls": 2, "below": 1, "above": 1, "infinite": 2}),
        ([float("inf")], {"dtype": "number"}, {"infinite": 1}),
        (np.array([1.0, np.nan]), {}, {"nulls": 1}),
        ([2**60 + 1, -(2**60), None], {"min": 0, "max": 2.0**61}, {"nulls": 1, "below": 1}),
        (pa.array([2**64 - 1], pa.uint64()), {"max": 10}, {"above": 1}),
        ([Decimal("1.5"), None], {"min": 2}, {"nulls": 1, "below": 1}),
        (pa.array(np.array([1, 9], dtype=np.float16)), {"max": 2}, {"above": 1}),
        (["x", "y", None, "z"], {"allowed": ["x", "y"]}, {"nulls": 1, "not_allowed": 1}),
        (pa.array(["x", "y", "x"]).dictionary_encode(), {"allowed": ["x"]}, {"not_allowed": 1}),
        ([1.0, 2.5, 3.0, float("nan")], {"allowed": [1, 2.5]}, {"nulls": 1, "not_allowed": 1}),
        ([True, False, None], {"allowed": [True]}, {"nulls": 1, "not_allowed": 1}),
        ([1, 0], {"allowed": [True]}, {"not_allowed": 2}),
        ([True], {"allowed": [1]}, {"not_allowed": 1}),
        (["1"], {"allowed": [1]}, {"not_allowed": 1}),
        ([[1, 2], None], {"allowed": ["x"]}, {"nulls": 1, "not_allowed": 1}),
        ([None, None], {"dtype": "string"}, {"nulls": 2}),
        (["x"], {"min": 3}, {}),
    ],
    ids=str,
)  # fmt: skip
def test_a_column_is_counted(values: Any, promised: dict[str, Any], counted: dict[str, int]) -> None:
    assert counts(column(values, **promised)) == counted


def test_samples_name_the_rows_of_the_whole_table() -> None:
    found = column([1, 1, 1, 1, -1, 1, -2, -3, -4], min=0)
    assert (found.below, found.samples["below"]) == (4, ("row 4: -1", "row 6: -2", "row 7: -3"))
    assert column(["x" * 200], allowed=["y"]).samples["not_allowed"] == ("row 0: " + "x" * 113,)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1], "integer"),
        ([1.5], "number"),
        ([Decimal("1.5")], "number"),
        ([True], "boolean"),
        (["x"], "string"),
        (pa.array(["x"], pa.large_string()), "string"),
        (pa.array(["x"]).dictionary_encode(), "category"),
        (pa.array([1]).dictionary_encode(), "integer"),
        ([date(2026, 1, 1)], "datetime"),
        ([datetime(2026, 1, 1, tzinfo=timezone.utc)], "datetime"),
        ([b"x"], "other"),
        ([[1]], "other"),
        ([None], "other"),
    ],
    ids=str,
)
def test_types_are_said_in_the_policy_s_words(values: Any, said: str) -> None:
    assert column(values).dtype == said


def keyed(names: list[str], **columns: Any) -> TableFacts:
    batches = pa.table(columns).to_batches(max_chunksize=2)
    return table.table_facts(iter(batches), contract(unique_key=names))


def test_keys_that_repeat_are_counted_over_all_batches() -> None:
    found = keyed(["a"], a=[1, 2, 3, 1, None, None, 2])
    assert (found.rows, found.duplicates) == (7, 3)
    assert found.duplicate_samples == ("row 3: 1", "row 5: None", "row 6: 2")
    assert keyed(["a", "b"], a=[1, 1, 1], b=["x", "y", "x"]).duplicate_samples == ("row 2: 1, x",)
    assert keyed(["a"], a=[1] * 9).duplicate_samples == ("row 1: 1", "row 2: 1", "row 3: 1")
    assert keyed(["a"], a=[[1], [2], [1]]).duplicates == 1
    assert table.table_facts(iter(pa.table({"a": [1, 1]}).to_batches()), contract(min_rows=2)).duplicates is None


def test_a_key_column_that_is_not_there_is_said() -> None:
    asked = contract(unique_key=["id"])
    found = asked.decide(Evidence(facts={"table": keyed(["id"], a=[1])}), Settings())
    assert found.reason == "1 promises are broken: key column 'id' is missing."


def aged(values: Any) -> float | None:
    facts = table.table_facts(
        iter(pa.table({"at": values}).to_batches(max_chunksize=2)), contract(max_age="7d", age_column="at")
    )
    return facts.age_seconds


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Vienna"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_the_newest_row_of_all_batches_tells_the_age(zone: str | None, unit: Any) -> None:
    """Times without a zone are UTC; with one, the moment counts and not what the clock shows there."""
    now = int(time.time())
    moments = [datetime.fromtimestamp(now - hours * 3600, timezone.utc) for hours in (30, 5, 20, 40, 50)]
    plain = [moment if zone else moment.replace(tzinfo=None) for moment in moments]
    age = aged(pa.array(plain, pa.timestamp(unit, zone)))
    assert age == pytest.approx(5 * 3600, abs=600)


def test_an_age_that_cannot_be_told_is_none() -> None:
    assert aged([date(2020, 1, 1)]) == pytest.approx(time.time() - 1_577_836_800, abs=600)
    for values in (["2026-01-01"], [1.5], pa.array([None, None], pa.timestamp("us"))):
        assert aged(values) is None
    missing = table.table_facts(iter(pa.table({"b": [1]}).to_batches()), contract(max_age="7d", age_column="at"))
    assert missing.age_seconds is None
    assert "is not known" in contract(max_age="7d").decide(Evidence(facts={"table": missing}), Settings()).reason


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_file_is_read_whole_and_its_own_time_is_the_age_where_no_column_is_named(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"t.{form}"
    whole = pa.table({"a": [1, None, 3], "b": ["x", "", None]})
    if form == "csv":
        path.write_text("a,b\n1,x\n,\n3,\n")
    else:
        pq.write_table(whole, path)
    os.utime(path, (time.time() - 7200, time.time() - 7200))
    found = table.read(path, contract(max_age="1d", columns={"a": {"min": 2}}))
    assert (found.rows, list(found.columns)) == (3, ["a", "b"])
    assert counts(found.columns["a"]) == {"nulls": 1, "below": 1}
    assert found.columns["b"].nulls == (2 if form == "csv" else 1)
    assert found.age_seconds == pytest.approx(7200, abs=600)
    assert table.read(path, contract(min_rows=2)).age_seconds is None
    column_named = table.read(path, contract(max_age="1d", age_column="a"))
    assert column_named.age_seconds is None


def test_a_table_without_rows_has_columns_and_what_is_no_table_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": pa.array([], pa.int64())}), tmp_path / "t.parquet")
    found = table.read(tmp_path / "t.parquet", contract(columns={"a": {}}))
    assert (found.rows, list(found.columns)) == (0, ["a"])
    for name in ("bad.parquet", "bad.csv", "none.parquet"):
        if name.startswith("bad"):
            (tmp_path / name).write_bytes(b"")
        with pytest.raises(InvalidInput, match="cannot be read as a table"):
            table.read(tmp_path / name, contract(min_rows=2))
