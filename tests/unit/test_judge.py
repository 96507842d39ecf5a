"""The laws of joining: the worst wins, advice never decides, waivers excuse FAIL alone, silence is not consent."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gates.checks.spec import Need
from gates.evidence import Evidence
from gates.judge import judge
from gates.policy import Bound, Policy, PolicyFile, Stage, StagesFile, Waiver
from gates.reports import json as json_report
from gates.steps.step import ended
from gates.verdict import CheckResult, Status, Verdict, worst

if TYPE_CHECKING:
    from gates.checks.spec import Check, OnInconclusive, Settings, Severity
    from gates.verdict import GateReport

TODAY = date(2026, 11, 21)
STATUSES = st.sampled_from(Status)
RESULTS = st.lists(
    st.tuples(STATUSES, st.sampled_from(["block", "warn"]), st.sampled_from(["block", "warn"])), max_size=8
)


@dataclass(frozen=True)
class Fixed:
    """A check that decides what it is told."""

    id: str
    status: Status
    severity: Severity | None = None
    on_inconclusive: OnInconclusive | None = None

    def needs(self) -> tuple[Need, ...]:
        return ()

    def lint(self) -> tuple[tuple[str, str], ...]:
        return ()

    def explain(self) -> str:
        return ""

    def decide(self, evidence: Evidence, settings: Settings) -> CheckResult:
        return CheckResult(self.id, "fixed", self.status, "told so.")


def policy(results: list[tuple[Status, Any, Any]], *waivers: Waiver) -> Policy:
    def bound(i: int, status: Status, severity: Any, undecided: Any) -> Bound:
        check: Check = Fixed(f"c{i}", status)
        return Bound(check, "fixed", i + 1, severity, undecided)

    stage = Stage("validate", 1, tuple(bound(i, *result) for i, result in enumerate(results)))
    settings = PolicyFile(version=1, name="p", stages=StagesFile(), waivers=list(waivers))
    return Policy(Path("p.yml"), "sha256:" + "0" * 64, "file", settings, {"validate": stage})


def judged(results: list[tuple[Status, Any, Any]], *waivers: Waiver, today: date = TODAY, **about: Any) -> GateReport:
    return judge(policy(results, *waivers), "validate", Evidence(), step="validate-gate", today=today, model=about)


def waiver(**more: Any) -> Waiver:
    return Waiver(**{"check": "c0", "reason": "r", "approved_by": "user:x", "expires": "2026-12-31", **more})


@given(st.lists(STATUSES), st.lists(STATUSES))
def test_joining_is_a_semilattice(a: list[Status], b: list[Status]) -> None:
    def join(*verdicts: Verdict | None) -> Verdict | None:
        return worst([verdict for verdict in verdicts if verdict is not None])

    assert worst(a + b) == worst(b + a) == join(worst(a), worst(b))
    assert worst(a + a) == worst(a)
    assert (worst(a) is None) == (not any(status.decided for status in a))


def test_the_order_is_pass_inconclusive_error_fail() -> None:
    ordered = [Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.ERROR, Verdict.FAIL]
    assert sorted(Verdict, key=lambda verdict: verdict.rank) == ordered
    for low, high in itertools.combinations(ordered, 2):
        assert worst([low, high]) is high


@given(RESULTS)
def test_advice_never_decides(results: list[tuple[Status, Any, Any]]) -> None:
    report = judged(results)
    blocking = [result for result in results if result[1] == "block"]
    assert (report.verdict, report.decision) == (judged(blocking).verdict, judged(blocking).decision)
    assert all(report.checks[int(name[1:])].severity == "block" for name in report.failed_checks)


@given(RESULTS)
def test_allow_means_that_a_blocking_check_decided_and_none_was_worse_than_tolerated(
    results: list[tuple[Status, Any, Any]],
) -> None:
    report = judged(results)
    blocking = [(status, undecided) for status, severity, undecided in results if severity == "block"]
    decided = [(status, undecided) for status, undecided in blocking if status.decided]
    fine = bool(decided) and all(
        status is Status.PASS or (status is Status.INCONCLUSIVE and undecided == "warn")
        for status, undecided in decided
    )
    assert report.allowed == fine
    assert (ended(report).exit_code == 0) == fine
    if not decided:
        assert report.verdict is Verdict.ERROR
        assert ended(report).exit_code == 4


@given(RESULTS, st.integers(0, 7), st.sampled_from([Status.FAIL, Status.ERROR, Status.INCONCLUSIVE]))
def test_worse_evidence_never_helps(results: list[tuple[Status, Any, Any]], at: int, bad: Status) -> None:
    worse = [
        (bad, s, u) if i == at and status is Status.PASS else (status, s, u) for i, (status, s, u) in enumerate(results)
    ]
    assert judged(worse).verdict.rank >= judged(results).verdict.rank or not judged(results).allowed


@given(RESULTS)
def test_every_judged_report_fits_the_schema_and_equal_inputs_give_equal_bytes(
    results: list[tuple[Status, Any, Any]],
) -> None:
    run = {"started": "", "platform": "", "versions": {}, "paths": {}}
    first, second = json_report.render(judged(results), run), json_report.render(judged(results), run)
    assert first == second
    jsonschema.validate({"schema": "report.v1", "result": judged(results).to_json(), "run": run}, json_report.schema())


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.WAIVED])
def test_a_waiver_excuses_fail_and_nothing_else(status: Status) -> None:
    results = [(status, "block", "block"), (Status.PASS, "block", "block")]
    report = judged(results, waiver())
    assert (report.checks[0].status is Status.WAIVED) == (status is Status.FAIL)
    if status is Status.FAIL:
        assert report.allowed
        assert report.checks[0].reason == "told so. Waived until 2026-12-31 by user:x: r"
    else:
        assert report == judged(results)


@pytest.mark.parametrize(
    ("more", "today", "excused"),
    [
        ({}, TODAY, True),
        ({"expires": "2026-11-21"}, TODAY, True),
        ({"expires": "2026-11-20"}, TODAY, False),
        ({"check": "c1"}, TODAY, False),
        ({"check": "c"}, TODAY, False),
        ({"model_version": "42"}, TODAY, True),
        ({"model_version": "41"}, TODAY, False),
        ({"model_digest": "sha256:aa"}, TODAY, True),
        ({"model_digest": "sha256:bb"}, TODAY, False),
        ({"model_version": "42", "model_digest": "sha256:bb"}, TODAY, False),
    ],
)
def test_a_waiver_counts_only_for_its_check_its_model_and_its_time(
    more: dict[str, str], today: date, *, excused: bool
) -> None:
    results: list[tuple[Status, Any, Any]] = [(Status.FAIL, "block", "block"), (Status.PASS, "block", "block")]
    report = judged(results, waiver(**more), today=today, version="42", digest="sha256:aa")
    assert report.allowed == excused
    unknown_model = judged(results, waiver(**more), today=today)
    assert unknown_model.allowed == (excused and not {"model_version", "model_digest"} & set(more))


def test_everything_waived_is_error() -> None:
    report = judged([(Status.FAIL, "block", "block")], waiver())
    assert (report.verdict, report.decision) == (Verdict.ERROR, "refuse")


def test_a_report_says_where_each_check_stands() -> None:
    report = judged([(Status.PASS, "block", "block"), (Status.FAIL, "warn", "block")])
    assert [(check.id, check.severity, check.line) for check in report.checks] == [
        ("c0", "block", 1),
        ("c1", "warn", 2),
    ]


def test_numbers_that_json_cannot_hold_become_null() -> None:
    shown = replace(CheckResult("a", "t", Status.ERROR, "r"), observed=float("nan"), interval=(float("-inf"), 1.0))
    assert shown.to_json()["observed"] is None
    assert shown.to_json()["interval"] == [None, 1.0]


class Lacking(Fixed):
    """One that needs a table."""

    def needs(self) -> tuple[Need, ...]:
        return (Need("table"), Need("table"))


@pytest.mark.parametrize("status", list(Status))
def test_what_was_lacking_is_said_once_where_a_check_could_not_run_and_nowhere_else(status: Status) -> None:
    read = policy([])
    bound = Bound(Lacking("c0", status), "fixed", 1, "block", "block")
    read = replace(read, stages={"validate": Stage("validate", 1, (bound,))})
    evidence = Evidence(lacking={"table": "Give the data.", "package": "Give the model."})
    report = judge(read, "validate", evidence, step="validate-gate", today=TODAY)
    expected = "told so. Give the data." if status is Status.ERROR else "told so."
    assert report.checks[0].reason == expected
