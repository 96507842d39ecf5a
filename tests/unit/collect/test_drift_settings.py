"""Texts of drift-check's inputs: what each means, and what means nothing."""

from __future__ import annotations

import pytest

from gates.collect import drift_settings
from gates.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1MB", 1_000_000),
        ("1000KB", 1_000_000),
        ("1.5GiB", 1_610_612_736),
        ("1MiB", 1_048_576),
        ("2 GB", 2_000_000_000),
        ("1TiB", 2**40),
    ],
)
def test_a_size_is_decimal_or_binary_as_it_says(text: str, size: int) -> None:
    assert drift_settings.size(text) == size


@pytest.mark.parametrize("text", ["", "1", "MB", "1mb", "-1MB", "1MBs", "0.9MB", "999KB", "1e3MB"])
def test_what_is_no_size_or_too_little_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="--memory"):
        drift_settings.size(text)


def test_a_window_is_a_duration_or_two_ends_of_which_one_may_be_open() -> None:
    window = drift_settings.window
    assert window("", "") is None
    assert window("7d", "at") == "7d"
    assert window("2026-01-01..2026-02-01", "at") == ("2026-01-01", "2026-02-01")
    assert window(" 2026-01-01 .. ", "at") == ("2026-01-01", None)
    assert window("..2026-02-01", "at") == (None, "2026-02-01")
    for text, column, said in (
        ("7d", "", "needs a time column"),
        ("..", "at", "no end"),
        ("7 weeks", "at", "--window"),
    ):
        with pytest.raises(InvalidInput, match=said):
            window(text, column)


def test_a_sample_is_a_whole_number_of_rows() -> None:
    assert drift_settings.rows(None) is None
    assert drift_settings.rows(1.0) == 1
    for number in (0.0, -5.0, 1.5):
        with pytest.raises(InvalidInput, match="--sample"):
            drift_settings.rows(number)
