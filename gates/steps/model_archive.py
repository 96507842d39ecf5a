"""Take old versions of the model out of the lists, and with --purge their bytes off the disk.

Never archived are the newest `--keep`, every version that an alias names, and every one whose bytes stand behind a
deployment of the endpoint: what serves, and what a rollback would bring back. Lineage and audit log stay whole. An
archived version is not deployed; register its bytes again to bring them back.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gates.errors import InvalidInput
from gates.inputs import option
from gates.lineage.audit import Event
from gates.steps import records
from gates.steps.endpoint_status import endpoint_name, endpoint_of
from gates.steps.step import Common, CommonOutputs, Context, Ended

if TYPE_CHECKING:
    from gates.backends import ModelVersion


@dataclass(frozen=True, kw_only=True)
class Inputs(Common):
    name: str = option("The registered model's name.", config="model")
    keep: float = option("How many of the newest versions stay.", kind="number", default=10)
    purge: bool = option("Delete the bytes too, where the registry is on this machine.", kind="bool", default=False)
    dry_run: bool = option("Say what would be archived, and do nothing.", kind="bool", default=False)


@dataclass(kw_only=True)
class Outputs(CommonOutputs):
    """The common ones; the answer is on stdout."""


def run(inputs: Inputs, context: Context, out: Outputs) -> Ended:  # noqa: ARG001  # a command's answer is its text
    """Choose, archive, note each in the audit log."""
    if inputs.keep < 1 or inputs.keep != int(inputs.keep):
        raise InvalidInput(f"--keep: {inputs.keep:g} is no number of versions", hint="write 1 or more")
    found = sorted(context.backend.versions(inputs.name), key=lambda version: -int(version.version))
    serving = _serving(context)
    old = [one for one in found[int(inputs.keep) :] if not one.aliases and one.digest not in serving]
    for version in () if inputs.dry_run else reversed(old):
        context.backend.archive(version, purge=inputs.purge)
        records.note(context, Event(
            kind="archived", at=records.now(context), model_name=version.name, model=version.digest,
            version=version.version, reason="purged" if inputs.purge else "",
            actor=context.platform.run().get("actor", ""),
        ))  # fmt: skip
    return Ended(text=_answer(inputs, old))


def _serving(context: Context) -> set[str]:
    """The models behind the deployments of the endpoint that mlops.yml names; a retired blue is among them."""
    if context.project.get("deploy.endpoint") is None:
        return set()
    endpoint = endpoint_of(context, endpoint_name("", context))
    return {view.model_digest for view in endpoint.observe().deployments.values()}


def _answer(inputs: Inputs, old: list[ModelVersion]) -> str:
    rows: list[dict[str, Any]] = [{"version": one.version, "digest": one.digest} for one in old]
    if inputs.json:
        return json.dumps(rows)
    if not rows:
        return f"no version of {inputs.name} is old enough to archive"
    done = "would be archived" if inputs.dry_run else "purged" if inputs.purge else "archived"
    return "\n".join(f"{inputs.name} version {row['version']} {done} ({row['digest']})" for row in rows)
