"""No evidence never passes: whatever is missing, empty, NaN or only advisory, the gate does not allow."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import jsonschema
import pytest
from small_project import POLICY, gates, make, report_of

from gates import cli
from gates.reports import json as json_report

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "version: 1\nname: p\nstages:\n  validate:\n    checks:\n"
RECALL = "      - {id: r, type: threshold, metric: recall, min: 0.1}\n"
LATENCY = "      - {id: l, type: latency_quantile, signal: predict_one_ms, q: 0.5, max_ms: 9}\n"
CHECK = "      - {id: a, type: threshold, metric: accuracy, min: 0.85}\n"
FLOOR = "      - {id: b, type: threshold, metric: accuracy, min: 0.85"


@pytest.mark.parametrize(
    ("metrics", "policy", "verdict", "code"),
    [
        ('{"accuracy": NaN}', POLICY, "ERROR", 4),
        ('{"accuracy": Infinity}', POLICY, "ERROR", 4),
        ('{"accuracy": -Infinity}', POLICY, "ERROR", 4),
        ('{"f1": 0.99}', POLICY, "ERROR", 4),
        ('{"Accuracy": 0.99}', POLICY, "ERROR", 4),
        ('{"accuracy": 0.99}', HEAD + FLOOR + ", severity: warn}\n", "ERROR", 4),
        ('{"accuracy": 0.10}', HEAD + FLOOR + ", severity: warn}\n", "ERROR", 4),
        ('{"accuracy": 0.99}', HEAD + RECALL + CHECK, "ERROR", 4),
        ('{"accuracy": 0.99}', HEAD + LATENCY,
         "ERROR", 4),
        ('{"accuracy": 0.99}', HEAD + "      - {id: s, type: slice_threshold, metric: recall, by: [g], min: 0.1}\n",
         "ERROR", 4),
        ('{"accuracy": 0.99}', HEAD + "      - {id: d, type: data_contract, min_rows: 100000}\n", "FAIL", 1),
        ('{"accuracy": 0.99}', HEAD + "      - {id: p, type: package_sound}\n", "ERROR", 4),
        ('{"accuracy": 0.99}', HEAD + FLOOR + ", decide_on: ci_lower}\n", "INCONCLUSIVE", 3),
        ('{"metrics": {"accuracy": 0.99}, "n": 10}', HEAD + FLOOR + ", min_samples: 1000}\n", "INCONCLUSIVE", 3),
    ],
)  # fmt: skip
def test_a_metrics_file_without_the_evidence(
    metrics: str, policy: str, verdict: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make(tmp_path / "p", metrics=metrics, policy=policy)
    said = gates(folder, capsys, "validate-gate --metrics metrics.json")
    assert said.exit_code == code
    assert said.outputs is not None
    assert (said.outputs["verdict"], said.outputs["decision"]) == (verdict, "refuse")
    report = report_of(folder)
    jsonschema.validate(report, json_report.schema())
    assert report["result"]["verdict"] == verdict
    assert all(check["observed"] is None or abs(check["observed"]) < 1e9 for check in report["result"]["checks"])


def test_every_comparison_skipped_is_error_and_not_a_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = "version: 1\nname: p\nchampion: {when_absent: bootstrap}\nstages:\n  validate:\n    checks:\n" + (
        "      - {id: d, type: champion_delta, metric: accuracy, margin: {absolute: 0.1}}\n"
    )
    folder = make(tmp_path / "p", policy=policy)

    class Empty:
        shared = False

        def find(self, name: str, *, version: str = "", alias: str = "") -> None:
            return None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "_backend", lambda name, context: Empty())
        said = gates(folder, capsys, "validate-gate --predictions predictions.csv")
    assert said.exit_code == 4
    assert report_of(folder)["result"]["checks"][0]["status"] == "SKIPPED"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("metrics", "", "empty.json:1: the metrics file is empty; an empty file decides nothing"),
        ("metrics", "{}", "empty.json: the metrics file holds no metrics; "),
        ("metrics", '{"metrics": {"accuracy": 0.99}, "n": 0}', "empty.json: 'n' is 0; no rows decide nothing"),
        ("metrics", '{"metrics": {"accuracy": 0.99}, "n": -1}', "empty.json: 'n' is not a count; "),
        ("metrics", '{"metrics": {"accuracy": 0.99}, "n": true}', "empty.json: 'n' is not a count; "),
        ("metrics", '{"metrics": {"accuracy": 0.99}, "n": 9.5}', "empty.json: 'n' is not a count; "),
        ("metrics", '{"accuracy": true}', "empty.json: metric 'accuracy' is not a number; "),
        ("metrics", '{"accuracy": "0.99"}', "empty.json: metric 'accuracy' is not a number; "),
        (
            "metrics",
            '{"accuracy": 0.1, "accuracy": 0.99}',
            "empty.json: duplicate key 'accuracy' in the metrics file; ",
        ),
        ("metrics", "{'accuracy': 0.99}", "empty.json:1: not JSON: "),
        ("metrics", '{"accuracy": 0.99,\n}', "empty.json:2: not JSON: "),
        ("metrics", "[0.99]", "empty.json: a metrics file is one JSON object; "),
        (
            "metrics",
            '{"metrics": {"accuracy": 0.99}, "rows": 9}',
            "empty.json: unknown key 'rows' in the metrics file; ",
        ),
        ("predictions", "", "empty.csv: the predictions is empty; an empty file decides nothing"),
        ("predictions", "y,prediction\n", "empty.csv: the predictions has no rows; no rows decide nothing"),
        ("predictions", "y,predicted\n1,1\n", "empty.csv: the predictions has no column 'prediction'; "),
        ("predictions", "truth,prediction\n1,1\n", "empty.csv: the predictions has no column 'y'; "),
    ],
)
def test_an_empty_or_broken_file_is_the_user_s_to_mend(
    name: str, text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make(tmp_path / "p")
    path = folder / f"empty.{'json' if name == 'metrics' else 'csv'}"
    path.write_text(text)
    said = gates(folder, capsys, f"validate-gate --{name} {path.name}")
    assert said.exit_code == 2
    assert len(said.errors) == 1
    assert said.errors[0].startswith(f"error: {message}")
    assert said.outputs is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "none.csv"), ("x\n", "none.csv"), ("other\n1\n2\n", "none.csv: ")],
    ids=["empty", "no rows", "no column"],
)
def test_drift_without_data_does_not_pass(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make(tmp_path / "p")
    (folder / "none.csv").write_text(text)
    said = gates(folder, capsys, "drift-check --current none.csv")
    assert said.exit_code in (2, 4), said.err
    assert message in said.err
    assert said.outputs is not None
    assert said.outputs["decision"] != "allow"


def test_too_few_rows_do_not_pass_drift(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(tmp_path / "p")
    (folder / "few.csv").write_text("x\n1\n2\n3\n")
    said = gates(folder, capsys, "drift-check --current few.csv")
    assert said.exit_code in (1, 3, 4), said.err


def test_drift_of_columns_that_are_all_null_does_not_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(tmp_path / "p")
    (folder / "null.csv").write_text("x,z\n" + ",1\n" * 300)
    said = gates(folder, capsys, "drift-check --current null.csv")
    assert said.exit_code in (1, 3, 4), said.err


@pytest.mark.parametrize("decided", ["warn", "block"])
def test_on_inconclusive_decides_and_the_verdict_stays(
    decided: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = HEAD + FLOOR + f", min_samples: 1000, on_inconclusive: {decided}}}\n"
    said = gates(make(tmp_path / "p", policy=policy), capsys, "validate-gate --metrics metrics.json")
    assert said.exit_code == (0 if decided == "warn" else 3)
    assert said.outputs is not None
    assert said.outputs["verdict"] == "INCONCLUSIVE"


def test_a_missing_stage_is_not_a_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(tmp_path / "p")
    said = gates(folder, capsys, "validate-gate --metrics metrics.json --stage register")
    assert said.exit_code == 2
    assert said.errors[0].startswith("error: policy.yml: the policy has no stage 'register'; add stages.register")


@pytest.mark.parametrize(
    ("label", "values", "positive"),
    [
        ("1", (0, 1), "integer"),
        ('"1"', (0, 1), "text in mlops.yml, integer in the data"),
        ("true", ("false", "true"), "boolean"),
        ('">50K"', ("<=50K", ">50K"), "text"),
        ("1", (0.0, 1.0), "floating point"),
        ('"yes"', ("no", "yes"), "text that other parsers take for a boolean"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_the_positive_label_may_be_a_number_a_text_or_a_boolean(
    label: str, values: tuple[object, object], positive: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """200 rows, half positive, of which 80 % are found: recall 0.8, whatever the labels are called."""
    mlops = f"version: 1\nmodel: m\npolicy: policy.yml\nevaluate: {{data: d, target: y, positive_label: {label}}}\n"
    policy = HEAD + "      - {id: r, type: threshold, metric: recall, min: 0.7, decide_on: point}\n"
    folder = make(tmp_path / "p", mlops=mlops, policy=policy)
    low, high = values
    rows = [f"{high},{high if i % 5 else low}\n{low},{low}\n" for i in range(100)]
    (folder / "labels.csv").write_text("y,prediction\n" + "".join(rows))
    said = gates(folder, capsys, "validate-gate --predictions labels.csv")
    assert said.exit_code == 0, said.err
    assert report_of(folder)["result"]["checks"][0]["observed"] == pytest.approx(0.8)


def test_a_positive_label_that_no_row_has_does_not_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mlops = "version: 1\nmodel: m\npolicy: policy.yml\nevaluate: {data: d, target: y, positive_label: 7}\n"
    for metric in ("recall", "precision", "f1"):
        policy = HEAD + f"      - {{id: r, type: threshold, metric: {metric}, min: 0.0, decide_on: point}}\n"
        folder = make(tmp_path / metric, mlops=mlops, policy=policy)
        said = gates(folder, capsys, "validate-gate --predictions predictions.csv")
        assert said.exit_code in (2, 4), (metric, said.err)


def test_predictions_need_a_target_to_be_read_by(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(tmp_path / "p", mlops="version: 1\nmodel: m\n")
    said = gates(folder, capsys, "validate-gate --predictions predictions.csv")
    assert said.exit_code == 2
    assert said.errors == ["error: mlops.yml: nothing says what 'evaluate.target' is; add the key evaluate.target"]


def test_equal_inputs_give_equal_result_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digests = set()
    for name, env in (("a", {}), ("b", {"GITHUB_ACTIONS": "true"}), ("c", {"TF_BUILD": "True"})):
        folder = make(tmp_path / name)
        env = {**env, "AGENT_TEMPDIRECTORY": str(tmp_path)}
        said = gates(folder, capsys, "validate-gate --predictions predictions.csv", **env)
        assert said.outputs is not None
        digests.add((said.outputs["report-digest"], said.exit_code, json.dumps(report_of(folder)["result"])))
    assert len(digests) == 1
