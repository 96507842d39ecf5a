"""Both kinds of Azure endpoint over a workspace in memory: what is refused, what is written, what is kept."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from fake_blobs import FakeStorage
from fake_workspace import FakeMaker, FakeWorkspace
from hypothesis import given, settings
from hypothesis import strategies as st

from gates.backends.azureml.batch import AzureBatchEndpoint
from gates.backends.azureml.deployments import Maker
from gates.backends.azureml.endpoint import AzureEndpoint, kept, named
from gates.backends.azureml.lease import EndpointLease
from gates.backends.local.endpoint.copies import code_digest
from gates.errors import Conflict, GatesError, InvalidInput, Unavailable
from gates.lineage.digest import model_digest
from gates.serving import DeploymentSpec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SPEC = DeploymentSpec("blue", "sha256:1", "m", "sha256:a")
GREEN = DeploymentSpec("green", "sha256:2", "m", "sha256:b")


class Log:
    """The traffic log: whether it was turned on, what it holds."""

    def __init__(self) -> None:
        self.on = 0

    def turn_on(self) -> None:
        self.on += 1

    def since(self, cursor: int) -> tuple[list[Any], int]:
        return [], cursor + 1


@dataclass
class Room:
    """An endpoint with blue and green, neither with traffic."""

    kind: str

    def __post_init__(self) -> None:
        self.workspace, self.blobs, self.log = FakeWorkspace(), FakeStorage(clock=time.time), Log()
        self.maker = FakeMaker(self.workspace, self.kind)
        lease = EndpointLease(self.blobs, "endpoints/credit")  # type: ignore[arg-type]  # fits by shape, as all below
        self.path, self.endpoint = f"{self.kind}/credit", self.connect(lease)
        self.epoch = self.endpoint.acquire("a", seconds=60, now=time.time()).epoch

    def connect(self, lease: Any) -> Any:
        made: Any = self.workspace
        if self.kind == "batchEndpoints":
            return AzureBatchEndpoint(made, self.blobs, "credit", lease=lease, maker=self.maker)  # type: ignore[arg-type]  # same
        return AzureEndpoint(made, "credit", lease=lease, log=self.log, maker=self.maker)  # type: ignore[arg-type]  # same

    def up(self) -> Room:
        self.endpoint.create_endpoint({"tags": {"team": "risk"}}, epoch=self.epoch)
        for one in (SPEC, GREEN):
            self.endpoint.create(one, epoch=self.epoch)
        return self

    def write(self, traffic: dict[str, int], mirror: dict[str, int] | None = None, **tags: str) -> None:
        self.endpoint.write(traffic=traffic, mirror=mirror or {}, tags=tags, epoch=self.epoch)

    def change(self, path: str = "", **properties: Any) -> None:
        self.workspace.resources[f"{self.path}{path}"]["properties"].update(properties)

    def taken_over(self) -> None:
        other = EndpointLease(self.blobs, "endpoints/credit")  # type: ignore[arg-type]  # same
        other.acquire("b", seconds=60, now=time.time() + 100)


@pytest.fixture(params=["onlineEndpoints", "batchEndpoints"])
def room(request: pytest.FixtureRequest) -> Room:
    return Room(request.param)


@pytest.fixture
def online() -> Room:
    return Room("onlineEndpoints").up()


@pytest.fixture
def batch() -> Room:
    return Room("batchEndpoints").up()


def test_what_is_not_there_is_absent_and_made_once(room: Room) -> None:
    assert room.endpoint.observe().exists is False
    room.up().up()
    assert [path for _, path in room.workspace.changes()] == [
        room.path, f"{room.path}/deployments/blue", f"{room.path}/deployments/green",
    ]  # fmt: skip
    view = room.endpoint.observe()
    assert (view.exists, view.updating, dict(view.traffic), dict(view.mirror)) == (True, False, {}, {})
    assert view.url == "https://credit/score"
    assert view.tags == {"team": "risk"}
    blue = view.deployments["blue"]
    assert (blue.state, blue.spec_digest, blue.model_digest) == ("ready", "sha256:1", "sha256:a")
    assert room.log.on == (1 if room.kind == "onlineEndpoints" else 0)


def test_a_deployment_of_another_spec_or_that_goes_away_is_not_taken_for_ours(room: Room) -> None:
    room.up()
    with pytest.raises(Conflict, match="another spec") as raised:
        room.endpoint.create(DeploymentSpec("blue", "sha256:9", "m", "sha256:a"), epoch=room.epoch)
    assert raised.value.hint
    room.change("/deployments/blue", provisioningState="Deleting")
    with pytest.raises(Conflict):
        room.endpoint.create(SPEC, epoch=room.epoch)


@pytest.mark.parametrize(
    ("said", "state"),
    [("Creating", "creating"), ("Updating", "updating"), ("Scaling", "updating"), ("Succeeded", "ready"),
     ("SUCCEEDED", "ready"), ("Failed", "failed"), ("Canceled", "failed"), ("Deleting", "deleting"),
     ("tomorrow's", "updating"), (None, "ready")],
)  # fmt: skip
def test_states_are_told_in_our_words(room: Room, said: str | None, state: str) -> None:
    room.up().change("/deployments/blue", provisioningState=said)
    room.maker.reasons["blue"] = "no quota"
    view = room.endpoint.observe().deployments["blue"]
    assert (view.state, view.reason) == (state, "no quota" if state == "failed" else "")


@pytest.mark.parametrize(("said", "updating"), [("Updating", True), ("Creating", True), ("Deleting", True),
                                                ("Failed", False), ("Canceled", False), (None, False)])  # fmt: skip
def test_an_endpoint_with_an_operation_is_updating_and_not_written(
    room: Room, said: str | None, updating: bool
) -> None:
    room.up().change(provisioningState=said)
    assert room.endpoint.observe().updating is updating
    if updating:
        with pytest.raises(Conflict, match="is updating"):
            room.write({"blue": 100})
    else:
        room.write({"blue": 100})
        assert dict(room.endpoint.observe().traffic or {"blue": 100}) == {"blue": 100}


ACTS: dict[str, Callable[[Room], None]] = {
    "create_endpoint": lambda room: room.endpoint.create_endpoint({}, epoch=room.epoch),
    "create": lambda room: room.endpoint.create(SPEC, epoch=room.epoch),
    "write": lambda room: room.write({"blue": 100}),
    "delete": lambda room: room.endpoint.delete("green", epoch=room.epoch),
}


@pytest.mark.parametrize("act", ACTS)
def test_a_runner_that_lost_the_lease_changes_nothing(room: Room, act: str) -> None:
    room.up().taken_over()
    if act == "create":
        del room.workspace.resources[f"{room.path}/deployments/blue"]
    before = list(room.workspace.changes())
    with pytest.raises(Conflict, match="fenced off"):
        ACTS[act](room)
    assert room.workspace.changes() == before


def test_writes_and_deployments_need_an_endpoint(room: Room) -> None:
    with pytest.raises(InvalidInput, match="does not exist") as raised:
        room.write({})
    assert raised.value.hint
    room.endpoint.delete("green", epoch=room.epoch)
    assert room.workspace.changes() == []
    with pytest.raises(GatesError):
        room.endpoint.ask(b"{}") if room.kind == "batchEndpoints" else room.endpoint.create(SPEC, epoch=room.epoch)


def test_a_deployment_is_deleted_once_and_never_with_traffic(room: Room) -> None:
    room.up().write({"blue": 100})
    if room.kind == "onlineEndpoints":
        room.change(traffic={"blue": 100}, mirrorTraffic={"green": 5})
        with pytest.raises(Conflict, match="has traffic"):
            room.endpoint.delete("green", epoch=room.epoch)
        room.change(mirrorTraffic={"green": 0})
    with pytest.raises(Conflict) as raised:
        room.endpoint.delete("blue", epoch=room.epoch)
    assert raised.value.hint
    for _ in range(2):
        room.endpoint.delete("green", epoch=room.epoch)
    assert [one for one in room.workspace.changes() if one[0] == "DELETE"] == [
        ("DELETE", f"{room.path}/deployments/green")
    ]
    room.up().change("/deployments/green", provisioningState="Deleting")
    before = list(room.workspace.changes())
    room.endpoint.delete("green", epoch=room.epoch)
    assert room.workspace.changes() == before


def test_a_tag_that_azure_would_cut_is_refused(room: Room) -> None:
    room.up().write({"blue": 100}, note="x" * 256)
    with pytest.raises(InvalidInput, match="tag note is longer than 256"):
        room.write({"blue": 100}, note="x" * 257)


def test_only_what_is_up_gets_traffic(room: Room) -> None:
    room.up()
    for state in ("Creating", "Failed", "Deleting"):
        room.change("/deployments/green", provisioningState=state)
        with pytest.raises(InvalidInput, match="green is not ready"):
            room.write({"green": 100})
    with pytest.raises(InvalidInput, match="nobody is not ready"):
        room.write({"nobody": 100})
    for state in ("Updating", "Succeeded"):
        room.change("/deployments/green", provisioningState=state)
        room.write({"green": 100})


BAD: list[tuple[dict[str, int], dict[str, int]]] = [
    ({"blue": 60}, {}), ({"blue": 120, "green": -20}, {}), ({"blue": 60, "green": 60}, {}),
    ({"blue": 100}, {"green": 51}), ({"blue": 50, "green": 50}, {"green": 10}), ({"blue": 100}, {"blue": 10}),
    ({"blue": 100}, {"green": -5}), ({}, {"green": 5, "blue": 5}),
]  # fmt: skip


@pytest.mark.parametrize(("traffic", "mirror"), BAD)
def test_bad_shares_are_refused_before_anything_is_sent(
    room: Room, traffic: dict[str, int], mirror: dict[str, int]
) -> None:
    room.up()
    before = list(room.workspace.changes())
    with pytest.raises(InvalidInput):
        room.write(traffic, mirror)
    assert room.workspace.changes() == before


def test_a_mirror_of_half_and_no_traffic_at_all_are_allowed(online: Room) -> None:
    online.write({"blue": 100, "green": 0}, {"green": 50})
    body = online.workspace.made[-1][2]["properties"]
    assert (body["traffic"], body["mirrorTraffic"]) == ({"blue": 100}, {"green": 50})
    online.write({})
    assert online.workspace.made[-1][2]["properties"]["traffic"] == {}


def test_a_default_is_one_and_whole(batch: Room) -> None:
    for traffic in ({"blue": 50, "green": 50}, {"blue": 99}):
        with pytest.raises(InvalidInput, match="no shares"):
            batch.write(traffic)
    batch.change(defaults={"tomorrow": 1})
    batch.write({"blue": 100, "green": 0})
    assert batch.workspace.made[-1][2]["properties"]["defaults"] == {"tomorrow": 1, "deploymentName": "blue"}
    assert dict(batch.endpoint.observe().traffic) == {"blue": 100}
    batch.write({})
    assert dict(batch.endpoint.observe().traffic) == {}


def test_a_batch_endpoint_takes_no_requests(batch: Room) -> None:
    with pytest.raises(InvalidInput, match="takes files"):
        batch.endpoint.ask(b"{}")
    with pytest.raises(InvalidInput, match="takes files"):
        batch.endpoint.address("blue")
    assert batch.endpoint.requests_since(7) == ((), 7)
    assert batch.endpoint.logs("blue") == ""


def values() -> st.SearchStrategy[Any]:
    plain = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
    return st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner))


@settings(max_examples=200, deadline=None)
@given(
    foreign=st.dictionaries(st.text(min_size=1, max_size=8), values(), max_size=4),
    properties=st.dictionaries(st.text(min_size=1, max_size=8), values(), max_size=4),
    theirs=st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=8), max_size=4),
    ours=st.dictionaries(st.sampled_from(["gates.state", "gates.seq"]), st.text(max_size=8)),
)
def test_whatever_others_set_is_in_what_we_put(
    foreign: dict[str, Any], properties: dict[str, Any], theirs: dict[str, str], ours: dict[str, str]
) -> None:
    """Any key that stands there goes back as it was; a null says nothing, and what only Azure tells is left out."""
    told = {"id": "/x", "name": "e", "type": "t", "systemData": {}, "etag": "1"}
    only_told = {"scoringUri": "https://e", "swaggerUri": None, "provisioningState": "Succeeded"}
    reserved = {*told, "tags", "properties", "identity"}
    foreign = {key: value for key, value in foreign.items() if key not in reserved}
    properties = {key: value for key, value in properties.items() if key not in only_told and key != "traffic"}
    identity = {
        "type": "UserAssigned",
        "principalId": "p",
        "tenantId": "t",
        "userAssignedIdentities": {"/i": {"clientId": "c"}},
    }
    found = {**told, **foreign, "tags": theirs, "identity": identity, "properties": {**properties, **only_told}}
    body = kept(found, {"traffic": {"blue": 100}}, ours)
    assert body["tags"] == {**theirs, **ours}
    assert body["properties"] == {
        **{key: value for key, value in properties.items() if value is not None}, "traffic": {"blue": 100},
    }  # fmt: skip
    assert body["identity"] == {"type": "UserAssigned", "userAssignedIdentities": {"/i": {}}}
    assert {key: value for key, value in body.items() if key not in ("tags", "properties", "identity")} == foreign


def test_an_identity_of_the_system_alone_and_none_are_kept_as_they_are() -> None:
    plain = {"properties": {}, "identity": {"type": "SystemAssigned", "principalId": "p", "tenantId": "t"}}
    assert kept(plain, {}, {})["identity"] == {"type": "SystemAssigned"}
    assert "identity" not in kept({"properties": {}}, {}, {})
    assert kept({"properties": {}, "tags": None}, {}, {"a": "b"})["tags"] == {"a": "b"}


def test_every_write_of_a_whole_rollout_keeps_what_others_set(room: Room) -> None:
    """One after the other, over an endpoint that people and tools have touched."""
    room.up()
    mine = {"kind": "Managed", "location": "w", "sku": {"name": "x"}, "identity": {"type": "SystemAssigned"}}
    room.workspace.resources[room.path] |= mine
    room.workspace.resources[room.path]["tags"] |= {"cost": "4711"}
    room.change(description="by hand", publicNetworkAccess="Disabled", properties={"a": "b"}, tomorrow={"x": [1]})
    blue = json.dumps(room.workspace.resources[f"{room.path}/deployments/blue"])
    shares: tuple[dict[str, int], ...] = ({"blue": 100}, {"green": 100}, {"blue": 100})
    for number, traffic in enumerate(shares):
        room.write(traffic, {}, **{"gates.seq": str(number)})
    room.endpoint.delete("green", epoch=room.epoch)
    after = room.workspace.resources[room.path]
    assert {key: after[key] for key in mine} == mine
    assert after["tags"] == {"team": "risk", "cost": "4711", "gates.seq": "2"}
    told = ("description", "publicNetworkAccess", "properties", "tomorrow")
    assert {key: after["properties"][key] for key in told} == {
        "description": "by hand", "publicNetworkAccess": "Disabled", "properties": {"a": "b"}, "tomorrow": {"x": [1]},
    }  # fmt: skip
    assert json.dumps(room.workspace.resources[f"{room.path}/deployments/blue"]) == blue


@pytest.mark.parametrize("name", ["ab", "1abc", "abc-", "a_b", "a" * 33, "", "über"])
def test_a_name_that_azure_refuses_is_refused_before_the_first_call(name: str) -> None:
    with pytest.raises(InvalidInput, match="is not allowed") as raised:
        named(name)
    assert raised.value.hint
    assert named("a-1") == "a-1"
    assert named("a" * 32) == "a" * 32


# a batch deployment's answers


@pytest.fixture
def asked(batch: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Room:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    written: dict[str, bytes] = batch.blobs.blobs
    blobs: Any = batch.blobs
    blobs.default = "store"
    blobs.write = lambda path, data: written.update({path: data})
    blobs.download = lambda uri, into: into / uri.rpartition("/")[2]
    (tmp_path / "input.csv").write_text("a,gates_row\n1,0\n")
    batch.change("/deployments/blue")
    batch.workspace.resources[f"{batch.path}/deployments/blue"]["systemData"] = {"createdAt": "now"}
    return batch


def running(room: Room, *states: str) -> Callable[[], None]:
    """The job goes through these states, one a beat."""
    left = list(states)

    def beat() -> None:
        state = left.pop(0) if left else "Completed"
        for path, one in room.workspace.resources.items():
            if path.startswith("jobs/") and one["properties"]["status"] in ("Running", "Finalizing"):
                one["properties"]["status"] = state

    return beat


def start(room: Room) -> None:
    """The service's side of the POST: the job runs."""
    send = room.workspace.send

    def posted(method: str, path: str, body: Any = None, **more: Any) -> Any:
        send(method, path, body, **more)
        name = body["properties"]["name"]
        room.workspace.resources[f"jobs/{name}"] = {"name": name, "properties": {"status": "Running"}}
        return {"name": name}

    room.workspace.send = posted  # type: ignore[method-assign]  # the fake's own


