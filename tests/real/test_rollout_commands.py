"""A rollout as its commands end it: held and approved, stopped, killed, refused, left where it is well.

Two versions are trained, gated and registered once; the model servers are a script that answers at once.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lineage_project
import pytest

from gates.backends.local.endpoint import client
from gates.chain import Chain
from gates.lineage.audit import AuditLog
from gates.rollout.journal import fold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[2]
APPROVALS = "    approvals: {min: 1, forbid_author: false}\n"
CANARY = """\
  canary:
    checks:
      - {id: errors, type: rate, signal: http_5xx, ok: 0.01, bad: 0.2}
"""
SLOW = "      - {id: slow, type: latency_quantile, signal: latency_ms, q: 0.5, max_ms: 0.001}\n"
DEPLOYMENT = """\
name: tiny
endpoint_name: tiny
model: azureml:tiny@latest
code_configuration: {code: serve, scoring_script: score.py}
environment: {image: x, conda_file: conda.yml}
instance_type: x
instance_count: 1
"""
QUICK = "{steps: [50, 100], interval: 0.5s, bake: 0s, keep_old: 1h, synthetic: 60}"
SLOWER = "{steps: [50, 100], interval: 8s, bake: 0s, keep_old: 1h, synthetic: 60}"


@dataclass(frozen=True)
class Project:
    """The project's folder; what its commands leave."""

    folder: Path
    digests: dict[str, str]

    @property
    def state(self) -> Path:
        return self.folder / ".gates"

    def gates(self, line: str, *more: str, **env: str) -> int:
        return lineage_project.gates(self.folder, line, *more, **env)

    def deploy(self, version: int, *more: str, rollout: str = QUICK) -> int:
        return self.gates(f"deploy-blue-green --model-version {version}", f"--rollout={rollout}", *more)

    def start(self, version: int, *, rollout: str = SLOWER) -> subprocess.Popen[str]:
        """The command in a process of its own."""
        asked = [f"--model-version={version}", f"--rollout={rollout}", "--approve"]
        argv = [sys.executable, "-m", "gates", "deploy-blue-green", *asked]
        env = {**os.environ, "GATES_PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(argv, cwd=self.folder, env=env, stderr=subprocess.PIPE, text=True)

    def outputs(self, step: str = "deploy-blue-green") -> dict[str, str]:
        found: dict[str, str] = json.loads((self.state / "reports" / step / "outputs.json").read_text())
        return found

    def records(self) -> list[dict[str, Any]]:
        return Chain(self.state / "endpoints" / "tiny" / "journal.jsonl").read()

    def split(self) -> bool:
        """In the canary and with its traffic: the journal alone says it before it is done."""
        last = fold(self.records()).last
        return last is not None and not last.ended and last.state == "CANARY_1" and len(self.serving()) == 2

    def status(self) -> dict[str, Any]:
        found = client.status(self.state, "tiny")
        assert found is not None
        return found

    def serving(self) -> dict[str, int]:
        """Traffic by model digest."""
        status = self.status()
        digest = {d["name"]: d["model_digest"] for d in status["deployments"]}
        return {digest[name]: share for name, share in status["traffic"].items()}

    def name(self, version: str) -> str:
        return next(str(d["name"]) for d in self.status()["deployments"] if d["model_digest"] == self.digests[version])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, environments: Path) -> Iterator[Project]:
    folder = lineage_project.make(tmp_path_factory.mktemp("commands") / "tiny")
    (folder / "policy.yml").write_text(lineage_project.POLICY.replace(APPROVALS, "", 1) + CANARY)
    (folder / "deployment.yml").write_text(DEPLOYMENT)
    (folder / "conda.yml").write_text("dependencies: [python=3.11]\n")
    (folder / "serve").mkdir()
    (folder / "serve/score.py").write_text("def init():\n    pass\n\n\ndef run(raw):\n    return [1]\n")
    (folder / "sample.json").write_text('{"input_data": [1]}')
    mlops = (folder / "mlops.yml").read_text()
    (folder / "mlops.yml").write_text(mlops.replace("deployment: dep", "sample_request: sample.json, deployment: dep"))
    (folder / ".gates/cache").mkdir(parents=True)
    (folder / ".gates/cache/environments").symlink_to(environments)
    digests = {}
    for version, c in (("1", "1.0"), ("2", "0.01")):
        (folder / "job.yml").write_text(lineage_project.JOB.replace("c: 1.0", f"c: {c}"))
        for line in ("train", "validate-gate", "register")[: 3 if version == "1" else 1]:
            assert lineage_project.gates(folder, line) == 0, line
        digests[version] = json.loads((folder / ".gates/last/train.json").read_text())["digest"]
    made = Project(folder, digests)
    yield made
    client.stop(made.state, "tiny")


@pytest.fixture(scope="module")
def released(project: Project) -> Project:
    """Version 1 serves, and version 2 was gated against it."""
    if project.gates("endpoint status") != 0 or project.serving() != {project.digests["1"]: 100}:
        assert project.deploy(1, "--approve") == 0
    for line in ("validate-gate", "register"):
        assert project.gates(line) == 0, line
    return project


