"""Rollouts on an Azure endpoint over the wire: a runner killed anywhere, and every call that goes wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import azureml_room
import pytest
from rollout_room import QUICK
from test_rollout_deaths import Runner

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


def chosen(names: list[str]) -> list[tuple[int, str]]:
    """Points that change something, each named once, dying in turn before, in the middle of, and after it."""
    first: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        first.setdefault(name, number)
    kinds = ("append", "write", "champion.move", "acquire", "release")
    changing = [number for name, number in first.items() if name.startswith(kinds)]
    picked = changing[:: max(1, len(changing) // 6)]
    return [(number, ("before", "during", "after")[turn % 3]) for turn, number in enumerate(picked)]


@pytest.mark.timeout(900)
def test_a_runner_killed_anywhere_is_finished_or_undone_by_the_next(room: AzureRoom, runner: AzureRunner) -> None:
    names = runner("deploy", version="v1", **PATIENT)["names"]
    assert room.last() == "SUCCEEDED"
    points = chosen(names)
    assert len(points) >= 6, names
    for turn, (point, how) in enumerate(points):
        old = serving(room)
        new = "v2" if old == "v1" else "v1"
        died = runner("deploy", point, how, version=new, **PATIENT)
        where = f"{how} {point}: {died.get('died')}"
        assert os.WTERMSIG(died["status"]) == signal.SIGKILL, (where, died)
        do = ("deploy", "reconcile")[turn % 2]
        after: dict[str, Any] = runner(do, version=new, **PATIENT)
        assert after["outcome"] in ("passed", "rolled-back", "error"), (where, after)
        assert room.last() in ("SUCCEEDED", "ROLLED_BACK"), (where, after)
        now = serving(room)
        assert now == (new if after["outcome"] == "passed" and do == "deploy" else now), (where, after)
        if after["outcome"] != "passed":
            assert now == old, (where, after)
        before = room.seen()
        assert runner("reconcile", **PATIENT)["outcome"] == "passed", where
        assert room.seen() == before, where


FAULTS: dict[str, dict[str, Any]] = {
    "409": {"do": "status", "status": 409, "code": "Conflict"},
    "429": {"do": "status", "status": 429, "code": "TooManyRequests", "headers": {"Retry-After": "1"}},
    "500": {"do": "status", "status": 500},
    "503 after it was done": {"do": "late", "status": 503, "code": "ServiceUnavailable"},
    "reset": {"do": "reset"},
    "answer lost": {"do": "lost"},
    "slow": {"do": "slow", "seconds": 1.5},
    "expired token": {"do": "expired"},
}
CALLS = (
    "GET *onlineendpoints/{name}", "PUT *onlineendpoints/{name}", "GET *onlineendpoints/{name}/deployments",
    "POST *onlineendpoints/{name}/listkeys", "POST *listsecrets", "GET *{name}/lease.json", "PUT *{name}/lease.json",
    "GET *{name}/journal.jsonl", "PUT *{name}/journal.jsonl", "POST {name}.*/score", "POST api.loganalytics.io*",
    "GET *models/{name}", "PUT *models/{name}", "POST login.microsoftonline.com*/token",
)  # fmt: skip


def plant(azure: Running, name: str, fault: dict[str, Any], calls: tuple[str, ...] = CALLS) -> None:
    """The fault strikes each of the calls once, the first time that it is made."""
    azure.plant(*({"match": call.format(name=name), "times": 1, **fault} for call in calls))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_every_call_ends_in_a_state_that_is_reported(azure: Running, room: AzureRoom, fault: str) -> None:
    old = serving(room)
    new = "v2" if old == "v1" else "v1"
    written = len(azure.requests())
    plant(azure, room.label, FAULTS[fault])
    ended = room.deploy(new, rollout=replace(QUICK, lease=4.0, lock_timeout=20.0))
    struck = {(line["method"], line["path"]) for line in azure.requests()[written:] if "fault" in line}
    azure.plant()
    assert ended.outcome in ("passed", "rolled-back"), ended
    assert len(struck) >= 8, struck
    assert serving(room) == (new if ended.outcome == "passed" else old), ended
    assert room.last() == ended.state, ended
    for line in azure.requests()[written:]:
        if line["method"] == "PUT" and line["path"].endswith(f"/onlineEndpoints/{room.label}"):
            body = line["body"]["properties"]
            assert sum(body["traffic"].values()) == 100
            assert set(body["mirrorTraffic"]).isdisjoint(name for name, share in body["traffic"].items() if share)


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
