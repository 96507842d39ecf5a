"""The texts that people and machines read of a report, to the letter; `python` this file to write them anew."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from page_world import rollout

from gates.reports import json as json_report
from gates.reports import junit, markdown
from gates.verdict import CheckResult, EvidenceItem, GateReport, Status, Verdict

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "reports"
RUN = {"started": "2026-11-21T04:00:00+00:00", "platform": "shell", "versions": {"python": "3.11"}, "paths": {}}
POLICY = {"digest": "sha256:" + "a" * 64, "name": "credit-risk", "revision": 7, "source": "ref:origin/main"}
HOSTILE = "<b>@you</b> |x| [a](http://b) `c` *d* _e_\n::error::f ##[g] \\ & \x00\x1b[31m"


def check(
    name: str, status: Status, *, severity: str = "block", reason: str = "Because.", **more: object
) -> CheckResult:
    return CheckResult(name, "threshold", status, reason, severity=severity, **more)  # type: ignore[arg-type]  # fields of it


EVERY = GateReport(
    step="validate-gate", stage="validate", verdict=Verdict.FAIL, decision="refuse", policy=POLICY,
    model={"digest": "sha256:" + "b" * 64}, champion={"digest": "sha256:" + "c" * 64, "version": "3"},
    data={"digest": "sha256:" + "d" * 64, "rows": 20_000},
    checks=(
        check("passes", Status.PASS, observed=0.912, interval=(0.9011, 0.9229), required={"min": 0.85},
              n=20_000, line=9),
        check("fails", Status.FAIL, observed=0.5, interval=(0.45, 0.55), required={"min": 0.85, "by": "sex"}, n=400),
        check("undecided", Status.INCONCLUSIVE, observed=0.86, n=300, n_needed=4200),
        check("broken", Status.ERROR, observed=float("nan"), reason="f1 is nan, not a finite number"),
        check("advisory", Status.FAIL, severity="warn", observed=0.07, required={"max": 0.05}),
        check("skipped", Status.SKIPPED, reason="There is no champion yet."),
        check("waived", Status.WAIVED, reason="Too low. Waived until 2026-12-31 by user:x: soon mended"),
        check("hostile", Status.FAIL, reason=HOSTILE, required={"by": HOSTILE}),
    ),
    evidence=(EvidenceItem("metrics", "sha256:" + "e" * 64, self_reported=True),
              EvidenceItem("manifest", "sha256:" + "f" * 64)),
)  # fmt: skip
DRIFT = GateReport(
    step="drift-check", stage="drift", verdict=Verdict.FAIL, decision="refuse", policy=POLICY, model={"digest": ""},
    champion=None, data={"digest": "", "rows": 900},
    checks=(check("features", Status.FAIL, reason="1 of 2 columns drifted: age"),),
    columns=(
        {"name": "income", "kind": "number", "ks": 0.01, "p": 0.7, "q": 0.7, "psi": None, "w1": 3.0, "js": 0.01,
         "chi2": None, "drifted": False, "severity": "none", "action": ""},
        {"name": "age|<x>", "kind": "number", "ks": 0.31, "p": 1e-9, "q": 2e-9, "psi": 0.4, "w1": 3.0, "js": 0.2,
         "chi2": None, "drifted": True, "severity": "major", "action": "look at it"},
    ),
    retrain={"decide": True, "reason": "drift: 1 of 2 columns drifted (age|<x>)"},
)  # fmt: skip
DONE = GateReport(
    step="register", stage="register", verdict=Verdict.INCONCLUSIVE, decision="allow",
    policy={"digest": "", "name": "", "revision": 0, "source": ""}, model={"digest": "sha256:" + "b" * 64},
    champion=None, data={"digest": "", "rows": 0}, checks=(), note="not judged: the policy has no stage 'register'",
)  # fmt: skip
ROLLOUT = rollout()
REPORTS = {"every-status": EVERY, "drift": DRIFT, "not-judged": DONE}


def texts() -> dict[str, str]:
    """Each golden file with what it must hold."""
    found = {}
    for name, report in REPORTS.items():
        found[f"{name}.md"] = markdown.summary(report, {"failed-checks": ", ".join(report.failed_checks), "empty": ""})
        found[f"{name}.txt"] = "".join(line + "\n" for line in markdown.lines(report))
        found[f"{name}.junit.xml"] = junit.render(report)
        found[f"{name}.json"] = json_report.render(report, RUN)[0]
    for where, mermaid in (("github", True), ("azure-devops", False)):
        facts = {"state": "SUCCEEDED"}
        found[f"rollout.{where}.md"] = markdown.summary(DONE, facts, rollout=ROLLOUT, mermaid=mermaid)
    return found


@pytest.mark.parametrize("name", sorted(texts()))
def test_a_report_reads_as_it_did(name: str) -> None:
    assert texts()[name] == (GOLDEN / name).read_text(encoding="utf-8"), "read the difference; then run this file"


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_every_report_fits_its_schema(report: GateReport) -> None:
    text, digest = json_report.render(report, RUN)
    jsonschema.validate(json.loads(text), json_report.schema())
    assert digest.startswith("sha256:")
    assert json_report.render(report, {**RUN, "started": "later", "platform": "github"})[1] == digest


@pytest.mark.parametrize("key", ["verdict", "decision", "checks", "policy"])
def test_the_schema_refuses_a_report_without_its_parts(key: str) -> None:
    broken = json.loads(json_report.render(EVERY, RUN)[0])
    del broken["result"][key]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, json_report.schema())


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_junit_counts_what_it_holds(report: GateReport) -> None:
    suite = ET.fromstring(junit.render(report))
    assert int(suite.attrib["tests"]) == len(suite.findall("testcase")) == len(report.checks)
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(suite.attrib[name]) == len(suite.findall(f"testcase/{tag}"))


def test_what_the_policy_tolerates_is_no_error_in_junit() -> None:
    undecided = replace(EVERY, verdict=Verdict.INCONCLUSIVE, checks=(check("a", Status.INCONCLUSIVE),))
    assert 'errors="1"' in junit.render(undecided)
    assert 'errors="0"' in junit.render(replace(undecided, decision="allow"))


def test_a_refused_report_never_has_a_green_junit() -> None:
    suite = ET.fromstring(junit.render(EVERY))
    assert int(suite.attrib["failures"]) + int(suite.attrib["errors"]) > 0


@given(st.text(max_size=40))
def test_a_cell_holds_no_markup_of_the_text_it_shows(text: str) -> None:
    shown = markdown.cell(text)
    assert "\n" not in shown
    assert "<" not in shown
    assert "@" not in shown
    assert "::" not in shown
    assert "##" not in shown
    rest = shown.replace("\\\\", "")
    for mark in "|`*_[]~":
        assert rest.count(mark) == rest.count("\\" + mark), "each is escaped"


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for golden, words in texts().items():
        (GOLDEN / golden).write_text(words, encoding="utf-8")
