"""What machines that share a registry take from one another, also when one dies in the middle of it."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

from gates.errors import Refused
from gates.files import write_whole
from gates.lineage.audit import AuditLog, Event, write_event
from gates.lineage.folder import STATEMENTS, LineageFolder
from gates.lineage.record import Approval
from gates.steps import approvals, sharing

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = "sha256:" + "d" * 64
FILES = {"SHA256SUMS": "sums\n", "audit.jsonl": "", "lineage.json": "{}\n", STATEMENTS: "one\ntwo\n", "z.sig": "s\n"}


def context(tmp_path: Path) -> Any:
    """A context whose registry holds FILES as a version's lineage."""

    def fetch_lineage(version: object, into: Path) -> Path:
        into.mkdir(parents=True)
        for name, text in FILES.items():
            (into / name).write_text(text)
        return into

    backend = SimpleNamespace(shared=True, fetch_lineage=fetch_lineage)
    return SimpleNamespace(state_dir=tmp_path / "state", backend=backend)


@pytest.mark.parametrize("writes", range(len(FILES)))
@pytest.mark.parametrize("had", ["", "one\n"])
def test_a_renewal_that_died_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int, had: str
) -> None:
    folder = LineageFolder(tmp_path / "lineage")
    if had:
        folder.path.mkdir()
        (folder.path / STATEMENTS).write_text(had)
        (folder.path / "lineage.json").write_text("what was before\n")
    left = [writes]

    def dies(path: Path, text: bytes) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        write_whole(path, text)

    with monkeypatch.context() as dying:
        dying.setattr(sharing, "write_whole", dies)
        with pytest.raises(KeyboardInterrupt):
            sharing.renew(context(tmp_path), cast("Any", None), folder)
    sharing.renew(context(tmp_path), cast("Any", None), folder)
    assert {path.name: path.read_text() for path in folder.path.iterdir()} == FILES


@pytest.mark.parametrize("ours", ["one\ntwo\nthree\n", "another\n"])
def test_what_this_machine_says_more_or_else_stays(tmp_path: Path, ours: str) -> None:
    folder = LineageFolder(tmp_path / "lineage")
    folder.path.mkdir()
    (folder.path / STATEMENTS).write_text(ours)
    sharing.renew(context(tmp_path), cast("Any", None), folder)
    assert {path.name: path.read_text() for path in folder.path.iterdir()} == {STATEMENTS: ours}


def test_events_are_published_once_and_a_cut_log_is_refused(tmp_path: Path) -> None:
    world, kept = context(tmp_path), tmp_path / "kept"
    published: list[int] = []

    def keep_events(folder: Path) -> None:
        published.append(len(list(folder.iterdir())))
        shutil.copytree(folder, kept, dirs_exist_ok=True)

    world.backend.keep_events = keep_events
    log = AuditLog(world.state_dir / "audit.jsonl")
    for count in (2, 0, 1):
        for number in range(count):
            log.append(Event(kind="trained", at=f"2026-11-21T03:40:0{number}Z", model=f"{len(published)}{number}"))
        sharing.publish_events(world)
    assert published == [2, 1]
    assert len(list(kept.iterdir())) == 3
    log.chain.path.write_bytes(b"")
    with pytest.raises(Refused, match="has lost events that were published before"):
        sharing.publish_events(world)


def test_an_approval_given_at_another_machine_counts_once(tmp_path: Path) -> None:
    here, kept = context(tmp_path), tmp_path / "kept"
    here.backend.fetch_events = lambda into: shutil.copytree(kept, into, dirs_exist_ok=True)
    ours = Approval(by="ann", at="2026-11-21T03:40:00Z", model_digest=DIGEST, policy_digest="sha256:p")
    for by, model in (("ann", DIGEST), ("bob", DIGEST), ("cid", "sha256:x")):
        event = Event(kind="approved", at=ours.at, model=model, policy="sha256:p", actor=by)
        write_event(kept, event)
        if by == "ann":
            AuditLog(here.state_dir / "audit.jsonl").append(event)
    write_event(kept, Event(kind="gated", at=ours.at, model=DIGEST, policy="sha256:p", actor="dot"))
    path = here.state_dir / "approvals" / f"{DIGEST[7:39]}.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps([msgspec.to_builtins(ours)]))
    assert [(item.by, item.policy_digest) for item in approvals.given(here, DIGEST)] == [
        ("ann", "sha256:p"), ("bob", "sha256:p"),
    ]  # fmt: skip
    here.backend.shared = False
    assert [item.by for item in approvals.given(here, DIGEST)] == ["ann"], "a machine of its own asks nobody"
