"""Azure ML command jobs run as they are, on real processes and a real MLflow server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from gates.backends.local import assets, declared, expressions, jobs, keys, mlflow_rest, snapshot
from gates.backends.local.tracking import tracking
from gates.errors import Cancelled, InvalidInput, JobFailed, Unavailable
from gates.lineage.digest import folder_sums
from gates.lineage.grade import Outcome, grade

pytest.importorskip("azure.ai.ml")
pytest.importorskip("mlflow")

PYTHON = Path(sys.executable)
# mlflow.log_metric without the seconds that importing mlflow takes.
REPORT = """
import json, os, time, urllib.request
def report(key, value):
    body = {"run_id": os.environ["MLFLOW_RUN_ID"], "key": key, "value": value, "timestamp": time.time_ns() // 10**6}
    url = os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/runs/log-metric"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.open(urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})).read()
"""
ENV = {**os.environ, "HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}


@pytest.fixture
def server(mlflow_server: str) -> str:
    return mlflow_server


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "a job ü"
    (folder / "src").mkdir(parents=True)
    return folder


def write(home: Path, job: dict[str, Any], code: str = "print('ran')") -> Path:
    (home / "src" / "main.py").write_text(code, encoding="utf-8")
    path = home / "job.yml"
    body = {"command": "python main.py", "code": "src", "environment": "azureml:env:1", **job}
    path.write_text(yaml.safe_dump({k: v for k, v in body.items() if v is not None}, sort_keys=False))
    return path


def run(path: Path, server: str, **more: Any) -> jobs.JobRun:
    options: dict[str, Any] = {"work": path.parent / "runs", "python": PYTHON, "env": ENV, **more}
    return jobs.run_job(jobs.load_job(path), tracking_uri=server, **options)


def test_inputs_outputs_variables_and_metrics_of_a_command_job(home: Path, server: str) -> None:
    (home / "data dir").mkdir()
    (home / "data dir" / "rows.csv").write_text("1\n2\n")
    (home / "table").mkdir()
    (home / "table" / "MLTable").write_text("paths: []\n")
    (home / "assets" / "census" / "3").mkdir(parents=True)
    code = """
import json, os, sys, mlflow
from pathlib import Path
seen = dict(zip(['data', 'folder', 'table', 'asset', 'alpha', 'flag', 'text', 'out', 'file'], sys.argv[1:]))
seen['variable'] = os.environ['A']
seen['files'] = sorted(os.listdir('.'))
Path(seen['out'], 'result.json').write_text(json.dumps(seen))
Path(seen['file']).write_text('one file')
mlflow.log_metric('accuracy', 0.25); mlflow.log_metric('accuracy', 0.5)
mlflow.log_param('trees', 7)
Path('outputs').mkdir(); Path('outputs/extra.txt').write_text('x')
print('done', flush=True)
"""
    job = {
        "command": "python main.py ${{inputs.data}} '${{inputs.folder}}' \"${{ inputs.table }}\" ${{inputs.asset}} "
        "${{inputs.alpha}} ${{inputs.flag}} ${{inputs.text}} ${{outputs.out}} ${{outputs.file}}",
        "display_name": "everything",
        "inputs": {
            "data": {"type": "uri_file", "path": "data dir/rows.csv"},
            "folder": {"type": "uri_folder", "path": "./data dir"},
            "table": {"type": "mltable", "path": "table"},
            "asset": {"type": "uri_folder", "path": "azureml:census:3"},
            "alpha": 0.5,
            "flag": True,
            "text": 'it\'s $HOME; rm -rf "x" `y`',
        },
        "outputs": {"out": {"type": "uri_folder"}, "file": {"type": "uri_file"}},
        "environment_variables": {"A": "1 2"},
    }
    lines: list[str] = []
    done = run(write(home, job, code), server, assets=home / "assets", on_line=lines.append)
    import json

    seen = json.loads((done.outputs["out"] / "result.json").read_text())
    assert seen["data"] == str(home / "data dir" / "rows.csv")
    assert seen["folder"] == str(home / "data dir")
    assert seen["table"] == str(home / "table")
    assert seen["asset"] == str(home / "assets" / "census" / "3")
    assert (seen["alpha"], seen["flag"], seen["text"]) == ("0.5", "True", 'it\'s $HOME; rm -rf "x" `y`')
    assert (seen["variable"], seen["files"]) == ("1 2", ["main.py"])
    assert done.outputs["file"].read_text() == "one file"
    assert (done.outputs["default"] / "extra.txt").is_file()
    assert done.metrics == {"accuracy": 0.5}
    assert done.params == {"trees": "7"}
    assert "done" in lines
    assert "done" in done.log_path.read_text()
    assert done.environment["mlflow"]
    assert any("azureml:env:1" in note for note in done.notes)
    assert any("inputs.text holds spaces" in note for note in done.notes)
    stored = mlflow_rest.get_run(server, done.run_id, ENV)
    assert (stored.status, stored.tags["mlflow.runName"]) == ("FINISHED", "everything")
    assert mlflow_rest.metric_history(server, done.run_id, "accuracy", ENV) == ((0, 0.25), (0, 0.5))


@pytest.mark.parametrize(
    ("code", "job", "message"),
    [
        ("print('x'); raise SystemExit(3)", {}, "the job ended with exit code 3; its log is"),
        ("import os; print('x', flush=True); os.kill(os.getppid(), 9)", {}, "the job was killed by SIGKILL"),
        ("import time; print('x', flush=True); time.sleep(60)", {"limits": {"timeout": 2}}, "the job timed out after"),
        ("print('x')", {"outputs": {"out": {"type": "uri_folder"}}}, "wrote nothing to its output 'out'; write to"),
    ],
)
def test_a_job_that_fails_says_how_with_the_tail_of_its_log(
    home: Path, server: str, code: str, job: dict[str, Any], message: str
) -> None:
    with pytest.raises(JobFailed) as caught:
        run(write(home, job, code), server)
    assert message in str(caught.value)
    assert caught.value.tail[-1] == "x"
    run_id = next((home / "runs").iterdir()).name
    assert mlflow_rest.get_run(server, run_id, ENV).status == "FAILED"


def test_a_cancelled_job_ends_and_its_run_is_killed(home: Path, server: str) -> None:
    def cancel(signum: int, _: object) -> None:
        raise Cancelled(signum)

    path = write(home, {}, "import time; print('up', flush=True); time.sleep(60)")
    before = signal.signal(signal.SIGTERM, cancel)
    up: list[float] = []

    def on_line(_: str) -> None:
        up.append(time.monotonic())
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()

    try:
        with pytest.raises(Cancelled):
            run(path, server, on_line=on_line)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert time.monotonic() - up[0] < 50, "it did not sleep to its end; test_cancel.py holds it to five seconds"
    run_id = next((home / "runs").iterdir()).name
    assert mlflow_rest.get_run(server, run_id, ENV).status == "KILLED"


def test_declared_metrics_must_be_logged(home: Path, server: str) -> None:
    job = {"tags": {"gates.metrics": "accuracy, f1"}}
    code = REPORT + "report('accuracy', 0.5)"
    with pytest.raises(JobFailed, match=r'did not log its declared metrics: f1; log it with mlflow\.log_metric\("f1"'):
        run(write(home, job, code), server)
    with pytest.raises(JobFailed, match="the job logged nan as its declared metric f1"):
        run(write(home, job, code + "; report('f1', 'NaN')"), server)
    assert run(write(home, job, code + "; report('f1', 1)"), server).metrics == {"accuracy": 0.5, "f1": 1.0}


def test_further_runs_of_a_job_are_nested_and_said(home: Path, server: str) -> None:
    """MLflow takes the job's run for the first start_run only; what goes to a second one is not the job's."""
    code = """
import mlflow
with mlflow.start_run():
    mlflow.log_metric("first", 1)
with mlflow.start_run():
    mlflow.log_metric("second", 2)
"""
    done = run(write(home, {}, code), server)
    assert done.metrics == {"first": 1.0}
    assert any("the job opened 1 more MLflow run, nested under its own" in note for note in done.notes)
    experiment = mlflow_rest.get_run(server, done.run_id, ENV).experiment_id
    [child] = mlflow_rest.search_runs(server, experiment, {"mlflow.parentRunId": done.run_id}, ENV)
    assert mlflow_rest.get_run(server, child, ENV).metrics == {"second": 2.0}


def test_the_same_job_learns_the_same(home: Path, server: str) -> None:
    """Grade R2: what was learned is bit-equal, though the model's folder holds a time and an id of its own."""
    code = """
import hashlib, sys, uuid
from pathlib import Path
import numpy as np
seed, out = int(sys.argv[1]), Path(sys.argv[2])
r = np.random.default_rng(seed); x = r.normal(size=(200, 3)); y = x @ [1, 2, 3] + r.normal(size=200)
scores = x @ np.linalg.lstsq(x, y, rcond=None)[0]
(out / "predictions").write_text(hashlib.sha256(scores.tobytes()).hexdigest())
(out / "run").write_text(str(uuid.uuid4()))
"""
    job = {
        "command": "python main.py ${{inputs.seed}} ${{outputs.out}}",
        "inputs": {"seed": 3},
        "outputs": {"out": {"type": "uri_folder"}},
    }
    path = write(home, job, code)
    first, second = (run(path, server).outputs["out"] for _ in range(2))
    other = run(write(home, {**job, "inputs": {"seed": 4}}, code), server).outputs["out"]

    def outcome(folder: Path) -> Outcome:
        return Outcome(files=folder_sums(folder), predictions=(folder / "predictions").read_text())

    same = ({"data": "sha256:1"}, {"data": "sha256:1"})
    assert grade(same, outcome(first), outcome(second)).grade == "R2"
    assert grade(same, outcome(first), outcome(other)).grade == "R4"


def test_the_environment_is_built_from_what_the_job_declares(home: Path, server: str, tmp_path: Path) -> None:
    """The package is in no index and not in our interpreter: only a built environment has it."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    info = "gatesjob-1.0.dist-info"
    with zipfile.ZipFile(wheels / "gatesjob-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("gatesjob.py", "WORD = 'from the built environment'\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: gatesjob\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", f"gatesjob.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    config = tmp_path / "pip.conf"
    config.write_text(f"[global]\nno-index = true\nfind-links = {wheels}\n")
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PIP_CONFIG_FILE": str(config)}
    (home / "requirements.txt").write_text("# ours\ngatesjob==1.0\n")
    (home / "conda.yml").write_text("name: e\ndependencies: [pip, {pip: ['-r requirements.txt']}]\n")
    job = {"environment": {"image": "mcr/x", "conda_file": "conda.yml"}}
    path = write(home, job, "import gatesjob; print(gatesjob.WORD)")
    lines: list[str] = []
    done = run(path, server, env=env, environment="build", cache=tmp_path / "cache", on_line=lines.append)
    assert lines == ["from the built environment"]
    assert done.environment["gatesjob"] == "1.0"
    assert done.environment_declared.requirements == ("gatesjob==1.0",)
    assert tmp_path / "cache" in done.python.parents
    with pytest.raises(JobFailed) as caught:
        run(path, server)
    assert "gatesjob" in caught.value.tail[-1]
    with pytest.raises(InvalidInput, match="nothing to build from"):
        run(write(home, {}), server, environment="build")


def test_a_pickle_is_refused_with_the_line_that_saves_a_model(home: Path, server: str) -> None:
    code = "import sys, pickle; pickle.dump(1, open(sys.argv[1] + '/model.joblib', 'wb'))"
    job = {"command": "python main.py ${{outputs.model}}", "outputs": {"model": {"type": "mlflow_model"}}}
    with pytest.raises(InvalidInput, match=r"but a pickle, model\.joblib; save the model with mlflow\.sklearn\.save"):
        run(write(home, job, code), server)


def test_a_model_folder_is_accepted_as_it_is_and_only_where_it_belongs(tmp_path: Path) -> None:
    (tmp_path / "deep" / "model").mkdir(parents=True)
    (tmp_path / "deep" / "model" / "MLmodel").write_text("flavors: {}\n")
    assert jobs.model_folder(tmp_path / "deep" / "model") == tmp_path / "deep" / "model"
    with pytest.raises(InvalidInput, match="one folder too deep"):
        jobs.model_folder(tmp_path / "deep")


@pytest.mark.parametrize(
    ("job", "message"),
    [
        ({"comand": "python x"}, r"job\.yml:4: unknown key 'comand'; did you mean 'command'\?"),
        ({"inputs": {"a": {"type": "uri_fil", "path": "x"}}}, r"job\.yml:6: inputs\.a\.type: Value 'uri_fil' passed"),
        ({"limits": {"timeout": "soon"}}, r"job\.yml:5: limits\.timeout: "),
        ({"command": None}, r"job\.yml: ?command: Missing data|command: Missing data for required field"),
        ({"type": "spark"}, r"job\.yml:4: type: spark is not a job that runs locally"),
        ({"code": "nowhere"}, r"job\.yml:2: code: Can't find directory or file"),
        ({"resources": {"instance_count": 2}}, r"job\.yml:5: resources\.instance_count: a local run has one machine"),
        ({"distribution": {"type": "pytorch"}}, r"job\.yml:4: distribution: a local run starts one process"),
    ],
)
def test_what_azure_or_a_local_run_refuses_is_said_with_its_line(home: Path, job: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        jobs.load_job(write(home, job))
    assert "\n" not in str(caught.value)


def test_the_sdk_prints_nothing(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    loaded = jobs.load_job(write(home, {"queue_settings": {"job_tier": "spot"}, "identity": {"type": "managed"}}))
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")
    assert [warning.partition(": ")[2] for warning in loaded.warnings] == [
        "queue_settings is not honoured: a local run has no queue",
        "identity is not honoured: a local run has the rights of whoever started it",
    ]


def test_every_key_of_the_schemas_is_in_the_table() -> None:
    code = """
import json
from azure.ai.ml._schema._sweep import SweepJobSchema
from azure.ai.ml._schema.component.command_component import CommandComponentSchema
from azure.ai.ml._schema.job import CommandJobSchema
from azure.ai.ml._schema.pipeline import PipelineJobSchema
from azure.ai.ml._schema.pipeline.component_job import CommandSchema, SweepSchema
from azure.ai.ml._schema.pipeline.pipeline_component import PipelineComponentSchema, PipelineSchema
found = {}
for name, schema in (
    ("command", CommandJobSchema), ("pipeline", PipelineJobSchema), ("sweep", SweepJobSchema),
    ("command step", CommandSchema), ("sweep step", SweepSchema), ("pipeline step", PipelineSchema),
    ("component", CommandComponentSchema), ("component", PipelineComponentSchema),
):
    fields = schema(context={"base_path": "."}).fields
    names = found.setdefault(name, [])
    names += [field.data_key or key for key, field in fields.items()]
    for group in ("resources", "settings"):
        inner = getattr(fields.get(group), "schema", None)
        if inner is not None:
            names += [group + "." + (field.data_key or key) for key, field in inner.fields.items()]
print(json.dumps(found))
"""
    import json

    ended = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True)
    found = json.loads(ended.stdout.splitlines()[-1])
    assert set(found) == set(keys.TABLES)
    for kind, names in found.items():
        missing = set(names) - set(keys.TABLES[kind])
        assert not missing, f"{kind}: say what a local run does with {sorted(missing)} in keys.py"
        gone = set(keys.TABLES[kind]) - set(names)
        assert not gone, f"{kind}: Azure ML knows no key {sorted(gone)}; take it out of keys.py"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("run ${{inputs.a}}", "run 'x y'"),
        ("run '${{inputs.a}}'", "run 'x y'"),
        ('run "${{inputs.a}}"', 'run "x y"'),
        ('run "${{ inputs.q }}"', 'run "\\$(id) \\"\\`"'),
        ("run '${{inputs.s}}'", "run 'it'\\''s'"),
        ("run $[[--n ${{inputs.none}}]] $[[--a ${{inputs.b}}]]", "run  --a b"),
        ('run \\"${{inputs.b}}', 'run \\"b'),
    ],
)
def test_values_are_quoted_for_where_they_stand(command: str, expected: str) -> None:
    values = {"inputs.a": "x y", "inputs.q": '$(id) "`', "inputs.s": "it's", "inputs.none": None, "inputs.b": "b"}
    assert expressions.render(command, values, InvalidInput) == expected


def test_references_that_are_not_there_are_errors() -> None:
    with pytest.raises(InvalidInput, match="is not an input or output of this job"):
        expressions.render("run ${{inputs.x}}", {}, InvalidInput)
    with pytest.raises(InvalidInput, match="is optional and has no value"):
        expressions.render("run ${{inputs.x}}", {"inputs.x": None}, InvalidInput)


def test_a_snapshot_leaves_out_what_azure_leaves_out(tmp_path: Path) -> None:
    code = tmp_path / "code"
    for name in ("keep.py", "data/big.bin", "data/keep.csv", "sub/skip.log", "sub/kept.log", ".git/config"):
        (code / name).parent.mkdir(parents=True, exist_ok=True)
        (code / name).write_text(name)
    (code / ".gitignore").write_text("*.log\n!sub/kept.log\ndata/*.bin\n")
    assert [p.as_posix() for p in snapshot.files(code)] == [".gitignore", "keep.py", "data/keep.csv", "sub/kept.log"]
    (code / ".amlignore").write_text("keep.py\n")
    assert "keep.py" not in [p.as_posix() for p in snapshot.files(code)]
    assert snapshot.take(code, tmp_path / "copy") == 6
    assert snapshot.take(code / "keep.py", tmp_path / "one") == 1


@pytest.mark.parametrize(
    ("reference", "place"),
    [
        ("azureml:census:3", "census/3"),
        ("azureml:census@latest", "census/latest"),
        ("azureml:census:9", "census"),
        ("azureml://datastores/blob/paths/a/b.csv", "datastores/blob/a/b.csv"),
        ("azureml://subscriptions/s/resourcegroups/r/workspaces/w/datastores/blob/paths/a", "datastores/blob/a"),
        ("azureml://registries/azureml/models/bert/versions/2", "registries/azureml/models/bert/2"),
    ],
)
def test_assets_are_found_in_the_assets_folder(tmp_path: Path, reference: str, place: str) -> None:
    (tmp_path / place).mkdir(parents=True)
    assert assets.resolve(reference, base=tmp_path, assets=tmp_path, where=InvalidInput) == tmp_path / place
    with pytest.raises(InvalidInput, match="put it at"):
        assets.resolve(reference, base=tmp_path, assets=tmp_path / "empty", where=InvalidInput)
    with pytest.raises(InvalidInput, match="needs an assets folder"):
        assets.resolve(reference, base=tmp_path, assets=None, where=InvalidInput)


def test_the_declared_environment_is_compared_with_the_real_one(tmp_path: Path) -> None:
    (tmp_path / "conda.yml").write_text(
        "name: e\ndependencies: [python=3.10, pip=23, numpy=1.26, scipy>=1.9, {pip: ['scikit-learn==1.5', mlflow]}]\n"
    )
    found = declared.read({"image": "mcr/x", "conda_file": "conda.yml"}, tmp_path)
    assert found.requirements == ("numpy==1.26.*", "scipy>=1.9", "scikit-learn==1.5", "mlflow")
    installed = {"numpy": "2.0", "scipy": "1.14", "scikit-learn": "1.5.0"}
    assert declared.differences(found, installed, "3.11.7") == (
        "python 3.10 declared, 3.11.7 used",
        "numpy==1.26.* declared, 2.0 installed",
        "mlflow declared, not installed",
        "image mcr/x was not used: local runs need no Docker",
    )
    assert declared.differences(found, {**installed, "numpy": "1.26.4", "mlflow": "3"}, "3.10.2") == (
        "image mcr/x was not used: local runs need no Docker",
    )


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("this is not a database" * 200)
    with (
        tracking(f"sqlite:///{tmp_path}/mlflow.db", state_dir=tmp_path, env=ENV) as server,
        pytest.raises(Unavailable, match=r"the local MLflow server ended: .*file is not a database"),
    ):
        assert server.uri
    with (
        pytest.raises(InvalidInput, match="tracking_uri: postgresql://x is not usable"),
        tracking("postgresql://x", state_dir=tmp_path, env=ENV),
    ):
        pass


def test_a_server_that_is_gone_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="cannot be reached"):
        mlflow_rest.get_run("http://127.0.0.1:9", "x", ENV)
