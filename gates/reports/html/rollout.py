"""A rollout over time: who had which share of the traffic, and what share of each deployment's requests failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gates.reports.html import marks
from gates.reports.html.marks import WIDTH, label, line, number, svg, text

if TYPE_CHECKING:
    from collections.abc import Mapping

_LEFT, _RIGHT = 40, 8
_TRAFFIC = (26, 136)
_ERRORS = (176, 246)
HEIGHT = 296
_KINDS = ("one", "two", "three")


def section(rollout: Mapping[str, Any], prefix: str) -> str:
    steps = [(s["state"], f"{s['at']:.1f} s", f"{s['seconds']:.1f} s") for s in rollout["steps"]]
    requests = [
        (f"{r['at']:.1f} s", r["deployment"], f"{r['n']:,}", f"{r['errors']:,}", number(r["p95_ms"]))
        for r in rollout["requests"]
    ]
    after = marks.folded("The steps", marks.table(
        ("state", "reached after", "took"), steps, name="The steps of the rollout", numeric=1))  # fmt: skip
    if requests:
        after += marks.folded("The requests", marks.table(
            ("from", "deployment", "requests", "errors", "p95 ms"), requests, name="Requests", numeric=2))  # fmt: skip
    lead = f"{rollout['endpoint']}: {rollout['outcome']}"
    picture = _picture(rollout, f"{prefix}-line") if rollout["traffic"] else ""
    return f"<h3>Rollout</h3><p><strong>{text(lead)}</strong></p>" + (
        marks.figure(picture, "Share of the traffic, and share of requests that failed, by seconds since the start",
                     after) if picture else after
    )  # fmt: skip


def _picture(rollout: Mapping[str, Any], identifier: str) -> str:
    names = _names(rollout)
    end = max([rollout["seconds"], *(s["at"] for s in rollout["steps"]), 1.0])
    body = [*_axes(rollout, end), *_shares(rollout, names, end), *_failures(rollout, names, end)]
    for i, name in enumerate(names):
        x = _LEFT + i * (WIDTH - _LEFT - _RIGHT) / max(len(names), 1)
        body.append(f'<rect x="{x:.1f}" y="{HEIGHT - 14}" width="10" height="10" class="area {_KINDS[i % 3]}"/>')
        body.append(label(x + 14, HEIGHT - 5, marks.short(name, 34 // max(len(names), 1) + 6)))
    last = rollout["traffic"][-1]["shares"]
    said = ", ".join(f"{name} {share} %" for name, share in last.items()) or "nobody"
    failed, asked = (sum(r[key] for r in rollout["requests"]) for key in ("errors", "n"))
    more = f"Of {asked:,} requests {failed:,} failed." if asked else "No request was seen."
    return svg(identifier, HEIGHT, f"Rollout of {rollout['endpoint']}", f"At the end: {said}. {more}", body)


def _names(rollout: Mapping[str, Any]) -> list[str]:
    """Deployments in the order in which they got traffic."""
    seen = [name for at in rollout["traffic"] for name in at["shares"]]
    return list(dict.fromkeys([*seen, *(r["deployment"] for r in rollout["requests"])]))


def _x(seconds: float, end: float) -> float:
    return _LEFT + (WIDTH - _LEFT - _RIGHT) * min(max(seconds, 0.0), end) / end


def _axes(rollout: Mapping[str, Any], end: float) -> list[str]:
    body = [label(_LEFT, 12, "traffic, %"), label(_LEFT, _ERRORS[0] - 8, "errors, % of requests")]
    for top, bottom in (_TRAFFIC, _ERRORS):
        body.append(line(_LEFT, bottom, WIDTH - _RIGHT, bottom, "axis"))
        body.append(line(_LEFT, top, WIDTH - _RIGHT, top, "rule"))
    body += [label(_LEFT - 5, _TRAFFIC[0] + 4, "100", anchor="end"), label(_LEFT - 5, _TRAFFIC[1], "0", anchor="end")]
    body += [label(_LEFT - 5, _ERRORS[0] + 4, number(100 * _top(rollout)), anchor="end"),
             label(_LEFT - 5, _ERRORS[1], "0", anchor="end")]  # fmt: skip
    for tick in marks.ticks(0.0, end, 5):
        body.append(line(_x(tick, end), _ERRORS[1], _x(tick, end), _ERRORS[1] + 4, "axis"))
        body.append(label(_x(tick, end), _ERRORS[1] + 16, f"{tick:g} s", anchor="middle"))
    body += [line(_x(s["at"], end), _TRAFFIC[0], _x(s["at"], end), _TRAFFIC[1], "rule") for s in rollout["steps"]]
    return body


def _top(rollout: Mapping[str, Any]) -> float:
    """The top of the error axis: 5 %, or the largest share seen."""
    shares: list[float] = [r["errors"] / r["n"] for r in rollout["requests"] if r["n"]]
    return max([0.05, *shares])


def _shares(rollout: Mapping[str, Any], names: list[str], end: float) -> list[str]:
    """Stacked areas: each change of traffic holds until the next."""
    changes, body = rollout["traffic"], []
    for i, at in enumerate(changes):
        until = changes[i + 1]["at"] if i + 1 < len(changes) else end
        floor = 0.0
        for k, name in enumerate(names):
            share = at["shares"].get(name, 0)
            if not share:
                continue
            span = _TRAFFIC[1] - _TRAFFIC[0]
            y = _TRAFFIC[1] - span * (floor + share) / 100
            width = max(_x(until, end) - _x(at["at"], end), 0.5)
            body.append(
                f'<rect x="{_x(at["at"], end):.1f}" y="{y:.1f}" width="{width:.1f}" height="{span * share / 100:.1f}" '
                f'class="area {_KINDS[k % 3]}"/>'
            )
            floor += share
    return body


def _failures(rollout: Mapping[str, Any], names: list[str], end: float) -> list[str]:
    """A bar a window and deployment, from the window's begin on; none at all where nothing failed."""
    body, top, span = [], _top(rollout), _ERRORS[1] - _ERRORS[0]
    width = max((_x(rollout["window"], end) - _LEFT) / max(len(names), 1) - 0.5, 1.0)
    for r in rollout["requests"]:
        if not r["errors"]:
            continue
        height = span * r["errors"] / r["n"] / top
        k = names.index(r["deployment"])
        x = _x(r["at"], end) + k * (width + 0.5)
        body.append(f'<rect x="{x:.1f}" y="{_ERRORS[1] - height:.1f}" width="{width:.1f}" height="{height:.1f}" '
                    f'class="area {_KINDS[k % 3]}"/>')  # fmt: skip
    return body
