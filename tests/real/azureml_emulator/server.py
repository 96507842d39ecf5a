"""The HTTPS proxy that the environment names. It maps the known hosts to this process and refuses every other.

CONNECT is answered, then TLS is spoken as the host that was asked for: what runs through is what would run over the
wire. Every CONNECT, and every plain request to another machine, is a line of the egress log.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from azureml_emulator import wire

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from azureml_emulator.faults import Plan, Rule

    Handler = Callable[[wire.Request], wire.Answer]


class Log:
    """A file of JSON lines."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()

    def __call__(self, **line: Any) -> None:
        with self._lock, self._path.open("a") as file:
            file.write(json.dumps({"ts": round(time.time(), 3), **line}) + "\n")


class Emulator(ThreadingHTTPServer):
    """`find(host)` is the handler of a host, or None for one that we do not stand for."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, find: Callable[[str], Handler | None], certificate: Path, plan: Plan, requests: Log, egress: Log
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.find, self.plan, self.requests, self.egress = find, plan, requests, egress
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(certificate)
        self.failing = threading.local()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are everyday; anything else is printed."""
        import sys

        if not isinstance(sys.exc_info()[1], (ConnectionError, ssl.SSLError, TimeoutError)):
            super().handle_error(request, client_address)


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Emulator
    tunnel = ""

    def do_CONNECT(self) -> None:
        host, _, port = self.path.rpartition(":")
        mapped = self.server.find(host.lower()) is not None and port == "443"
        self.server.egress(host=host, port=port, mapped=mapped)
        if not mapped:
            self.close_connection = True
            self.send_error(403, "not a host of this emulator")
            return
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb", -1)
        self.wfile = _Writer(self.connection)  # type: ignore[assignment]  # what socketserver itself puts there
        self.tunnel, self.close_connection = host.lower(), False

    def _any(self) -> None:
        host, target = self.tunnel, self.path
        if not host:
            url = urlsplit(self.path)
            host, target = (url.hostname or "").lower(), url._replace(scheme="", netloc="").geturl()
            self.server.egress(host=host, port=str(url.port or 80), mapped=self.server.find(host) is not None)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = wire.Request(self.command, host, target, headers, self._body())
        rule = self.server.plan.strike(request.method, host, request.path)
        if rule is not None and rule.do in ("slow", "hang"):
            time.sleep(rule.seconds)
        answer = self._answer(request, rule)
        self._log(request, answer, rule)
        if answer is None or (rule is not None and rule.do in ("reset", "lost", "hang")):
            self._break()
        else:
            self._send(answer)

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = do_HEAD = _any  # noqa: N815  # http.server's names

    def _answer(self, request: wire.Request, rule: Rule | None) -> wire.Answer | None:
        planted = None
        if rule is not None and rule.do in ("status", "late"):
            planted = wire.error(rule.status, rule.code, rule.message)
            planted.headers |= rule.headers
        if rule is not None and rule.do == "expired":
            planted = wire.error(401, "ExpiredAuthenticationToken", "The access token has expired.")
            planted.headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
        if rule is not None and rule.do in ("status", "expired", "reset", "hang"):
            return planted
        handler = self.server.find(request.host)
        if handler is None:
            return wire.error(403, "Egress", "not a host of this emulator")
        self.server.failing.rule = rule if rule is not None and rule.do == "fail" else None
        try:
            done = handler(request)
        except wire.Fault as fault:
            done = fault.answer
        except Exception as error:  # a defect of the emulator; the traceback goes to its log
            import traceback

            traceback.print_exc()
            done = wire.error(500, "EmulatorDefect", repr(error))
        return planted or done

    def _body(self) -> bytes:
        """The body. A proxy's clients send it apart, and only when what went before is acknowledged: so at once."""
        if hasattr(socket, "TCP_QUICKACK"):  # Linux; elsewhere each body takes 40 ms
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _send(self, answer: wire.Answer) -> None:
        raw = answer.raw()
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in ("transfer-encoding", "connection", "content-length", "keep-alive"):
                self.send_header(name, value)
        if self.command == "HEAD":
            self.send_header("Content-Length", answer.headers.get("Content-Length", str(len(raw))))
        elif answer.status not in (204, 304):
            self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        if self.command != "HEAD" and answer.status not in (204, 304):
            self.wfile.write(raw)

    def _break(self) -> None:
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def _log(self, request: wire.Request, answer: wire.Answer | None, rule: Rule | None) -> None:
        about: dict[str, Any] = {"method": request.method, "host": request.host, "path": request.path}
        about |= {"query": request.query, "status": None if answer is None else answer.status}
        if rule is not None:
            about["fault"] = rule.do
        if answer is not None and answer.status >= 400 and not isinstance(answer.body, bytes):
            about["error"] = answer.body.get("error")
        if request.host == "management.azure.com" and request.method in ("PUT", "PATCH", "POST") and request.body:
            about["body"] = request.json()
        self.server.requests(**about)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # http.server's name
        pass


class _Writer:
    """An unbuffered writer of a TLS socket."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self.closed = False

    def write(self, data: bytes) -> int:
        self._channel.sendall(data)
        return len(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True
