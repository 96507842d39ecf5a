"""The job summary: verdict first, then the table, then what folds away. The same text on every platform, but that a
rollout is a Mermaid chart where the platform draws one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gates.reports import distributions, rollouts
from gates.verdict import Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gates.verdict import CheckResult, GateReport

_MARK = {
    Status.PASS: "✅", Status.FAIL: "❌", Status.ERROR: "⛔", Status.INCONCLUSIVE: "❔", Status.SKIPPED: "⏭️",
    Status.WAIVED: "🏳️",
}  # fmt: skip
_ORDER = {
    s: i
    for i, s in enumerate((Status.FAIL, Status.ERROR, Status.INCONCLUSIVE, Status.WAIVED, Status.SKIPPED, Status.PASS))
}
_COLUMNS_SHOWN = 40
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def summary(
    report: GateReport, facts: Mapping[str, str], *, rollout: Mapping[str, Any] | None = None, mermaid: bool = False
) -> str:
    """The markdown of one step: `facts` are its outputs worth showing, in order; `rollout` is a `rollout.v1`."""
    title = f"## {report.step}: {headline(report)}"
    parts = [title, cell(report.note)]
    if report.checks:
        parts.append(_checks(report.checks))
    if report.columns is not None:
        parts.append(_columns(report.columns))
        parts.append(distributions.table(report.columns, cell))
    if report.retrain is not None:
        wants = report.retrain["decide"]
        parts.append(
            f"**Retrain: {'yes' if wants else 'no'}**" + (f" – {cell(report.retrain['reason'])}" if wants else "")
        )
    if rollout is not None:
        parts.append(rollouts.section(rollout, cell, mermaid=mermaid))
    parts.append(_facts(facts))
    parts.append(_provenance(report))
    return "\n\n".join(part for part in parts if part) + "\n"


def headline(report: GateReport) -> str:
    """The verdict in a few words."""
    if not report.checks:
        return "done"
    mark = {Verdict.PASS: "✅", Verdict.FAIL: "❌", Verdict.ERROR: "⛔", Verdict.INCONCLUSIVE: "❔"}[report.verdict]
    word = "allowed" if report.allowed else "refused"
    return f"{mark} {report.verdict.value}, {word}"


def lines(report: GateReport) -> list[str]:
    """The checks as plain lines, for a terminal and for logs."""
    width = max((len(check.id) for check in report.checks), default=0)
    return [
        f"{check.status.value:<12} {check.id:<{width}}  {' '.join(check.reason.split())}{_advisory(check)}"
        for check in _sorted(report.checks)
    ]


def cell(value: object) -> str:
    """Text made harmless inside a markdown table: no HTML, mentions, emphasis, columns or line breaks of its own."""
    text = _UNSEEN.sub("", " ".join(str(value).split()))
    text = re.sub(r"([\\`*_\[\]|~])", r"\\\1", text)
    return (
        text.replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace("@", "&#64;")
        .replace("::", ":&#58;")
        .replace("##", "#&#35;")
    )


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _advisory(check: CheckResult) -> str:
    return " (advisory)" if check.severity == "warn" else ""


def _sorted(checks: Sequence[CheckResult]) -> list[CheckResult]:
    return sorted(checks, key=lambda check: (check.severity != "block", _ORDER[check.status]))


def _checks(checks: Sequence[CheckResult]) -> str:
    rows = ["| | check | observed | required | n | why |", "| --- | --- | --- | --- | ---: | --- |"]
    for check in _sorted(checks):
        observed = number(check.observed)
        if check.interval is not None:
            observed += f" [{number(check.interval[0])}, {number(check.interval[1])}]"
        required = ", ".join(f"{key} {number(v) if isinstance(v, float) else v}" for key, v in check.required.items())
        n = "" if check.n is None else f"{check.n:,}" + (f" of {check.n_needed:,}" if check.n_needed else "")
        status, name = f"{_MARK[check.status]} {check.status.value}", cell(check.id) + _advisory(check)
        rows.append(f"| {status} | {name} | {observed} | {cell(required)} | {n} | {cell(check.reason)} |")
    return "\n".join(rows)


def _columns(columns: Sequence[Mapping[str, Any]]) -> str:
    drifted = [c for c in columns if c["drifted"]]
    shown = sorted(columns, key=lambda c: (not c["drifted"], -(c["psi"] or 0.0)))[:_COLUMNS_SHOWN]
    rows = [
        f"**{len(drifted)} of {len(columns)} columns drifted**",
        "",
        "| column | kind | KS D | PSI | q | severity | action |",
        "| --- | --- | ---: | ---: | ---: | --- | --- |",
    ]
    for c in shown:
        figures = " | ".join(number(c[key]) for key in ("ks", "psi", "q"))
        rows.append(f"| {cell(c['name'])} | {c['kind']} | {figures} | {c['severity']} | {cell(c['action'])} |")
    if len(columns) > len(shown):
        rows.append(f"\n… and {len(columns) - len(shown)} more; the report file has all.")
    return "\n".join(rows)


def _facts(facts: Mapping[str, str]) -> str:
    rows = [f"| {name} | {cell(value)} |" for name, value in facts.items() if value]
    return "\n".join(["| | |", "| --- | --- |", *rows]) if rows else ""


def _provenance(report: GateReport) -> str:
    policy = "{name} revision {revision} ({source})".format(**report.policy) if report.policy.get("digest") else ""
    about = [
        ("policy", policy),
        ("policy digest", report.policy.get("digest", "")),
        ("model digest", report.model.get("digest", "")),
        ("champion digest", (report.champion or {}).get("digest", "")),
        ("data digest", report.data.get("digest", "")),
        ("self-reported evidence", ", ".join(item.name for item in report.evidence if item.self_reported)),
    ]  # fmt: skip
    rows = [f"| {name} | {cell(value)} |" for name, value in about if value]
    if not rows:
        return ""
    return "\n".join(
        ["<details><summary>What this is bound to</summary>", "", "| | |", "| --- | --- |", *rows, "", "</details>"]
    )
