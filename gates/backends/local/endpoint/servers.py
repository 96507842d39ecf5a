"""One model server a deployment: Azure ML's own inference server under gunicorn, on a Unix socket.

The model and the code are copied first, so that what was gated is what serves for as long as it serves; the copy's
identity is compared with the spec's. Then the environment is built, which proves that its requirements resolve, then
gunicorn is started behind the guard. Facts: gunicorn's default worker closes every connection, hence gthread and a long
keep-alive; one thread by default, as Azure runs a script that may not be thread-safe; a worker that dies ends the
server: a dying green is rolled back, not healed.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gates.backends.local.endpoint import layout, mlflow_score, packages
from gates.errors import GatesError, InvalidInput
from gates.runtime import environments, process

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gates.backends.local.endpoint.state import Spec

START_SECONDS = 300.0
_POLL = 0.1
_KEEP_ALIVE = 3600
_SKIPPED = shutil.ignore_patterns(".git", ".gates", "__pycache__", ".venv", "node_modules", ".ipynb_checkpoints")

_GUNICORN = """\
import os, signal
bind = {bind!r}
workers = {workers}
worker_class = "gthread"
threads = {threads}
keepalive = {keep_alive}
timeout = 0
graceful_timeout = 10
umask = 0o177
proc_name = {name!r}
control_socket_disable = True

def child_exit(server, worker):
    server.log.error("worker %s ended; the model server ends too", worker.pid)
    os.kill(os.getpid(), signal.SIGTERM)
"""


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
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def timeout(self) -> float:
        """Seconds that a request may take: request_settings.request_timeout_ms, 5 s as on Azure."""
        return float((self.spec.body.get("request_settings") or {}).get("request_timeout_ms") or 5000) / 1000

    def tail(self, lines: int = 50) -> str:
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - 65536))
                text = file.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

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


async def run(server: Server, means: Means) -> None:
    """Create, start and watch a server, until it fails or its task is cancelled. Never raises an end that is known."""
    try:
        argv, env = await asyncio.to_thread(_make, server.spec, server.folder, server.socket, means, server.log)
        server.child = process.start(argv, cwd=server.folder / "code", env=env, log=server.log)
        await _until_ready(server)
    except (GatesError, OSError) as error:
        server.state, server.healthy, server.reason = "failed", False, f"{error}"
        _say(server.log, f"failed: {error}")
        if server.child is not None:
            await asyncio.to_thread(server.child.terminate, 1.0)
        return
    server.state, server.healthy, server.reason = "ready", True, ""
    while server.child.poll() is None:
        await asyncio.sleep(_POLL)
    server.healthy, server.reason = False, f"the model server ended: {_how(server.child.poll())}"
    _say(server.log, server.reason)


async def end(server: Server, grace: float = 2.0) -> None:
    """Stop watching, stop the process, forget the copies."""
    if server.task is not None:
        server.task.cancel()
        await asyncio.gather(server.task, return_exceptions=True)
    if server.child is not None:
        await asyncio.to_thread(server.child.terminate, grace)
    server.socket.unlink(missing_ok=True)


async def _until_ready(server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    while server.child is not None:
        status = server.child.poll()
        if status is not None:
            raise InvalidInput(
                f"the model server of {server.spec.name} did not start, it {_how(status)}: {_why(server)}",
                hint=f"read {server.log}",
            )
        if await _answers(server.socket):
            return
        if time.monotonic() > deadline:
            raise InvalidInput(f"the model server of {server.spec.name} did not start within {START_SECONDS:.0f} s")
        await asyncio.sleep(0.05)


async def _answers(socket: Path) -> bool:
    """Whether the server's liveness route says 200."""
    try:
        reader, writer = await asyncio.open_unix_connection(socket)
    except OSError:
        return False
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: model\r\nConnection: close\r\n\r\n")
        return b" 200 " in await asyncio.wait_for(reader.readline(), START_SECONDS)
    except (OSError, asyncio.TimeoutError):
        return False
    finally:
        writer.close()


