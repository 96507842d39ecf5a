"""The checks of a report: each with its status in words, its reason, and its interval drawn against its limit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gates.reports.html import marks
from gates.reports.html.marks import WIDTH, Scale, label, line, number, svg, text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MARK = {"PASS": "✓", "FAIL": "✗", "ERROR": "!", "INCONCLUSIVE": "?", "SKIPPED": "–", "WAIVED": "~"}
_WORST = ("FAIL", "ERROR", "INCONCLUSIVE", "WAIVED", "SKIPPED", "PASS")
# What in a check's `required` is a limit of what it observed, and on which side what passes lies.
_LEAST = ("min", "min_overlap", "min_evaluated_share")
_MOST = ("max", "max_ms", "max_ratio", "max_drifted_share", "bad")


def badge(status: str) -> str:
    """The status as a word with a mark: never by colour alone."""
    return f'<span class="badge {status.lower()}"><span aria-hidden="true">{MARK[status]} </span>{status}</span>'


def listing(checks: Sequence[Mapping[str, Any]], prefix: str) -> str:
    """The checks, worst first, advisory ones last."""
    order = sorted(checks, key=lambda c: (c["severity"] != "block", _WORST.index(c["status"])))
    return '<ol class="checks">' + "".join(_one(check, f"{prefix}-{i}") for i, check in enumerate(order)) + "</ol>"


def limits(check: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """(least, most) that passes, in the unit of what was observed; None where there is no such limit."""
    required = check["required"]
    if check["type"] == "champion_delta":
        margin = float(required.get("absolute") or 0.0)
        return (margin if required.get("test") == "superiority" else 0.0 - margin), None
    return _first(required, _LEAST), _first(required, _MOST)


def _first(required: Mapping[str, Any], names: Sequence[str]) -> float | None:
    for name in names:
        value = required.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    return None


def _one(check: Mapping[str, Any], identifier: str) -> str:
    advisory = " <small>advisory</small>" if check["severity"] == "warn" else ""
    rows = "" if check["n"] is None else f"{check['n']:,} rows or requests"
    if check["n_needed"]:
        rows += f", about {check['n_needed']:,} would decide"
    return (
        f"<li><h4>{badge(check['status'])} {text(check['id'])}{advisory}</h4>{strip(check, identifier)}"
        f"<p>{text(check['reason'])}</p>" + (f'<p class="muted">{text(rows)}</p>' if rows else "") + "</li>"
    )


def strip(check: Mapping[str, Any], identifier: str) -> str:
    """The interval (a bar) and the observed value (a dot) on a line, what does not pass hatched; "" without numbers."""
    observed, interval = check["observed"], check["interval"]
    if observed is None and interval is None:
        return ""
    least, most = limits(check)
    low, high = interval if interval is not None else (None, None)
    x = Scale([observed, low, high, least, most], 6, WIDTH - 6, 0.18)
    body = [line(6, 30, WIDTH - 6, 30, "axis")]
    for limit, begin, end, said in (
        (least, 6.0, None, "at least"), (most, None, WIDTH - 6.0, "at most"),
    ):  # fmt: skip
        if limit is None:
            continue
        a, b = (begin, x(limit)) if begin is not None else (x(limit), end or 0.0)
        body.append(f'<rect x="{a:.1f}" y="18" width="{b - a:.1f}" height="24" class="out"/>')
        body.append(line(x(limit), 14, x(limit), 44, "limit"))
        anchor = "start" if x(limit) < WIDTH / 3 else "end" if x(limit) > 2 * WIDTH / 3 else "middle"
        body.append(label(x(limit), 11, f"{said} {number(limit)}", anchor=anchor))
    kind = "bad" if check["status"] in ("FAIL", "ERROR") else "open" if check["status"] == "INCONCLUSIVE" else "good"
    if low is not None and high is not None:
        body.append(f'<rect x="{x(low):.1f}" y="26" width="{max(x(high) - x(low), 1.5):.1f}" height="8" '
                    f'class="bar {kind}"/>')  # fmt: skip
    if observed is not None:
        body.append(f'<circle cx="{x(observed):.1f}" cy="30" r="4.5" class="dot {kind}"/>')
    figures = [number(observed)] + ([f"[{number(low)}, {number(high)}]"] if interval is not None else [])
    middle = x(observed if observed is not None else low or 0.0)
    anchor = "start" if middle < WIDTH / 3 else "end" if middle > 2 * WIDTH / 3 else "middle"
    body.append(label(middle, 57, " ".join(figures), anchor=anchor))
    words = [f"observed {number(observed)}"] + ([f"interval {number(low)} to {number(high)}"] if interval else [])
    words += [f"must be {word} {number(limit)}" for word, limit in (("at least", least), ("at most", most))
              if limit is not None]  # fmt: skip
    return svg(identifier, 62, f"{check['id']}: {check['status']}", "; ".join(words), body)


def tally(checks: Sequence[Mapping[str, Any]]) -> str:
    """`4 PASS, 1 FAIL`, worst first."""
    counted = [(status, sum(1 for c in checks if c["status"] == status)) for status in _WORST]
    return ", ".join(f"{n} {status}" for status, n in counted if n)


def facts(result: Mapping[str, Any]) -> str:
    """What the verdict is bound to."""
    policy, champion = result["policy"], result["champion"] or {}
    rows = [
        ("policy", f"{policy['name']} revision {policy['revision']} ({policy['source']})" if policy["digest"] else ""),
        ("policy digest", policy["digest"]),
        ("model digest", result["model"].get("digest", "")),
        ("champion", f"version {champion['version']}" if champion.get("version") else ""),
        ("champion digest", champion.get("digest", "")),
        ("data digest", result["data"].get("digest", "")),
        ("rows", f"{result['data']['rows']:,}" if result["data"].get("rows") else ""),
        ("self-reported evidence", ", ".join(i["name"] for i in result["evidence"] if i["self_reported"])),
    ]
    shown = [row for row in rows if row[1]]
    inside = marks.table(("what", "value"), shown, name="What this is bound to")
    return marks.folded("What this is bound to", inside) if shown else ""
