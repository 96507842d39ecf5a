"""The local endpoint with its real parts: a detached supervisor, Azure's inference server, sockets, signals."""

from __future__ import annotations

import http.client
import json
import math
import os
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psutil
import pytest

from gates.backends.local.endpoint import client, layout
from gates.errors import Conflict, InvalidInput
from gates.lineage.digest import model_digest
from gates.serving import MAX_DISTANCE, DeploymentSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gates.backends.local.endpoint.client import LocalEndpoint

SCORE = """
import json, os, time

def init():
    if os.environ.get("BROKEN"):
        raise RuntimeError("no such weights")
    print("serving", os.environ["VERSION"])

def run(raw_data):
    body = json.loads(raw_data)
    if body.get("sleep"):
        time.sleep(body["sleep"])
    if body.get("raise"):
        raise ValueError("as asked")
    return {"version": os.environ["VERSION"], "i": body.get("i")}
"""


@pytest.fixture(scope="session")
def room(tmp_path_factory: pytest.TempPathFactory, environments: Path) -> Path:
    """Code, a model, and the cache of environments; the same in every test."""
    room = tmp_path_factory.mktemp("endpoint")
    (room / "environments").symlink_to(environments)
    (room / "code").mkdir()
    (room / "code" / "score.py").write_text(SCORE)
    (room / "weights").mkdir()
    (room / "weights" / "w.txt").write_text("0.5")
    return room


@pytest.fixture
def endpoint(room: Path, tmp_path: Path) -> Iterator[LocalEndpoint]:
    it = open_endpoint(room, tmp_path)
    it.create_endpoint({"tags": {"team": "risk"}}, epoch=0)
    yield it
    client.stop(tmp_path, it.name)
    assert left_over(tmp_path) == []


def open_endpoint(room: Path, state_dir: Path) -> LocalEndpoint:
    import sys

    python, cache = Path(sys.executable), room / "environments"
    return client.connect(state_dir, "credit", env=dict(os.environ), python=python, cache=cache)


def spec(room: Path, name: str, **more: Any) -> DeploymentSpec:
    variables = {"VERSION": name, **more.pop("environment_variables", {})}
    code = {"code": str(room / "code"), "scoring_script": "score.py"}
    body = {"code_configuration": code, "environment_variables": variables, **more}
    return DeploymentSpec(name, f"sha256:{name}", str(room / "weights"), model_digest(room / "weights"), body)


def until(done: Callable[[], Any], seconds: float = 60.0) -> float:
    """Wait for `done`; how long it took."""
    begun = time.monotonic()
    while not done():
        assert time.monotonic() - begun < seconds, "it took too long"
        time.sleep(0.02)
    return time.monotonic() - begun


def settle(endpoint: LocalEndpoint) -> None:
    until(lambda: not endpoint.observe().updating, 180)


def pair(endpoint: LocalEndpoint, room: Path, **more: Any) -> None:
    """blue with all traffic, green with none, both ready."""
    for name in ("blue", "green"):
        endpoint.create(spec(room, name, **dict(more)), epoch=0)
    settle(endpoint)
    assert {d.name: (d.state, d.healthy) for d in endpoint.observe().deployments.values()} == {
        "blue": ("ready", True),
        "green": ("ready", True),
    }
    share(endpoint, {"blue": 100})


def share(endpoint: LocalEndpoint, traffic: dict[str, int], mirror: dict[str, int] | None = None) -> None:
    endpoint.write(traffic=traffic, mirror=mirror or {}, tags={}, epoch=0)


