"""The questions that every door asks of a model and its lineage, one method each; `verify` says which door asks which.

A method adds problems and never raises for bad evidence: all that is wrong is told at once, and what cannot be read is
a problem like any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from gates.canonical import digest
from gates.errors import GatesError, InvalidInput
from gates.lineage.digest import SUMS_NAME, FileSum, differences, folder_sums, sums_digest, sums_text
from gates.lineage.folder import COMPOSITE, STATEMENTS, pointers
from gates.lineage.record import Approval, seconds, utc
from gates.lineage.sign import UNSIGNED, accepted_keys
from gates.lineage.statement import compose
from gates.verdict import Status, Verdict, worst

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from gates.lineage.audit import AuditLog
    from gates.lineage.folder import LineageFolder
    from gates.lineage.sign import PublicKey
    from gates.lineage.statement import Statement

AGAIN = "run validate-gate again"
RESTORE = "fetch what was recorded again, or train anew"
SKEW = 300.0  # seconds that two machines' clocks may differ


@dataclass(frozen=True)
class Problem:
    """Why not: `where` names the file, the statement or the tag."""

    what: str
    where: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}{'; ' + self.hint if self.hint else ''}"


@dataclass(frozen=True)
class ApprovalRule:
    """How many people must have agreed. max_age in seconds; authors: whoever asked, who may not approve."""

    minimum: int = 0
    max_age: float = 259200.0
    authors: frozenset[str] = frozenset()


class Look:
    """Gathers problems; each method asks one of the questions."""

    def __init__(self, model: Path, lineage: LineageFolder) -> None:
        self.model, self.lineage = model, lineage
        self.problems: list[Problem] = []
        self.statements: tuple[Statement, ...] = ()
        self.digest = ""
        self.signed = UNSIGNED

    def say(self, what: str, where: str, hint: str = "") -> None:
        self.problems.append(Problem(what, where, hint))

    def bytes_and_statements(self, trusted: Sequence[PublicKey]) -> None:
        found: tuple[FileSum, ...] = ()
        try:
            found = folder_sums(self.model)
            self.digest = sums_digest(found)
        except GatesError as error:
            self.say(error.what, error.file or str(self.model), error.hint)
        try:
            self.statements = self.lineage.statements()
        except GatesError as error:
            where = f"{error.file}:{error.line}" if error.line else error.file or str(self.lineage.path)
            self.say(error.what, where, error.hint)
            return
        train = self.statements[0]
        recorded = tuple(FileSum(name, sha) for name, sha in train.subjects.items() if name != SUMS_NAME)
        if found:
            for path, what in differences(recorded, found):
                self.say(what, str(self.model / path), RESTORE)
        if sums_digest(recorded) != train.model_digest:
            self.say(f"its files do not make its model digest {train.model_digest}", _name(train), RESTORE)
        self._order()
        self._signatures(trusted)
        self._composite(recorded)

    def _order(self) -> None:
        train = self.statements[0]
        kinds = [statement.kind for statement in self.statements]
        if kinds[0] != "train" or kinds.count("train") != 1:
            self.say("does not begin with its one train statement", STATEMENTS, RESTORE)
        before = {train.digest}
        for statement in self.statements[1:]:
            if statement.model_digest != train.model_digest:
                self.say(f"is about another model, {statement.model_digest}", _name(statement), AGAIN)
            if not statement.previous:
                self.say("names no statement before it", _name(statement), RESTORE)
            for named in statement.previous:
                if named not in before:
                    self.say(
                        f"follows a statement {named} that is not here: one was altered", _name(statement), RESTORE
                    )
            before.add(statement.digest)

    def _signatures(self, trusted: Sequence[PublicKey]) -> None:
        if not trusted:
            tiers = sorted({statement.envelope.tier for statement in self.statements})
            self.signed = "; ".join(tiers)
            return
        by = []
        for statement in self.statements:
            keys = accepted_keys(statement.envelope, trusted)
            if not keys:
                tier = statement.envelope.tier
                self.say(f"is {tier}, not signed by a trusted key", _name(statement), "sign it with a trusted key")
            by.append(keys)
        self.signed = "; ".join(sorted({key for keys in by for key in keys})) or UNSIGNED

    def _composite(self, recorded: tuple[FileSum, ...]) -> None:
        try:
            made = compose(self.statements)
            if self.lineage.composite() != made:
                self.say("does not say what the statements say", str(self.lineage.path / COMPOSITE), RESTORE)
            sums = (self.lineage.path / SUMS_NAME).read_text(encoding="utf-8")
        except GatesError as error:
            self.say(error.what, error.file or STATEMENTS, error.hint)
            return
        except (OSError, UnicodeDecodeError):
            self.say("cannot be read", str(self.lineage.path / SUMS_NAME), RESTORE)
            return
        except (KeyError, TypeError, AttributeError, msgspec.ValidationError):
            self.say("holds a statement that lacks what every one has", STATEMENTS, RESTORE)
            return
        if sums != sums_text(recorded):
            self.say("does not list what the train statement lists", str(self.lineage.path / SUMS_NAME), RESTORE)

    def report(self, report: Mapping[str, Any] | None, data_digest: str | None) -> None:
        """The report given is the one that the gate statement is about, and is about these bytes."""
        result = report.get("result") if report is not None and report.get("schema") == "report.v1" else None
        if not isinstance(result, dict):
            self.say("is missing or not report.v1", "report.json", AGAIN)
            return
        try:
            about, found = _about(result), digest(result)
        except (InvalidInput, KeyError, TypeError, AttributeError, ValueError):
            self.say("lacks what every report has", "report.json", AGAIN)
            return
        if about["model"] != self.digest:
            self.say(f"is about another model, {about['model']}, not {self.digest}", "report.json", AGAIN)
        if data_digest is not None and about["data"] != data_digest:
            self.say(f"is about other data, {about['data']}, not {data_digest}", "report.json", AGAIN)
        joined = worst(Status(c["status"]) for c in result["checks"] if c["severity"] == "block") or Verdict.ERROR
        if joined.value != about["verdict"]:
            self.say(f"says {about['verdict']}, its checks say {joined.value}: it was altered", "report.json", AGAIN)
        gate = self._gate()
        if gate is None:
            return
        stated = f"sha256:{gate.predicate['report']['digest']['sha256']}"
        if stated != found:
            self.say(f"has digest {found}, the gate statement is about {stated}", "report.json", AGAIN)
        elif about != _about_statement(gate):
            self.say("does not say what the report says", _name(gate), AGAIN)

    def gate(self, policy_digest: str | None, live_champion: str | None, now: float | None) -> None:
        """The last gate allowed this model. With `now` None (rollback): under the policy and champion of its time."""
        gate = self._gate()
        if gate is None:
            return
        said, where = gate.predicate, _name(gate)
        verdict, decision = said["verdict"], said["decision"]
        if decision != "allow" or verdict not in ("PASS", "INCONCLUSIVE") or said["verificationResult"] != "PASSED":
            self.say(f"the gate said {verdict}, {decision}", where, "a model that was refused stays refused")
        if gate.model_digest != self.digest:
            self.say(f"is about another model, {gate.model_digest}, not {self.digest or 'these bytes'}", where, AGAIN)
        if now is None:
            return
        about = _about_statement(gate)
        if about["policy"] != policy_digest:
            self.say(f"was decided under policy {about['policy']}, not {policy_digest}", where, AGAIN)
        if about["champion"] != live_champion:
            was, live = about["champion"] or "none", live_champion or "none"
            self.say(f"the champion changed since the gate: compared with {was}, live is {live}", where, AGAIN)
        expires = said.get("expires")
        if expires and now >= seconds(expires):
            self.say(f"expired at {expires}", where, AGAIN)
        if seconds(said["timeVerified"]) > now + SKEW:
            self.say(f"was decided in the future, {said['timeVerified']}", where, "set the clocks right")

    def _gate(self) -> Statement | None:
        gate = next((s for s in reversed(self.statements) if s.kind == "gate"), None)
        if gate is None:
            if self.statements and not any(p.what.startswith("holds no gate") for p in self.problems):
                self.say("holds no gate statement", STATEMENTS, "run validate-gate first")
            return None
        try:
            _about_statement(gate)
            seconds(gate.predicate["timeVerified"])
            _ = (gate.predicate["verificationResult"], gate.predicate["report"]["digest"]["sha256"])
        except (KeyError, TypeError, AttributeError, InvalidInput):
            self.say("lacks what every gate statement has", _name(gate), AGAIN)
            return None
        return gate

    def approvals(self, rule: ApprovalRule, given: Iterable[Approval], policy_digest: str, now: float) -> None:
        """Enough people agreed, to these digests, lately."""
        if rule.minimum <= 0:
            return
        gate = self._gate()
        try:
            stated = msgspec.convert(gate.predicate.get("approvals", ()) if gate else (), tuple[Approval, ...])
        except msgspec.ValidationError as error:
            self.say(f"the gate statement's approvals are not approvals: {error}", "approvals", AGAIN)
            return
        good: set[str] = set()
        ignored: list[str] = []
        for approval in (*stated, *given):
            why = not_counted(approval, rule, self.digest, policy_digest, now)
            if why:
                ignored.append(f"{approval.by}'s {why}")
            else:
                good.add(approval.by)
        if len(good) < rule.minimum:
            detail = f": {'; '.join(dict.fromkeys(ignored))}" if ignored else ""
            self.say(
                f"{len(good)} of {rule.minimum} approvals{detail}", "approvals", f"ask for approval of {self.digest}"
            )

    def tags(self, tags: Mapping[str, str] | None) -> None:
        """The registry's pointers still point where they did."""
        if tags is None or not self.statements:
            return
        try:
            expected = pointers(tuple(s for s in self.statements if s.kind != "deploy"))
        except (GatesError, KeyError, TypeError, AttributeError):
            return  # said by `_composite`
        for name, value in sorted(expected.items()):
            if tags.get(name) != value:
                found = repr(tags[name]) if name in tags else "missing"
                self.say(
                    f"is {found}, recorded was {value!r}", f"tag {name}", "a tag was edited by hand: register again"
                )
        for name in sorted(set(tags) - set(expected)):
            if tags[name] and name in ("gates.ungated", "gates.decision", "gates.gate_statement"):
                self.say(f"is {tags[name]!r}, recorded was nothing", f"tag {name}", "a tag was edited by hand")

    def audit(self, audit: AuditLog | None, tags: Mapping[str, str]) -> None:
        """The log is whole, holds every head that was anchored, and tells of every statement."""
        if audit is None:
            return
        anchors = [s.audit_head for s in self.statements if s.audit_head] + [
            tags[name] for name in ("gates.audit_head",) if name in tags
        ]
        try:
            events = audit.events(anchors)
        except GatesError as error:
            self.say(error.what, error.file or str(audit.chain.path), error.hint)
            return
        told = {event.statement for event in events}
        for statement in self.statements:
            if statement.digest not in told:
                self.say("is not in the audit log: it was altered or added", _name(statement), RESTORE)


