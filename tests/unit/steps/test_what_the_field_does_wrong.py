"""Inputs that gates in use let through, each a test here: but for the float noise, none may pass.

MLflow: `mlflow.validate_evaluation_results` of 3.17 and its comparison of a model with itself (mlflow#12215).
aml-registermodel: `metrics_min`. TFMA: validation of slices. deepchecks: `SuiteResult.passed()`. Kayenta: its score.
Argo Rollouts: argo-rollouts#1329. MLOpsPython: `evaluate_model.py`.
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from small_project import Ran, gates, make, report_of

from gates import cli, policy
from gates.evidence import Counted, Evidence, Predictions
from gates.judge import judge
from gates.verdict import GateReport, Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    Gate = Callable[..., Ran]

HEAD = "version: 1\nname: p\n{more}stages:\n  {stage}:\n    checks:\n"
BOOTSTRAP = "champion: {when_absent: bootstrap}\n"


def text(*checks: str, stage: str = "validate", more: str = "") -> str:
    return HEAD.format(stage=stage, more=more) + "".join(f"      - {{{check}}}\n" for check in checks)


@pytest.fixture
def gate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Gate:
    """validate-gate with this policy and this metrics file, or these predictions."""

    def run(checks: str, *, metrics: str = "", rows: str = "", champion: str = "") -> Ran:
        folder = make(tmp_path / "p", policy=checks, metrics=metrics or '{"accuracy": 0.9}')
        line = "validate-gate --metrics metrics.json"
        for name, content in (("predictions", rows), ("champion-predictions", champion)):
            if content:
                (folder / f"{name}-given.csv").write_text(content)
                line = line.removesuffix(" --metrics metrics.json") + f" --{name} {name}-given.csv"
        return gates(folder, capsys, line)

    return run


def judged(checks: str, evidence: Evidence, stage: str = "canary") -> GateReport:
    read = policy.load(checks.encode(), Path("p.yml"), today=date(2026, 11, 21))
    return judge(read, stage, evidence, step="deploy-blue-green", today=date(2026, 11, 21))


def table(*columns: str, n: int = 200, wrong: int = 0) -> str:
    """A predictions file of n rows, the first `wrong` answered wrongly; columns: further ones, as `name=value`."""
    names = ["y", "prediction", *(column.partition("=")[0] for column in columns)]
    values = [column.partition("=")[2] for column in columns]
    rows = [[i % 2, 1 - i % 2 if i < wrong else i % 2, *values] for i in range(n)]
    return "\n".join([",".join(names), *(",".join(map(str, row)) for row in rows)]) + "\n"


DELTA = "id: d, type: champion_delta, metric: rmse, margin: {relative: 0.1}"


def test_mlflow_passes_nan_in_the_candidate(gate: Gate) -> None:
    nan = table(n=200).replace("1,1\n", "1,nan\n", 1)
    said = gate(text(DELTA), rows=nan, champion=table(n=200))
    assert said.exit_code == 4, said.err
    said = gate(text("id: a, type: threshold, metric: accuracy, min: 0.5"), metrics='{"accuracy": NaN}')
    assert said.exit_code == 4, said.err


def test_mlflow_passes_nan_in_the_baseline(gate: Gate) -> None:
    nan = table(n=200).replace("1,1\n", "1,nan\n", 1)
    said = gate(text(DELTA), rows=table(n=200, wrong=3), champion=nan)
    assert said.exit_code == 4, said.err


@pytest.mark.parametrize("stage", ["checks: []", "checks:", "{}", "{checks: []}", ""])
def test_mlflow_passes_empty_rules(stage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nothing = f"version: 1\nname: p\nstages:\n  validate: {stage if stage.startswith('{') else ''}\n" + (
        f"    {stage}\n" if stage and not stage.startswith("{") else ""
    )
    said = gates(make(tmp_path / "p", policy=nothing), capsys, "validate-gate --metrics metrics.json")
    assert said.exit_code == 2, said.err
    for empty in ("version: 1\nname: p\nstages: {}\n", "version: 1\nname: p\n", "", "{}"):
        said = gates(make(tmp_path / "p", policy=empty), capsys, "validate-gate --metrics metrics.json")
        assert said.exit_code == 2, said.err


def test_mlflow_refuses_float_noise(gate: Gate) -> None:
    """0.3 against a limit of 0.1 + 0.2: here it passes, and 1e-9 below does not."""
    floor = text(f"id: a, type: threshold, metric: cost, source: metrics, min: {0.1 + 0.2!r}")
    assert gate(floor, metrics='{"cost": 0.3}').exit_code == 0
    assert gate(floor, metrics='{"cost": 0.299999999}').exit_code == 1
    ceiling = text("id: a, type: threshold, metric: cost, source: metrics, max: 0.3")
    assert gate(ceiling, metrics=json.dumps({"cost": 0.1 + 0.2})).exit_code == 0


def test_mlflow_compares_a_model_with_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The candidate is what the alias names: any comparison would pass, so there is none."""
    from gates.backends import ModelVersion
    from gates.lineage.digest import model_digest

    folder = make(tmp_path / "p", policy=text(DELTA))
    model = folder / "model"
    model.mkdir()
    (model / "MLmodel").write_text("flavors: {}\n")
    same = ModelVersion("small", "1", model_digest(model), "models:/small/1")

    class Registry:
        shared = False

        def find(self, name: str, *, version: str = "", alias: str = "", digest: str = "") -> ModelVersion:
            return same

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "_backend", lambda name, context: Registry())
        said = gates(folder, capsys, "validate-gate --model model --predictions predictions.csv")
    assert said.exit_code == 4
    assert "the candidate is the champion itself (small version 1" in said.errors[0]