def test_a_deployment_is_asked_by_name_on_the_file_and_its_lines_are_fetched(asked: Room, tmp_path: Path) -> None:
    start(asked)
    beats = running(asked, "Running", "Finalizing")
    got = asked.endpoint.answers("blue", tmp_path / "input.csv", tmp_path, beat=beats, seconds=60)
    assert got == tmp_path / "predictions.csv"
    [(_, url, sent)] = [one for one in asked.workspace.made if one[0] == "POST"]
    assert url == "https://credit/score"
    assert sent["headers"] == {"azureml-model-deployment": "blue"}
    assert sent["scope"] == "https://ml.azure.com/.default"
    body = sent["body"]["properties"]
    root = f"azureml://datastores/store/paths/mlops-gates/batch/{body['name']}"
    assert body["inputData"] == {"UriFile": {"jobInputType": "UriFile", "uri": f"{root}/input.csv"}}
    assert body["outputData"] == {"score": {"jobOutputType": "UriFile", "uri": f"{root}/predictions.csv"}}
    assert asked.blobs.blobs[f"mlops-gates/batch/{body['name']}/input.csv"] == b"a,gates_row\n1,0\n"


def test_a_job_is_of_one_deployment_as_it_was_made_and_of_one_file(asked: Room, tmp_path: Path) -> None:
    start(asked)
    names = []

    def ask(deployment: str = "blue") -> None:
        asked.endpoint.answers(deployment, tmp_path / "input.csv", tmp_path, beat=running(asked), seconds=60)
        names.append(sorted(path for path in asked.workspace.resources if path.startswith("jobs/")))

    ask()
    ask()
    assert len(names[1]) == 1, "a job that is done is not made again"
    ask("green")
    asked.workspace.resources[f"{asked.path}/deployments/blue"]["systemData"] = {"createdAt": "later"}
    ask()
    (tmp_path / "input.csv").write_text("a,gates_row\n2,0\n")
    ask()
    assert [len(one) for one in names] == [1, 1, 2, 3, 4]


