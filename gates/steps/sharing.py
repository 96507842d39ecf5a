"""The records of several machines that share a registry and no disk.

Each machine keeps an audit log of its own, one chain. What it appended is also published, one immutable file an event,
and `gates lineage audit` merges these. A version carries the log as it was when its lineage was last published: a
machine whose log is a beginning of that one goes on with it; one whose log is another verifies the version against
the copy. Either must hold every head that statements and tags anchor.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from gates.chain import GENESIS
from gates.errors import Refused
from gates.files import write_whole
from gates.lineage.audit import AuditLog, Event, gather, write_event
from gates.lineage.folder import STATEMENTS, LineageFolder

if TYPE_CHECKING:
    from gates.backends import ModelVersion
    from gates.steps.step import Context

COPY = "audit.jsonl"
EVENTS = "events"


def audit(context: Context) -> AuditLog:
    """This machine's own log."""
    return AuditLog(context.state_dir / "audit.jsonl")


def renew(context: Context, version: ModelVersion, folder: LineageFolder) -> None:
    """Bring this machine's copy of a version's lineage up to the registry's, where that goes on from ours.

    Ours stays where it says more, or something else: then the tags and the audit log tell who is right.
    """
    context.state_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=context.state_dir) as beside:
        got = context.backend.fetch_lineage(version, Path(beside) / "lineage")
        if got is None:
            return
        ours, theirs = folder.path / STATEMENTS, got / STATEMENTS
        have = ours.read_bytes() if ours.is_file() else b""
        said = theirs.read_bytes() if theirs.is_file() else b""
        if have != said and said.startswith(have):
            take(got, folder)
        elif have == said and (got / COPY).is_file():
            write_whole(folder.path / COPY, (got / COPY).read_bytes())


def take(came: Path, folder: LineageFolder) -> None:
    """Write what came over what is there. The statements last: until they stand, whoever comes next begins anew."""
    folder.path.mkdir(parents=True, exist_ok=True)
    for file in sorted(came.iterdir(), key=lambda file: file.name == STATEMENTS):
        write_whole(folder.path / file.name, file.read_bytes())


def log_behind(context: Context, folder: LineageFolder) -> AuditLog:
    """The log that a version is verified against: ours, or the copy that travels with it. Raises ChainBroken."""
    own, copy = audit(context), AuditLog(folder.path / COPY)
    if not context.backend.shared or not copy.chain.path.is_file():
        return own
    own.chain.follow(copy.chain)
    known = {entry["hash"] for entry in own.chain.read()}
    return own if copy.head() in known else copy


def keep_copy(context: Context, folder: LineageFolder) -> None:
    """Put our log beside the lineage that is about to be published, unless the copy there says what ours does not."""
    own, copy = audit(context).chain, AuditLog(folder.path / COPY).chain
    known = {entry["hash"] for entry in own.read()}
    if own.path.is_file() and (not copy.path.is_file() or copy.head() in known):
        write_whole(copy.path, own.path.read_bytes())


def publish_events(context: Context) -> None:
    """Publish what this machine appended since it last did. Raises Unavailable: the next step tries again."""
    own, mark = audit(context), context.state_dir / "audit.published"
    if not own.chain.path.is_file() or not context.backend.shared:
        return
    head = own.head()
    last = mark.read_text(encoding="ascii").strip() if mark.is_file() else GENESIS
    if last == head:
        return
    events = own.after(last)
    if events is None:
        raise Refused("has lost events that were published before", file=own.chain.path, hint="restore it from a copy")
    with tempfile.TemporaryDirectory(dir=context.state_dir) as beside:
        for event in events:
            write_event(Path(beside), event)
        context.backend.keep_events(Path(beside))
    write_whole(mark, f"{head}\n")  # what another process appended meanwhile is published again, to no effect


def published_events(context: Context) -> tuple[Event, ...]:
    """The events that all machines published; none where the registry is this machine's own."""
    if not context.backend.shared:
        return ()
    into = context.state_dir / EVENTS
    into.mkdir(parents=True, exist_ok=True)
    context.backend.fetch_events(into)
    return gather(into)
