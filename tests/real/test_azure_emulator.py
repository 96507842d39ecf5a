"""The emulator that the Azure tests stand on, asked by the bare SDK: what it takes, what it refuses, what it plants."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import certifi
import pytest
import requests
from azureml_emulator import arm, checking, start, tokens

from gates.backends.azureml.client import quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from azureml_emulator.start import Running

SCORE = """\
import json, os, time

def init():
    if os.environ.get("BROKEN"):
        time.sleep(5)  # in transition long enough to be found so
        raise RuntimeError("no such weights")
    print("serving", os.environ["VERSION"])

def run(raw):
    return {"version": os.environ["VERSION"], "asked": json.loads(raw)}
"""
TRAIN = """\
import argparse, pathlib

parser = argparse.ArgumentParser()
for name in ("--data", "--model", "--rate"):
    parser.add_argument(name)
given = parser.parse_args()
print("read", pathlib.Path(given.data).read_text().strip(), flush=True)
accuracy = 0.9 + float(given.rate or 0) / 100
import mlflow
mlflow.log_metric("accuracy", accuracy)
if given.model:
    pathlib.Path(given.model).mkdir(parents=True, exist_ok=True)
    pathlib.Path(given.model, "weights").write_text(given.rate or "0")
"""


@pytest.fixture
def ml(azure: Running, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Microsoft's client in its default configuration; only the environment leads it here."""
    for name, value in {**azure.environment(), "AZUREML_RUN_POLLING_INTERVAL_MIN": "1"}.items():
        monkeypatch.setenv(name, value)
    return client()


def client(workspace: str = arm.WORKSPACE, **more: Any) -> Any:
    with quiet():
        from azure.ai.ml import MLClient
        from azure.identity import ClientSecretCredential

        credential = ClientSecretCredential(tokens.TENANT, tokens.CLIENT, tokens.SECRET)
        where = {"workspace_name": workspace} if workspace else {}
        return MLClient(
            credential, arm.SUBSCRIPTION, arm.GROUP, enable_telemetry=False, show_progress=False, polling_interval=1,
            **where, **more,
        )  # fmt: skip


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    room = tmp_path_factory.mktemp("room")
    for name, text in {
        "src/train.py": TRAIN,
        "code/score.py": SCORE,
        "model/weights": "0.5",
        "data.csv": "a,b",
    }.items():
        (room / name).parent.mkdir(exist_ok=True)
        (room / name).write_text(text)
    (room / "conda.yml").write_text('dependencies: ["python=3.11", {pip: ["azureml-inference-server-http>=1.4,<2"]}]')
    return room


def submit(ml: Any, path: Path, text: str) -> Any:
    from azure.ai.ml import load_job

    path.write_text(text)
    with quiet():
        return ml.jobs.create_or_update(load_job(path))


def until(ask: Callable[[], str], *ends: str, seconds: float = 120) -> str:
    deadline = time.monotonic() + seconds
    while (found := ask()) not in ends:
        assert time.monotonic() < deadline, f"still {found}"
        time.sleep(0.3)
    return found


COMMAND = """\
type: command
code: src
command: python train.py --data ${{inputs.data}} --rate 2 --model ${{outputs.model}}
inputs: {data: {type: uri_file, path: data.csv}}
outputs: {model: {type: custom_model}}
environment: {image: mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04}
compute: azureml:cpu-cluster
experiment_name: risk
"""


def test_microsoft_s_schemas_are_there() -> None:
    """Without them no body of a PUT is checked: said loudly, and not tolerated where everything must be there."""
    import os
    import warnings

    if not checking.there():
        said = f"no schemas at {checking.FOLDER}: NO BODY OF A PUT IS CHECKED"
        if os.environ.get("GATES_REQUIRE") == "1":
            pytest.fail(f"{said}, and GATES_REQUIRE=1")
        warnings.warn(said, stacklevel=1)
        pytest.skip(said)


