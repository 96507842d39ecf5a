"""A project with one command job of a workspace, and its commands as processes that can be killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import azureml_room

if TYPE_CHECKING:
    from collections.abc import Callable

    from azureml_emulator.start import Running

ROOT = Path(__file__).resolve().parents[2]
COMPUTE = os.environ.get("AZURE_ML_COMPUTE") or "cpu-cluster"
RUN = os.environ.get("GATES_AZURE_RUN", "")
"""What sets the names of one run on a real workspace apart from those of another; nothing on the emulator."""
TRAIN = """\
import argparse, pathlib, sys, time
parser = argparse.ArgumentParser()
for name in ("--data", "--out", "--rate", "--sleep"):
    parser.add_argument(name)
given = parser.parse_args()
print("asking https://a.blob.core.windows.net/c?sv=1&sig=plantedSig%2BZq8", flush=True)
print("rows", pathlib.Path(given.data).read_text().count("\\n"), flush=True)
if given.rate in "245":  # whose metrics somebody looks at: the import takes seconds
    import mlflow
    mlflow.log_metric("accuracy", 0.9 + float(given.rate) / 100)
    mlflow.log_param("rate", given.rate)
time.sleep(float(given.sleep or 0))
print("slept", flush=True)
if given.rate == "13":
    sys.exit("an unlucky rate")
pathlib.Path(given.out).mkdir(parents=True, exist_ok=True)
pathlib.Path(given.out, "MLmodel").write_text("flavors: {}\\n")
pathlib.Path(given.out, "weights").write_text(given.rate)
"""
HEAD = "experiment_name: credit\n"
ENVIRONMENT = "environment: {image: 'mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04', conda_file: conda.yml}\n"
INPUTS = """\
inputs:
  data: {type: uri_file, path: DATA}
  rate: RATE
"""
COMMAND = (
    "type: command\n" + HEAD + "code: src\n" + ENVIRONMENT + INPUTS +
    "outputs:\n  model: {type: mlflow_model}\n"
    "command: python train.py --data ${{inputs.data}} --out ${{outputs.model}} --rate ${{inputs.rate}} --sleep SLEEP\n"
    f"compute: azureml:{COMPUTE}\n"
)  # fmt: skip


def project(folder: Path, *, rate: int = 1, data: str = "data.csv", sleep: float = 0.0) -> Path:
    """A project with one command job; its folder."""
    (folder / "src").mkdir(parents=True, exist_ok=True)
    (folder / "src/train.py").write_text(TRAIN)
    (folder / "conda.yml").write_text("name: job\ndependencies: [python=3.11, pip, {pip: [mlflow]}]\n")
    (folder / "data.csv").write_text("x,y\n" + "1,2\n" * 50)
    text = COMMAND.replace("DATA", data).replace("RATE", str(rate)).replace("SLEEP", str(sleep))
    (folder / "train.yml").write_text(text)
    (folder / "mlops.yml").write_text(
        "version: 1\nmodel: credit\nbackend: azureml\ntrain: {job: train.yml}\nworkspace:\n"
        "  subscription_id: ${env:AZURE_SUBSCRIPTION_ID}\n  resource_group: ${env:AZURE_RESOURCE_GROUP}\n"
        "  name: ${env:AZURE_ML_WORKSPACE}\n"
    )
    return folder


def gates(folder: Path, azure: Running, *arguments: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "gates", *arguments], cwd=folder, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**azureml_room.environment(azure), "HOME": str(folder), "PYTHONPATH": str(ROOT), **env},
    )  # fmt: skip


def until(true: Callable[[], bool], seconds: float = 90.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.1)
