"""Every death of a runner ends well on the real local endpoint, and customers do not notice.

A runner is killed with SIGKILL at each of its calls: before it, in the middle of it (the request was sent and its
answer not read; half of the journal's line was written), and after it. Then the next command must end in SUCCEEDED or
in the snapshot, and two more must change nothing. A client asks all the while.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import rollout_room
from rollout_load import Load
from rollout_room import Room, room_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
HOWS = ("before", "during", "after")


class Runner:
    """A process that forks one runner an order."""

    def __init__(self, room: Room) -> None:
        argv = [sys.executable, rollout_room.__file__, str(room.folder), str(room.cache)]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True, cwd=ROOT, env=env)

    def send(self, do: str, point: int = 0, how: str = "", **more: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, "point": point, "how": how, **more}) + "\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        said: dict[str, Any] = json.loads(self.process.stdout.readline())
        return said

    def __call__(self, do: str, point: int = 0, how: str = "", **more: Any) -> dict[str, Any]:
        self.send(do, point, how, **more)
        return self.hear()

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def close(self) -> None:
        for child in self.children():
            child.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, environments: Path) -> Iterator[Room]:
    with room_in(tmp_path_factory.mktemp("deaths") / "room", environments) as made:
        assert made.deploy("v2").outcome == "passed"
        yield made


@pytest.fixture
def runners(room: Room) -> Iterator[tuple[Runner, Runner]]:
    both = Runner(room), Runner(room)
    yield both
    for one in both:
        one.close()


def serving(room: Room) -> str:
    """The version that has all traffic, and is the champion."""
    view, version = room.endpoint().observe(), room.champion.current()
    assert dict(view.traffic) == {room.name(f"v{version}"): 100}
    return f"v{version}"


def settled(room: Room, runner: Runner, where: str) -> dict[str, Any]:
    """A known end, in which two more runners change nothing; what it is."""
    assert room.last() in ("SUCCEEDED", "ROLLED_BACK"), (where, room.last())
    serving(room)
    before = room.seen()
    assert before["tag"] == room.last(), (where, before)
    for _ in range(2):
        again = runner("reconcile")
        assert again["outcome"] == "passed", (where, again)
    assert room.seen() == before, where
    return before


def points(names: list[str]) -> list[tuple[int, str]]:
    """Before, during and after what changes something; a look or a question has its neighbours' before and after."""
    looks = ("observe", "ask", "requests_since", "champion.current")
    return [
        (number, how)
        for number, name in enumerate(names, start=1)
        for how in HOWS
        if how == "during" or name not in looks
    ]


def until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


@pytest.mark.timeout(600)
def test_a_runner_killed_anywhere_is_finished_or_undone_by_the_next(room: Room, runners: tuple[Runner, Runner]) -> None:
    """Both versions are kept, so that a rollout makes no server and each of its calls can be died at, three ways."""
    runner, ends, deaths = runners[0], dict[str, int](), 0
    names = runner("deploy", version="v1")["names"]
    assert room.last() == "SUCCEEDED"
    with Load(room, connections=1, pause=0.1) as load:
        nexts = itertools.cycle(["deploy", "reconcile", "deploy"])
        for point, how in points(names):
            old = serving(room)
            new = "v2" if old == "v1" else "v1"
            died = runner("deploy", point, how, version=new)
            where = f"{how} {point}: {died.get('died')}"
            assert os.WTERMSIG(died["status"]) == signal.SIGKILL, (where, died)
            assert died["died"] == names[point - 1], where
            do = next(nexts)
            after = runner(do, version=new)
            assert after["outcome"] in ("passed", "rolled-back", "error"), (where, after)
            settled(room, runner, where)
            if after["outcome"] != "passed":
                assert serving(room) == old, where
            elif do == "deploy":
                assert serving(room) == new, where
            ends[room.last()] = ends.get(room.last(), 0) + 1
            deaths += 1
            if deaths % 10 == 0:
                room.journal.path.unlink()  # it is over; a long one only costs time
    answers = load.require_all_from({"v1", "v2"})
    print(f"\n{deaths} deaths at {len(names)} calls, then: {ends}; {answers} requests meanwhile, 0 failed")
    assert deaths >= 60
    assert min(ends["SUCCEEDED"], ends["ROLLED_BACK"]) >= 10, "both ends were seen"


