"""The audit log: every decision, appended to one hash-chained file.

An event is a frozen value; only the fields that say something are written. `questions` answers from events alone,
without a registry or a network. Across runners that share no disk, each event is a file of its own, immutable and
named by its digest, and `gather` merges them. Approvers are what the platform's API told, never a typed name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct

from gates.canonical import canonical, digest
from gates.chain import GENESIS, OURS, Chain, ChainBroken
from gates.errors import InvalidInput, Unavailable
from gates.files import write_whole
from gates.lineage.record import seconds

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Kind = Literal[
    "trained", "gated", "approved", "registered", "deployed", "shifted", "rolled-back", "drifted", "retrain-asked",
    "archived",
]  # fmt: skip


class Event(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One decision. model: digest; data: digests (bytes' and content's); statement: digest of the statement it made.

    outcome: of a deployment, `succeeded`, `failed` or `rolled-back`. deploy_id joins shifts, deployment and rollback.
    code: commit; code_time: when it was committed, UTC text. previous: digest of the model that served before.
    """

    kind: Kind
    at: str
    model_name: str = ""
    model: str = ""
    version: str = ""
    data: tuple[str, ...] = ()
    code: str = ""
    code_time: str = ""
    environment: str = ""
    policy: str = ""
    verdict: str = ""
    decision: str = ""
    report: str = ""
    statement: str = ""
    approvers: tuple[str, ...] = ()
    endpoint: str = ""
    deployment: str = ""
    deploy_id: str = ""
    traffic: dict[str, int] = {}
    outcome: str = ""
    previous: str = ""
    reason: str = ""
    ungated: str = ""
    actor: str = ""
    run: str = ""


class AuditLog:
    """The log in the file `path`."""

    def __init__(self, path: Path | str) -> None:
        self.chain = Chain(path)

    def append(self, event: Event) -> str:
        """Write the event down; returns the log's new head. Raises as `Chain.append`, and InvalidInput for `at`."""
        seconds(event.at)
        return str(self.chain.append(msgspec.to_builtins(event))["hash"])

    def head(self) -> str:
        return self.chain.head()

    def events(self, anchors: Iterable[str] = ()) -> tuple[Event, ...]:
        """All events, oldest first, verified; every anchor (a head seen before) must be in the log. ChainBroken."""
        entries = self.chain.read()
        known = {entry["hash"] for entry in entries}
        if lost := [anchor for anchor in anchors if anchor not in known and not anchor.endswith("0" * 64)]:
            self.chain.verify(lost[0])
        return tuple(_event(f"{self.chain.path}:{number}", entry) for number, entry in enumerate(entries, start=1))

    def after(self, head: str) -> tuple[Event, ...] | None:
        """The events appended after `head`, oldest first; None when the log does not hold that head. ChainBroken."""
        entries = self.chain.read()
        places = {GENESIS: 0} | {str(entry["hash"]): place for place, entry in enumerate(entries, start=1)}
        if head not in places:
            return None
        return tuple(
            _event(f"{self.chain.path}:{n}", entries[n - 1]) for n in range(places[head] + 1, len(entries) + 1)
        )


def write_event(folder: Path, event: Event) -> Path:
    """The event as an immutable file of its own, named by its time and digest, for runners that share no disk."""
    body = msgspec.to_builtins(event)
    moment = round(seconds(event.at) * 1000)
    path = folder / f"{moment:014d}-{digest(body).removeprefix('sha256:')}.json"
    write_whole(path, canonical(body) + b"\n")
    return path


def gather(folder: Path) -> tuple[Event, ...]:
    """The events of a folder that `write_event` filled, oldest first. An altered file raises ChainBroken."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            body = path.read_bytes()
        except OSError as error:
            raise Unavailable(f"cannot be read: {error.strerror}", file=path) from error
        event = _event(str(path), _decode(path, body))
        if digest(msgspec.to_builtins(event)).removeprefix("sha256:") != path.stem.rpartition("-")[2]:
            raise ChainBroken((f"{path}:1: was altered: its digest is not its name",))
        found.append(event)
    return merged(found)


def merged(*logs: Iterable[Event]) -> tuple[Event, ...]:
    """Several logs as one, by time; an event that stands in more than one counts once."""
    seen: dict[bytes, Event] = {}
    for log in logs:
        for event in log:
            seen.setdefault(canonical(msgspec.to_builtins(event)), event)
    return tuple(sorted(seen.values(), key=lambda event: seconds(event.at)))


def _decode(path: Path, body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ChainBroken((f"{path}:1: is not JSON",)) from error


def _event(where: str, entry: Any) -> Event:
    try:
        return msgspec.convert({key: entry[key] for key in entry if key not in OURS}, Event)
    except (msgspec.ValidationError, TypeError) as error:
        raise InvalidInput(
            f"{where}: not an event of an audit log: {error}", hint="read it with the release that wrote it"
        ) from error
