"""The example's model can be made again, and its card is complete: what its README promises about lineage."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from lineage_project import gates

if TYPE_CHECKING:
    from collections.abc import Callable

pytest.importorskip("sklearn")
EXAMPLE = Path(__file__).parents[2] / "examples" / "census-income"


@pytest.mark.timeout(600)
def test_two_trainings_of_the_example_predict_the_same_bit_by_bit(
    tmp_path: Path, need: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    need("git")
    project = tmp_path / "census"
    shutil.copytree(EXAMPLE, project)
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=t", "-c", "user.email=t@x", "commit", "-qm", "t"]):
        subprocess.run(["git", *command], cwd=project, check=True, capture_output=True)
    (project / ".git/info/exclude").write_text(".gates\n")
    for line in ("train --job jobs/train-v1.yml", "validate-gate", "register --strict-card true"):
        assert gates(project, line) == 0, capsys.readouterr().err
    capsys.readouterr()
    assert gates(project, "lineage verify --version 1 --reproduce --at-least R2 --json") == 0, capsys.readouterr().err
    said = json.loads(capsys.readouterr().out)
    assert said["problems"] == []
    assert said["grade"] in ("R1", "R2"), said["reasons"]
    assert gates(project, "model card --version 1 --strict-card") == 0
    assert "NOT PROVIDED" not in capsys.readouterr().out
