"""findings: counts of other tools against what is allowed, and files that say nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from decided import brief, check, decide, lints

from gates.checks.findings import FindingsFacts
from gates.evidence import Evidence
from gates.verdict import Status

SARIF = FindingsFacts("sarif", {"error": 0, "warning": 3, "note": 7}, 2, completed=True)
ASKED: dict[str, Any] = {"file": "f", "format": "sarif"}


def judged(facts: object, **raw: Any) -> tuple[Status, str]:
    return brief(decide("findings", Evidence(facts={"findings": {"f": facts}}), **{**ASKED, **raw}))


@pytest.mark.parametrize(
    ("counts", "raw", "status", "reason"),
    [
        ({}, {}, Status.PASS, "f: 0 findings that count, none over its limit."),
        ({"error": 1}, {}, Status.FAIL, "f: 1 error, at most 0 pass."),
        ({"error": 1}, {"max": {"error": 1}}, Status.PASS, "f: 1 findings that count, none over its limit."),
        ({}, {"max": {"warning": 2}}, Status.FAIL, "f: 3 warning, at most 2 pass."),
        ({"error": 2}, {"max": {"warning": 2}}, Status.FAIL, "f: 2 error, at most 0 pass; 3 warning, at most 2 pass."),
    ],
)
def test_counts_against_what_is_allowed(
    counts: dict[str, int], raw: dict[str, Any], status: Status, reason: str
) -> None:
    assert judged(replace(SARIF, counts={**SARIF.counts, **counts}), **raw) == (status, reason)


def test_samples_are_told() -> None:
    shown = replace(SARIF, counts={"error": 4}, samples=("a", "b", "c", "d"))
    assert judged(shown) == (Status.FAIL, "f: 4 error, at most 0 pass. Among them: a; b; c.")


@pytest.mark.parametrize(
    ("facts", "raw", "reason"),
    [
        (None, {}, "The file f was not read."),
        (SARIF, {"format": "junit"}, "The file f is sarif, not junit."),
        (replace(SARIF, counts={"warning": 0}), {}, "The file f has no count of 'error': None."),
        (replace(SARIF, counts={"error": -1}), {}, "The file f has no count of 'error': -1."),
        (replace(SARIF, completed=False), {}, "The file f is of a run that did not complete."),
        (SARIF, {"min_evaluated": 3}, "The file f evaluated 2, fewer than the 3 asked."),
    ],
)
def test_files_that_say_nothing_are_errors(facts: object, raw: dict[str, Any], reason: str) -> None:
    assert judged(facts, **raw) == (Status.ERROR, reason)


def test_a_broken_run_with_findings_fails() -> None:
    assert judged(replace(SARIF, counts={"error": 1}, completed=False))[0] is Status.FAIL


@pytest.mark.parametrize(
    ("form", "counts", "status"),
    [
        ("junit", {"failure": 0, "error": 0, "skipped": 9}, Status.PASS),
        ("junit", {"failure": 1, "error": 0, "skipped": 0}, Status.FAIL),
        ("junit", {"failure": 0, "error": 1, "skipped": 0}, Status.FAIL),
        ("great_expectations", {"unsuccessful": 0, "exception": 0}, Status.PASS),
        ("great_expectations", {"unsuccessful": 0, "exception": 1}, Status.FAIL),
    ],
)
def test_the_worst_levels_of_each_format(form: Any, counts: dict[str, int], status: Status) -> None:
    assert judged(FindingsFacts(form, counts, 5, completed=True), format=form)[0] is status


def test_lint_and_words() -> None:
    assert lints("findings", **ASKED) == []
    assert lints("findings", max={"fatal": 1}, **ASKED) == [
        ("max", "sarif has no level 'fatal'; write one of error, warning, note")
    ]
    assert check("findings", max={"warning": 2}, **ASKED).explain() == (
        "f (sarif) may hold at most 0 error, 2 warning, out of at least 1 evaluated."
    )
