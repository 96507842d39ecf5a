"""Say in plain words what each check of a policy will require."""

from __future__ import annotations

from gates.steps import judged
from gates.steps.policy_check import Inputs, Outputs
from gates.steps.step import Context, Ended

__all__ = ["Inputs", "Outputs", "run"]


def run(inputs: Inputs, context: Context, out: Outputs) -> Ended:  # noqa: ARG001  # a query's answer is its text
    policy, _ = judged.load_policy(context, inputs.policy)
    lines = [f"{policy.settings.name}, revision {policy.settings.revision}"]
    for stage in policy.stages.values():
        lines += ["", f"{stage.name}:"]
        for bound in stage.checks:
            advisory = " (advisory)" if bound.severity == "warn" else ""
            lines.append(f"  {bound.check.id}{advisory}: {bound.check.explain()}")
    return Ended(text="\n".join(lines))