def until(true: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


def test_a_deployment_without_approval_waits_and_goes_on_once_somebody_approves(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert project.deploy(1) == 8
    assert "1 approval needed" in capsys.readouterr().err
    assert (project.outputs()["outcome"], project.outputs()["state"]) == ("waiting", "SMOKED")
    assert project.serving() == {}
    assert project.gates("reconcile") == 8, "a person is waited for"
    made = len(project.records())
    assert project.deploy(1, "--approve") == 0
    assert project.serving() == {project.digests["1"]: 100}
    states = [record["state"] for record in project.records()[made:]]
    assert "GREEN_CREATING" not in states, "it went on, and did not begin again"
    report = project.state / "reports/deploy-blue-green/report.json"
    assert project.gates("replay", str(report)) == 0, "what the rollout saw decides the same again"
    item = json.loads(report.read_text())["result"]["evidence"][0]
    assert item["name"] == "rollout:canary"
    evidence = report.parent / "evidence" / item["sha256"].partition(":")[2]
    evidence.write_bytes(evidence.read_bytes().replace(b"[0,", b"[9,", 1))
    assert project.gates("replay", str(report)) == 2
    assert "was changed" in capsys.readouterr().err


def test_a_command_killed_in_the_canary_is_undone_by_reconcile(released: Project) -> None:
    command = released.start(2)
    until(lambda: released.split() or command.poll() is not None)
    command.kill()
    assert command.wait(60) == -signal.SIGKILL
    assert len(released.serving()) == 2, "it died with the traffic split"
    assert released.gates("reconcile") == 5, "its owner is dead, so its lease is not waited for"
    assert released.serving() == {released.digests["1"]: 100}
    assert released.outputs("reconcile")["rolled-back"] == "true"
    shown = json.loads((released.state / "reports/reconcile/rollout.json").read_text())
    assert shown["outcome"] == "ROLLED_BACK"
    assert len(released.status()["deployments"]) == 1, "green is gone"
    assert released.gates("reconcile") == 0


def test_a_command_that_is_stopped_says_143_and_the_next_goes_on(released: Project) -> None:
    command = released.start(2)
    until(lambda: released.split() or command.poll() is not None)
    command.send_signal(signal.SIGSTOP)
    assert released.deploy(2, "--approve") == 7, "it is held by a runner that lives"
    begun = time.monotonic()
    command.send_signal(signal.SIGTERM)
    command.send_signal(signal.SIGCONT)
    _, said = command.communicate(timeout=60)
    assert (command.returncode, released.outputs()["outcome"]) == (143, "cancelled"), said
    print(f"\nstopped within {time.monotonic() - begun:.1f} s")
    assert released.records()[-1]["state"] == "INTERRUPTED"
    assert len(released.serving()) == 2
    made = len(released.records())
    assert released.deploy(2) == 0
    assert released.serving() == {released.digests["2"]: 100}
    assert "GREEN_CREATING" not in [record["state"] for record in released.records()[made:]]


def test_a_rollback_refuses_a_model_that_was_altered_and_says_which(
    released: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    before, blue, green = released.status(), released.digests["1"], released.name("2")
    kept = released.state / "models/tiny" / blue.partition(":")[2]
    victim = next(path for path in sorted(kept.rglob("*")) if path.is_file() and path.name.startswith("model."))
    bytes_before = victim.read_bytes()
    victim.write_bytes(bytes_before + b"x")
    capsys.readouterr()
    assert released.gates("rollback") == 1
    assert blue in capsys.readouterr().err
    assert (released.status(), released.outputs("rollback")["outcome"]) == (before, "refused"), "nothing was touched"
    victim.write_bytes(bytes_before)
    assert released.gates("rollback") == 0
    assert released.serving() == {blue: 100}
    event = list(AuditLog(released.state / "audit.jsonl").events())[-1]
    assert (event.kind, event.deployment, event.model, event.previous) == (
        "rolled-back", green, released.digests["2"], blue,
    )  # fmt: skip


def test_where_blue_is_sick_and_green_is_well_traffic_stays_on_green_and_a_person_is_called(
    released: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """The canary fails on its latency, which is no reason to route everybody to the dead."""
    policy = released.folder / "policy.yml"
    policy.write_text(policy.read_text() + SLOW)
    blue, green = released.name("1"), released.name("2")
    os.kill(next(d["pid"] for d in released.status()["deployments"] if d["name"] == blue), signal.SIGKILL)
    endpoint = client.connect(released.state, "tiny", env=dict(os.environ), python=Path(sys.executable))
    until(lambda: endpoint.observe().deployments[blue].healthy is False)
    capsys.readouterr()
    assert released.deploy(2, "--approve", "--allow-ungated=the test changed the policy") == 6
    said = capsys.readouterr().err
    assert f"already sick before the rollout: {blue}" in said
    assert re.search(
        rf"^error: not rolled back: {blue} is sick and {green} is well, so {green} has all traffic", said, re.MULTILINE
    )
    assert "gates rollback --to NAME" in said
    assert released.serving() == {released.digests["2"]: 100}
    outputs = released.outputs()
    assert (outputs["outcome"], outputs["state"], outputs["rolled-back"]) == ("unknown", "ROLLBACK_FAILED", "false")
    assert released.deploy(2, "--approve", "--allow-ungated=again") == 6, "until a person has looked"
    assert released.gates("rollback", f"--to={green}") == 0
    assert released.gates("reconcile") == 0
