"""The example under act with `backend: azureml`: end to end, the same report, no secret said, no stranger asked.

One line of configuration differs, and the workspace. What `gates run` reports with the local backend is compared,
step by step, without ids and times.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import azureml_room
import pytest
from act_rig import git
from azureml_emulator import tokens
from azureml_project import until
from azureml_room import PLAYED

from gates import cli

if TYPE_CHECKING:
    from act_rig import ActRun, Rig
    from azureml_emulator.start import Running

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples/census-income"
STEPS = ("train", "validate-gate", "register", "deploy-blue-green", "drift-check")
WORKSPACE = """\
backend: azureml
workspace:
  subscription_id: ${env:AZURE_SUBSCRIPTION_ID}
  resource_group: ${env:AZURE_RESOURCE_GROUP}
  name: ${env:AZURE_ML_WORKSPACE}
"""
COLLECTING = """\
data_collector:
  collections:
    model_inputs: {enabled: 'true'}
    model_outputs: {enabled: 'true'}
"""
# What a runner has from azure/login and its network: our actions are set up before, from the package index.
LED = """\
      - uses: acme/mlops-gates/actions/setup@v1
      - run: cat "$AZURE_LINES" >> "$GITHUB_ENV"
"""
SECRET = """\
permissions: {}
env:
  AZURE_CLIENT_SECRET: ${{ secrets.AZURE_CLIENT_SECRET }}