def test_a_command_job_runs_on_the_uploaded_code_and_data(azure: Running, ml: Any, room: Path, tmp_path: Path) -> None:
    import io

    job = submit(ml, room / "job.yml", COMMAND)
    said = io.StringIO()
    with quiet(said):
        ml.jobs.stream(job.name)
    assert "read a,b" in said.getvalue()
    assert ml.jobs.get(job.name).status == "Completed"
    base = f"https://{arm.DATAPLANE}/mlflow/v1.0{arm.WORKSPACE_ID}/api/2.0/mlflow"
    token = ml._credential.get_token("https://ml.azure.com/.default").token
    run = requests.get(f"{base}/runs/get?run_id={job.name}", headers={"Authorization": f"Bearer {token}"}, timeout=60)
    found = run.json()["run"]
    assert found["info"]["run_id"] == job.name
    assert {one["key"]: one["value"] for one in found["data"]["metrics"]}["accuracy"] == pytest.approx(0.92)
    with quiet():
        from azure.ai.ml.entities import Model

        uri = f"azureml://jobs/{job.name}/outputs/model"
        made = ml.models.create_or_update(Model(name="from-job", path=uri, type="custom_model"))
        ml.jobs.download(job.name, download_path=tmp_path)
    assert (made.version, made.path) == ("1", uri)
    assert "read a,b" in (tmp_path / "artifacts/user_logs/std_log.txt").read_text()
    assert azure.invalid() == []


@pytest.fixture(scope="module")
def served(azure_running: Running, room: Path) -> Iterator[Callable[..., Any]]:
    """An endpoint `credit` with deployments blue and green, made by the SDK; asks it as a client would."""
    patch = pytest.MonkeyPatch()
    for name, value in azure_running.environment().items():
        patch.setenv(name, value)
    ml = client()
    with quiet():
        from azure.ai.ml.entities import ManagedOnlineEndpoint

        ml.online_endpoints.begin_create_or_update(
            ManagedOnlineEndpoint(name="credit", auth_mode="key", tags={"team": "risk"})
        ).wait()
        model = ml.models.create_or_update(_model(room))
        for poller in [ml.online_deployments.begin_create_or_update(deployment(room, model.id, n)) for n in PAIR]:
            poller.wait()
        key = ml.online_endpoints.get_keys("credit").primary_key

    def ask(pinned: str = "", *, key: str = key) -> Any:
        headers = {"Authorization": f"Bearer {key}"} | ({"azureml-model-deployment": pinned} if pinned else {})
        url = f"https://credit.{arm.REGION}.inference.ml.azure.com/score"
        return requests.post(url, json={"x": 1}, headers=headers, timeout=60)

    yield ask
    patch.undo()


IMAGE = "mcr.microsoft.com/azureml/minimal-ubuntu22.04-py311-cpu-inference"
PAIR = ("blue", "green")


def _model(room: Path) -> Any:
    from azure.ai.ml.entities import Model

    return Model(name="credit", path=str(room / "model"), type="custom_model")


def deployment(room: Path, model: str, name: str, **variables: str) -> Any:
    from azure.ai.ml.entities import CodeConfiguration, Environment, ManagedOnlineDeployment

    return ManagedOnlineDeployment(
        name=name, endpoint_name="credit", model=model, instance_type="Standard_DS3_v2", instance_count=1,
        code_configuration=CodeConfiguration(code=str(room / "code"), scoring_script="score.py"),
        environment=Environment(image=IMAGE, conda_file=str(room / "conda.yml")),
        environment_variables={"VERSION": name, **variables},
    )  # fmt: skip


def shift(ml: Any, traffic: dict[str, int], mirror: dict[str, int] | None = None) -> Any:
    with quiet():
        endpoint = ml.online_endpoints.get("credit")
        endpoint.traffic, endpoint.mirror_traffic = traffic, mirror or {}
        return ml.online_endpoints.begin_create_or_update(endpoint).result()


def live(endpoint: Any) -> dict[str, int]:
    """Without the zeros that the SDK adds for every deployment."""
    return {name: share for name, share in endpoint.traffic.items() if share}


def test_model_servers_serve_by_traffic_header_and_key(ml: Any, served: Callable[..., Any]) -> None:
    assert served().status_code == 404, "no deployment has traffic yet"
    shift(ml, {"blue": 80, "green": 20})
    answers = [served() for _ in range(100)]
    by = Counter(answer.json()["version"] for answer in answers)
    assert all(answer.headers["azureml-model-deployment"] == answer.json()["version"] for answer in answers)
    assert 5 <= by["green"] <= 40
    assert {served("green").json()["version"] for _ in range(5)} == {"green"}
    assert served(key="another").status_code == 401
    assert served("nobody").status_code == 404
    with quiet():
        assert "serving green" in ml.online_deployments.get_logs("green", "credit", lines=50)


