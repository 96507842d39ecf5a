"""Every way that a training job fails, at the command: `job-failed`, the end of its log, and nothing kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from lineage_project import gates, make

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytest.importorskip("mlflow")
pytestmark = pytest.mark.timeout(600)
HEAD = "$schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json\ntype: command\ncode: src\n"
TAIL = "outputs: {model: {type: mlflow_model}}\nenvironment: {image: python:3}\n"
STEP = "{type: command, command: %s, environment: {image: 'python:3'}%s}"
LOUD = "for i in $(seq 1 60); do echo line $i; done"


def command(line: str, more: str = "") -> str:
    return f"{HEAD}command: {json.dumps(line)}\n{more}{TAIL}"


JOBS: dict[str, tuple[str, tuple[str, ...]]] = {
    "exits": (command(f"{LOUD}; exit 3"), ("exit code 3", "| line 60", "| line 11")),
    "killed": (command("echo before; kill -9 $$"), ("killed by SIGKILL", "| before")),
    "times out": (command("echo started; sleep 60", "limits: {timeout: 2}\n"), ("timed out after 2 s", "| started")),
    "writes nothing": (command("echo done"), ("output 'model'", "| done")),
    "a pickle": (
        command("mkdir -p ${{outputs.model}} && python -c \"import pickle; pickle.dump(1, open('m', 'wb'))\""
                " && mv m ${{outputs.model}}/model.pkl"),
        ("model.pkl", "mlflow.sklearn.save_model"),
    ),
    "a metric unlogged": (
        command("python train.py --data ${{inputs.rows}} --model ${{outputs.model}} --c 1",
                "inputs: {rows: {type: uri_file, path: train.csv}}\ntags: {gates.metrics: 'train_accuracy, auc'}\n"),
        ("auc",),
    ),
    "a step of a pipeline": (
        "type: pipeline\noutputs: {model: {type: mlflow_model}}\njobs:\n"
        f"  first: {STEP % (json.dumps(LOUD + '; exit 4'), ', outputs: {data: {type: uri_file}}')}\n"
        "  then: " + STEP % ('"cat ${{inputs.data}}"', ", inputs: {data: '${{parent.jobs.first.outputs.data}}'}, "
                             "outputs: {model: '${{parent.outputs.model}}'}") + "\n",
        ("step 'first'", "exit code 4", "(not run: then)", "| line 60"),
    ),
    "every trial of a sweep": (
        "type: sweep\nsampling_algorithm: grid\nsearch_space: {c: {type: choice, values: [1, 2]}}\n"
        "objective: {goal: maximize, primary_metric: train_accuracy}\nlimits: {max_total_trials: 2}\n"
        "trial: {command: \"echo c is ${{search_space.c}}; exit 5\", environment: {image: 'python:3'}}\n"
        "outputs: {model: {type: mlflow_model}}\n",
        ("exit code 5", "| c is"),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, mlflow_server: str, need: Callable[[str], str]) -> Path:
    need("git")
    folder = make(tmp_path_factory.mktemp("ends"))
    with (folder / "mlops.yml").open("a") as file:
        file.write(f"tracking_uri: {mlflow_server}\n")
    return folder


@pytest.mark.parametrize("how", JOBS)
def test_a_job_that_fails_ends_the_step_and_leaves_nothing_to_register(
    project: Path, capfd: pytest.CaptureFixture[str], how: str
) -> None:
    text, says = JOBS[how]
    (project / "bad.yml").write_text(text)
    capfd.readouterr()
    code, outcome = (2, "invalid") if how == "a pickle" else (1, "job-failed")
    assert gates(project, "train --job bad.yml") == code
    err = capfd.readouterr().err
    for said in says:
        assert said in err, err
    if "| line 60" in says:
        assert "| line 10\n" not in err, "the last 50 lines and no more"
    state = project / ".gates"
    written = json.loads((state / "reports/train/outputs.json").read_text())
    assert (written["exit-code"], written["outcome"], written["model-digest"]) == (str(code), outcome, "")
    assert not (state / "lineage").exists(), "nothing of a failed job is on record"
    assert not (state / "audit.jsonl").exists()
    assert not (state / "last/train.json").exists()
    assert gates(project, "register") == 2
    assert "nothing says which model" in capfd.readouterr().err


def test_the_environment_that_was_declared_and_the_one_that_ran_stand_in_the_lineage(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    conda = "{name: e, dependencies: [python=3.9, pip, {pip: ['scikit-learn==0.1', 'mlflow', 'not-there==9']}]}"
    job = (project / "job.yml").read_text().replace("{image: python:3}", f"{{image: python:3, conda_file: {conda}}}")
    (project / "declared.yml").write_text(job)
    capfd.readouterr()
    assert gates(project, "train --job declared.yml --quiet true") == 0
    said = capfd.readouterr().err
    assert "trained tiny: sha256:" in said
    assert "warning: " in said, "what is declared and is not there is said all the same"
    assert "── train" not in said, "quiet: neither the group nor the job's log"
    assert "View run" not in said
    lineage = json.loads(next((project / ".gates/lineage").glob("*/lineage.json")).read_text())["environment"]
    assert lineage["declared"] == ["image python:3", "python 3.9", "scikit-learn==0.1", "mlflow", "not-there==9"]
    different = " | ".join(lineage["differences"])
    for part in (
        "python 3.9 declared",
        "scikit-learn==0.1 declared, ",
        "not-there==9 declared, not installed",
        "image",
    ):
        assert part in different
    assert "mlflow declared" not in different


def test_the_stage_train_refuses_what_it_cannot_decide_and_nothing_can_be_registered(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A metric that the job did not log is an error, not a pass; what it logged too low is a refusal."""
    own = "source: metrics, decide_on: point"
    checks = f"      - {{id: unlogged, type: threshold, metric: auc, min: 0.5, {own}}}\n"
    checks += f"      - {{id: low, type: threshold, metric: train_accuracy, min: 1.5, {own}}}\n"
    policy = (project / "policy.yml").read_text()
    (project / "policy.yml").write_text(f"{policy}  train:\n    checks:\n{checks}")
    (project / ".gates/last/train.json").unlink(missing_ok=True)
    try:
        assert gates(project, "train") in (1, 4), capfd.readouterr().err
    finally:
        (project / "policy.yml").write_text(policy)
    report = json.loads((project / ".gates/reports/train/report.json").read_text())["result"]
    assert {check["id"]: check["status"] for check in report["checks"]} == {"unlogged": "ERROR", "low": "FAIL"}
    assert (report["stage"], report["decision"]) == ("train", "refuse")
    assert not (project / ".gates/last/train.json").exists()
    assert gates(project, "register") == 2
    assert "nothing says which model" in capfd.readouterr().err
