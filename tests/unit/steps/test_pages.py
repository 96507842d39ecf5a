"""Every step leaves a page beside its report; what goes wrong with a page changes nothing that was decided."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gates import cli
from gates.reports.html import page

if TYPE_CHECKING:
    from pathlib import Path

POLICY = """version: 1
name: small
stages:
  validate:
    checks: [{id: accuracy.floor, type: threshold, metric: accuracy, min: 0.9, decide_on: point}]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "mlops.yml").write_text("version: 1\nmodel: small\n")
    (tmp_path / "policy.yml").write_text(POLICY)
    return tmp_path


def gate(folder: Path, accuracy: float = 0.95) -> int:
    (folder / "metrics.json").write_text(json.dumps({"metrics": {"accuracy": accuracy}, "n": 4000}))
    return cli.run(["validate-gate", "--metrics", "metrics.json"], {}, folder)


@pytest.mark.parametrize(("accuracy", "code", "verdict"), [(0.95, 0, "PASS, allowed"), (0.5, 1, "FAIL, refused")])
def test_a_step_leaves_a_page_that_says_the_verdict(project: Path, accuracy: float, code: int, verdict: str) -> None:
    assert gate(project, accuracy) == code
    text = (project / ".gates/reports/validate-gate/report.html").read_text(encoding="utf-8")
    assert f"<title>small: {verdict}</title>" in text
    assert "accuracy.floor" in text


def test_a_broken_page_is_a_warning_and_the_verdict_stands(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any) -> str:
        raise RuntimeError("no ink")

    monkeypatch.setattr(page, "render", broken)
    assert gate(project) == 0
    assert "warning: no report.html: RuntimeError: no ink" in capsys.readouterr().err
    folder = project / ".gates/reports/validate-gate"
    assert json.loads((folder / "outputs.json").read_text())["verdict"] == "PASS"
    assert not (folder / "report.html").exists()


def test_an_input_that_is_wrong_leaves_no_page_of_before(project: Path) -> None:
    assert gate(project) == 0
    path = project / ".gates/reports/validate-gate/report.html"
    before = path.read_bytes()
    assert cli.run(["validate-gate", "--metrics", "nope.json"], {}, project) == 2
    assert path.read_bytes() == before


def test_one_page_of_all_reports_in_order_of_time(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gate(project) == 0
    first = project / ".gates/reports/validate-gate"
    early = json.loads((first / "report.json").read_text())
    early["run"]["started"] = "2020-01-01T00:00:00+00:00"
    early["result"] |= {"step": "train", "checks": []}
    (project / ".gates/reports/train").mkdir()
    (project / ".gates/reports/train/report.json").write_text(json.dumps(early))
    capsys.readouterr()
    assert cli.run(["report", "html"], {}, project) == 0
    assert capsys.readouterr().out == ".gates/reports/report.html\n"
    text = (project / ".gates/reports/report.html").read_text(encoding="utf-8")
    assert text.index('<h2 id="report-0">train: ') < text.index('<h2 id="report-1">validate-gate: ')


def test_a_page_of_one_report_goes_where_it_is_told(project: Path) -> None:
    assert gate(project) == 0
    report = ".gates/reports/validate-gate/report.json"
    assert cli.run(["report", "html", report, "--out", "a/page.html"], {}, project) == 0
    assert (project / "a/page.html").read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("x/report.json", '{"schema": "other"}', "not a report of report.v1"),
        ("x/report.json", "[1]", "not a report of report.v1"),
        ("x/report.json", "{", "report.json"),
        ("x/nothing.txt", "", "no report.json below"),
    ],
)
def test_what_is_no_report_is_said(
    project: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, said: str
) -> None:
    path = project / name
    path.parent.mkdir()
    path.write_text(text)
    assert cli.run(["report", "html", "x"], {}, project) == 2
    assert said in capsys.readouterr().err
