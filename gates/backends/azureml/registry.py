"""Models of a workspace: versions are integers, digests stand in `properties`, search keys in `tags`.

Azure has no alias: one is a tag on the model itself (its container), so that moving it is one write; compare and set is
made one step by a lease. A version is registered from the job's output where these bytes are one, so that Azure links
the two, and its bytes are fetched and compared afterwards: an upload leaves out what `.amlignore` names.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gates.backends import ModelVersion
from gates.backends.azureml.calls import explained
from gates.backends.azureml.client import quiet
from gates.backends.azureml.lease import EndpointLease
from gates.backends.azureml.references import resolved
from gates.errors import Conflict, InvalidInput, Refused, Unavailable
from gates.lineage.digest import model_digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gates.backends.azureml.client import Workspace
    from gates.backends.azureml.storage import Storage

DIGEST = "gates.model_digest"
ALIAS = "gates.alias."
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_MOVING, _REGISTERING = 30.0, 600.0
"""Seconds that a lock lasts when its holder dies: of moving an alias, of uploading and registering a model."""


class Registry:
    """The models of one workspace."""

    def __init__(self, workspace: Workspace, storage: Storage) -> None:
        self._workspace, self._storage = workspace, storage

    def get(self, name: str, version: str) -> ModelVersion | None:
        if not version.isdigit():
            raise InvalidInput(f"model version {version!r} is not a number", hint="write an integer, e.g. 7")
        found = self._workspace.get(f"models/{named(name)}/versions/{version}")
        return None if found is None else self._value(name, found, self.aliases(name))

    def find(self, name: str, alias: str) -> ModelVersion | None:
        version = self.aliases(name).get(alias)
        return None if version is None else self.get(name, version)

    def versions(self, name: str) -> tuple[ModelVersion, ...]:
        """Every version that is a number and not archived, oldest first."""
        aliases = self.aliases(name)
        found = [self._value(name, item, aliases) for item in self._items(name) if not _archived(item)]
        return tuple(sorted(found, key=lambda version: int(version.version)))

    def by_digest(self, name: str, digest: str) -> ModelVersion | None:
        """The newest version with these bytes."""
        matching = [version for version in self.versions(name) if version.digest == digest]
        return matching[-1] if matching else None

    def register(
        self, name: str, model: Path, *, digest: str, job: str, output: str, tags: Mapping[str, str]
    ) -> tuple[ModelVersion, bool]:
        """The version with these bytes, and whether it is new. `job`: whose output `output` they are, '' for none."""
        with self.locked(name, _REGISTERING):
            there = self.by_digest(name, digest)
            if there is not None:
                self.tag(there, {key: value for key, value in tags.items() if key != DIGEST})
                return self.get(name, there.version) or there, False
            taken = [int(item["name"]) for item in self._items(name)]
            version = str(max(taken, default=0) + 1)
            self._create(name, version, f"azureml://jobs/{job}/outputs/{output}" if job else str(model), digest, tags)
        made = self.get(name, version)
        if made is None:
            raise Unavailable(f"{name} version {version} is not there after it was registered", hint="register again")
        self._verify(made)
        return made, True

    def _create(self, name: str, version: str, path: str, digest: str, tags: Mapping[str, str]) -> None:
        kept = {key: value for key, value in tags.items() if value.startswith("sha256:") or key == "gates.code_commit"}
        with quiet(), explained(f"register {name} version {version}"):
            from azure.ai.ml.entities import Model

            self._workspace.ml.models.create_or_update(
                Model(
                    name=name, version=version, path=path, type="mlflow_model", flavors={},
                    tags={**tags, DIGEST: digest}, properties={**kept, DIGEST: digest},
                    description=f"Registered by mlops-gates; {digest}",
                )
            )  # fmt: skip

    def _verify(self, made: ModelVersion) -> None:
        with tempfile.TemporaryDirectory(prefix="gates-") as folder:
            try:
                self.fetch(made, Path(folder) / "model")
            except Refused:
                self.archive(made)
                raise

    def fetch(self, version: ModelVersion, into: Path) -> Path:
        """The bytes that were registered. Refused when they are others."""
        found = self._workspace.get(f"models/{named(version.name)}/versions/{version.version}")
        if found is None:
            raise Unavailable(f"{version.uri} is gone from the workspace", hint="see `gates model list`")
        into.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=into.parent, prefix=f".{into.name}.") as beside:
            uri = resolved(self._workspace, str(found["properties"]["modelUri"]))
            got = self._storage.download(uri, Path(beside) / "model")
            if version.digest and model_digest(got) != version.digest:
                raise Refused(
                    f"the bytes of {version.uri} are not those that were registered ({version.digest})",
                    hint="an .amlignore or .gitignore in the model's folder leaves files out, or somebody changed them",
                )
            if into.exists():
                shutil.rmtree(into)
            got.replace(into)
        return into

    def tag(self, version: ModelVersion, tags: Mapping[str, str]) -> None:
        """Set these tags and leave the others: get, change, put, get."""
        path = f"models/{named(version.name)}/versions/{version.version}"
        found = self._workspace.get(path)
        if found is None:
            raise Unavailable(f"{version.uri} is gone from the workspace", hint="see `gates model list`")
        properties = found["properties"]
        merged = {**(properties.get("tags") or {}), **tags}
        if merged == properties.get("tags"):
            return
        self._workspace.put(path, {"properties": {**_writable(properties), "tags": merged}})

    def archive(self, version: ModelVersion) -> None:
        """Take a version out of lists; its bytes and records stay."""
        path = f"models/{named(version.name)}/versions/{version.version}"
        found = self._workspace.get(path)
        if found is not None and not _archived(found):
            self._workspace.put(path, {"properties": {**_writable(found["properties"]), "isArchived": True}})

    def aliases(self, name: str) -> dict[str, str]:
        found = self._workspace.get(f"models/{named(name)}")
        tags = ((found or {}).get("properties") or {}).get("tags") or {}
        return {key.removeprefix(ALIAS): str(value) for key, value in tags.items() if key.startswith(ALIAS) and value}

    def move_alias(self, name: str, alias: str, *, expected: str | None, new: str | None) -> None:
        """Compare and set. Raises Conflict when `expected` is not current, InvalidInput for a version that is none."""
        if self.aliases(name).get(alias) == new:
            return
        with self.locked(name, _MOVING):
            path = f"models/{named(name)}"
            found = self._workspace.get(path)
            current = self.aliases(name).get(alias)
            if current == new:
                return
            if current != expected:
                raise Conflict(
                    f"alias {alias!r} of {name} points at {current or 'nothing'}, not at {expected or 'nothing'}",
                    hint="somebody else moved it; gate again against the version that serves now",
                )
            if found is None or (new is not None and self.get(name, new) is None):
                raise InvalidInput(f"{name} has no version {new}", hint="see `gates model list`")
            properties = found["properties"]
            tags = {key: value for key, value in (properties.get("tags") or {}).items() if key != ALIAS + alias}
            if new is not None:
                tags[ALIAS + alias] = new
            self._workspace.put(path, {"properties": {**_writable(properties), "tags": tags}})
            now = self.aliases(name).get(alias)
            if now != new:
                raise Conflict(f"alias {alias!r} of {name} points at {now or 'nothing'} after it was set to {new}")

    @contextmanager
    def locked(self, name: str, seconds: float) -> Iterator[None]:
        """One writer at a time among all runners: a lease of its own in the workspace's storage.

        Raises Conflict when another has it for longer than a dead one could.
        """
        lease, owner = EndpointLease(self._storage, f"models/{named(name)}"), f"registry-{uuid.uuid4()}"
        until = time.monotonic() + seconds + 10
        while True:
            try:
                held = lease.acquire(owner, seconds=seconds, now=time.time())
                break
            except Conflict:
                if time.monotonic() > until:
                    raise
            time.sleep(0.5)
        try:
            yield
        finally:
            lease.release(held)

    def _items(self, name: str) -> list[dict[str, Any]]:
        """Every version, archived ones too; those whose version is no number are not ours to count."""
        listed = self._workspace.each(f"models/{named(name)}/versions?listViewType=All")
        return [item for item in listed if str(item["name"]).isdigit()]

    def _value(self, name: str, item: Mapping[str, Any], aliases: Mapping[str, str]) -> ModelVersion:
        properties, version = item["properties"], str(item["name"])
        return ModelVersion(
            name=name,
            version=version,
            digest=str((properties.get("properties") or {}).get(DIGEST, "")),
            uri=f"azureml:{name}:{version}",
            run_id=str(properties.get("jobName") or ""),
            aliases=tuple(sorted(alias for alias, at in aliases.items() if at == version)),
            tags={str(key): str(value) for key, value in (properties.get("tags") or {}).items()},
            archived=_archived(item),
        )


def named(name: str) -> str:
    """A model's name that Azure takes, checked before the first call."""
    if _NAME.fullmatch(name) is None:
        raise InvalidInput(
            f"model name {name!r} is not usable",
            hint="letters, digits, '.', '_' and '-', at most 255, in the key model",
        )
    return name


def _archived(item: Mapping[str, Any]) -> bool:
    return bool(item["properties"].get("isArchived"))


_READ_ONLY = ("provisioningState", "latestVersion", "nextVersion")


def _writable(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in properties.items() if key not in _READ_ONLY and value is not None}
