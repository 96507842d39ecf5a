"""The small marks that pages are made of: escaped text, scales, SVG elements with a title and a description.

Every text that is not ours goes through `text`. A picture is 360 units wide, about what a phone has, and scales up.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WIDTH = 360
_UNSEEN = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0), 0x200E, 0x200F, *range(0x202A, 0x202F),
                         *range(0x2066, 0x206A)], " ")  # fmt: skip


def text(value: object) -> str:
    """Escaped for HTML and for quoted attributes, on one line, without characters that hide or turn others."""
    legal = "".join("�" if "\ud800" <= c <= "\udfff" or c in "\ufffe\uffff" else c for c in str(value))
    return escape(" ".join(legal.translate(_UNSEEN).split()), {'"': "&quot;", "'": "&#39;"})


def short(value: object, longest: int) -> str:
    """Cut in the middle, where names and digests differ least."""
    said = str(value)
    if len(said) <= longest:
        return said
    head = (longest - 1) * 2 // 3
    return f"{said[:head]}…{said[len(said) - (longest - 1 - head) :]}"


def number(value: float | None) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:.4g}"


def digest(value: object, length: int = 12) -> str:
    """`sha256:0123456789ab`: enough to tell two apart by eye."""
    head, colon, tail = str(value).partition(":")
    return f"{head}{colon}{tail[:length]}" if colon else head[:length]


class Scale:
    """From values to units of a picture; a range without width gets some."""

    def __init__(self, values: Iterable[float | None], start: float, end: float, room: float = 0.08) -> None:
        finite = [v for v in values if v is not None and math.isfinite(v)] or [0.0, 1.0]
        low, high = min(finite), max(finite)
        margin = (high - low) * room or abs(low) * 0.1 or 0.5
        self.low, self.high = low - margin, high + margin
        self.start, self.end = start, end

    def __call__(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round values inside a range."""
    span = high - low
    if not span > 0 or not math.isfinite(span):
        return [low]
    raw = span / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next((m * power for m in (1, 2, 5) if m * power >= raw), 10 * power)
    first = math.ceil(low / step)
    return [i * step for i in range(first, math.floor(high / step) + 1)]


def svg(identifier: str, height: float, title: str, description: str, body: Sequence[str]) -> str:
    """One picture. identifier: unique in the page; width and height are given, so that nothing moves while it loads."""
    return "\n".join([
        f'<svg viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" height="{height:g}" role="img" '
        f'aria-labelledby="{identifier}-t {identifier}-d">',
        f'<title id="{identifier}-t">{text(title)}</title>',
        f'<desc id="{identifier}-d">{text(description)}</desc>',
        *body,
        "</svg>",
    ])  # fmt: skip


def label(x: float, y: float, said: object, *, anchor: str = "start", kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{named}>{text(said)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def path(points: Sequence[tuple[float, float]], kind: str) -> str:
    drawn = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path d="M{drawn}" class="{kind}"/>'


def table(head: Sequence[object], rows: Iterable[Sequence[object]], *, name: str, numeric: int = 99) -> str:
    """A table in a region that scrolls by itself and can be reached by keyboard; columns from `numeric` on are numbers.

    Cells are escaped here.
    """
    top = "".join(f'<th scope="col"{_right(i, numeric)}>{text(cell)}</th>' for i, cell in enumerate(head))
    body = "".join(
        "<tr>" + "".join(
            f'<th scope="row">{text(cell)}</th>' if i == 0 else f"<td{_right(i, numeric)}>{text(cell)}</td>"
            for i, cell in enumerate(row)
        ) + "</tr>"
        for row in rows
    )  # fmt: skip
    return (
        f'<div class="scroll" role="group" tabindex="0" aria-label="{text(name)}"><table><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _right(i: int, numeric: int) -> str:
    return ' class="n"' if i >= numeric else ""


def folded(summary: str, inside: str) -> str:
    return f"<details><summary>{text(summary)}</summary>{inside}</details>"


def figure(picture: str, caption: str, after: str = "") -> str:
    return f"<figure>{picture}<figcaption>{text(caption)}</figcaption>{after}</figure>"
