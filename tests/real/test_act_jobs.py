"""The examples of pipeline and sweep jobs, run by the actions under act: trained, judged, registered."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from act_rig import git, job

if TYPE_CHECKING:
    from act_rig import Rig

pytest.importorskip("sklearn")
EXAMPLES = Path(__file__).parents[2] / "examples"
STEPS = """\
      - id: pipeline
        uses: acme/mlops-gates/actions/train@v1
        with: {config: pipeline/mlops.yml}
      - id: sweep
        uses: acme/mlops-gates/actions/train@v1
        with: {config: sweep/mlops.yml}
      - id: gate
        uses: acme/mlops-gates/actions/validate-gate@v1
        with: {config: sweep/mlops.yml}
      - id: register
        uses: acme/mlops-gates/actions/register@v1
        with: {config: sweep/mlops.yml}
"""


def test_the_examples_train_and_the_best_trial_is_registered(rig: Rig, tmp_path: Path) -> None:
    folder = tmp_path / "r"
    for name in ("pipeline", "sweep"):
        shutil.copytree(EXAMPLES / name, folder / name)
    (folder / "census-income/data").mkdir(parents=True)
    for name in ("train", "test"):
        shutil.copy2(EXAMPLES / f"census-income/data/{name}.parquet", folder / "census-income/data")
    (folder / ".github/workflows").mkdir(parents=True)
    (folder / ".github/workflows/w.yml").write_text(job(STEPS))
    (folder / ".gitignore").write_text(".gates/\n")
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "remote", "add", "origin", "https://github.com/acme/example")
    ran = rig.run(folder, timeout=500)
    assert ran.code == 0, ran.raw[-6000:]
    log = ran.log("pipeline")
    running = [log.index(f"step {name}: running") for name in ("prepare", "train", "evaluate")]
    assert running == sorted(running)
    measured = json.loads(Path(ran.outputs("pipeline")["metrics-path"]).read_text())["metrics"]
    assert measured["rows"] == 60_000
    assert measured["roc_auc"] > 0.9
    assert "best of 3 trials (0 failed" in ran.log("sweep")
    assert ran.outputs("gate")["verdict"] == "PASS"
    assert ran.outputs("register")["model-version"] == "1"
    assert ran.outputs("register")["model-digest"] == ran.outputs("sweep")["model-digest"]
