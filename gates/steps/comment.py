"""Put a report on the pull request: one comment for each model and step, updated in place.

On GitHub it needs `permissions: pull-requests: write`, on Azure DevOps the build service's right to contribute to pull
requests. A run that is for no pull request says so and does nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gates.errors import InvalidInput
from gates.inputs import option, output
from gates.platforms import pull_request
from gates.steps import state
from gates.steps.step import Common, CommonOutputs, Context, Ended

if TYPE_CHECKING:
    from collections.abc import Mapping

SUMMARY = "Put a report on the pull request, in one comment that is updated in place."
TOKEN = "GATES_TOKEN"  # noqa: S105  # the name of a variable, not a secret


@dataclass(frozen=True, kw_only=True)
class Inputs(Common):
    report: Path | None = option("The report.json to show. Default: that of the last `validate-gate`.", kind="path")


@dataclass(kw_only=True)
class Outputs(CommonOutputs):
    commented: str = output("created or updated; empty when the run is for no pull request.")
    comment_url: str = output("Where the comment can be read.")


def run(inputs: Inputs, context: Context, out: Outputs) -> Ended:
    """Find the pull request, put the comment."""
    token = context.env.get(TOKEN, "")
    given = _read(inputs.report) if inputs.report else None
    target = pull_request.find(context.platform.name, context.env, token)
    if target is None:
        return Ended(message="this run is for no pull request: nothing to comment on")
    if not token:
        raise InvalidInput(f"{TOKEN} is not set", hint="use the action, the task or the template, which give the token")
    path = inputs.report or _last(context)
    result, markdown = given or _read(path)
    out.report_path = str(path)
    if target.foreign:
        context.platform.annotate("warning", f"{target.name} comes from a fork, whose run may not comment on it")
        return Ended(message="no comment: the pull request comes from a fork")
    key = f"{context.project.settings.model} {result.get('step', '')} {result.get('stage', '')}".strip()
    put = target.put(key, markdown, result.get("decision") == "allow")
    out.commented, out.comment_url = put.how, put.url
    return Ended(message=f"comment {put.how}: {put.url}")


def _last(context: Context) -> Path:
    last = state.recall(context, "validate-gate").get("report", "")
    return Path(context.need(last, "report"))


def _read(path: Path) -> tuple[Mapping[str, Any], str]:
    """The report's result, and its summary as markdown, which stands beside it."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        summary = path.with_name("summary.md").read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot read the report: {error}", file=path, hint="run validate-gate first") from error
    result = report.get("result") if isinstance(report, dict) else None
    if not isinstance(result, dict):
        raise InvalidInput("is no report.v1", file=path, hint="name the report.json of a step")
    return result, summary
