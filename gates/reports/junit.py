"""JUnit XML of a report: a test suite a stage, a test case a check, for the Tests tab of Azure DevOps and others."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from gates.verdict import Status

if TYPE_CHECKING:
    from gates.verdict import GateReport

_ILLEGAL = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(report: GateReport) -> str:
    """A blocking FAIL is a failure, a blocking ERROR or INCONCLUSIVE an error; the rest, and what the policy tolerates,
    is skipped: an allowed report is green."""
    suite = ET.Element("testsuite", name=f"gates.{report.step}.{report.stage}", tests=str(len(report.checks)))
    counts = {"failures": 0, "errors": 0, "skipped": 0}
    for check in report.checks:
        case = ET.SubElement(
            suite, "testcase", classname=f"{report.stage}.{check.type}", name=_clean(check.id), time="0"
        )
        if check.status is Status.PASS:
            ET.SubElement(case, "system-out").text = _clean(check.reason)
            continue
        kind = (
            "skipped"
            if check.severity == "warn"
            or not check.status.decided
            or (report.allowed and check.status is Status.INCONCLUSIVE)
            else "failure"
            if check.status is Status.FAIL
            else "error"
        )
        counts["skipped" if kind == "skipped" else kind + "s"] += 1
        ET.SubElement(case, kind, message=_clean(f"{check.status.value}: {check.reason}"))
    for name, count in counts.items():
        suite.set(name, str(count))
    ET.indent(suite)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(suite, encoding="unicode") + "\n"


def _clean(text: str) -> str:
    return _ILLEGAL.sub("", text)
