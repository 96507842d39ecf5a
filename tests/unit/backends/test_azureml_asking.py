"""Asking an Azure endpoint, and reading who was asked: keys, pins, pages of the traffic log, secrets of storage."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import requests
from fake_workspace import ID, FakeWorkspace

from gates.backends.azureml import scoring_client, traffic_log
from gates.backends.azureml.scoring_client import Client
from gates.backends.azureml.storage import Absent, Storage
from gates.backends.azureml.traffic_log import TrafficLog
from gates.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    from pathlib import Path

URL = "https://credit.westeurope.inference.ml.azure.com/score"


@dataclass
class Session:
    """Answers with what is next; remembers what it was asked."""

    answers: list[Any]
    asked: list[dict[str, Any]] = field(default_factory=list)

    def post(self, url: str, **given: Any) -> Any:
        self.asked.append({"url": url, **given})
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def answer(status: int = 200, served: str = "blue", content: bytes = b"[1]") -> Any:
    return SimpleNamespace(status_code=status, headers={scoring_client.SERVED_BY: served}, content=content)


def client(*answers: Any, key: str = "k1") -> tuple[Client, Session, FakeWorkspace]:
    workspace = FakeWorkspace(told={
        "onlineEndpoints/credit/listKeys": {"primaryKey": key}, "onlineEndpoints/credit/token": {"accessToken": "t1"},
    })  # fmt: skip
    made = Client(workspace, "credit")  # type: ignore[arg-type]  # fits by shape
    made._session = session = Session(list(answers))
    return made, session, workspace


def test_an_answer_says_who_gave_it_and_the_key_is_fetched_once() -> None:
    asker, session, workspace = client(answer(), answer(500, "green", b"no"))
    first = asker.ask(URL, "Key", b"{}", deployment=None, timeout=7.0)
    second = asker.ask(URL, "Key", b"{}", deployment="green", timeout=7.0)
    assert (first.status, first.served_by, first.body) == (200, "blue", b"[1]")
    assert (second.status, second.served_by, second.body) == (500, "green", b"no")
    assert first.seconds >= 0
    plain, pinned = session.asked
    assert plain["headers"] == {"Authorization": "Bearer k1", "Content-Type": "application/json"}
    assert (plain["timeout"], plain["allow_redirects"], plain["data"]) == (7.0, False, b"{}")
    assert pinned["headers"][scoring_client.SERVED_BY] == "green"
    assert pinned["headers"]["x-ms-client-request-id"].startswith(scoring_client.PINNED)
    assert [one[:2] for one in workspace.made] == [("POST", "onlineEndpoints/credit/listKeys")]


def test_a_key_that_is_not_taken_is_fetched_again_once() -> None:
    asker, session, workspace = client(answer(401), answer(), answer(401), answer(401))
    assert asker.ask(URL, "key", b"", deployment=None, timeout=1.0).status == 200
    workspace.told["onlineEndpoints/credit/listKeys"] = {"primaryKey": "k2"}
    assert asker.ask(URL, "key", b"", deployment=None, timeout=1.0).status == 401
    assert [one["headers"]["Authorization"] for one in session.asked] == [
        "Bearer k1", "Bearer k1", "Bearer k1", "Bearer k2",
    ]  # fmt: skip
    assert len(workspace.made) == 3


@pytest.mark.parametrize(
    ("mode", "secret"),
    [("Key", "k1"), ("AMLToken", "t1"), ("AADToken", "token for https://ml.azure.com/.default")],
)
def test_each_way_in_has_its_secret(mode: str, secret: str) -> None:
    asker, _, _ = client()
    assert asker.headers(mode, None)["Authorization"] == f"Bearer {secret}"


def test_an_endpoint_without_a_key_is_unavailable() -> None:
    asker, _, _ = client(key="")
    with pytest.raises(Unavailable, match="endpoint credit gives no key") as raised:
        asker.ask(URL, "Key", b"", deployment=None, timeout=1.0)
    assert raised.value.hint


@pytest.mark.parametrize("error", [requests.ConnectionError("refused: Bearer abc.def"), OSError("reset")])
def test_nobody_there_is_no_answer_and_says_no_secret(error: Exception) -> None:
    asker, _, _ = client(error)
    got = asker.ask(URL, "Key", b"", deployment=None, timeout=1.0)
    assert (got.status, got.served_by) == (0, "")
    assert b"abc" not in got.body


# the traffic log

HOME = "/subscriptions/s/resourceGroups/g/providers/Microsoft.OperationalInsights/workspaces/logs"
SETTINGS = f"{ID}/onlineEndpoints/credit/providers/microsoft.insights/diagnosticSettings"
QUERY = f"{traffic_log.QUERY_URL}/guid/query"


def setting(**log: Any) -> dict[str, Any]:
    return {"properties": {"workspaceId": HOME, "logs": [{"enabled": True, **log}]}}


def log(*found: dict[str, Any]) -> tuple[TrafficLog, FakeWorkspace]:
    workspace = FakeWorkspace(
        resources={SETTINGS: {"value": list(found)}, HOME: {"properties": {"customerId": "guid"}},
                   "/ai": {"properties": {"WorkspaceResourceId": HOME}}},
        told={"about": {"applicationInsights": "/ai"}},
    )  # fmt: skip
    journal: Any = SimpleNamespace(read=list)
    return TrafficLog(workspace, "credit", journal), workspace  # type: ignore[arg-type]  # fits by shape


def table(*rows: tuple[str, str]) -> dict[str, Any]:
    names = ("arrived", "TimeGenerated", "DeploymentName", "ResponseCode", "TotalDurationMs", "XMSClientRequestId")
    filled = [[arrived, arrived, name, 200, 5, ""] for arrived, name in rows]
    return {"tables": [{"columns": [{"name": name} for name in names], "rows": filled}]}


@pytest.mark.parametrize(
    ("found", "on"),
    [
        ([], False),
        ([setting(category="AmlOnlineEndpointTrafficLog")], True),
        ([setting(categoryGroup="allLogs")], True),
        ([setting(categoryGroup="audit")], True),
        ([setting(category="AmlOnlineEndpointConsoleLog")], False),
        ([{"properties": {"workspaceId": HOME, "logs": [{"enabled": False, "categoryGroup": "allLogs"}]}}], False),
        ([{"properties": {"storageAccountId": "x", "logs": [{"enabled": True, "categoryGroup": "allLogs"}]}}], False),
    ],
)
def test_the_log_is_turned_on_unless_somebody_did(found: list[dict[str, Any]], on: bool) -> None:
    one, workspace = log(*found)
    one.turn_on()
    made = [(path, body) for method, path, body in workspace.made if method == "PUT"]
    category = {"category": "AmlOnlineEndpointTrafficLog", "enabled": True}
    wanted = {"properties": {"workspaceId": HOME, "logs": [category]}}
    assert made == ([] if on else [(f"{SETTINGS}/mlops-gates", wanted)])


def test_a_workspace_without_a_place_for_logs_says_so() -> None:
    one, workspace = log()
    workspace.resources["/ai"] = {"properties": {}}
    with pytest.raises(InvalidInput, match="no Application Insights") as raised:
        one.turn_on()
    assert "AmlOnlineEndpointTrafficLog" in raised.value.hint
    workspace.told["about"] = {}
    with pytest.raises(InvalidInput):
        one.turn_on()
    other, workspace = log(setting(categoryGroup="allLogs"))
    workspace.resources[HOME] = {"properties": {}}
    with pytest.raises(InvalidInput, match="is gone"):
        other.since(0)


def test_rows_are_asked_from_the_cursor_on_and_the_next_is_the_last_arrival() -> None:
    one, workspace = log(setting(categoryGroup="allLogs"))
    workspace.told[QUERY] = [
        table(("2026-01-01T00:00:01.000001Z", "blue"), ("2026-01-01T00:00:02.5Z", "green")), table(),
    ]  # fmt: skip
    events, cursor = one.since(0)
    assert [event.deployment for event in events] == ["blue", "green"]
    assert cursor == traffic_log.micros("2026-01-01T00:00:02.5Z")
    assert one.since(cursor) == ([], cursor)
    queries = [sent["body"]["query"] for method, path, sent in workspace.made if path == QUERY and method == "POST"]
    assert "arrived > datetime(1970-01-01T00:00:00.000000Z)" in queries[0]
    assert "arrived > datetime(2026-01-01T00:00:02.500000Z)" in queries[1]
    assert "AzureMLWorkspaceName =~ 'w' and EndpointName =~ 'credit'" in queries[0]
    assert {sent["scope"] for _, path, sent in workspace.made if path == QUERY} == {traffic_log.QUERY_SCOPE}
    assert [path for _, path, _ in workspace.made].count(HOME) == 1


def test_a_full_page_is_followed_and_none_of_its_last_instant_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic_log, "PAGE", 3)
    one, workspace = log(setting(categoryGroup="allLogs"))
    a, b = "2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z"
    workspace.told[QUERY] = [
        table((a, "blue"), (b, "blue"), (b, "green")), table((b, "blue"), (b, "green"), (b, "green")), table(),
    ]  # fmt: skip
    events, cursor = one.since(0)
    assert [event.deployment for event in events] == ["blue", "blue", "green", "green"]
    assert cursor == traffic_log.micros(b)


# storage


@pytest.fixture(autouse=True)
def _no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's user agent asks `uname` by a process of its own."""
    monkeypatch.setattr("platform.platform", lambda: "a machine")