"""


def example(folder: Path) -> Path:
    """The example, whose first version is trained: a quarter of the trees."""
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(".gates", "__pycache__"))
    settings = (folder / "mlops.yml").read_text()
    (folder / "mlops.yml").write_text(settings.replace("jobs/train-v2.yml", "jobs/train-v1.yml"))
    return folder


@pytest.fixture(scope="module")
def told(rig: Rig, azure_running: Running, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ActRun]:
    """The state folder that the pipeline left, and what act told."""
    azure_running.plant()
    folder = example(tmp_path_factory.mktemp("story") / "repository")
    settings = (folder / "mlops.yml").read_text()
    (folder / "mlops.yml").write_text(re.sub(r"(?m)^backend: local.*\n", WORKSPACE, settings))
    with (folder / "deploy/deployment.yml").open("a") as deployment:
        deployment.write(COLLECTING)
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "remote", "add", "origin", "https://github.com/acme/census-income")
    led = {**azure_running.environment(rig.env()), **PLAYED}
    secret = led.pop("AZURE_CLIENT_SECRET")
    lines = folder.parent / "azure.env"
    lines.write_text("".join(f"{name}={value}\n" for name, value in led.items() if value != rig.env().get(name)))
    workflow = folder / ".github/workflows/pipeline.yml"
    checked_out = "          persist-credentials: false\n"
    assert checked_out in workflow.read_text()
    text = workflow.read_text().replace(checked_out, f"{checked_out}{LED}").replace("permissions: {}\n", SECRET, 1)
    state = folder.parent / "state"  # act works in a copy of the repository
    workflow.write_text(text.replace("config: mlops.yml", f"config: mlops.yml\n          state-dir: {state}"))
    (folder.parent / "asked-before").write_text(str(len(azure_running.egress())))  # other tests ask strangers too
    given = ["--env", f"AZURE_LINES={lines}", "--secret", f"AZURE_CLIENT_SECRET={secret}"]
    arguments = ["--workflows", ".github/workflows/pipeline.yml", *given]
    ran = rig.run(folder, event="push", arguments=arguments, timeout=900)
    return state, ran


@pytest.fixture(scope="module")
def locally(tmp_path_factory: pytest.TempPathFactory, environments: Path) -> Path:
    """The same example, run by `gates run` on the local backend."""
    folder = example(tmp_path_factory.mktemp("local") / "repository")
    cache = folder / ".gates/cache"
    cache.mkdir(parents=True)
    environments.mkdir(exist_ok=True)
    (cache / "environments").symlink_to(environments)
    env = {**os.environ, "HOME": str(folder), "PYTHONPATH": str(ROOT), "GATES_PYTHON": sys.executable}
    gates = [sys.executable, "-m", "gates"]
    try:
        done = subprocess.run([*gates, "run"], cwd=folder, env=env, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stderr[-3000:]
    finally:
        subprocess.run([*gates, "endpoint", "stop"], cwd=folder, env=env, capture_output=True, timeout=120)
    return folder


@pytest.mark.timeout(1800)
def test_the_example_runs_end_to_end(told: tuple[Path, ActRun], azure_running: Running) -> None:
    state, ran = told
    assert ran.code == 0, ran.log()[-6000:]
    outputs = {step: json.loads((state / f"reports/{step}/outputs.json").read_text()) for step in STEPS}
    assert [outputs[step]["exit-code"] for step in STEPS] == ["0"] * 5
    assert outputs["register"]["model-uri"] == "azureml:census-income:1"
    assert outputs["deploy-blue-green"]["endpoint-url"].startswith("https://census-income.")
    assert outputs["train"]["job-url"].startswith("https://ml.azure.com/runs/")
    assert azure_running.invalid() == []


@pytest.mark.timeout(1800)
def test_its_reports_are_the_local_ones_but_for_ids_and_times(told: tuple[Path, ActRun], locally: Path) -> None:
    state, _ = told
    for step in STEPS:
        assert plain(report(state, step)) == plain(report(locally / ".gates", f"run/{step}")), step


def test_nobody_else_is_asked_and_no_secret_is_said_or_kept(told: tuple[Path, ActRun], azure_running: Running) -> None:
    """Client secret, tokens, the account's key, the endpoint's keys: in no log, report, tag, journal or body."""
    state, ran = told
    asked = azure_running.egress()[int((state.parent / "asked-before").read_text()) :]
    assert {line["host"] for line in asked if line["mapped"]} >= {"management.azure.com", "login.microsoftonline.com"}
    assert {line["host"] for line in asked if not line["mapped"]} == set()
    secrets = {tokens.SECRET, (azure_running.folder / "storage/key").read_text().strip()}
    secrets |= {str(line["token"]) for line in azure_running.tokens() if line.get("token")}
    for keys in (azure_running.folder / "serving").glob("*.keys"):
        secrets |= set(json.loads(keys.read_text()))
    assert len(secrets) >= 4
    said = {
        "act": json.dumps([event for event in ran.events if event.get("command") != "add-mask"]),  # how we mask it
        "requests": json.dumps([line.get("body") for line in azure_running.requests()]),
    }
    said |= {str(path): path.read_text("utf-8", "replace") for path in texts(state)}
    kept = [*(azure_running.folder / "resources").glob("*"), *(azure_running.folder / "storage/data").rglob("*")]
    said |= {str(path): path.read_text("latin-1") for path in kept if path.is_file() and "json" not in path.suffix}
    said |= {str(path): path.read_text() for path in (azure_running.folder / "resources").glob("*.json")}
    leaks = [(where, secret[:6]) for where, text in said.items() for secret in secrets if secret in text]
    assert leaks == []
    assert not [where for where, text in said.items() if re.search(r"[?&]sig=[A-Za-z0-9%+/]{20}", text)]


@pytest.mark.timeout(1800)
def test_drift_is_judged_on_what_the_deployment_collected(
    told: tuple[Path, ActRun], locally: Path, azure_running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of production are asked for; what Microsoft's collector kept of them drifts as their file does here."""
    import pyarrow.parquet as pq

    state, _ = told
    env = {**azure_running.environment(), **PLAYED, "HOME": str(state), "PATH": os.environ["PATH"]}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    rows = pq.read_table(locally / "data/production_shifted.parquet").slice(0, 3000)
    features = [name for name in rows.column_names if name in asked_for(state)]
    rows = rows.select(features)
    backend = azureml_room.backend(state.parent / "asking", model="census-income")
    endpoint = backend.endpoint("census-income", score="auto")
    place = f"modelDataCollector/census-income/{live(state)}"
    container = backend._storage.container()
    for name in backend._storage.below(place):  # of the rollout's own requests
        container.delete_blob(f"{place}/{name}")
    body = {"input_data": {"columns": features, "data": [list(row.values()) for row in rows.to_pylist()]}}
    assert endpoint.ask(json.dumps(body).encode(), deployment=None, timeout=120).status == 200
    until(lambda: {name.split("/")[0] for name in backend._storage.below(place)} == {"model_inputs", "model_outputs"})
    reference = f"azureml://datastores/workspaceblobstore/paths/{place}/model_inputs"
    folder, parquet = state.parent / "repository", state.parent / "asked.parquet"
    pq.write_table(rows, parquet)
    ends: list[Any] = []
    for current in (reference, str(parquet)):
        report_dir = state.parent / f"drift-{len(ends)}"
        given = ["--state-dir", str(state), "--report-dir", str(report_dir), "--current", current]
        code = cli.run(["drift-check", "--quiet", "true", *given], env, folder)
        result = json.loads((report_dir / "report.json").read_text())["result"]
        ends.append((code, result["verdict"], result["data"]["rows"], result["columns"], result["checks"]))
    assert ends[0] == ends[1]
    assert ends[0][2] == 3000
    outputs = backend.fetch_data(reference.replace("model_inputs", "model_outputs"), state.parent / "outputs")
    assert pq.read_table(outputs).num_rows == 3000


def asked_for(state: Path) -> set[str]:
    """The model's features."""
    from gates.collect.signature import feature_names

    outputs = json.loads((state / "reports/train/outputs.json").read_text())
    return set(feature_names(Path(outputs["model-path"])))


def live(state: Path) -> str:
    return str(json.loads((state / "reports/deploy-blue-green/outputs.json").read_text())["live-deployment"])


def texts(state: Path) -> list[Path]:
    """What the pipeline left, models and data apart."""
    return [path for path in state.rglob("*") if path.is_file() and path.stat().st_size < 5_000_000]


def report(state: Path, step: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((state / f"reports/{step}/report.json").read_text())["result"]
    return found


def plain(value: Any) -> Any:
    """Without what names this very run: digests of what was trained, and how long an answer took."""
    if isinstance(value, dict):
        timed = str(value.get("id", "")).startswith("latency") or "canary" in str(value.get("stage", ""))
        left = ("observed", "interval", "reason", "n", "n_needed") if timed else ()
        return {key: plain(item) for key, item in value.items() if key not in left}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, str):
        return re.sub(r"sha256:[0-9a-f]{64}", "sha256:…", value)
    return value
