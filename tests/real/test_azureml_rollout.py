"""Rollouts on an Azure endpoint over the wire: a runner killed anywhere, and every call that goes wrong."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import azureml_room
import pytest
from azure.storage.blob import ExponentialRetry
from rollout_room import QUICK
from test_rollout_deaths import Runner

from gates.backends.azureml import client
from gates.backends.azureml.client import quiet
from gates.backends.azureml.schedules import Clock, Limits
from gates.canonical import digest
from gates.rollout.plan import green_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azureml_emulator.start import Running
    from azureml_room import AzureRoom

ROOT = Path(__file__).resolve().parents[2]
PATIENT: dict[str, Any] = {"lease": 4.0, "lock_timeout": 20.0}
"""The dead runner's lease runs out in seconds, and the next runner waits for it."""


@pytest.fixture(scope="module")
def room(azure_running: Running, tmp_path_factory: pytest.TempPathFactory, environments: Path) -> Iterator[AzureRoom]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in azureml_room.environment(azure_running).items():
            patch.setenv(name, value)
        patch.setattr(client, "RETRIES", {**client.RETRIES, "retry_backoff_factor": 0.02})  # played faster
        patch.setattr(ExponentialRetry, "get_backoff_time", lambda *_: 0.02)
        with azureml_room.azure_room(tmp_path_factory.mktemp("rollouts") / "deaths", environments) as made:
            assert made.deploy("v2").outcome == "passed"
            yield made


class AzureRunner(Runner):
    """A process that forks one runner an order, each on the azureml backend."""

    def __init__(self, room: AzureRoom) -> None:
        argv = [sys.executable, azureml_room.__file__, str(room.folder), str(room.cache)]
        paths = os.pathsep.join((str(ROOT), str(ROOT / "tests/real"), str(ROOT / "tests/contract")))
        env, pipe = {**os.environ, "PYTHONPATH": paths}, subprocess.PIPE
        self.process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True, cwd=ROOT, env=env)


@pytest.fixture(scope="module")
def runner(room: AzureRoom) -> Iterator[AzureRunner]:
    made = AzureRunner(room)
    yield made
    made.close()


def serving(room: AzureRoom) -> str:
    """The version that has all traffic, and is the champion."""
    view, version = room.endpoint().observe(), room.champion.current()
    assert dict(view.traffic) == {room.name(f"v{version}"): 100}
    assert not view.mirror
    return f"v{version}"


SOAK = os.environ.get("GATES_SOAK") == "1"
"""`make soak`: every death and every fault at every call; else a spread sample of them."""
LOOKS = ("observe", "ask", "requests_since", "champion.current")
DYING: dict[str, Any] = {"lease": 1.0, "lock_timeout": 20.0}
"""A runner that dies leaves a lease of a second, so that the next need not wait for long."""
Point = tuple[str, int, str]


def deaths(names: list[str]) -> list[Point]:
    """Every call, the how-manieth of its name, and how: before and after what changes something; each request that
    changes something, and the first that each call sends to ask, when it is sent and nobody has read its answer."""
    found: list[Point] = []
    for number, name in enumerate(names):
        turn = names[:number].count(name) + 1
        if name.endswith(": asked") or name.split()[0] in ("PUT", "POST", "DELETE", "PATCH"):
            found.append((name, turn, "sent"))
        elif name not in LOOKS:
            found += [(name, turn, "before"), (name, turn, "after")]
    return found


def spread(points: list[Point]) -> list[Point]:
    """Each state once, each other kind of call that changes something once, and one that asks, dying in turn before,
    after, and on the way."""
    kinds: dict[str, list[Point]] = {}
    for point in points:
        state, _, asks = point[0].partition("/" if point[0].startswith("append") else ": ")
        kinds.setdefault("asks" if asks == "asked" else state.split(" (")[0], []).append(point)
    return [group[turn % len(group)] for turn, group in enumerate(kinds.values())]


def died(room: AzureRoom, runner: AzureRunner, point: Point, **order: Any) -> bool:
    """Whether the runner came to that point, and died there; its lease has run out then."""
    name, turn, how = point
    ended = runner("deploy", how=how, name=name, turn=turn, **{**DYING, **order})
    if ended["status"] == 0:
        return False  # a poll less than in the run that was recorded
    assert os.WTERMSIG(ended["status"]) == signal.SIGKILL, (point, ended)
    assert ended["died"] == name
    time.sleep(DYING["lease"])
    del room
    return True


def forget(room: AzureRoom) -> None:
    """Delete a journal whose rollouts are all over; a long one only costs time."""
    room.backend._storage.call("the journal", lambda c: c.delete_blob(room.journal.path))


