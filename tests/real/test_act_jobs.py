"""The examples of pipeline and sweep jobs, run by the actions under act: trained, judged, registered."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
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
    for name in ("train", "test"):  # fewer rows: what is shown is the way, not the model
        rows = pq.read_table(EXAMPLES / f"census-income/data/{name}.parquet").slice(0, 9000)
        pq.write_table(rows, folder / f"census-income/data/{name}.parquet")
    (folder / ".github/workflows").mkdir(parents=True)
    (folder / ".github/workflows/w.yml").write_text(job(STEPS))
    (folder / ".gitignore").write_text(".gates/\n")
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "remote", "add", "origin", "https://github.com/acme/example")
    # One thread: on a machine that others load, threads that wait for one another burn what the imports do not.
    ran = rig.run(folder, arguments=["--env", "OMP_NUM_THREADS=1"], timeout=550)
    assert ran.code == 0, ran.raw[-6000:]
    log = ran.log("pipeline")
    running = [log.index(f"step {name}: running") for name in ("prepare", "train", "evaluate")]
    assert running == sorted(running)
    measured = dict(re.findall(r"(rows|roc_auc)\W+([\d.]+)", ran.summary("pipeline")))
    assert float(measured["rows"]) == 9000
    assert 0.85 < float(measured["roc_auc"]) < 1
    assert "best of 3 trials (0 failed" in ran.log("sweep")
    assert ran.outputs("gate")["verdict"] == "PASS"
    assert ran.outputs("register")["model-version"] == "1"
    assert ran.outputs("register")["registered"] == "true"
