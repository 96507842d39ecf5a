"""Customers: connections kept alive, each asking again as soon as it was answered, every answer noted."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rollout_room import answer

from gates.backends.local.endpoint import layout

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from rollout_room import Room


@dataclass(frozen=True)
class Given:
    """One answer. at: when it was asked, wall seconds. version: who says to have answered; right: what is expected."""

    at: float
    status: int
    served_by: str
    version: str
    right: bool
    said: str
    seconds: float


class Load:
    """A closed loop of `connections`; `pause`: seconds that a customer thinks before asking again."""

    def __init__(self, room: Room, connections: int = 8, pause: float = 0.0) -> None:
        endpoint = room.endpoint()
        url = urlsplit(endpoint.observe().url)
        self.address = url.hostname or "", url.port or 0
        self.key, self.pause = layout.read_key(endpoint.place), pause
        self.names = {room.name(version): version for version in ("v1", "v2", "v3")}
        self.given: list[Given] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._loop, args=(n,)) for n in range(connections)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _loop(self, number: int) -> None:
        channel: socket.socket | None = None
        while not self._stop.wait(self.pause) if self.pause else not self._stop.is_set():
            number += 8
            at = time.time()
            try:
                channel = channel or socket.create_connection(self.address, timeout=60)
                status, served_by, body = self._ask(channel, number)
            except OSError as error:
                self.given.append(Given(at, 0, "", "", right=False, said=repr(error), seconds=time.time() - at))
                channel = None
                continue
            said = json.loads(body) if status == 200 else {}
            version = said.get("version", "")
            right = status == 200 and said == answer(version, number) and self.names.get(served_by) == version
            why, seconds = "" if right else body.decode()[:200], time.time() - at
            self.given.append(Given(at, status, served_by, version, right, why, seconds))
        if channel is not None:
            channel.close()

    def _ask(self, channel: socket.socket, number: int) -> tuple[int, str, bytes]:
        body = b'{"i": %d}' % number
        channel.sendall(
            b"POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Authorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s" % (self.key.encode(), len(body), body)
        )
        got = b""
        while b"\r\n\r\n" not in got:
            got += _more(channel)
        head, _, rest = got.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        while len(rest) < int(headers["content-length"]):
            rest += _more(channel)
        return int(first.split()[1]), headers.get("azureml-model-deployment", ""), rest

    def require_all_from(self, versions: AbstractSet[str]) -> int:
        """How many answers there were; each must be right, and from one of `versions`."""
        wrong = [one for one in self.given if not one.right]
        assert wrong == [], (len(wrong), wrong[:3])
        seen = Counter(one.version for one in self.given)
        assert set(seen) == set(versions), seen
        return len(self.given)


def _more(channel: socket.socket) -> bytes:
    data = channel.recv(65536)
    if not data:
        raise ConnectionError("the endpoint closed the connection")
    return data
