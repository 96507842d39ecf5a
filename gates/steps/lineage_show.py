"""What a model was made from, and what was decided about it: lineage.json of a version, or of the champion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gates.errors import InvalidInput
from gates.inputs import option
from gates.lineage.folder import composite_text
from gates.steps import records
from gates.steps.step import Common, CommonOutputs, Context, Ended

if TYPE_CHECKING:
    from gates.backends import ModelVersion


@dataclass(frozen=True, kw_only=True)
class Inputs(Common):
    version: str = option("The registered version. Default: the champion.")


@dataclass(kw_only=True)
class Outputs(CommonOutputs):
    """The common ones; the answer is on stdout."""


def run(inputs: Inputs, context: Context, out: Outputs) -> Ended:  # noqa: ARG001  # a query's answer is its text
    found = version_of(inputs.version, context)
    return Ended(text=composite_text(records.fetched_lineage(context, found).composite()).rstrip())


def version_of(version: str, context: Context) -> ModelVersion:
    """The registered version, or the champion when none is named."""
    name = context.project.settings.model
    found = context.backend.find(name, version=version, alias="" if version else "champion")
    if found is None:
        raise InvalidInput(
            f"{name} has no {'version ' + version if version else 'champion'}", hint="see `gates model list`"
        )
    return found
