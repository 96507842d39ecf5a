"""Counts of what other tools found: SARIF from scanners, JUnit from tests, Great Expectations from data checks.

A file that says nothing is no evidence: a scanner that did not finish, or a suite that ran no test, is ERROR.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  # dataclass fields
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, field

from gates.checks import ruling
from gates.checks.spec import Need, Settings, Spec
from gates.verdict import CheckResult, Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gates.evidence import Evidence

Format = Literal["sarif", "junit", "great_expectations"]
LEVELS: dict[str, tuple[str, ...]] = {
    "sarif": ("error", "warning", "note"),
    "junit": ("failure", "error", "skipped"),
    "great_expectations": ("unsuccessful", "exception"),
}


@dataclass(frozen=True)
class FindingsFacts:
    """facts["findings"][file]. counts: by level (see LEVELS), every level of the format present. evaluated: tests,
    expectations, or SARIF runs that there were. completed: no run says that it broke off. samples: a few findings.
    """

    format: Format
    counts: Mapping[str, int]
    evaluated: int
    completed: bool
    samples: tuple[str, ...] = ()


class Findings(Spec, frozen=True, kw_only=True, tag="findings"):
    """No more findings of each level than allowed.

    Needs: `findings` (name: the file; options.format; see FindingsFacts). SARIF results that are suppressed do not
    count, and a result without a level is a warning, as the standard says.
    """

    file: Annotated[str, Meta(description="The results file, relative to the project.", min_length=1)]
    format: Annotated[Format, Meta(description="sarif, junit or great_expectations.")]
    max: Annotated[
        dict[str, Annotated[int, Meta(ge=0)]],
        Meta(
            description="By level, the most that passes. sarif: error, warning, note; junit: failure, error, skipped; "
            "great_expectations: unsuccessful, exception. Default: 0 of the worst levels."
        ),
    ] = field(default_factory=dict)
    min_evaluated: Annotated[int, Meta(description="Fewer tests, expectations or runs than this are ERROR.", ge=1)] = 1

    @property
    def allowed(self) -> dict[str, int]:
        worst = {"sarif": ("error",), "junit": ("failure", "error"), "great_expectations": LEVELS["great_expectations"]}
        return dict.fromkeys(worst[self.format], 0) | dict(self.max)

    def needs(self) -> tuple[Need, ...]:
        return (Need("findings", self.file, options={"format": self.format}),)

    def lint(self) -> Iterable[tuple[str, str]]:
        for level in self.max:
            if level not in LEVELS[self.format]:
                yield "max", f"{self.format} has no level '{level}'; write one of {', '.join(LEVELS[self.format])}"

    def explain(self) -> str:
        allowed = ", ".join(f"{count} {level}" for level, count in self.allowed.items())
        return (
            f"{self.file} ({self.format}) may hold at most {allowed}, out of at least {self.min_evaluated} evaluated."
        )

    def decide(self, evidence: Evidence, settings: Settings) -> CheckResult:  # noqa: ARG002  # nothing is estimated
        wanted = ruling.required(file=self.file, max=self.allowed, min_evaluated=self.min_evaluated)
        given = evidence.facts.get("findings")
        facts = given.get(self.file) if isinstance(given, dict) else None
        if not isinstance(facts, FindingsFacts):
            return ruling.error(self, f"the file {self.file} was not read", wanted)
        if facts.format != self.format:
            return ruling.error(self, f"the file {self.file} is {facts.format}, not {self.format}", wanted)
        over = []
        for level, most in self.allowed.items():
            count: object = facts.counts.get(level)
            if type(count) is not int or count < 0:
                return ruling.error(self, f"the file {self.file} has no count of '{level}': {count!r}", wanted)
            if count > most:
                over.append(f"{count} {level}, at most {most} pass")
        total = sum(facts.counts[level] for level in self.allowed)
        if over:
            shown = f" Among them: {'; '.join(facts.samples[:3])}." if facts.samples else ""
            reason = f"{self.file}: {'; '.join(over)}.{shown}"
            shown_result = ruling.result(self, Status.FAIL, reason, wanted=wanted, n=facts.evaluated)
            return ruling.with_observed(shown_result, float(total))
        if not facts.completed:
            return ruling.error(self, f"the file {self.file} is of a run that did not complete", wanted)
        if facts.evaluated < self.min_evaluated:
            return ruling.error(
                self,
                f"the file {self.file} evaluated {facts.evaluated}, fewer than the {self.min_evaluated} asked",
                wanted,
            )
        reason = f"{self.file}: {total} findings that count, none over its limit."
        passed = ruling.result(self, Status.PASS, reason, wanted=wanted, n=facts.evaluated)
        return ruling.with_observed(passed, float(total))
