"""One self-contained page of one or more reports: no script, nothing fetched, and a policy in the page that says so.

Equal chapters give equal bytes. What is not ours is escaped by `marks.text`; a Content-Security-Policy without scripts
and without sources stands behind that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gates.reports.html import card, checks, curves, drift, forest, lineage, rollout
from gates.reports.html.marks import text
from gates.reports.html.style import CSS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gates.reports.html.values import Chapter

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def render(name: str, chapters: Sequence[Chapter]) -> str:
    """The page's text. name: of the model or project; chapters: at least one, in the order to show them."""
    last = chapters[-1].report["result"]
    title = f"{name}: {verdict(last)}"
    body = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark"><meta name="generator" content="MLOps Gates">',
        f"<title>{text(title)}</title><style>{CSS}</style></head><body>",
        '<a class="skip" href="#main">Skip to the reports</a>',
        f"<header><h1>{text(title)}</h1></header>",
        '<main id="main">',
        _glance(chapters),
        *(_chapter(chapter, i) for i, chapter in enumerate(chapters)),
        "</main></body></html>",
    ]
    return "\n".join(body) + "\n"


def verdict(result: Mapping[str, Any]) -> str:
    """`FAIL, refused`; a step that judged nothing is `done`."""
    if not result["checks"]:
        return f"{result['step']} done" if result["decision"] == "allow" else f"{result['step']} refused"
    return f"{result['verdict']}, {'allowed' if result['decision'] == 'allow' else 'refused'}"


def _glance(chapters: Sequence[Chapter]) -> str:
    items = []
    for i, chapter in enumerate(chapters):
        result, run = chapter.report["result"], chapter.report["run"]
        shown = checks.badge(result["verdict"]) if result["checks"] else '<span class="muted">not judged</span>'
        count = checks.tally(result["checks"]) or result.get("note", "")
        items.append(
            f'<li><a href="#report-{i}">{text(result["step"])}</a> {shown} <span class="{result["decision"]}">'
            f"{'allowed' if result['decision'] == 'allow' else 'refused'}</span>"
            f'<p class="muted">{text(count)}</p><p class="muted">{_time(run["started"])}</p></li>'
        )
    return f'<nav aria-label="Reports"><ul class="glance">{"".join(items)}</ul></nav>'


def _chapter(chapter: Chapter, i: int) -> str:
    result, run = chapter.report["result"], chapter.report["run"]
    prefix = f"r{i}"
    by = f", by {text(run['actor'])}" if run.get("actor") else ""
    parts = [
        f'<section aria-labelledby="report-{i}">'
        f'<h2 id="report-{i}">{text(result["step"])}: {text(verdict(result))}</h2>',
        f'<p class="muted">{_time(run["started"])} on {text(run["platform"])}{by}</p>',
    ]
    if result.get("note"):
        parts.append(f"<p>{text(result['note'])}</p>")
    if result["checks"]:
        parts.append("<h3>Checks</h3>" + checks.listing(result["checks"], f"{prefix}-check"))
    if "columns" in result:
        parts.append(drift.section(result["columns"], result.get("retrain"), f"{prefix}-drift"))
    if chapter.rollout is not None:
        parts.append(rollout.section(chapter.rollout, f"{prefix}-rollout"))
    drawn = curves.section(chapter.pictures.curves, f"{prefix}-curve")
    if drawn:
        parts.append(f"<h3>Candidate and champion</h3>{drawn}")
    if chapter.pictures.forests:
        plots = [forest.section(f, f"{prefix}-forest-{k}") for k, f in enumerate(chapter.pictures.forests)]
        parts.append(f'<h3>Slices and groups</h3><div class="grid">{"".join(plots)}</div>')
    parts += [f'<p class="muted">{text(note)}</p>' for note in chapter.pictures.notes]
    parts.append(checks.facts(result))
    if chapter.lineage is not None:
        parts.append(lineage.section(chapter.lineage, f"{prefix}-lineage"))
    if chapter.card:
        parts.append(card.section(chapter.card))
    return "".join([*parts, "</section>"])


def _time(started: str) -> str:
    return f'<time datetime="{text(started)}">{text(started.replace("T", " "))}</time>'
