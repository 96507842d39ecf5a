"""Say in plain words what each check of a policy will require."""

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
    lines = [f"{policy.settings.name}, revision {policy.settings.revision}"]
    for stage in policy.stages.values():
        lines += ["", f"{stage.name}:"]
        for bound in stage.checks:
            advisory = " (advisory)" if bound.severity == "warn" else ""
            lines.append(f"  {bound.check.id}{advisory}: {bound.check.explain()}")
    return Ended(text="\n".join(lines))