def _name(statement: Statement) -> str:
    return f"{statement.kind} statement {statement.digest}"


def _about(result: Mapping[str, Any]) -> dict[str, Any]:
    """What a report's result is about, for comparison."""
    champion = result["champion"]
    return {
        "model": result["model"]["digest"],
        "policy": result["policy"]["digest"],
        "data": result["data"]["digest"],
        "champion": None if champion is None else champion["digest"],
        "verdict": result["verdict"],
        "decision": result["decision"],
        "checks": [(check["id"], check["status"]) for check in result["checks"]],
    }


def _about_statement(gate: Statement) -> dict[str, Any]:
    said = gate.predicate
    policy = said["policy"].get("digest", {}).get("sha256")
    about = {**said, "model": {"digest": gate.model_digest}, "champion": said.get("champion")}
    return _about({**about, "policy": {"digest": f"sha256:{policy}" if policy else ""}})


def not_counted(approval: Approval, rule: ApprovalRule, model: str, policy: str, now: float) -> str:
    """Why this approval does not count under the rule, for a model and policy digest; '' when it does."""
    if approval.model_digest != model:
        return f"is for another model, {approval.model_digest}"
    if approval.policy_digest != policy:
        return f"is for another policy, {approval.policy_digest}"
    given = seconds(approval.at)
    if now - given > rule.max_age:
        return f"expired: given {approval.at}, {rule.max_age:.0f} s count, it is {utc(now)}"
    if given > now + SKEW:
        return f"lies in the future, {approval.at}"
    if approval.by in rule.authors:
        return "does not count: the author may not approve"
    return ""
