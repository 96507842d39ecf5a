"""`make run` does the main job: the story under real act, with the summary that the README shows and nothing left."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def told(
    tmp_path_factory: pytest.TempPathFactory, need: Callable[[str], str]
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The run folder and what the story printed."""
    need("act")
    run = tmp_path_factory.mktemp("story")
    env = {**os.environ, "RUN_DIR": str(run), "HOME": str(run / "home")}
    env.pop("KEEP", None)
    return (
        run,
        subprocess.run(
            [sys.executable, str(ROOT / ".ci/story.py")], cwd=ROOT, env=env, capture_output=True, text=True, timeout=900
        ),
    )


def shape(text: str) -> list[str]:
    """Lines without what differs from run to run: digests, figures, times, places."""
    text = re.sub(r"sha256:[0-9a-f]{64}", "sha256:…", text)
    text = re.sub(r"census-[0-9a-f]{10}", "census-…", text)
    text = re.sub(r"\s*\d+ s\b", " N s", text)
    return [line.strip() for line in text.strip().splitlines() if line.strip()]


@pytest.mark.xdist_group("story")
@pytest.mark.timeout(900)
def test_the_story_ends_as_the_readme_shows(told: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    run, done = told
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"<!-- story -->\n```text\n(.*?)```", readme, re.DOTALL)
    assert shown is not None
    summary = done.stdout.split("═" * 100)[1]
    printed = shape(summary.split("Reports:")[0])
    assert printed == shape(shown.group(1))
    assert len(list((run / "state/reports").glob("*/report.json"))) == 12


@pytest.mark.xdist_group("story")
def test_the_endpoint_answered_from_the_second_version(told: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    run, done = told
    outputs = json.loads((run / "state/reports/deploy-v2/outputs.json").read_text())
    answer = re.search(r"answers, from (\S+):\n\s+(\[\[.*\]\])", done.stdout)
    assert answer is not None
    assert answer.group(1) == outputs["live-deployment"]
    rows = json.loads(answer.group(2))
    assert all(abs(sum(row) - 1) < 1e-9 for row in rows)


@pytest.mark.xdist_group("story")
def test_customers_lost_no_request(told: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    _, done = told
    assert re.search(r"^\s*0 failed$", done.stdout, re.MULTILINE)


@pytest.mark.xdist_group("story")
def test_nothing_is_left_running(told: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    run, _ = told
    left = [p.info for p in psutil.process_iter(["pid", "cmdline", "cwd"]) if str(run) in str(p.info)]
    assert left == []
