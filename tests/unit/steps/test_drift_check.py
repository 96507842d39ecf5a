"""drift-check in this process: what it is told, what it refuses in exact words, and what it reports."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema
import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from small_project import MLOPS, POLICY, gates, make, report_of

from gates import cli
from gates.backends import ModelVersion
from gates.drift import packing
from gates.drift.profile import build
from gates.drift.source import from_table
from gates.reports import json as json_report
from gates.runtime import scoring

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DAY = np.timedelta64(86_400_000_000, "us")
DIGEST = "sha256:" + "a" * 64
PRESENT = "version: 1\nname: p\nstages:\n  drift:\n    checks:\n"


def table(rows: int, *, shift: float = 0.0, seed: int = 1, days: int = 10) -> pa.Table:
    """x, y, a time that runs over `days`, an answer and its score."""
    rng = np.random.default_rng(seed)
    times = np.datetime64("2026-01-01T00:00:00", "us") + np.sort(rng.integers(0, days * 86_400_000_000, rows))
    columns: dict[str, Any] = {
        "x": rng.normal(size=rows) + shift,
        "z": rng.normal(size=rows),
        "at": times,
        "prediction": rng.integers(0, 2, rows),
        "score": rng.random(rows),
    }
    return pa.table(columns)


def project(folder: Path, reference: pa.Table, current: pa.Table, policy: str = POLICY, more: str = "") -> Path:
    make(
        folder,
        policy=policy,
        mlops=MLOPS.replace(".csv\n  current: current.csv", ".parquet\n  current: current.parquet") + more,
    )
    pq.write_table(reference, folder / "reference.parquet")
    pq.write_table(current, folder / "current.parquet")
    return folder


def test_all_leaves_out_what_is_no_feature_and_compares_predictions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reference = table(800).append_column("y", pa.array([0] * 800)).append_column("row_id", pa.array(range(800)))
    folder = project(tmp_path, reference, table(700, seed=2), more="  time_column: at\n")
    said = gates(folder, capsys, "drift-check")
    assert said.exit_code == 0
    assert "not compared, since it is no feature: at, y, row_id" in said.err
    assert [c["name"] for c in report_of(folder, "drift-check")["result"]["columns"]] == [
        "x",
        "z",
        "prediction",
        "score",
    ]


def test_a_shifted_score_is_drift_of_the_predictions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = PRESENT + "      - {id: predictions, type: drift, columns: [score], effect: {psi_max: 0.1}}\n"
    current = table(700, seed=2)
    current = current.set_column(4, "score", pa.array(np.random.default_rng(3).random(700) ** 3))
    said = gates(project(tmp_path, table(800), current, policy), capsys, "drift-check")
    assert (said.exit_code, said.outputs and said.outputs["drifted-columns"]) == (1, "score")


def test_the_window_decides_which_rows_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    moved = table(1000, seed=2)
    late = np.asarray(moved.column("at").to_numpy()) >= np.datetime64("2026-01-09", "us")
    x = np.asarray(moved.column("x").to_numpy()) + np.where(late, 3.0, 0.0)
    folder = project(tmp_path, table(800), moved.set_column(0, "x", pa.array(x)))
    last = gates(folder, capsys, "drift-check --time-column at --window 2d")
    assert (last.exit_code, last.outputs and last.outputs["drifted-columns"]) == (1, "x")
    rows = report_of(folder, "drift-check")["result"]["data"]["rows"]
    assert 150 < rows < 250
    first = gates(folder, capsys, "drift-check --time-column at --window ..2026-01-09T00:00:00")
    assert (first.exit_code, first.outputs and first.outputs["drifted-columns"]) == (0, "")
    assert report_of(folder, "drift-check")["result"]["data"]["rows"] == 1000 - late.sum()


def test_sample_and_memory_say_what_was_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    reference = pa.table({"x": pa.array(rng.normal(size=200_000))})
    folder = project(tmp_path, reference, pa.table({"x": pa.array(rng.normal(size=150_000))}))
    assert gates(folder, capsys, "drift-check --sample 500").exit_code == 0
    assert report_of(folder, "drift-check")["result"]["data"]["rows"] == 500
    assert gates(folder, capsys, "drift-check --memory 1MB").exit_code == 0
    column = report_of(folder, "drift-check")["result"]["columns"][0]
    assert 0 < column["ks_bound"] < 1e-3
    jsonschema.validate(report_of(folder, "drift-check"), json_report.schema())


def test_a_drifted_column_brings_its_distributions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = project(tmp_path, table(800), table(700, shift=3.0, seed=2))
    assert gates(folder, capsys, "drift-check --time-column at").exit_code == 1
    report = report_of(folder, "drift-check")
    jsonschema.validate(report, json_report.schema())
    by_name = {c["name"]: c for c in report["result"]["columns"]}
    assert "histogram" not in by_name["z"]
    shown = by_name["x"]["histogram"]
    assert len(shown["edges"]) == len(shown["reference"]) + 1 == len(shown["current"]) + 1
    assert sum(shown["current"]) == pytest.approx(1, abs=1e-2)
    assert "█" in (folder / ".gates/reports/drift-check/summary.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--window 7d", "--window: '7d' needs a time column; give --time-column"),
        ("--time-column at --window week", "--window: expected a duration, got 'week'; write e.g. 60s, 10m, 2h or 7d"),
        ("--time-column at --window ..", "--window: '..' has no end; write e.g. 2026-01-01..2026-02-01"),
        ("--time-column at --window 2026-01-41..", "'2026-01-41' is no time; write e.g. 2026-01-31T00:00:00"),
        ("--time-column at --window 2027-01-01..", "no row in the window; 'at' runs from 2026-01-01T"),
        ("--time-column x --window 7d", "column 'x' is double, no date or time; name one"),
        ("--time-column when --window 7d", "no column 'when'; the columns are x, z, at, prediction, score"),
        ("--sample 0", "--sample: 0 is no number of rows; write a whole number of 1 or more"),
        ("--sample 1.5", "--sample: 1.5 is no number of rows; write a whole number of 1 or more"),
        ("--memory lots", "--memory: 'lots' is no size; write e.g. 512MB or 2GB"),
        ("--memory 1KB", "--memory: '1KB' is too little; write 1MB or more"),
        ("--engine dask", "--engine: 'dask' is not known; known: arrow, spark"),
        ("--current gone.parquet", "gone.parquet: no such file or folder; check the path"),
        ("--reference gone.parquet", "gone.parquet: no such file or folder; check the path"),
        ("--reference gone.gates", "gone.gates: no such file; check the path"),
        ("--baseline b.csv", "a baseline needs the columns 'y' and 'prediction' in the current data"),
        ("--engine spark --sample 5", "--sample: the spark engine has none; write the rows meant to a path of"),
    ],
)  # fmt: skip
def test_a_bad_input_is_exit_2_in_one_line(
    flags: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = gates(project(tmp_path, table(300), table(300, seed=2)), capsys, f"drift-check {flags}")
    assert said.exit_code == 2
    assert len(said.errors) == 1
    assert message in said.errors[0]
    assert said.outputs is not None
    assert (said.outputs["verdict"], said.outputs["drifted-columns"], said.outputs["retrain"]) == ("", "", "")


def bad_data(case: str, folder: Path) -> str:
    """Spoil the project's data; what the one error line must hold."""
    current, whole = folder / "current.parquet", table(300, seed=2)
    if case == "a missing column":
        pq.write_table(whole.drop_columns(["z"]), current)
        return "current.parquet: no column 'z'; the columns are x, at, prediction, score"
    if case == "a changed type":
        pq.write_table(whole.set_column(1, "z", pa.array(["a"] * 300)), current)
        return "column 'z' is string now and was double in the reference; write it with the type it had, or train again"
    if case == "no rows":
        pq.write_table(whole.slice(0, 0), current)
        return "current.parquet: no rows; give data with at least one row"
    if case == "an empty file":
        current.write_bytes(b"")
        return "current.parquet: the file is empty; give data with at least one row"
    if case == "a file cut in the middle":
        current.write_bytes(current.read_bytes()[:-2000])
        return "current.parquet: cannot be read as parquet: "
    if case == "pages cut in the middle":
        raw = bytearray(current.read_bytes())
        raw[40:4000] = b"\xff" * 3960
        current.write_bytes(bytes(raw))
        return "column 'x' cannot be read as parquet: "
    current.unlink()
    current.mkdir()
    pq.write_table(whole, current / "a.parquet")
    pacsv.write_csv(whole.drop_columns(["z"]), current / "b.csv")
    return "b.csv: no column 'z', which "


