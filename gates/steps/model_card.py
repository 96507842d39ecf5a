"""The model card of a version, or of the champion: what lineage knows and what card.yml says, as Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gates.inputs import option
from gates.lineage.card import Card, read_card, render_card
from gates.steps import records
from gates.steps.lineage_show import version_of
from gates.steps.step import Common, CommonOutputs, Context, Ended

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Inputs(Common):
    version: str = option("The registered version. Default: the champion.")
    card: Path | None = option(
        "What people say of the model. Default: card.yml beside the project file, where there is one.", kind="path"
    )
    strict_card: bool = option("Refuse when the card would say NOT PROVIDED anywhere.", kind="bool", default=False)


@dataclass(kw_only=True)
class Outputs(CommonOutputs):
    """The common ones; the card is on stdout."""


def run(inputs: Inputs, context: Context, out: Outputs) -> Ended:  # noqa: ARG001  # a query's answer is its text
    lineage = records.fetched_lineage(context, version_of(inputs.version, context)).composite()
    return Ended(text=render_card(lineage, card_of(inputs.card, context), strict=inputs.strict_card).rstrip("\n"))


def card_of(given: Path | None, context: Context) -> Card:
    """What people say of the model; nothing where they say nothing."""
    file = given or context.project.folder / "card.yml"
    return read_card(file) if given or file.is_file() else Card()
