"""docs/capabilities.md names a test for every capability that it calls done or begun, and the test is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| ([A-H]\d+) \| (.+?) \| (.*?) \| (done|part|planned|later) \| (.*) \|$")
ROWS = [m.groups() for line in (ROOT / "docs/capabilities.md").read_text().splitlines() if (m := ROW.match(line))]
DESIGN = ROOT.parent / "shared/design/9-capabilities.md"


def test_every_capability_of_the_design_is_listed_once() -> None:
    ids = [row[0] for row in ROWS]
    assert len(ids) == len(set(ids)) == 72
    if DESIGN.is_file():
        assert set(ids) == set(re.findall(r"^\| ([A-H]\d+)", DESIGN.read_text(), re.MULTILINE))


@pytest.mark.parametrize(("capability", "state", "tests"), [(r[0], r[3], r[4]) for r in ROWS], ids=[r[0] for r in ROWS])
def test_what_is_called_done_names_tests_that_exist(capability: str, state: str, tests: str) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", tests)
    if state in ("done", "part"):
        assert named, f"{capability} names no test"
    for path, name in named:
        file = ROOT / path
        assert file.is_file(), f"{capability}: {path} does not exist"
        if name:
            functions = {n.name for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.FunctionDef)}
            assert name in functions, f"{capability}: {path} has no {name}"
