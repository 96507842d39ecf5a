"""What a step writes down: statements in a model's lineage folder, events in the audit log, facts of the code."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from gates import __version__
from gates.errors import GatesError
from gates.lineage import sign
from gates.lineage.audit import AuditLog, Event
from gates.lineage.digest import hexdigest
from gates.lineage.folder import LineageFolder
from gates.lineage.record import Code, Run, utc
from gates.runtime import process

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from typing import Any

    from gates.backends import ModelVersion
    from gates.lineage.statement import Statement
    from gates.steps.step import Context

PROFILE = "profile.gates"


def lineage_of(context: Context, digest: str) -> LineageFolder:
    """The lineage folder of a model, by the digest of its bytes; beside the model, never in it."""
    return LineageFolder(context.state_dir / "lineage" / hexdigest(digest)[:32])


def fetched_lineage(context: Context, version: ModelVersion) -> LineageFolder:
    """Likewise of a registered version: fetched from the registry when this machine has none."""
    folder = lineage_of(context, version.digest)
    if not folder.path.is_dir():
        context.backend.fetch_lineage(version, folder.path)
    return folder


def audit(context: Context) -> AuditLog:
    return AuditLog(context.state_dir / "audit.jsonl")


def note(context: Context, event: Event) -> str:
    """Append to the audit log; returns its head, which the next statement anchors."""
    return audit(context).append(event)


def seal(context: Context, folder: LineageFolder, statement: Mapping[str, Any]) -> Statement:
    """Sign when a key is given (GATES_SIGNING_KEY, a file), and add to the folder."""
    key = context.env.get("GATES_SIGNING_KEY", "")
    signer = sign.ed25519_signer(Path(key).read_bytes()) if key else None
    return folder.add(sign.seal(statement, signer))


def now(context: Context) -> str:
    return utc(context.now().timestamp())


def run_of(context: Context, started: datetime | None = None) -> Run:
    """The platform's run, as a statement's builder."""
    said = context.platform.run()
    return Run(
        builder=said.get("builder") or context.platform.name,
        id=said.get("id", ""),
        url=said.get("url", ""),
        actor=said.get("actor", ""),
        started="" if started is None else utc(started.timestamp()),
        finished=now(context),
        gates_version=__version__,
    )


def code_of(context: Context, folder: Path | None) -> tuple[Code | None, str]:
    """The git commit that `folder` stands in, and when it was committed; (None, "") outside of a checkout."""
    where = folder if folder is not None and folder.is_dir() else context.project.folder
    commit = git(context, where, "rev-parse", "HEAD")
    if commit is None:
        return None, ""
    status = git(context, where, "status", "--porcelain", "--untracked-files=no", "--", ".")
    remote = git(context, where, "config", "--get", "remote.origin.url") or ""
    code = Code(
        commit=commit,
        tree=git(context, where, "rev-parse", "HEAD^{tree}") or "",
        dirty=bool(status) or status is None,
        repository=re.sub(r"//[^/@]*@", "//", remote),
        ref=git(context, where, "symbolic-ref", "-q", "HEAD") or "",
    )
    return code, git(context, where, "show", "-s", "--format=%cI", "HEAD") or ""


def git(context: Context, folder: Path, *arguments: str) -> str | None:
    """The output of a git command without its last line end; None when it failed or git is not there."""
    raw = git_bytes(context, folder, *arguments)
    return None if raw is None else raw.decode("utf-8", "replace").strip("\n")


def git_bytes(context: Context, folder: Path, *arguments: str) -> bytes | None:
    """Likewise, byte for byte."""
    with tempfile.TemporaryDirectory() as temporary:
        log = Path(temporary) / "out"
        try:
            end = process.run(["git", *arguments], cwd=folder, env=context.env, log=log, timeout=120)
        except GatesError:  # no git on this machine: the record says that it knows no commit
            return None
        return log.read_bytes() if end.returncode == 0 and log.is_file() else None
