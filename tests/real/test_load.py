"""The load test tells of a stall what customers would: both by our own threads and by k6."""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import pytest

from gates.collect import load
from gates.errors import Unavailable
from gates.rollout.ends import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BODIES = [b'{"i": 1}', b'{"i": 2}']
STALL = 0.8


class Service(ThreadingHTTPServer):
    """Answers at once with 200, but for one stall and for the requests that it fails."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, bytes]] = []
        self.first = 0.0
        self.stalls, self.fails = False, 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}/score"

    def handle_error(self, *_: Any) -> None:
        """A client that was ended breaks its connections."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Service

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        service = self.server
        service.first = service.first or time.monotonic()
        service.seen.append((self.headers["azureml-model-deployment"], body))
        passed = time.monotonic() - service.first
        if service.stalls and 0.5 < passed < 0.5 + STALL:
            time.sleep(0.5 + STALL - passed)
        self.send_response(500 if len(service.seen) <= service.fails else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving() -> Iterator[Service]:
    service = Service()
    thread = threading.Thread(target=service.serve_forever, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        service.shutdown()
        service.server_close()


def ours(service: Service, seconds: float, beat: Callable[[], None]) -> load.Loaded:
    def ask(body: bytes) -> int:
        request = Request(service.url, body, {"azureml-model-deployment": "green"})
        try:
            with urlopen(request, timeout=load.TIMEOUT) as answer:
                return int(answer.status)
        except OSError as error:
            return int(getattr(error, "code", 0))

    return load.constant_rate(ask, BODIES, rate=50, seconds=seconds, beat=beat)


def k6(service: Service, seconds: float, beat: Callable[[], None]) -> load.Loaded:
    headers = {"azureml-model-deployment": "green"}
    done = load.k6(service.url, headers, BODIES, rate=50, seconds=seconds, beat=beat, env=dict(os.environ))
    assert done is not None
    return done


@pytest.fixture(params=[ours, k6], ids=["gates", "k6"])
def tool(request: pytest.FixtureRequest, need: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> Any:
    if request.param is k6:
        found = Path(need("k6")).parent
        monkeypatch.setenv("PATH", f"{found}{os.pathsep}{os.environ['PATH']}")
    return request.param


def test_a_stall_is_not_hidden(tool: Callable[..., load.Loaded]) -> None:
    """All that fell due in the stall were late, half of them by more than half of it; not one request a connection."""
    beats: list[float] = []
    with serving() as service:
        service.stalls = True
        done = tool(service, 3, lambda: beats.append(time.monotonic()))
    late = sum(ms > STALL * 500 for ms in done.ms)
    print(f"\n{done.tool}: {len(done.ms)} requests, {late} later than {STALL / 2:g} s, worst {max(done.ms):.0f} ms")
    assert 148 <= len(done.ms) <= 152
    assert late >= 0.4 * STALL * 50
    assert max(done.ms) >= STALL * 900
    assert done.failed == 0
    assert {header for header, _ in service.seen} == {"green"}
    assert {body for _, body in service.seen} == set(BODIES)
    assert len(beats) >= 3, "the lease is kept meanwhile"


def test_what_fails_is_counted(tool: Callable[..., load.Loaded]) -> None:
    with serving() as service:
        service.fails = 10
        done = tool(service, 1, lambda: None)
    assert done.failed == 10
    assert done.evidence().counts[load.ERRORS].bad == 10
    assert done.evidence().samples[load.LATENCY].shape == (len(done.ms),)


def test_whoever_stops_the_rollout_stops_the_load(tool: Callable[..., load.Loaded]) -> None:
    begun = time.monotonic()

    def beat() -> None:
        if time.monotonic() - begun > 0.5:
            raise Stopped

    with serving() as service, pytest.raises(Stopped):
        tool(service, 60, beat)
    assert time.monotonic() - begun < 30


def test_nobody_there_fails_every_request_of_ours_and_k6_that_cannot_run_is_an_error(tmp_path: Path) -> None:
    done = load.constant_rate(lambda _: 0, BODIES, rate=100, seconds=0.2, beat=lambda: None)
    assert (done.failed, len(done.ms)) == (20, 20)
    broken = tmp_path / "k6"
    broken.write_text("#!/bin/sh\necho no licence >&2\nexit 3\n")
    broken.chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    with pytest.raises(Unavailable, match="k6 ended with 3: no licence"):
        load.k6("http://127.0.0.1:1/", {}, BODIES, rate=5, seconds=1, beat=lambda: None, env=env)
    assert (
        load.k6("http://127.0.0.1:1/", {}, BODIES, rate=5, seconds=1, beat=lambda: None, env={"PATH": "/bin"}) is None
    )
