"""A report decides again to the same bytes, and not when anything of it or of its evidence was changed."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from small_project import DRIFT, MLOPS, VALIDATE, Ran, gates, make, report_of

from gates import cli
from gates import policy as policies
from gates.backends import ModelVersion
from gates.canonical import digest
from gates.evidence import Counted, Evidence
from gates.lineage.digest import model_digest
from gates.reports import json as json_report
from gates.steps.canary import Judging

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import tzinfo
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


def each_changed(whole: Any) -> Iterator[tuple[Any, Any]]:
    """The report once for each leaf of its result, with that leaf changed."""
    for at in list(leaves(whole["result"])):
        changed = json.loads(json.dumps(whole))
        holder, last = changed, "result"
        for key in at:
            holder, last = holder[last], key
        holder[last] = other(holder[last])
        yield at, changed


def test_whatever_is_changed_in_the_result_is_refused(judged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = json.loads(judged.read_text())
    passed = []
    for at, changed in each_changed(whole):
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
            if file.name in {digest.partition(":")[2] for digest in used}:
                assert "was changed" in said.err or "is missing" in said.err or "not found" in said.err, said.err
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


class Registry:
    """One version, whose bytes are `digest`; a champion there is none."""

    shared = False

    def __init__(self, digest: str, version: str) -> None:
        self.found = ModelVersion("small", version, digest, f"models:/small/{version}")

    def find(self, name: str, *, version: str = "", alias: str = "", digest: str = "") -> ModelVersion | None:
        return self.found if digest == self.found.digest else None


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`at("2026-11-20")`: commands run on that day."""

    def go(day: str) -> None:
        class Then(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Then:
                return cls.fromisoformat(f"{day}T12:00:00+00:00")

        monkeypatch.setattr(cli, "datetime", Then)

    return go


FAILING = (
    "version: 1\nname: p\nstages:\n" + VALIDATE + "      - {id: low, type: threshold, metric: accuracy, max: 0.5}\n"
)
WAIVED = FAILING + 'waivers:\n  - {check: low, reason: r, approved_by: x, expires: "2025-11-21"'


def test_a_waiver_of_that_day_counts_on_the_days_after(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], at: Callable[[str], None]
) -> None:
    """And neither its end nor the policy's own makes a report of before them another."""
    folder = make(tmp_path / "p", policy=WAIVED + '}\nexpires: "2025-11-22"\n')
    at("2025-11-21")
    assert gates(folder, capsys, "validate-gate --metrics metrics.json").exit_code == 0
    at("2026-06-01")
    said = replay(folder / ".gates/reports/validate-gate/report.json", capsys)
    assert said.exit_code == 0, said.err
    assert "as of 2025-11-21, as the audit log says too" in said.out
    assert gates(folder, capsys, "validate-gate --metrics metrics.json").exit_code == 2
    whole = json.loads((report := folder / ".gates/reports/validate-gate/report.json").read_text())
    for day, exit_code in (("2025-11-20", 0), ("2025-11-19", 1), ("2025-11-22", 2)):  # the log may be a midnight later
        whole["run"]["started"] = f"{day}T23:59:59+00:00"
        report.write_text(json.dumps(whole))
        assert replay(report, capsys).exit_code == exit_code, day


@pytest.mark.parametrize(("version", "code"), [("42", 0), ("41", 1)])
def test_a_waiver_for_a_registered_version_counts_for_its_bytes(
    version: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], at: Callable[[str], None]
) -> None:
    folder = make(tmp_path / "p", policy=f'{WAIVED}, model_version: "42"}}\n')
    (folder / "model").mkdir()
    (folder / "model/MLmodel").write_text("flavors: {}\n")
    at("2025-11-21")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "_backend", lambda name, context: Registry(model_digest(folder / "model"), version))
        said = gates(folder, capsys, "validate-gate --model model --metrics metrics.json")
    assert said.exit_code == code, said.err
    assert replay(folder / ".gates/reports/validate-gate/report.json", capsys).exit_code == 0


CANARY = f"""\
version: 1
name: p
stages:
{VALIDATE}
  deploy:
    checks: [{{id: smoke, type: latency_quantile, signal: smoke_latency_ms, q: 0.95, max_ms: 100}}]
  canary:
    checks:
      - {{id: err, type: rate, signal: http_5xx, ok: 0.005, bad: 0.02}}
      - {{id: ratio, type: rate_ratio, signal: http_5xx, max_ratio: 3.0}}
waivers:
  - {{check: err, reason: r, approved_by: x, expires: "2099-01-01", model_version: "7"}}
"""


