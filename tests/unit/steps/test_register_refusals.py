"""register takes only a model folder and a report that are what they say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from small_project import gates, make, report_of

from gates import cli

if TYPE_CHECKING:
    from pathlib import Path


class NoModels:
    shared = False

    def find(self, name: str, *, version: str = "", alias: str = "") -> None:
        return None


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cli, "_backend", lambda name, context: NoModels())
    folder = make(tmp_path / "p")
    (folder / "model").mkdir()
    (folder / "model" / "MLmodel").write_text("flavors: {}\n")
    return folder


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "r.json:1: the gate report is empty; "),
        ("[]", "r.json: not a gate report; give the report.json of validate-gate"),
        ("{", "r.json:1: not JSON: "),
        ('{"a": 1, "a": 2}', "r.json: duplicate key 'a' in the gate report; "),
        ('{"result": {"verdict": NaN}}', "r.json: NaN is not JSON; "),
    ],
)
def test_a_report_that_is_none_is_the_user_s_to_mend(
    text: str, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "r.json").write_text(text)
    said = gates(folder, capsys, "register --model model --report r.json")
    assert said.exit_code == 2
    assert len(said.errors) == 1
    assert said.errors[0].startswith(f"error: {message}")


@pytest.mark.parametrize(
    "text", ["{}", '{"result": {}}', '{"result": []}', '{"schema": "report.v1", "result": {"policy": 3}}']
)
def test_a_report_without_a_decision_registers_nothing(
    text: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "r.json").write_text(text)
    said = gates(folder, capsys, "register --model model --report r.json")
    assert said.exit_code in (1, 2), said.err
    assert len(said.errors) == 1


def test_a_report_of_other_bytes_registers_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gates(folder, capsys, "validate-gate --metrics metrics.json --model model").exit_code == 0
    report = report_of(folder)
    assert report["result"]["decision"] == "allow"
    (folder / "r.json").write_text(json.dumps(report))
    (folder / "model" / "MLmodel").write_text("flavors: {changed: 1}\n")
    said = gates(folder, capsys, "register --model model --report r.json")
    assert said.exit_code == 1, said.err
    assert said.outputs is not None
    assert said.outputs["model-version"] == ""


def test_the_policy_s_digest_must_be_the_report_s(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gates(folder, capsys, "validate-gate --metrics metrics.json --model model").exit_code == 0
    policy = folder / "policy.yml"
    policy.write_text(policy.read_text().replace("0.85", "0.10"))
    assert gates(folder, capsys, "register --model model").exit_code == 1
