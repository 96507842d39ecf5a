"""Every way to use the actions, run by act: another repository, this one, the root action, reusable workflows."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from act_rig import git, job, repository

if TYPE_CHECKING:
    from pathlib import Path

    from act_rig import Rig

GATE = """\
      - id: gate
        uses: acme/mlops-gates/actions/validate-gate@v1
        with: {metrics: metrics.json}
"""


def test_an_action_of_another_repository(rig: Rig, tmp_path: Path) -> None:
    ran = rig.run(repository(tmp_path / "r", job(GATE)))
    assert ran.code == 0, ran.raw
    outputs = ran.outputs("gate")
    assert (outputs["verdict"], outputs["exit-code"], outputs["outcome"]) == ("PASS", "0", "passed")
    assert "✅ PASS" in ran.summary("gate")
    assert "mlflow" not in ran.log("gate")


def test_a_failing_step_leaves_outputs_and_summary_for_the_next(rig: Rig, tmp_path: Path) -> None:
    after = """\
      - id: after
        if: ${{ always() }}
        env:
          CODE: ${{ steps.gate.outputs.exit-code }}
          FAILED: ${{ steps.gate.outputs.failed-checks }}
          REPORT: ${{ steps.gate.outputs.report-path }}
        run: echo "read $CODE $FAILED $(grep -c FAIL "$REPORT")"
"""
    ran = rig.run(repository(tmp_path / "r", job(GATE + after), accuracy=0.5))
    assert ran.code != 0
    assert ran.result("gate") == "failure"
    assert ran.outputs("gate")["outcome"] == "refused"
    assert "❌ FAIL" in ran.summary("gate")
    assert "read 1 accuracy.floor 2" in ran.log("after")
    [error] = ran.commands("error")
    assert error["kvPairs"] == {"file": "policy.yml", "line": "8", "title": "FAIL accuracy.floor"}


def test_nan_is_refused_under_act_as_everywhere(rig: Rig, tmp_path: Path) -> None:
    ran = rig.run(repository(tmp_path / "r", job(GATE), accuracy=float("nan")))
    assert ran.code != 0
    assert ran.outputs("gate")["exit-code"] == "4"
    assert ran.outputs("gate")["verdict"] == "ERROR"


def test_the_same_verdict_bytes_in_a_shell_and_under_act(rig: Rig, tmp_path: Path) -> None:
    folder = repository(tmp_path / "r", job(GATE), accuracy=0.5)
    ran = rig.run(folder)
    shell = subprocess.run(
        [sys.executable, "-m", "gates", "validate-gate", "--metrics", "metrics.json", "--json"], cwd=folder,
        capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
    )  # fmt: skip
    assert shell.returncode == 1, shell.stderr
    assert json.loads(shell.stdout)["report-digest"] == ran.outputs("gate")["report-digest"]


def test_an_action_of_the_own_checkout_and_the_root_action(rig: Rig, tmp_path: Path) -> None:
    steps = """\
      - id: gate
        uses: ./actions/validate-gate
        with: {config: sub folder/mlops.yml, metrics: sub folder/metrics.json}
      - id: whole
        continue-on-error: true
        uses: ./
        with: {config: sub folder/mlops.yml, steps: train}
      - id: elsewhere
        continue-on-error: true
        uses: acme/mlops-gates@v1
        with: {config: sub folder/mlops.yml, steps: trian}
"""
    folder = tmp_path / "r"
    shutil.copytree(rig.export, folder)
    for workflow in (folder / ".github").glob("workflows/*.yml"):
        workflow.unlink()
    project = repository(folder / "sub folder")
    shutil.rmtree(project / ".git")
    shutil.rmtree(project / ".github")
    (folder / ".github/workflows").mkdir(parents=True, exist_ok=True)
    (folder / ".github/workflows/w.yml").write_text(job(steps))
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "remote", "add", "origin", "https://github.com/acme/mlops-gates")
    ran = rig.run(folder)
    assert ran.code == 0, ran.raw
    assert ran.outputs("gate")["verdict"] == "PASS"
    assert ran.outputs("whole")["train-exit-code"] == ran.outputs("whole")["exit-code"] == "2"  # it names no job
    assert "train.job" in ran.outputs("whole")["message"]
    assert "did you mean 'train'" in ran.outputs("elsewhere")["message"]


def test_a_project_in_a_sub_folder_of_a_monorepo(rig: Rig, tmp_path: Path) -> None:
    steps = """\
      - id: gate
        uses: acme/mlops-gates/actions/validate-gate@v1
        with: {config: models/credit risk/mlops.yml, metrics: models/credit risk/metrics.json}
