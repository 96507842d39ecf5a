"""The gate with its real parts: the design's whole policy through train and validate-gate, explained with SHAP and
without, where it was trained and in a clean environment of the model's own requirements; replayed from what is kept.

One project, trained twice, one clean environment: all tests look at these. They run in order.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("mlflow")
pytest.importorskip("sklearn")
pytest.importorskip("shap")
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gates import cli
from gates.backends.local import tracking
from gates.runtime import environments, scoring

if TYPE_CHECKING:
    from collections.abc import Iterator

POLICY = (Path(__file__).parents[1] / "golden/policies/credit-risk.yml").read_text(encoding="utf-8")
PINNED = ("scikit-learn", "numpy", "scipy", "pandas", "pyarrow", "mlflow", "mlflow-skinny", "cloudpickle")
LIGHT = {"NUMBA_DISABLE_JIT": "1", "OMP_NUM_THREADS": "1"}
"""A few rows are explained: compiling for them takes longer than all the rest."""
MLOPS = """\
version: 1
model: credit-risk
policy: policy.yml
tracking_uri: TRACKING
train: {job: job-1.yml, model: model}
evaluate: {data: data/test.parquet, target: default, positive_label: 1, sensitive: [sex]}
"""
JOB = """\
$schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json
type: command
code: src
command: python train.py ${{inputs.rows}} ${{outputs.model}} STRENGTH
inputs: {rows: {type: uri_file, path: data/train.parquet}}
outputs: {model: {type: mlflow_model}}
environment: azureml:any@latest
"""
SCAN = '{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "scanner"}}, "results": []}]}'
TRAIN = f"""\
import sys, mlflow, pandas as pd
from importlib.metadata import version
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
data, out, strength = pd.read_parquet(sys.argv[1]), sys.argv[2], float(sys.argv[3])
numbers = ["age", "income", "debt", "tenure", "use"]
x, y = data[[*numbers, "region"]], data["default"]
columns = make_column_transformer((StandardScaler(), numbers), (OneHotEncoder(), ["region"]))
model = make_pipeline(columns, LogisticRegression(C=strength)).fit(x, y)
mlflow.log_metrics({{"accuracy": float(model.score(x, y)), "mine": 0.5}})
mlflow.sklearn.save_model(
    model, out, signature=mlflow.models.infer_signature(x.head(), model.predict(x.head())), input_example=x.head(3),
    serialization_format="cloudpickle", pip_requirements=[f"{{n}}=={{version(n)}}" for n in {PINNED}])
