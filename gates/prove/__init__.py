"""Would the policy as written let through what must be refused? Each check is fed evidence that is bad beyond doubt.

The checks themselves refuse what is missing or no number. What lets bad evidence through is the policy: a limit that
nothing misses, a point instead of an interval, undecided evidence that is tolerated, a waiver that excuses everything.
Advice (`severity: warn`) never refuses; it is said, and not counted as a hole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gates.judge import judge
from gates.policy import Bound, Policy, Stage
from gates.prove import facts, measured, rows
from gates.verdict import CheckResult, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import date

    from gates.checks.spec import Check, Need, OnInconclusive, Settings, Severity
    from gates.evidence import Evidence

    Bad = tuple[str, Evidence]

KNOWN_BAD: dict[str, Callable[[Check], Iterable[Bad]]] = {**rows.KNOWN_BAD, **measured.KNOWN_BAD, **facts.KNOWN_BAD}


@dataclass(frozen=True)
class Hole:
    """Bad evidence that would be let through, and what the check said of it."""

    what: str
    reason: str


@dataclass(frozen=True)
class Proof:
    """What became of the bad evidence for one check, or for a stage's checks together (check "")."""

    stage: str
    check: str
    line: int
    advisory: bool
    tried: int
    holes: tuple[Hole, ...]


@dataclass(frozen=True)
class _Content:
    """A check that has nothing against it: beside it, only the check that is tried can refuse."""

    id: str = "content"
    severity: Severity | None = None
    on_inconclusive: OnInconclusive | None = None

    def needs(self) -> tuple[Need, ...]:
        return ()

    def lint(self) -> tuple[tuple[str, str], ...]:
        return ()

    def explain(self) -> str:
        return ""

    def decide(self, evidence: Evidence, settings: Settings) -> CheckResult:  # noqa: ARG002  # the protocol's signature
        return CheckResult(self.id, "", Status.PASS, "Nothing is asked.")


def prove(policy: Policy, today: date) -> tuple[Proof, ...]:
    """Every check with its bad evidence; after those of `validate`, its checks of predictions together."""
    found = []
    for stage in policy.stages.values():
        found += [_one(policy, stage, bound, today) for bound in stage.checks]
        if stage.name == "validate":
            found += _together(policy, stage, today)
    return tuple(found)


def _one(policy: Policy, stage: Stage, bound: Bound, today: date) -> Proof:
    holes, tried = [], 0
    blocking = replace(bound, severity="block")
    for what, evidence in KNOWN_BAD[bound.type](bound.check):
        tried += 1
        reason = _let_through(policy, stage, (blocking,), evidence, today)
        holes += [Hole(what, reason)] if reason else []
    return Proof(stage.name, bound.check.id, bound.line, bound.severity == "warn", tried, tuple(holes))


def _let_through(policy: Policy, stage: Stage, bound: tuple[Bound, ...], evidence: Evidence, today: date) -> str:
    """Why the evidence is allowed by these checks; empty when it is refused."""
    content = Bound(_Content(), "", 0, "block", "block")
    alone = replace(policy, stages={stage.name: replace(stage, checks=(*bound, content))})
    report = judge(alone, stage.name, evidence, step="policy check", today=today)
    return " ".join(f"{check.status.value}: {check.reason}" for check in report.checks[:-1]) if report.allowed else ""


def _together(policy: Policy, stage: Stage, today: date) -> list[Proof]:
    """Models that learnt nothing, before all blocking checks that look at predictions of labels."""
    looking = tuple(b for b in stage.checks if b.severity == "block" and rows.looks_at_labels(b.check))
    if not looking:
        return []
    useless = tuple(rows.useless([bound.check for bound in looking]))
    said = [(what, _let_through(policy, stage, looking, evidence, today)) for what, evidence in useless]
    holes = tuple(Hole(what, reason) for what, reason in said if reason)
    return [Proof(stage.name, "", stage.line, advisory=False, tried=len(useless), holes=holes)]
