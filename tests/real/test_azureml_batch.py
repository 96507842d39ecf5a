"""Endpoints by the project's commands, over the wire: a batch deployment asked by a job, its answers gated, made the
default or taken back; an online one that is told of, rolled back, and mended after a command was killed.

The project's own commands on the azureml backend: a model trained, gated, registered and deployed in the workspace, as
our script has it answer; then deployments of it with a script of the user's, which answers as it likes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import azureml_room
import lineage_project
import pytest
import yaml
from azureml_emulator import tokens
from test_rollout_commands import until

from gates.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azureml_emulator.start import Running

    from gates.backends.azureml.backend import AzureMLBackend

ROOT = Path(__file__).resolve().parents[2]
WORKSPACE = """\
backend: azureml
workspace:
  subscription_id: ${env:AZURE_SUBSCRIPTION_ID}
  resource_group: ${env:AZURE_RESOURCE_GROUP}
  name: ${env:AZURE_ML_WORKSPACE}
"""
ENDPOINT = """\
$schema: https://azuremlschemas.azureedge.net/latest/batchEndpoint.schema.json
name: nightly
auth_mode: aad_token
description: scores the night's file
tags: {team: risk}
"""
DEPLOYMENT = """\
$schema: https://azuremlschemas.azureedge.net/latest/modelBatchDeployment.schema.json
name: tiny
endpoint_name: nightly
type: model
model: azureml:tiny@latest
compute: azureml:cpu-cluster
resources: {instance_count: 1}
tags: {owner: ann}
settings: {max_concurrency_per_instance: 2, mini_batch_size: 1, environment_variables: {NIGHT: 'yes'}}
"""
OWN = """\
code_configuration: {code: serve, scoring_script: score.py}
environment: {image: x, conda_file: conda.yml}
"""
SCORE = """
import csv, json

def init():
    pass

def run(files):
    lines = []
    for name in files:
        with open(name, newline="") as file:
            for row in csv.DictReader(file):
                assert "y" not in row, "no client knows the truth"
                yes = float(row["a"]) + float(row["b"]) > 0
                lines.append(json.dumps({"gates_row": int(row["gates_row"]), "prediction": int(ANSWER)}))
    return lines
"""


ONLINE = "name: tiny-online\nauth_mode: key\n"
LIVE = """\
name: tiny
endpoint_name: tiny-online
model: azureml:tiny@latest
code_configuration: {code: live, scoring_script: score.py}
instance_type: x
instance_count: 1
"""


@dataclass(frozen=True)
class Project:
    """The project's folder, in a workspace."""

    folder: Path
    env: dict[str, str]

    def gates(self, line: str, *more: str) -> int:
        given = {name: value for name, value in self.env.items() if name not in ("PATH", "HOME")}
        return lineage_project.gates(self.folder, line, *more, **given)

    def deploy(self, answer: str = "") -> int:
        """Version 1; with a script that answers so, an expression of `yes`, where one is given."""
        (self.folder / "deployment.yml").write_text(DEPLOYMENT + (OWN if answer else ""))
        (self.folder / "serve/score.py").write_text(SCORE.replace("ANSWER", answer))
        return self.gates("deploy-blue-green --model-version 1")

    def live(self, line: str, *more: str) -> int:
        return self.gates(line, "--config", "online.yml", *more)

    def answering(self, answer: int) -> None:
        """What the next online deployment answers."""
        (self.folder / "live/score.py").write_text(f"def init():\n    pass\n\n\ndef run(raw):\n    return [{answer}]\n")

    def outputs(self, step: str = "deploy-blue-green") -> dict[str, str]:
        found: dict[str, str] = json.loads((self.folder / ".gates/reports" / step / "outputs.json").read_text())
        return found

    def report(self) -> dict[str, Any]:
        path = self.folder / ".gates/reports/deploy-blue-green/report.json"
        found: dict[str, Any] = json.loads(path.read_text())["result"]
        return found

    @property
    def backend(self) -> AzureMLBackend:
        return azureml_room.backend(self.folder / ".gates", model="tiny", env=self.env)

    @property
    def workspace(self) -> Any:
        return self.backend._workspace

    def endpoint(self) -> Any:
        return self.backend.endpoint("nightly", score="auto", batch=True)

    def deployments(self) -> dict[str, Any]:
        """What is there, by name, all of it."""
        found = self.workspace.each("batchEndpoints/nightly/deployments")
        return {one["name"]: {**one, "systemData": None} for one in found}

    def default(self) -> str:
        """The name of the default deployment; '' where there is none."""
        return str(next(iter(self.endpoint().observe().traffic), ""))


