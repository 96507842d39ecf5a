"""Results files of other tools are counted as their standards say, and what is no such file is no evidence."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from gates.collect import findings
from gates.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path


def test_sarif_levels_suppressions_and_broken_scans(tmp_path: Path) -> None:
    path = tmp_path / "s.sarif"
    message = {"text": "m"}
    results = [{"message": message}, {"level": "error", "message": message}]
    results.append({"level": "error", "message": message, "suppressions": [{"kind": "inSource"}]})
    run = {"tool": {"driver": {"name": "t"}}, "results": results, "invocations": [{"executionSuccessful": False}]}
    path.write_text(json.dumps({"version": "2.1.0", "runs": [run]}))
    found = findings.read(path, "sarif")
    assert (dict(found.counts), found.completed) == ({"error": 1, "warning": 1, "note": 0}, False)


def test_junit_believes_the_worse_of_cases_and_claims(tmp_path: Path) -> None:
    path = tmp_path / "j.xml"
    path.write_text('<testsuite tests="2" errors="3"><testcase name="a"><failure/></testcase><testcase/></testsuite>')
    found = findings.read(path, "junit")
    assert (dict(found.counts), found.evaluated) == ({"failure": 1, "error": 3, "skipped": 0}, 2)


@pytest.mark.parametrize("kind", ["sarif", "junit", "great_expectations"])
@pytest.mark.parametrize("text", ["", "{}", "[]", "<!DOCTYPE a><testsuite/>", "<a/>", '{"version": "2.1.0"}'])
def test_what_is_no_results_file_is_refused(tmp_path: Path, kind: str, text: str) -> None:
    path = tmp_path / "f"
    path.write_text(text)
    with pytest.raises(InvalidInput):
        findings.read(path, kind)