def left_over(state_dir: Path) -> list[str]:
    """Processes that have to do with this folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        about = process.info
        if process.pid != os.getpid() and (
            str(state_dir) in " ".join(about["cmdline"] or []) or str(about["cwd"] or "").startswith(str(state_dir))
        ):
            found.append(" ".join(about["cmdline"] or [])[:120])
    return found


def pids(state_dir: Path) -> dict[str, int]:
    status = client.status(state_dir, "credit")
    assert status is not None
    return {d["name"]: d["pid"] for d in status["deployments"]}


def raw(
    endpoint: LocalEndpoint, method: str, path: str, headers: dict[str, str], body: bytes = b"{}"
) -> tuple[int, Any]:
    url = urlsplit(endpoint.observe().url)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=30)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, {"headers": dict(answer.headers), "body": content}


def worker_of(pid: int) -> psutil.Process:
    """The gunicorn worker at the end of guard, master, worker."""
    process = psutil.Process(pid)
    while process.children():
        process = process.children()[0]
    return process


class Load:
    """A closed loop of clients, each with its own connection kept alive; every answer is noted."""

    def __init__(self, endpoint: LocalEndpoint, clients: int = 8) -> None:
        url = urlsplit(endpoint.observe().url)
        self.address, self.key = (url.hostname or "", url.port), layout.read_key(endpoint.place)
        self.answers: list[tuple[int, str, str]] = []
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(clients)
        self._running = [self._pool.submit(self._loop) for _ in range(clients)]

    def _loop(self) -> None:
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        connection = http.client.HTTPConnection(*self.address, timeout=30)
        number = 0
        while not self._stop.is_set():
            number += 1
            try:
                connection.request("POST", "/score", json.dumps({"i": number}), headers)
                answer = connection.getresponse()
                body = json.loads(answer.read())
                said = body.get("version", "?") if body.get("i") == number else "the answer to another question"
                self.answers.append((answer.status, answer.headers["azureml-model-deployment"], said))
            except (OSError, http.client.HTTPException) as error:
                self.answers.append((0, "", repr(error)))
                connection.close()
        connection.close()

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for one in self._running:
            one.result()
        self._pool.shutdown()


def test_serves_by_weight_by_name_and_only_with_the_key(endpoint: LocalEndpoint, room: Path) -> None:
    pair(endpoint, room)
    assert json.loads(endpoint.ask(b'{"i": 7}').body) == {"version": "blue", "i": 7}
    pinned = endpoint.ask(b"{}", deployment="green")
    assert (pinned.status, pinned.served_by) == (200, "green")
    nobody = endpoint.ask(b"{}", deployment="violet")
    assert (nobody.status, nobody.served_by) == (404, "")
    key = {"Authorization": "Bearer " + layout.read_key(endpoint.place)}
    assert raw(endpoint, "POST", "/score", {})[0] == 401
    assert raw(endpoint, "POST", "/score", {"Authorization": key["Authorization"][:-1]})[0] == 401
    assert raw(endpoint, "GET", "/score", key)[0] == 405
    assert raw(endpoint, "GET", "/nothing", key)[0] == 404
    assert raw(endpoint, "GET", "/", {})[0] == 200
    metrics = raw(endpoint, "GET", "/metrics", {})[1]["body"].decode()
    assert 'gates_requests_total{deployment="blue",mirrored="false",status="200"} 1' in metrics
    assert 'gates_traffic_percent{deployment="blue"} 100' in metrics
    events, cursor = endpoint.requests_since(0)
    assert [(e.deployment, e.status, e.share, e.pinned) for e in events] == [
        ("blue", 200, 1.0, False), ("green", 200, 0.0, True)
    ]  # fmt: skip
    assert endpoint.requests_since(cursor) == ([], cursor)


def test_errors_and_slowness_are_told_as_azure_tells_them(endpoint: LocalEndpoint, room: Path) -> None:
    pair(endpoint, room, request_settings={"request_timeout_ms": 400})
    key = {"Authorization": "Bearer " + layout.read_key(endpoint.place)}
    status, answer = raw(endpoint, "POST", "/score", key, b'{"raise": true}')
    assert (status, answer["headers"]["ms-azureml-model-error-statuscode"]) == (424, "500")
    assert endpoint.ask(b'{"sleep": 1}').status == 408
    assert [e.status for e in endpoint.requests_since(0)[0]] == [500, 504]
    time.sleep(1)
    assert endpoint.ask(b"{}").status == 200
    assert "ValueError: as asked" in endpoint.logs("blue")


def test_no_request_fails_while_weights_move_and_a_deployment_goes(endpoint: LocalEndpoint, room: Path) -> None:
    pair(endpoint, room)
    with Load(endpoint) as load:
        for green in (5, 25, 50, 100):
            share(endpoint, {"blue": 100 - green, "green": green})
            time.sleep(1.0)
        endpoint.delete("blue", epoch=0)
        until(lambda: "blue" not in endpoint.observe().deployments)
        time.sleep(0.3)
    bad = [answer for answer in load.answers if answer[0] != 200 or answer[1] != answer[2]]
    assert bad == []
    events, _ = endpoint.requests_since(0)
    assert len(events) == len(load.answers)
    steps: dict[int, Counter[str]] = {}
    for event in events:
        percent = round(event.share * 100)
        steps.setdefault(percent if event.deployment == "green" else 100 - percent, Counter())[event.deployment] += 1
    print(f"\n{len(events)} requests, 0 failed; by green's share { ({k: dict(v) for k, v in sorted(steps.items())}) }")
    for green, count in steps.items():
        n, p = sum(count.values()), green / 100
        assert n > 100 or green == 0
        assert abs(count["green"] - n * p) <= 2.576 * math.sqrt(n * p * (1 - p)) + 1e-9, (green, count)


def test_mirrored_answers_are_dropped_and_recorded(endpoint: LocalEndpoint, room: Path) -> None:
    pair(endpoint, room)
    share(endpoint, {"blue": 100}, {"green": 30})
    answers = [endpoint.ask(b"{}") for _ in range(200)]
    assert {(a.status, a.served_by) for a in answers} == {(200, "blue")}
    until(lambda: sum(e.mirrored for e in endpoint.requests_since(0)[0]) == 60, 5)
    events = endpoint.requests_since(0)[0]
    assert Counter((e.deployment, e.mirrored, e.share, e.distance) for e in events) == {
        ("blue", False, 1.0, None): 200, ("green", True, 0.3, MAX_DISTANCE): 60
    }  # fmt: skip


def test_a_deployment_drains_before_it_is_stopped(endpoint: LocalEndpoint, room: Path) -> None:
    pair(endpoint, room)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(endpoint.ask, b'{"sleep": 1.5}')
        until(lambda: True)
        time.sleep(0.3)
        share(endpoint, {"green": 100})
        endpoint.delete("blue", epoch=0)
        assert endpoint.observe().deployments["blue"].state == "deleting"
        assert endpoint.ask(b"{}").served_by == "green"
        answer = slow.result()
    assert (answer.status, answer.served_by) == (200, "blue")
    until(lambda: "blue" not in endpoint.observe().deployments, 10)
    endpoint.delete("blue", epoch=0)


def test_the_rules_are_kept_by_the_server(endpoint: LocalEndpoint, room: Path) -> None:
    with pytest.raises(InvalidInput, match="no deployment blue"):
        share(endpoint, {"blue": 100})
    endpoint.create(spec(room, "blue"), epoch=0)
    with pytest.raises(Conflict, match="not ready"):
        share(endpoint, {"blue": 100})
    pair(endpoint, room)
    before = endpoint.observe()
    wrongs: list[dict[str, int]] = [{"blue": 60}, {"blue": 60, "green": 60}, {"blue": -10, "green": 110}, {}]
    for wrong in wrongs:
        with pytest.raises(InvalidInput):
            share(endpoint, wrong)
    for mirror in ({"green": 51}, {"blue": 10}, {"green": 10, "blue": 10}):
        with pytest.raises(InvalidInput):
            share(endpoint, {"blue": 100}, mirror)
    with pytest.raises(Conflict, match="has traffic"):
        endpoint.delete("blue", epoch=0)
    other = DeploymentSpec("blue", "sha256:other", str(room / "weights"), model_digest(room / "weights"))
    with pytest.raises(Conflict, match="exists with spec"):
        endpoint.create(other, epoch=0)
    endpoint.create(spec(room, "blue"), epoch=0)
    assert endpoint.observe() == before


def test_lease_and_fence(endpoint: LocalEndpoint, room: Path) -> None:
    first = endpoint.acquire("one", seconds=60, now=1000.0)
    assert endpoint.acquire("one", seconds=60, now=1010.0).epoch == first.epoch
    with pytest.raises(Conflict, match="held by one"):
        endpoint.acquire("two", seconds=60, now=1020.0)
    second = endpoint.acquire("two", seconds=60, now=1071.0)
    assert second.epoch == first.epoch + 1
    mutations: list[Callable[[], None]] = [
        lambda: endpoint.write(traffic={}, mirror={}, tags={"gates.id": "x"}, epoch=first.epoch),
        lambda: endpoint.create(spec(room, "blue"), epoch=first.epoch),
        lambda: endpoint.delete("blue", epoch=first.epoch),
        lambda: endpoint.create_endpoint({}, epoch=first.epoch),
    ]
    for mutation in mutations:
        with pytest.raises(Conflict, match="fenced off"):
            mutation()
    endpoint.release(first)
    again = client.connect(endpoint.place.folder.parents[1], endpoint.name, env=endpoint.env, python=endpoint.python)
    with pytest.raises(Conflict, match="held by two"):
        again.acquire("three", seconds=60, now=1079.0)
    with pytest.raises(Conflict, match="held by two"):
        endpoint.acquire("three", seconds=60, now=1080.0)
    endpoint.release(second)
    assert endpoint.acquire("three", seconds=60, now=1081.0).epoch > second.epoch


def test_a_server_that_cannot_start_is_failed_and_says_why(endpoint: LocalEndpoint, room: Path, tmp_path: Path) -> None:
    endpoint.create(spec(room, "sick", environment_variables={"BROKEN": "1"}), epoch=0)
    changed = spec(room, "changed")
    endpoint.create(DeploymentSpec("changed", "sha256:c", changed.model, "sha256:" + "0" * 64, changed.body), epoch=0)
    none = spec(room, "none")
    endpoint.create(DeploymentSpec("none", "sha256:n", none.model, none.model_digest, {}), epoch=0)
    bad = {"environment": {"conda_file": {"dependencies": [{"pip": ["no-such-package-of-ours==9.9.9"]}]}}}
    endpoint.create(spec(room, "unmet", **bad), epoch=0)
    settle(endpoint)
    seen = endpoint.observe().deployments
    assert {view.state for view in seen.values()} == {"failed"}
    assert {view.healthy for view in seen.values()} == {False}
    assert "RuntimeError: no such weights" in seen["sick"].reason
    assert "not the one that was gated" in seen["changed"].reason
    assert "neither an MLflow model nor a scoring script" in seen["none"].reason
    assert "no-such-package-of-ours" in seen["unmet"].reason
    for name in seen:
        endpoint.delete(name, epoch=0)
    until(lambda: not endpoint.observe().deployments, 20)
    assert list((endpoint.place.folder / "deployments").iterdir()) == []


@pytest.mark.parametrize("victim", ["guard", "worker"])
def test_a_model_server_that_dies_is_unhealthy_at_once_and_stays_dead(
    endpoint: LocalEndpoint, room: Path, tmp_path: Path, victim: str
) -> None:
    pair(endpoint, room)
    guard = pids(tmp_path)["green"]
    os.kill(guard if victim == "guard" else worker_of(guard).pid, signal.SIGKILL)
    took = until(lambda: endpoint.observe().deployments["green"].healthy is False, 5)
    print(f"\n{victim}: seen after {took:.2f} s")
    answer = endpoint.ask(b"{}", deployment="green")
    assert (answer.status, answer.served_by) == (503, "green")
    assert endpoint.ask(b"{}").status == 200
    time.sleep(1)
    view = endpoint.observe().deployments["green"]
    assert view.healthy is False
    assert view.reason


def test_kill_9_of_the_supervisor_leaves_nothing_and_a_new_one_goes_on(
    endpoint: LocalEndpoint, room: Path, tmp_path: Path
) -> None:
    pair(endpoint, room)
    endpoint.write(traffic={"blue": 75, "green": 25}, mirror={}, tags={"gates.id": "d1"}, epoch=4)
    lease = endpoint.acquire("one", seconds=600, now=time.time())
    before = endpoint.observe()
    old = pids(tmp_path)
    running = layout.read_running(endpoint.place)
    assert running is not None
    os.kill(running.pid, signal.SIGKILL)
    print(f"\nnothing left after {until(lambda: not left_over(tmp_path), 5):.2f} s")
    stopped = client.status(tmp_path, "credit")
    assert stopped is not None
    assert {(d["state"], d["pid"]) for d in stopped["deployments"]} == {("stopped", None)}
    assert stopped["traffic"] == {"blue": 75, "green": 25}
    assert left_over(tmp_path) == []
    settle(endpoint)
    after = endpoint.observe()
    assert after == before
    assert not set(pids(tmp_path).values()) & set(old.values())
    assert Counter(endpoint.ask(b"{}").served_by for _ in range(100)) == {"blue": 75, "green": 25}
    with pytest.raises(Conflict, match="fenced off"):
        share(endpoint, {"blue": 100})
    with pytest.raises(Conflict, match="held by one"):
        endpoint.acquire("two", seconds=1, now=time.time())
    assert endpoint.acquire("one", seconds=1, now=time.time()).epoch == lease.epoch


def test_stop_leaves_nothing_and_two_starters_share_one_supervisor(room: Path, tmp_path: Path) -> None:
    first, second = open_endpoint(room, tmp_path), open_endpoint(room, tmp_path)
    assert not first.observe().exists
    assert client.status(tmp_path, "credit") is None
    assert not first.place.folder.exists()
    with ThreadPoolExecutor(8) as pool:
        assert len({running.pid for running in pool.map(lambda it: it.start(), [first, second] * 4)}) == 1
    first.create_endpoint({}, epoch=0)
    first.create(spec(room, "blue"), epoch=0)
    settle(first)
    assert first.place.key.stat().st_mode & 0o777 == 0o600
    running = layout.read_running(first.place)
    assert running is not None
    assert running.control.stat().st_mode & 0o777 == 0o600
    assert len(os.fsencode(running.control)) < 100
    assert client.stop(tmp_path, "credit")
    assert left_over(tmp_path) == []
    assert not Path(running.run).exists()
    assert first.ask(b"{}").status == 0
    assert not client.stop(tmp_path, "credit")


def test_the_key_is_in_no_file_but_its_own(endpoint: LocalEndpoint, room: Path, tmp_path: Path) -> None:
    pair(endpoint, room)
    assert endpoint.ask(b'{"raise": true}').status == 424
    raw(endpoint, "POST", "/score", {"Authorization": "Bearer wrong"})
    key = layout.read_key(endpoint.place).encode()
    client.stop(tmp_path, "credit")
    holders = [path for path in tmp_path.rglob("*") if path.is_file() and key in path.read_bytes()]
    assert holders == [endpoint.place.key]
    assert key.decode() not in json.dumps(client.status(tmp_path, "credit"))


def test_secrets_of_the_pipeline_do_not_reach_the_model(room: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "ghs_secret")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", os.environ.get("PIP_EXTRA_INDEX_URL", ""))
    endpoint = open_endpoint(room, tmp_path)
    endpoint.create_endpoint({}, epoch=0)
    endpoint.create(spec(room, "blue"), epoch=0)
    settle(endpoint)
    environment = worker_of(pids(tmp_path)["blue"]).environ()
    client.stop(tmp_path, "credit")
    assert environment["VERSION"] == "blue"
    assert not {"GITHUB_TOKEN", "PIP_EXTRA_INDEX_URL"} & set(environment)
