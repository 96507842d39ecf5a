"""Who agreed: approvals as the platform told them, bound to the model's and the policy's digest.

They stand in a file of the state folder, by the model's digest; each is also an event of the audit log, and one that
the log does not tell of was typed by hand and counts for nothing. Machines that share a registry take one another's
from the events that they publish: who approves sits at another machine than the runner that goes on.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from msgspec import convert, to_builtins

from gates import inputs
from gates.document import load_json
from gates.errors import InvalidInput, Refused
from gates.files import write_whole
from gates.lineage.audit import Event
from gates.lineage.digest import hexdigest
from gates.lineage.findings import ApprovalRule, not_counted
from gates.lineage.record import Approval
from gates.steps import records, sharing

if TYPE_CHECKING:
    from pathlib import Path

    from gates.policy import Policy
    from gates.steps.step import Context


def approve(context: Context, digest: str, policy: Policy, *, version: str = "") -> None:
    """Write down that the platform's actor approves these bytes under this policy."""
    actor = context.platform.run().get("actor", "")
    if not actor:
        raise InvalidInput(
            "--approve: the platform does not say who you are", hint="approve from a workflow or a login"
        )
    at = records.now(context)
    given = Approval(
        by=actor, at=at, model_digest=digest, policy_digest=policy.digest, source=context.platform.name
    )  # fmt: skip
    known = [to_builtins(item) for item in _read(context, digest)]
    write_whole(_file(context, digest), json.dumps([*known, to_builtins(given)], indent=2) + "\n")
    records.note(
        context,
        Event(
            kind="approved", at=at, model_name=context.project.settings.model, model=digest, version=version,
            policy=policy.digest, approvers=(actor,), actor=actor,
        ),
    )  # fmt: skip


def rule_of(context: Context, policy: Policy, stage: str) -> ApprovalRule:
    """What the policy's stage asks for; nothing where it says nothing."""
    asked = policy.stages[stage].approvals if stage in policy.stages else None
    if asked is None:
        return ApprovalRule()
    actor = context.platform.run().get("actor", "")
    authors = frozenset({actor}) if asked.forbid_author and actor else frozenset()
    return ApprovalRule(asked.min, inputs.duration(asked.max_age, "approvals.max_age"), authors)


def given(context: Context, digest: str) -> tuple[Approval, ...]:
    """The approvals of a model. Raises errors.Refused for one that the audit log does not tell of."""
    found = _told(context, digest)
    known = {(item.by, item.at) for item in found}
    return *found, *(item for item in _elsewhere(context, digest) if (item.by, item.at) not in known)


def _elsewhere(context: Context, digest: str) -> tuple[Approval, ...]:
    """What machines that share the registry published, this one included."""
    return tuple(
        Approval(by=event.actor, at=event.at, model_digest=event.model, policy_digest=event.policy, source="audit log")
        for event in sharing.published_events(context)
        if event.kind == "approved" and event.model == digest and event.actor
    )


def _told(context: Context, digest: str) -> tuple[Approval, ...]:
    """Those of this machine's file, each of which its audit log must tell of."""
    found = _read(context, digest)
    if not found:
        return ()
    told = {
        (event.actor, event.at, event.model, event.policy)
        for event in records.audit(context).events()
        if event.kind == "approved"
    }
    for item in found:
        if item.model_digest == digest and (item.by, item.at, item.model_digest, item.policy_digest) not in told:
            raise Refused(
                f"{item.by}'s approval of {item.model_digest} is not in the audit log: it was written by hand",
                hint="remove it, and approve with --approve", file=_file(context, digest),
            )  # fmt: skip
    return found


def require_counting(context: Context, digest: str, policy: Policy, rule: ApprovalRule) -> tuple[Approval, ...]:
    """The approvals given. Raises errors.Refused when there are some, too few of them count, and why.

    Where none was given at all the rollout waits for them instead.
    """
    found, now = given(context, digest), context.now().timestamp()
    reasons = {item: not_counted(item, rule, digest, policy.digest, now) for item in found}
    counting = {item.by for item, why in reasons.items() if not why}
    stale = [f"{item.by}'s {why}" for item, why in reasons.items() if why]
    if len(counting) < rule.minimum and stale:
        raise Refused(
            f"refused to deploy: {len(counting)} of {rule.minimum} approvals: {'; '.join(dict.fromkeys(stale))}",
            hint=f"ask for approval of {digest}", file=_file(context, digest),
        )  # fmt: skip
    return found


def _file(context: Context, digest: str) -> Path:
    return context.state_dir / "approvals" / f"{hexdigest(digest)[:32]}.json"


def _read(context: Context, digest: str) -> tuple[Approval, ...]:
    path = _file(context, digest)
    if not path.is_file():
        return ()
    try:
        return convert(load_json(path, "the approvals"), tuple[Approval, ...])
    except ValueError as error:
        raise InvalidInput(f"not approvals: {error}", file=path, hint="remove the file, and approve again") from error