def _make(spec: Spec, folder: Path, socket: Path, means: Means, log: Path) -> tuple[list[str], dict[str, str]]:
    """Copy, verify, build; the command and its environment."""
    socket.unlink(missing_ok=True)
    model = _copy_model(spec, folder)
    code, script = _copy_code(spec, folder, model)
    if script == "":
        code, script = folder / "code", str(Path(mlflow_score.__file__))
        code.mkdir(parents=True, exist_ok=True)
    python = environments.build(
        packages.requirements(spec.body, model),
        python=means.python,
        cache=means.cache,
        env=means.env,
        say=lambda line: _say(log, line),
    )
    config = folder / "server.conf.py"
    settings = {str(k): str(v) for k, v in (spec.body.get("environment_variables") or {}).items()}
    request = spec.body.get("request_settings") or {}
    content = _GUNICORN.format(
        bind=f"unix:{socket}",
        workers=int(settings.get("WORKER_COUNT", "1")),
        threads=int(request.get("max_concurrent_requests_per_instance") or 1),
        keep_alive=_KEEP_ALIVE,
        name=f"gates-{spec.name}",
    )
    layout.write(config, content.encode())
    argv = [str(python), "-m", "gunicorn", "-c", str(config), "azureml_inference_server_http.server.entry:app"]
    return argv, {
        **serving(means.env),
        "PYTHONUNBUFFERED": "1",
        **settings,
        "PATH": f"{python.parent}:{means.env.get('PATH', '/usr/bin:/bin')}",
        "AML_APP_ROOT": str(code),
        "AZUREML_ENTRY_SCRIPT": script,
        "AZUREML_MODEL_DIR": str(model.parent),
        "GATES_MODEL": str(model),
        "GATES_MODEL_DIGEST": spec.model_digest,
    }


_BUILDING = ("PIP_", "UV_")
_PASSED = (
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_", "TZ", "TMPDIR", "XDG_CACHE_HOME", "SSL_CERT_",
    "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy",
    "no_proxy", "LD_LIBRARY_PATH", "DYLD_", "OMP_", "MKL_", "OPENBLAS_", "CUDA_",
)  # fmt: skip


def inherited(env: Mapping[str, str]) -> dict[str, str]:
    """What of a command's environment outlives it: nothing that a pipeline put there as a secret of its own."""
    return {name: value for name, value in env.items() if name.startswith((*_PASSED, *_BUILDING))}


def serving(env: Mapping[str, str]) -> dict[str, str]:
    """What a model server sees: not the settings of the package index, which may hold a password."""
    return {name: value for name, value in env.items() if name.startswith(_PASSED)}


def _copy_model(spec: Spec, folder: Path) -> Path:
    """`<folder>/model/<its own name>`: AZUREML_MODEL_DIR is the folder above it, as on Azure."""
    source = Path(spec.model)
    target = folder / "model" / (source.name or "model")
    if not target.exists():
        if not source.exists():
            raise InvalidInput(f"model of {spec.name} not found: {source}", hint="download it first")
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy(source, target)
    if target.is_dir():
        found = mlflow_score.identity(target)
        if spec.model_digest.removeprefix("sha256:") != found:
            raise InvalidInput(
                f"model of {spec.name} is not the one that was gated: {found[:12]} instead of {spec.model_digest[:19]}",
                hint="gate these bytes, or deploy those that were gated",
            )
    return target


def _copy_code(spec: Spec, folder: Path, model: Path) -> tuple[Path, str]:
    """The user's code and the script in it; ('', '') for an MLflow model that brings none."""
    given = spec.body.get("code_configuration")
    if not given:
        if not (model / "MLmodel").is_file():
            raise InvalidInput(
                f"{spec.name} has neither code_configuration nor an MLflow model",
                hint="give code_configuration with code and scoring_script",
            )
        return folder / "code", ""
    source, script = Path(given["code"]), str(given["scoring_script"])
    if not (source / script).is_file():
        raise InvalidInput(f"scoring_script not found: {source / script}", hint="code is relative to the YAML file")
    target = folder / "code"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy(source, target)
    return target, script


def _copy(source: Path, target: Path) -> None:
    """Copy a file or a tree beside, then rename: a half copy is never taken for a whole one."""
    half = target.with_name(f".{target.name}.half")
    if half.is_dir():
        shutil.rmtree(half)
    half.unlink(missing_ok=True)
    if source.is_dir():
        shutil.copytree(source, half, ignore=_SKIPPED)
    else:
        shutil.copy2(source, half)
    half.replace(target)


def _why(server: Server) -> str:
    """The line of its log that says why a server ended: the last exception, else the last line."""
    lines = [line.strip() for line in server.tail(200).splitlines() if line.strip()]
    telling = [line for line in lines if "Error" in line.split(":")[0].split(" ")[-1]]
    return (telling or lines or ["it said nothing"])[-1][:300]


def _how(status: int | None) -> str:
    return process.Finished(status or 0, timed_out=False, tail=()).how


def _say(log: Path, line: str) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} gates: {line}\n")
