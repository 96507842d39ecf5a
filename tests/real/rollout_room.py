"""Rollouts on the real local endpoint: two versions whose model servers start fast and whose behaviour can be changed.

Everything is the product's but the model (a script that answers at once, or badly when a file says so) and the
registry's alias (a file). `python rollout_room.py FOLDER` is a runner that forks one process an order, read from
standard input as a line of JSON, so that each can be killed without paying for its start.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gates.backends.local.endpoint import client
from gates.canonical import digest
from gates.chain import Chain
from gates.errors import Conflict
from gates.files import write_whole
from gates.lineage.digest import model_digest
from gates.rollout import machine
from gates.rollout.journal import fold
from gates.rollout.plan import Golden, Plan, Rollout, Smoke, green_name
from gates.serving import DeploymentSpec
from gates.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from gates.backends.local.endpoint.client import LocalEndpoint
    from gates.evidence import Evidence
    from gates.rollout.ends import Ended

T = TypeVar("T")
QUICK = Rollout(steps=(50, 100), interval=0.0, bake=0.0, keep_old=3600.0, poll=0.02, lease=60.0)

SCORE = """
import json, os, random, time

VERSION, BEHAVIOUR = os.environ["VERSION"], os.environ["BEHAVIOUR"]
seen, how = None, {}

def init():
    pass

def run(raw_data):
    global seen, how
    now = os.stat(BEHAVIOUR).st_mtime_ns
    if now != seen:
        with open(BEHAVIOUR) as file:
            seen, how = now, json.load(file).get(VERSION, {})
    if how.get("dies"):
        os._exit(9)
    if how.get("hangs"):
        time.sleep(3600)
    if random.random() < how.get("errors", 0.0):
        raise ValueError("as asked")
    if how.get("ms"):
        time.sleep(how["ms"] / 1000)
    i = json.loads(raw_data)["i"]
    return {"version": VERSION, "i": i, "y": i * int(VERSION[1:]) + how.get("wrong", 0)}
"""


def answer(version: str, i: int) -> dict[str, Any]:
    """What a healthy version answers."""
    return {"version": version, "i": i, "y": i * int(version[1:])}


@dataclass(frozen=True)
class Passing:
    """A gate's judgement of anything."""

    verdict: Verdict = Verdict.PASS
    failed_checks: tuple[str, ...] = ("forced",)

    @property
    def allowed(self) -> bool:
        return self.verdict is Verdict.PASS


@dataclass(frozen=True)
class Room:
    """A state folder, code, two models, and the environments' cache."""

    folder: Path
    cache: Path
    settings: Mapping[str, Any] = field(default_factory=dict)

    def prepare(self) -> Room:
        (self.folder / "code").mkdir(parents=True)
        (self.folder / "code" / "score.py").write_text(SCORE)
        for version in ("v1", "v2", "v3"):
            (self.folder / version).mkdir()
            (self.folder / version / "weights").write_text(version)
        self.behave({})
        return self

    def endpoint(self) -> LocalEndpoint:
        python = Path(sys.executable)
        return client.connect(self.folder / "state", "credit", env=dict(os.environ), python=python, cache=self.cache)

    @property
    def journal(self) -> Chain:
        return Chain(self.folder / "state" / "endpoints" / "credit" / "journal.jsonl")

    @property
    def champion(self) -> FileChampion:
        return FileChampion(self.folder / "champion.json")

    def behave(self, how: Mapping[str, Mapping[str, Any]]) -> None:
        """Change how versions answer, from their next request on."""
        write_whole(self.folder / "behaviour.json", json.dumps(how))

    def spec(self, version: str) -> DeploymentSpec:
        body = {
            "code_configuration": {"code": str(self.folder / "code"), "scoring_script": "score.py"},
            "environment_variables": {"VERSION": version, "BEHAVIOUR": str(self.folder / "behaviour.json")},
            **self.settings,
        }
        model = self.folder / version
        name = green_name("credit", digest({"body": body, "model": version}))
        return DeploymentSpec(name, digest({"body": body, "model": version}), str(model), model_digest(model), body)

    def name(self, version: str) -> str:
        return self.spec(version).name

    def plan(self, version: str, *, rollout: Rollout = QUICK, **changes: Any) -> Plan:
        golden = tuple(Golden(json.dumps({"i": i}).encode(), answer(version, i)) for i in (3, 8))
        parts: dict[str, Any] = {
            "endpoint": "credit", "green": self.spec(version), "policy_digest": "sha256:" + "9" * 64,
            "champion": version[1:], "rollout": rollout, "golden": golden, "smoke": Smoke(1, 0),
            "canary_gate": lambda evidence, *, final: Passing(),
        }  # fmt: skip
        return Plan(**{**parts, **changes})

    def ports(self) -> dict[str, Any]:
        return {
            "endpoint": self.endpoint(), "champion": self.champion, "journal": self.journal, "clock": Clock(),
            "say": lambda state, text: None, "stop": lambda: False, "owner": f"{socket.gethostname()}:{os.getpid()}",
        }  # fmt: skip

    def deploy(self, version: str, *, rollout: Rollout = QUICK, **changes: Any) -> Ended:
        return machine.deploy(self.plan(version, rollout=rollout, **changes), **self.ports())

    def last(self) -> str:
        """The state that the journal's last deployment reached."""
        last = fold(self.journal.read()).last
        return "" if last is None else last.reached

    def seen(self) -> dict[str, Any]:
        """All that a second resume may not change."""
        view = self.endpoint().observe()
        return {
            "traffic": dict(view.traffic), "mirror": dict(view.mirror), "deployments": sorted(view.deployments),
            "champion": self.champion.current(), "records": len(self.journal.read()), "tag": view.tags["gates.state"],
        }  # fmt: skip


