"""The gate on the workspace's compute: the same report as on this machine, and no row of the data leaves.

One pair of models and one data asset for all tests.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import azureml_room
import pytest

from gates import cli
from gates.backends.azureml.client import quiet
from gates.lineage.digest import model_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from azureml_emulator.start import Running

    from gates.backends.azureml.backend import AzureMLBackend

ROOT = Path(__file__).resolve().parents[2]
MLOPS = """\
version: 1
model: gated
backend: azureml
workspace:
  subscription_id: ${env:AZURE_SUBSCRIPTION_ID}
  resource_group: ${env:AZURE_RESOURCE_GROUP}
  name: ${env:AZURE_ML_WORKSPACE}
evaluate: {data: "azureml:applications:1", target: y, positive_label: 1, COMPUTE}
"""
POLICY = """\
version: 1
name: gated
stages:
  validate:
    checks:
      - {id: accuracy.floor, type: threshold, metric: accuracy, min: 0.8}
      - {id: accuracy.better, type: champion_delta, metric: accuracy, margin: {absolute: 0.05}}
      - {id: accuracy.groups, type: slice_threshold, metric: accuracy, by: [g], min: 0.5, min_slice_samples: 20}
      - {id: scan.clean, type: findings, file: scan.sarif, format: sarif}
      - {id: own, type: threshold, metric: "own:half", min: 0.4}
"""
SARIF = {"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "scan"}}, "results": []}]}


@dataclass(frozen=True)
class World:
    """A project, its backend, and how its commands are run: in this process, or as one that can be killed."""

    folder: Path
    env: dict[str, str]
    backend: AzureMLBackend

    def run(self, capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
        code = cli.run(["validate-gate", *arguments], {**self.env, "HOME": str(self.folder)}, self.folder)
        return code, "".join(capfd.readouterr())

    def begin(self, *arguments: str, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "gates", "validate-gate", *arguments], cwd=self.folder, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**self.env, "HOME": str(self.folder), "PYTHONPATH": str(ROOT), **env},
        )  # fmt: skip

    def result(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.reports / "report.json").read_text())
        return found

    @property
    def reports(self) -> Path:
        return self.folder / ".gates/reports/validate-gate"


@pytest.fixture(scope="module")
def world(azure_running: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Champion version 1 and a candidate that is a little better, on 300 rows that stand in the workspace."""
    folder = tmp_path_factory.mktemp("gated")
    env = azureml_room.environment(azure_running)
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"  # the interpreter that can load the models
    patch = pytest.MonkeyPatch()
    for name, value in env.items():
        patch.setenv(name, value)
    rows = [(i % 7 - 3, (i * 5) % 11 - 5, "fm"[i % 2], i) for i in range(300)]
    lines = [f"{a}.0,{b}.0,{g},{i},{int(a + b > 0) if i % 13 else 1}\n" for a, b, g, i in rows]
    (folder / "data.csv").write_text("a,b,g,row_id,y\n" + "".join(lines))
    (folder / "own.py").write_text("def half(frame):\n    return 0.5\n")
    (folder / "scan.sarif").write_text(json.dumps(SARIF))
    (folder / "policy.yml").write_text(POLICY)
    (folder / "mlops.yml").write_text(MLOPS.replace("COMPUTE", "compute: cpu-cluster"))
    (folder / "here.yml").write_text(MLOPS.replace(", COMPUTE", ""))
    save(folder / "champion", [1.0, 0.2])
    save(folder / "candidate", [1.0, 1.0])
    backend = azureml_room.backend(folder / "state", model="gated")
    with quiet():
        from azure.ai.ml.entities import Data

        data = Data(name="applications", version="1", path=str(folder / "data.csv"), type="uri_file")
        backend._workspace.ml.data.create_or_update(data)
    (folder / "lineage").mkdir()
    (folder / "lineage/lineage.json").write_text("{}")
    digest = model_digest(folder / "champion")
    backend.register("gated", folder / "champion", digest=digest, run_id="", tags={}, lineage=folder / "lineage")
    backend.move_alias("gated", "champion", expected=None, new="1")
    yield World(folder, env, backend)
    patch.undo()


def save(folder: Path, weights: list[float]) -> None:
    """A classifier with these weights, as MLflow saves one."""
    import mlflow
    import numpy as np
    import pandas as pd
    from sklearn.linear_model import LogisticRegression

    x = pd.DataFrame({"a": [0.0, 1.0], "b": [0.0, 1.0]})
    model = LogisticRegression().fit(x, [0, 1])
    model.coef_, model.intercept_ = np.array([weights]), np.array([0.0])
    pins = [f"{name}=={version(name)}" for name in ("scikit-learn", "pandas", "mlflow")]
    signature = mlflow.models.infer_signature(x, model.predict(x))
    mlflow.sklearn.save_model(
        model, folder, signature=signature, pip_requirements=pins, serialization_format="cloudpickle"
    )


