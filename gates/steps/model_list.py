"""The registered versions of the model, newest first, with digests and aliases."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from gates.inputs import option
from gates.steps.step import Common, CommonOutputs, Context, Ended


@dataclass(frozen=True, kw_only=True)
class Inputs(Common):
    name: str = option("The registered model's name.", config="model")


@dataclass(kw_only=True)
class Outputs(CommonOutputs):
    """The common ones; the answer is on stdout."""


def run(inputs: Inputs, context: Context, out: Outputs) -> Ended:  # noqa: ARG001  # a query's answer is its text
    found = context.backend.versions(inputs.name)
    rows: list[dict[str, Any]] = [
        {
            "version": v.version,
            "digest": v.digest,
            "aliases": list(v.aliases),
            "decision": v.tags.get("gates.decision", ""),
        }
        for v in sorted(found, key=lambda version: -int(version.version))
    ]
    if inputs.json:
        return Ended(text=json.dumps(rows))
    if not rows:
        return Ended(text=f"{inputs.name} has no versions")
    lines = [f"{'version':<9}{'aliases':<22}{'decision':<10}digest"]
    lines += [f"{r['version']:<9}{','.join(r['aliases']):<22}{r['decision']:<10}{r['digest']}" for r in rows]
    return Ended(text="\n".join(lines))