def twice_is_once(room: AzureRoom, runner: AzureRunner, where: Any) -> None:
    """A known end, which the pointer on the endpoint tells too, and in which two more runners change nothing."""
    before = room.seen()
    assert before["tag"] == room.last() in ("SUCCEEDED", "ROLLED_BACK"), (where, before)
    for _ in range(2):
        assert runner("reconcile", **PATIENT)["outcome"] == "passed", where
    assert room.seen() == before, where


@pytest.mark.timeout(7200 if SOAK else 900)
def test_a_runner_killed_anywhere_is_finished_or_undone_by_the_next(room: AzureRoom, runner: AzureRunner) -> None:
    """Both versions are kept, so that a rollout makes no server and each of its calls can be died at."""
    names, ends, count = runner("deploy", version="v1", **PATIENT)["names"], dict[str, int](), 0
    assert room.last() == "SUCCEEDED"
    points = deaths(names)
    assert len(points) >= 60, names
    for turn, point in enumerate(points if SOAK else spread(points)):
        old = serving(room)
        new = "v2" if old == "v1" else "v1"
        if not died(room, runner, point, version=new):
            continue
        count += 1
        do = ("deploy", "reconcile")[turn % 2]
        after: dict[str, Any] = runner(do, version=new, **PATIENT)
        assert after["outcome"] in ("passed", "rolled-back", "error"), (point, after)
        twice_is_once(room, runner, point)
        assert after["outcome"] == "passed" or serving(room) == old, (point, after)
        assert after["outcome"] != "passed" or do == "reconcile" or serving(room) == new, (point, after)
        ends[room.last()] = ends.get(room.last(), 0) + 1
        if count % 10 == 0:
            forget(room)
    print(f"\n{count} deaths of the {len(points)} that {len(names)} calls offer, then: {ends}")
    assert count >= (60 if SOAK else 15)
    assert min(ends["SUCCEEDED"], ends["ROLLED_BACK"]) >= (10 if SOAK else 2), "both ends were seen"


@pytest.mark.timeout(7200 if SOAK else 900)
def test_a_runner_killed_while_it_makes_or_deletes_a_deployment_leaves_none(
    room: AzureRoom, runner: AzureRunner
) -> None:
    """A green that fails in the canary is made, undone and deleted: deaths from its making on."""
    old, kept = serving(room), sorted(room.endpoint().observe().deployments)
    ran = runner("deploy", version="v3", sick=True, **PATIENT)
    assert ran["outcome"] == "rolled-back", ran
    begun = ran["names"].index("append GREEN_CREATING/intent")
    points = [point for point in deaths(ran["names"]) if ran["names"].index(point[0]) >= begun]
    sent = [point for point in points if point[0].startswith(("PUT deployments/", "DELETE deployments/"))]
    assert len(sent) == 2, ran["names"]
    count = 0
    for turn, point in enumerate(points if SOAK else [*sent, next(p for p in points if "ROLLING_BACK/intent" in p[0])]):
        if not died(room, runner, point, version="v3", sick=True):
            continue
        count += 1
        after = runner(("reconcile", "deploy")[turn % 2], version="v3", sick=True, **PATIENT)
        assert after["outcome"] in ("passed", "rolled-back", "error"), (point, after)
        twice_is_once(room, runner, point)
        assert serving(room) == old, point
        assert sorted(room.endpoint().observe().deployments) == kept, point
        if count % 10 == 0:
            forget(room)
    print(f"\n{count} deaths of the {len(points)} around a deployment that is made and undone")
    assert count >= (60 if SOAK else 3)


FAULTS: dict[str, dict[str, Any]] = {
    "409": {"do": "status", "status": 409, "code": "Conflict"},
    "429": {"do": "status", "status": 429, "code": "TooManyRequests", "headers": {"Retry-After": "1"}},
    "500": {"do": "status", "status": 500},
    "503 after it was done": {"do": "late", "status": 503, "code": "ServiceUnavailable"},
    "reset": {"do": "reset"},
    "answer lost": {"do": "lost"},
    "slow": {"do": "slow", "seconds": 0.4},
    "expired token": {"do": "expired"},
    "fails midway": {"do": "fail"},
}
BRIEF: dict[str, Any] = {
    "write_timeout": 1.5, "rollback_timeout": 1.5, "step_timeout": 1.5, "ready_timeout": 1.5, "answer_timeout": 1.0,
    "lease": 3.0, "lock_timeout": 1.5,
}  # fmt: skip
"""Patience for what never passes."""


