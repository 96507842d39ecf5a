"""An Azure ML registry, through which workspaces share models: a version goes up from one and comes down into another.

Beside each version `NAME` stands `NAME.lineage` of the same number, our own: an archive of the lineage and a record of
the digest and the tags, made first, so that a version that can be seen has them. Versions are integers, one more than
the largest there. After a copy the bytes are fetched and compared, whichever way it went: others are refused.
"""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gates.backends.azureml.archives import pack, unpack
from gates.backends.azureml.calls import explained, is_absent
from gates.backends.azureml.client import quiet
from gates.errors import InvalidInput, Refused, Unavailable
from gates.files import write_whole
from gates.lineage.digest import model_digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gates.backends import ModelVersion
    from gates.backends.azureml.client import Workspace

DIGEST = "gates.model_digest"
RECORD = "gates-version.json"
_URI = re.compile(r"azureml://registries/([^/]+)/models/([^/]+)/versions/(\d+)")


@dataclass(frozen=True)
class Shared:
    """A version of a registry, fetched. `uri`: as every workspace may name it."""

    uri: str
    digest: str
    tags: Mapping[str, str]
    model: Path
    lineage: Path


def named(uri: str) -> tuple[str, str, str]:
    """Registry, model and version of a URI."""
    match = _URI.fullmatch(uri)
    if match is None:
        raise InvalidInput(
            f"{uri} names no version of a registry", hint="write azureml://registries/REGISTRY/models/NAME/versions/7"
        )
    return match.group(1), match.group(2), match.group(3)


class SharedRegistry:
    """One registry, as seen from one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        if not workspace.registry:
            raise InvalidInput("nothing says which registry", hint="add the key workspace.registry, or give --registry")
        self._workspace = workspace

    def share(self, version: ModelVersion, lineage: Path) -> tuple[str, bool]:
        """The URI of these bytes in the registry, and whether they are new there. lineage: the folder that goes along.

        Refused when the bytes that arrived are others.
        """
        models, beside = self._versions(version.name), self._versions(f"{version.name}.lineage")
        known = [number for number, digest in beside.items() if digest == version.digest]
        there = next((number for number in known if number in models), None)
        if there is None:
            number = known[-1] if known else max([*models, *beside], default=0) + 1
            if not known:
                self._send_lineage(version, lineage, number)
            self._send(version, number)
        else:
            number = there
        with tempfile.TemporaryDirectory(prefix="gates-") as folder:
            self._fetch(version.name, number, version.digest, Path(folder))
        return self._uri(version.name, number), there is None

    def fetch(self, name: str, version: str, into: Path) -> Shared:
        """The version with its lineage. Refused when the bytes are not those of the record beside it."""
        number, what = int(version), f"{name} version {version} of registry {self._workspace.registry}"
        packed = self._download(f"{name}.lineage", number, into / "archive")
        archive = next(iter(sorted(packed.rglob("*.zip"))), None)
        if archive is None:
            raise Unavailable(f"{what} has no lineage beside it", hint="share it with `gates model promote`")
        lineage = unpack(archive.read_bytes(), into / "lineage", what)
        try:
            record = json.loads((lineage / RECORD).read_text(encoding="utf-8"))
            digest, tags = str(record["digest"]), {str(key): str(value) for key, value in record["tags"].items()}
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise Unavailable(
                f"the lineage of {what} says not what it is of: {error!r}", hint="share it again"
            ) from error
        (lineage / RECORD).unlink()
        model = self._fetch(name, number, digest, into)
        return Shared(self._uri(name, number), digest, tags, model, lineage)

    def _uri(self, name: str, number: int) -> str:
        return f"azureml://registries/{self._workspace.registry}/models/{name}/versions/{number}"

    def _versions(self, name: str) -> dict[int, str]:
        """The digest that each version is tagged with, by number, oldest first; archived ones too."""
        with quiet(), explained(f"models {name} of registry {self._workspace.registry}", changes=False):
            from azure.ai.ml.constants import ListViewType

            try:
                listed = list(self._workspace.registry_ml.models.list(name, list_view_type=ListViewType.ALL))
            except Exception as error:
                if not is_absent(error):
                    raise
                return {}
        found = {int(one.version): str((one.tags or {}).get(DIGEST, "")) for one in listed if one.version.isdigit()}
        return dict(sorted(found.items()))

    def _send_lineage(self, version: ModelVersion, lineage: Path, number: int) -> None:
        with tempfile.TemporaryDirectory(prefix="gates-") as folder:
            archive = Path(folder) / "lineage.zip"
            archive.write_bytes(_with_record(lineage, version))
            with quiet(), explained(f"share the lineage of {version.uri}"):
                from azure.ai.ml.entities import Model

                self._workspace.registry_ml.models.create_or_update(Model(
                    name=f"{version.name}.lineage", version=str(number), path=str(archive), type="custom_model",
                    tags={DIGEST: version.digest}, description=f"Lineage of {version.name} version {number}",
                ))  # fmt: skip

    def _send(self, version: ModelVersion, number: int) -> None:
        with quiet(), explained(f"share {version.uri}"):
            self._workspace.ml.models.share(
                version.name, version.version, share_with_name=version.name, share_with_version=str(number),
                registry_name=self._workspace.registry,
            )  # fmt: skip

    def _fetch(self, name: str, number: int, digest: str, into: Path) -> Path:
        found = self._download(name, number, into / "model")
        described = sorted(found.rglob("MLmodel"), key=lambda path: (len(path.parts), str(path)))
        model = described[0].parent if described else found
        if model_digest(model) != digest:
            raise Refused(
                f"the bytes of {name} version {number} of registry {self._workspace.registry} are not those that were "
                f"shared ({digest})", hint="somebody changed them; share the version again under a new number",
            )  # fmt: skip
        return model

    def _download(self, name: str, number: int, into: Path) -> Path:
        into.mkdir(parents=True)
        what = f"{name} version {number} of registry {self._workspace.registry}"
        with quiet(), explained(what, changes=False):
            self._workspace.registry_ml.models.download(name, str(number), download_path=str(into))
        return into


def _with_record(lineage: Path, version: ModelVersion) -> bytes:
    with tempfile.TemporaryDirectory(prefix="gates-") as folder:
        copy = Path(folder)
        for path in sorted(path for path in lineage.rglob("*") if path.is_file()):
            write_whole(copy / path.relative_to(lineage), path.read_bytes())
        record: dict[str, Any] = {"digest": version.digest, "uri": version.uri, "tags": dict(version.tags)}
        write_whole(copy / RECORD, json.dumps(record, sort_keys=True))
        return pack(copy)
