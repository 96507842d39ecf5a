"""Reports as one page for people: self-contained, without script or network, for screen, phone and paper.

`gates report html` takes a report.json, or a folder below which reports stand (default: the reports of this project).
The page shows each check's interval against its limit, curves of candidate and champion, slices and groups, drifted
columns, the rollout, the lineage and the model card, as far as the evidence beside the reports tells of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gates.errors import InvalidInput
from gates.files import write_whole
from gates.inputs import option
from gates.steps import pages
from gates.steps.step import Common, CommonOutputs, Context, Ended, shown_path

if TYPE_CHECKING:
    from pathlib import Path

SUMMARY = "Reports as one self-contained page for people."


@dataclass(frozen=True, kw_only=True)
class Inputs(Common):
    report: Path | None = option(
        "A report.json, or a folder below which reports stand. Default: STATE-DIR/reports.", kind="path"
    )
    out: Path | None = option("The page. Default: report.html beside the report, or in the folder.", kind="path")
    card: Path | None = option(
        "What people say of the model. Default: card.yml beside the project file, where there is one.", kind="path"
    )


@dataclass(kw_only=True)
class Outputs(CommonOutputs):
    """The common ones; the answer, on stdout, is the page's path."""


def run(inputs: Inputs, context: Context, out: Outputs) -> Ended:
    where = inputs.report or context.state_dir / "reports"
    reports = sorted(where.rglob("report.json")) if where.is_dir() else [where]
    if not reports:
        raise InvalidInput(f"no report.json below {where}", hint="run a step first, or name another folder")
    target = inputs.out or (where if where.is_dir() else where.parent) / pages.PAGE
    write_whole(target, pages.text(context, reports, card=inputs.card))
    out.report_path = str(target)
    return Ended(text=shown_path(target, context.cwd))