@contextmanager
def room_in(folder: Path, cache: Path, **settings: Any) -> Iterator[Room]:
    """A room in which v1 serves; its endpoint is stopped at the end."""
    room = Room(folder, cache, settings).prepare()
    try:
        first = room.deploy("v1")
        assert first.outcome == "passed", first
        yield room
    finally:
        client.stop(folder / "state", "credit")


class Clock:
    """Real time."""

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass(frozen=True)
class FileChampion:
    """The registry's alias, in a file."""

    path: Path

    def current(self) -> str | None:
        return json.loads(self.path.read_text())["version"] if self.path.exists() else None

    def move(self, *, expected: str | None, new: str | None) -> None:
        if new == self.current():
            return
        if expected != self.current():
            raise Conflict(f"the champion is {self.current()}, not {expected}")
        write_whole(self.path, json.dumps({"version": new}))


# a runner that dies


class Death:
    """Numbers every call of a runner; at one of them the process kills itself, before, in the middle of, or after it.

    In the middle is: the request was sent and its answer not read; half of the journal's line was written. Or it stops
    itself, and somebody must send SIGCONT.
    """

    def __init__(self, order: Mapping[str, Any], report: Callable[[str], None]) -> None:
        self.point, self.how, self.skip = order["point"], order["how"], order.get("skip", ())
        self.report, self.names, self.armed = report, list[str](), False
        makefile, write = socket.socket.makefile, os.write

        def dying_makefile(*args: Any, **more: Any) -> Any:
            self.now_if_armed()
            return makefile(*args, **more)

        def dying_write(descriptor: int, data: Any) -> int:
            if self.armed:
                write(descriptor, bytes(data)[: len(data) // 2])
            self.now_if_armed()
            return write(descriptor, data)

        socket.socket.makefile = dying_makefile  # type: ignore[method-assign]  # the child's own, until it ends
        os.write = dying_write

    def now_if_armed(self) -> None:
        if self.armed:
            os.kill(os.getpid(), signal.SIGKILL)

    def call(self, name: str, effect: Callable[[], T]) -> T:
        if name in self.skip:
            return effect()
        self.names.append(name)
        mine = len(self.names) == self.point
        if mine and self.how == "stopped":
            os.kill(os.getpid(), signal.SIGSTOP)
            return effect()
        if mine:
            self.report(name)
        if mine and self.how == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        self.armed = mine and self.how == "during"
        result = effect()
        if mine:  # a call that has no middle dies at its end
            os.kill(os.getpid(), signal.SIGKILL)
        return result


@dataclass(frozen=True)
class Dying:
    """Any port, each call of it a numbered point."""

    inner: Any
    death: Any
    points: tuple[str, ...]
    prefix: str = ""

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if name not in self.points:
            return found

        def call(*args: Any, **more: Any) -> Any:
            label = f"append {args[0]['state']}/{args[0]['kind']}" if name == "append" else self.prefix + name
            return self.death.call(label, lambda: found(*args, **more))

        return call


ENDPOINT = ("observe", "create_endpoint", "create", "write", "delete", "ask", "requests_since", "acquire", "release")


def obey(room: Room, order: Mapping[str, Any], report: Callable[[str], None], dying: Any = Death) -> dict[str, Any]:
    """One order, in a process of its own; what came of it, if anything. dying: numbers the calls, as Death does."""
    ports, death = room.ports(), dying(order, report)
    ports["endpoint"] = Dying(ports["endpoint"], death, ENDPOINT)
    ports["journal"] = Dying(ports["journal"], death, ("append",))
    ports["champion"] = Dying(ports["champion"], death, ("current", "move"), "champion.")
    given = {key: order[key] for key in ("interval", "lease", "lock_timeout", "poll") if key in order}
    if order["do"] == "reconcile":
        ended = machine.reconcile(None, **ports, rollout=replace(QUICK, **given), sample=b'{"i": 1}')
    else:
        gate = Passing(Verdict.FAIL) if order.get("sick") else Passing()

        def judge(evidence: Evidence, *, final: bool) -> Passing:
            del evidence, final
            return gate

        plan = room.plan(order["version"], rollout=replace(QUICK, **given), canary_gate=judge)
        ended = machine.deploy(plan, **ports)
    return {"outcome": ended.outcome, "reason": ended.reason, "names": death.names}


def main(folder: str, cache: str) -> None:
    serve(Room(Path(folder), Path(cache)))


def serve(room: Room, dying: Any = Death) -> None:
    """Fork one runner an order, until standard input ends."""
    import numpy  # noqa: F401  # once, not in every child

    for line in sys.stdin:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            with os.fdopen(write, "w") as said:

                def report(name: str, said: Any = said) -> None:
                    said.write(json.dumps({"died": name}) + "\n")
                    said.flush()

                ended = obey(room, json.loads(line), report, dying)
                said.write(json.dumps(ended) + "\n")
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as heard:
            last = heard.read().splitlines()[-1:]
        _, status = os.waitpid(child, 0)
        sys.stdout.write(json.dumps({"status": status, **json.loads(last[0] if last else "{}")}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