def test_aml_registermodel_compares_metrics_min_the_wrong_way_round(gate: Gate) -> None:
    floor = text("id: a, type: threshold, metric: accuracy, min: 0.8")
    assert gate(floor, metrics='{"accuracy": 0.7}').exit_code == 1
    assert gate(floor, metrics='{"accuracy": 0.9}').exit_code == 0
    cap = text("id: a, type: threshold, metric: log_loss, max: 0.5")
    assert gate(cap, metrics='{"log_loss": 0.6}').exit_code == 1
    assert gate(cap, metrics='{"log_loss": 0.4}').exit_code == 0


def test_tfma_validates_an_empty_slice(gate: Gate) -> None:
    required = "id: s, type: slice_threshold, metric: recall, by: [g], min: 0.5, required: {g: [a, b]}"
    said = gate(text(required), rows=table("g=a"))
    assert said.exit_code == 1
    assert "the data hold no row of g=b, which the policy requires" in said.err.lower()
    fair = "id: f, type: fairness, metric: demographic_parity_difference, sensitive: [g], max: 0.9"
    assert gate(text(fair + ", required_groups: {g: [a, b]}"), rows=table("g=a")).exit_code == 1
    assert gate(text(fair), rows=table("g=a")).exit_code == 4  # one group has nobody to be compared with


def test_deepchecks_passed_ignores_checks_that_did_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One check passes, the other could not run: the stage does not pass."""
    floor = "id: a, type: threshold, metric: accuracy, min: 0.8"
    for other in (
        "id: b, type: latency_quantile, signal: predict_one_ms, q: 0.5, max_ms: 9",
        "id: b, type: findings, file: none.sarif, format: sarif",
        "id: b, type: package_sound",
    ):
        folder = make(tmp_path / "p", policy=text(floor, other))
        said = gates(folder, capsys, "validate-gate --metrics metrics.json")
        assert said.exit_code == 4, said.err
        assert [check["status"] for check in report_of(folder)["result"]["checks"]] == ["PASS", "ERROR"]


def test_kayenta_scores_an_all_error_canary_100() -> None:
    """Every request of the canary failed, so that there is no latency and no ratio: never a pass."""
    rate = "id: r, type: rate, signal: http_5xx, ok: 0.005, bad: 0.02"
    ratio = "id: q, type: rate_ratio, signal: http_5xx, max_ratio: 3.0"
    slow = "id: l, type: latency_quantile, signal: latency_ms, q: 0.95, max_ms: 350, min_samples: 100"
    for n in (1, 20, 5000):
        for final in (True, False):
            failed = Evidence(
                counts={"http_5xx": Counted(n, n)},
                champion_counts={"http_5xx": Counted(0, n)},
                samples={"latency_ms": np.empty(0)},
                final=final,
            )
            for checks in ([rate], [ratio], [slow], [rate, ratio, slow]):
                assert judged(text(*checks, stage="canary"), failed).decision == "refuse", (n, final, checks)
    certain = Evidence(counts={"http_5xx": Counted(20, 20)}, champion_counts={"http_5xx": Counted(0, 380)})
    assert judged(text(rate, stage="canary"), certain).verdict is Verdict.FAIL
    assert judged(text(ratio, stage="canary"), certain).verdict is Verdict.FAIL


def test_argo_marks_an_unmeasured_metric_successful() -> None:
    for check in (
        "id: r, type: rate, signal: http_5xx, ok: 0.005, bad: 0.02",
        "id: q, type: rate_ratio, signal: http_5xx, max_ratio: 3.0",
        "id: l, type: latency_quantile, signal: latency_ms, q: 0.95, max_ms: 350",
        "id: d, type: champion_delta, metric: accuracy, margin: {absolute: 0.01}",
    ):
        report = judged(text(check, stage="canary"), Evidence())
        assert (report.verdict, report.decision) == (Verdict.ERROR, "refuse"), check
    none = Evidence(counts={"http_5xx": Counted(0, 0)}, champion_counts={"http_5xx": Counted(0, 0)})
    assert judged(text("id: r, type: rate, signal: http_5xx, ok: 0.1, bad: 0.2", stage="canary"), none).decision == (
        "refuse"
    )


def test_mlopspython_lets_any_model_beat_a_missing_baseline() -> None:
    """No champion: ERROR. Where the policy says bootstrap it is SKIPPED, and alone decides nothing."""
    truth = np.arange(100) % 2
    bad = Evidence(candidate=Predictions(truth, 1 - truth, positive_label=1), champion_absent=True)
    delta = "id: d, type: champion_delta, metric: accuracy, test: superiority"
    assert judged(text(delta), bad, "validate").verdict is Verdict.ERROR
    skipped = judged(text(delta, more=BOOTSTRAP), bad, "validate")
    assert (skipped.checks[0].status, skipped.verdict, skipped.decision) == (Status.SKIPPED, Verdict.ERROR, "refuse")
    floor = "id: a, type: threshold, metric: accuracy, min: 0.8"
    assert judged(text(floor, delta, more=BOOTSTRAP), bad, "validate").verdict is Verdict.FAIL
    unasked = Evidence(candidate=bad.candidate)  # nobody looked for a champion: bootstrap is no excuse for that
    assert judged(text(floor, delta, more=BOOTSTRAP), unasked, "validate").checks[1].status is Status.ERROR
