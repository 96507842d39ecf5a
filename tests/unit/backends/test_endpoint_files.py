"""What a local endpoint reads and keeps on disk: names, folders, copies, requirements, the user's YAML."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from gates.backends.local.endpoint import control, copies, layout, mlflow_score, packages, servers, yamlfiles
from gates.backends.local.endpoint.state import Spec
from gates.errors import Conflict, InvalidInput
from gates.lineage.digest import model_digest

if TYPE_CHECKING:
    from pathlib import Path

ENDPOINT = "name: credit\nauth_mode: key\n"
DEPLOYMENT = "name: blue\nendpoint_name: credit\nmodel: azureml:credit@latest\ninstance_type: S\ninstance_count: 1\n"


def test_names_are_those_that_azure_takes(tmp_path: Path) -> None:
    assert layout.locate(tmp_path, "credit-1").folder == tmp_path.resolve() / "endpoints" / "credit-1"
    for name in ("", "ab", "1credit", "../x", "credit-", "a/b", "x" * 33):
        with pytest.raises(InvalidInput, match="not allowed"):
            layout.locate(tmp_path, name)


def test_the_key_is_random_private_and_stays(tmp_path: Path) -> None:
    place = layout.locate(tmp_path, "credit")
    key = layout.prepare(place)
    assert len(key) >= 40
    assert layout.prepare(place) == key
    assert place.key.stat().st_mode & 0o777 == 0o600
    assert place.folder.stat().st_mode & 0o777 == 0o700
    assert layout.prepare(layout.locate(tmp_path, "other")) != key


def test_a_long_path_gets_a_short_private_folder_for_sockets(tmp_path: Path) -> None:
    place = layout.locate(tmp_path / ("deep" * 20), "credit")
    layout.prepare(place)
    folder = layout.run_folder(place, None)
    try:
        assert len(os.fsencode(folder / f"d-{'x' * 32}")) < 100
        assert folder.stat().st_mode & 0o777 == 0o700
        assert layout.run_folder(place, layout.Running(1, "", str(folder))) == folder
        folder.chmod(0o755)
        other = layout.run_folder(place, layout.Running(1, "", str(folder)))
        assert other != folder
        other.rmdir()
    finally:
        folder.rmdir()


def test_a_log_that_grew_keeps_its_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("ab", buffering=0) as server:
        server.write(b"first\n" + b"a line\n" * 2000 + b"last\n")
        servers.trim(log, 1 << 20)
        assert log.read_bytes().startswith(b"first")
        servers.trim(log, 1000)
        server.write(b"after\n")
    lines = log.read_text().splitlines()
    assert (lines[0], lines[-2:], len(lines)) == ("(earlier lines were dropped)", ["last", "after"], 1002)


def test_what_a_model_server_inherits_holds_no_secret() -> None:
    env = {
        "PATH": "/bin",
        "HTTPS_PROXY": "p",
        "PIP_INDEX_URL": "https://u:pw@i",
        "AWS_SECRET": "x",
        "GITHUB_TOKEN": "x",
    }
    assert servers.inherited(env) == {"PATH": "/bin", "HTTPS_PROXY": "p", "PIP_INDEX_URL": "https://u:pw@i"}
    assert servers.serving(env) == {"PATH": "/bin", "HTTPS_PROXY": "p", "OMP_WAIT_POLICY": "passive"}


def test_the_log_says_why(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert servers.tail(log) == ""
    assert servers.why(log) == "it said nothing"
    log.write_text(
        "start\nTraceback:\nValueError: bad weights\nazureml_inference_server_http.x.Exception: caught\nbye\n"
    )
    assert servers.why(log) == "ValueError: bad weights"
    assert servers.tail(log, 2).splitlines()[-1] == "bye"


def model_in(folder: Path) -> Path:
    model = folder / "model"
    (model / "data").mkdir(parents=True)
    (model / "MLmodel").write_text("mlflow_version: 3.17.2\n")
    (model / "requirements.txt").write_text("# made by mlflow\nscikit-learn==1.9.1\n")
    (model / "data" / "w").write_bytes(b"\x00" * 10)
    return model


def test_a_copy_is_verified_and_kept(tmp_path: Path) -> None:
    model = model_in(tmp_path)
    spec = Spec("blue", "s", str(model), model_digest(model))
    copy = copies.model(spec, tmp_path / "d")
    (model / "MLmodel").write_text("changed")
    assert copies.model(spec, tmp_path / "d") == copy
    assert model_digest(copy) == spec.model_digest
    with pytest.raises(InvalidInput, match="not the one that was gated"):
        copies.model(spec, tmp_path / "e")
    assert not (tmp_path / "e" / "model").exists()
    with pytest.raises(InvalidInput, match="not found"):
        copies.model(Spec("blue", "s", str(tmp_path / "none"), "d"), tmp_path / "f")


def test_code_that_changed_after_the_plan_is_refused(tmp_path: Path) -> None:
    code = tmp_path / "code"
    (code / "__pycache__").mkdir(parents=True)
    (code / "score.py").write_text("1")
    digest = copies.code_digest(code)
    (code / "__pycache__" / "x.pyc").write_text("1")
    assert copies.code_digest(code) == digest
    body = {"code_configuration": {"code": str(code), "scoring_script": "score.py", "digest": digest}}
    spec = Spec("blue", "s", "m", "d", body)
    copy, script = copies.code(spec, tmp_path / "d")
    assert (sorted(p.name for p in copy.iterdir()), script) == (["score.py"], "score.py")
    (code / "score.py").write_text("2")
    assert (copies.code(spec, tmp_path / "d")[0] / "score.py").read_text() == "1"
    with pytest.raises(InvalidInput, match="changed after"):
        copies.code(spec, tmp_path / "e")
    (code / "score.py").unlink()
    with pytest.raises(InvalidInput, match="not found"):
        copies.code(spec, tmp_path / "e")


def test_the_server_s_script_knows_the_same_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_in(tmp_path)
    (model / "data.x").write_text("sorted by bytes, not by parts")
    assert mlflow_score.identity(model) == model_digest(model)
    monkeypatch.setenv("GATES_MODEL", str(model))
    monkeypatch.setenv("GATES_MODEL_DIGEST", "sha256:" + "0" * 64)
    with pytest.raises(RuntimeError, match="not those that were gated"):
        mlflow_score.init()


def test_requests_in_azure_s_shapes() -> None:
    split = '{"input_data": {"columns": ["a", "b"], "index": [4], "data": [[1, "x"]]}}'
    assert mlflow_score.rows_of(split).to_dict("records") == [{"a": 1, "b": "x"}]
    assert mlflow_score.rows_of('{"input_data": [{"a": 1}]}').to_dict("records") == [{"a": 1}]
    assert mlflow_score.rows_of('{"input_data": [[1, 2]]}').shape == (1, 2)
    assert mlflow_score.rows_of('{"input_data": {"data": [[1, 2]]}}').shape == (1, 2)
    for bad in ("", "{", "[]", "{}", '{"input_data": 1}', '{"input_data": {"columns": ["a"], "data": [[1, 2]]}}'):
        with pytest.raises(ValueError, match=r"."):
            mlflow_score.rows_of(bad)


def test_requirements_come_from_the_conda_file_or_the_model(tmp_path: Path) -> None:
    model = model_in(tmp_path)
    assert packages.requirements({}, model) == ("scikit-learn==1.9.1", "mlflow==3.17.2", *packages.SERVER)
    conda = {"dependencies": ["python=3.11", "pip", "numpy=1.26", "scipy>=1.11", {"pip": ["polars==1.0"]}]}
    body = {"environment": {"image": "x", "conda_file": conda}}
    own = ("numpy==1.26.*", "scipy>=1.11", "polars==1.0")
    assert packages.requirements(body, model) == (*own, *packages.SERVER)
    assert packages.requirements({"environment": "azureml:e:1"}, tmp_path) == packages.SERVER
    for bad in ("conda-forge::numpy", "numpy=1.26=py311_0"):
        with pytest.raises(InvalidInput, match="cannot be installed with pip"):
            packages.from_conda({"dependencies": [bad]})
    with pytest.raises(InvalidInput, match="is not read"):
        packages.from_conda({"dependencies": [{"pip": ["-r other.txt"]}]})


def test_an_error_of_a_rule_travels_by_its_name() -> None:
    heard: list[BaseException] = []

    async def handle(do: str, given: dict[str, Any]) -> Any:
        if do == "conflict":
            raise Conflict("taken", hint="wait")
        return given["a"] / given["b"]

    def answer(line: bytes) -> dict[str, Any]:
        with pytest.raises(StopIteration) as end:  # it waits for nothing, so it needs no event loop
            control.answer(handle, line, heard.append).__await__().__next__()
        return dict(end.value.value)

    assert answer(b'{"do": "x", "with": {"a": 1, "b": 2}}') == {"ok": 0.5}
    assert answer(b'{"do": "conflict", "with": {}}') == {"error": "Conflict", "what": "taken", "hint": "wait"}
    assert answer(b'{"do": "x", "with": {"a": 1, "b": 0}}')["error"] == "Unavailable"
    assert answer(b"nonsense")["error"] == "Unavailable"
    assert [type(error).__name__ for error in heard] == ["ZeroDivisionError", "DecodeError"]


def files(folder: Path, endpoint: str = ENDPOINT, deployment: str = DEPLOYMENT) -> tuple[Path, Path]:
    (folder / "endpoint.yml").write_text(endpoint)
    (folder / "deployment.yml").write_text(deployment)
    return folder / "endpoint.yml", folder / "deployment.yml"


def test_the_user_s_files_are_read_as_azure_reads_them(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "score.py").write_text("def init(): ...\ndef run(raw_data): ...\n")
    (tmp_path / "conda.yml").write_text("name: e\ndependencies: [python=3.11, {pip: [scikit-learn==1.5.0]}]\n")
    more = (
        "code_configuration: {code: ./src, scoring_script: score.py}\n"
        "environment: {conda_file: conda.yml, image: mcr.example/base}\n"
        "environment_variables: {WORKER_COUNT: '2'}\nrequest_settings: {request_timeout_ms: 900}\n"
    )
    read = yamlfiles.read(*files(tmp_path, deployment=DEPLOYMENT.replace("count: 1", "count: 3") + more))
    assert (read.endpoint_name, read.deployment_prefix) == ("credit", "blue")
    body = read.deployment_body
    assert body["code_configuration"]["code"] == str(tmp_path.resolve() / "src")
    assert body["code_configuration"]["digest"].startswith("sha256:")
    assert body["environment"]["conda_file"]["dependencies"][1] == {"pip": ["scikit-learn==1.5.0"]}
    assert body["request_settings"] == {"request_timeout_ms": 900}
    assert [warning.partition("deployment.yml:")[2] for warning in read.warnings] == [
        "5: instance_count: one model server runs locally",
        "7: environment: image is not run locally: only its conda file is used",
    ]
    assert capfd.readouterr().out == ""


def test_what_a_local_run_cannot_honour_is_named(tmp_path: Path) -> None:
    endpoint = ENDPOINT.replace("key", "aml_token") + "identity: {type: system_assigned}\n"
    more = "environment: azureml:e:1\nscale_settings: {type: default}\napp_insights_enabled: true\n"
    warnings = yamlfiles.read(*files(tmp_path, endpoint, DEPLOYMENT + more)).warnings
    assert {warning.split(": ")[1] for warning in warnings} == {
        "auth_mode", "identity", "environment", "scale_settings", "app_insights_enabled"
    }  # fmt: skip
    assert yamlfiles.read(*files(tmp_path)).warnings == ()


@pytest.mark.parametrize(
    ("endpoint", "deployment", "message"),
    [
        ("auth_mode: key\n", DEPLOYMENT, "endpoint.yml:1?"),
        (ENDPOINT + "auth_mode: key\n", DEPLOYMENT, r"endpoint\.yml:3: .*duplicate|twice"),
        (ENDPOINT.replace("key", "sesame"), DEPLOYMENT, r"endpoint\.yml:2: auth_mode: .*sesame"),
        (ENDPOINT, DEPLOYMENT + "nope: 1\n", r"deployment\.yml:6: nope: Unknown field"),
        (ENDPOINT, DEPLOYMENT.replace("count: 1", "count: [1]"), r"yml:5: instance_count: Not a valid integer"),
        (ENDPOINT, DEPLOYMENT.replace("instance_type: S\n", ""), r"yml:1: instance_type: Missing data"),
        (ENDPOINT, DEPLOYMENT.replace("endpoint_name: credit", "endpoint_name: other"), r"deployment\.yml:2: .*other"),
        (ENDPOINT, DEPLOYMENT + "code_configuration: {code: ., scoring_script: no.py}\n", r"yml:6: .*no\.py"),
        (ENDPOINT, DEPLOYMENT + "environment: {conda_file: no.yml, image: i}\n", r"no\.yml"),
        (ENDPOINT, "name: [\n", r"deployment\.yml"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_at_its_line(tmp_path: Path, endpoint: str, deployment: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        yamlfiles.read(*files(tmp_path, endpoint, deployment))
    assert "\n" not in str(caught.value)
