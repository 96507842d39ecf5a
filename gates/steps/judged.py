"""What the judging steps share: which policy judges, from where, and the report of a judged stage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gates import policy as policies
from gates.collect.store import POLICY, Store
from gates.document import read_bytes
from gates.errors import InvalidInput, Unavailable
from gates.steps import records

if TYPE_CHECKING:
    from gates.backends import ModelVersion
    from gates.evidence import Evidence
    from gates.policy import Policy
    from gates.steps.step import Context


def load_policy(context: Context, path: Path | None, *, ref: str = "", pinned: str = "") -> tuple[Policy, bytes]:
    """The policy as given, as of a git ref, or pinned by its sha256; with its bytes, which are evidence."""
    file: Path = context.need(path, "policy")
    source = "file"
    if ref:
        raw, source = _at_ref(context, file, ref), f"ref:{ref}"
    else:
        raw = read_bytes(file, "the policy")
    policy = policies.load(raw, file, source=source, today=context.now().date())
    if pinned:
        expected = pinned if pinned.startswith("sha256:") else f"sha256:{pinned}"
        if expected.lower() != policy.digest:
            raise InvalidInput(
                f"the policy is {policy.digest}, not the pinned {expected}", file=file,
                hint="judge with the pinned file, or pin this one",
            )  # fmt: skip
        policy = policies.load(raw, file, source=source if ref else "digest", today=context.now().date())
    return policy, raw


def keep_policy(store: Store, raw: bytes) -> None:
    """The policy's bytes beside the evidence, for `gates replay`."""
    store.add_bytes(POLICY, raw)


def about(
    context: Context,
    policy: Policy,
    model: str,
    data: str,
    champion: ModelVersion | None = None,
    *,
    rows: int | None = None,
    version: str = "",
) -> dict[str, Any]:
    """What a report is about, kept with its evidence; rows where the evidence itself does not show them; version: see
    `version_of`.
    """
    beside = describe(champion.digest, version=champion.version) if champion else None
    shown = {"digest": data} if rows is None else {"digest": data, "rows": rows}
    said = {"step": context.step, "source": policy.source}
    return {**said, "model": describe(model, version=version), "champion": beside, "data": shown}


def version_of(context: Context, policy: Policy, digest: str) -> str:
    """The registered version of these bytes, looked up where a waiver hangs on it (a registry takes its time to ask);
    '' where none does, or they are not registered.
    """
    if not digest or all(waiver.model_version is None for waiver in policy.settings.waivers):
        return ""
    found = context.backend.find(context.project.settings.model, digest=digest)
    return found.version if found else ""


def rows_of(evidence: Evidence) -> int:
    """The rows that a report's data had: of the predictions, the metrics file, or the table that a contract read."""
    table = evidence.facts.get("table")
    return evidence.candidate.n if evidence.candidate else evidence.metrics_n or (table.rows if table else 0)


def stage_of(policy: Policy, name: str, context: Context) -> policies.Stage:
    """A stage that must exist for this command."""
    if name not in policy.stages:
        raise InvalidInput(
            f"the policy has no stage '{name}'", file=policy.file,
            hint=f"add stages.{name}; {context.step} judges it, and nothing else stands for it",
        )  # fmt: skip
    return policy.stages[name]


def _at_ref(context: Context, file: Path, ref: str) -> bytes:
    """`git show REF:FILE`; in a shallow checkout the ref is fetched first."""
    folder = file.parent
    if ref.startswith("-"):
        raise InvalidInput(f"--policy-ref: '{ref}' is not a git ref", hint="write e.g. origin/main")
    top = records.git_bytes(context, folder, "rev-parse", "--show-toplevel")
    if top is None:
        raise InvalidInput(
            "--policy-ref needs a git checkout", file=file, hint="leave it out, or pin with --policy-digest"
        )
    inside = file.resolve().relative_to(Path(top.decode().strip()).resolve()).as_posix()
    if records.git_bytes(context, folder, "cat-file", "-e", f"{ref}^{{commit}}") is None:
        short = ref.removeprefix("origin/").removeprefix("refs/heads/")
        records.git_bytes(context, folder, "fetch", "--depth=1", "origin", f"+{short}:refs/remotes/origin/{short}")
        if records.git_bytes(context, folder, "cat-file", "-e", f"{ref}^{{commit}}") is None:
            raise Unavailable(f"git knows no commit '{ref}'", hint="fetch it, or check the name")
    shown = records.git_bytes(context, folder, "show", f"{ref}:{inside}")
    if shown is None:
        raise InvalidInput(f"'{ref}' holds no {inside}", hint="check --policy and --policy-ref")
    return shown


def describe(digest: str, **more: Any) -> dict[str, Any]:
    """`model` and `champion` of report.v1: the digest, and what is known beside it."""
    return {"digest": digest, **{key: value for key, value in more.items() if value}}
