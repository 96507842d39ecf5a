"""What the local endpoint's router costs: `python benchmarks/router.py`, about a minute.

A bare echo server (it answers every request with the same bytes, unparsed) stands behind each of two deployments.
Measured: the latency at 100 requests a second, sent at a constant rate whatever the answers do, and the requests a
second that 16 connections in a closed loop get; straight to the echo server, through the router (asyncio and, when
installed, uvloop), and through nginx and haproxy with the same split and the same key, where they are installed.
Goals: at most 1 ms more at the median and 4 ms more at p99; at least 3,000 requests a second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1]))

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "benchmark"
BODY = json.dumps(
    {"input_data": {"columns": ["a", "b", "c", "d"], "index": [0], "data": [[1.0, 2.0, 3.0, 4.0]]}}
).encode()
REQUEST = (
    b"POST /score HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + KEY.encode() + b"\r\n"
    b"Content-Type: application/json\r\nContent-Length: " + str(len(BODY)).encode() + b"\r\n\r\n" + BODY
)
SPLIT = {"blue": 90, "green": 10}


class Echo(asyncio.Protocol):
    ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n[0.25, 0.75000]"

    def connection_made(self, transport: Any) -> None:
        self.transport, self.rest = transport, b""

    def data_received(self, data: bytes) -> None:
        self.rest += data
        while self.rest:
            head, found, body = self.rest.partition(b"\r\n\r\n")
            if not found:
                return
            at = head.lower().rindex(b"content-length:") + 15
            length = int(head[at:].split(b"\r\n", 1)[0])
            if len(body) < length:
                return
            self.rest = body[length:]
            self.transport.write(self.ANSWER)


def echo(folder: str) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        held = [await loop.create_unix_server(Echo, f"{folder}/d-{name}") for name in SPLIT]
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        Path(folder, "echo.port").write_text(str(server.sockets[0].getsockname()[1]))
        await asyncio.Event().wait()
        del held  # uvloop closes a server that nobody holds

    _loop_of("uvloop")(main())


def router(folder: str, loop: str) -> None:
    from gates.backends.local.endpoint.router import Router
    from gates.backends.local.endpoint.servers import Server
    from gates.backends.local.endpoint.state import Spec
    from gates.backends.local.endpoint.telemetry import Telemetry

    async def main() -> None:
        it = Router(KEY, Telemetry())
        for name in SPLIT:
            server = Server(
                Spec(name, "", "", ""), Path(folder), Path(folder, f"d-{name}"), state="ready", healthy=True
            )
            it.attach(server)
        it.weigh(SPLIT, {})
        Path(folder, f"{loop}.port").write_text(str(await it.start(0)))
        await asyncio.Event().wait()

    _loop_of(loop)(main())


def _loop_of(name: str) -> Any:
    if name == "uvloop":
        try:
            import uvloop
        except ImportError:
            return asyncio.run
        return uvloop.run
    return asyncio.run


class Connection(asyncio.Protocol):
    """One keep-alive connection; one request at a time."""

    def __init__(self) -> None:
        self.rest, self.waiter = b"", asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.rest += data
        head, found, body = self.rest.partition(b"\r\n\r\n")
        if found:
            at = head.lower().index(b"content-length:") + 15
            if len(body) >= int(head[at:].split(b"\r\n", 1)[0]):
                status, self.rest = int(head[9:12]), b""
                self.waiter.set_result(status)

    def connection_lost(self, exc: BaseException | None) -> None:  # noqa: ARG002  # asyncio's contract
        if not self.waiter.done():
            self.waiter.set_result(0)

    def ask(self) -> asyncio.Future[int]:
        self.waiter = asyncio.get_running_loop().create_future()
        self.transport.write(REQUEST)
        return self.waiter


async def connect(port: int) -> Connection:
    _, protocol = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return protocol


async def constant_rate(port: int, rate: float, seconds: float) -> list[float]:
    """Milliseconds from the moment a request was due to its answer, so that a stall is not hidden."""
    idle = [await connect(port) for _ in range(8)]
    taken: list[float] = []

    async def one(due: float) -> None:
        connection = idle.pop() if idle else await connect(port)
        status = await connection.ask()
        taken.append((time.perf_counter() - due) * 1000)
        if status != 200:
            raise SystemExit(f"answered {status}")
        idle.append(connection)

    begun, tasks = time.perf_counter(), []
    for number in range(int(rate * seconds)):
        due = begun + (number + random.random() * 0.5) / rate
        delay = due - time.perf_counter()
        if delay > 0:
            await asyncio.sleep(delay)
        tasks.append(asyncio.create_task(one(max(due, time.perf_counter()))))
    await asyncio.gather(*tasks)
    return sorted(taken)


async def closed_loop(port: int, connections: int, seconds: float) -> float:
    """Requests a second; every answer must be 200."""
    until, done = time.perf_counter() + seconds, 0

    async def one() -> int:
        connection, count = await connect(port), 0
        while time.perf_counter() < until:
            if (status := await connection.ask()) != 200:
                raise SystemExit(f"answered {status}")
            count += 1
        return count

    done = sum(await asyncio.gather(*(one() for _ in range(connections))))
    return done / seconds


@contextmanager
def nginx(folder: str) -> Iterator[int | None]:
    """nginx with the same split, one worker, on a port of its own; None when it is not installed."""
    command = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if command is None:
        yield None
        return
    port = 20000 + os.getpid() % 20000
    Path(folder, "nginx.conf").write_text(f"""
{"user root;" if os.getuid() == 0 else ""} daemon off; worker_processes 1;
pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 1024; }}
http {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream blue {{ server unix:{folder}/d-blue; keepalive 64; }}
  upstream green {{ server unix:{folder}/d-green; keepalive 64; }}
  split_clients "$request_id" $which {{ 10% green; * blue; }}
  map "$http_authorization" $ok {{ default 0; "Bearer {KEY}" 1; }}
  server {{ listen 127.0.0.1:{port}; keepalive_requests 1000000;
    location /score {{ if ($ok = 0) {{ return 401; }} proxy_pass http://$which; proxy_http_version 1.1;
      proxy_set_header Connection ""; add_header azureml-model-deployment $which; }} }} }}
