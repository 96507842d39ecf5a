"""Lineage as a picture: from data, code and environment over the model and its gate to what serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gates.reports.html import marks
from gates.reports.html.marks import WIDTH, label, svg

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Node = tuple[str, str, str]
"""(what it is, its name, its digest or state)."""
MOST = 6
"""Nodes of a kind that are drawn; the table has all."""
_BOX, _GAP, _SPACE = 52, 34, 10


def section(lineage: Mapping[str, Any], identifier: str) -> str:
    layers = _layers(lineage)
    rows = [node for layer in _layers(lineage, most=None) for node in layer]
    after = marks.folded("As a table", marks.table(("what", "name", "digest or state"), rows, name="Lineage"))
    said = f"What stands behind {lineage['model_name']}"
    return "<h3>Lineage</h3>" + marks.figure(_picture(layers, identifier, said), f"{said}, read downwards", after)


def _layers(lineage: Mapping[str, Any], most: int | None = MOST) -> list[list[Node]]:
    """From what went in to what serves; empty layers are left out."""
    data: list[Node] = [
        ("data", d.get("path") or d["name"], marks.digest(d.get("content") or d["sha256"])) for d in lineage["data"]
    ]
    if most is not None and len(data) > most:
        data = [*data[: most - 1], ("data", f"and {len(data) - most + 1} more", "")]
    dirty = "changed since that commit" if lineage["code_dirty"] else "as committed"
    code: list[Node] = [("code", marks.short(lineage["code_commit"], 16), dirty)] if lineage["code_commit"] else []
    packages = len(lineage["environment"].get("installed", ()))
    around: Node = ("environment", f"Python {lineage['python']}, {packages} packages",
                    marks.digest(lineage["environment_lock"] or "no lock"))  # fmt: skip
    signed = {item["kind"]: item["signed"] for item in lineage.get("statements", ())}
    model: Node = ("model", lineage["model_name"], marks.digest(lineage["model_digest"]))
    gate: list[Node] = []
    if lineage["verdict"]:
        policy = f"policy {marks.digest(lineage['policy_digest'])}"
        gate = [("gate", f"{lineage['verdict']}, {lineage['decision']}", policy)]
    elif lineage.get("ungated"):
        gate = [("no gate", "let through", lineage["ungated"])]
    gate += [("approved", name, "") for name in lineage["approvers"]]
    served: list[Node] = [
        (
            "deployment",
            f"{d.get('endpoint', '')} · {d.get('deployment', '')}",
            f"{d.get('outcome', '')} {d.get('timeDeployed', '')}",
        )
        for d in lineage["deployments"]
    ]
    if most is not None and len(served) > most:
        served = [("deployment", f"{len(served) - most + 1} before", ""), *served[-(most - 1) :]]
    trained: Node = ("training", str(lineage["run"].get("builder", "")), signed.get("train", "unsigned"))
    return [layer for layer in ([*data, *code, around], [trained], [model], gate, served) if layer]


def _picture(layers: Sequence[Sequence[Node]], identifier: str, title: str) -> str:
    body: list[str] = []
    y = 4.0
    for layer in layers:
        rows = [layer[i : i + 2] for i in range(0, len(layer), 2)]
        if body:
            body.append(_arrow(y - _GAP, y))
        for row in rows:
            width = (WIDTH - 8 - _SPACE * (len(row) - 1)) / len(row)
            for i, node in enumerate(row):
                body += _node(4 + i * (width + _SPACE), y, width, node)
            y += _BOX + 8
        y += _GAP - 8
    said = "; then ".join(", ".join(f"{what} {name}" for what, name, _ in layer) for layer in layers)
    return svg(identifier, y - _GAP + 4, title, said, body)


def _node(x: float, y: float, width: float, node: Node) -> list[str]:
    what, name, state = node
    room = int(width / 7.2)
    return [
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_BOX}" rx="5" class="node"/>',
        label(x + 8, y + 15, what, kind="muted"),
        label(x + 8, y + 30, marks.short(name, room), kind="strong"),
        label(x + 8, y + 45, marks.short(state, room)),
    ]


def _arrow(top: float, bottom: float) -> str:
    x = WIDTH / 2
    return f'<path d="M{x} {top + 4:.1f}V{bottom - 8:.1f}m-4 -5l4 6l4 -6" class="arrow"/>'