"""


def rows(n: int, seed: int) -> pa.Table:
    """Applications; who defaults hangs on use, debt, income, age and tenure, a little on region, not on sex."""
    rng = np.random.default_rng(seed)
    parts = {name: rng.normal(size=n) for name in ("use", "debt", "income", "age", "tenure")}
    region = rng.integers(0, 4, n)
    weights = {"use": 5.0, "debt": 3.0, "income": -2.0, "age": 1.5, "tenure": -1.0}
    odds = sum(weights[name] * values for name, values in parts.items()) + 0.1 * region
    columns: dict[str, Any] = {
        "application_id": [f"A{seed}-{i:06d}" for i in range(n)],
        "age": np.clip(45 + 12 * parts["age"], 18, 110).astype(np.int64),
        "income": np.exp(10 + 0.5 * parts["income"]),
        "debt": parts["debt"],
        "tenure": parts["tenure"],
        "use": parts["use"],
        "region": np.array(["north", "south", "east", "west"])[region],
        "sex": np.array(["F", "M"])[rng.integers(0, 2, n)],
        "default": (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(np.int64),
    }
    return pa.table(columns)


def policy() -> str:
    """The design's, word for word but for what hangs on the day and the machine; a drift check of training data and a
    scan of what is registered."""
    text = POLICY.replace('"2027-06-30"', '"2099-06-30"').replace('"2026-12-31"', '"2099-12-31"')
    text = text.replace("sample: 2000", "sample: 8").replace("max_ms: 100,", "max_ms: 60000,")
    contract = "  validate:\n    checks:\n"
    shift = (
        "      - {id: train.shift, type: drift, columns: [use, debt, region], effect: {psi_max: 0.2, ks_max: 0.1}}\n"
    )
    text = text.replace(contract, shift + contract)
    return text.replace(
        "  deploy:\n", "      - {id: scan, type: findings, file: scan.sarif, format: sarif}\n  deploy:\n", 1
    )


def small(*checks: str, stage: str = "validate", more: str = "") -> str:
    lines = "".join(f"      - {{{check}}}\n" for check in checks)
    return f"version: 1\nname: small\n{more}stages:\n  {stage}:\n    checks:\n{lines}"


@dataclass
class World:
    """A project, and how its commands are run: in this process, with an environment of its own."""

    folder: Path
    env: dict[str, str]

    def gates(self, line: str, *more: str) -> int:
        return cli.run([*line.split(), *more], self.env, self.folder)

    def report(self, step: str) -> Path:
        return self.folder / ".gates/reports" / step / "report.json"

    def result(self, step: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.report(step).read_text())["result"]
        return found

    def output(self, step: str, name: str) -> str:
        found: dict[str, str] = json.loads((self.report(step).parent / "outputs.json").read_text())
        return found[name]

    def keep(self, step: str, name: str) -> Path:
        """A copy of a report with its evidence, for later tests."""
        return Path(shutil.copytree(self.report(step).parent, self.folder / ".gates/kept" / name)) / "report.json"


def statuses(result: dict[str, Any]) -> dict[str, str]:
    return {check["id"]: check["status"] for check in result["checks"]}


def reason(result: dict[str, Any], name: str) -> str:
    return str(next(check["reason"] for check in result["checks"] if check["id"] == name))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Champion and candidate trained, the champion registered, the candidate judged; one MLflow server for all."""
    folder = tmp_path_factory.mktemp("gate") / "project"
    for name in ("data", "src"):
        (folder / name).mkdir(parents=True)
    for name, text in {"policy.yml": policy(), "src/train.py": TRAIN, "scan.sarif": SCAN}.items():
        (folder / name).write_text(text)
    for number, strength in ((1, "0.002"), (2, "1.0")):
        (folder / f"job-{number}.yml").write_text(JOB.replace("STRENGTH", strength))
    pq.write_table(rows(6000, 1), folder / "data/train.parquet")
    pq.write_table(rows(12_000, 2), folder / "data/test.parquet")
    path = f"{Path(sys.executable).parent}{os.pathsep}/usr/bin{os.pathsep}/bin"
    made = World(folder, {**os.environ, "PATH": path, "HOME": str(folder.parent)} | _cache() | LIGHT)
    with tracking.tracking(f"sqlite:///{folder}/mlflow.db", state_dir=folder / ".gates", env=made.env) as server:
        (folder / "mlops.yml").write_text(MLOPS.replace("TRACKING", server.uri))
        _fill(made)
        yield made


def _fill(made: World) -> None:
    assert made.gates("train --job job-1.yml") == 0
    made.keep("train", "first")
    assert made.gates("register --alias champion --allow-ungated", "the first model") == 0
    made.keep("register", "registered")
    assert made.gates("train --job job-2.yml") == 0
    made.keep("train", "second")
    made.gates("validate-gate")
    made.keep("validate-gate", "whole")


def _cache() -> dict[str, str]:
    """The packages that this machine has downloaded before, whatever HOME is for the test."""
    home = os.environ.get("UV_CACHE_DIR") or str(Path.home() / ".cache/uv")
    return {"UV_CACHE_DIR": home}


def test_the_whole_policy_of_the_design_is_judged_on_evidence_of_ours(world: World) -> None:
    result = json.loads((world.folder / ".gates/kept/whole/report.json").read_text())["result"]
    assert statuses(result) == dict.fromkeys(statuses(result), "PASS"), json.dumps(result["checks"], indent=1)
    assert len(result["checks"]) == 11
    assert (result["verdict"], result["decision"], result["data"]["rows"]) == ("PASS", "allow", 12_000)
    assert result["champion"]["version"] == "1"
    names = {item["name"]: item["self_reported"] for item in result["evidence"]}
    expected = ("candidate-predictions", "champion-predictions", "explanations", "environment", "drift", "manifest")
    assert names == dict.fromkeys(expected, False)
    for check in result["checks"]:
        assert check["reason"]
        assert check["required"]
        if check["type"] in ("threshold", "champion_delta", "slice_threshold", "fairness", "latency_quantile"):
            assert check["interval"] is not None, check
            assert check["n"] >= 200
    assert reason(result, "shap.top5").startswith("5 of the top 5 features are the champion's too (shap, rank")
    assert reason(result, "env.parity") == "The lock digests are equal, and 200 golden rows are answered alike."


