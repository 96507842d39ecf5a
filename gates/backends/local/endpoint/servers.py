"""One model server a deployment: Azure ML's own inference server under gunicorn, on a Unix socket.

Creating one copies and verifies the model (copies.py), builds the environment, which proves that its requirements
resolve, and starts gunicorn behind the guard. Facts: gunicorn's default worker closes every connection, hence gthread
and a long keep-alive; one thread by default, as on Azure, since a script need not be thread-safe; a worker that dies
ends the server: a dying green is rolled back, not healed.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gates.backends.local.endpoint import copies, mlflow_score, packages
from gates.errors import GatesError, InvalidInput, Unavailable
from gates.files import write_whole
from gates.runtime import environments, process, scoring

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gates.backends.local.endpoint.state import Spec

START_SECONDS = 300.0
TIMEOUT_SECONDS = 5.0
"""Azure's default of request_settings.request_timeout_ms."""
LOG_LIMIT = 32 * 1024 * 1024
_POLL = 0.1

_GUNICORN = """\
import os
bind = {bind!r}
workers = {workers}
worker_class = "gthread"
threads = {threads}
keepalive = 3600
timeout = 0
graceful_timeout = 10
umask = 0o177
proc_name = {name!r}
control_socket_disable = True

def child_exit(server, worker):
    server.log.error("worker %s ended; the model server ends too", worker.pid)
    os._exit(1)
"""

_PASSED = (
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_", "TZ", "TMPDIR", "XDG_CACHE_HOME", "SSL_CERT_",
    "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy",
    "no_proxy", "LD_LIBRARY_PATH", "DYLD_", "OMP_", "MKL_", "OPENBLAS_", "CUDA_",
)  # fmt: skip
_BUILDING = ("PIP_", "UV_")


@dataclass(frozen=True)
class Means:
    """What a supervisor was given to start servers with. `env`: what children inherit; `python`: their interpreter."""

    env: Mapping[str, str]
    python: Path
    cache: Path


@dataclass
class Server:
    """A deployment as it runs. Changed only by the event loop's thread."""

    spec: Spec
    folder: Path
    socket: Path
    state: str = "creating"
    healthy: bool | None = None
    reason: str = ""
    child: process.Child | None = None
    task: asyncio.Task[None] | None = None

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def timeout(self) -> float:
        """Seconds that a request may take."""
        settings = self.spec.body.get("request_settings") or {}
        return float(settings.get("request_timeout_ms") or TIMEOUT_SECONDS * 1000) / 1000

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.spec.name,
            "state": self.state,
            "spec_digest": self.spec.spec_digest,
            "model_digest": self.spec.model_digest,
            "healthy": self.healthy,
            "reason": self.reason,
            "pid": None if self.child is None else self.child.pid,
        }


def inherited(env: Mapping[str, str]) -> dict[str, str]:
    """What of a command's environment outlives it: nothing that a pipeline put there as a secret of its own."""
    return {name: value for name, value in env.items() if name.startswith((*_PASSED, *_BUILDING))}


def serving(env: Mapping[str, str]) -> dict[str, str]:
    """What a model server sees: not the settings of the package index, which may hold a password."""
    return {name: value for name, value in environments.clean(env).items() if name.startswith(_PASSED)}


async def run(server: Server, means: Means) -> None:
    """Create, start and watch a server until it ends or the task is cancelled. An end that is known is not raised."""
    try:
        argv, env = await asyncio.to_thread(_make, server.spec, server.folder, server.socket, means, server.log)
        server.child = process.start(argv, cwd=server.folder / "code", env=env, log=server.log)
        await _until_ready(server, server.child)
    except (GatesError, OSError) as error:
        server.state, server.healthy, server.reason = "failed", False, str(error)
        say(server.log, f"failed: {error}")
        if server.child is not None:
            await asyncio.to_thread(server.child.terminate, 1.0)
        return
    server.state, server.healthy, server.reason = "ready", True, ""
    while server.child.poll() is None:
        await asyncio.sleep(_POLL)
        trim(server.log)
    server.healthy, server.reason = False, f"the model server {_how(server.child.poll())}: {why(server.log)}"
    say(server.log, server.reason)


async def end(server: Server, grace: float = 2.0) -> None:
    """Stop watching and stop the process."""
    if server.task is not None:
        server.task.cancel()
        await asyncio.gather(server.task, return_exceptions=True)
    if server.child is not None:
        await asyncio.to_thread(server.child.terminate, grace)
    server.socket.unlink(missing_ok=True)