@pytest.mark.parametrize("end", ["Failed", "Canceled", "NotResponding"])
def test_a_job_that_failed_is_said_and_asked_anew_the_next_time(asked: Room, tmp_path: Path, end: str) -> None:
    start(asked)
    for number in (1, 2):
        with pytest.raises(Unavailable, match=f"-{number} ended as {end}") as raised:
            asked.endpoint.answers("blue", tmp_path / "input.csv", tmp_path, beat=running(asked, end), seconds=60)
        assert raised.value.hint
    for number in range(3, 21):
        job = next(path for path in asked.workspace.resources if path.startswith("jobs/")).rpartition("-")[0]
        asked.workspace.resources[f"{job}-{number}"] = {"properties": {"status": end}}
    with pytest.raises(Unavailable, match="20 jobs of blue failed"):
        asked.endpoint.answers("blue", tmp_path / "input.csv", tmp_path, beat=running(asked), seconds=60)


def test_what_takes_too_long_or_cannot_be_asked_is_unavailable(asked: Room, tmp_path: Path) -> None:
    start(asked)
    with pytest.raises(Unavailable, match="is Running after 0 s"):
        asked.endpoint.answers(
            "blue", tmp_path / "input.csv", tmp_path, beat=running(asked, *["Running"] * 9), seconds=0
        )
    with pytest.raises(Unavailable, match="nobody is gone"):
        asked.endpoint.answers("nobody", tmp_path / "input.csv", tmp_path, beat=lambda: None, seconds=60)
    asked.change(scoringUri="")
    with pytest.raises(Unavailable, match="no address"):
        asked.endpoint.answers("green", tmp_path / "input.csv", tmp_path, beat=lambda: None, seconds=60)
    asked.change(scoringUri="https://e/jobs")
    asked.workspace.send = lambda *_, **__: {"name": "another"}  # type: ignore[method-assign]  # the fake's own
    with pytest.raises(Unavailable, match="is named another"):
        asked.endpoint.answers("green", tmp_path / "input.csv", tmp_path, beat=lambda: None, seconds=60)


