"""A report as a page: what stands beside report.json, and what the lineage folder knows of its model.

Every step writes `report.html` beside its report. A page decides nothing: what goes wrong with it is a warning.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gates.collect import pictures
from gates.document import load_json
from gates.errors import GatesError, InvalidInput
from gates.files import write_whole
from gates.lineage.card import render_card
from gates.reports.html import page
from gates.reports.html.values import Chapter
from gates.reports.json import SCHEMA
from gates.rollout.timeline import timeline
from gates.steps import records
from gates.steps.model_card import card_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from gates.lineage.record import Lineage
    from gates.rollout.journal import Store
    from gates.rollout.port import Endpoint
    from gates.steps.step import Context

PAGE, ROLLOUT = "report.html", "rollout.json"
MOST_ROWS = 500_000
"""Predictions whose curves a step draws by itself."""


def write_beside(context: Context, report: Path) -> None:
    """`report.html` beside a report.json that was just written; a warning where it cannot be."""
    try:
        write_whole(report.parent / PAGE, text(context, [report], most_rows=MOST_ROWS))
    except Exception as error:  # noqa: BLE001  # what was decided stands; a page must not change how a step ends
        context.platform.annotate("warning", f"no report.html: {type(error).__name__}: {error}")


def text(context: Context, reports: Sequence[Path], *, card: Path | None = None, most_rows: int | None = None) -> str:
    """The page of reports, oldest first. Raises InvalidInput for what is no report."""
    found = sorted(((_report(path), path) for path in reports), key=lambda item: str(item[0]["run"]["started"]))
    last = {parsed["result"]["model"].get("digest", ""): i for i, (parsed, _) in enumerate(found)}
    lineages = {i: lineage for digest, i in last.items() if (lineage := _lineage(context, digest)) is not None}
    chapters = [
        Chapter(
            report=parsed,
            pictures=pictures.draw(parsed, path.parent, most_rows=most_rows),
            rollout=_rollout(path.parent),
            lineage=_plain(lineages[i]) if i in lineages else None,
            card=render_card(lineages[i], card_of(card, context)) if i == max(lineages, default=-1) else "",
        )
        for i, (parsed, path) in enumerate(found)
    ]
    return page.render(context.project.settings.model, chapters)


def write_rollout(context: Context, endpoint: Endpoint, journal: Store) -> dict[str, Any] | None:
    """`rollout.json` beside the report: what the rollout did over time. None, and a warning, where it cannot be had."""
    try:
        found = timeline(journal.read(), endpoint.requests_since(0)[0])
        if found is not None:
            write_whole(context.report_dir / ROLLOUT, json.dumps(found, indent=1) + "\n")
    except GatesError as error:
        context.platform.annotate("warning", f"no timeline of the rollout: {error}")
        return None
    return found


def _report(path: Path) -> Mapping[str, Any]:
    parsed: Any = load_json(path, "the report")
    if not isinstance(parsed, dict) or parsed.get("schema") != SCHEMA or not {"result", "run"} <= parsed.keys():
        raise InvalidInput(f"not a report of {SCHEMA}", file=path, hint="name a report.json, or a folder of reports")
    return parsed


def _rollout(folder: Path) -> Mapping[str, Any] | None:
    path = folder / ROLLOUT
    found: Any = load_json(path, "the rollout") if path.is_file() else None
    return found if isinstance(found, dict) else None


def _lineage(context: Context, digest: str) -> Lineage | None:
    """What this machine knows of a model; a page asks no registry."""
    if not digest:
        return None
    folder = records.lineage_of(context, digest)
    try:
        return folder.composite() if folder.path.is_dir() else None
    except GatesError as error:
        context.platform.annotate("warning", f"the page has no lineage: {error}")
        return None


def _plain(lineage: Lineage) -> Mapping[str, Any]:
    import msgspec

    found: Mapping[str, Any] = msgspec.to_builtins(lineage)
    return found
