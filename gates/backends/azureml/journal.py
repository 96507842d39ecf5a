"""The journal of an endpoint's rollouts, as an append blob: a runner's disk vanishes, the workspace's storage does not.

The same hash-chained lines as chain.Chain writes to a file. An append names the position that it expects, so of two
writers one is refused; one whose answer was lost finds its own line at the end and knows that it stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gates.backends.azureml.calls import status_of
from gates.backends.azureml.storage import ROOT
from gates.canonical import canonical
from gates.chain import ChainBroken, allowed, linked, scan
from gates.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gates.backends.azureml.storage import Storage


class BlobJournal:
    """Fits rollout.journal.Store. `endpoint`: whose journal it is."""

    def __init__(self, storage: Storage, endpoint: str) -> None:
        self._storage = storage
        self.path = f"{ROOT}/endpoints/{endpoint}/journal.jsonl"

    def read(self) -> list[dict[str, Any]]:
        """Every entry, oldest first, each verified. Raises ChainBroken, Unavailable."""
        entries, errors = scan(self._storage.read(self.path) or b"", self.path)
        if errors:
            raise ChainBroken(tuple(errors))
        return entries

    def append(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Add `entry`, durable on return. Raises Conflict when somebody else appended at the same time."""
        allowed(entry)
        data = self._storage.read(self.path)
        entries, errors = scan(data or b"", self.path)
        if errors or (data and not data.endswith(b"\n")):
            raise ChainBroken(tuple(errors) or (f"{self.path}: does not end with a whole line",))
        record = linked(entry, entries[-1] if entries else None)
        line = canonical(record) + b"\n"
        done = self._storage.call(f"blob {self.path}", lambda c: _append(c.get_blob_client(self.path), line, data))
        if not done and self.read()[-1:] != [record]:
            raise Conflict(f"somebody else appended to {self.path} at the same time", hint="look at that runner")
        return record


def _append(blob: Any, line: bytes, before: bytes | None) -> bool:
    """False when the blob is not as it was read."""
    from azure.core import MatchConditions

    if before is None:
        try:
            blob.create_append_blob(match_condition=MatchConditions.IfMissing)
        except Exception as error:
            if status_of(error) not in (409, 412):
                raise
    try:
        blob.append_block(line, appendpos_condition=len(before or b""))
    except Exception as error:
        if status_of(error) != 412:
            raise
        return False
    return True