@pytest.fixture(scope="module")
def calls(azure_running: Running, room: AzureRoom) -> tuple[str, ...]:
    """Every kind of call that a rollout makes, as faults name it: one that a later version makes is struck too."""
    since = len(azure_running.requests())
    assert room.deploy("v2" if serving(room) == "v1" else "v1").outcome == "passed"
    asked = [line for line in azure_running.requests()[since:] if not line["host"].startswith("login")]
    paths = (re.sub(r"/deployments/[^/]+|/versions/[^/]+", lambda m: m[0].rsplit("/", 1)[0] + "/*", line["path"])
             for line in asked)  # fmt: skip
    return (
        *dict.fromkeys(f"{line['method']} {line['host']}{path}" for line, path in zip(asked, paths, strict=True)),
        "POST login.microsoftonline.com*/token", "POST *listsecrets",
    )  # fmt: skip


def other(version: str) -> str:
    return "v2" if version == "v1" else "v1"


def require_invariants(azure: Running, room: AzureRoom, since: int) -> None:
    """Of every write that went out: live shares sum to 100, the mirror is not live, and who gets traffic is up."""
    up = {name for name, one in room.endpoint().observe().deployments.items() if one.state == "ready"}
    for line in azure.requests()[since:]:
        if line["method"] == "PUT" and line["path"].endswith(f"/onlineEndpoints/{room.label}"):
            body = line["body"]["properties"]
            live = {name for name, share in body["traffic"].items() if share}
            assert sum(body["traffic"].values()) == 100
            assert set(body["mirrorTraffic"]).isdisjoint(live)
            assert live <= up


def test_the_calls_are_known(calls: tuple[str, ...]) -> None:
    """A rollout that was recorded without these would strike nothing below."""
    for part in ("PUT *onlineEndpoints/", "/score", "lease.json", "PUT *journal.jsonl", "query", "PUT *models/"):
        method, _, path = part.rpartition("*")
        assert [call for call in calls if call.startswith(method.strip()) and path in call], part
    assert len(calls) >= 15


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_every_call_is_waited_out(
    azure: Running, room: AzureRoom, calls: tuple[str, ...], fault: str
) -> None:
    """Each call meets the fault once, the first time that it is made, all of them in one rollout."""
    old, since = serving(room), len(azure.requests())
    azure.plant(*({"match": call, "times": 1, **FAULTS[fault]} for call in calls))
    ended = room.deploy(other(old), rollout=replace(QUICK, lease=4.0, lock_timeout=20.0))
    struck = {(line["method"], line["path"]) for line in azure.requests()[since:] if "fault" in line}
    azure.plant()
    assert ended.outcome in ("passed", "rolled-back"), ended
    assert len(struck) >= len(calls) * 0.7, struck
    assert serving(room) == (other(old) if ended.outcome == "passed" else old), ended
    assert room.last() == ended.state, ended
    require_invariants(azure, room, since)


def lasting(calls: tuple[str, ...]) -> list[tuple[str, str]]:
    """Pairs of call and fault: all of them, or every other call with one fault, and each fault with some call."""
    faults = [fault for fault in FAULTS if fault != "slow"]
    if SOAK:
        return [(call, fault) for call in calls for fault in faults]
    return [(call, faults[turn % len(faults)]) for turn, call in enumerate(calls[::2])]


@pytest.mark.timeout(7200 if SOAK else 900)
def test_a_fault_that_stays_ends_in_a_state_that_is_reported_and_mended(
    azure: Running, room: AzureRoom, calls: tuple[str, ...]
) -> None:
    """One call never works again: what is said is what is there, and without the fault the next runner ends it well."""
    ends: dict[str, int] = {}
    for call, fault in lasting(calls):
        where, old, since = (call, fault), serving(room), len(azure.requests())
        how = {key: value for key, value in FAULTS[fault].items() if key != "headers"}
        azure.plant({"match": call, "times": 10**6, **how})
        ended = room.deploy(other(old), rollout=replace(QUICK, **BRIEF))
        azure.plant()
        seen = room.endpoint().observe()
        traffic = {name: share for name, share in seen.traffic.items() if share}
        assert ended.outcome in ("passed", "rolled-back", "error", "unknown", "conflict", "invalid"), (where, ended)
        if ended.outcome in ("passed", "rolled-back"):
            assert serving(room) == (other(old) if ended.outcome == "passed" else old), (where, ended)
            assert room.last() == ended.state, (where, ended)
        else:
            assert ended.reason, where
            assert "\n" not in ended.reason, where
        if ended.live:
            assert traffic.get(ended.live) == max(traffic.values()), (where, ended)
        require_invariants(azure, room, since)
        mended = room.reconcile(rollout=replace(QUICK, lease=4.0, lock_timeout=20.0))
        assert mended.outcome in ("passed", "rolled-back"), (where, ended, mended)
        now = serving(room)
        assert ended.outcome == "passed" or now == old or ended.state == "FINALIZING", (where, ended, mended)
        before = room.seen()
        assert room.reconcile().outcome == "passed", where
        assert room.seen() == before, where
        ends[ended.outcome] = ends.get(ended.outcome, 0) + 1
    print(f"\n{sum(ends.values())} of {len(calls)} calls times faults that stay: {ends}")


