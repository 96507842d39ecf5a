"""What a step writes down: statements in a model's lineage folder, events in the audit log, facts of the code."""

from __future__ import annotations

import hashlib
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from gates import __version__
from gates.document import read_bytes
from gates.errors import GatesError, InvalidInput, Refused
from gates.lineage import openssf, sign
from gates.lineage.digest import hexdigest
from gates.lineage.folder import LineageFolder, pointers
from gates.lineage.record import Code, Run, utc
from gates.runtime import process
from gates.steps import sharing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from typing import Any

    from gates.backends import ModelVersion
    from gates.drift.performance import Baseline
    from gates.lineage.audit import AuditLog, Event
    from gates.lineage.statement import Statement
    from gates.policy import Policy
    from gates.steps.step import Context

PROFILE = "profile.gates"
BASELINE = "baseline.json"
"""How the model did when it was judged: what drift-check compares with once labels come."""
OPENSSF = "model.sig"


def lineage_of(context: Context, digest: str) -> LineageFolder:
    """The lineage folder of a model, by the digest of its bytes; beside the model, never in it."""
    return LineageFolder(context.state_dir / "lineage" / hexdigest(digest)[:32])


def fetched_lineage(context: Context, version: ModelVersion) -> LineageFolder:
    """Likewise of a registered version: fetched where this machine has none, or not all that others added."""
    folder = lineage_of(context, version.digest)
    if context.backend.shared:
        sharing.renew(context, version, folder)
    elif not folder.path.is_dir():
        context.backend.fetch_lineage(version, folder.path)
    return folder


def judged_baseline(context: Context, version: ModelVersion | None) -> Baseline | None:
    """What a version's gate saw, as its lineage has it; None where no gate scored predictions."""
    if version is None:
        return None
    path = fetched_lineage(context, version).path / BASELINE
    if not path.is_file():
        return None
    from gates.drift.performance import Baseline

    try:
        return msgspec.json.decode(path.read_bytes(), type=Baseline)
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"this is no baseline: {error}", hint="judge the model again", file=path) from error


def audit(context: Context) -> AuditLog:
    return sharing.audit(context)


def note(context: Context, event: Event) -> str:
    """Append to the audit log; returns its head, which the next statement anchors."""
    return audit(context).append(event)


def seal(context: Context, folder: LineageFolder, statement: Mapping[str, Any]) -> Statement:
    """Sign when a key is given, and add to the folder."""
    return folder.add(sign.seal(statement, signer_of(context)))


def signer_of(context: Context) -> sign.Signer | None:
    """GATES_SIGNING_KEY: an ed25519 private key, as PEM text or the name of its file; GATES_SIGNING_PASSWORD opens it.

    Or the identifier of a key in Azure Key Vault. Variables, not inputs: a key on a command line is a key in a log.
    No process that we start is told of them.
    """
    given = context.env.get("GATES_SIGNING_KEY", "").strip()
    if not given:
        return None
    if given.startswith("https://"):
        from gates.backends.azureml import credentials, vault  # the only place where Azure is no backend

        return vault.signer(given, lambda: credentials.prepare(context.env, context.credential))
    password = context.env.get("GATES_SIGNING_PASSWORD") or None
    if given.startswith("-----BEGIN"):
        return sign.ed25519_signer(given.encode() + b"\n", password.encode() if password else None)
    pem = read_bytes(context.cwd / given, "the signing key that GATES_SIGNING_KEY names")
    return sign.ed25519_signer(pem, password.encode() if password else None)


def trusted(policy: Policy) -> tuple[sign.PublicKey, ...]:
    """The keys whose signatures the policy asks for; none when it asks for none."""
    signing = policy.settings.signing
    return tuple(sign.public_key(key.encode()) for key in signing.keys) if signing else ()


def require_openssf(policy: Policy, model: Path, lineage: LineageFolder) -> None:
    """The OpenSSF signature over the model, when the policy asks for one. It stands in the lineage folder."""
    key = policy.settings.signing.openssf if policy.settings.signing else None
    if key is None:
        return
    signature = lineage.path / OPENSSF
    if not signature.is_file():
        raise Refused(
            "the policy asks for an OpenSSF signature, and there is none", file=signature,
            hint="sign the model with model-signing, and give the file to `gates register --openssf-signature`",
        )  # fmt: skip
    with tempfile.TemporaryDirectory() as beside:
        public = Path(beside) / "key.pem"
        public.write_text(key, encoding="ascii")
        openssf.require_openssf(model, signature, public)


def lock_digest(installed: Iterable[str]) -> str:
    """The digest of an environment's lock, from its lines `name==version`."""
    return "sha256:" + hashlib.sha256("".join(f"{line}\n" for line in installed).encode()).hexdigest()


def publish(context: Context, version: ModelVersion, head: str) -> None:
    """Bring the registry's pointers and its copy of the lineage up to what is recorded here. head: of the audit log."""
    folder = lineage_of(context, version.digest)
    if not folder.path.is_dir():
        return
    if context.backend.shared:
        sharing.keep_copy(context, folder)
    stale = {name: "" for name in version.tags if name == "gates.ungated"}  # of an override that a gate came after
    tags = {**stale, **pointers(folder.statements(), audit_head=head)}
    context.backend.tag(version, {name: value for name, value in tags.items() if name != "gates.model_digest"})
    context.backend.keep_lineage(version, folder.path)


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
