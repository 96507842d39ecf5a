"""`gates init` on repositories of all kinds: what is there is used, what is new is sound, nothing is overwritten."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from gates import cli, policy, project
from gates.scaffold import found as finding
from gates.scaffold import starter, table
from gates.scaffold.yaml import quoted

if TYPE_CHECKING:
    from pathlib import Path

TODAY = date(2026, 11, 21)
AZURE = "https://azuremlschemas.azureedge.net/latest"
GITHUB = '[remote "origin"]\n\turl = {}\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n'


def init(folder: Path, *arguments: str) -> int:
    return cli.run(["init", *arguments], {}, folder)


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def put(folder: Path, files: dict[str, str]) -> None:
    write(folder, **files)


def remote(folder: Path, url: str) -> None:
    put(folder, {".git/config": GITHUB.format(url)})


def read(folder: Path) -> tuple[project.Mlops, policy.Policy]:
    """The two files, as every command reads them."""
    settings = project.load(folder / "mlops.yml", {}).settings
    file = folder / settings.policy
    return settings, policy.load(file.read_bytes(), file, today=TODAY)


def rows(header: str, *lines: str, times: int = 40) -> str:
    return "\n".join([header, *lines * times]) + "\n"


def test_an_empty_folder_becomes_a_whole_project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    remote(tmp_path, "https://github.com/acme/loan-default.git")
    assert init(tmp_path) == 0
    settings, rules = read(tmp_path)
    assert settings.model == "loan-default"
    assert settings.train is not None
    assert (tmp_path / settings.train.job).is_file()
    assert set(rules.stages) == {"train", "validate", "canary", "drift"}
    for name in ("src/train.py", "tests/test_train.py", "data/test.csv", "deploy/endpoint.yml", "deploy/sample.json",
                 "environment/conda.yml", "requirements.txt", ".github/workflows/code.yml", "pyproject.toml",
                 ".github/workflows/pipeline.yml", ".pre-commit-config.yaml"):  # fmt: skip
        assert (tmp_path / name).stat().st_size > 0, name
    assert (tmp_path / ".github/CODEOWNERS").read_text() == "/policy.yml @acme\n"
    assert (tmp_path / ".gitignore").read_text() == ".gates/\n"
    assert "made-up model" in capsys.readouterr().out


def test_the_starter_s_table_is_what_the_plan_says_of_it(tmp_path: Path) -> None:
    put(tmp_path, starter.files())
    shown = table.read(tmp_path / "data/test.csv", "", [])
    assert (shown.target, shown.task, shown.positive, shown.sensitive) == ("default", "binary", 1, ("sex",))
    assert shown.rows == 8_000
    assert 0.5 < shown.majority < 0.9
    assert starter.table(50, 1) == starter.table(50, 1)


def test_a_second_run_changes_nothing_and_says_what_was_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    remote(tmp_path, "git@github.com:acme/loans.git")
    assert init(tmp_path) == 0
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    (tmp_path / "policy.yml").write_text("# mine\n")
    capsys.readouterr()
    assert init(tmp_path) == 0
    said = capsys.readouterr().out
    assert "wrote" not in said
    assert "kept   policy.yml: it is there already; --force true writes it anew" in said
    assert (tmp_path / "policy.yml").read_text() == "# mine\n"
    after = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert {p: b for p, b in after.items() if p.name != "policy.yml"} == {
        p: b for p, b in before.items() if p.name != "policy.yml"
    }
    assert init(tmp_path, "--force", "true") == 0
    read(tmp_path)


def test_a_line_is_added_to_a_file_of_somebody_s_and_the_rest_kept(tmp_path: Path) -> None:
    remote(tmp_path, "https://github.com/acme/loans")
    put(tmp_path, {".github/CODEOWNERS": "* @acme/all", ".gitignore": "*.pyc\n"})
    assert init(tmp_path, "--owner", "@acme/quality") == 0
    assert (tmp_path / ".github/CODEOWNERS").read_text() == "* @acme/all\n/policy.yml @acme/quality\n"
    assert (tmp_path / ".gitignore").read_text() == "*.pyc\n.gates/\n"
    put(tmp_path, {".github/CODEOWNERS": "/policy.yml @someone-else\n"})
    assert init(tmp_path, "--owner", "acme/quality") == 0
    assert (tmp_path / ".github/CODEOWNERS").read_text() == "/policy.yml @someone-else\n"


SCRIPT = """import argparse
parser = argparse.ArgumentParser()
parser.add_argument("-d", "--training-data", required=True)
parser.add_argument("--model-dir", required=True)
parser.add_argument("--test-size", type=float, default=0.2)
parser.add_argument("--region", required=True)
raise SystemExit("it is read, not run")
"""


def test_one_s_own_script_and_data_are_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path, {
        "train.py": SCRIPT, "requirements.txt": "scikit-learn==1.5 # pinned\n# why\n\n-r more.txt\n",
        "data/wine_train.csv": rows("acid,sugar,label", "1.5,2,red", "2.5,1,white"),
        "data/wine_test.csv": rows("acid,sugar,label", "1.5,2,red", "2.5,1,white", "0.5,,red"),
        "data/production.csv": rows("acid,sugar", "1.5,2"),
    })  # fmt: skip
    assert init(tmp_path, "--name", "Wine Colour") == 0
    settings, rules = read(tmp_path)
    assert settings.model == "wine-colour"
    assert settings.evaluate is not None
    assert (settings.evaluate.data, settings.evaluate.target) == ("data/wine_test.csv", "label")
    assert settings.drift is not None
    assert settings.drift.current == "data/production.csv"
    job = yaml.safe_load((tmp_path / "jobs/train.yml").read_text())
    assert job["code"] == ".."
    assert job["command"].split() == [
        "python", "train.py", "--training-data", "${{inputs.train_data}}", "--model-dir", "${{outputs.model}}",
        "--region", "FILL_IN",
    ]  # fmt: skip
    assert job["inputs"]["train_data"]["path"] == "../data/wine_train.csv"
    conda = yaml.safe_load((tmp_path / "environment/conda.yml").read_text())
    assert "scikit-learn==1.5" in conda["dependencies"][-1]["pip"]
    assert not (tmp_path / "src").exists()
    said = capsys.readouterr().out
    assert "look   jobs/train.yml: train.py needs --region; give it a value" in said
    contract: Any = rules.stages["train"].checks[0].check
    assert contract.columns["sugar"].max_null_ratio is None, "a column with gaps is promised none"
    assert contract.columns["acid"].max_null_ratio == 0
    sample = json.loads((tmp_path / "deploy/sample.json").read_text())
    assert sample["input_data"]["columns"] == ["acid", "sugar"]


def mlops_v2(folder: Path) -> None:
    """A repository as the project template of mlops-v2 lays one out: CLI v2 YAML below mlops/azureml."""
    pipeline = {
        "$schema": f"{AZURE}/pipelineJob.schema.json", "type": "pipeline", "experiment_name": "taxi-fare-training",
        "inputs": {"input": {"type": "uri_file", "path": "azureml:taxi-data@latest"}, "enable_monitoring": "false"},
        "outputs": {"train_data": None, "trained_model": None, "model_info_output_path": None},
        "jobs": {"train_model": {"type": "command", "code": "../../../data-science/src", "command": "python train.py"}},
    }  # fmt: skip
    prep = {"$schema": f"{AZURE}/commandJob.schema.json", "command": "python prep.py", "outputs": {"data": None}}
    asset = {"$schema": f"{AZURE}/data.schema.json", "name": "taxi-data", "path": "../../../data/taxi-data.csv"}
    endpoint = {"$schema": f"{AZURE}/managedOnlineEndpoint.schema.json", "name": "taxi-fare-online"}
    deployment = {"$schema": f"{AZURE}/managedOnlineDeployment.schema.json", "name": "blue",
                  "endpoint_name": "taxi-fare-online", "model": "azureml:taxi-model@latest"}  # fmt: skip
    other = {**deployment, "endpoint_name": "another", "name": "green"}
    batch = {"$schema": f"{AZURE}/batchEndpoint.schema.json", "name": "taxi-batch"}
    put(folder, {
        "mlops/azureml/train/pipeline.yml": yaml.safe_dump(pipeline),
        "mlops/azureml/train/prep.yml": yaml.safe_dump(prep),
        "mlops/azureml/train/data.yml": yaml.safe_dump(asset), "mlops/azureml/deploy/a.yml": yaml.safe_dump(other),
        "mlops/azureml/deploy/online/online-endpoint.yml": yaml.safe_dump(endpoint),
        "mlops/azureml/deploy/online/online-deployment.yml": yaml.safe_dump(deployment),
        "mlops/azureml/deploy/batch/batch-endpoint.yml": yaml.safe_dump(batch),
        "mlops/devops-pipelines/deploy.yml": "steps: []\n", "config-infra-prod.yml": "variables: {a: b}\n",
        "data-science/environment/train-conda.yml": "name: x\n", "data-science/src/train.py": "import sys\n",
        "data/taxi-data.csv": rows("distance,passengers,cost", "1.2,1,7.5", "3.4,2,12.25", "9.9,1,30.0"),
        "data/taxi-request.json": json.dumps({"input_data": {"columns": ["distance", "passengers"], "data": [[1, 2]]}}),
        "broken.yml": "a: [", "many.yml": "a: 1\n---\nb: 2\n",
    })  # fmt: skip


def test_a_repository_of_mlops_v2_keeps_its_yaml_and_it_is_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mlops_v2(tmp_path)
    remote(tmp_path, "https://acme@dev.azure.com/acme/taxi/_git/taxi-fare")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert init(tmp_path) == 0
    assert all(p.read_bytes() == raw for p, raw in before.items())
    settings, rules = read(tmp_path)
    assert settings.model == "taxi-fare"
    assert settings.train is not None
    assert (settings.train.job, settings.train.model) == ("mlops/azureml/train/pipeline.yml", "trained_model")
    assert settings.evaluate is not None
    assert (settings.evaluate.data, settings.evaluate.target) == ("data/taxi-data.csv", "cost")
    assert settings.deploy is not None
    assert settings.deploy.endpoint == "mlops/azureml/deploy/online/online-endpoint.yml"
    assert settings.deploy.deployment == "mlops/azureml/deploy/online/online-deployment.yml"
    assert settings.deploy.sample_request == "data/taxi-request.json"
    assert [bound.check.id for bound in rules.stages["validate"].checks] == ["r2.floor", "mae.vs_champion"]
    assert not (tmp_path / "jobs").exists()
    assert not (tmp_path / ".github").exists()
    assert (tmp_path / "azure-pipelines.yml").is_file()
    said = capsys.readouterr().out
    assert "found  mlops/azureml/train/pipeline.yml: the training job; its output 'trained_model' is the model" in said
    assert "the only column that taxi-request.json does not send" in said
    assert "always looks fine" in said, "the data that it learns from is no evaluation data"


@pytest.mark.parametrize(
    ("url", "platforms", "owner"),
    [
        ("https://github.com/acme/loans.git", ("github",), "acme"),
        ("git@github.com:acme/loans.git", ("github",), "acme"),
        ("ssh://git@github.example.com/acme/loans", ("github",), "acme"),
        ("https://dev.azure.com/acme/project/_git/loans", ("azure-devops",), "acme"),
        ("git@ssh.dev.azure.com:v3/acme/project/loans", ("azure-devops",), "acme"),
        ("https://acme.visualstudio.com/project/_git/loans", ("azure-devops",), "project"),
        ("https://user:token@github.com/acme/loans", ("github",), "acme"),
    ],
)
def test_the_remote_says_where_pipelines_run(tmp_path: Path, url: str, platforms: tuple[str, ...], owner: str) -> None:
    remote(tmp_path, url)
    seen = finding.look(tmp_path)
    assert (seen.platforms, seen.owner, seen.repository) == (platforms, owner, "loans")
    assert init(tmp_path) == 0
    written = [p.read_text() for p in tmp_path.rglob("*") if p.is_file() and ".git" not in p.parts]
    assert not any("token" in text and "user:" in text for text in written), "no credential of the remote is copied"


def test_both_platforms_on_request(tmp_path: Path) -> None:
    assert init(tmp_path, "--platform", "both") == 0
    assert (tmp_path / ".github/workflows/code.yml").is_file()
    assert (tmp_path / "azure-pipelines.yml").is_file()


def test_a_target_that_is_a_guess_is_said_and_a_named_one_must_be_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path, {"data/test.csv": rows("a,b,c", "1,2,x", "2,3,z", "2,4,w"), "train.py": "print()\n"})
    assert init(tmp_path) == 0
    said = capsys.readouterr().out
    assert "look   evaluate.target in mlops.yml: c is a guess" in said
    assert "next   gates policy check, then gates run --steps train,validate-gate,register,deploy-blue-green\n" in said
    assert init(tmp_path, "--target", "nope") == 2
    assert "has no column 'nope'" in capsys.readouterr().err


HOSTILE = ["a: b", "- x", "#c", "'q\"", "{d}", "${{ e }}", "no", "1", "ü", "a,b", "&anchor", "*ref", "a\\b", " pad "]


def test_hostile_columns_stay_columns(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.csv as pcsv

    (tmp_path / "data").mkdir()
    columns = {name: [1.5, 2.5] * 30 for name in HOSTILE} | {"yes": ["true", "no"] * 30}
    pcsv.write_csv(pa.table(columns), tmp_path / "data/test.csv")
    assert init(tmp_path, "--target", "yes") == 0
    settings, rules = read(tmp_path)
    assert settings.evaluate is not None
    assert settings.evaluate.target == "yes"
    contract: Any = rules.stages["train"].checks[0].check
    assert set(contract.columns) == {*HOSTILE, "yes"}


@pytest.mark.parametrize(
    "value", [*HOSTILE, True, False, 0, 1.5, 0.1, 1e-9, "60s", "../a/b.yml", "true", "y", "", "a b"]
)
def test_a_scalar_is_read_back_as_it_was(value: Any) -> None:
    assert yaml.safe_load(f"a: {quoted(value)}") == {"a": value}


def test_a_target_with_a_quote_cannot_leave_the_command(tmp_path: Path) -> None:
    put(tmp_path, {"data/test.csv": rows("a,it's; rm -rf x", "1,0", "2,1")})
    assert init(tmp_path, "--target", "it's; rm -rf x") == 0
    job = yaml.safe_load((tmp_path / "jobs/train.yml").read_text())
    assert "--target 'it'\\''s; rm -rf x'" in job["command"]


def test_a_job_file_that_is_not_there_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(tmp_path, "--job", "nope.yml") == 2
    assert "no file" in capsys.readouterr().err
    assert not (tmp_path / "mlops.yml").exists()


@pytest.mark.parametrize(
    ("lines", "task", "positive"),
    [
        (("1,yes", "2,no", "3,no"), "binary", "yes"), (("1,0", "2,1", "3,0"), "binary", 1),
        (("1,a", "2,b", "3,b"), "binary", "a"), (("1,a", "2,b", "3,c"), "classes", None),
        (("1,0.5", "2,1.25", "3,7"), "numbers", None), (("1,true", "2,false", "3,false"), "binary", True),
    ],
)  # fmt: skip
def test_the_task_and_the_positive_label(tmp_path: Path, lines: tuple[str, ...], task: str, positive: Any) -> None:
    put(tmp_path, {"t.csv": rows("x,y", *lines)})
    shown = table.read(tmp_path / "t.csv", "y", [])
    assert (shown.task, shown.positive) == (task, positive)
