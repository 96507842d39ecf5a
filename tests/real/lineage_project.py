"""A project that trains in seconds: one model of two columns, a policy with approvals, a local endpoint's files.

`make()` writes it; `gates()` runs one command on it in this process, as `cli.main` would.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from gates import cli

MLOPS = """\
version: 1
model: tiny
policy: policy.yml
train: {job: job.yml}
evaluate: {data: test.csv, target: y, positive_label: 1}
deploy: {endpoint: endpoint.yml, deployment: deployment.yml, rollout: {steps: [100], interval: 1s, bake: 1s}}
"""
POLICY = """\
version: 1
name: tiny
stages:
  validate:
    checks:
      - {id: accuracy.floor, type: threshold, metric: accuracy, min: 0.8}
  register:
    approvals: {min: 1, forbid_author: false}
    checks:
      - {id: size, type: threshold, metric: artifact_megabytes, max: 50}
  deploy:
    approvals: {min: 1, forbid_author: false}
    checks:
      - {id: latency.p50, type: latency_quantile, signal: smoke_latency_ms, q: 0.5, max_ms: 5000, min_samples: 10}
"""
JOB = """\
$schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json
type: command
code: src
command: python train.py --data ${{inputs.rows}} --model ${{outputs.model}} --c ${{inputs.c}}
inputs:
  rows: {type: uri_file, path: train.csv}
  c: 1.0
outputs: {model: {type: mlflow_model}}
environment: {image: python:3}
"""
TRAIN = """\
import argparse
import mlflow
import pandas
from sklearn.linear_model import LogisticRegression

parser = argparse.ArgumentParser()
for name in ("data", "model", "c"):
    parser.add_argument("--" + name)
given = parser.parse_args()
rows = pandas.read_csv(given.data)
model = LogisticRegression(C=float(given.c)).fit(rows[["a", "b"]], rows["y"])
mlflow.log_metric("train_accuracy", model.score(rows[["a", "b"]], rows["y"]))
signature = mlflow.models.infer_signature(rows[["a", "b"]], model.predict(rows[["a", "b"]]))
pins = [f"{name}=={__import__(module).__version__}" for name, module in
        (("scikit-learn", "sklearn"), ("pandas", "pandas"), ("mlflow", "mlflow"))]
mlflow.sklearn.save_model(model, given.model, signature=signature, pip_requirements=pins)
"""
ENDPOINT = "name: tiny\nauth_mode: key\n"
DEPLOYMENT = "name: tiny\nendpoint_name: tiny\nmodel: azureml:tiny@latest\ninstance_type: x\ninstance_count: 1\n"


def make(folder: Path) -> Path:
    """Write the project into `folder`, a git repository with one commit, and return it."""
    rows = [(i % 7 - 3, (i * 5) % 11 - 5) for i in range(400)]
    data = "a,b,y\n" + "".join(f"{a}.0,{b}.0,{int(a + b > 0)}\n" for a, b in rows)
    files = {
        "mlops.yml": MLOPS, "policy.yml": POLICY, "job.yml": JOB, "src/train.py": TRAIN, "train.csv": data,
        "test.csv": data, "endpoint.yml": ENDPOINT, "deployment.yml": DEPLOYMENT, ".gitignore": ".gates\n",
    }  # fmt: skip
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    for command in (["init", "-q", "-b", "main"], ["add", "."], [*who, "commit", "-qm", "first"]):
        subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True)
    return folder


def gates(folder: Path, line: str, *more: str, **env: str) -> int:
    """Run `gates LINE MORE…` in `folder`; its exit code."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    home = os.environ.get("HOME", "/")
    return cli.run([*line.split(), *more], {"PATH": path, "HOME": home, "GATES_PYTHON": sys.executable, **env}, folder)