"""
    whole = repository(tmp_path / "r", job(steps))
    inner = whole / "models/credit risk"
    inner.mkdir(parents=True)
    for name in ("mlops.yml", "policy.yml", "metrics.json"):
        (whole / name).rename(inner / name)
    ran = rig.run(whole)
    assert ran.code == 0, ran.raw
    assert ran.outputs("gate")["report-path"].endswith("models/credit risk/.gates/reports/validate-gate/report.json")


def test_input_variables_of_the_runner_change_nothing(rig: Rig, tmp_path: Path) -> None:
    text = job(GATE).replace(
        "    steps:\n",
        "    env: {INPUT_METRICS: no.json, INPUT_POLICY: no.yml, INPUT_CONFIG: no.yml, INPUT_STAGE: x}\n    steps:\n",
    )
    ran = rig.run(repository(tmp_path / "r", text))
    assert ran.code == 0, ran.raw
    assert ran.outputs("gate")["verdict"] == "PASS"


@pytest.mark.parametrize("setting", ["empty", "unset"])
def test_no_home(rig: Rig, tmp_path: Path, setting: str) -> None:
    """A step's shell without HOME: the same commands as the actions run."""
    folder = repository(tmp_path / "r")
    output = tmp_path / "output"
    env = rig.env() | {"GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": str(output), "RUNNER_TEMP": str(tmp_path),
                       "GATES_STEP": "validate-gate", "GATES_METRICS": "metrics.json"}  # fmt: skip
    env.pop("HOME")
    if setting == "empty":
        env["HOME"] = ""
    setup = [sys.executable, "-I", str(rig.export / "actions/setup/setup.py")]
    subprocess.run(setup, cwd=folder, env=env, check=True)
    python = output.read_text().splitlines()[1]
    subprocess.run([python, "-I", "-m", "gates", "validate-gate"], cwd=folder, env=env, check=True)
    assert "verdict<<" in output.read_text()


def test_two_runs_in_one_folder(rig: Rig, tmp_path: Path) -> None:
    """Two steps at once over one state: both end well, and every file is whole."""
    folder = repository(tmp_path / "r")
    command = [sys.executable, "-m", "gates", "validate-gate", "--metrics", "metrics.json"]
    running = [subprocess.Popen(command, cwd=folder, env=rig.env(), stderr=subprocess.PIPE) for _ in range(4)]
    for process in running:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    report = json.loads((folder / ".gates/reports/validate-gate/report.json").read_text())
    assert report["result"]["verdict"] == "PASS"
    assert not list(folder.rglob(".report.json.*"))


def test_our_own_ci_gates_on_how_quickly_a_gate_starts(rig: Rig, tmp_path: Path) -> None:
    """The dogfood job as it stands in ci.yml; how quick this loaded machine is, is for the benchmark to say."""
    folder = tmp_path / "r"
    shutil.copytree(rig.export, folder)
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "remote", "add", "origin", "https://github.com/acme/mlops-gates")
    ran = rig.run(folder, event="push", arguments=["--workflows", ".github/workflows/ci.yml", "--job", "dogfood"])
    outputs = ran.outputs("gate")
    assert outputs["verdict"] in ("PASS", "FAIL"), ran.raw[-3000:]
    assert ran.code == int(outputs["exit-code"])
    assert "startup.gate" in ran.summary("gate")
    assert f"verdict {outputs['verdict']}" in ran.log()