@pytest.mark.timeout(600)
def test_a_runner_killed_while_it_makes_or_deletes_a_server_leaves_none_behind(
    room: Room, runners: tuple[Runner, Runner]
) -> None:
    """A green that fails in the canary is made and deleted: deaths where that happens."""
    runner, kept = runners[0], sorted(room.endpoint().observe().deployments)
    calls = runner("deploy", version="v3", sick=True)
    assert calls["outcome"] == "rolled-back", calls
    names = [name for name in calls["names"] if name != "observe"]
    made, gone = names.index("create") + 1, names.index("delete") + 1
    tail = range(gone + 1, names.index("append ROLLED_BACK/done") + 2)
    deaths = [(how, point) for point in (made, gone) for how in HOWS]
    deaths += [("before", made + 1), ("during", made + 1), *(("during", point) for point in tail)]
    for number, (how, point) in enumerate(deaths):
        died = runner("deploy", point, how, version="v3", sick=True, skip=["observe"])
        where = f"{how} {point}: {died.get('died')}"
        assert os.WTERMSIG(died["status"]) == signal.SIGKILL, (where, died)
        assert died["died"] == names[point - 1], where
        after = runner("deploy", version="v3", sick=True) if number in (0, 4) else runner("reconcile")
        assert after["outcome"] in ("passed", "rolled-back", "error"), (where, after)
        assert settled(room, runner, where)["deployments"] == kept, where
        assert room.last() == "ROLLED_BACK", where
    print(f"\n{len(deaths)} deaths around making and deleting a server, {len(names)} calls but looks")


def test_of_two_runners_at_once_one_wins_and_the_other_is_told(room: Room, runners: tuple[Runner, Runner]) -> None:
    for _ in range(3):
        new = "v2" if serving(room) == "v1" else "v1"
        for one in runners:
            one.send("deploy", version=new, interval=1.5)
        ends = sorted(one.hear()["outcome"] for one in runners)
        assert ends == ["conflict", "passed"]
        assert serving(room) == new
        settled(room, runners[0], "two at once")


def test_a_runner_that_sleeps_through_its_lease_is_fenced_off_and_a_dead_one_is_not_waited_for(
    room: Room, runners: tuple[Runner, Runner]
) -> None:
    slow, quick = runners
    new = "v2" if serving(room) == "v1" else "v1"
    names = quick("deploy", version=new)["names"]
    told = 0
    for call in ("write", "append CANARY_1/observed", "champion.move"):
        new = "v2" if serving(room) == "v1" else "v1"
        lease = 1.5 if told else 8.0
        slow.send("deploy", names.index(call) + 1, "stopped", version=new, lease=lease)
        until(lambda: [child.status() for child in slow.children()] == [psutil.STATUS_STOPPED])
        if not told:
            early = quick("deploy", version=new, lease=lease)
            assert early["outcome"] == "conflict", "it sleeps, and its lease has not run out"
        until(lambda version=new: quick("deploy", version=version, lease=1.5)["outcome"] == "passed")  # type: ignore[misc]  # mypy cannot see a lambda's default
        for child in slow.children():
            child.resume()
        late = slow.hear()
        told += late["outcome"] == "conflict"
        assert late["outcome"] in ("conflict", "passed"), late
        assert serving(room) == new
        settled(room, quick, call)
    assert told >= 2
    new = "v2" if serving(room) == "v1" else "v1"
    died = quick("deploy", names.index("write") + 1, "after", version=new, lease=3600)
    assert os.WTERMSIG(died["status"]) == signal.SIGKILL
    assert quick("deploy", version=new)["outcome"] == "passed", "its owner is dead: an hour's lease is not waited for"
