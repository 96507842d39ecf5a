"""Training in a workspace: a job is submitted once, streamed, fetched, cancelled, taken up again; models are kept."""

from __future__ import annotations

import json
import shutil
import signal
from typing import TYPE_CHECKING, Any

import azureml_room
import pytest
from azureml_emulator import tokens
from azureml_project import COMPUTE, ENVIRONMENT, HEAD, RUN, gates, project, until

from gates.backends.azureml.client import quiet
from gates.backends.azureml.schedules import Clock
from gates.errors import Conflict, InvalidInput, JobFailed, Refused
from gates.lineage.digest import file_digest, model_digest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from azureml_emulator.start import Running

    from gates.backends.azureml.backend import AzureMLBackend


@pytest.fixture(autouse=True)
def _led_there(azure: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in azureml_room.environment(azure).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def backend(tmp_path: Path) -> AzureMLBackend:
    return azureml_room.backend(tmp_path / "state")


def train(
    backend: AzureMLBackend,
    job: Path,
    lines: list[str] | None = None,
    *,
    hear: Callable[[str], None] | None = None,
    **more: Any,
) -> Any:
    options: dict[str, Any] = {"model_output": "model", "compute": "", "timeout": None, "environment": "current"}
    kept: list[str] = [] if lines is None else lines
    return backend.train(job, **{**options, **more}, on_line=hear or kept.append)


def submitted(azure: Running, since: int = 0) -> list[str]:
    """The names of the jobs that were asked for, in order."""
    puts = (line for line in azure.requests()[since:] if line["method"] == "PUT" and "/jobs/" in line["path"])
    return [line["path"].rpartition("/")[2] for line in puts]


def asset(backend: AzureMLBackend, file: Path, name: str) -> str:
    """A data asset of one file, as somebody else registered it."""
    with quiet():
        from azure.ai.ml.entities import Data

        backend._workspace.ml.data.create_or_update(Data(name=name, version="3", path=str(file), type="uri_file"))
    return f"azureml:{name}:3"


def test_a_job_on_a_data_asset_is_streamed_fetched_and_described(
    azure: Running, backend: AzureMLBackend, tmp_path: Path
) -> None:
    folder = project(tmp_path / "p", rate=2)
    name = asset(backend, folder / "data.csv", f"loans{RUN}")
    job = project(tmp_path / "p", rate=2, data=name) / "train.yml"
    lines: list[str] = []
    run = train(backend, job, lines)
    assert "rows 51" in lines
    assert "asking https://a.blob.core.windows.net/c?sv=1&sig=…" in lines
    assert "plantedSig" not in run.log.read_text()
    assert not [line for line in lines if line.startswith(("RunId:", "Web View:"))]
    assert (run.model / "weights").read_text() == "2"
    assert run.metrics["accuracy"] == pytest.approx(0.92)
    assert run.params["rate"] == "2"
    assert run.params["azureml.job"] == run.run_id
    assert run.params["azureml.compute"] == COMPUTE
    assert run.params["azureml.environment"].startswith("azureml:CliV2AnonymousEnvironment:")
    assert run.assets == {"data": name}
    assert file_digest(run.inputs["data"]) == file_digest(folder / "data.csv")
    assert (run.environment["lock"], run.environment["installed"]) == (None, [])  # this model says nothing of it
    assert {"image: mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04", "- python=3.11"} <= {
        line.strip() for line in run.environment["declared"]
    }
    assert COMPUTE in run.environment["platform"]
    assert run.job_url.startswith("https://ml.azure.com/runs/")
    assert (run.log).read_text().splitlines() == lines
    assert backend.run_metrics(run.run_id) == run.metrics
    assert azure.invalid() == []


def test_a_failed_job_says_so_with_the_end_of_its_log(azure: Running, backend: AzureMLBackend, tmp_path: Path) -> None:
    """That it is tried anew under the next name: tests/unit/backends/test_azureml_names.py."""
    job = project(tmp_path / "p", rate=13) / "train.yml"
    with pytest.raises(JobFailed, match="failed") as failed:
        train(backend, job)
    assert any("an unlucky rate" in line for line in failed.value.tail)


def running(backend: AzureMLBackend, azure: Running, since: int) -> str:
    until(lambda: bool(submitted(azure, since)))
    [name] = submitted(azure, since)
    path = f"jobs/{name}"
    until(lambda: (backend._workspace.get(path) or {"properties": {}})["properties"].get("status") == "Running")
    return name


def test_a_runner_that_is_killed_comes_back_to_the_job_that_runs(
    azure: Running, backend: AzureMLBackend, tmp_path: Path
) -> None:
    """A hosted runner has lost its disk, and the platform's run is the same. On a laptop: test_azureml_gate.py."""
    folder, since = project(tmp_path / "p", rate=3, sleep=8), len(azure.requests())
    pipeline = {"GITHUB_RUN_ID": "77", "GITHUB_REPOSITORY": "acme/risk"}
    with gates(folder, azure, "train", **pipeline) as first:
        name = running(backend, azure, since)
        first.send_signal(signal.SIGKILL)
    shutil.rmtree(folder / ".gates", ignore_errors=True)
    with gates(folder, azure, "train", "--json", **pipeline) as second:
        said = second.communicate()[0]
    assert second.returncode == 0, said
    assert f"job {name} was submitted before" in said
    assert submitted(azure, since) == [name]
    outputs = json.loads((folder / ".gates/reports/train/outputs.json").read_text())
    assert outputs["run-id"] == name


def test_a_cancelled_runner_cancels_its_job(azure: Running, backend: AzureMLBackend, tmp_path: Path) -> None:
    folder, since = project(tmp_path / "p", rate=6, sleep=60), len(azure.requests())
    with gates(folder, azure, "train") as runner:
        name = running(backend, azure, since)
        runner.send_signal(signal.SIGTERM)
        said = runner.communicate()[0]
    assert runner.returncode == 143, said
    until(lambda: (backend._workspace.get(f"jobs/{name}") or {})["properties"]["status"] == "Canceled")


def test_a_log_that_cannot_be_had_for_a_while_is_read_on(
    azure: Running, backend: AzureMLBackend, tmp_path: Path
) -> None:
    """First the service's address is not told, which the SDK ends with a bare KeyError; then, once a line was read, the
    history fails longer than the SDK tries, and the token runs out. No line is lost, and none is heard twice."""
    job = project(tmp_path / "p", rate=7, sleep=5) / "train.yml"
    azure.plant({"match": "GET *api.azureml.ms/discovery*", "do": "status", "status": 403})
    lines: list[str] = []
    since = len(azure.requests())

    def hear(line: str) -> None:
        lines.append(line)
        if line == "rows 51":
            azure.plant(
                {"match": "GET *api.azureml.ms/history*/details", "do": "status", "status": 503, "times": 12},
                {"match": "GET management.azure.com*/jobs/*", "do": "expired"},
            )

    run = train(backend, job, hear=hear)
    assert (run.model / "weights").read_text() == "7"
    assert lines == ["asking https://a.blob.core.windows.net/c?sv=1&sig=…", "rows 51", "slept"]
    struck = [line["path"].rpartition("/")[2] for line in azure.requests()[since:] if "fault" in line]
    assert struck.count("details") >= 4  # more often than the SDK tries
    assert struck.count("discovery") == 1


def test_a_sweep_and_a_pipeline_run_and_give_their_model(backend: AzureMLBackend, tmp_path: Path) -> None:
    folder = project(tmp_path / "p")
    (folder / "sweep.yml").write_text(
        "type: sweep\n" + HEAD + "compute: azureml:cpu-cluster\n"
        "trial:\n  code: src\n  " + ENVIRONMENT +
        "  command: python train.py --data ${{inputs.data}} --out ${{outputs.model}} --rate ${{search_space.rate}}\n"
        "inputs:\n  data: {type: uri_file, path: data.csv}\n"
        "outputs:\n  model: {type: mlflow_model}\n"
        "sampling_algorithm: grid\nsearch_space: {rate: {type: choice, values: [4, 5]}}\n"
        "objective: {goal: maximize, primary_metric: accuracy}\n"
        "limits: {max_total_trials: 2, max_concurrent_trials: 1}\n"
    )  # fmt: skip
    run = train(backend, folder / "sweep.yml")
    assert (run.model / "weights").read_text() == "5"
    (folder / "pipeline.yml").write_text(
        "type: pipeline\n" + HEAD + "settings: {default_compute: azureml:cpu-cluster}\n"
        "inputs:\n  data: {type: uri_file, path: data.csv}\n"
        "outputs:\n  model: {type: mlflow_model}\n"
        "jobs:\n  fit:\n    type: command\n    code: src\n    " + ENVIRONMENT +
        "    command: python train.py --data ${{inputs.data}} --out ${{outputs.made}} --rate 8 --sleep 0\n"
        "    inputs: {data: '${{parent.inputs.data}}'}\n    outputs: {made: '${{parent.outputs.model}}'}\n"
    )  # fmt: skip
    run = train(backend, folder / "pipeline.yml")
    assert (run.model / "weights").read_text() == "8"


def test_what_azure_would_refuse_is_said_before_anything_is_sent(
    azure: Running, backend: AzureMLBackend, tmp_path: Path
) -> None:
    since = len(azure.requests())
    folder = project(tmp_path / "p")
    (folder / "train.yml").write_text((folder / "train.yml").read_text() + "comput: x\n")
    with pytest.raises(InvalidInput, match=r"train\.yml:\d+: .*comput"):
        train(backend, folder / "train.yml")
    with pytest.raises(InvalidInput, match="has no output 'other'"):
        train(backend, project(folder) / "train.yml", model_output="other")
    with pytest.raises(InvalidInput, match="write backend: local"):
        train(backend, folder / "train.yml", compute="local")
    assert submitted(azure, since) == []


def folder_of(path: Path, text: str) -> Path:
    path.mkdir(parents=True)
    (path / "MLmodel").write_text("flavors: {}\n")
    (path / "weights").write_text(text)
    return path


def register(backend: AzureMLBackend, name: str, model: Path, **tags: str) -> Any:
    lineage = model.parent / "lineage"
    lineage.mkdir(exist_ok=True)
    (lineage / "lineage.json").write_text(f'"{model.name}"')
    return backend.register(name, model, digest=model_digest(model), run_id="", tags=tags, lineage=lineage)


NUMBERS, MOVES, SUBSET = (f"{name}{RUN}" for name in ("numbers", "moves", "subset"))


def test_versions_are_integers_made_once_and_keep_foreign_tags(backend: AzureMLBackend, tmp_path: Path) -> None:
    for number in range(1, 12):
        made, new = register(backend, NUMBERS, folder_of(tmp_path / str(number), str(number)))
        assert (made.version, new) == (str(number), True)
    assert [version.version for version in backend.versions(NUMBERS)] == [str(n) for n in range(1, 12)]
    path = f"models/{NUMBERS}/versions/11"
    before = backend._workspace.get(path) or {}
    del before["properties"]["provisioningState"]
    properties = {**before["properties"], "tags": {**before["properties"]["tags"], "team": "risk"}, "description": "d"}
    backend._workspace.put(path, {"properties": properties})
    again, new = register(backend, NUMBERS, tmp_path / "11", **{"gates.decision": "allow"})
    assert (again.version, new) == ("11", False)
    assert again.tags["team"] == "risk"
    assert again.tags["gates.decision"] == "allow"
    after = backend._workspace.get(path) or {}
    assert after["properties"]["description"] == "d"
    assert after["properties"]["properties"]["gates.model_digest"] == model_digest(tmp_path / "11")
    backend.archive(again)
    assert [version.version for version in backend.versions(NUMBERS)][-1] == "10"
    made, _ = register(backend, NUMBERS, folder_of(tmp_path / "12", "12"))
    assert made.version == "12"
    fetched = backend.fetch(made, tmp_path / "fetched")
    assert model_digest(fetched) == made.digest
    kept = backend.fetch_lineage(made, tmp_path / "kept")
    assert kept is not None
    assert (kept / "lineage.json").read_text() == '"12"'


def test_an_alias_moves_only_from_where_it_was_expected(backend: AzureMLBackend, tmp_path: Path) -> None:
    for text in ("one", "two"):
        register(backend, MOVES, folder_of(tmp_path / text, text))
    with pytest.raises(Conflict, match="points at nothing, not at 1"):
        backend.move_alias(MOVES, "champion", expected="1", new="2")
    backend.move_alias(MOVES, "champion", expected=None, new="1")
    backend.move_alias(MOVES, "champion", expected="7", new="1")
    with pytest.raises(InvalidInput, match="has no version 9"):
        backend.move_alias(MOVES, "champion", expected="1", new="9")
    backend._workspace.put(f"models/{MOVES}", {"properties": {"tags": {"team": "risk", "gates.alias.champion": "1"}}})
    backend.move_alias(MOVES, "champion", expected="1", new="2")
    found = backend.find(MOVES, alias="champion")
    assert found is not None
    assert (found.version, found.aliases) == ("2", ("champion",))
    container = backend._workspace.get(f"models/{MOVES}") or {}
    assert container["properties"]["tags"]["team"] == "risk"
    backend.move_alias(MOVES, "champion", expected="2", new=None)
    assert backend.find(MOVES, alias="champion") is None


def test_registered_bytes_that_are_fewer_than_gated_are_refused(backend: AzureMLBackend, tmp_path: Path) -> None:
    model = folder_of(tmp_path / "m", "w")
    (model / ".amlignore").write_text("weights\n")
    with pytest.raises(Refused, match="are not those that were registered"):
        register(backend, SUBSET, model)
    assert backend.versions(SUBSET) == ()


def test_collected_requests_are_fetched_as_a_table(backend: AzureMLBackend, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    event = {"time": "2026-01-01T00:10:00Z", "id": "e", "correlationid": "c", "data": [{"age": 31}, {"age": 45}]}
    place = "modelDataCollector/census/blue/model_inputs"
    for hour in ("00", "01"):
        backend._storage.write(f"{place}/2026/01/01/{hour}/a.jsonl", json.dumps(event).encode() + b"\n")
    found = backend.fetch_data(f"azureml://datastores/workspaceblobstore/paths/{place}", tmp_path / "d")
    assert pq.read_table(found).column("age").to_pylist() == [31, 45, 31, 45]
    name = asset(backend, project(tmp_path / "p") / "data.csv", "drifting")
    assert backend.fetch_data(name, tmp_path / "e").read_text().startswith("x,y")
    with pytest.raises(InvalidInput, match="has no data nothing version 1"):
        backend.fetch_data("azureml:nothing:1", tmp_path / "f")


def test_the_secret_of_the_client_is_nowhere(azure: Running, tmp_path: Path) -> None:
    """A command that fails to sign in says which credential, and not what it was."""
    folder = project(tmp_path / "p")
    with gates(folder, azure, "train", AZURE_CLIENT_SECRET="planted-wrong-Zq8") as runner:
        said = runner.communicate()[0]
    assert runner.returncode == 4, said
    assert "client-secret" in said
    assert "planted-wrong-Zq8" not in said + "".join(p.read_text() for p in folder.rglob("*") if p.is_file())
    assert tokens.SECRET not in said


def test_training_and_monitoring_by_the_clock(azure: Running, backend: AzureMLBackend, tmp_path: Path) -> None:
    """A command job becomes a pipeline's one step; the monitor gets the policy's limit. Microsoft's schemas hold."""
    folder = project(tmp_path / "p")
    backend.schedule_training(folder / "train.yml", "credit-retraining", Clock(cron="0 6 * * 1"))
    made = (backend._workspace.get("schedules/credit-retraining") or {})["properties"]
    assert made["trigger"]["expression"] == "0 6 * * 1"
    [step] = made["action"]["jobDefinition"]["jobs"].values()
    assert "data" in step["inputs"]
    assert made["action"]["jobDefinition"]["jobType"] == "Pipeline"
    backend.schedule_training(folder / "train.yml", "credit-retraining", Clock(every=7 * 86400))
    again = (backend._workspace.get("schedules/credit-retraining") or {})["properties"]
    assert (again["trigger"]["frequency"].lower(), again["trigger"]["interval"]) == ("day", 7)
    with pytest.raises(InvalidInput, match="has not five fields"):
        backend.schedule_training(folder / "train.yml", "x", Clock(cron="6 * *"))
    assert azure.invalid() == []
