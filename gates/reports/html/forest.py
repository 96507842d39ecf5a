"""Forest plots: the intervals of slices and groups under one another, with the limit they are held to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gates.reports.html import marks
from gates.reports.html.marks import WIDTH, Scale, label, line, number, svg

if TYPE_CHECKING:
    from gates.reports.html.values import Forest, Row

_LEFT, _STEP, _TOP = 132, 22, 22
MOST = 40
"""Rows that are drawn; the table below holds all."""


def section(forest: Forest, identifier: str) -> str:
    rows = [(r.name, number(r.value), f"{number(r.low)} to {number(r.high)}", f"{r.n:,}") for r in forest.rows]
    after = marks.folded("The figures", marks.table(
        ("group", "value", "interval", "rows"), rows, name=forest.title, numeric=1))  # fmt: skip
    return marks.figure(_picture(forest, identifier), f"{forest.title}. {forest.note}".strip(), after)


def _picture(forest: Forest, identifier: str) -> str:
    rows = sorted(forest.rows, key=lambda row: row.value)[:MOST] if len(forest.rows) > MOST else forest.rows
    height = _TOP + _STEP * len(rows) + 24
    bounds = [v for row in rows for v in (row.value, row.low, row.high)]
    x = Scale([*bounds, forest.least, forest.most], _LEFT, WIDTH - 10)
    body, bottom = [], height - 22
    for limit, word in ((forest.least, "at least"), (forest.most, "at most")):
        if limit is not None:
            body.append(line(x(limit), _TOP - 6, x(limit), bottom, "limit"))
            body.append(label(min(x(limit), WIDTH - 40), 12, f"{word} {number(limit)}", anchor="middle"))
    for tick in marks.ticks(x.low, x.high):
        body.append(line(x(tick), bottom, x(tick), bottom + 4, "axis"))
        body.append(label(x(tick), bottom + 16, number(tick), anchor="middle"))
    body.append(line(_LEFT, bottom, WIDTH - 10, bottom, "axis"))
    for i, row in enumerate(rows):
        y = _TOP + _STEP * i + 8
        kind = "bad" if _misses(row, forest) else "good" if forest.least is not None or forest.most is not None else ""
        body += [
            label(4, y + 4, marks.short(row.name, 20)),
            line(x(row.low), y, x(row.high), y, f"whisker {kind}"),
            f'<rect x="{x(row.value) - 3.5:.1f}" y="{y - 3.5:.1f}" width="7" height="7" class="dot {kind}"/>',
        ]
    lowest, highest = min(rows, key=lambda r: r.value), max(rows, key=lambda r: r.value)
    said = f"From {lowest.name} at {number(lowest.value)} to {highest.name} at {number(highest.value)}."
    return svg(identifier, height, forest.title, said, body)


def _misses(row: Row, forest: Forest) -> bool:
    """Whether the whole interval lies on the wrong side, as the check would say of this group alone."""
    return (forest.least is not None and row.high < forest.least) or (forest.most is not None and row.low > forest.most)
