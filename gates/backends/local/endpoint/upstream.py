"""The router's side of a model server: HTTP/1.1 POSTs over a Unix socket, with connections kept alive.

Only what gunicorn speaks: a length, chunks, or the end of the connection. aiohttp's client does the same at four times
the cost (benchmarks/router.py), and the router has nothing to spare for it. A request is sent once: whatever happens to
it is its answer.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_IDLE_SECONDS = 1800.0
"""A connection that was idle for longer is not used again; the model server closes it after an hour."""

Answer = tuple[int, dict[str, str], bytes]
"""status, headers by lower-case name (the last of its name wins), body as it was sent."""


class Broken(Exception):  # the house's errors are named for what happened
    """The connection ended, or what came over it was no HTTP."""


class Upstream:
    """Connections to one socket. `post` may be called by any number of tasks at once."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()

    async def post(self, path: str, headers: Mapping[str, str], body: bytes, seconds: float) -> Answer:
        """One request. TimeoutError after `seconds`; OSError where nobody listens; Broken where the answer is cut."""
        lines = [f"POST {path} HTTP/1.1\r\nHost: model\r\nContent-Length: {len(body)}\r\n"]
        lines += [f"{name}: {value}\r\n" for name, value in headers.items()]
        connection = self._reuse() or await self._connect()
        try:
            answer = await connection.ask("".join(lines).encode("utf-8", "surrogateescape") + b"\r\n" + body, seconds)
        except BaseException:
            connection.drop()
            raise
        if connection.reusable:
            connection.idle_since = time.monotonic()
            self._idle.append(connection)
        else:
            connection.drop()
        return answer

    def close(self) -> None:
        for connection in tuple(self._all):
            connection.drop()

    def _reuse(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and time.monotonic() - connection.idle_since < _IDLE_SECONDS:
                return connection
            connection.drop()
        return None

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_unix_connection(lambda: Connection(self._all), self._path)
        return connection


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, everyone: set[Connection]) -> None:
        self._everyone = everyone
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._parser = Parser()
        self.reusable = False
        self.idle_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream's transport is a Transport
        self._everyone.add(self)

    def ask(self, request: bytes, seconds: float) -> asyncio.Future[Answer]:
        """Send a request; the future of its answer."""
        loop = asyncio.get_running_loop()
        self._waiter = waiter = loop.create_future()
        self._parser = Parser()
        self.reusable = False
        if self._transport is None or self._transport.is_closing():
            waiter.set_exception(Broken("the connection was closed"))
            return waiter
        self._transport.write(request)
        timer = loop.call_later(seconds, self._fail, TimeoutError())
        waiter.add_done_callback(lambda _: timer.cancel())
        return waiter

    def data_received(self, data: bytes) -> None:
        if self._waiter is None or self._waiter.done():
            self.drop()  # nobody asked
            return
        try:
            answer = self._parser.feed(data)
        except (ValueError, IndexError) as error:
            self._fail(Broken(f"the answer is not HTTP: {error}"))
            return
        if answer is not None:
            self.reusable = self._parser.keeps_alive
            self._waiter.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self.reusable = False
        self._everyone.discard(self)
        if self._waiter is not None and not self._waiter.done():
            answer = self._parser.end()
            if answer is not None:
                self._waiter.set_result(answer)
            else:
                self._fail(Broken(f"the connection ended: {exc or 'no answer'}"))

    def drop(self) -> None:
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, error: Exception) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)


class Parser:
    """One answer, fed in pieces. Raises ValueError for what is no HTTP/1.x."""

    def __init__(self) -> None:
        self._data = b""
        self._head: tuple[int, dict[str, str]] | None = None
        self._length: int | None = None
        self._chunks: list[bytes] | None = None
        self.keeps_alive = False

    def feed(self, data: bytes) -> Answer | None:
        """The answer once it is whole."""
        self._data = self._data + data if self._data else data
        while self._head is None:
            head, found, rest = self._data.partition(b"\r\n\r\n")
            if not found:
                return None
            self._data = rest
            self._begin(head)
        if self._chunks is not None:
            return self._unchunk()
        if self._length is None or len(self._data) < self._length:
            return None
        if len(self._data) > self._length:
            raise ValueError("more bytes than its length")
        return (*self._head, self._data)

    def end(self) -> Answer | None:
        """The connection ended: the answer, where its end is what ends it."""
        if self._head is None or self._length is not None or self._chunks is not None:
            return None
        return (*self._head, self._data)

    def _begin(self, head: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        version, status, *_ = first.split(" ", 2)
        if version not in ("HTTP/1.1", "HTTP/1.0") or not (status.isdigit() and len(status) == 3):
            raise ValueError(first[:80])
        headers = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon:
                raise ValueError(line[:80])
            headers[name.lower()] = value.strip()
        if status[0] == "1":
            return  # 100 Continue: the answer is still to come
        self._head = int(status), headers
        connection = headers.get("connection", "").lower()
        self.keeps_alive = connection != "close" if version == "HTTP/1.1" else connection == "keep-alive"
        if headers.get("transfer-encoding", "").lower() == "chunked":
            self._chunks = []
        elif "content-length" in headers:
            if not headers["content-length"].isdigit():
                raise ValueError("its length is no number")
            self._length = int(headers["content-length"])
        elif status in ("204", "304"):
            self._length = 0
        else:
            self.keeps_alive = False

    def _unchunk(self) -> Answer | None:
        while self._chunks is not None and self._head is not None:
            line, found, rest = self._data.partition(b"\r\n")
            if not found:
                return None
            size = int(line.partition(b";")[0], 16)
            if len(rest) < size + 2:
                return None
            if rest[size : size + 2] != b"\r\n":
                raise ValueError("a chunk is longer than its size")
            self._data = rest[size + 2 :]
            if size == 0:
                return (*self._head, b"".join(self._chunks))
            self._chunks.append(rest[:size])
        return None
