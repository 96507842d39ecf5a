"""Sweep jobs: the best trial's outputs, seeds, limits, policies, and trials that fail."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from gates.backends.local import jobs, mlflow_rest
from gates.errors import InvalidInput, JobFailed

pytest.importorskip("azure.ai.ml")
pytest.importorskip("mlflow")
pytest.importorskip("optuna")

PYTHON = Path(sys.executable)
ENV = dict(os.environ)
# Reports over MLflow's REST interface, as mlflow.log_metric does: its import alone takes seconds a trial.
TRIAL = """
import json, os, sys, time, urllib.request
from pathlib import Path
def log(value):
    body = {"run_id": os.environ["MLFLOW_RUN_ID"], "key": "score", "value": value, "timestamp": time.time_ns() // 10**6}
    url = os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/runs/log-metric"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.open(urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})).read()
x, out = sys.argv[1], sys.argv[2]
Path(out, "x.txt").write_text(x)
"""


def write(folder: Path, code: str, **more: Any) -> Path:
    (folder / "src").mkdir(exist_ok=True)
    (folder / "src" / "trial.py").write_text(TRIAL + code)
    trial = {
        "code": "src",
        "command": "python trial.py ${{search_space.x}} ${{outputs.out}}",
        "environment": "azureml:e:1",
    }
    body = {
        "type": "sweep",
        "experiment_name": "sweeps",
        "trial": trial,
        "outputs": {"out": {"type": "uri_folder"}},
        "sampling_algorithm": "grid",
        "search_space": {"x": {"type": "choice", "values": [1, 2, 3]}},
        "objective": {"primary_metric": "score", "goal": "maximize"},
        "limits": {"max_total_trials": 10, "max_concurrent_trials": 3},
        **more,
    }
    path = folder / "sweep.yml"
    path.write_text(yaml.safe_dump(body, sort_keys=False))
    return path


def run(path: Path, server: str, **more: Any) -> jobs.JobRun:
    options: dict[str, Any] = {"work": path.parent / "runs", "python": PYTHON, "env": ENV, **more}
    return jobs.run_job(jobs.load_job(path), tracking_uri=server, **options)


@pytest.mark.parametrize(("goal", "best"), [("maximize", "2"), ("minimize", "3")])
def test_the_best_trials_output_is_the_jobs(tmp_path: Path, mlflow_server: str, goal: str, best: str) -> None:
    """One trial fails, and one goes through better figures than its last, which do not count."""
    code = "log({'1': 99, '2': 0.5, '3': 0.25}[x]); log(0.25) if x == '3' else None; sys.exit(x == '1')"
    objective = {"primary_metric": "score", "goal": goal}
    told: list[str] = []
    done = run(write(tmp_path, code, objective=objective), mlflow_server, say=told.append)
    assert (done.outputs["out"] / "x.txt").read_text() == best
    assert done.params == {"x": best}
    assert told[-1].startswith("best of 3 trials (1 failed, 0 ended early): ")
    found = mlflow_rest.get_run(mlflow_server, done.run_id, ENV)
    assert found.metrics == done.metrics == {"score": {"2": 0.5, "3": 0.25}[best]}
    parent = mlflow_rest.get_run(mlflow_server, found.tags["mlflow.parentRunId"], ENV)
    assert (parent.status, parent.tags["gates.sweep.best"]) == ("FINISHED", done.run_id)
    children = mlflow_rest.search_runs(mlflow_server, parent.experiment_id, {"mlflow.parentRunId": parent.run_id}, ENV)
    every = [mlflow_rest.get_run(mlflow_server, one, ENV) for one in children]
    assert sorted(one.tags["gates.sweep.x"] for one in every) == ["1", "2", "3"]
    assert sorted(one.status for one in every) == ["FAILED", "FINISHED", "FINISHED"]


def drawn(told: list[str]) -> list[str]:
    return [line.partition("running, ")[2] for line in told if "running, " in line]


@pytest.mark.parametrize("kind", ["random", "bayesian"])
def test_a_seed_gives_the_same_trials(tmp_path: Path, mlflow_server: str, kind: str) -> None:
    """Trials end in another order each time; the bayesian ones depend on what came before."""
    space = {"x": {"type": "uniform", "min_value": 0, "max_value": 1}}
    code = "import random; time.sleep(random.random() / 2); log((float(x) - 0.3) ** 2)"
    sampling = {"type": "random", "seed": 7} if kind == "random" else kind
    path = write(tmp_path, code, sampling_algorithm=sampling, search_space=space,
                 limits={"max_total_trials": 8 if kind == "bayesian" else 4, "max_concurrent_trials": 4})  # fmt: skip
    said: list[list[str]] = [[], []]
    results = [run(path, mlflow_server, say=one.append) for one in said]
    assert drawn(said[0]) == drawn(said[1])
    assert len(set(drawn(said[0]))) == (8 if kind == "bayesian" else 4)
    assert results[0].params == results[1].params
    if kind == "random":
        path.write_text(path.read_text().replace("seed: 7", "seed: 8"))
        other: list[str] = []
        run(path, mlflow_server, say=other.append)
        assert drawn(other) != drawn(said[0])


def test_when_all_trials_fail_the_job_fails_with_the_end_of_a_log(tmp_path: Path, mlflow_server: str) -> None:
    with pytest.raises(
        JobFailed, match=r"none of 3 trials ended well; the last: the job ended with exit code 4"
    ) as caught:
        run(write(tmp_path, "print('why'); sys.exit(4)"), mlflow_server)
    assert caught.value.tail[-1] == "why"


@pytest.mark.parametrize(("code", "what"), [("", "logged no metric 'score'"), ("log('NaN')", "logged nan")])
def test_a_trial_without_its_metric_is_no_result(tmp_path: Path, mlflow_server: str, code: str, what: str) -> None:
    space = {"x": {"type": "choice", "values": [1]}}
    with pytest.raises(JobFailed, match=what):
        run(write(tmp_path, code, search_space=space), mlflow_server)


def test_a_policy_ends_the_trials_that_are_not_worth_it(tmp_path: Path, mlflow_server: str) -> None:
    """The bad trial would run for a minute; the good one is there to compare with."""
    code = "log(0.9 if x == '1' else 0.1); time.sleep(1 if x == '1' else 60)"
    space = {"x": {"type": "choice", "values": [1, 2]}}
    policy = {"type": "bandit", "slack_factor": 0.2}
    told: list[str] = []
    done = run(write(tmp_path, code, search_space=space, early_termination=policy), mlflow_server, say=told.append)
    assert done.params == {"x": "1"}
    assert any(
        "ended early: bandit: after 1 reports 0.1 is outside the slack of the best, 0.9" in line for line in told
    )
    assert told[-1].startswith("best of 2 trials (0 failed, 1 ended early)")


@pytest.mark.parametrize(
    ("limits", "what"),
    [
        ({"max_total_trials": 3, "timeout": 2}, r"the sweep timed out; 0 of 1 trials had ended well"),
        ({"max_total_trials": 3, "trial_timeout": 2}, r"none of 1 trials ended well; the last: the job timed out"),
    ],
)
def test_limits_of_time(tmp_path: Path, mlflow_server: str, limits: dict[str, int], what: str) -> None:
    space = {"x": {"type": "choice", "values": [1]}}
    with pytest.raises(JobFailed, match=what):
        run(write(tmp_path, "time.sleep(60)", search_space=space, limits=limits), mlflow_server)


def test_a_sweep_is_a_step_of_a_pipeline(tmp_path: Path, mlflow_server: str) -> None:
    write(tmp_path, "log(float(x))")
    component = {
        "type": "command", "name": "t", "code": "src", "environment": "azureml:e:1",
        "inputs": {"x": {"type": "integer"}, "word": {"type": "string"}}, "outputs": {"out": {"type": "uri_folder"}},
        "command": "python trial.py ${{inputs.x}} ${{outputs.out}} ${{inputs.word}}",
    }  # fmt: skip
    (tmp_path / "trial.yml").write_text(yaml.safe_dump(component))
    search = {
        "type": "sweep", "trial": "./trial.yml", "inputs": {"word": "${{parent.inputs.word}}"},
        "sampling_algorithm": "grid", "search_space": {"x": {"type": "choice", "values": [1, 2]}},
        "objective": {"primary_metric": "score", "goal": "maximize"}, "limits": {"max_total_trials": 2},
    }  # fmt: skip
    use = {
        "command": "cp ${{inputs.found}}/x.txt ${{outputs.copy}}/", "environment": "azureml:e:1",
        "inputs": {"found": "${{parent.jobs.search.outputs.out}}"}, "outputs": {"copy": "${{parent.outputs.best}}"},
    }  # fmt: skip
    path = tmp_path / "pipeline.yml"
    path.write_text(yaml.safe_dump({
        "type": "pipeline", "inputs": {"word": "w"}, "outputs": {"best": {"type": "uri_folder"}},
        "jobs": {"search": search, "use": use},
    }))  # fmt: skip
    done = run(path, mlflow_server)
    assert (done.outputs["best"] / "x.txt").read_text() == "2"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"search_space": {"x": {"type": "uniform", "min_value": 0, "max_value": 1}}}, "a grid is made of choices"),
        ({"search_space": {"x": {"type": "choice", "values": [{"a": 1}]}}}, "needs values that are texts or numbers"),
        (
            {"early_termination": {"type": "truncation_selection", "truncation_percentage": 0}},
            "truncation_percentage must be from 1 to 99",
        ),
        ({"early_termination": {"type": "bandit"}}, "needs one of slack_factor and slack_amount"),
        ({"trial": "azureml:trial:1"}, "trial: Invalid input type"),
    ],
)
def test_what_cannot_be_searched_is_said_with_its_line(tmp_path: Path, more: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        jobs.load_job(write(tmp_path, "", **more))
    assert caught.value.line is not None