@pytest.mark.parametrize(
    "case",
    [
        "a missing column", "a changed type", "no rows", "an empty file", "a file cut in the middle",
        "pages cut in the middle", "parts of different columns",
    ],
)  # fmt: skip
def test_bad_data_is_exit_2_and_never_no_drift(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = project(tmp_path, table(300), table(300, seed=2))
    message = bad_data(case, folder)
    said = gates(folder, capsys, "drift-check")
    assert (said.exit_code, len(said.errors)) == (2, 1)
    assert message in said.errors[0]
    assert not (folder / ".gates/reports/drift-check/report.json").exists()


def test_too_few_rows_are_inconclusive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = gates(project(tmp_path, table(300), table(19, seed=2)), capsys, "drift-check")
    assert (said.exit_code, said.outputs and said.outputs["verdict"]) == (3, "INCONCLUSIVE")


def test_a_listed_column_that_the_profile_lacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = PRESENT + "      - {id: predictions, type: drift, columns: [prediction]}\n"
    folder = project(tmp_path, table(300), table(300, seed=2), policy)
    profile = build(from_table(table(300)), columns=["x", "z"])
    (folder / "p.gates").write_bytes(profile.to_bytes())
    said = gates(folder, capsys, "drift-check --reference p.gates")
    assert said.exit_code == 2
    assert "the reference profile has no column 'prediction'; record it again by training" in said.errors[0]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda raw: raw[: len(raw) // 2], "the profile is cut or was changed"),
        (lambda raw: raw[:8] + b"\x09" + raw[9:], "the profile is of version 9, this release reads 1"),
        (lambda raw: raw[:-40] + b"\x00" + raw[-39:], "the profile is cut or was changed"),
        (lambda raw: b"x,y\n1,2\n" * 20, "this is no reference profile"),
        (lambda raw: b"", "this is no reference profile"),
    ],
    ids=["cut", "another version", "a byte changed", "another file", "empty"],
)
def test_a_profile_that_cannot_be_trusted_is_exit_2(
    spoil: Callable[[bytes], bytes], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = project(tmp_path, table(300), table(300, seed=2))
    (folder / "p.gates").write_bytes(spoil(build(from_table(table(300))).to_bytes()))
    said = gates(folder, capsys, "drift-check --reference p.gates")
    assert (said.exit_code, len(said.errors)) == (2, 1)
    assert f"p.gates: {message}; record it again by training" in said.errors[0]
    assert not (folder / ".gates/reports/drift-check/report.json").exists()


def test_a_profile_gives_the_verdict_of_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = project(tmp_path, table(800), table(700, shift=1.5, seed=2))
    (folder / "p.gates").write_bytes(build(from_table(table(800)), columns=["x", "z"]).to_bytes())
    said = gates(folder, capsys, "drift-check --reference p.gates")
    assert (said.exit_code, said.outputs and said.outputs["drifted-columns"]) == (1, "x")
    path = folder / "p.gates"
    path.write_bytes(path.read_bytes()[:-7])
    said = gates(folder, capsys, "drift-check --reference p.gates")
    assert said.exit_code == 2
    assert "the profile is cut or was changed; record it again by training" in said.errors[0]
    path.write_bytes(packing.pack({}, {}, 2))
    said = gates(folder, capsys, "drift-check --reference p.gates")
    assert "the profile is of version 2, this release reads 1; record it again by training" in said.errors[0]


class Registry:
    """A champion and nothing else."""

    shared = False

    def __init__(self, digest: str = DIGEST) -> None:
        self.digest = digest

    def find(self, name: str, *, alias: str = "", version: str = "", digest: str = "") -> ModelVersion | None:
        return ModelVersion(name, "3", self.digest, f"models:/{name}/3")


def test_a_profile_of_another_model_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project(tmp_path, table(800), table(700, seed=2))
    kept = folder / ".gates/lineage" / ("a" * 32)
    kept.mkdir(parents=True)
    monkeypatch.setattr(cli, "_backend", lambda name, context: Registry())
    for digest, code in ((DIGEST, 0), ("sha256:" + "b" * 64, 2)):
        profile = build(from_table(table(800)), columns=["x", "z"], model_digest=digest)
        (kept / "profile.gates").write_bytes(profile.to_bytes())
        said = gates(folder, capsys, "drift-check --reference profile --model-age 1d")
        assert said.exit_code == code
    assert f"the reference profile is of model sha256:{'b' * 64}, not of {DIGEST}" in said.errors[0]


def test_weights_by_importance_reach_the_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = PRESENT + "      - {id: f, type: drift, columns: [x, z], max_drifted_share: 0.4, weights: importance}\n"
    folder = project(tmp_path, table(800), table(700, shift=3.0, seed=2), policy)
    kept = folder / ".gates/cache/importances"
    monkeypatch.setattr(cli, "_backend", lambda name, context: Registry())
    monkeypatch.setattr(scoring, "score_model", pytest.fail)
    kept.mkdir(parents=True)
    from gates.lineage.digest import file_digest

    short = file_digest(folder / "data.csv").partition(":")[2][:32]
    for weight, code in ((0.3, 0), (0.5, 1)):
        (kept / f"{'a' * 32}-{short}-auto.json").write_text(json.dumps({"x": weight, "z": 1 - weight}))
        said = gates(folder, capsys, "drift-check")
        assert said.exit_code == code, said.err
        assert report_of(folder, "drift-check")["result"]["checks"][0]["observed"] == pytest.approx(weight)


def labelled(rows: int, right: float, seed: int, days: int = 10) -> pa.Table:
    made = table(rows, seed=seed, days=days)
    rng = np.random.default_rng(seed + 50)
    answer = np.asarray(made.column("prediction").to_numpy())
    return made.append_column("y", pa.array(np.where(rng.random(rows) < right, answer, 1 - answer)))


def test_embeddings_are_judged_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def embedded(rows: int, seed: int, shift: float) -> pa.Table:
        vectors = np.random.default_rng([seed, 9]).normal(size=(rows, 8)).astype(np.float32) + np.float32(shift)
        return table(rows, seed=seed).append_column("e", pa.array(list(vectors), pa.list_(pa.float32())))

    folder = project(tmp_path, embedded(600, 1, 0.0), embedded(500, 2, 0.5))
    said = gates(folder, capsys, "drift-check")
    assert said.outputs is not None
    assert (said.exit_code, said.outputs["drifted-columns"]) == (1, "e")
    report = report_of(folder, "drift-check")
    jsonschema.validate(report, json_report.schema())
    row = next(column for column in report["result"]["columns"] if column["name"] == "e")
    assert (row["kind"], row["severity"]) == ("vector", "high")
    assert row["auc"] > 0.7
    assert "Distribution of e: reference and current data" in (
        folder / ".gates/reports/drift-check/report.html"
    ).read_text(encoding="utf-8")
    pq.write_table(embedded(500, 3, 0.0), folder / "current.parquet")
    assert gates(folder, capsys, "drift-check").exit_code == 0
    pq.write_table(embedded(500, 3, 0.0).drop_columns(["e"]), folder / "current.parquet")
    assert gates(folder, capsys, "drift-check").exit_code == 2


@pytest.mark.parametrize(("right", "asked"), [(0.9, "false"), (0.8, "true")])
def test_performance_over_windows_asks_for_a_retrain(
    right: float, asked: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    current = labelled(3000, right, 2)
    folder = project(tmp_path, table(800), current)
    pq.write_table(labelled(3000, 0.9, 3), folder / "baseline.parquet")
    said = gates(folder, capsys, "drift-check --baseline baseline.parquet --time-column at --window 2d --model-age 1d")
    assert said.outputs is not None
    assert said.outputs["retrain"] == asked, said.err
    report = report_of(folder, "drift-check")
    jsonschema.validate(report, json_report.schema())
    shown = report["result"]["retrain"]["performance"]
    assert shown["measure"] == "accuracy"
    assert shown["baseline"] == pytest.approx(0.9, abs=0.02)
    assert len(shown["windows"]) == 5
    assert all(w["interval"][0] < w["delta"] < w["interval"][1] for w in shown["windows"])
    if asked == "true":
        assert said.outputs["retrain-reason"].startswith("performance: dropped by 0.")


def test_the_champions_gate_is_the_baseline_wherever_its_lineage_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project(tmp_path, table(800), labelled(3000, 0.8, 2))
    kept = folder / ".gates/lineage" / ("a" * 32)
    kept.mkdir(parents=True)
    monkeypatch.setattr(cli, "_backend", lambda name, context: Registry())
    profile = build(from_table(table(800)), columns=["x", "z"], model_digest=DIGEST)
    (kept / "profile.gates").write_bytes(profile.to_bytes())
    line = "drift-check --reference profile --time-column at --window 2d --model-age 1d"
    said = gates(folder, capsys, line)
    assert "performance is not judged: no baseline" in said.err
    (kept / "baseline.json").write_text('{"n": 5000, "mean": 0.9, "variance": 0.09, "labels": true}')
    said = gates(folder, capsys, line)
    assert said.outputs is not None
    assert said.outputs["retrain-reason"].startswith("performance: dropped by 0."), said.err
    assert report_of(folder, "drift-check")["result"]["retrain"]["performance"]["baseline"] == 0.9
    (kept / "baseline.json").write_text('{"n": 5000, "mean": 0.9}')
    said = gates(folder, capsys, line)
    assert said.exit_code == 2
    assert "this is no baseline: Object missing required field `variance`; judge the model again" in said.errors[0]


def test_labels_that_have_not_come_decide_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    current = table(700, seed=2).append_column("y", pa.nulls(700, pa.int64()))
    folder = project(tmp_path, table(800).append_column("y", pa.array([0, 1] * 400)), current)
    pq.write_table(labelled(300, 0.9, 3), folder / "baseline.parquet")
    said = gates(folder, capsys, "drift-check --baseline baseline.parquet --time-column at")
    assert "performance is not judged: no label has come" in said.err
    assert "performance" not in report_of(folder, "drift-check")["result"]["retrain"]


def test_a_label_without_its_prediction_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    current = labelled(300, 0.9, 2)
    current = current.set_column(3, "prediction", pa.array([None, *([1] * 299)]))
    folder = project(tmp_path, table(800), current)
    pq.write_table(labelled(300, 0.9, 3), folder / "baseline.parquet")
    said = gates(folder, capsys, "drift-check --baseline baseline.parquet")
    assert said.exit_code == 2
    assert "1 rows have a label in 'y' and no 'prediction'; write every prediction that was served" in said.errors[0]