# an online deployment's answers


def test_the_address_and_the_way_in_are_what_azure_said_last(online: Room) -> None:
    online.workspace.told["onlineEndpoints/credit/listKeys"] = {"primaryKey": "k"}
    online.workspace.told["onlineEndpoints/credit/token"] = {"accessToken": "t"}
    asked: list[Any] = []
    client: Any = online.endpoint._client

    def ask(*given: Any, **more: Any) -> str:
        asked.append((given, more))
        return "answered"

    client.ask = ask
    assert online.endpoint.ask(b"{}", deployment="blue", timeout=3.0) == "answered"
    looks = [path for method, path, _ in online.workspace.made if method == "GET"]
    online.endpoint.ask(b"{}")
    assert [path for method, path, _ in online.workspace.made if method == "GET"] == looks, "once is enough"
    assert asked[0] == (("https://credit/score", "Key", b"{}"), {"deployment": "blue", "timeout": 3.0})
    online.change(authMode="AMLToken", scoringUri="https://elsewhere/score")
    url, headers = online.endpoint.address("green")
    assert (url, headers["Authorization"], headers["azureml-model-deployment"]) == (
        "https://elsewhere/score", "Bearer t", "green",
    )  # fmt: skip


def test_an_endpoint_without_an_address_answers_nothing() -> None:
    online = Room("onlineEndpoints")
    assert (online.endpoint.ask(b"{}").status, online.endpoint.ask(b"{}").served_by) == (0, "")
    with pytest.raises(Unavailable, match="has no address") as raised:
        online.endpoint.address("blue")
    assert raised.value.hint
    online.up().change(scoringUri="")
    assert online.endpoint.ask(b"{}").status == 0
    with pytest.raises(Unavailable):
        online.endpoint.address("blue")
    online.change(scoringUri="https://credit/score")
    online.workspace.told["onlineEndpoints/credit/listKeys"] = {"primaryKey": "k"}
    assert online.endpoint.address("blue")[0] == "https://credit/score"
    assert online.endpoint.requests_since(3) == ([], 4)


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (("the server's log", "the other"), "the server's log"),
        ((" \n", "fetching the model"), "fetching the model"),
        ((OSError("gone"), "fetching the model"), "fetching the model"),
        (("", ""), ""),
        (("key Bearer abc.def", ""), "key Bearer …"),
    ],
)
def test_a_log_is_of_the_first_container_that_said_something(online: Room, said: tuple[Any, ...], wanted: str) -> None:
    asked: list[str] = []

    def get_logs(name: str, endpoint: str, *, lines: int, container_type: str) -> str:
        assert (name, endpoint, lines) == ("blue", "credit", 200)
        asked.append(container_type)
        answer = said[len(asked) - 1]
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    workspace: Any = online.workspace
    workspace.ml = SimpleNamespace(online_deployments=SimpleNamespace(get_logs=get_logs))
    assert online.endpoint.logs("blue") == wanted
    assert asked[0] == "inference-server"