def rolled_out(folder: Path, bad: int, *, allowed: bool) -> Path:
    """The report of a rollout of version 7, whose canary answered `bad` of 4000 requests with an error."""
    file, raw = folder / "policy.yml", CANARY.encode()
    policy = policies.load(raw, file, today=date(2026, 11, 21))
    model = {"digest": "sha256:" + "0" * 64, "version": "7"}
    judging = Judging(policy, "deploy-blue-green", lambda: date(2026, 11, 21), model)
    seen = {
        "deploy": Evidence(samples={"smoke_latency_ms": np.full(100, 9.0)}),
        "canary": Evidence(counts={"http_5xx": Counted(bad, 4000)}, champion_counts={"http_5xx": Counted(60, 4000)}),
    }
    for stage, evidence in seen.items():
        analyse = judging.gate(stage)
        assert analyse is not None
        analyse(evidence, final=True)
    report = judging.report(folder / "rollout", raw, allowed=allowed)
    assert report is not None
    run = {"started": "2026-11-21T12:00:00+00:00", "platform": "shell", "versions": {}, "paths": {}}
    (folder / "rollout/report.json").write_text(json_report.render(report, run)[0])
    return folder / "rollout/report.json"


@pytest.mark.parametrize(("bad", "verdict"), [(9, "PASS"), (400, "FAIL")])
@pytest.mark.parametrize("allowed", [True, False])
def test_a_rollout_decides_again_and_only_its_going_through_is_taken_at_its_word(
    bad: int, verdict: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], *, allowed: bool
) -> None:
    folder = make(tmp_path / "p", policy=CANARY)
    report = rolled_out(folder, bad, allowed=allowed)
    whole = json.loads(report.read_text())
    assert whole["result"]["verdict"] == verdict
    assert [check["status"] for check in whole["result"]["checks"]] == [
        "PASS",
        "PASS" if bad < 10 else "WAIVED",
        verdict,
    ]
    lies = allowed and verdict == "FAIL"  # a failed check lets nothing through, whatever the report says
    assert replay(report, capsys).exit_code == (1 if lies else 0)
    passed = []
    for at, changed in each_changed(whole):
        report.write_text(json.dumps(changed))
        said = replay(report, capsys)
        assert said.exit_code in (0, 1, 2, 4), (at, said.err)
        passed += [at] if said.exit_code == 0 else []
    assert passed == []


def test_a_rollout_whose_checks_could_not_run_let_nothing_through(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make(tmp_path / "p", policy=CANARY)
    report = rolled_out(folder, 4001, allowed=True)  # more errors than requests
    assert json.loads(report.read_text())["result"]["verdict"] == "ERROR"
    said = replay(report, capsys)
    assert (said.exit_code, "decision differ; ERROR, refuse" in said.err) == (1, True)


def test_a_report_that_judged_nothing_or_is_of_another_form_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make(tmp_path / "p", policy=POLICY)
    gates(folder, capsys, COMMANDS["metrics"])
    report = folder / ".gates/reports/validate-gate/report.json"
    whole = json.loads(report.read_text())
    for changed, said in (
        ({**whole, "result": {**whole["result"], "checks": []}}, "nothing was judged in this report"),
        ({**whole, "schema": "report.v9"}, "the report is of report.v9, not report.v1"),
    ):
        report.write_text(json.dumps(changed))
        found = replay(report, capsys)
        assert (found.exit_code, said in found.err) == (2, True), found.err


def test_what_we_measured_is_not_replaced_by_what_a_file_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = "version: 1\nname: p\nstages:\n" + VALIDATE + (
        "      - {id: size, type: threshold, metric: artifact_megabytes, max: 1}\n"
    )  # fmt: skip
    folder = make(tmp_path / "p", policy=size, metrics='{"accuracy": 0.9, "artifact_megabytes": 0.5}')
    (folder / "model").mkdir()
    (folder / "model/MLmodel").write_text("flavors: {}\n" + "#" * 2_000_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "_backend", lambda name, context: Registry("", "1"))
        said = gates(folder, capsys, "validate-gate --model model --metrics metrics.json")
    assert said.exit_code == 1, said.err
    assert report_of(folder)["result"]["checks"][1]["observed"] == pytest.approx(2.0, abs=0.01)
