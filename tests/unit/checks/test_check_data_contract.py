"""data_contract: each promise kept or broken, all violations told, and what was not measured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from decided import brief, check, decide, lints

from gates.checks.data_contract import ColumnFacts, TableFacts
from gates.evidence import Evidence
from gates.verdict import Status

AGE = ColumnFacts("integer", 10)
WHOLE = TableFacts(1000, {"age": AGE, "sex": ColumnFacts("string", 0)}, duplicates=0, age_seconds=86400.0)
FULL: dict[str, Any] = {
    "columns": {
        "age": {"dtype": "integer", "min": 18, "max": 110, "max_null_ratio": 0.01},
        "sex": {"dtype": "category", "allowed": ["F", "M"]},
    },
    "min_rows": 500, "unique_key": ["age"], "max_age": "7d", "allow_extra": False,
}  # fmt: skip


def judged(facts: object, **raw: Any) -> tuple[Status, str]:
    return brief(decide("data_contract", Evidence(facts={"table": facts}), **{**FULL, **raw}))


def with_age(**changes: Any) -> TableFacts:
    return replace(WHOLE, columns={**WHOLE.columns, "age": replace(AGE, **changes)})


def test_all_is_kept() -> None:
    found = decide("data_contract", Evidence(facts={"table": WHOLE}), **FULL)
    assert brief(found) == (Status.PASS, "1000 rows keep all that is promised of 2 columns.")
    assert found.n == 1000


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (with_age(nulls=11), "age misses 11 of 1000 values (0.011, at most 0.01)"),
        (with_age(nulls=1000), "age holds no value"),
        (with_age(below=2, samples={"below": ("row 3: 7", "row 9: 12")}),
         "age has 2 values below 18 (row 3: 7, row 9: 12)"),
        (with_age(above=1), "age has 1 values above 110"),
        (with_age(infinite=1), "age has 1 values infinite"),
        (with_age(dtype="string"), "age is string, promised integer"),
        (with_age(dtype="number"), "age is number, promised integer"),
        (replace(WHOLE, columns={**WHOLE.columns, "sex": ColumnFacts("string", 0, not_allowed=5)}),
         "sex has 5 values outside what is allowed"),
        (replace(WHOLE, columns={"age": AGE}), "column 'sex' is missing"),
        (replace(WHOLE, columns={**WHOLE.columns, "zip": AGE, "id": AGE}), "2 columns are not promised: id, zip"),
        (replace(WHOLE, duplicates=3, duplicate_samples=("row 7: 5",)), "3 rows repeat age (row 7: 5)"),
        (replace(WHOLE, age_seconds=8 * 86400.0), "the newest row is 8.00 days old, over 7d"),
        (replace(WHOLE, age_seconds=-2 * 86400.0), "the newest row lies 2.00 days in the future"),
    ],
)  # fmt: skip
def test_one_broken_promise_fails(facts: TableFacts, said: str) -> None:
    assert judged(facts) == (Status.FAIL, f"1 promises are broken: {said}.")


def test_limits_themselves_are_kept() -> None:
    assert judged(replace(WHOLE, age_seconds=7 * 86400.0))[0] is Status.PASS
    assert judged(WHOLE, min_rows=1000)[0] is Status.PASS
    assert judged(WHOLE, min_rows=1001) == (
        Status.FAIL, "1 promises are broken: 1000 rows, at least 1001 are promised.",
    )  # fmt: skip
    assert judged(replace(WHOLE, columns={**WHOLE.columns, "zip": AGE}), allow_extra=True)[0] is Status.PASS


def test_every_violation_is_told() -> None:
    broken = replace(with_age(below=1, above=2), duplicates=1, age_seconds=10 * 86400.0)
    assert judged(broken) == (
        Status.FAIL,
        "4 promises are broken: 1 rows repeat age; the newest row is 10.00 days old, over 7d; age has 1 values below "
        "18; age has 2 values above 110.",
    )


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (None, "The data were not read."),
        ({"rows": 5}, "The table is of the wrong type: dict."),
        (replace(WHOLE, rows=0, columns={}), "The data hold no row."),
        (with_age(nulls=1001), "The table's counts are not whole numbers between 0 and its rows."),
        (with_age(below=-1), "The table's counts are not whole numbers between 0 and its rows."),
        (replace(WHOLE, duplicates=None), "Duplicates of the unique key were not counted."),
        (replace(WHOLE, age_seconds=None), "The age of the data is not known: None."),
        (replace(WHOLE, age_seconds=float("nan")), "The age of the data is not known: nan."),
    ],
)
def test_what_was_not_measured_is_an_error(facts: object, reason: str) -> None:
    assert judged(facts) == (Status.ERROR, reason)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({}, ("columns", "nothing is promised; name columns, unique_key, min_rows or max_age")),
        ({"min_rows": 5, "age_column": "t"},
         ("age_column", "there is no max_age to hold it to; add `max_age: 7d` or remove it")),
        ({"min_rows": 5, "allow_extra": False}, ("allow_extra", "no column is named, so every column would be extra")),
        ({"columns": {"a": {"min": float("nan")}}}, ("columns", "a: min and max must be finite numbers")),
        ({"columns": {"a": {"min": 5, "max": 4}}}, ("columns", "a: min 5 is over max 4; swap them")),
        ({"columns": {"a": {"allowed": []}}}, ("columns", "a: `allowed` is empty; list the values or remove it")),
        ({"columns": {"a": {"dtype": "string", "min": 5}}},
         ("columns", "a: a string has no min or max; use `allowed`")),
    ],
)  # fmt: skip
def test_lint(raw: dict[str, Any], said: tuple[str, str]) -> None:
    assert lints("data_contract", **raw) == [said]
    assert lints("data_contract", **FULL) == []


def test_in_words() -> None:
    assert check("data_contract", **FULL).explain() == (
        "The data have at least 500 rows, 2 columns as promised, age unique, newest no older than 7d, no other "
        "columns; one violation fails."
    )
