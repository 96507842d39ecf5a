"""The columns of a drift check: a table of all, and both distributions of those that drifted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gates.reports import svg as pictures
from gates.reports.html import marks
from gates.reports.html.marks import number, text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DRAWN = 40
"""Drifted columns that are drawn; the table has all."""


def section(columns: Sequence[Mapping[str, Any]], retrain: Mapping[str, Any] | None, prefix: str) -> str:
    drifted = [c for c in columns if c["drifted"]]
    parts = [f"<h3>Columns</h3><p><strong>{len(drifted)} of {len(columns)} columns drifted.</strong></p>"]
    if retrain is not None:
        why = f": {text(retrain['reason'])}" if retrain.get("reason") else ""
        parts.append(f"<p><strong>Retrain: {'yes' if retrain.get('decide') else 'no'}</strong>{why}</p>")
    drawn = [c for c in drifted if c.get("histogram")][:DRAWN]
    parts.append('<div class="grid">' + "".join(_one(c, f"{prefix}-{i}") for i, c in enumerate(drawn)) + "</div>")
    order = sorted(columns, key=lambda c: (not c["drifted"], -(c["psi"] or 0.0)))
    rows = [
        (c["name"], c["severity"], "drifted" if c["drifted"] else "as before", c["kind"],
         *(number(c[key]) for key in ("psi", "ks", "w1", "js", "chi2", "q")), c["action"])
        for c in order
    ]  # fmt: skip
    head = ("column", "severity", "verdict", "kind", "PSI", "KS D", "W1", "JS", "χ²", "q", "what to do")
    parts.append(marks.folded("All columns", marks.table(head, rows, name="All columns")))
    return "".join(parts)


def _one(column: Mapping[str, Any], identifier: str) -> str:
    said = f"{column['name']}: PSI {number(column['psi'])}, KS D {number(column['ks'])}; {column['action']}"
    drawn = pictures.distribution(column["name"], column["histogram"], identifier=identifier)
    return marks.figure(drawn, said.rstrip("; "))
