"""Texts become values, strictly, and values become texts as every dialect writes them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gates import inputs
from gates.errors import InvalidInput
from gates.inputs import Option, declared, duration, number, option, to_text


@dataclass(frozen=True)
class Some:
    report_dir: str = option("Where.", kind="path", default="here")
    many: tuple[str, ...] = option("Words.", kind="list", default=("a", "b"))
    on: bool = option("Yes or no.", kind="bool", default=True)
    plain: int = 3


def test_a_declaration_has_one_name_in_every_dialect() -> None:
    first, second, third = declared(Some)
    assert (first.flag, first.variable, first.camel) == ("report-dir", "GATES_REPORT_DIR", "reportDir")
    assert (second.default_text, third.default_text) == ("a,b", "true")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("60s", 60), ("10m", 600), ("2h", 7200), ("7d", 604800), ("0s", 0), ("1.5h", 5400), (" 60s ", 60)],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text, "x") == seconds


@pytest.mark.parametrize(
    "text", ["", "60", "s", "-1s", "1 h", "1w", "1e3s", "inf", "nans", "1h30m", "1001d", "9" * 400 + "s"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^--x: .*write e.g. 60s, 10m, 2h or 7d$"):
        duration(text, "--x")


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_numbers_as_python_writes_them_are_read(value: float) -> None:
    assert number(repr(value), "x") == value


@pytest.mark.parametrize("text", ["", "nan", "inf", "-inf", "1_000", "1,5", "0x10", "1e", "e5", "--1", "1e999", "٣"])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^--x: "):
        number(text, "--x")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (False, "false"),
        ((), ""),
        (("a", "b"), "a,b"),
        (0.1 + 0.2, "0.3"),
        (1.0, "1"),
        (7, "7"),
    ],
)
def test_values_as_texts(value: object, text: str) -> None:
    assert to_text(value) == text


@given(st.lists(st.text(alphabet="abc-_.", min_size=1), max_size=5).map(tuple))
def test_a_list_reads_back(values: tuple[str, ...]) -> None:
    assert inputs.parse(Option("x", "", kind="list"), to_text(values), "--x") == values


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(InvalidInput) as caught:
        number("9x" * 5000, "--x")
    assert len(str(caught.value)) < 130