def test_the_training_stage_is_judged_on_the_table_that_the_job_read(world: World) -> None:
    first, second = (
        json.loads((world.folder / f".gates/kept/{name}/report.json").read_text())["result"]
        for name in ("first", "second")
    )
    assert statuses(first) == {"data.contract": "PASS", "train.shift": "SKIPPED"}
    assert reason(first, "train.shift") == (
        "There is no champion yet to have a profile, and the policy says bootstrap: not compared."
    )
    assert statuses(second) == {"data.contract": "PASS", "train.shift": "PASS"}
    assert reason(second, "data.contract") == "6000 rows keep all that is promised of 4 columns."
    assert second["data"]["rows"] == 6000
    registered = json.loads((world.folder / ".gates/kept/registered/report.json").read_text())["result"]
    assert statuses(registered) == {"size.cap": "PASS", "scan": "PASS"}
    assert [item["self_reported"] for item in registered["evidence"]] == [True, False]


@pytest.mark.parametrize("kept", ["first", "registered", "second", "whole"])
def test_each_report_replays_to_the_same_bytes_and_not_when_tampered_with(
    kept: str, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    report = world.folder / ".gates/kept" / kept / "report.json"
    assert world.gates("replay", str(report)) == 0
    assert json.loads((report.parent / "outputs.json").read_text())["report-digest"] in capsys.readouterr().out
    whole = json.loads(report.read_text())
    for item in [*whole["result"]["evidence"], {"name": "policy", "sha256": whole["result"]["policy"]["digest"]}]:
        file = report.parent / "evidence" / item["sha256"].partition(":")[2]
        raw = file.read_bytes()
        file.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
        assert world.gates("replay", str(report)) == 2, item["name"]
        file.write_bytes(raw)
    for change in (
        {"verdict": "FAIL"},
        {"decision": "refuse"},
        {"model": {"digest": "sha256:00"}},
        {"checks": [*whole["result"]["checks"], whole["result"]["checks"][0]]},
    ):
        report.write_text(json.dumps({**whole, "result": {**whole["result"], **change}}))
        assert world.gates("replay", str(report)) == 1, change
    report.write_text(json.dumps(whole))
    assert world.gates("replay", str(report)) == 0


def test_what_a_run_logged_is_evidence_and_marked_self_reported(world: World) -> None:
    (world.folder / "logged.yml").write_text(
        small(
            "id: mine, type: threshold, metric: mine, source: metrics, min: 0.4",
            "id: accuracy, type: threshold, metric: accuracy, min: 0.85",
        )
    )
    run = world.output("train", "run-id")
    assert world.gates(f"validate-gate --policy logged.yml --metrics runs:/{run}") == 0
    result = world.result("validate-gate")
    assert next(item for item in result["evidence"] if item["self_reported"])["name"] == "metrics"
    assert reason(result, "accuracy").startswith("accuracy (self-reported) is 0.9")
    assert world.gates("replay", str(world.report("validate-gate"))) == 0
    assert world.gates("validate-gate --policy logged.yml --metrics runs:/0123456789abcdef") != 0


MINE = """\
def cost(frame):
    return 5 * (frame["prediction"] != frame["default"]).sum()
def nothing(frame):
    return float("nan")
def broken(frame):
    raise ValueError("no such season")
"""


def test_a_function_of_the_user_s_is_asked_with_the_predictions(world: World) -> None:
    """Alone in its stage too; what it raises is why the check is ERROR, and NaN is no figure."""
    whole = world.folder / ".gates/kept/whole"
    items = json.loads((whole / "report.json").read_text())["result"]["evidence"]
    given = next(item["sha256"] for item in items if item["name"] == "candidate-predictions")
    predictions = whole / "evidence" / given.partition(":")[2]
    rows = pq.read_table(predictions)
    wrong = sum(a != b for a, b in zip(rows["prediction"].to_pylist(), rows["default"].to_pylist(), strict=True))
    (world.folder / "mine.py").write_text(MINE)
    judged = {}
    for names, code in ((("cost", "nothing"), 4), (("cost",), 0), (("cost", "broken"), 4)):
        checks = (f"id: {name}, type: threshold, metric: 'mine:{name}', max: {5 * wrong}" for name in names)
        (world.folder / "own.yml").write_text(small(*checks))
        assert world.gates("validate-gate --policy own.yml --predictions", str(predictions)) == code
        judged[names[-1]] = world.result("validate-gate")
    assert statuses(judged["nothing"]) == {"cost": "PASS", "nothing": "ERROR"}
    assert "mine:nothing returned nan: that is no figure." in reason(judged["nothing"], "nothing")
    assert reason(judged["cost"], "cost") == f"mine:cost is {5 * wrong}: within at most {5 * wrong}."
    assert "ValueError: no such season" in reason(judged["broken"], "broken")
    assert world.gates("replay", str(world.report("validate-gate"))) == 0


def test_approvals_are_evidence(world: World) -> None:
    """Given before the gate, they stand beside what it judged, by digest; the same gate without them has none."""
    model = world.output("train", "model-path")
    (world.folder / "size.yml").write_text(small("id: size, type: threshold, metric: artifact_megabytes, max: 500"))
    assert world.gates("validate-gate --policy size.yml --model", model) == 0
    assert "approvals" not in {item["name"] for item in world.result("validate-gate")["evidence"]}
    assert world.gates("register --approve true --allow-ungated", "to approve it") == 0
    assert world.gates("validate-gate --policy size.yml --model", model) == 0
    items = {item["name"]: item["sha256"] for item in world.result("validate-gate")["evidence"]}
    kept = world.report("validate-gate").parent / "evidence" / items["approvals"].partition(":")[2]
    approval = json.loads(kept.read_text())[0]
    assert approval["model_digest"] == world.output("train", "model-digest")
    assert approval["by"]
    assert world.gates("replay", str(world.report("validate-gate"))) == 0


@pytest.fixture(scope="module")
def clean(world: World) -> Path:
    """The interpreter of the environment that the package's own requirements make."""
    model = Path(world.output("train", "model-path"))
    return environments.build(
        scoring.model_requirements(model),
        python=Path(sys.executable),
        cache=world.folder / ".gates/cache/environments",
        env=world.env,
        say=print,
    )


def test_a_package_is_tried_in_an_environment_of_its_own_requirements(
    world: World, clean: Path, tmp_path: Path
) -> None:
    (world.folder / "package.yml").write_text(small("id: whole, type: package_sound, pinned: true, max_megabytes: 10"))
    assert clean.is_file()
    assert world.gates("validate-gate --policy package.yml") == 0
    assert statuses(world.result("validate-gate")) == {"whole": "PASS"}
    assert len(list((world.folder / ".gates/cache/environments").glob("*/complete"))) == 1  # the one that was there
    broken = Path(shutil.copytree(world.output("train", "model-path"), tmp_path / "model"))
    (broken / "model.pkl").write_bytes(b"no pickle")
    assert world.gates("validate-gate --policy package.yml --model", str(broken)) == 1
    assert reason(world.result("validate-gate"), "whole").startswith("The package does not load (")
    (broken / "requirements.txt").write_text("no-such-package-of-ours==1.0\n")
    assert world.gates("validate-gate --policy package.yml --model", str(broken)) == 4
    assert "no-such-package-of-ours" in reason(world.result("validate-gate"), "whole")


def test_elsewhere_the_training_environment_is_built_again_and_permutation_explains(world: World, clean: Path) -> None:
    """--python names an environment that lacks what training had, SHAP among it: said, and judged all the same."""
    (world.folder / "elsewhere.yml").write_text(
        small(
            "id: parity, type: environment_drift, deny_any: [scikit-learn, numpy], "
            "prediction_parity: {rows: 50, atol: 1.0e-9}",
            "id: other, type: environment_drift, deny_any: [shap]",
            "id: top, type: explanation_stability, top_k: 3, min_overlap: 0.6, sample: 100",
            more="champion: {when_absent: fail}\n",
        )
    )
    assert world.gates("validate-gate --policy elsewhere.yml --python", str(clean)) == 1
    result = world.result("validate-gate")
    assert statuses(result) == {"parity": "PASS", "other": "FAIL", "top": "PASS"}, json.dumps(result["checks"])
    assert reason(result, "parity") == "No rule is broken, and 50 golden rows are answered alike."
    assert reason(result, "other") == f"shap is missing, trained with {version('shap')}."
    assert "features are the champion's too (permutation, rank correlation" in reason(result, "top")
    assert len(list((world.folder / ".gates/cache/environments").glob("*/complete"))) == 1
    assert world.gates("replay", str(world.report("validate-gate"))) == 0
