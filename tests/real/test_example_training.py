"""The example does what its README says: Azure's SDK reads its files, its training runs, its policy decides rightly.

The jobs' own command lines are run, with MLflow on SQLite; the whole story under act is tested elsewhere.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

pytest.importorskip("sklearn")
pytest.importorskip("mlflow")
import numpy as np
import pyarrow.parquet as pq

from gates import policy
from gates.drift.profile import build
from gates.drift.scan import scan
from gates.drift.source import open_source
from gates.evidence import Evidence, Predictions
from gates.judge import judge
from gates.verdict import Status, Verdict

if TYPE_CHECKING:
    from gates.drift.found import ColumnDrift

EXAMPLE = Path(__file__).parents[2] / "examples" / "census-income"
VERSIONS = ("v1", "v2", "bad")
LABELLED = ("train", "test")
WATCHED = tuple(yaml.safe_load((EXAMPLE / "policy.yml").read_text())["stages"]["drift"]["checks"][0]["columns"])
PRODUCTION = ("production_same", "production_shifted")

SCORE = """
import json, sys, mlflow, numpy, pandas
data, sample, *models = sys.argv[1:]
rows, sample = pandas.read_parquet(data), json.load(open(sample))["input_data"]
sample = pandas.DataFrame(sample["data"], columns=sample["columns"])
for folder in models:
    model = mlflow.sklearn.load_model(folder)
    answers = mlflow.pyfunc.load_model(folder).predict(sample)
    numpy.savez(folder + ".npz", label=model.predict(rows), score=model.predict_proba(rows)[:, 1], answers=answers)
"""


@dataclass(frozen=True)
class Trained:
    """What a job left behind: its model, what it said, its answers on the evaluation data and on the sample request."""

    folder: Path
    predictions: Predictions
    answers: list[int]


def job(version: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((EXAMPLE / "jobs" / f"train-{version}.yml").read_text())
    return loaded


def run(arguments: list[str], folder: Path) -> None:
    env = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    done = subprocess.run(arguments, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]


def train(version: str, folder: Path) -> Path:
    """Run the job's command with its inputs filled in; the model's folder."""
    command, model = job(version)["command"], folder / version
    for name, value in job(version)["inputs"].items():
        shown = (EXAMPLE / "jobs" / value["path"]).resolve() if isinstance(value, dict) else value
        command = command.replace("${{inputs." + name + "}}", str(shown))
    words = shlex.split(command.replace("${{outputs.model}}", str(model)))
    assert words[:2] == ["python", "train.py"]
    run([sys.executable, str(EXAMPLE / "src" / "train.py"), *words[2:]], folder)
    return model


def predictions(label: Any, score: Any) -> Predictions:
    table = pq.read_table(EXAMPLE / "data" / "test.parquet")
    return Predictions(
        target=np.array(table["income_over_50k"]),
        prediction=np.asarray(label),
        scores=np.asarray(score, dtype=np.float64),
        positive_label=1,
        groups={"sex": np.array(table["sex"].to_pylist())},
        row_id=np.array(table["row_id"]),
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trained]:
    folder = tmp_path_factory.mktemp("jobs")
    models = {version: train(version, folder) for version in VERSIONS}
    read = [EXAMPLE / "data" / "test.parquet", EXAMPLE / "deploy" / "sample.json", *models.values()]
    run([sys.executable, "-c", SCORE, *map(str, read)], folder)
    made = {}
    for version, model in models.items():
        with np.load(f"{model}.npz") as scored:
            made[version] = Trained(model, predictions(scored["label"], scored["score"]), scored["answers"].tolist())
    return made


def gate(candidate: Trained, champion: Trained | None) -> tuple[Verdict, dict[str, Status]]:
    file = EXAMPLE / "policy.yml"
    rules = policy.load(file.read_bytes(), file, today=date(2026, 1, 1))
    evidence = Evidence(
        candidate=candidate.predictions,
        champion=champion.predictions if champion else None,
        champion_absent=champion is None,
    )
    report = judge(rules, "validate", evidence, step="validate-gate", today=date(2026, 1, 1))
    return report.verdict, {check.id: check.status for check in report.checks}


def test_the_first_version_passes_without_a_champion(trained: dict[str, Trained]) -> None:
    verdict, checks = gate(trained["v1"], None)
    assert verdict is Verdict.PASS, checks
    assert {id_ for id_, status in checks.items() if status is Status.SKIPPED} == {"roc_auc.vs_champion"}


def test_the_second_version_passes_against_the_first(trained: dict[str, Trained]) -> None:
    verdict, checks = gate(trained["v2"], trained["v1"])
    assert verdict is Verdict.PASS, checks
    assert set(checks.values()) == {Status.PASS}


def test_shuffled_labels_are_refused(trained: dict[str, Trained]) -> None:
    verdict, checks = gate(trained["bad"], trained["v2"])
    assert verdict is Verdict.FAIL
    failed = {id_ for id_, status in checks.items() if status is Status.FAIL}
    assert failed == {"accuracy.floor", "roc_auc.floor", "f1.floor", "roc_auc.vs_champion"}


def drifted(batch: str) -> tuple[Verdict, dict[str, ColumnDrift]]:
    """The drift stage's verdict on a batch, against the profile of the training data."""
    found = scan(build(open_source(EXAMPLE / "data/train.parquet")), open_source(EXAMPLE / f"data/{batch}.parquet"),
                 columns=WATCHED)  # fmt: skip
    file = EXAMPLE / "policy.yml"
    rules = policy.load(file.read_bytes(), file, today=date(2026, 1, 1))
    report = judge(rules, "drift", Evidence(drift=found), step="drift-check", today=date(2026, 1, 1))
    return report.verdict, {column.name: column for column in found}


