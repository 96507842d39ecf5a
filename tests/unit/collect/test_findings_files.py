"""Results files of other tools are counted as their standards say, and what is no such file is no evidence."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gates.collect import findings
from gates.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

    from gates.checks.findings import FindingsFacts


MESSAGE = {"message": {"text": "m"}}
Values = dict[str, Any]


def sarif(tmp_path: Path, *runs: Values, version: str = "2.1.0") -> FindingsFacts:
    path = tmp_path / "s.sarif"
    path.write_text(json.dumps({"version": version, "runs": list(runs)}))
    return findings.read(path, "sarif")


def run(*results: Values, rules: Any = (), **more: Any) -> Values:
    return {"tool": {"driver": {"name": "t", "rules": list(rules)}}, "results": list(results), **more}


def levels(facts: FindingsFacts) -> tuple[int, ...]:
    return tuple(facts.counts.values())


ERROR, WARNING, NOTE, NONE = (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0)
RULES = [
    {"id": "E", "defaultConfiguration": {"level": "error"}},
    {"id": "N", "defaultConfiguration": {"level": "note"}},
    {"id": "P"},
    {"defaultConfiguration": {"level": "error"}},  # nameless: no result's by its name
]


@pytest.mark.parametrize(
    ("result", "counted"),
    [
        ({}, WARNING),
        ({"level": "error"}, ERROR),
        ({"level": "note"}, NOTE),
        ({"level": "none"}, NONE),
        ({"ruleId": "E"}, ERROR),
        ({"ruleId": "E", "level": "note"}, NOTE),
        ({"ruleId": "P"}, WARNING),
        ({"ruleId": "unknown"}, WARNING),
        ({"ruleIndex": 0}, ERROR),
        ({"ruleIndex": 1}, NOTE),
        ({"ruleIndex": 9}, WARNING),
        ({"rule": {"id": "E"}}, ERROR),
        ({"rule": {"index": 1}}, NOTE),
        ({"ruleId": "E", "ruleIndex": 1}, ERROR),
        ({"kind": "pass", "level": "error"}, NONE),
        ({"kind": "review", "level": "error"}, NONE),
        ({"kind": "fail", "level": "error"}, ERROR),
        ({"level": "error", "suppressions": [{"kind": "inSource"}]}, NONE),
        ({"level": "error", "suppressions": [{"kind": "external", "status": "accepted"}]}, NONE),
        ({"level": "error", "suppressions": [{"kind": "external", "status": "underReview"}]}, ERROR),
        ({"level": "error", "suppressions": [{"kind": "external", "status": "rejected"}]}, ERROR),
        ({"level": "error", "suppressions": []}, ERROR),
    ],
    ids=str,
)
def test_a_sarif_result_counts_at_its_level(result: Values, counted: tuple[int, ...], tmp_path: Path) -> None:
    found = sarif(tmp_path, run({**MESSAGE, **result}, rules=RULES))
    assert (levels(found), found.evaluated, found.completed) == (counted, 1, True)


@pytest.mark.parametrize("rule", [{"id": "E", "index": 0}, {"index": 0, "toolComponent": {"index": 1}}], ids=str)
def test_rules_may_stand_with_an_extension_of_the_tool(rule: Values, tmp_path: Path) -> None:
    """As those of rule packs do: a reader of the driver's rules alone takes their errors for warnings."""
    scan = run({**MESSAGE, "rule": rule})
    scan["tool"]["extensions"] = [{"name": "other"}, {"name": "pack", "rules": RULES}]
    assert levels(sarif(tmp_path, scan)) == ERROR


@pytest.mark.parametrize(
    ("more", "completed"),
    [
        ({}, True),
        ({"invocations": [{"executionSuccessful": True}]}, True),
        ({"invocations": [{"executionSuccessful": False}]}, False),
        ({"invocations": [{"executionSuccessful": True}, {}]}, False),
        ({"results": None}, False),
    ],
    ids=str,
)
@pytest.mark.parametrize("first", [True, False])
def test_one_scan_that_broke_off_is_enough(more: Values, tmp_path: Path, *, completed: bool, first: bool) -> None:
    runs = [run(), {**run(), **more}]
    found = sarif(tmp_path, *(runs if first else runs[::-1]))
    assert (found.completed, found.evaluated) == (completed, 2)


def test_sarif_of_another_version_or_with_a_level_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="version 1"):
        sarif(tmp_path, run(), version="1.0.0")
    with pytest.raises(InvalidInput, match="KeyError at 'fatal'"):
        sarif(tmp_path, run({**MESSAGE, "level": "fatal"}))


def test_a_few_findings_are_shown_and_no_more(tmp_path: Path) -> None:
    found = sarif(tmp_path, run(*({**MESSAGE, "level": "error", "ruleId": f"R{i}"} for i in range(9))))
    assert found.samples == tuple(f"error R{i}: m" for i in range(5))
    assert levels(found) == (9, 0, 0)


def junit(tmp_path: Path, text: str | bytes) -> FindingsFacts:
    path = tmp_path / "j.xml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return findings.read(path, "junit")


CASE, FAILED = "<testcase/>", "<testcase><failure/></testcase>"


