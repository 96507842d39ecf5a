"""Results files of other tools as counts: SARIF from scanners, JUnit from tests, Great Expectations from data checks.

Read strictly: a file that is not what the policy says it is, is an error and never 'no findings'. An XML file that
declares entities is refused before it is parsed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gates.checks.findings import FindingsFacts
from gates.document import read_bytes
from gates.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SAMPLES = 5


def read(path: Path, kind: str) -> FindingsFacts:
    """kind: sarif, junit or great_expectations. Raises errors.InvalidInput for a file that is not of that form."""
    raw = read_bytes(path, f"the {kind} results")
    readers: dict[str, Callable[[Any, Path], FindingsFacts]] = {
        "sarif": _sarif, "great_expectations": _great_expectations,
    }  # fmt: skip
    if kind == "junit":
        return _junit(raw, path)
    try:
        value = json.loads(raw)
        return readers[kind](value, path)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _not(kind, path, f"{type(error).__name__} at {error}") from error


def _not(kind: str, path: Path, why: str) -> InvalidInput:
    return InvalidInput(f"not a {kind} results file: {why}", file=path, hint="check `file` and `format` of the check")


def _sarif(value: Any, path: Path) -> FindingsFacts:
    """SARIF 2.1.0: 3.27.10 (a level that is absent is the rule's default, else warning), 3.27.23 (suppressions)."""
    if not str(value["version"]).startswith("2."):
        raise _not("sarif", path, f"version {value['version']}")
    counts, samples, completed = {"error": 0, "warning": 0, "note": 0}, [], True
    for run in value["runs"]:
        completed &= all(call.get("executionSuccessful") is True for call in run.get("invocations", ()))
        if run.get("results") is None:  # 3.14.23: null says that the scan did not run to its end
            completed = False
        for result in run.get("results") or ():
            if any(one.get("status", "accepted") == "accepted" for one in result.get("suppressions") or ()):
                continue
            if result.get("kind", "fail") != "fail":
                continue
            level = result.get("level") or _rule(result, run["tool"]).get("defaultConfiguration", {}).get(
                "level", "warning"
            )
            if level == "none":
                continue
            counts[level] += 1
            samples.append(f"{level} {result.get('ruleId', '')}: {result['message'].get('text', '')}"[:200])
    return FindingsFacts("sarif", counts, len(value["runs"]), completed, tuple(sorted(samples)[:SAMPLES]))


def _rule(result: dict[str, Any], tool: dict[str, Any]) -> dict[str, Any]:
    """The rule of a result, by id, else by index (3.27.5-7, 3.52): rules may stand with the driver or with an
    extension, as those of a scanner's rule packs do. Empty where the file does not describe it.
    """
    parts = [part.get("rules") or () for part in (tool["driver"], *(tool.get("extensions") or ()))]
    named = result.get("rule") or {}
    wanted = result.get("ruleId", named.get("id"))
    for rule in (rule for part in parts for rule in part):
        if wanted is not None and rule.get("id") == wanted:
            return dict(rule)
    part, index = 1 + named.get("toolComponent", {}).get("index", -1), result.get("ruleIndex", named.get("index", -1))
    inside = 0 <= part < len(parts) and 0 <= index < len(parts[part])
    return dict(parts[part][index]) if inside else {}


def _great_expectations(value: Any, path: Path) -> FindingsFacts:
    """A validation result or a checkpoint result: whatever holds `results` of expectations, at any depth.

    A suite that says of itself that it did not succeed is believed, also where none of its results says so.
    """
    suites = list(_suites(value))
    if not suites:
        raise _not("great_expectations", path, "it holds no results of expectations")
    unsuccessful, exceptions, samples, evaluated = 0, 0, [], 0
    for suite in suites:
        before = unsuccessful + exceptions
        for result in suite["results"]:
            evaluated += 1
            raised = _raised(result.get("exception_info") or {})
            if raised or result["success"] is not True:
                config = result.get("expectation_config") or {}
                kind = config.get("expectation_type") or config.get("type") or "expectation"
                samples.append(f"{kind} {config.get('kwargs', {}).get('column', '')}".strip()[:200])
            exceptions += raised
            unsuccessful += not raised and result["success"] is not True
        unsuccessful += suite.get("success", True) is not True and before == unsuccessful + exceptions
    counts = {"unsuccessful": unsuccessful, "exception": exceptions}
    return FindingsFacts("great_expectations", counts, evaluated, True, tuple(sorted(samples)[:SAMPLES]))


def _raised(info: dict[str, Any]) -> bool:
    """`exception_info` is one record, or one record a metric."""
    if info.get("raised_exception"):
        return True
    return any(isinstance(one, dict) and one.get("raised_exception") for one in info.values())


def _suites(value: Any) -> Any:
    if isinstance(value, dict):
        results = value.get("results")
        if isinstance(results, list) and all(isinstance(one, dict) and "success" in one for one in results):
            yield value
            return
        for inner in value.values():
            yield from _suites(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _suites(inner)


def _junit(raw: bytes, path: Path) -> FindingsFacts:
    """Test cases are counted one by one; what a suite's attributes claim beyond them is believed when it is worse."""
    from xml.etree import ElementTree as ET

    if b"<!DOCTYPE" in raw or b"<!ENTITY" in raw or b"\0" in raw:  # in UTF-16 they would not be seen
        raise _not("junit", path, "it declares a document type or entities, or is not UTF-8")
    try:
        root = ET.fromstring(raw)  # noqa: S314  # no document type, so no entities: checked above
    except ET.ParseError as error:
        raise _not("junit", path, str(error)) from error
    if root.tag not in ("testsuites", "testsuite"):
        raise _not("junit", path, f"its root is <{root.tag}>")
    cases = list(root.iter("testcase"))
    counts = {"failure": 0, "error": 0, "skipped": 0}
    samples = []
    for case in cases:
        for level in counts:
            if case.find(level) is not None:
                counts[level] += 1
                if level != "skipped":
                    samples.append(f"{level} {case.get('classname', '')}.{case.get('name', '')}"[:200])
                break
    for level, attribute in (("failure", "failures"), ("error", "errors")):
        claimed = [suite.get(attribute, "0") for suite in (root, *root.findall("testsuite"))]
        if not all(one.isdecimal() for one in claimed):
            raise _not("junit", path, f"{attribute} is no count: {claimed}")
        counts[level] = max(counts[level], int(claimed[0]), sum(int(one) for one in claimed[1:]))
    return FindingsFacts("junit", counts, len(cases), True, tuple(sorted(samples)[:SAMPLES]))
