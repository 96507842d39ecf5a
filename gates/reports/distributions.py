"""The two distributions of a drifted column as small text bars, for the markdown summary.

Both sides share one scale: a full block is the largest share of either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

SHOWN = 10
"""Drifted columns that are drawn; the report file has all."""
_LABELS = 6
_BLOCKS = "·▁▂▃▄▅▆▇█"
_WIDTH = 8


def table(columns: Sequence[Mapping[str, Any]], cell: Callable[[object], str]) -> str:
    """A markdown table of the drifted columns that have a histogram; "" when none has. `cell` makes text harmless."""
    drawn = [c for c in columns if c["drifted"] and c.get("histogram")]
    rows = [row for column in drawn[:SHOWN] for row in _rows(column, cell)]
    if not rows:
        return ""
    head = ["| column | from … to, or category | reference | current |", "| --- | --- | --- | --- |"]
    more = [f"\n… and {len(drawn) - SHOWN} more drifted columns."] if len(drawn) > SHOWN else []
    return "\n".join([*head, *rows, *more])


def _rows(column: Mapping[str, Any], cell: Callable[[object], str]) -> list[str]:
    shown, name = column["histogram"], cell(column["name"])
    reference, current = shown["reference"], shown["current"]
    top = max(*reference, *current)
    if "labels" not in shown:
        span = f"{shown['edges'][0]:.4g} … {shown['edges'][-1]:.4g}"
        return [f"| {name} | {span} | `{columns_of(reference, top)}` | `{columns_of(current, top)}` |"]
    order = sorted(range(len(reference)), key=lambda i: -abs(reference[i] - current[i]))[:_LABELS]
    return [
        f"| {name if row == 0 else ''} | {cell(shown['labels'][i])} | {bar(reference[i], top)} {reference[i]:.1%} "
        f"| {bar(current[i], top)} {current[i]:.1%} |"
        for row, i in enumerate(order)
    ]


def columns_of(shares: Sequence[float], top: float) -> str:
    """One character a bin, its height the share of `top`; a dot is none at all."""
    return "".join(_block(share, top) for share in shares)


def _block(share: float, top: float) -> str:
    if share <= 0 or top <= 0:
        return _BLOCKS[0]
    return _BLOCKS[min(8, max(1, round(8 * share / top)))]


def bar(share: float, top: float) -> str:
    """A bar to the right, at most eight characters."""
    return "█" * round(_WIDTH * share / top) if top > 0 else ""