@pytest.mark.parametrize(
    ("text", "counted", "evaluated"),
    [
        (f"<testsuite>{CASE}{FAILED}<testcase><error/></testcase><testcase><skipped/></testcase></testsuite>",
         (1, 1, 1), 4),
        (f"<testsuites><testsuite>{FAILED}</testsuite><testsuite>{FAILED}{CASE}</testsuite></testsuites>",
         (2, 0, 0), 3),
        (f"<testsuites><testsuite><testsuite>{FAILED}</testsuite></testsuite></testsuites>", (1, 0, 0), 1),
        ("<testsuite><testcase><failure/><error/></testcase></testsuite>", (1, 0, 0), 1),
        (f'<testsuite tests="2" errors="3">{FAILED}{CASE}</testsuite>', (1, 3, 0), 2),
        (f'<testsuite failures="0">{FAILED}</testsuite>', (1, 0, 0), 1),
        (f'<testsuites failures="2"><testsuite>{CASE}</testsuite></testsuites>', (2, 0, 0), 1),
        (f'<testsuites failures="1"><testsuite failures="1">{CASE}</testsuite><testsuite failures="1">{CASE}'
         "</testsuite></testsuites>", (2, 0, 0), 2),
    ],
)  # fmt: skip
def test_junit_believes_the_worse_of_cases_and_claims(
    text: str, counted: tuple[int, ...], evaluated: int, tmp_path: Path
) -> None:
    found = junit(tmp_path, text)
    assert (levels(found), found.evaluated, found.completed) == (counted, evaluated, True)


def test_junit_that_could_do_harm_or_counts_in_words_is_refused(tmp_path: Path) -> None:
    bomb = '<?xml version="1.0"{}?><!DOCTYPE a [<!ENTITY b "c">]><testsuite><testcase name="&b;"/></testsuite>'
    with pytest.raises(InvalidInput, match="a document type"):
        junit(tmp_path, bomb.format(""))
    with pytest.raises(InvalidInput, match="a document type"):
        junit(tmp_path, bomb.format(' encoding="UTF-16"').encode("utf-16"))
    with pytest.raises(InvalidInput, match="failures is no count"):
        junit(tmp_path, f'<testsuite failures="none">{CASE}</testsuite>')
    with pytest.raises(InvalidInput, match="its root is <a>"):
        junit(tmp_path, f"<a>{CASE}</a>")


def expectations(tmp_path: Path, value: Any) -> FindingsFacts:
    path = tmp_path / "g.json"
    path.write_text(json.dumps(value))
    return findings.read(path, "great_expectations")


GOOD: Values = {"success": True, "expectation_config": {"expectation_type": "expect_a", "kwargs": {"column": "c"}}}
BAD: Values = {**GOOD, "success": False}
RAISED: Values = {**BAD, "exception_info": {"raised_exception": True}}


@pytest.mark.parametrize(
    ("results", "more", "counted"),
    [
        ([GOOD, GOOD], {}, (0, 0)),
        ([GOOD, BAD], {"success": False}, (1, 0)),
        ([BAD, BAD, RAISED], {"success": False}, (2, 1)),
        ([{**GOOD, "exception_info": {"raised_exception": True}}], {}, (0, 1)),
        ([{**GOOD, "exception_info": {"a metric": {"raised_exception": True}}}], {}, (0, 1)),
        ([{**GOOD, "exception_info": {"a metric": {"raised_exception": False}}}], {}, (0, 0)),
        ([{**GOOD, "success": None}], {}, (1, 0)),
        ([GOOD, GOOD], {"success": False}, (1, 0)),
        ([GOOD, RAISED], {"success": False}, (0, 1)),
    ],
)
@pytest.mark.parametrize("form", ["validation", "checkpoint", "checkpoint of 0.18"])
def test_great_expectations_counts_what_did_not_succeed(
    results: list[Values], more: Values, counted: tuple[int, ...], form: str, tmp_path: Path
) -> None:
    suite: Values = {"results": results, "success": True, "meta": {"results_format": "x"}, **more}
    whole: Any = {
        "validation": suite,
        "checkpoint": {"run_results": {"id": suite}},
        "checkpoint of 0.18": {"run_results": {"id": {"validation_result": suite}}},
    }[form]
    found = expectations(tmp_path, whole)
    assert (levels(found), found.evaluated) == (counted, len(results))
    assert all(one == "expect_a c" for one in found.samples)


def test_several_suites_count_together(tmp_path: Path) -> None:
    found = expectations(tmp_path, [{"results": [BAD, GOOD]}, {"results": [BAD]}])
    assert (levels(found), found.evaluated) == ((2, 0), 3)
    with pytest.raises(InvalidInput, match="no results of expectations"):
        expectations(tmp_path, {"results": [{"verdict": "good"}]})


@pytest.mark.parametrize("kind", ["sarif", "junit", "great_expectations"])
@pytest.mark.parametrize("text", ["", "{}", "[]", "<!DOCTYPE a><testsuite/>", "<a/>", '{"version": "2.1.0"}'])
def test_what_is_no_results_file_is_refused(tmp_path: Path, kind: str, text: str) -> None:
    path = tmp_path / "f"
    path.write_text(text)
    with pytest.raises(InvalidInput):
        findings.read(path, kind)