class Gone(Exception):
    """An answer with a status, as azure-core raises it."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status_code = status


def store(*, key: str = "k", container: str = "c") -> tuple[Storage, list[str]]:
    opened: list[str] = []

    def get_default(*, include_secrets: bool = False) -> Any:
        opened.append("secrets" if include_secrets else "plain")
        credentials = SimpleNamespace(account_key=key, sas_token=None)
        return SimpleNamespace(
            name="main",
            container_name=container,
            account_name="a",
            endpoint="core.windows.net",
            credentials=credentials,
        )

    def get(name: str, *, include_secrets: bool = False) -> Any:
        opened.append(name)
        return get_default(include_secrets=include_secrets)

    stores = SimpleNamespace(get_default=get_default, get=get)
    workspace: Any = SimpleNamespace(ml=SimpleNamespace(datastores=stores))
    return Storage(workspace), opened


@pytest.mark.parametrize("status", [401, 403])
def test_secrets_that_ran_out_are_fetched_again_once(status: int) -> None:
    found, opened = store()
    tried = []

    def do(_: Any) -> str:
        tried.append(1)
        if len(tried) == 1:
            raise Gone(status)
        return "done"

    assert found.call("x", do) == "done"
    assert opened == ["secrets", "secrets"]
    tried.clear()

    def refused(_: Any) -> str:
        tried.append(1)
        raise Gone(status)

    with pytest.raises(Unavailable):
        found.call("x", refused)
    assert len(tried) == 2


@pytest.mark.parametrize("status", [409, 429])
def test_a_busy_store_is_waited_for_a_few_times(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    found, opened = store()
    left = [status, status]

    def do(_: Any) -> str:
        if left:
            raise Gone(left.pop())
        return "done"

    assert found.call("x", do) == "done"
    assert len(waited) == 2
    assert waited[0] < waited[1]
    assert opened == ["secrets"]
    waited.clear()

    def busy(_: Any) -> str:
        raise Gone(status)

    with pytest.raises(Unavailable):
        found.call("x", busy)
    assert len(waited) == 4


def test_a_datastore_that_holds_no_blobs_is_refused_and_its_name_is_asked_once() -> None:
    with pytest.raises(InvalidInput, match="not a blob container"):
        store(container="")[0].read("x")
    found, opened = store()
    assert (found.default, found.default) == ("main", "main")
    assert opened == ["plain"]


def test_another_datastore_is_opened_by_its_name_with_its_secrets() -> None:
    found, opened = store()
    assert found.call("x", lambda container: container.container_name, datastore="other") == "c"
    assert opened == ["other", "secrets"]
    with pytest.raises(InvalidInput, match="datastore other is not a blob container"):
        store(container="")[0].call("x", str, datastore="other")


def test_what_is_downloaded_stays_in_its_folder_and_nothing_is_said_where_nothing_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = store()
    monkeypatch.setattr(found, "call", lambda what, do, *, datastore="": do(blobs))
    blobs: Any = SimpleNamespace()
    blobs.names = ["out/predictions.csv"]
    blobs.list_blobs = lambda **_: [SimpleNamespace(name=name, metadata=None) for name in blobs.names]
    blobs.get_blob_client = lambda name: SimpleNamespace(
        download_blob=lambda: SimpleNamespace(readall=lambda: name.encode())
    )
    uri = "azureml://datastores/main/paths/out/predictions.csv"
    assert found.download(uri, tmp_path) == tmp_path / "predictions.csv"
    assert (tmp_path / "predictions.csv").read_text() == "out/predictions.csv"
    blobs.names = ["out/a", "out/b/c", "outside"]
    assert found.download("azureml://x/datastores/main/paths/out", tmp_path / "two") == tmp_path / "two"
    assert sorted(str(one.relative_to(tmp_path / "two")) for one in (tmp_path / "two").rglob("*") if one.is_file()) == [
        "a", "b/c",
    ]  # fmt: skip
    blobs.names = ["out/../../up"]
    with pytest.raises(InvalidInput, match="would leave its folder"):
        found.download("azureml://datastores/main/paths/out", tmp_path / "three")
    blobs.names = []
    with pytest.raises(Absent, match="there is nothing at"):
        found.download("azureml://datastores/main/paths/out", tmp_path / "four")
    with pytest.raises(InvalidInput, match="is not a path in a datastore"):
        found.download("https://x/y", tmp_path)