def test_a_write_that_fails_midway_is_made_again(azure: Running, room: AzureRoom) -> None:
    old = serving(room)
    new = "v2" if old == "v1" else "v1"
    azure.plant({"match": f"PUT *onlineendpoints/{room.label}", "do": "fail", "skip": 1})
    ended = room.deploy(new)
    assert ended.outcome == "passed", ended
    assert serving(room) == new


def test_azure_that_goes_away_in_the_middle_is_reported_and_mended_by_the_next(azure: Running, room: AzureRoom) -> None:
    """From the third write on, none gets through, neither forward nor back: a person is called; reconcile restores."""
    old = serving(room)
    new = "v2" if old == "v1" else "v1"
    azure.plant(
        {"match": f"PUT *onlineendpoints/{room.label}", "do": "status", "status": 503, "times": 10**6, "skip": 2}
    )
    quick = replace(QUICK, write_timeout=3.0, rollback_timeout=3.0, step_timeout=3.0, lease=4.0, lock_timeout=20.0)
    ended = room.deploy(new, rollout=quick)
    azure.plant()
    assert (ended.outcome, ended.rolled_back) == ("unknown", False), ended
    assert "503" in ended.reason, ended
    assert dict(room.endpoint().observe().traffic) == {room.name(old): 50, room.name(new): 50}
    mended = room.reconcile(rollout=quick)
    assert mended.outcome == "rolled-back", mended
    assert serving(room) == old


def test_no_quota_is_explained_and_nothing_has_moved(azure: Running, room: AzureRoom) -> None:
    old = serving(room)
    message = "Standard_DS3_v2: 4 cores needed, 0 left"
    refused = {"do": "status", "status": 400, "code": "OutOfQuota", "message": message}
    azure.plant({"match": f"PUT *onlineendpoints/{room.label}/deployments/*", **refused})
    ended = room.deploy("v3")
    azure.plant()
    assert ended.outcome == "invalid", ended
    assert f"OutOfQuota: {message}" in ended.reason
    assert "ask for more quota" in ended.hint
    assert serving(room) == old
    assert room.reconcile().outcome == "rolled-back"


def test_a_deployment_that_does_not_come_up_says_why_from_its_container(room: AzureRoom, tmp_path: Path) -> None:
    old = serving(room)
    (tmp_path / "score.py").write_text(
        "def init():\n    raise RuntimeError('no such weights')\n\ndef run(raw):\n    return raw\n"
    )
    spec = room.spec("v3")
    body = {**spec.body, "code_configuration": {"code": str(tmp_path), "scoring_script": "score.py"}}
    made = digest({"broken": str(tmp_path)})
    green = replace(spec, name=green_name("credit", made), spec_digest=made, body=body)
    ended = room.deploy("v3", green=green)
    assert ended.outcome == "rolled-back", ended
    assert "no such weights" in ended.reason
    assert serving(room) == old
    assert green.name not in room.endpoint().observe().deployments


def test_the_policys_limit_becomes_azures_monitor(azure: Running, room: AzureRoom, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("age\n31\n")
    with quiet():
        from azure.ai.ml.entities import Data

        data = Data(name="reference", version="1", path=str(tmp_path / "train.csv"), type="uri_file")
        room.backend._workspace.ml.data.create_or_update(data)
    room.backend.schedule_monitor(
        "credit-monitor", Clock(every=86400), endpoint=room.label, deployment=room.name(serving(room)),
        reference="azureml:reference:1", limits=Limits(psi=0.2, ks=0.1, columns=("age",)), regression=False,
    )  # fmt: skip
    made = (room.backend._workspace.get("schedules/credit-monitor") or {})["properties"]["action"]["monitorDefinition"]
    [signal] = made["signals"].values()
    assert {one["metric"].lower(): one["threshold"]["value"] for one in signal["metricThresholds"]} == {
        "populationstabilityindex": 0.2
    }
    assert made["monitoringTarget"]["deploymentId"].endswith(f"{room.label}/deployments/{room.name(serving(room))}")
    assert azure.invalid() == []