async def _until_ready(server: Server, child: process.Child) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not await _answers(server.socket):
        status = child.poll()
        if status is not None:
            raise Unavailable(
                f"the model server of {server.spec.name} did not start, it {_how(status)}: {why(server.log)}",
                hint=f"read {server.log}",
            )
        if time.monotonic() > deadline:
            raise Unavailable(
                f"the model server of {server.spec.name} did not start within {START_SECONDS:.0f} s",
                hint=f"read {server.log}",
            )
        await asyncio.sleep(0.05)


async def _answers(socket: Path) -> bool:
    """Whether the server's liveness route says 200; it waits while the model is being loaded."""
    try:
        reader, writer = await asyncio.open_unix_connection(socket)
    except OSError:
        return False
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: model\r\nConnection: close\r\n\r\n")
        return b" 200 " in await asyncio.wait_for(reader.readline(), 1.0)
    except (OSError, asyncio.TimeoutError):
        return False
    finally:
        writer.close()


def _make(spec: Spec, folder: Path, socket: Path, means: Means, log: Path) -> tuple[list[str], dict[str, str]]:
    """Copy, verify, build; the command and its environment."""
    socket.unlink(missing_ok=True)
    model = copies.model(spec, folder)
    code, script = copies.code(spec, folder)
    if not script and not (model / "MLmodel").is_file():
        raise InvalidInput(
            f"{spec.name} has neither an MLflow model nor a scoring script", hint="give it a code_configuration"
        )
    python = environments.build(
        packages.requirements(spec.body, model),
        python=means.python,
        cache=means.cache,
        env=means.env,
        say=lambda line: say(log, line),
    )
    settings = {str(key): str(value) for key, value in (spec.body.get("environment_variables") or {}).items()}
    config = folder / "server.conf.py"
    write_whole(config, _configuration(spec, settings, socket), mode=0o600)
    argv = [str(python), "-m", "gunicorn", "-c", str(config), "azureml_inference_server_http.server.entry:app"]
    return argv, {
        **serving(means.env),
        "PYTHONUNBUFFERED": "1",
        **environments.bytecode(python),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        **settings,
        "PATH": f"{python.parent}:{means.env.get('PATH', '/usr/bin:/bin')}",
        "AML_APP_ROOT": str(code),
        "AZUREML_ENTRY_SCRIPT": script or str(Path(mlflow_score.__file__)),
        "AZUREML_MODEL_DIR": str(model.parent),
        "GATES_MODEL": str(model),
        "GATES_MODEL_DIGEST": spec.model_digest,
        "GATES_SCORE": spec.score,
        "GATES_WORKER": str(scoring.WORKER),
    }


def _configuration(spec: Spec, settings: Mapping[str, str], socket: Path) -> str:
    request = spec.body.get("request_settings") or {}
    return _GUNICORN.format(
        bind=f"unix:{socket}",
        workers=int(settings.get("WORKER_COUNT", "1")),
        threads=int(request.get("max_concurrent_requests_per_instance") or 1),
        name=f"gates-{spec.name}",
    )


def tail(log: Path, lines: int = 50) -> str:
    """The last lines of a log; '' where there is none yet."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 65536))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def trim(log: Path, limit: int = LOG_LIMIT) -> None:
    """Keep the end of a log beyond `limit` bytes: a server that writes a line a request is never done."""
    if log.stat().st_size > limit:
        kept = tail(log, 1000)
        with log.open("r+b") as file:  # the server appends, so it goes on behind what stays
            file.truncate(0)
            file.write(f"(earlier lines were dropped)\n{kept}\n".encode())


def why(log: Path) -> str:
    """The line of a log that says why a server ended: the last exception, else the last line."""
    lines = [line.strip() for line in tail(log, 200).splitlines() if line.strip()]
    telling = [line for line in lines if line.partition(":")[0].endswith(("Error", "Exception", "Failure"))]
    telling = [line for line in telling if not line.startswith("azureml_inference_server_http.")]  # the wrapping one
    return (telling or lines or ["it said nothing"])[-1][:300]


def say(log: Path, line: str) -> None:
    """Add a line of ours to a deployment's log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} gates: {line}\n")


def _how(status: int | None) -> str:
    return process.Finished(status or 0, timed_out=False, tail=()).how
