"""The tutorial runs as it stands: its commands in one shell, what it shows in their output, in that order.

In a `console` block a line that begins with `$ ` is a command, `> ` goes on with it, any other is a piece of what is
printed; `<!-- exit: N -->` before a block says that its last command ends so.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(1800)
PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorial.md"
BLOCK = re.compile(r"(?:<!-- exit: (\d+) -->\s*)?^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)


@dataclass
class Command:
    text: str
    shown: list[str] = field(default_factory=list)
    code: int = 0


def commands(page: str) -> list[Command]:
    found: list[Command] = []
    for code, block in BLOCK.findall(page):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(Command(line[2:]))
            elif line.startswith("> ") or line == ">":
                found[-1].text += "\n" + line[2:]
            else:
                found[-1].shown.append(line)
        found[-1].code = int(code or 0)
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("tutorial")
    yield folder
    state = folder / "loans" / ".gates"
    if state.is_dir():  # also when a command in the middle failed
        subprocess.run([sys.executable, "-m", "gates", "endpoint", "stop"], cwd=state.parent, check=False,
                       capture_output=True)  # fmt: skip


def test_the_tutorial_runs_as_it_stands(place: Path) -> None:
    steps = commands(PAGE.read_text(encoding="utf-8"))
    assert len(steps) >= 12
    env = {**os.environ, "HOME": str(place), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    where = place
    for step in steps:
        script = f"{step.text}\ncode=$?\npwd > '{place}/where'\nexit $code\n"
        done = subprocess.run(
            ["bash", "-c", script], cwd=where, env=env, text=True, timeout=900, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == step.code, f"$ {step.text}\n{done.stdout[-3000:]}"
        where = Path((place / "where").read_text().strip())
        at = 0
        for line in step.shown:
            found = done.stdout.find(line, at)
            assert found >= 0, f"$ {step.text}\ndoes not print, in this order: {line}\n{done.stdout[-3000:]}"
            at = found + len(line)
    page = (place / "loans/.gates/reports/report.html").read_text(encoding="utf-8")
    for said in ("ROC", "Calibration", "Rollout", "Lineage", "Model card", "roc_auc.vs_champion", "Slices and groups"):
        assert said in page, said
    reports = place / "loans/.gates/reports"
    for step_name in ("run/train", "run/validate-gate", "run/deploy-blue-green", "validate-gate"):
        assert (reports / step_name / "report.html").is_file(), step_name


def test_a_wrong_line_of_a_page_is_noticed() -> None:
    found = commands("<!-- exit: 3 -->\n\n```console\n$ a\n> b\nshown\n$ c\n```\n\n```bash\nnot run\n```\n")
    assert [(c.text, c.shown, c.code) for c in found] == [("a\nb", ["shown"], 0), ("c", [], 3)]
