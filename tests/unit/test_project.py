"""mlops.yml: paths, variables, schemas, and what is refused with its line."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from gates import project
from gates.errors import InvalidInput

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "gates" / "schemas"
BASE = "version: 1\nmodel: m\n"


def load(folder: Path, text: str, **env: str) -> project.Project:
    (folder / "mlops.yml").write_text(text)
    return project.load(folder / "mlops.yml", env)


def test_paths_are_relative_to_the_file_the_one_in_a_sqlite_uri_too(tmp_path: Path) -> None:
    text = BASE + "tracking_uri: sqlite:///.gates/m.db\ntrain: {job: jobs/t.yml}\ndrift: {reference: r.csv}\n"
    found = load(tmp_path, text)
    assert found.get("train.job") == tmp_path / "jobs/t.yml"
    assert found.get("policy") == tmp_path / "policy.yml"
    assert found.get("tracking_uri") == f"sqlite:///{tmp_path / '.gates/m.db'}"
    assert found.get("drift.reference") == str(tmp_path / "r.csv")
    assert found.get("evaluate.data") is None
    assert load(tmp_path, BASE + "tracking_uri: sqlite:////abs/m.db\n").get("tracking_uri") == "sqlite:////abs/m.db"
    assert load(tmp_path, BASE + "drift: {}\n").get("drift.reference") == "profile"


DEPLOY = "deploy:\n  endpoint: e\n  deployment: d\n  rollout: "
AZURE = "backend: azureml\nworkspace:\n  subscription_id: ${env:SUB}\n  resource_group: r\n  name: w\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (AZURE, "mlops.yml:5: environment variable SUB is not set; set SUB or write the value"),
        ("backend: azureml\n", "mlops.yml:3: backend: azureml needs a workspace; add the key 'workspace'"),
        ("backend: azure\n", "mlops.yml:3: backend: expected one of azureml, local, got \"azure\"; Where things run"),
        ("modle: x\n", "mlops.yml:3: unknown key 'modle'; did you mean 'model'?"),
        ("train: {jb: x}\n", "mlops.yml:3: unknown key 'jb'; did you mean 'job'?"),
        ("train:\n  model: x\n", "mlops.yml:3: missing key 'job'; add it"),
        ("evaluate: {data: d, target: 3}\n", "mlops.yml:3: evaluate.target: expected text, got 3; "),
        (DEPLOY + "{steps: [5, 50]}\n",
         "mlops.yml:6: rollout.steps: expected rising percents that end with 100, got [5, 50]; write e.g. [5, 25, "),
        (DEPLOY + "{steps: []}\n", "mlops.yml:6: rollout.steps: "),
        (DEPLOY + "{steps: [0, 100]}\n", "mlops.yml:6: rollout.steps: "),
        (DEPLOY + "{steps: [50, 50, 100]}\n", "mlops.yml:6: rollout.steps: "),
        (DEPLOY + "{interval: 1 minute}\n",
         "mlops.yml:6: deploy.rollout.interval: not of its form, got \"1 minute\"; "),
        (DEPLOY + "{mirror: 60}\n", "mlops.yml:6: deploy.rollout.mirror: "),
    ],
)  # fmt: skip
def test_a_wrong_project_file_is_refused_on_its_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        load(tmp_path, BASE + text)
    assert str(caught.value).removeprefix(f"{tmp_path}/").startswith(message)


def test_where_there_is_no_project_file_the_error_says_what_writes_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="project file not found; run `gates init` to write one, or name it"):
        project.load(tmp_path / "mlops.yml", {})


def test_a_model_s_name_is_one_that_registries_take(tmp_path: Path) -> None:
    for name in ("a/b", "-x", "a b", ""):
        with pytest.raises(InvalidInput, match=r"mlops\.yml:2: model: "):
            load(tmp_path, f"version: 1\nmodel: '{name}'\n")


def test_the_rollout_input_is_yaml_or_json_of_the_same_form() -> None:
    assert project.parse_rollout('{"steps": [10, 100], "bake": "0s"}', "--rollout").steps == [10, 100]
    for text in ("steps: 5", "[5, 100]", "no/such", "{step: [100]}", "{steps: [100, 5]}", "{interval: 5}"):
        with pytest.raises(InvalidInput, match="--rollout"):
            project.parse_rollout(text, "--rollout")


@pytest.mark.parametrize(("name", "file"), [("mlops.v1", "mlops.yml"), ("policy.v1", "policy.yml")])
def test_the_schemas_take_the_example_s_files_and_refuse_broken_ones(name: str, file: str) -> None:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    value = yaml.safe_load((ROOT / "examples/census-income" / file).read_text())
    jsonschema.validate(value, schema)
    for broken in (
        {**value, "vresion": 1},
        {**value, "version": 2},
        {k: v for k, v in value.items() if k != "version"},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, schema)


@pytest.mark.parametrize(
    "name", ["key-unknown", "type-unknown", "stage-empty", "threshold-min-samples-zero", "latency-q-95"]
)
def test_the_policy_schema_refuses_what_editors_should_underline(name: str) -> None:
    schema = json.loads((SCHEMAS / "policy.v1.schema.json").read_text())
    value = yaml.safe_load((ROOT / "tests/golden/policies/bad" / f"{name}.yml").read_text())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(value, schema)