def test_mirrored_requests_are_really_sent(ml: Any, served: Callable[..., Any]) -> None:
    shift(ml, {"blue": 100}, {"green": 50})
    before = _posts(ml)
    assert {served().json()["version"] for _ in range(20)} == {"blue"}
    until(lambda: str(1 <= _posts(ml) - before <= 20), "True", seconds=20)


def _posts(ml: Any) -> int:
    with quiet():
        return str(ml.online_deployments.get_logs("green", "credit", lines=1000)).count("POST /score")


def test_the_rules_of_the_service_are_kept(azure: Running, ml: Any, room: Path, served: Callable[..., Any]) -> None:
    from azure.core.exceptions import HttpResponseError

    shift(ml, {"blue": 100})
    for traffic, mirror in (
        ({"blue": 60}, {}), ({"nobody": 100}, {}), ({"blue": 100}, {"green": 60}), ({"blue": 100}, {"blue": 10}),
    ):  # fmt: skip
        with pytest.raises(HttpResponseError) as wrong:
            shift(ml, traffic, mirror)
        assert wrong.value.status_code == 400
    with quiet(), pytest.raises(HttpResponseError) as wrong:
        ml.online_deployments.begin_delete("blue", "credit").wait()
    assert wrong.value.status_code == 400
    azure.plant({"match": "put *onlineendpoints/credit", "do": "status", "status": 409, "code": "Conflict"})
    with pytest.raises(HttpResponseError) as wrong:
        shift(ml, {"blue": 100})
    assert wrong.value.status_code == 409
    with quiet():
        model = ml.models.get("credit", "1")
        poller = ml.online_deployments.begin_create_or_update(deployment(room, model.id, "third", BROKEN="1"))
        with pytest.raises(HttpResponseError) as wrong:  # in transition
            ml.online_deployments.begin_delete("third", "credit")
        assert wrong.value.status_code == 409
        with pytest.raises(HttpResponseError):
            poller.result()
        assert ml.online_deployments.get("third", "credit").provisioning_state == "Failed"
        assert "no such weights" in ml.online_deployments.get_logs("third", "credit", lines=100)
        ml.online_deployments.begin_delete("third", "credit").wait()


def test_a_put_replaces_the_whole_body(ml: Any, served: Callable[..., Any]) -> None:
    from azure.ai.ml.entities import ManagedOnlineEndpoint

    shift(ml, {"blue": 100})
    with quiet():
        ml.online_endpoints.begin_create_or_update(ManagedOnlineEndpoint(name="credit", auth_mode="key")).wait()
        found = ml.online_endpoints.get("credit")
    assert (live(found), found.tags) == ({}, {})


def test_bodies_that_microsoft_s_schemas_refuse_are_refused() -> None:
    if not checking.there():
        pytest.skip("no schemas")
    good: dict[str, Any] = {
        "location": "westeurope",
        "properties": {"authMode": "Key", "traffic": {"blue": 100}, "mirrorTraffic": {}, "properties": {"a": "b"}},
        "tags": {"team": "risk"},
    }
    kind = ("2022-02-01-preview", "workspaces_onlineEndpoints")
    assert checking.problems(*kind, good) == []
    for path, value in (
        ("properties.authMode", "Password"), ("properties.traffic", {"blue": "all"}),
        ("properties.trafic", {"blue": 100}),
        ("properties.authMode", None), ("tags", {"team": 7}), ("properties.properties", {"a": 1}),
    ):  # fmt: skip
        bad = json.loads(json.dumps(good))
        *folders, name = path.split(".")
        at = bad
        for folder in folders:
            at = at[folder]
        at[name] = value
        assert checking.problems(*kind, bad), f"{path}: {value}"
    job = {"properties": {"jobType": "Command", "command": "ls", "environmentId": "/e", "limits": {"timeout": "PT1H"}}}
    assert (
        "no branch" in checking.problems("2025-01-01-preview", "workspaces_jobs", {"properties": {"jobType": "X"}})[0]
    )
    assert checking.problems(
        "2025-01-01-preview", "workspaces_jobs", {"properties": {**job["properties"], "comand": "ls"}}
    )


