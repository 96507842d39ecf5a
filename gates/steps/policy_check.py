"""Parse and lint a policy: exit 0 when every key, check and date holds, else one line with file and line.

With `--prove` each check is also fed evidence that must be refused (no evidence, NaN, three lucky rows, a model that is
always wrong, …), and the answer says what the policy as written would let through; any of that is exit 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gates.inputs import option
from gates.steps import judged
from gates.steps.step import Common, CommonOutputs, Context, Ended, shown_path

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from gates.policy import Policy
    from gates.prove import Proof


@dataclass(frozen=True, kw_only=True)
class Inputs(Common):
    policy: Path | None = option("The policy file.", kind="path", config="policy")
    prove: bool = option(
        "Feed each check evidence that must be refused, and say what the policy would let through.",
        kind="bool",
        default=False,
    )


@dataclass(kw_only=True)
class Outputs(CommonOutputs):
    """The common ones; the answer is on stdout."""


def run(inputs: Inputs, context: Context, out: Outputs) -> Ended:  # noqa: ARG001  # a query's answer is its text
    policy, _ = judged.load_policy(context, inputs.policy)
    counts = ", ".join(f"{name} {len(stage.checks)}" for name, stage in policy.stages.items())
    sound = f"{policy.settings.name} revision {policy.settings.revision} is sound ({counts}); {policy.digest}"
    if not inputs.prove:
        return Ended(text=sound)
    from gates.prove import prove  # numpy: `gates policy check` alone does without

    proofs = prove(policy, context.now().date())
    text = "\n".join([sound, "", *_lines(policy, proofs)])
    open_to = [proof for proof in proofs if proof.holes and not proof.advisory]
    if not open_to:
        return Ended(text=text)
    named = ", ".join(proof.check or f"stage {proof.stage}" for proof in open_to)
    message = f"the policy lets through what must be refused: {named}"
    context.platform.annotate("error", message, file=shown_path(policy.file, context.cwd), line=open_to[0].line)
    return Ended("refused", 1, message, text)


def _lines(policy: Policy, proofs: Iterable[Proof]) -> Iterable[str]:
    stage = ""
    for proof in proofs:
        if proof.stage != stage:
            stage = proof.stage
            yield f"{stage}:"
        who = proof.check or "all checks of predictions together"
        if proof.advisory:
            refuses = proof.tried - len(proof.holes)
            yield f"  {who}: advisory, so it refuses nothing; blocking, it would refuse {refuses} of {proof.tried}"
        elif not proof.holes:
            yield f"  {who}: refuses all {proof.tried}"
        else:
            yield f"  {who}: LETS THROUGH {len(proof.holes)} of {proof.tried} (line {proof.line})"
            yield from (f"    {hole.what}. {hole.reason}" for hole in proof.holes)
    alone = [f"{waiver.check} until {waiver.expires}" for waiver in policy.settings.waivers]
    if alone:
        yield f"waived, and so let through where it fails: {', '.join(alone)}"
