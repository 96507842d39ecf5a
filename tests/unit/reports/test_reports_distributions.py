"""The pictures of a drifted column: the exact text, what it says in words, and that no name breaks out of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from gates.reports import distributions, svg
from gates.reports.markdown import cell

GOLDEN = Path(__file__).parents[2] / "golden" / "drift"
NUMERIC: dict[str, Any] = {
    "reference": [0.1, 0.4, 0.4, 0.1, 0.0],
    "current": [0.0, 0.1, 0.2, 0.3, 0.4],
    "edges": [0.0, 1.0, 2.0, 3.0, 4.0, 5.5],
}
CATEGORIES: dict[str, Any] = {
    "reference": [0.6, 0.4, 0.0], "current": [0.2, 0.3, 0.5], "labels": ["red", "green & <blue>", "(other)"],
}  # fmt: skip
HOSTILE = '</title><script>alert(1)</script>"&\x00\ud800|`::set-output'


def columns(*histograms: tuple[str, dict[str, Any] | None]) -> list[dict[str, Any]]:
    return [{"name": name, "drifted": shown is not None, "histogram": shown} for name, shown in histograms]


@pytest.mark.parametrize(("name", "histogram"), [("numeric", NUMERIC), ("categories", CATEGORIES)])
def test_the_picture_is_this_text(name: str, histogram: dict[str, Any]) -> None:
    assert svg.distribution("amount", histogram, identifier="c0") == (GOLDEN / f"{name}.svg").read_text("utf-8")


def test_the_bars_are_this_text() -> None:
    shown = distributions.table(columns(("amount", NUMERIC), ("colour", CATEGORIES), ("calm", None)), cell)
    assert shown + "\n" == (GOLDEN / "bars.md").read_text("utf-8")


def test_the_picture_says_in_words_what_it_shows() -> None:
    root = ElementTree.fromstring(svg.distribution("amount", NUMERIC, identifier="c0"))
    space = "{http://www.w3.org/2000/svg}"
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == "c0-title c0-desc"
    title, desc = root.find(f"{space}title"), root.find(f"{space}desc")
    assert title is not None
    assert title.text == "Distribution of amount: reference and current data"
    assert desc is not None
    assert desc.text == (
        "The reference is most at 1 to 2, the current data at 4 to 5.5. The largest change is at 4 to 5.5: "
        "from 0.0% to 40.0% of the rows."
    )


def test_the_heights_are_the_shares() -> None:
    root = ElementTree.fromstring(svg.distribution("amount", NUMERIC, identifier="c0"))
    heights = [float(r.get("height", "")) for r in root.iter("{http://www.w3.org/2000/svg}rect")][1:]
    assert [h / max(heights) for h in heights] == pytest.approx([0.25, 1.0, 1.0, 0.25], abs=1e-3)


def test_no_name_breaks_out_of_the_picture_or_the_table() -> None:
    hostile = {**CATEGORIES, "labels": [HOSTILE, HOSTILE, "x"]}
    root = ElementTree.fromstring(svg.distribution(HOSTILE, hostile, identifier="c0"))
    assert {e.tag.rpartition("}")[2] for e in root.iter()} == {"svg", "title", "desc", "text", "rect", "path"}
    rows = distributions.table(columns((HOSTILE, hostile)), cell).splitlines()
    assert len(rows) == 5
    assert not any("<" in row or "::" in row for row in rows)
    assert all(row.replace("\\|", "").count("|") == 5 for row in rows)


@pytest.mark.parametrize(
    "bad",
    [
        {"reference": [], "current": [], "edges": [0.0]}, {"reference": [1.0], "current": [1.0], "edges": [0.0]},
        {"reference": [1.0], "current": [0.5, 0.5], "labels": ["a"]},
    ],
)  # fmt: skip
def test_shapes_that_do_not_fit_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="cannot be drawn"):
        svg.distribution("x", bad, identifier="c0")


def test_only_the_first_columns_are_drawn_and_the_rest_is_counted() -> None:
    many = columns(*[(f"c{i}", NUMERIC) for i in range(distributions.SHOWN + 3)])
    assert distributions.table(many, cell).endswith("… and 3 more drifted columns.")
    assert distributions.table(columns(("calm", None)), cell) == ""
