"""The two distributions of a column as a static SVG: text in, text out, for an HTML report to embed.

Rules: no script, no style sheet, no font, nothing fetched; title and desc say in words what the picture shows (WCAG
2.2, 1.1.1); the sides differ in form (filled bars, an outline), not only in colour. Equal input gives equal text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDTH, HEIGHT = 480, 180
_LEFT, _RIGHT, _TOP, _BOTTOM = 8, 8, 28, 24
# 3 to 1 and more on white and on near black, and text as the page has it.
_REFERENCE, _CURRENT, _TEXT = "#4f86c0", "#d0533f", "currentColor"
_LONGEST = 14
_BAD = "\ufffe\uffff\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def distribution(name: str, histogram: Mapping[str, Any], *, identifier: str) -> str:
    """One `<svg>`. histogram: `reference` and `current`, (bins,) shares, and `edges` (bins + 1) or `labels` (bins), as
    report.v1 has it. identifier: unique in the page, letters, digits and dashes. ValueError for other shapes.
    """
    reference, current = list(histogram["reference"]), list(histogram["current"])
    labels, edges = histogram.get("labels"), histogram.get("edges")
    named = len(labels) if labels is not None else len(edges or ()) - 1
    if not reference or not len(reference) == len(current) == named:
        raise ValueError(f"a histogram of {len(reference)}, {len(current)} and {named} bins cannot be drawn")
    if not identifier.replace("-", "").isalnum():
        raise ValueError(f"{identifier!r} cannot be an id")
    top = max(*reference, *current) or 1.0
    title = f"Distribution of {name}: reference and current data"
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-labelledby="{identifier}-title {identifier}-desc" font-family="sans-serif" font-size="11">',
        f'<title id="{identifier}-title">{_text(title)}</title>',
        f'<desc id="{identifier}-desc">{_text(describe(histogram))}</desc>',
        *_legend(name),
        *_bars(reference, top),
        _outline(current, top),
        *_axis(labels, edges, len(reference)),
        "</svg>",
    ]
    return "\n".join(body) + "\n"


def describe(histogram: Mapping[str, Any]) -> str:
    """The picture in words: where each side is most, and the largest change."""
    reference, current = histogram["reference"], histogram["current"]
    moved = max(range(len(reference)), key=lambda i: abs(current[i] - reference[i]))
    peaks = (max(range(len(side)), key=side.__getitem__) for side in (reference, current))
    before, after = (_place(histogram, peak) for peak in peaks)
    return (
        f"The reference is most at {before}, the current data at {after}. The largest change is at "
        f"{_place(histogram, moved)}: from {reference[moved]:.1%} to {current[moved]:.1%} of the rows."
    )


def _place(histogram: Mapping[str, Any], i: int) -> str:
    labels = histogram.get("labels")
    if labels is not None:
        return str(labels[i])
    edges = histogram["edges"]
    return f"{edges[i]:.4g} to {edges[i + 1]:.4g}"


def _legend(name: str) -> list[str]:
    return [
        f'<text x="{_LEFT}" y="16" fill="{_TEXT}" font-weight="bold">{_text(_short(name, 40))}</text>',
        f'<rect x="{WIDTH - 150}" y="8" width="10" height="10" fill="{_REFERENCE}"/>',
        f'<text x="{WIDTH - 136}" y="17" fill="{_TEXT}">reference</text>',
        f'<path d="M{WIDTH - 76} 13h10" stroke="{_CURRENT}" stroke-width="2" fill="none"/>',
        f'<text x="{WIDTH - 62}" y="17" fill="{_TEXT}">current</text>',
    ]


def _x(i: float, bins: int) -> float:
    return _LEFT + (WIDTH - _LEFT - _RIGHT) * i / bins


def _y(share: float, top: float) -> float:
    return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * share / top


def _bars(shares: Sequence[float], top: float) -> list[str]:
    width = _x(1, len(shares)) - _x(0, len(shares)) - 1
    return [
        f'<rect x="{_x(i, len(shares)) + 0.5:.1f}" y="{_y(share, top):.1f}" width="{width:.1f}" '
        f'height="{HEIGHT - _BOTTOM - _y(share, top):.1f}" fill="{_REFERENCE}"/>'
        for i, share in enumerate(shares)
        if share > 0
    ]


def _outline(shares: Sequence[float], top: float) -> str:
    """The current side as a stepped line."""
    steps = [f"M{_x(0, len(shares)):.1f} {HEIGHT - _BOTTOM}"]
    for i, share in enumerate(shares):
        steps.append(f"V{_y(share, top):.1f}H{_x(i + 1, len(shares)):.1f}")
    steps.append(f"V{HEIGHT - _BOTTOM}")
    return f'<path d="{"".join(steps)}" stroke="{_CURRENT}" stroke-width="2" fill="none"/>'


def _axis(labels: Sequence[str] | None, edges: Sequence[float] | None, bins: int) -> list[str]:
    base = HEIGHT - _BOTTOM
    line = f'<path d="M{_LEFT} {base}H{WIDTH - _RIGHT}" stroke="{_TEXT}" fill="none"/>'
    y = HEIGHT - 8
    if labels is None:
        low, high = (edges or (0.0, 0.0))[0], (edges or (0.0, 0.0))[-1]
        return [
            line,
            f'<text x="{_LEFT}" y="{y}" fill="{_TEXT}">{low:.4g}</text>',
            f'<text x="{WIDTH - _RIGHT}" y="{y}" fill="{_TEXT}" text-anchor="end">{high:.4g}</text>',
        ]
    if bins > 8:  # more would overlap: the description and the table name them
        return [line]
    return [
        line,
        *(
            f'<text x="{(_x(i, bins) + _x(i + 1, bins)) / 2:.1f}" y="{y}" fill="{_TEXT}" text-anchor="middle">'
            f"{_text(_short(label, max(3, _LONGEST * 4 // bins)))}</text>"
            for i, label in enumerate(labels)
        ),
    ]


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _text(text: str) -> str:
    """Escaped, and without the characters that XML 1.0 cannot hold or that turn the reading direction."""
    legal = "".join(c if c >= " " and not "\ud800" <= c <= "\udfff" and c not in _BAD else "�" for c in text)
    return escape(legal)
