"""Drift where the data lies: a Spark job of the workspace says of collected requests what this machine says of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import azureml_room
import numpy as np
import pyarrow as pa
import pytest
from small_project import DRIFT, POLICY, make

from gates import cli
from gates.drift.profile import build
from gates.drift.source import from_table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from azureml_emulator.start import Running

pytest.importorskip("pyspark")
PLACE = "modelDataCollector/drifting/blue/model_inputs"
MLOPS = """\
version: 1
model: drifting
backend: azureml
workspace:
  subscription_id: ${env:AZURE_SUBSCRIPTION_ID}
  resource_group: ${env:AZURE_RESOURCE_GROUP}
  name: ${env:AZURE_ML_WORKSPACE}
drift:
  reference: profile.gates
  current: azureml://datastores/workspaceblobstore/paths/PLACE
  time_column: collected_at
""".replace("PLACE", PLACE)


def table(rows: int, seed: int, shift: float) -> pa.Table:
    """Numbers of which one moved, whole numbers, and words."""
    rng = np.random.default_rng(seed)
    words = np.array(["low", "middle", "high"])
    columns: dict[str, Any] = {
        "moved": rng.normal(size=rows) + shift, "calm": rng.normal(size=rows), "tied": rng.poisson(4, rows),
        "kind": words[rng.choice(3, rows)],
    }  # fmt: skip
    return pa.table(columns)


def test_a_spark_job_judges_what_was_collected_as_this_machine_does(
    azure: Running, need: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    need("java")
    env = {**azureml_room.environment(azure), "HOME": str(tmp_path)}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    folder = make(tmp_path / "p", mlops=MLOPS, policy=POLICY.replace(DRIFT, DRIFT.partition("    retrain")[0]))
    (folder / "profile.gates").write_bytes(build(from_table(table(3000, 1, 0.0), "reference")).to_bytes())
    backend = azureml_room.backend(tmp_path / "state")
    rows = table(2000, 2, 0.8).to_pylist()
    for hour in range(4):
        data = rows[hour * 500 : hour * 500 + 500]
        event = {"time": f"2026-01-01T0{hour}:10:00Z", "id": "e", "correlationid": f"c{hour}", "data": data}
        backend._storage.write(f"{PLACE}/2026/01/01/0{hour}/a.jsonl", json.dumps(event).encode() + b"\n")
    ends: list[Any] = []
    for compute in ([], ["--drift-compute", "serverless"]):
        code = cli.run(["drift-check", *compute], env, folder)
        said = "".join(capfd.readouterr())
        assert code == 1, said
        result = json.loads((folder / ".gates/reports/drift-check/report.json").read_text())["result"]
        assert result["data"]["rows"] == 2000
        ends.append([(c["name"], c["drifted"], c["ks"], c["psi"], c["chi2"]) for c in result["columns"]])
    assert ends[0] == ends[1]
    assert [column[0] for column in ends[0] if column[1]] == ["moved"]
    [body] = [line["body"]["properties"] for line in azure.requests() if line["method"] == "PUT"
              and "/jobs/drift-check" in line["path"]]  # fmt: skip
    assert body["jobType"] == "Spark"
    assert body["resources"] == {"instanceType": "standard_e4s_v3", "runtimeVersion": "3.4"}
    assert azure.invalid() == []
