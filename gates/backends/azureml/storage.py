"""The workspace's own blob storage: where the journal, the leases and the lineage live, since a runner's disk vanishes.

Everything of ours stands below `mlops-gates/` in the default datastore's container. The key or signature comes from the
datastore and stays in memory; one that has run out is fetched again, once.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, TypeVar

from gates.backends.azureml.calls import explained, is_absent, status_of
from gates.backends.azureml.client import busy_wait, quiet
from gates.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gates.backends.azureml.client import Workspace

T = TypeVar("T")
ROOT = "mlops-gates"
_DATASTORE = re.compile(r"^azureml://(?:.*/)?datastores/([^/]+)/paths/(.*)$")
_LIMIT = 100_000
"""More files than any model has: a prefix that is none of ours is not downloaded."""


class Absent(Unavailable):
    """There is nothing where something was asked for."""


class Storage:
    """Blobs by path below the container. Errors are Unavailable, one line each; who races says so himself."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._containers: dict[str, Any] = {}
        self._default = ""

    def container(self, datastore: str = "") -> Any:
        """A container client; '' is the workspace's default datastore."""
        if datastore not in self._containers:
            self._containers[datastore] = self._open(datastore)
        return self._containers[datastore]

    def _open(self, datastore: str) -> Any:
        shown = f"datastore {datastore or '(default)'}"
        with quiet(), explained(shown):
            from azure.storage.blob import ContainerClient, ExponentialRetry

            stores = self._workspace.ml.datastores
            found = (
                stores.get(datastore, include_secrets=True) if datastore else stores.get_default(include_secrets=True)
            )
            container = getattr(found, "container_name", None)
            if not container:
                raise InvalidInput(f"{shown} is not a blob container", hint="name one of type azure_blob")
            secrets = found.credentials
            secret = getattr(secrets, "account_key", None) or getattr(secrets, "sas_token", None)
            return ContainerClient(
                f"https://{found.account_name}.blob.{found.endpoint or 'core.windows.net'}", str(container),
                credential=secret or self._workspace.credential, retry_policy=ExponentialRetry(1, 2, retry_total=4),
                connection_timeout=30, read_timeout=60,
            )  # fmt: skip

    @property
    def default(self) -> str:
        """The name of the workspace's default datastore, where everything of ours is."""
        if not self._default:
            with quiet(), explained("the default datastore"):
                self._default = str(self._workspace.ml.datastores.get_default().name)
        return self._default

    def call(self, what: str, do: Callable[[Any], T], *, datastore: str = "") -> T:
        """`do(container)`; again with fresh secrets where those at hand have run out, and where Azure is busy."""
        with quiet(), explained(what, changes=False):
            return self._ask(do, datastore, attempt=0, fresh=False)

    def _ask(self, do: Callable[[Any], T], datastore: str, *, attempt: int, fresh: bool) -> T:
        try:
            return do(self.container(datastore))
        except Exception as error:
            wait = busy_wait(error, attempt)
            stale = wait is None and not fresh and status_of(error) in (401, 403)
            if wait is None and not stale:
                raise
        if stale:
            self._containers.pop(datastore, None)
        time.sleep(wait or 0.0)
        return self._ask(do, datastore, attempt=attempt + 1, fresh=fresh or stale)

    def read(self, path: str) -> bytes | None:
        """The bytes of a blob; None when it is not there."""
        return self.call(f"blob {path}", lambda c: _read(c.get_blob_client(path)))

    def write(self, path: str, data: bytes) -> None:
        """Replace a blob, whole."""
        self.call(f"blob {path}", lambda c: c.get_blob_client(path).upload_blob(data, overwrite=True))

    def add(self, path: str, data: bytes) -> None:
        """Write a blob that is never replaced: one of that name stays as it is."""

        def upload(container: Any) -> None:
            try:
                container.get_blob_client(path).upload_blob(data, overwrite=False)
            except Exception as error:
                if status_of(error) != 409:
                    raise

        self.call(f"blob {path}", upload)

    def below(self, prefix: str) -> list[str]:
        """Names below a prefix, without it."""
        return [
            name.removeprefix(f"{prefix}/") for name in self.call(f"blobs of {prefix}", lambda c: _names(c, prefix))
        ]

    def download(self, uri: str, into: Path) -> Path:
        """The blobs below an `azureml://…/datastores/NAME/paths/PATH`, as a folder (or the file that it is)."""
        match = _DATASTORE.match(uri)
        if match is None:
            raise InvalidInput(f"{uri} is not a path in a datastore", hint="write azureml://datastores/NAME/paths/PATH")
        datastore, prefix = match.group(1), match.group(2).strip("/")
        names = self.call(f"{uri}", lambda c: _names(c, prefix), datastore=datastore)
        if not names:
            raise Absent(f"there is nothing at {uri}", hint="it was deleted, or the job wrote nothing")
        for name in names:
            inside = name.removeprefix(prefix).strip("/")
            target = into / inside if inside else into / prefix.rpartition("/")[2]
            if not target.resolve().is_relative_to(into.resolve()):
                raise InvalidInput(f"blob {name} would leave its folder", hint="look at who wrote it")
            target.parent.mkdir(parents=True, exist_ok=True)
            data = self.call(f"blob {name}", lambda c, n=name: _read(c.get_blob_client(n)), datastore=datastore)  # type: ignore[misc]  # mypy cannot see a lambda's default
            target.write_bytes(data or b"")
        return into if names != [prefix] else into / prefix.rpartition("/")[2]


def _names(container: Any, prefix: str) -> list[str]:
    """Names of the blobs at or below a prefix; markers of folders are left out."""
    found = []
    for blob in container.list_blobs(name_starts_with=prefix, include=["metadata"]):
        below = blob.name == prefix or blob.name.startswith(f"{prefix}/") or not prefix
        if below and (blob.metadata or {}).get("hdi_isfolder", "").lower() != "true":
            found.append(str(blob.name))
        if len(found) > _LIMIT:
            raise InvalidInput(f"more than {_LIMIT} files below {prefix}", hint="name a folder of its own")
    return found


def _read(blob: Any) -> bytes | None:
    try:
        return bytes(blob.download_blob().readall())
    except Exception as error:
        if is_absent(error):
            return None
        raise
