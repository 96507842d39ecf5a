"""A rollout in a job summary: a Mermaid chart where the platform draws one (GitHub), text bars elsewhere.

Names in a chart are reduced to characters that mean nothing to Mermaid; in text they go through the summary's `cell`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SHOWN = 30
"""Changes of traffic, and states, that are shown; rollout.json beside the report has all."""
_SMALLEST = 0.01
_CELLS = 20


def section(rollout: Mapping[str, Any], cell: Callable[[object], str], *, mermaid: bool) -> str:
    """The part of a summary that shows a rollout (`rollout.v1`)."""
    drawn = _mermaid(rollout) if mermaid else _bars(rollout, cell)
    return "\n\n".join(part for part in (drawn, _requests(rollout, cell), _steps(rollout)) if part)


def _mermaid(rollout: Mapping[str, Any]) -> str:
    """A Gantt chart on the clock: a section a deployment with its shares, and one of the states."""
    spans: dict[str, list[str]] = {}
    for begin, end, shares in _spans(rollout):
        for name, share in shares.items():
            spans.setdefault(name, []).append(f"    {share} % :{_clock(rollout, begin)}, {_clock(rollout, end)}")
    lines = ["```mermaid", "gantt", f"    title Traffic of {_safe(rollout['endpoint'])}", "    dateFormat x",
             "    axisFormat %H:%M:%S"]  # fmt: skip
    for name, rows in spans.items():
        lines += [f"    section {_safe(name)}", *rows]
    states = [s for s in rollout["steps"] if s["seconds"] >= _SMALLEST * rollout["seconds"]][-SHOWN:]
    if states:
        lines.append("    section states")
        lines += [
            f"    {_safe(s['state'])} :{_clock(rollout, s['at'] - s['seconds'])}, {_clock(rollout, s['at'])}"
            for s in states
        ]
    return "\n".join([*lines, "```"])


def _spans(rollout: Mapping[str, Any]) -> list[tuple[float, float, Mapping[str, int]]]:
    """(from, to, shares) of the traffic's last changes."""
    changes = rollout["traffic"][-SHOWN:]
    ends = [*(at["at"] for at in changes[1:]), max(rollout["seconds"], 0.001)]
    return [(at["at"], end, at["shares"]) for at, end in zip(changes, ends, strict=True)]


def _clock(rollout: Mapping[str, Any], seconds: float) -> int:
    """Milliseconds since the epoch."""
    return round(1000 * (float(rollout["started"]) + max(seconds, 0.0)))


def _safe(name: object) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", str(name))[:64] or "_"


def _bars(rollout: Mapping[str, Any], cell: Callable[[object], str]) -> str:
    names = list(dict.fromkeys(name for *_, shares in _spans(rollout) for name in shares))
    head = "".join(f" | {cell(name)}" for name in names)
    lines = [f"| after{head} |", "| ---: " + "| --- " * len(names) + "|"]
    for begin, _, shares in _spans(rollout):
        row = "".join(f" | {_bar(shares.get(name, 0))}" for name in names)
        lines.append(f"| {begin:.1f} s{row} |")
    return "\n".join(lines) if names else ""


def _bar(share: float) -> str:
    full = round(_CELLS * share / 100)
    return f"`{'█' * full}{'░' * (_CELLS - full)}` {share} %"


def _requests(rollout: Mapping[str, Any], cell: Callable[[object], str]) -> str:
    """Requests and errors by deployment."""
    counted: dict[str, list[int]] = {}
    for r in rollout["requests"]:
        both = counted.setdefault(r["deployment"], [0, 0])
        both[0] += r["n"]
        both[1] += r["errors"]
    if not counted:
        return ""
    rows = [f"| {cell(name)} | {n:,} | {bad:,} | {bad / n:.2%} |" for name, (n, bad) in counted.items()]
    return "\n".join(["| deployment | requests | errors | |", "| --- | ---: | ---: | ---: |", *rows])


def _steps(rollout: Mapping[str, Any]) -> str:
    rows = [f"| {s['state']} | {s['at']:.1f} s | {s['seconds']:.1f} s |" for s in rollout["steps"][-SHOWN:]]
    if not rows:
        return ""
    head = ["<details><summary>The steps of the rollout</summary>", "", "| state | reached after | took |"]
    return "\n".join([*head, "| --- | ---: | ---: |", *rows, "", "</details>"])
