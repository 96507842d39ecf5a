"""The one process of an endpoint: it holds the router, the state and the model servers.

Started by client.py in a session of its own; the folder's lock is held while it lives, so two never serve one endpoint.
Every mutation is one step: rule, saved to disk, in force, answered. Model servers hang on it through the guard and die
with it; started again, it starts them again.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gates.backends.local.endpoint import control, layout, owners, servers, state
from gates.backends.local.endpoint.router import Router
from gates.backends.local.endpoint.telemetry import Telemetry
from gates.errors import Conflict, InvalidInput
from gates.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable

_EVENTS_A_CALL = 20_000


class Options(msgspec.Struct, frozen=True):
    """What the starter hands over on standard input. env: what model servers inherit."""

    folder: str
    python: str
    cache: str
    env: dict[str, str]


class Supervisor:
    """Serves one endpoint until it is stopped."""

    def __init__(self, options: Options, say: Callable[[str], None]) -> None:
        self.place = layout.Layout(Path(options.folder))
        self.means = servers.Means(options.env, Path(options.python), Path(options.cache))
        self.say = say
        self.state = state.load(self.place.state, self.place.name)
        self.router = Router(layout.prepare(self.place), Telemetry())
        self.servers: dict[str, servers.Server] = {}
        self.stopping = asyncio.Event()
        self._turn = asyncio.Lock()
        self._leaving: set[asyncio.Task[None]] = set()
        self._run = layout.run_folder(self.place, layout.read_running(self.place))

    async def main(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        for spec in self.state.deployments.values():
            self._begin(spec)
        self.router.weigh(self.state.traffic, self.state.mirror)
        port = await self.router.start(self.state.port)
        await self._commit(msgspec.structs.replace(self.state, port=port))
        running = layout.Running(os.getpid(), self.url, str(self._run))
        channel = await control.serve(running.control, self.handle, self._defect)
        write_whole(self.place.running, msgspec.json.encode(running), mode=0o600)
        self.say(f"serving at {self.url}, pid {os.getpid()}")
        await self.stopping.wait()
        self.say("stopping")
        channel.close()
        await self.router.stop()
        await asyncio.gather(*(servers.end(server) for server in self.servers.values()))
        self.place.running.unlink(missing_ok=True)
        shutil.rmtree(self._run, ignore_errors=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.state.port}/score"

    async def handle(self, do: str, given: dict[str, Any]) -> Any:
        """One request of the control interface."""
        if do in ("observe", "requests", "logs", "stop"):
            return getattr(self, f"_{do}")(**given)
        async with self._turn:
            return await self._mutate(do, given)

    async def _mutate(self, do: str, given: dict[str, Any]) -> Any:
        now = self.state
        if do == "create_endpoint":
            await self._commit(state.create_endpoint(now, **given))
        elif do == "create":
            spec = msgspec.convert(given["spec"], state.Spec)
            if self._is_leaving(spec.name):
                raise Conflict(f"deployment {spec.name} is being deleted", hint="wait until it is gone")
            await self._commit(state.create(now, spec, epoch=given["epoch"]))
            if spec.name not in self.servers:
                self._begin(spec)
        elif do == "write":
            ready = frozenset(name for name, server in self.servers.items() if server.state == "ready")
            await self._commit(state.write(now, **given, ready=ready))
            self.router.weigh(self.state.traffic, self.state.mirror)
        elif do == "delete":
            await self._commit(state.delete(now, given["name"], epoch=given["epoch"]))
            self._leave(given["name"])
        elif do == "acquire":
            held = now.lease
            dead = held is not None and held.owner != given["owner"] and owners.bury(self.place, held.owner)
            if held is not None and dead:
                self.say(f"{held.owner} died; its lease goes to {given['owner']}")
                now = state.release(now, held.owner, held.epoch)
            await self._commit(state.acquire(now, **given))
            return msgspec.to_builtins(self.state.lease)
        elif do == "release":
            await self._commit(state.release(now, **given))
        else:
            raise InvalidInput(
                f"the supervisor does not know '{do}'", hint="stop the endpoint; an older one is running"
            )
        return None

    async def _commit(self, new: state.State) -> None:
        if new != self.state:
            await asyncio.to_thread(write_whole, self.place.state, state.dump(new), mode=0o600)
            self.state = new

    def _begin(self, spec: state.Spec) -> None:
        server = servers.Server(spec, self.place.deployment(spec.name), self._run / f"d-{spec.name}")
        self.servers[spec.name] = server
        self.router.attach(server)
        server.task = asyncio.create_task(servers.run(server, self.means))

    def _is_leaving(self, name: str) -> bool:
        return name in self.servers and self.servers[name].state == "deleting"

    def _leave(self, name: str) -> None:
        server = self.servers.get(name)
        if server is None or server.state == "deleting":
            return
        server.state = "deleting"
        task = asyncio.create_task(self._remove(server))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _remove(self, server: servers.Server) -> None:
        target = self.router.targets[server.spec.name]
        await target.drain(server.timeout + 1)
        del self.router.targets[server.spec.name]
        target.upstream.close()
        await servers.end(server)
        await asyncio.to_thread(shutil.rmtree, server.folder, ignore_errors=True)
        self.servers.pop(server.spec.name, None)

    def _observe(self) -> dict[str, Any]:
        return {
            "exists": self.state.created,
            "url": self.url,
            "epoch": self.state.epoch,
            "traffic": self.state.traffic,
            "mirror": self.state.mirror,
            "tags": self.state.tags,
            "lease": msgspec.to_builtins(self.state.lease),
            "deployments": [server.to_json() for server in self.servers.values()],
        }

    def _requests(self, cursor: int) -> Any:
        return self.router.telemetry.since(cursor, _EVENTS_A_CALL)

    def _logs(self, name: str) -> str:
        server = self.servers.get(name)
        return "" if server is None else servers.tail(server.log)

    def _stop(self) -> None:
        self.stopping.set()

    def _defect(self, error: BaseException) -> None:
        self.say("defect: " + "".join(traceback.format_exception(error)))


def main() -> int:
    options = msgspec.json.decode(sys.stdin.buffer.read(), type=Options)
    place = layout.Layout(Path(options.folder))
    lock = os.open(place.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if not _take(lock):
        return 0  # another one serves this endpoint

    def say(line: str) -> None:
        sys.stderr.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {line}\n")
        sys.stderr.flush()

    asyncio.run(_serve(options, say))
    return 0


def _take(lock: int, seconds: float = 1.0) -> bool:
    """Take the lock; whoever only looks whether it is free holds it for an instant."""
    until = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # noqa: PERF203  # a few rounds
            if time.monotonic() > until:
                return False
            time.sleep(0.01)
        else:
            return True


async def _serve(options: Options, say: Callable[[str], None]) -> None:
    await Supervisor(options, say).main()


if __name__ == "__main__":
    sys.exit(main())
