"""Take a gated version from one workspace to another, through the Azure ML registry that they share.

With --version: out of this workspace into the registry. With --source: out of the registry into this workspace, under
the next version of its own. Bytes, lineage and tags go along, on either way only where a gate allowed these very bytes,
and what arrives is compared with what was sent. To deploy it there, gate it there: under that workspace's policy,
against its champion.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gates.errors import InvalidInput, Refused
from gates.inputs import option, output
from gates.lineage.audit import Event
from gates.lineage.folder import STATEMENTS
from gates.lineage.verify import verify_for_promotion
from gates.steps import judged, records, sharing
from gates.steps.lineage_show import version_of
from gates.steps.step import Common, CommonOutputs, Context, Ended

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gates.lineage.folder import LineageFolder

FROM = "gates.promoted_from"


@dataclass(frozen=True, kw_only=True)
class Inputs(Common):
    version: str = option("The registered version that goes into the registry.")
    source: str = option("What comes out of it: azureml://registries/REGISTRY/models/NAME/versions/VERSION.")
    registry: str = option("The registry, with --version.", config="workspace.registry")
    alias: str = option("With --source, the alias that names the new version here.", default="candidate")


@dataclass(kw_only=True)
class Outputs(CommonOutputs):
    model_version: str = output("With --source: the version here, an integer.")
    model_uri: str = output("Where it stands now: in the registry, or here.")


def run(inputs: Inputs, context: Context, out: Outputs) -> Ended:
    if inputs.backend != "azureml":
        raise InvalidInput("the local backend shares no registry", hint="write backend: azureml")
    if bool(inputs.version) == bool(inputs.source):
        raise InvalidInput("promote out of here or into here", hint="give either --version 7 or --source azureml://…")
    return _share(inputs, context, out) if inputs.version else _adopt(inputs, context, out)


def _share(inputs: Inputs, context: Context, out: Outputs) -> Ended:
    backend: Any = context.backend
    version = version_of(inputs.version, context)
    lineage = records.fetched_lineage(context, version)
    with tempfile.TemporaryDirectory(prefix="gates-") as folder:
        model = backend.fetch(version, Path(folder) / "model")
        _require(context, model, lineage, version.tags)
    uri, new = backend.share(version, lineage.path, inputs.registry)
    out.model_version, out.model_uri = version.version, uri
    if new:
        _note(context, version.digest, version.version, uri)
    return Ended(message=f"{version.uri} {'stands now' if new else 'stood before'} as {uri} ({version.digest})")


def _adopt(inputs: Inputs, context: Context, out: Outputs) -> Ended:
    backend: Any = context.backend
    name = context.project.settings.model
    context.state_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=context.state_dir) as folder:
        shared = backend.shared_version(inputs.source, Path(folder) / "shared")
        lineage = records.lineage_of(context, shared.digest)
        _take(shared.lineage, lineage)
        _require(context, shared.model, lineage, shared.tags)
        tags = {**shared.tags, FROM: shared.uri}
        version, new = backend.register(
            name, shared.model, digest=shared.digest, run_id="", tags=tags, lineage=lineage.path
        )
    if inputs.alias:
        current = backend.find(name, alias=inputs.alias)
        backend.move_alias(name, inputs.alias, expected=current.version if current else None, new=version.version)
    out.model_version, out.model_uri = version.version, version.uri
    if new:
        _note(context, shared.digest, version.version, shared.uri)
    was = "registered" if new else "registered before"
    return Ended(message=f"{shared.uri} is {was} as {version.uri} ({shared.digest}); gate it here before it serves")


def _take(came: Path, ours: LineageFolder) -> None:
    """The lineage that came, unless this machine's own goes on from it."""
    have = (ours.path / STATEMENTS).read_bytes() if (ours.path / STATEMENTS).is_file() else b""
    said = (came / STATEMENTS).read_bytes() if (came / STATEMENTS).is_file() else b""
    if have.startswith(said) and have:
        return
    if not said.startswith(have):
        raise Refused("the lineage that came says otherwise than the one here", file=ours.path / STATEMENTS,
                      hint="`gates lineage show` tells both; remove the one that is wrong")  # fmt: skip
    sharing.take(came, ours)


def _require(context: Context, model: Path, lineage: LineageFolder, tags: Mapping[str, str]) -> None:
    """A gate allowed these bytes, every record of that is whole, and signed where the policy asks for signatures."""
    policy, _ = judged.load_policy(context, context.project.get("policy"))
    behind = sharing.log_behind(context, lineage)
    verify_for_promotion(model, lineage, tags=tags, trusted=records.trusted(policy), audit=behind).require()


def _note(context: Context, digest: str, version: str, uri: str) -> None:
    records.note(
        context,
        Event(
            kind="registered", at=records.now(context), model_name=context.project.settings.model, model=digest,
            version=version, reason=f"promoted: {uri}", actor=context.platform.run().get("actor", ""),
        ),
    )  # fmt: skip
