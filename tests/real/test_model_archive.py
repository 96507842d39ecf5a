"""`gates model archive`: old versions leave the lists, aliases and records stay, and purged bytes are gone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from lineage_project import gates

from gates.backends.local.registry import Registry
from gates.lineage.audit import AuditLog

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("mlflow")
PROJECT = "version: 1\nmodel: tiny\npolicy: policy.yml\nevaluate: {data: d.csv, target: y, positive_label: 1}\n"


def bytes_of(folder: Path, text: str) -> Path:
    made = folder / text
    made.mkdir()
    (made / "MLmodel").write_text(f"flavors: {{}}\n# {text}\n")
    return made


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Five versions; 1 is the champion, and 2 and 4 have the same bytes because 2 was archived in between."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "mlops.yml").write_text(PROJECT)
    registry = Registry(f"sqlite:///{folder}/.gates/mlflow.db", state_dir=folder / ".gates")
    models = {text: bytes_of(tmp_path, text) for text in ("one", "two", "three", "five")}
    for number, text in enumerate(("one", "two", "three"), start=1):
        assert registry.register("tiny", models[text])[0].version == str(number)
    second = registry.get("tiny", "2")
    assert second is not None
    registry.archive(second, purge=False)
    fourth, new = registry.register("tiny", models["two"])
    assert (fourth.version, new) == ("4", True), "an archived version is not what the same bytes are registered as"
    registry.register("tiny", models["five"])
    registry.set_alias("tiny", "champion", "1", expected=None)
    return folder


def listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    assert gates(folder, "model list --json") == 0
    return [row["version"] for row in json.loads(capsys.readouterr().out)]


def test_the_newest_and_what_an_alias_names_stay(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(project, capsys) == ["5", "4", "3", "1"]
    assert gates(project, "model archive --keep 2 --dry-run --json") == 0
    assert [row["version"] for row in json.loads(capsys.readouterr().out)] == ["3"]
    assert listed(project, capsys) == ["5", "4", "3", "1"]
    assert gates(project, "model archive --keep 2") == 0
    assert "tiny version 3 archived (sha256:" in capsys.readouterr().out
    assert listed(project, capsys) == ["5", "4", "1"]
    (event,) = AuditLog(project / ".gates/audit.jsonl").events()
    assert (event.kind, event.version, event.reason) == ("archived", "3", "")
    assert gates(project, "model archive --keep 2") == 0
    assert "no version of tiny is old enough" in capsys.readouterr().out


def test_purged_bytes_are_gone_unless_another_version_has_them(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = project / ".gates/models/tiny"
    before = {path.name for path in kept.iterdir()}
    assert gates(project, "model archive --keep 1 --purge") == 0
    assert "tiny version 3 purged" in capsys.readouterr().out
    assert listed(project, capsys) == ["5", "1"]
    assert len(before) == 4
    assert len({path.name for path in kept.iterdir()}) == 2, "of 'two' and 'three' nothing is left"


@pytest.mark.parametrize("keep", ["0", "-1", "1.5", "few"])
def test_a_keep_that_is_no_number_of_versions(project: Path, capsys: pytest.CaptureFixture[str], keep: str) -> None:
    assert gates(project, f"model archive --keep {keep}") == 2
    assert "--keep" in capsys.readouterr().err
    assert listed(project, capsys) == ["5", "4", "3", "1"]
