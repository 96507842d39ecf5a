"""The journal of an endpoint's rollouts, as an append blob: a runner's disk vanishes, the workspace's storage does not.

The same hash-chained lines as chain.Chain writes to a file. An append names the position that it expects, so of two
writers one is refused; one whose answer was lost finds its own line at the end and knows that it stands. That position
also says that the end is still the one that was read or written last, so nothing is read again before an append.
"""

from __future__ import annotations

from dataclasses import dataclass
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
        self._end: _End | None = None

    def read(self) -> list[dict[str, Any]]:
        """Every entry, oldest first, each verified. Raises ChainBroken, Unavailable."""
        data = self._storage.read(self.path)
        entries, errors = scan(data or b"", self.path)
        if errors:
            raise ChainBroken(tuple(errors))
        whole = data is None or not data or data.endswith(b"\n")
        self._end = _End(entries[-1] if entries else None, None if data is None else len(data)) if whole else None
        return entries

    def append(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Add `entry`, durable on return. Raises Conflict when somebody else appended since we did, or read."""
        allowed(entry)
        if self._end is None:
            entries = self.read()
            if entries and linked(entry, entries[-2] if entries[1:] else None)["hash"] == entries[-1]["hash"]:
                return entries[-1]  # its answer was lost, and it is tried again
        end, self._end = self._end, None  # where it is then, only a good end of what follows knows
        if end is None:
            raise ChainBroken((f"{self.path}: does not end with a whole line",))
        record = linked(entry, end.last)
        line = canonical(record) + b"\n"
        done = self._storage.call(f"blob {self.path}", lambda c: _append(c.get_blob_client(self.path), line, end.size))
        if not done and [one["hash"] for one in self.read()[-1:]] != [record["hash"]]:
            raise Conflict(f"somebody else appended to {self.path} at the same time", hint="look at that runner")
        self._end = _End(record, (end.size or 0) + len(line))
        return record


@dataclass(frozen=True)
class _End:
    """The last entry, and the size of the blob in bytes; None where there is none."""

    last: Mapping[str, Any] | None
    size: int | None


def _append(blob: Any, line: bytes, size: int | None) -> bool:
    """False when the blob is not of this size."""
    from azure.core import MatchConditions

    if size is None:
        try:
            blob.create_append_blob(match_condition=MatchConditions.IfMissing)
        except Exception as error:
            if status_of(error) not in (409, 412):
                raise
    try:
        blob.append_block(line, appendpos_condition=size or 0)
    except Exception as error:
        if status_of(error) != 412:
            raise
        return False
    return True
