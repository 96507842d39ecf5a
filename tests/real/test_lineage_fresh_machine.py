"""A machine that has nothing but the repository and an MLflow server deploys what another one trained and gated."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from lineage_project import MLOPS, gates, make

from gates.backends.local.backend import LocalBackend
from gates.lineage.audit import AuditLog
from gates.lineage.digest import model_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True)
class Machines:
    """`here` trained, gated and registered over the server `uri`; `there` and `third` are checkouts with no state."""

    here: Path
    there: Path
    third: Path
    uri: str
    digest: str

    def backend(self) -> LocalBackend:
        return LocalBackend(self.here / ".gates", self.uri, None, {}, lambda _: None)


@pytest.fixture(scope="module")
def machines(
    tmp_path_factory: pytest.TempPathFactory, mlflow_server: str, need: Callable[[str], str]
) -> Iterator[Machines]:
    need("git")
    origin = make(tmp_path_factory.mktemp("origin"))
    text = MLOPS.replace("model: tiny", "model: travels").replace("name: tiny", "name: travels")
    (origin / "mlops.yml").write_text(f"{text}tracking_uri: {mlflow_server}\n")
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    subprocess.run(["git", *who, "commit", "-qam", "a server"], cwd=origin, check=True)
    here, there, third = (tmp_path_factory.mktemp(name) / "checkout" for name in ("here", "there", "third"))
    for folder in (here, there, third):
        subprocess.run(["git", "clone", "-q", str(origin), str(folder)], check=True)
    for line in ("train", "validate-gate", "register --approve"):
        assert gates(here, line) == 0, line
    digest = json.loads((here / ".gates/last/train.json").read_text())["digest"]
    yield Machines(here, there, third, mlflow_server, digest)
    gates(there, "endpoint stop")


def test_nothing_is_deployed_when_a_tag_on_the_server_was_edited(
    machines: Machines, capfd: pytest.CaptureFixture[str]
) -> None:
    backend = machines.backend()
    version = backend.find("travels", version="1")
    assert version is not None
    was = version.tags["gates.gate_statement"]
    backend.tag(version, {"gates.gate_statement": "sha256:" + "0" * 64})
    try:
        assert gates(machines.there, "deploy-blue-green --model-version 1 --approve") == 1
    finally:
        backend.tag(version, {"gates.gate_statement": was})
    assert f"tag gates.gate_statement: is 'sha256:{'0' * 64}', recorded was '{was}'" in capfd.readouterr().err


def test_nothing_is_deployed_when_the_lineage_on_the_server_was_edited(
    machines: Machines, capfd: pytest.CaptureFixture[str]
) -> None:
    backend = machines.backend()
    version = backend.find("travels", version="1")
    assert version is not None
    folder = machines.here / ".gates/lineage" / machines.digest[7:39]
    kept = (folder / "lineage.json").read_bytes()
    (folder / "lineage.json").write_bytes(kept.replace(b'"allow"', b'"allow "'))
    backend.keep_lineage(version, folder)
    (folder / "lineage.json").write_bytes(kept)
    shutil.rmtree(machines.there / ".gates")
    try:
        assert gates(machines.there, "deploy-blue-green --model-version 1 --approve") == 1
        assert "lineage.json: does not say what the statements say" in capfd.readouterr().err
    finally:
        backend.keep_lineage(version, folder)


def test_a_fresh_machine_verifies_deploys_and_goes_on_with_the_audit_log(
    machines: Machines, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(machines.there / ".gates", ignore_errors=True)
    before = [event.kind for event in AuditLog(machines.here / ".gates/audit.jsonl").events()]
    assert gates(machines.there, "deploy-blue-green --model-version 1 --approve") == 0
    events = AuditLog(machines.there / ".gates/audit.jsonl").events()
    assert [event.kind for event in events][: len(before)] == before
    assert [event.kind for event in events][-1] == "deployed"
    capsys.readouterr()
    assert gates(machines.there, "lineage verify --version 1") == 0
    assert "every recorded digest was found again" in capsys.readouterr().out
    capsys.readouterr()
    assert gates(machines.here, "lineage audit --json") == 0
    (row,) = json.loads(capsys.readouterr().out)["answer"]
    assert (row["model"], row["verdict"]) == (machines.digest, "PASS")
    assert gates(machines.here, "lineage verify --version 1") == 0


def test_what_serves_is_not_archived_and_what_is_archived_is_not_deployed(
    machines: Machines, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backend, there = machines.backend(), machines.there
    for text in ("a", "b"):
        model = tmp_path / text
        model.mkdir()
        (model / "MLmodel").write_text(f"flavors: {{}}\n# {text}\n")
        lineage = tmp_path / f"{text}.lineage"
        lineage.mkdir()
        backend.register("travels", model, digest=model_digest(model), run_id="", tags={}, lineage=lineage)
    backend.move_alias("travels", "champion", expected="1", new=None)
    try:
        assert gates(there, "model archive --keep 1") == 0
    finally:
        backend.move_alias("travels", "champion", expected=None, new="1")
    assert "travels version 2 archived" in capsys.readouterr().out
    assert [version.version for version in backend.versions("travels")] == ["1", "3"]
    assert gates(there, "deploy-blue-green --model-version 2") == 2
    assert "travels version 2 is archived; register its bytes again" in capsys.readouterr().err
    assert gates(there, "model archive --keep 1 --purge") == 0, "nothing is left to archive"


def test_two_logs_that_grew_apart_are_answered_as_one_and_verified_by_the_copy(
    machines: Machines, capsys: pytest.CaptureFixture[str]
) -> None:
    """A third machine trained and gated before it ever saw the others."""
    third = machines.third
    (third / "job.yml").write_text((third / "job.yml").read_text().replace("c: 1.0", "c: 0.5"))
    assert gates(third, "train") == 0
    assert gates(third, "lineage verify --version 1") == 0
    assert "WRONG" not in capsys.readouterr().out
    capsys.readouterr()
    assert gates(machines.there, "lineage audit --question movements --json") == 0
    rows = [row for row in json.loads(capsys.readouterr().out)["answer"] if row["model_name"] == "travels"]
    assert [row["kind"] for row in rows] == ["registered", "deployed"]
    assert gates(machines.there, f"lineage audit --question made-from --data {third / 'train.csv'} --json") == 0
    answer = json.loads(capsys.readouterr().out)["answer"]  # other tests use the server too
    assert len([row for row in answer if row["model_name"] == "travels"]) == 2
    log = third / ".gates/audit.jsonl"
    log.write_bytes(b"")
    assert gates(third, "train") == 1
    assert "has lost events that were published before" in capsys.readouterr().err