def test_every_other_host_is_refused_and_logged(azure: Running, ml: Any) -> None:
    before = len(azure.egress())
    with pytest.raises(requests.exceptions.ProxyError):
        requests.get("https://dc.services.visualstudio.com/v2/track", timeout=10)
    assert requests.get("http://example.org/", timeout=10).status_code == 403
    with pytest.raises(requests.exceptions.SSLError):
        requests.get("https://management.azure.com/", timeout=10, verify=certifi.where())
    found = [(one["host"], one["mapped"]) for one in azure.egress()[before:]]
    assert found[:2] == [("dc.services.visualstudio.com", False), ("example.org", False)]


@pytest.mark.parametrize(
    ("rule", "status"),
    [
        ({"do": "status", "status": 500}, 200), ({"do": "status", "status": 503}, 200), ({"do": "reset"}, 200),
        ({"do": "status", "status": 429, "headers": {"Retry-After": "1"}}, 200), ({"do": "lost"}, 200),
        ({"do": "slow", "seconds": 0.5}, 200), ({"do": "late", "status": 500}, 200), ({"do": "expired"}, 401),
        ({"do": "status", "status": 409, "code": "Conflict"}, 409), ({"do": "status", "status": 503, "times": 9}, 503),
    ],
)  # fmt: skip
def test_a_planted_fault_strikes_the_call_and_no_other(
    azure: Running, ml: Any, rule: dict[str, Any], status: int
) -> None:
    """What the SDK retries by itself ends well; what it does not (409, 401, a fault that stays) comes out."""
    from azure.core.exceptions import HttpResponseError

    azure.plant({"match": "get *computes/cpu-cluster", **rule})
    before = len(azure.requests())
    with quiet():
        if status == 200:
            assert client(retry_backoff_factor=0.1).compute.get("cpu-cluster").name == "cpu-cluster"
        else:
            with pytest.raises(HttpResponseError) as wrong:
                client(retry_backoff_factor=0.01, retry_total=2).compute.get("cpu-cluster")
            assert wrong.value.status_code == status
    assert next(one["fault"] for one in azure.requests()[before:] if "fault" in one) == rule["do"]
    azure.plant({"match": "get *computes/another", "do": "status", "status": 500})
    assert ml.compute.get("cpu-cluster").name == "cpu-cluster"


def test_an_operation_fails_midway(azure: Running, ml: Any, served: Callable[..., Any]) -> None:
    """Services do: the traffic has moved, and the operation that moved it failed."""
    from azure.core.exceptions import HttpResponseError

    azure.plant({"match": "put *onlineendpoints/credit", "do": "fail", "message": "midway"})
    with pytest.raises(HttpResponseError, match="midway"):
        shift(ml, {"green": 100})
    found = ml.online_endpoints.get("credit")
    assert (found.provisioning_state, live(found)) == ("Failed", {"green": 100})
    shift(ml, {"blue": 100})


def test_versions_are_shared_through_a_registry(ml: Any, room: Path, tmp_path: Path) -> None:
    from azure.ai.ml.entities import Model

    with quiet():
        registry = client("", registry_name=arm.REGISTRY)
        made = registry.models.create_or_update(_model(room))
        assert made.id == f"azureml://registries/{arm.REGISTRY}/models/credit/versions/1"
        here = ml.models.create_or_update(Model(name="shared", path=str(room / "model"), type="custom_model"))
        ml.models.share(
            "shared", here.version, share_with_name="there", share_with_version="7", registry_name=arm.REGISTRY
        )
        assert [one.version for one in registry.models.list("there")] == ["7"]
        registry.models.download("there", "7", download_path=tmp_path)
    assert [path.read_text() for path in tmp_path.rglob("weights")] == ["0.5"]


def test_a_new_process_goes_on_where_one_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: Path) -> None:
    for number in ("1", "2"):
        with start.running(tmp_path) as azure:
            for name, value in azure.environment().items():
                monkeypatch.setenv(name, value)
            with quiet():
                made = client().models.create_or_update(_model(room))
            assert made.version == number
