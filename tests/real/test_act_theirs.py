"""A repository of somebody else's, whose own environment with older packages is active, by every kind of `uses:`.

The project stands in a sub-folder of a monorepo. Each starter workflow is run as somebody copies it, through the
reusable workflow that it calls, with the state outside of the workspace as on a runner of one's own. One chain of runs
serves all tests: trained, gated and registered by `pipeline`; deployed by `deploy`; told to retrain by `drift`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import their_project
from act_rig import POLICY, ROOT, git, job
from act_rig import repository as gated
from their_project import MLFLOW, NUMPY, PLACE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from act_rig import ActRun, Rig

pytestmark = pytest.mark.timeout(1800)  # the chain of runs is made once, for the first test
SECRET = "s3cr3t-planted-4713"
AFTER = """\
  after:
    needs: {job}
    runs-on: ubuntu-latest
    steps:
      - id: read
        env:
          OUTPUTS: ${{{{ toJSON(needs.{job}.outputs) }}}}
        run: echo "$OUTPUTS" | tr -d '\\n'
"""
CALLED = {"pipeline": "model", "deploy": "deploy", "drift": "drift"}


ACTIVATE = """\
      - name: Their environment, active as a step of a workflow makes it so
        env: {THEIRS: "VENV"}
        run: |
          echo "VIRTUAL_ENV=$THEIRS" >> "$GITHUB_ENV"
          echo "$THEIRS/bin" >> "$GITHUB_PATH"
"""
EVERY_KIND = """\
      - id: elsewhere
        uses: acme/mlops-gates/actions/train@v1
        with: {config: PLACE/mlops.yml}
      - id: here
        uses: ./actions/train
        with: {config: PLACE/mlops.yml}
      - id: whole
        uses: ./
        with: {config: PLACE/mlops.yml, steps: "validate-gate,register"}
"""


@dataclass(frozen=True)
class Line:
    """What the chain left: each run, and the state that they shared."""

    runs: dict[str, ActRun]
    state: Path


@pytest.fixture(scope="module")
def theirs(rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their environment; their package's wheel lies beside it."""
    return their_project.environment(rig, tmp_path_factory.mktemp("theirs"))


def monorepo(folder: Path, workflows: dict[str, str]) -> Path:
    their_project.project(folder / PLACE)
    (folder / ".github/workflows").mkdir(parents=True, exist_ok=True)
    for name, text in workflows.items():
        (folder / f".github/workflows/{name}.yml").write_text(text)
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "remote", "add", "origin", "https://github.com/acme/example")
    return folder


