"""Parse and lint a policy: exit 0 when every key, check and date holds, else one line with file and line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gates.inputs import option
from gates.steps import judged
from gates.steps.step import Common, CommonOutputs, Context, Ended

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Inputs(Common):
    policy: Path | None = option("The policy file.", kind="path", config="policy")


@dataclass(kw_only=True)
class Outputs(CommonOutputs):
    """The common ones; the answer is on stdout."""


def run(inputs: Inputs, context: Context, out: Outputs) -> Ended:  # noqa: ARG001  # a query's answer is its text
    policy, _ = judged.load_policy(context, inputs.policy)
    counts = ", ".join(f"{name} {len(stage.checks)}" for name, stage in policy.stages.items())
    return Ended(
        text=f"{policy.settings.name} revision {policy.settings.revision} is sound ({counts}); {policy.digest}"
    )