def test_a_log_that_cannot_be_had_is_unavailable(online: Room) -> None:
    def get_logs(*_: str, **__: Any) -> str:
        raise OSError("gone")

    workspace: Any = online.workspace
    workspace.ml = SimpleNamespace(online_deployments=SimpleNamespace(get_logs=get_logs))
    with pytest.raises(Unavailable, match="the log of blue"):
        online.endpoint.logs("blue")


# what a deployment is made of


def maker(registered: str = "azureml:credit:3", *, batch: bool = False) -> Maker:
    workspace: Any = FakeWorkspace()
    return Maker(workspace, model_of=lambda _: registered, score="auto", batch=batch)


def made_of(spec: DeploymentSpec, folder: Path, found: Maker) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    return found._body("credit", spec, {"gates.spec": spec.spec_digest}, folder)


def model(folder: Path, *, mlflow: bool = True) -> DeploymentSpec:
    folder.mkdir()
    (folder / "MLmodel" if mlflow else folder / "weights").write_text("mlflow_version: 3.1.0\n")
    (folder / "requirements.txt").write_text("scikit-learn==1.5.0\n")
    return DeploymentSpec("blue", "sha256:1", str(folder), model_digest(folder), {"$schema": "s", "tags": {"a": "b"}})


def test_a_deployment_is_the_users_file_with_our_name_model_and_tags(tmp_path: Path) -> None:
    spec = model(tmp_path / "model")
    body = made_of(spec, tmp_path / "made", maker())
    assert (body["name"], body["endpoint_name"], body["model"]) == ("blue", "credit", "azureml:credit:3")
    assert body["tags"] == {"a": "b", "gates.spec": "sha256:1"}
    assert "$schema" not in body
    code = tmp_path / "made" / "code"
    assert body["code_configuration"] == {"code": str(code), "scoring_script": "serve_mlflow.py"}
    assert {path.name for path in code.iterdir()} == {
        "serve_mlflow.py", "mlflow_score.py", "worker.py", "serve_mlflow.json",
    }  # fmt: skip
    assert json.loads((code / "serve_mlflow.json").read_text()) == {
        "GATES_MODEL_DIGEST": spec.model_digest, "GATES_SCORE": "auto",
    }  # fmt: skip
    packages = body["environment"]["conda_file"]["dependencies"][-1]["pip"]
    assert "scikit-learn==1.5.0" in packages
    assert any(one.startswith("azureml-inference-server-http") for one in packages)
    own = replace(spec, body={"environment": "azureml:mine:1", "type": "managed"})
    kept = made_of(own, tmp_path / "two", maker())
    assert (kept["environment"], kept["type"]) == ("azureml:mine:1", "managed")


