"""Look at what the backend needs: how we sign in, as whom, which right is missing; what is installed, what answers.

Exit 0 when nothing is missing, 4 when something is. No token, key or secret is shown.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gates.steps.step import Common, CommonOutputs, Context, Ended

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gates.backends.examined import Finding

_MARK = {True: "ok", False: "MISSING", None: "-"}


@dataclass(frozen=True, kw_only=True)
class Inputs(Common):
    """The common ones."""


@dataclass(kw_only=True)
class Outputs(CommonOutputs):
    """The common ones; the answer is on stdout."""


def run(inputs: Inputs, context: Context, out: Outputs) -> Ended:  # noqa: ARG001  # a query's answer is its text
    findings = list(_examine(inputs, context))
    bad = [found for found in findings if found.ok is False]
    text = json.dumps([dataclasses.asdict(found) for found in findings]) if inputs.json else _table(findings)
    if bad:
        return Ended("error", 4, f"missing for backend {inputs.backend}: {', '.join(f.what for f in bad)}", text)
    return Ended(message=f"backend {inputs.backend} has what it needs", text=text)


def _examine(inputs: Inputs, context: Context) -> Iterator[Finding]:
    if inputs.backend == "azureml":
        from gates.backends.azureml import examine as workspace

        return workspace.examine(context.project.settings.workspace, context.env, inputs.credential)
    from gates.backends.local import examine as machine

    uri = context.project.get("tracking_uri") or f"sqlite:///{context.state_dir / 'mlflow.db'}"
    return machine.examine(context.state_dir, uri, context.env, context.python)


def _table(findings: list[Finding]) -> str:
    width = max(len(found.what) for found in findings)
    lines = []
    for found in findings:
        hint = f"; {found.hint}" if found.hint else ""
        lines.append(f"{_MARK[found.ok]:<8}{found.what:<{width}}  {found.said}{hint}")
    return "\n".join(lines)