def submitted(azure: Running, since: int) -> list[str]:
    puts = (line for line in azure.requests()[since:] if line["method"] == "PUT" and "/jobs/" in line["path"])
    return [line["path"].rpartition("/")[2] for line in puts]


def until(true: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.1)


def status(world: World, name: str) -> str:
    found = world.backend._workspace.get(f"jobs/{name}") or {"properties": {}}
    return str(found["properties"].get("status"))


def test_the_report_is_the_one_of_this_machine_and_the_rows_stay(
    azure: Running, world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    code, said = world.run(capfd, "--model", "candidate", "--config", "here.yml")
    assert code == 0, said
    here = world.result()
    kept = world.folder / "kept"
    shutil.move(world.reports, kept)
    since = len(azure.requests())
    code, said = world.run(capfd, "--model", "candidate")
    assert code == 0, said
    there = world.result()
    assert there["result"] == here["result"]
    assert there["result"]["data"]["rows"] == 300
    [name] = submitted(azure, since)
    assert there["run"]["paths"]["rows"] == f"azureml://jobs/{name}/outputs/rows"
    rows = {item["sha256"][7:] for item in here["result"]["evidence"] if "predictions" in item["name"]}
    assert len(rows) == 2
    have = {path.name for path in (world.reports / "evidence").iterdir()}
    assert have == {path.name for path in (kept / "evidence").iterdir()} - rows
    stored = world.backend._storage.below(f"azureml/{name}/rows")
    assert set(stored) == rows
    [body] = [one["body"]["properties"] for one in azure.requests()[since:] if one["path"].endswith(f"/jobs/{name}")
              and one["method"] == "PUT"]  # fmt: skip
    assert body["computeId"].endswith("/computes/cpu-cluster")
    assert body["inputs"]["champion"]["uri"].endswith("/models/gated/versions/1")
    assert body["inputs"]["data"]["uri"].endswith("/data/applications/versions/1")
    assert azure.invalid() == []
    code = cli.run(["replay", str(world.reports / "report.json")], {**world.env}, world.folder)
    assert (code, "evidence 'candidate-predictions' is missing" in "".join(capfd.readouterr())) == (2, True)
    for name in rows:  # fetched by hand, it replays
        where = world.backend._storage.read(f"azureml/{stored_job(there)}/rows/{name}")
        (world.reports / "evidence" / name).write_bytes(where or b"")
    code = cli.run(["replay", str(world.reports / "report.json")], {**world.env}, world.folder)
    assert code == 0, "".join(capfd.readouterr())


def stored_job(report: dict[str, Any]) -> str:
    return str(report["run"]["paths"]["rows"]).split("/")[3]


def test_what_the_gate_there_cannot_judge_ends_as_it_does_here(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    """A file of this machine goes there by its bytes; the error of the gate there is ours, exit code and all."""
    (world.folder / "short.csv").write_text("a,b,g,row_id\n1.0,1.0,f,1\n")
    ends = []
    for config in ("here.yml", "mlops.yml"):
        code, said = world.run(capfd, "--model", "candidate", "--config", config, "--data", "short.csv")
        outputs = json.loads((world.reports / "outputs.json").read_text())
        ends.append((code, outputs["outcome"], outputs["verdict"]))
        assert "no column 'y'" in outputs["message"], said
    assert ends == [(2, "invalid", "")] * 2


def test_a_cancelled_gate_cancels_its_job_and_a_killed_one_finds_it_again(azure: Running, world: World) -> None:
    since = len(azure.requests())
    asked = ("--model", "candidate", "--stage", "validate", "--report-dir", str(world.folder / "resumed"))
    with world.begin(*asked) as first:
        until(lambda: bool(submitted(azure, since)) and status(world, submitted(azure, since)[0]) == "Running")
        first.send_signal(signal.SIGTERM)
        said = first.communicate()[0]
    assert first.returncode == 143, said
    [cancelled] = submitted(azure, since)
    until(lambda: status(world, cancelled) == "Canceled")
    with world.begin(*asked) as second:
        until(lambda: len(submitted(azure, since)) == 2)
        second.send_signal(signal.SIGKILL)
    with world.begin(*asked, "--json") as third:
        said = third.communicate()[0]
    assert third.returncode == 0, said
    _, resumed = submitted(azure, since)
    assert f"job {resumed} was submitted before" in said
    found = json.loads((world.folder / "resumed/report.json").read_text())
    assert stored_job(found) == resumed
