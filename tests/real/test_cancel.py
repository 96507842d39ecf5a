"""Cancelled by SIGINT or SIGTERM, as the runner and people do: quickly, with nothing left, and to be resumed.

One MLflow server of the session serves the jobs, but for the run that must also take its own server with it.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from act_rig import repository

if TYPE_CHECKING:
    from pathlib import Path

JOB = (
    "$schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json\ntype: command\ncode: src\n"
    "command: python slow.py\nenvironment: azureml:none@latest\noutputs:\n  model: {type: mlflow_model}\n"
)
SLOW = """\
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
print("pids", os.getpid(), child.pid, flush=True)
time.sleep(300)
"""


def project(tmp_path: Path, tracking: str = "") -> Path:
    folder = repository(tmp_path / "r")
    if tracking:
        (folder / "mlops.yml").write_text(f"version: 1\nmodel: small\ntracking_uri: {tracking}\n")
    (folder / "job.yml").write_text(JOB)
    (folder / "src").mkdir()
    (folder / "src/slow.py").write_text(SLOW)
    return folder


def start(folder: Path, **env: str) -> subprocess.Popen[str]:
    own = {"PATH": os.environ["PATH"], "HOME": str(folder), **env}
    return subprocess.Popen([sys.executable, "-I", "-m", "gates", "train", "--job", "job.yml"], cwd=folder, env=own,
                            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip


def within(seconds: float) -> float:
    """That long on a machine at rest; on one that is busy, as much longer as it is busier than it can be."""
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + within(5)
    while any(psutil.pid_exists(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(psutil.pid_exists(pid) for pid in pids)


def pids_of(process: subprocess.Popen[str]) -> list[int]:
    """The job's processes, once it has told them."""
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if "pids" in line:
            return [int(word) for word in line.split()[line.split().index("pids") + 1 :][:2]]
    raise AssertionError("".join(said))


@pytest.mark.xdist_group("cancel")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_within_five_seconds_and_leaves_no_child(
    mlflow_server: str, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    folder = project(tmp_path, mlflow_server)
    output, summary = tmp_path / "output", tmp_path / "summary"
    process = start(folder, GITHUB_ACTIONS="true", GITHUB_OUTPUT=str(output), GITHUB_STEP_SUMMARY=str(summary))
    pids = pids_of(process)
    begun = time.monotonic()
    process.send_signal(number)
    said, _ = process.communicate(timeout=within(30))
    assert time.monotonic() - begun < within(5)
    assert process.returncode == code, said
    assert "Traceback" not in said
    assert "cancelled by signal" in said
    assert gone(pids)
    outputs = json.loads((folder / ".gates/reports/train/outputs.json").read_text())
    assert (outputs["exit-code"], outputs["outcome"]) == (str(code), "cancelled")
    assert "cancelled" in output.read_text(), "the next step can read it"

    if number == signal.SIGINT:
        return  # resuming is the same after either; once is enough of a slow thing
    (folder / "src/slow.py").write_text("raise SystemExit('reached the job again')\n")
    again = start(folder)
    said, _ = again.communicate(timeout=120)
    assert again.returncode == 1, said
    assert "reached the job again" in said


@pytest.mark.xdist_group("cancel")
def test_the_runners_way_of_cancelling(tmp_path: Path) -> None:
    """SIGINT to the whole process group at once, as a terminal and a runner send it; our MLflow server ends too."""
    folder = project(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-I", "-m", "gates", "train", "--job", "job.yml"], cwd=folder, start_new_session=True,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)}, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    pids = pids_of(process)
    children = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
    assert set(pids) < set(children), "the MLflow server is among them"
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=within(30))
    assert process.returncode == 130, said
    assert gone(children)


def test_a_file_size_limit_while_the_report_is_written(tmp_path: Path) -> None:
    """A clear end, and no half-written file."""
    folder = repository(tmp_path / "r")
    command = [sys.executable, "-I", "-B", "-m", "gates", "validate-gate", "--metrics", "metrics.json"]

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))

    done = subprocess.run(command, cwd=folder, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True,
                          check=False, preexec_fn=limit)  # a limit of the child is what this is about  # fmt: skip
    assert done.returncode == 4, done.stderr
    assert "cannot write" in done.stderr
    assert "Traceback" not in done.stderr
    for path in folder.rglob(".gates/**/*.json"):
        json.loads(path.read_text())
    assert not [path for path in folder.rglob(".gates/**/.*") if path.is_file()]


def test_a_checkout_that_cannot_be_written(tmp_path: Path) -> None:
    """A file in the way stands for every place where nothing can be made; root may write anywhere else."""
    folder = repository(tmp_path / "r")
    (folder / ".gates").mkdir()
    (folder / ".gates/reports").write_text("in the way")
    command = [sys.executable, "-I", "-m", "gates", "validate-gate", "--metrics", "metrics.json"]
    done = subprocess.run(command, cwd=folder, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "is a file; name a folder" in done.stderr
    assert "Traceback" not in done.stderr
    elsewhere = [*command, "--state-dir", str(tmp_path / "state")]
    subprocess.run(elsewhere, cwd=folder, env={"PATH": os.environ["PATH"]}, check=True)
