"""What was gated is what is registered, deployed and rolled back to: each door asks the same questions, fail closed.

Asked are: the bytes (the file set and every digest equal those recorded), the statements (signed by a trusted key when
there are any, each naming the one before, the composite made of them), the decision (allow, about these bytes, under
this policy, not expired, approved by enough people who saw the same), the champion (still the one compared with), the
registry's tags and the audit log. A caller that leaves out tags or the log leaves out only these questions. All
problems are found, not only the first. Nothing here reads a clock or a network: bytes are fetched before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gates.errors import Refused
from gates.lineage.findings import ApprovalRule, Look, Problem
from gates.lineage.folder import STATEMENTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from gates.lineage.audit import AuditLog
    from gates.lineage.folder import LineageFolder
    from gates.lineage.record import Approval
    from gates.lineage.sign import PublicKey

__all__ = [
    "ApprovalRule",
    "Problem",
    "Verification",
    "verify_for_deploy",
    "verify_for_register",
    "verify_for_rollback",
    "verify_recorded",
]


@dataclass(frozen=True)
class Verification:
    """What was found. signed: keyids that every statement is signed by, or `unsigned`, for people to see.

    ungated: the reason given to go on without a gate's decision; '' when there was a decision.
    """

    action: str
    model_digest: str
    signed: str
    problems: tuple[Problem, ...]
    ungated: str = ""

    @property
    def ok(self) -> bool:
        return not self.problems

    def require(self) -> None:
        """Raises errors.Refused with the first problem, and how many more there are, unless there is none."""
        if self.problems:
            first, more = self.problems[0], len(self.problems) - 1
            also = "" if not more else f" (and {more} more: {' | '.join(str(item) for item in self.problems[1:])})"
            raise Refused(f"refused to {self.action}: {first.where}: {first.what}{also}", hint=first.hint)


def verify_for_register(
    model: Path,
    lineage: LineageFolder,
    *,
    report: Mapping[str, Any] | None,
    policy_digest: str,
    live_champion: str | None,
    now: float,
    data_digest: str | None = None,
    trusted: Sequence[PublicKey] = (),
    rule: ApprovalRule | None = None,
    approvals: Iterable[Approval] = (),
    audit: AuditLog | None = None,
    ungated: str = "",
) -> Verification:
    """May the folder `model` be registered? report: report.json's content, None only with `ungated`.

    live_champion: digest of the champion now, None when there is none. now: seconds since the epoch.
    """
    look = Look(model, lineage)
    look.bytes_and_statements(trusted)
    if not ungated:
        look.report(report, data_digest)
        look.gate(policy_digest, live_champion, now)
        look.approvals(rule or ApprovalRule(), approvals, policy_digest, now)
    look.audit(audit, {})
    return _verification("register", look, ungated)


def verify_for_deploy(
    model: Path,
    lineage: LineageFolder,
    *,
    policy_digest: str,
    live_champion: str | None,
    now: float,
    tags: Mapping[str, str] | None = None,
    trusted: Sequence[PublicKey] = (),
    rule: ApprovalRule | None = None,
    approvals: Iterable[Approval] = (),
    audit: AuditLog | None = None,
    ungated: str = "",
) -> Verification:
    """May the bytes in `model`, fetched from the registry, serve? tags: those of the registered version."""
    look = Look(model, lineage)
    look.bytes_and_statements(trusted)
    if not ungated:
        look.gate(policy_digest, live_champion, now)
        look.approvals(rule or ApprovalRule(), approvals, policy_digest, now)
    look.tags(tags)
    look.audit(audit, tags or {})
    return _verification("deploy", look, ungated)


def verify_for_rollback(
    model: Path,
    lineage: LineageFolder,
    *,
    tags: Mapping[str, str] | None = None,
    trusted: Sequence[PublicKey] = (),
    audit: AuditLog | None = None,
) -> Verification:
    """May the bytes in `model` serve again? The same questions but three, which would forbid every rollback.

    The policy, the champion and the clock have moved since it served; instead it must have served: a deploy statement
    must say so, and its gate must have allowed it (or the override be on record).
    """
    look = Look(model, lineage)
    look.bytes_and_statements(trusted)
    served = [s for s in look.statements if s.kind == "deploy" and s.predicate.get("outcome") == "succeeded"]
    if not served:
        look.say("never served: no deploy statement says it succeeded", STATEMENTS, "deploy it instead")
    elif not served[-1].predicate.get("ungated"):
        look.gate(None, None, None)
    look.tags(tags)
    look.audit(audit, tags or {})
    return _verification("roll back", look, str(served[-1].predicate.get("ungated", "")) if served else "")


def verify_for_promotion(
    model: Path,
    lineage: LineageFolder,
    *,
    tags: Mapping[str, str] | None = None,
    trusted: Sequence[PublicKey] = (),
    audit: AuditLog | None = None,
) -> Verification:
    """May the bytes in `model` go to another registry? A gate allowed them, under the policy and champion of its time.

    Where they arrive, another policy and another champion stand: they are gated again there before they serve.
    """
    look = Look(model, lineage)
    look.bytes_and_statements(trusted)
    look.gate(None, None, None)
    look.tags(tags)
    look.audit(audit, tags or {})
    return _verification("promote", look, "")


def verify_recorded(
    model: Path,
    lineage: LineageFolder,
    *,
    tags: Mapping[str, str] | None = None,
    trusted: Sequence[PublicKey] = (),
    audit: AuditLog | None = None,
) -> Verification:
    """Are these the bytes recorded, and the records whole? No door: whether a gate allowed it is not asked."""
    look = Look(model, lineage)
    look.bytes_and_statements(trusted)
    look.tags(tags)
    look.audit(audit, tags or {})
    return _verification("verify", look, "")


def _verification(action: str, look: Look, ungated: str) -> Verification:
    return Verification(action, look.digest, look.signed, tuple(look.problems), ungated)