""")
    process = subprocess.Popen([command, "-c", f"{folder}/nginx.conf"], stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    try:
        yield port
    finally:
        process.terminate()
        process.wait()


@contextmanager
def haproxy(folder: str) -> Iterator[int | None]:
    """haproxy likewise, one thread; None when it is not installed."""
    command = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
    if command is None:
        yield None
        return
    port = 20000 + (os.getpid() + 1) % 20000
    Path(folder, "haproxy.cfg").write_text(f"""
global
  nbthread 1
  maxconn 1024
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
frontend score
  bind 127.0.0.1:{port}
  http-request deny deny_status 401 unless {{ req.hdr(authorization) -m str "Bearer {KEY}" }}
  default_backend models
backend models
  balance random
  http-reuse always
  http-response set-header azureml-model-deployment %s
  server blue unix@{folder}/d-blue weight 90
  server green unix@{folder}/d-green weight 10
""")
    process = subprocess.Popen([command, "-q", "-f", f"{folder}/haproxy.cfg"], stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    try:
        yield port
    finally:
        process.terminate()
        process.wait()


def measure(port: int, seconds: float) -> dict[str, float]:
    run = _loop_of("uvloop")
    run(closed_loop(port, 16, 0.3))
    taken = run(constant_rate(port, 100, seconds))
    rate = run(closed_loop(port, 16, seconds))
    return {"p50": statistics.median(taken), "p99": taken[int(len(taken) * 0.99)], "rate": rate}


def middle(rounds: list[dict[str, float]]) -> dict[str, float]:
    """The median of each figure: whoever else uses the machine disturbs some rounds, and all targets alike."""
    return {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}


def _port(folder: str, name: str) -> int:
    file = Path(folder, f"{name}.port")
    for _ in range(200):
        if file.exists() and file.read_text():
            return int(file.read_text())
        time.sleep(0.05)
    raise SystemExit(f"{name} did not start")


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=3.0)
    arguments.add_argument("--rounds", type=int, default=5, help="each measures every target; the median counts")
    arguments.add_argument("--check", action="store_true", help="fail when a goal is missed")
    given = arguments.parse_args()
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as folder, ExitStack() as peers:
        parts = [spawn.Process(target=echo, args=(folder,), daemon=True)]
        parts += [spawn.Process(target=router, args=(folder, loop), daemon=True) for loop in ("asyncio", "uvloop")]
        for part in parts:
            part.start()
        ports = {"echo server alone": _port(folder, "echo"), "router, asyncio": _port(folder, "asyncio"),
                 "router, uvloop": _port(folder, "uvloop")}  # fmt: skip
        for name, proxy in (("nginx", nginx), ("haproxy", haproxy)):
            port = peers.enter_context(proxy(folder))
            if port is None:
                print(f"{name} is not installed")
            else:
                ports[name] = port
        rounds: dict[str, list[dict[str, float]]] = {name: [] for name in ports}
        for _ in range(given.rounds):
            for name, port in ports.items():
                rounds[name].append(measure(port, given.seconds))
        for part in parts:
            part.terminate()
    found = {name: middle(some) for name, some in rounds.items()}
    bare, ours = found["echo server alone"], found["router, asyncio"]
    for name, seen in found.items():
        ratios = "  ours to it: " + " ".join(f"{key} {ours[key] / seen[key]:.2f}" for key in seen)
        print(f"{name:20} p50 {seen['p50']:6.3f} ms  p99 {seen['p99']:7.3f} ms  {seen['rate']:7.0f} requests/s{ratios}")
    added, tail = ours["p50"] - bare["p50"], ours["p99"] - bare["p99"]
    print(f"the router adds {added:.3f} ms (p50), {tail:.3f} ms (p99), and carries {ours['rate']:.0f} requests/s")
    return int(given.check and not (added <= 1 and tail <= 4 and ours["rate"] >= 3000))


if __name__ == "__main__":
    sys.exit(main())