def contents(folder: Path) -> dict[str, str]:
    """What is in an environment, but for byte code."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def starter(name: str, state: Path) -> str:
    """A starter as it is, but for the project's place, the state's, and a last job that reads the outputs."""
    text = (ROOT / f"templates/github/{name}.yml").read_text()
    assert "config: mlops.yml" in text
    told = text.replace("config: mlops.yml", f"config: {PLACE}/mlops.yml\n      state-dir: {state}")
    return told + AFTER.format(job=CALLED[name])


@pytest.fixture(scope="module")
def line(rig: Rig, theirs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    base = tmp_path_factory.mktemp("starters")
    state = base / "state"
    folder = monorepo(base / "r", {name: starter(name, state) for name in CALLED})
    env = {"PATH": f"{theirs / 'bin'}{os.pathsep}{rig.env()['PATH']}", "VIRTUAL_ENV": str(theirs),
           "PIP_FIND_LINKS": str(theirs.parent)}  # where their package is, for the model server  # fmt: skip
    secret = ["--env", f"MLFLOW_TRACKING_PASSWORD={SECRET}"]
    deploy = ["--workflows", ".github/workflows/deploy.yml", "--input", "model-version=1"]
    try:
        runs = {
            "pipeline": rig.run(folder, event="push", env=env, arguments=secret, timeout=900),
            "deploy": rig.run(folder, env=env, arguments=[*secret, *deploy], timeout=900),
            "drift": rig.run(folder, event="schedule", env=env, arguments=secret, timeout=900),
        }
        yield Line(runs, state)
    finally:
        stop = [sys.executable, "-m", "gates", "endpoint", "stop", "--config", f"{PLACE}/mlops.yml"]
        subprocess.run([*stop, "--state-dir", str(state)], cwd=folder, env=rig.env(), check=True, capture_output=True)


def outputs(ran: ActRun) -> dict[str, str]:
    log = ran.log("read")
    found: dict[str, str] = json.loads(log[log.index("{") : log.rindex("}") + 1])
    return found


def test_pipeline_trains_gates_and_registers(line: Line) -> None:
    ran = line.runs["pipeline"]
    assert ran.code == 0, ran.raw[-6000:]
    found = outputs(ran)
    assert (found["verdict"], found["decision"], found["exit-code"], found["failed-checks"]) == (
        "PASS",
        "allow",
        "0",
        "",
    )
    assert found["model-version"] == "1"
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", found["model-digest"])
    assert "✅ PASS" in ran.summary("gate")


def test_deploy_serves_what_was_registered(line: Line) -> None:
    ran = line.runs["deploy"]
    assert ran.code == 0, ran.raw[-6000:]
    found = outputs(ran)
    assert (found["exit-code"], found["outcome"], found["state"]) == ("0", "passed", "SUCCEEDED")
    assert (found["live-deployment"][:7], found["rolled-back"]) == ("credit-", "false")
    assert found["endpoint-url"].startswith("http://127.0.0.1:")


def test_drift_starts_the_training_again(line: Line) -> None:
    ran = line.runs["drift"]
    assert ran.code == 0, ran.raw[-6000:]
    found = outputs(ran)
    assert (found["verdict"], found["exit-code"], found["retrain"]) == ("FAIL", "0", "true")
    assert found["drifted-columns"] == "debt"
    assert ran.outputs("register")["exit-code"] == "0", "the second job ran, through another reusable workflow"


def test_their_environment_trained_and_scored(line: Line, theirs: Path) -> None:
    """Their package refuses any other numpy: neither job nor gate could have used ours."""
    ran = line.runs["pipeline"]
    assert f"numpy {NUMPY} mlflow {MLFLOW} in {theirs}" in ran.log("train")
    assert ran.outputs("gate")["verdict"] == "PASS"
    assert "an environment was built" not in ran.log("gate")


def test_every_kind_of_uses_with_their_environment_active(rig: Rig, theirs: Path, tmp_path: Path) -> None:
    """train of another repository, train and the root action of the own checkout; their environment stays as it was."""
    before = contents(theirs)
    folder = tmp_path / "r"
    shutil.copytree(rig.export, folder, ignore=shutil.ignore_patterns("workflows"))
    steps = (ACTIVATE + EVERY_KIND).replace("VENV", str(theirs)).replace("PLACE", PLACE)
    ran = rig.run(monorepo(folder, {"w": job(steps)}), timeout=900)
    assert ran.code == 0, ran.raw[-6000:]
    for step in ("elsewhere", "here"):
        assert ran.outputs(step)["outcome"] == "passed"
        assert f"numpy {NUMPY} mlflow {MLFLOW} in {theirs}" in ran.log(step)
        assert f"{PLACE}/.gates/" in ran.outputs(step)["model-path"]
    found = ran.outputs("whole")
    assert (found["exit-code"], found["validate-gate-verdict"], found["register-registered"]) == ("0", "PASS", "true")
    assert found["validate-gate-model-digest"] == ran.outputs("here")["model-digest"], "the last one trained"
    assert found["train-exit-code"] == "", "it was not among the steps"
    assert contents(theirs) == before


def test_a_planted_secret_is_in_nothing_that_the_line_left(line: Line) -> None:
    """The job prints it and says how long it is: printed it was, and it is in no log, summary, report or journal."""
    for name in ("pipeline", "drift"):
        assert f"the password has {len(SECRET)} letters: ***" in line.runs[name].log("train")
    for ran in line.runs.values():
        shown = "".join(str(event.get("msg", "")) for event in ran.events if event.get("command") != "add-mask")
        assert SECRET not in shown + ran.summary()
    kept = [path for path in line.state.rglob("*") if path.is_file() and not path.is_symlink()]
    kinds = {path.name for path in kept}
    assert {"std_log.txt", "report.json", "summary.md", "outputs.json", "journal.jsonl", "mlflow.db"} <= kinds
    assert [path for path in kept if SECRET.encode() in path.read_bytes()] == []
    [log] = [path for path in kept if path.name == "std_log.txt"][:1]
    assert f"the password has {len(SECRET)} letters: ***" in log.read_text()


def test_the_endpoints_key_is_masked_and_said_nowhere(line: Line) -> None:
    key = next(line.state.glob("endpoints/*/key")).read_text().strip()
    assert len(key) > 30
    masked = [event["arg"] for event in line.runs["deploy"].commands("add-mask")]
    assert key in masked
    shown = "".join(str(event.get("msg", "")) for ran in line.runs.values() for event in ran.events
                    if event.get("command") != "add-mask")  # fmt: skip
    assert key not in shown
    found = [path for path in line.state.rglob("*") if path.is_file() and key.encode() in path.read_bytes()]
    assert [path.name for path in found] == ["key"]


def test_gate_judges_a_pull_request_with_the_base_branchs_policy(rig: Rig, tmp_path: Path) -> None:
    """The branch lowers the floor for itself, and is judged by that of main."""
    folder = gated(tmp_path / "r", (ROOT / "templates/github/gate.yml").read_text(), accuracy=0.5)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=strict")
    git(folder, "update-ref", "refs/remotes/origin/main", "main")
    git(folder, "checkout", "--quiet", "-b", "lax")
    (folder / "policy.yml").write_text(POLICY.replace("min: 0.9", "min: 0.1"))
    event = tmp_path / "event.json"
    sides = {"base": {"ref": "main"}, "head": {"ref": "lax"}}
    event.write_text(json.dumps({"pull_request": {"number": 1, **sides}}))
    ran = rig.run(folder, event="pull_request", arguments=["--eventpath", str(event)])
    found = ran.outputs("gate")
    assert (found["verdict"], found["exit-code"], found["failed-checks"]) == ("FAIL", "1", "accuracy.floor"), ran.raw
    assert ran.code != 0


def test_every_starter_is_run_here() -> None:
    assert {path.stem for path in (ROOT / "templates/github").glob("*.yml")} == {*CALLED, "gate"}
