"""A report decides again to the same bytes, and not when anything of it or of its evidence was changed."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from small_project import DRIFT, MLOPS, VALIDATE, Ran, gates, make

from gates.canonical import digest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POLICY = (
    "version: 1\nname: small\nstages:\n"
    + VALIDATE
    + "      - {id: recall.g, type: slice_threshold, metric: recall, by: [g], min: 0.5}\n"
    + "      - {id: contract, type: data_contract, min_rows: 10, severity: warn}\n"
    + "      - {id: low, type: threshold, metric: accuracy, max: 0.5}\n"
    + DRIFT.replace("checks:\n", "checks:\n      - {id: never, type: drift, max_drifted_share: 0.9}\n")
    + 'waivers:\n  - {check: low, reason: "known", approved_by: "user:x", expires: "2099-12-31"}\n'
)
COMMANDS = {
    "validate-gate": "validate-gate --predictions predictions.csv --champion-predictions predictions.csv",
    "metrics": "validate-gate --metrics metrics.json",
    "drift-check": "drift-check --performance-delta -0.5 --model-age 40d",
    "shifted": "drift-check --current shifted.csv --performance-delta -0.04",
}


@pytest.fixture(params=COMMANDS)
def judged(request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The report of one command."""
    folder = make(tmp_path / "p", policy=POLICY)
    line = COMMANDS[request.param]
    said = gates(folder, capsys, line)
    assert said.exit_code in (0, 1, 4), said.err
    return folder / ".gates/reports" / line.split()[0] / "report.json"


def replay(report: Path, capsys: pytest.CaptureFixture[str]) -> Ran:
    folder = next(parent for parent in report.parents if (parent / "mlops.yml").is_file())
    return gates(folder, capsys, "replay", str(report))


def leaves(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    yield at
    for key, one in inner:
        yield from leaves(one, (*at, key))


def other(value: Any) -> Any:
    """Something else of the same type where there is one."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    if isinstance(value, str):
        return value + "x"
    return [*value, {}] if isinstance(value, list) else {**value, "more": 1}


def test_the_same_bytes_come_again(judged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = json.loads(judged.read_text())["result"]
    said = replay(judged, capsys)
    assert said.exit_code == 0, said.err
    assert f"{result['verdict']} {result['decision']}: the same bytes again, {digest(result)}\nas of 2" in said.out


def test_whatever_is_changed_in_the_result_is_refused(judged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = json.loads(judged.read_text())
    passed = []
    for at in list(leaves(whole["result"])):
        changed = json.loads(json.dumps(whole))
        holder, last = changed, "result"
        for key in at:
            holder, last = holder[last], key
        holder[last] = other(holder[last])
        judged.write_text(json.dumps(changed))
        said = replay(judged, capsys)
        if said.exit_code == 0:
            passed.append(at)
        assert said.exit_code in (0, 1, 2, 4), (at, said.err)
        assert len(said.errors) == (said.exit_code != 0), (at, said.err)
    assert passed == []


def test_changed_or_missing_evidence_is_refused(judged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = sorted((judged.parent / "evidence").iterdir())
    used = {item["sha256"] for item in json.loads(judged.read_text())["result"]["evidence"]}
    used.add(json.loads(judged.read_text())["result"]["policy"]["digest"])
    assert len(used) >= 3
    for file in files:
        raw = file.read_bytes()
        for change in (raw[:-1], raw + b" ", raw[:10] + bytes([raw[10] ^ 1]) + raw[11:], b"", None):
            file.unlink()
            if change is not None:
                file.write_bytes(change)
            said = replay(judged, capsys)
            assert said.exit_code in (1, 2), (file, said.err)
            file.write_bytes(raw)
    assert replay(judged, capsys).exit_code == 0


def test_the_day_is_the_audit_log_s(judged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whether a waiver still counts hangs on the day, so the report's own word is not enough where a log tells."""
    whole = json.loads(judged.read_text())
    told = "validate-gate" in str(judged) or whole["result"]["verdict"] == "FAIL"
    said = replay(judged, capsys)
    assert ("as the audit log says too" if told else "by the report's own word") in said.out
    started = datetime.fromisoformat(whole["run"]["started"])
    whole["run"]["started"] = (started - timedelta(days=400)).isoformat()
    judged.write_text(json.dumps(whole))
    said = replay(judged, capsys)
    assert said.exit_code == (1 if told else 0), said.err
    assert ("the audit log says" in said.err) == told


def test_what_is_no_report_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(tmp_path / "p", mlops=MLOPS)
    for text in ("", "{}", "[]", '{"schema": "report.v2"}', '{"schema": "report.v1", "result": {}, "run": {}}'):
        (folder / "report.json").write_text(text)
        said = replay(folder / "report.json", capsys)
        assert (said.exit_code, len(said.errors)) == (2, 1), (text, said.err)


def test_retraining_is_decided_again_not_copied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(tmp_path / "p", policy=POLICY)
    for line, reason in (
        (COMMANDS["drift-check"], "performance: dropped by 0.5, limit 0.03; age: 40.0 days, limit 30.0"),
        (COMMANDS["shifted"], "drift: 1 of 1 columns drifted (x); performance: dropped by 0.04, limit 0.03"),
    ):
        gates(folder, capsys, line)
        report = folder / ".gates/reports/drift-check/report.json"
        whole = json.loads(report.read_text())
        assert whole["result"]["retrain"] == {"decide": True, "reason": reason}
        assert replay(report, capsys).exit_code == 0
        whole["result"]["retrain"] = {"decide": False, "reason": None}
        report.write_text(json.dumps(whole))
        said = replay(report, capsys)
        assert (said.exit_code, "retrain differ" in said.err) == (1, True)