def test_people_asked_a_year_later_are_no_drift() -> None:
    verdict, columns = drifted("production_same")
    assert verdict is Verdict.PASS
    assert max(column.psi or 0.0 for column in columns.values()) < 0.02
    assert max(column.ks or 0.0 for column in columns.values()) < 0.05


def test_people_over_sixty_are_drift() -> None:
    verdict, columns = drifted("production_shifted")
    assert verdict is Verdict.FAIL
    assert (columns["age"].ks or 0.0) > 0.8
    assert sum((c.psi or 0.0) > 0.2 or (c.ks or 0.0) > 0.1 for c in columns.values()) == 9


def test_every_version_answers_the_sample_request(trained: dict[str, Trained]) -> None:
    assert [len(one.answers) for one in trained.values()] == [3, 3, 3]
    assert set(trained["v2"].answers) <= {0, 1}


def test_the_model_says_what_it_needs(trained: dict[str, Trained]) -> None:
    model = trained["v2"].folder
    pinned = (model / "requirements.txt").read_text().split()
    assert all("==" in line for line in pinned)
    assert {line.split("==")[0] for line in pinned} >= {"scikit-learn", "numpy", "pandas"}
    sample = json.loads((EXAMPLE / "deploy/sample.json").read_text())["input_data"]
    described = yaml.safe_load((model / "MLmodel").read_text())
    signature = json.loads(described["signature"]["inputs"])
    assert [column["name"] for column in signature] == sample["columns"]
    assert not {"sex", "race", "age_band", "row_id"} & set(sample["columns"])
    assert (model / "input_example.json").is_file()


def test_no_row_stands_in_two_files() -> None:
    ids = [set(pq.read_table(EXAMPLE / f"data/{name}.parquet", columns=["row_id"])["row_id"].to_pylist())
           for name in (*LABELLED, *PRODUCTION)]  # fmt: skip
    assert [len(one) for one in ids] == [60_000, 40_000, 20_000, 10_000]
    assert len(set().union(*ids)) == 130_000


def test_all_files_have_the_same_columns_and_only_the_label_is_missing_later() -> None:
    schemas = {name: pq.read_schema(EXAMPLE / f"data/{name}.parquet") for name in (*LABELLED, *PRODUCTION)}
    types = {name: {field.name: str(field.type) for field in schema} for name, schema in schemas.items()}
    assert types["train"] == types["test"]
    assert types["production_same"] == types["production_shifted"]
    assert set(types["train"]) - set(types["production_same"]) == {"income_over_50k"}
    assert all(types["train"][name] == kind for name, kind in types["production_same"].items())


def test_azure_reads_the_jobs_and_the_deployment(capsys: pytest.CaptureFixture[str]) -> None:
    entities = pytest.importorskip("azure.ai.ml")
    for version in VERSIONS:
        loaded = entities.load_job(EXAMPLE / "jobs" / f"train-{version}.yml")
        assert loaded.type == "command"
        assert set(loaded.outputs) == {"model"}
    endpoint = entities.load_online_endpoint(EXAMPLE / "deploy/endpoint.yml")
    deployment = entities.load_online_deployment(EXAMPLE / "deploy/deployment.yml")
    assert deployment.endpoint_name == endpoint.name
    capsys.readouterr()  # the SDK prints


def test_laptop_and_azure_get_the_same_packages() -> None:
    conda = yaml.safe_load((EXAMPLE / "environment/conda.yml").read_text())
    listed = next(entry["pip"] for entry in conda["dependencies"] if isinstance(entry, dict))
    wanted = (EXAMPLE / "environment/requirements.txt").read_text().split()
    assert [line for line in listed if not line.startswith("azureml-mlflow")] == wanted
