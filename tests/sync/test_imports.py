"""Who may import whom: the layers in pyproject.toml hold, and a file that breaks them is noticed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]


def lint(tool: str, folder: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run([tool, "--no-cache"], cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_the_layers_hold(need: Callable[[str], str]) -> None:
    said = lint(need("lint-imports"), ROOT)
    assert said.returncode == 0, said.stdout
    assert "1 kept, 0 broken" in said.stdout


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("checks/planted.py", "from gates.platforms import detect"),
        ("judge.py", "from gates.backends import Backend"),
        ("backends/planted.py", "from gates.rollout import machine"),
        ("verdict.py", "from gates.canonical import digest"),
        ("planted.py", ""),
    ],
)
def test_an_import_upwards_is_noticed(file: str, line: str, need: Callable[[str], str], tmp_path: Path) -> None:
    shutil.copytree(ROOT / "gates", tmp_path / "gates", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "gates" / file).open("a") as planted:
        planted.write(f"\n{line}\n")
    assert lint(need("lint-imports"), tmp_path).returncode != 0
