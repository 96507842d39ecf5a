"""The values that lineage is made of: what training, gating and deploying were, and `lineage.json`, their composite.

All frozen, parsed strictly, JSON both ways. Digests of ours are `sha256:<64 hex>`, times are UTC text (`utc`). The
composite is for people and for tools that read flat keys (data_hash, code_commit, environment_lock). It is derived
from the statements and never a source: `verify` makes it again and compares.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from msgspec import Struct

from gates.errors import InvalidInput
from gates.lineage.digest import FileSum  # noqa: TC001  # msgspec reads the annotations at run time

SCHEMA = "lineage.v1"


class Code(Struct, frozen=True, forbid_unknown_fields=True):
    """A git commit: 40 (or 64) hex of commit and tree. dirty: the working tree differed from the commit."""

    commit: str
    tree: str = ""
    dirty: bool = False
    repository: str = ""
    ref: str = ""


class Data(Struct, frozen=True, forbid_unknown_fields=True):
    """One input of training or gating. dvc: the hash DVC recorded, e.g. `md5:…` or `md5:….dir`.

    asset: a versioned name elsewhere, e.g. `azureml:census:3`. key: columns that the content hash was sorted by.
    """

    name: str
    sha256: str
    path: str = ""
    content: str | None = None
    rows: int | None = None
    columns: tuple[tuple[str, str], ...] = ()
    key: tuple[str, ...] = ()
    dvc: str | None = None
    asset: str | None = None


class Environment(Struct, frozen=True, forbid_unknown_fields=True):
    """lock: digest of the lock file's bytes; installed: what was really there, sorted `name==version`.

    declared: what the job asked for, a line each; differences: what of it was not what ran, in words.
    """

    python: str
    lock: str | None = None
    installed: tuple[str, ...] = ()
    platform: str = ""
    image: str | None = None
    declared: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()


class Run(Struct, frozen=True, forbid_unknown_fields=True):
    """The platform's run that did it: builder is a URI of the platform, actor whoever the platform says started it."""

    builder: str
    id: str = ""
    url: str = ""
    actor: str = ""
    started: str = ""
    finished: str = ""
    gates_version: str = ""


class Training(Struct, frozen=True, forbid_unknown_fields=True):
    """What was trained, from what. champion: digest of the model that served at that time.

    volatile: glob patterns of files that differ from one training to the next (ids, times); see `grade`.
    """

    model_name: str
    files: tuple[FileSum, ...]
    environment: Environment
    run: Run
    job: str
    job_digest: str
    code: Code | None = None
    data: tuple[Data, ...] = ()
    parameters: dict[str, str | int | float | bool | None] = {}
    metrics: dict[str, float | None] = {}
    champion: str | None = None
    volatile: tuple[str, ...] = ()


class Approval(Struct, frozen=True, forbid_unknown_fields=True):
    """One person's yes, as the platform's API tells it, bound to what they saw. at: UTC text."""

    by: str
    at: str
    model_digest: str
    policy_digest: str
    source: str = ""


class Gating(Struct, frozen=True, forbid_unknown_fields=True):
    """What was judged: `result` and digest of the report. expires: when the decision stops to count, UTC text or ''.

    ungated: the reason given to let a model through without a decision; '' when there was one.
    """

    result: dict[str, Any]
    report_digest: str
    run: Run
    expires: str = ""
    approvals: tuple[Approval, ...] = ()
    waivers: tuple[dict[str, Any], ...] = ()
    ungated: str = ""


class Deploying(Struct, frozen=True, forbid_unknown_fields=True):
    """What came to serve. traffic: (UTC text, whole percents by deployment) of each step; previous: model digest."""

    endpoint: str
    deployment: str
    deploy_id: str
    outcome: str
    run: Run
    traffic: tuple[tuple[str, dict[str, int]], ...] = ()
    previous: str | None = None
    environment_digest: str = ""
    approvals: tuple[Approval, ...] = ()
    ungated: str = ""


class StatementRef(Struct, frozen=True, forbid_unknown_fields=True):
    """A statement in the chain: kind is train, gate or deploy; signed as `Envelope.tier` says."""

    kind: str
    digest: str
    signed: str


class Lineage(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`lineage.json`, schema lineage.v1."""

    schema: str = SCHEMA
    model_name: str
    model_digest: str
    model_files: int
    model_bytes: int
    data_hash: str | None
    code_commit: str | None
    code_dirty: bool | None
    environment_lock: str | None
    python: str
    parameters: dict[str, str | int | float | bool | None]
    metrics: dict[str, float | None]
    data: tuple[dict[str, Any], ...]
    environment: dict[str, Any]
    champion: str | None
    run: dict[str, Any]
    volatile: tuple[str, ...] = ()
    policy_digest: str | None = None
    verdict: str | None = None
    decision: str | None = None
    report_digest: str | None = None
    approvers: tuple[str, ...] = ()
    ungated: str = ""
    checks: tuple[dict[str, Any], ...] = ()
    deployments: tuple[dict[str, Any], ...] = ()
    statements: tuple[StatementRef, ...] = ()


def utc(seconds: float) -> str:
    """`2026-11-21T03:40:00.123Z` of seconds since the epoch; whole seconds without a fraction."""
    text = datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z").replace(".000Z", "Z")


def seconds(text: str) -> float:
    """Seconds since the epoch of an ISO 8601 time with a zone, or of a date (its end, UTC). Raises InvalidInput."""
    try:
        if len(text) == 10:
            return datetime.fromisoformat(f"{text}T00:00:00+00:00").timestamp() + 86400
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except (ValueError, AttributeError) as error:
        raise InvalidInput(f"{text!r} is not a time", hint="write 2026-11-21T03:40:00Z") from error
    if moment.tzinfo is None:
        raise InvalidInput(f"{text!r} has no time zone", hint="write 2026-11-21T03:40:00Z")
    return moment.timestamp()