def test_a_batch_deployment_gets_its_own_script_and_packages(tmp_path: Path) -> None:
    spec = model(tmp_path / "model")
    body = made_of(replace(spec, body={"type": "model", "compute": "c"}), tmp_path / "made", maker(batch=True))
    assert body["code_configuration"]["scoring_script"] == "batch_mlflow.py"
    assert (tmp_path / "made/code/batch_mlflow.py").is_file()
    assert (tmp_path / "made/code/serve_mlflow.py").is_file()
    packages = body["environment"]["conda_file"]["dependencies"][-1]["pip"]
    assert packages[-2:] == ["azureml-core", "azureml-dataset-runtime[fuse]"]
    assert "type" not in body, "the older form of the file knows none"
    newer = replace(spec, body={"type": "model", "settings": {"mini_batch_size": 1}})
    assert made_of(newer, tmp_path / "two", maker(batch=True))["type"] == "model"


def test_only_the_bytes_that_were_gated_are_deployed_where_no_version_has_them(tmp_path: Path) -> None:
    spec = model(tmp_path / "model")
    uploaded = made_of(spec, tmp_path / "made", maker(""))["model"]
    assert (uploaded["type"], model_digest(tmp_path / "made/model")) == ("mlflow_model", spec.model_digest)
    (tmp_path / "model/weights").write_text("others")
    with pytest.raises(InvalidInput, match="is not the one that was gated") as raised:
        made_of(spec, tmp_path / "two", maker(""))
    assert raised.value.hint
    plain = model(tmp_path / "plain", mlflow=False)
    body = made_of(plain, tmp_path / "three", maker(""))
    assert body["model"]["type"] == "custom_model"
    assert "code_configuration" not in body


def test_code_that_changed_after_the_plan_is_not_deployed(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code/score.py").write_text("1")
    given = {"code": str(tmp_path / "code"), "scoring_script": "score.py", "digest": code_digest(tmp_path / "code")}
    spec = replace(model(tmp_path / "model"), body={"code_configuration": given})
    body = made_of(spec, tmp_path / "made", maker())
    assert body["code_configuration"] == {"code": str(tmp_path / "code"), "scoring_script": "score.py"}
    (tmp_path / "code/score.py").write_text("2")
    with pytest.raises(InvalidInput, match="changed after the deployment was planned"):
        made_of(spec, tmp_path / "two", maker())


def test_why_a_deployment_failed_is_what_its_operation_said() -> None:
    found = maker()
    assert found.why("blue") == ""

    def refused() -> None:
        raise Unavailable("no quota", hint="ask for more")

    poller = SimpleNamespace(done=lambda: False, wait=lambda: None, result=refused)
    found._pollers["blue"] = poller
    assert found.why("blue") == "", "it goes on"
    poller.done = lambda: True
    assert found.why("blue") == "no quota; ask for more"
    poller.result = lambda: None
    assert found.why("blue") == ""
