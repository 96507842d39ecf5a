"""The vocabulary of a decision: statuses, verdicts, the result of a check, the report of a gate.

Rules: `PASS < INCONCLUSIVE < ERROR < FAIL`, the worst wins; blocking and advisory checks are joined apart and an
advisory check never decides; a stage in which no blocking check decided is ERROR. Values only, no judging here.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Verdict(str, Enum):
    """Ordered by badness."""

    PASS = "PASS"  # noqa: S105  # a verdict, not a password
    INCONCLUSIVE = "INCONCLUSIVE"
    ERROR = "ERROR"
    FAIL = "FAIL"

    @property
    def rank(self) -> int:
        return _RANK[self]


_RANK = {Verdict.PASS: 0, Verdict.INCONCLUSIVE: 1, Verdict.ERROR: 2, Verdict.FAIL: 3}


class Status(str, Enum):
    """What became of one check: a verdict, or a reason not to count it."""

    PASS = "PASS"  # noqa: S105  # a status, not a password
    INCONCLUSIVE = "INCONCLUSIVE"
    ERROR = "ERROR"
    FAIL = "FAIL"
    SKIPPED = "SKIPPED"
    WAIVED = "WAIVED"

    @property
    def decided(self) -> bool:
        return self not in (Status.SKIPPED, Status.WAIVED)


@dataclass(frozen=True)
class CheckResult:
    """What one check decided, with the numbers it decided on.

    `observed` and `interval` are in the metric's own unit and None where there is nothing to show; `required` says what
    would pass; `n` counts the rows or requests looked at, `n_needed` how many would decide; `reason` is one sentence.
    """

    id: str
    type: str
    status: Status
    reason: str
    severity: str = "block"
    observed: float | None = None
    interval: tuple[float, float] | None = None
    required: Mapping[str, Any] = field(default_factory=dict)
    n: int | None = None
    n_needed: int | None = None
    line: int = 0

    def to_json(self) -> dict[str, Any]:
        """The check as it stands in report.v1; numbers that JSON cannot hold become null."""
        raw = asdict(self)
        raw["status"] = self.status.value
        raw["observed"] = _finite(self.observed)
        raw["interval"] = None if self.interval is None else [_finite(bound) for bound in self.interval]
        return {key: raw[key] for key in CHECK_KEYS}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> CheckResult:
        """What `to_json` wrote. Raises KeyError, TypeError or ValueError for anything else."""
        interval = raw["interval"]
        shape = {"status": Status(raw["status"]), "interval": None if interval is None else (interval[0], interval[1])}
        return cls(**{**{key: raw[key] for key in CHECK_KEYS}, **shape})

    def at(self, *, severity: str, line: int) -> CheckResult:
        return replace(self, severity=severity, line=line)


CHECK_KEYS = (
    "id", "type", "severity", "status", "observed", "interval", "required", "n", "n_needed", "reason", "line",
)  # fmt: skip


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def worst(statuses: Iterable[Status | Verdict]) -> Verdict | None:
    """The worst of the statuses that decided; None when none did."""
    decided = [Verdict(s.value) for s in statuses if not isinstance(s, Status) or s.decided]
    return max(decided, key=lambda verdict: verdict.rank, default=None)


@dataclass(frozen=True)
class EvidenceItem:
    """A file that was looked at: its name, the sha256 of its bytes, whether the user's own code wrote the figures."""

    name: str
    sha256: str
    self_reported: bool = False


@dataclass(frozen=True)
class GateReport:
    """`result` of report.v1. Equal inputs give equal bytes: nothing here depends on time, place or machine."""

    step: str
    stage: str
    verdict: Verdict
    decision: str
    policy: Mapping[str, Any]
    model: Mapping[str, Any]
    champion: Mapping[str, Any] | None
    data: Mapping[str, Any]
    checks: tuple[CheckResult, ...]
    evidence: tuple[EvidenceItem, ...] = ()
    columns: tuple[Mapping[str, Any], ...] | None = None
    retrain: Mapping[str, Any] | None = None
    note: str = ""

    @property
    def allowed(self) -> bool:
        return self.decision == "allow"

    @property
    def failed_checks(self) -> tuple[str, ...]:
        """Ids of blocking checks that are why the decision is what it is, worst first."""
        bad = [c for c in self.checks if c.severity == "block" and c.status.decided and c.status is not Status.PASS]
        return tuple(c.id for c in sorted(bad, key=lambda c: -Verdict(c.status.value).rank))

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> GateReport:
        """What `to_json` wrote. Raises KeyError, TypeError or ValueError for anything else."""
        plain = {key: raw[key] for key in ("step", "stage", "decision", "policy", "model", "champion", "data")}
        return cls(
            **plain, verdict=Verdict(raw["verdict"]), checks=tuple(CheckResult.from_json(one) for one in raw["checks"]),
            evidence=tuple(EvidenceItem(**one) for one in raw["evidence"]), note=str(raw.get("note", "")),
            columns=tuple(raw["columns"]) if "columns" in raw else None, retrain=raw.get("retrain"),
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        result: dict[str, Any] = {
            "step": self.step,
            "stage": self.stage,
            "verdict": self.verdict.value,
            "decision": self.decision,
            "policy": dict(self.policy),
            "model": dict(self.model),
            "champion": None if self.champion is None else dict(self.champion),
            "data": dict(self.data),
            "checks": [check.to_json() for check in self.checks],
            "evidence": [asdict(item) for item in self.evidence],
        }
        if self.columns is not None:
            result["columns"] = [dict(column) for column in self.columns]
        if self.retrain is not None:
            result["retrain"] = dict(self.retrain)
        if self.note:
            result["note"] = self.note
        return result
