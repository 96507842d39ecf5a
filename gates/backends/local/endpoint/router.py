"""The router: Azure's contract for a managed online endpoint, on loopback.

`POST /score` with `Authorization: Bearer KEY`; the header `azureml-model-deployment` pins a deployment, and every
answer carries it with the one that served. Weights are one value that is replaced between requests. Mirrored copies are
sent after the live request was chosen; their answers are compared with the live one, recorded and dropped. No request
is sent twice.

What clients see is Azure's: 401, 404 (nobody to serve), 408 (longer than request_timeout_ms), 424 (the model answered
something else than 200; its own status is in `ms-azureml-model-error-statuscode`); and 502 and 503 where the model
server is dead. Events hold the model's own status, 504 for no answer in time, 502 and 503 as they are.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from gates.backends.local.endpoint.differences import distance
from gates.backends.local.endpoint.shares import Deck
from gates.backends.local.endpoint.upstream import Broken, Upstream

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gates.backends.local.endpoint.servers import Server
    from gates.backends.local.endpoint.telemetry import Telemetry

SERVED_BY = "azureml-model-deployment"
BODY_LIMIT = 64 * 1024 * 1024
_MIRRORS_AT_ONCE = 64
_FORWARDED = ("content-type", "accept", "x-request-id", "x-ms-client-request-id", "traceparent", "tracestate")
_DROPPED = frozenset(
    ("connection", "keep-alive", "transfer-encoding", "content-length", "server", "date", "upgrade", "trailer", "te")
)


class Target:
    """A deployment as the router sees it: where to send, and how many requests are there now."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.inflight = 0
        self.upstream = Upstream(str(server.socket))

    async def drain(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while self.inflight and time.monotonic() < until:
            await asyncio.sleep(0.01)


@dataclass(frozen=True)
class Reply:
    """What a deployment answered. status: its own; seen: what the client is told."""

    status: int
    seen: int
    body: bytes
    headers: Mapping[str, str]


class Router:
    """Holds the weights and the targets; the supervisor changes them."""

    def __init__(self, key: str, telemetry: Telemetry) -> None:
        self._bearer = f"Bearer {key}".encode()
        self.telemetry = telemetry
        self.targets: dict[str, Target] = {}
        self.live = Deck({})
        self.mirror = Deck({})
        self._mirrors: set[asyncio.Task[None]] = set()
        self._runner: web.ServerRunner | None = None

    def attach(self, server: Server) -> Target:
        """Make a deployment known; it gets requests by header, and by weight once it has one."""
        self.targets[server.spec.name] = target = Target(server)
        return target

    def weigh(self, traffic: Mapping[str, int], mirror: Mapping[str, int]) -> None:
        """Put new weights in force: every request that comes after this goes by them."""
        self.live, self.mirror = Deck(traffic), Deck(mirror)

    async def start(self, port: int) -> int:
        """Listen on loopback, on `port` when it is free, else on one that the system chooses; which."""
        loop = asyncio.get_running_loop()
        server = web.Server(
            self.handle,
            request_factory=lambda message, payload, protocol, writer, task: web.BaseRequest(
                message, payload, protocol, writer, task, loop, client_max_size=BODY_LIMIT
            ),
            access_log=None,
            keepalive_timeout=3600,
        )
        self._runner = web.ServerRunner(server)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, "127.0.0.1", port, backlog=1024).start()
        except OSError:
            if port == 0:
                raise
            await web.TCPSite(self._runner, "127.0.0.1", 0, backlog=1024).start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        for task in self._mirrors:
            task.cancel()
        await asyncio.gather(*self._mirrors, return_exceptions=True)
        for target in self.targets.values():
            target.upstream.close()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if path == "/score":
            return await self._score(request)
        if request.method != "GET":
            return _say(405, "only GET here")
        if path == "/":
            return self._health()
        if path == "/metrics":
            text = self.telemetry.prometheus(
                dict(self.live.shares), {name: bool(t.server.healthy) for name, t in self.targets.items()}
            )
            return web.Response(text=text, headers={"content-type": "text/plain; version=0.0.4; charset=utf-8"})
        return _say(404, "write POST /score, GET /metrics or GET /")

    def _health(self) -> web.Response:
        serving = {name: bool(self.targets[name].server.healthy) for name in self.live.shares if name in self.targets}
        healthy = bool(serving) and all(serving.values())
        return web.json_response({"healthy": healthy, "deployments": serving}, status=200 if healthy else 503)

    async def _score(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = request.headers
        if not hmac.compare_digest(headers.get("authorization", "").encode(), self._bearer):
            return _say(401, "give the endpoint's key as Authorization: Bearer KEY")
        if request.method != "POST":
            return _say(405, "only POST here")
        body = await request.read()
        pinned = headers.get(SERVED_BY)
        name = self.live.deal() if pinned is None else pinned
        target = None if name is None else self.targets.get(name)
        if target is None or name is None:
            return _say(404, "no deployment has traffic" if pinned is None else f"no deployment {pinned}")
        forwarded = {key: headers[key] for key in _FORWARDED if key in headers}
        live = self._copy(body, forwarded) if pinned is None else None
        reply = None
        try:
            reply = await self._send(target, name, body, forwarded, pinned=pinned is not None)
        finally:
            if live is not None and not live.done():
                live.set_result(reply)
        return web.Response(body=reply.body, status=reply.seen, headers={**reply.headers, SERVED_BY: name})

    def _copy(self, body: bytes, headers: dict[str, str]) -> asyncio.Future[Reply | None] | None:
        """Send a share of the live requests to the mirror too; beyond a backlog they are left out.

        Where a copy was sent: a future that wants the live reply, for comparison.
        """
        name = self.mirror.deal()
        target = None if name is None else self.targets.get(name)
        if name is None or target is None or len(self._mirrors) >= _MIRRORS_AT_ONCE:
            return None
        live: asyncio.Future[Reply | None] = asyncio.get_running_loop().create_future()

        async def copy() -> None:
            await self._send(target, name, body, headers, live=live)

        task = asyncio.create_task(copy())
        self._mirrors.add(task)
        task.add_done_callback(self._mirrors.discard)
        return live

    async def _send(
        self, target: Target, name: str, body: bytes, headers: dict[str, str], *, pinned: bool = False,
        live: asyncio.Future[Reply | None] | None = None,
    ) -> Reply:  # fmt: skip
        """Ask a deployment and record it; `live`: this is a copy, and what to compare its answer with."""
        mirrored = live is not None
        share = (self.mirror if mirrored else self.live).shares.get(name, 0) / 100
        arrived, begun = time.time(), time.perf_counter()
        target.inflight += 1
        try:
            reply = await _ask(target, body, headers)
        finally:
            target.inflight -= 1
        ms = (time.perf_counter() - begun) * 1000
        apart = None if live is None else _apart(reply, await live)
        self.telemetry.record((arrived, name, reply.status, ms, share, mirrored, pinned, apart))
        return reply


def _apart(copy: Reply, live: Reply | None) -> float | None:
    both = live is not None and (copy.status, live.status) == (200, 200)
    return distance(copy.body, live.body) if live is not None and both else None


async def _ask(target: Target, body: bytes, headers: dict[str, str]) -> Reply:
    server = target.server
    if not server.healthy:
        return _failed(503, 503, server.reason or f"deployment is {server.state}")
    try:
        status, given, content = await target.upstream.post("/score", headers, body, server.timeout)
    except TimeoutError:
        return _failed(504, 408, f"the model did not answer within {server.timeout:g} s")
    except (Broken, OSError) as error:
        return _failed(502, 502, f"the model server is gone: {type(error).__name__}: {error}")
    kept = {key: value for key, value in given.items() if key not in _DROPPED}
    if status == 200:
        return Reply(200, 200, content, kept)
    kept["ms-azureml-model-error-statuscode"] = str(status)
    return Reply(status, 424, content, kept)


def _failed(status: int, seen: int, why: str) -> Reply:
    return Reply(status, seen, json.dumps({"message": why}).encode(), {"content-type": "application/json"})


def _say(status: int, message: str) -> web.Response:
    return web.json_response({"message": message}, status=status)