@pytest.fixture(scope="module")
def project(azure_running: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A model is gated, registered, and answers as the default of the endpoint."""
    azure_running.plant()
    with pytest.MonkeyPatch.context() as patch:
        env = azureml_room.environment(azure_running)
        for name, value in env.items():
            patch.setenv(name, value)
        folder = lineage_project.make(tmp_path_factory.mktemp("batch") / "tiny")
        (folder / "mlops.yml").write_text(lineage_project.MLOPS + WORKSPACE)
        (folder / "policy.yml").write_text(lineage_project.POLICY.partition("  register:")[0])
        (folder / "endpoint.yml").write_text(ENDPOINT)
        made = Project(folder, env)
        for code in ("serve", "live"):
            (folder / code).mkdir()
        (folder / "live-endpoint.yml").write_text(ONLINE)
        served = yaml.safe_dump({"environment": azureml_room.SERVED["environment"]})
        (folder / "live-deployment.yml").write_text(LIVE + served)
        (folder / "sample.json").write_text('{"input_data": [1]}')
        files = "{sample_request: sample.json, endpoint: live-endpoint.yml, deployment: live-deployment.yml"
        online = lineage_project.MLOPS.replace("{endpoint: endpoint.yml, deployment: deployment.yml", files)
        (folder / "online.yml").write_text(online + WORKSPACE)
        (folder / "conda.yml").write_text("dependencies: [python=3.11]\n")
        job = lineage_project.JOB.replace("environment: {image", "compute: azureml:cpu-cluster\nenvironment: {image")
        (folder / "job.yml").write_text(job)
        for line in ("train", "validate-gate", "register"):
            assert made.gates(line) == 0, line
        assert made.deploy() == 0
        yield made


@pytest.mark.timeout(900)
def test_the_first_deployment_is_asked_gated_and_made_the_default(azure: Running, project: Project) -> None:
    report, outputs = project.report(), project.outputs()
    assert (report["step"], report["stage"], report["verdict"], report["decision"]) == (
        "deploy-blue-green", "validate", "PASS", "allow",
    )  # fmt: skip
    checks = [(check["id"], check["status"], check["n"]) for check in report["checks"]]
    assert checks == [("accuracy.floor", "PASS", 400)]
    champion = project.backend.find("tiny", alias="champion")
    assert champion is not None
    assert (champion.version, champion.digest) == ("1", report["model"]["digest"])
    assert (outputs["state"], outputs["exit-code"]) == ("SUCCEEDED", "0")
    assert outputs["live-deployment"] == project.default() != ""
    assert outputs["endpoint-url"].endswith("/jobs")
    assert len([line for line in azure.requests() if line["path"] == "/jobs"]) == 1
    assert project.gates("replay .gates/reports/deploy-blue-green/report.json") == 0
    assert azure.invalid() == []


@pytest.mark.timeout(900)
def test_answers_that_the_gate_refuses_leave_what_was(azure: Running, project: Project) -> None:
    before, since, default = project.deployments(), len(azure.requests()), project.default()
    assert project.deploy("not yes") == 5
    assert (project.default(), project.deployments()) == (default, before)
    report = project.report()
    assert (report["verdict"], report["decision"], report["checks"][0]["status"]) == ("FAIL", "refuse", "FAIL")
    assert report["checks"][0]["observed"] < 0.2
    assert "accuracy.floor is FAIL" in project.outputs()["message"]
    for line in azure.requests()[since:]:
        if line["method"] == "PUT" and line["path"].endswith("/batchEndpoints/nightly"):
            assert line["body"]["properties"]["defaults"]["deploymentName"] == default


@pytest.mark.timeout(900)
def test_one_that_the_gate_allows_becomes_the_default_and_a_person_takes_it_back(project: Project) -> None:
    first = project.default()
    settings = project.deployments()[first]
    assert project.deploy("yes") == 0
    second = project.default()
    assert second != first
    assert set(project.deployments()) == {first, second}
    assert project.gates("rollback") == 0
    assert project.default() == first
    assert project.gates("reconcile") == 0
    assert project.default() == first
    endpoint = project.workspace.get("batchEndpoints/nightly")
    assert endpoint["tags"]["team"] == "risk"
    assert endpoint["properties"]["description"] == "scores the night's file"
    assert project.deployments()[first] == settings
    assert settings["tags"]["owner"] == "ann"
    assert settings["properties"]["environmentVariables"] == {"NIGHT": "yes"}
    assert settings["properties"]["maxConcurrencyPerInstance"] == 2


def test_its_state_is_told(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert project.gates("endpoint status") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["traffic"] == {project.default(): 100}
    assert {one["state"] for one in told["deployments"]} == {"ready"}
    assert project.gates("endpoint stop") == 2
    assert "is not stopped" in capsys.readouterr().err


@pytest.mark.timeout(900)
def test_a_job_that_is_under_way_is_taken_up_by_the_next_runner_and_one_that_failed_is_not(
    azure: Running, project: Project, tmp_path: Path
) -> None:
    assert project.deploy("yes") == 0
    endpoint, name = project.endpoint(), project.default()
    data = tmp_path / "input.csv"
    data.write_text("a,b,gates_row\n1.0,2.0,0\n-3.0,1.0,1\n")

    class Died(Exception):
        pass

    def die() -> None:
        raise Died

    since = len(azure.requests())
    with pytest.raises(Died):
        endpoint.answers(name, data, tmp_path, beat=die, seconds=60)
    lines = project.endpoint().answers(name, data, tmp_path, beat=lambda: None, seconds=60).read_text()
    assert len(lines.splitlines()) == 2
    assert len([line for line in azure.requests()[since:] if line["path"] == "/jobs"]) == 1
    (tmp_path / "bad.csv").write_text("c\n1\n")
    for _ in range(2):
        with pytest.raises(Unavailable, match="ended as Failed"):
            endpoint.answers(name, tmp_path / "bad.csv", tmp_path, beat=lambda: None, seconds=60)
    assert len([line for line in azure.requests()[since:] if line["path"] == "/jobs"]) == 3


def test_the_local_backend_says_that_it_has_none(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert project.gates("deploy-blue-green --model-version 1 --backend local") == 2
    said = capsys.readouterr().err
    assert "deployment.yml:1: a batch deployment runs in an Azure ML workspace only" in said


@pytest.fixture(scope="module")
def online(project: Project) -> str:
    """The name of the deployment that serves on the online endpoint, after another one did."""
    for answer in (1, 2):
        project.answering(answer)
        assert (
            project.live("deploy-blue-green --model-version 1", "--rollout={steps: [100], interval: 0s, bake: 0s}") == 0
        )
    return project.outputs()["live-deployment"]


def shares(project: Project) -> dict[str, int]:
    return dict(project.backend.endpoint("tiny-online", score="auto").observe().traffic)


@pytest.mark.timeout(900)
def test_an_online_endpoint_is_told_and_rolled_back(
    project: Project, online: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert project.live("endpoint status") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["traffic"], told["mirror"], told["updating"]) == ({online: 100}, {}, False)
    assert told["url"].startswith("https://tiny-online.")
    assert [one["state"] for one in told["deployments"]] == ["ready", "ready"]
    assert project.gates("endpoint status --name nobody") == 2
    assert "there is no endpoint 'nobody'" in capsys.readouterr().err
    assert project.live("endpoint stop") == 2
    other = next(one["name"] for one in told["deployments"] if one["name"] != online)
    assert project.live("rollback") == 0
    assert shares(project) == {other: 100}
    assert project.live(f"rollback --to {online}") == 0
    assert shares(project) == {online: 100}
    assert project.live("reconcile") == 0
    assert shares(project) == {online: 100}


@pytest.mark.timeout(900)
def test_what_a_killed_command_left_is_undone_by_reconcile_once_its_lease_has_run_out(
    azure: Running, project: Project, online: str, capsys: pytest.CaptureFixture[str]
) -> None:
    project.answering(3)
    asked = ["deploy-blue-green", "--model-version=1", "--rollout={steps: [50, 100], interval: 600s, bake: 0s}"]
    argv = [sys.executable, "-m", "gates", *asked, "--config=online.yml"]
    env = {**os.environ, **project.env, "GATES_PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}
    runner = subprocess.Popen(argv, cwd=project.folder, env=env, stderr=subprocess.DEVNULL)
    until(lambda: len(shares(project)) == 2 or runner.poll() is not None)
    assert runner.poll() is None
    runner.send_signal(signal.SIGKILL)
    runner.wait()
    capsys.readouterr()
    assert project.live("reconcile") == 7
    assert "is held by" in capsys.readouterr().err
    storage, path = project.backend._storage, "mlops-gates/endpoints/tiny-online/lease.json"
    lease = json.loads(storage.read(path) or b"")
    storage.write(path, json.dumps({**lease, "expires": time.time() - 1}).encode())
    assert project.live("reconcile") == 5
    assert shares(project) == {online: 100}
    assert project.live("reconcile") == 0
    said = capsys.readouterr()
    kept = [path for path in project.folder.rglob("*") if path.is_file() and path.stat().st_size < 1_000_000]
    texts = {"said": said.out + said.err, **{str(path): path.read_text("utf-8", "replace") for path in kept}}
    texts |= {blob: (storage.read(f"mlops-gates/{blob}") or b"").decode("utf-8", "replace")
              for blob in storage.below("mlops-gates")}  # fmt: skip
    secrets = {tokens.SECRET, (azure.folder / "storage/key").read_text().strip()}
    secrets |= {str(line["token"]) for line in azure.tokens() if line.get("token")}
    secrets |= set(json.loads((azure.folder / "serving/tiny-online.keys").read_text()))
    assert len(secrets) >= 4
    assert [(where, secret[:4]) for where, text in texts.items() for secret in secrets if secret in text] == []
