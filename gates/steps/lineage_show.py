"""What a model was made from, and what was decided about it: lineage.json of a version, or of the champion."""

from __future__ import annotations

from dataclasses import dataclass

from gates.errors import InvalidInput
from gates.inputs import option
from gates.lineage.folder import composite_text
from gates.steps import records
from gates.steps.step import Common, CommonOutputs, Context, Ended


@dataclass(frozen=True, kw_only=True)
class Inputs(Common):
    version: str = option("The registered version. Default: the champion.")


@dataclass(kw_only=True)
class Outputs(CommonOutputs):
    """The common ones; the answer is on stdout."""


def run(inputs: Inputs, context: Context, out: Outputs) -> Ended:  # noqa: ARG001  # a query's answer is its text
    name = context.project.settings.model
    found = context.backend.find(name, version=inputs.version, alias="" if inputs.version else "champion")
    if found is None:
        raise InvalidInput(
            f"{name} has no {'version ' + inputs.version if inputs.version else 'champion'}",
            hint="see `gates model list`",
        )
    return Ended(text=composite_text(records.fetched_lineage(context, found).composite()).rstrip())
