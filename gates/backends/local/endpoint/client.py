"""The command's side of a local endpoint: start its supervisor, speak to it, stop it.

`LocalEndpoint` fits `gates.rollout.port.Endpoint` by shape. The supervisor is started when it is needed and none runs;
observing an endpoint that was never created starts nothing.
"""

from __future__ import annotations

import fcntl
import http.client
import os
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

import gates
from gates.backends.local.endpoint import control, layout, owners, servers, state
from gates.errors import Unavailable
from gates.runtime.process import detach
from gates.serving import Answer, DeploymentSpec, DeploymentView, EndpointView, Lease, RequestEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from gates.backends.local.endpoint.layout import Layout

SERVED_BY = "azureml-model-deployment"
START_SECONDS = 30.0
_QUESTIONS = ("observe", "requests", "logs")
"""What may be asked again of the next supervisor, when one dies while it answers."""


@dataclass(frozen=True)
class LocalEndpoint:
    """One endpoint of this machine. `env`: what model servers inherit; `python`: the base of their environments;
    `cache`: where these environments are kept, shared by all endpoints; `score`: how MLflow models are asked;
    `mask`: told the endpoint's key as soon as there is one, so that no log of the command shows it."""

    place: Layout
    env: Mapping[str, str]
    python: Path
    cache: Path
    score: str = "auto"
    mask: Callable[[str], None] = lambda _: None

    @property
    def name(self) -> str:
        return self.place.name

    @property
    def key_file(self) -> Path:
        return self.place.key

    def observe(self) -> EndpointView:
        if not state.load(self.place.state, self.name).created:
            return EndpointView(exists=False)
        seen = self._call("observe")
        views = [DeploymentView(**{k: v for k, v in d.items() if k != "pid"}) for d in seen["deployments"]]
        return EndpointView(
            exists=seen["exists"],
            updating=any(view.state in ("creating", "deleting") for view in views),
            url=seen["url"],
            traffic=seen["traffic"],
            mirror=seen["mirror"],
            tags=seen["tags"],
            deployments={view.name: view for view in views},
        )

    def create_endpoint(self, body: Mapping[str, Any], *, epoch: int) -> None:
        self._call("create_endpoint", tags=dict(body.get("tags") or {}), epoch=epoch)

    def create(self, spec: DeploymentSpec, *, epoch: int) -> None:
        self._call("create", spec={**asdict(spec), "score": self.score}, epoch=epoch)

    def write(
        self, *, traffic: Mapping[str, int], mirror: Mapping[str, int], tags: Mapping[str, str], epoch: int
    ) -> None:
        self._call("write", traffic=dict(traffic), mirror=dict(mirror), tags=dict(tags), epoch=epoch)

    def delete(self, name: str, *, epoch: int) -> None:
        self._call("delete", name=name, epoch=epoch)

    def ask(self, body: bytes, *, deployment: str | None = None, timeout: float = 30.0) -> Answer:
        """One POST to /score. status 0 where nothing answered within `timeout` seconds."""
        running = layout.read_running(self.place)
        if running is None:
            return Answer(0, "", 0.0, b"")
        headers = {"Authorization": f"Bearer {layout.read_key(self.place)}", "Content-Type": "application/json"}
        if deployment is not None:
            headers[SERVED_BY] = deployment
        url = urlsplit(running.url)
        begun = time.perf_counter()
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=timeout)
        try:
            connection.request("POST", url.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            return Answer(0, "", time.perf_counter() - begun, str(error).encode())
        finally:
            connection.close()
        return Answer(answer.status, answer.headers.get(SERVED_BY, ""), time.perf_counter() - begun, content)

    def address(self, deployment: str) -> tuple[str, Mapping[str, str]]:
        """URL and headers of a deployment, asked by name."""
        headers = {"Authorization": f"Bearer {layout.read_key(self.place)}", "Content-Type": "application/json"}
        return self.observe().url, {**headers, SERVED_BY: deployment}

    def requests_since(self, cursor: int) -> tuple[Sequence[RequestEvent], int]:
        events: list[RequestEvent] = []
        while True:
            more, cursor = self._call("requests", cursor=cursor)
            events += [RequestEvent(*event) for event in more]
            if not more:
                return events, cursor

    def logs(self, name: str) -> str:
        return str(self._call("logs", name=name))

    def acquire(self, owner: str, *, seconds: float, now: float) -> Lease:
        """As the port says; a lease whose owner is known to be dead counts as expired."""
        owners.hold(self.place, owner)
        return Lease(**self._call("acquire", owner=owner, seconds=seconds, now=now))

    def release(self, lease: Lease) -> None:
        self._call("release", owner=lease.owner, epoch=lease.epoch)
        owners.let_go(self.place, lease.owner)

    def _call(self, do: str, **arguments: Any) -> Any:
        running = layout.read_running(self.place)
        if running is not None and not _is_free(self.place.lock):
            try:
                return control.call(running.control, do, arguments)
            except control.NobodyThere:
                pass  # one is being started, or has just died
            except Unavailable:
                if do not in _QUESTIONS:
                    raise  # what was asked for may have been done: the caller looks first
        return control.call(self.start().control, do, arguments)

    def start(self) -> layout.Running:
        """The supervisor that runs, started if none did."""
        running = answering(self.place)
        if running is not None:
            return running
        self.place.folder.mkdir(parents=True, exist_ok=True)
        with _locked(self.place.start_lock):
            return answering(self.place) or self._start()

    def _start(self) -> layout.Running:
        options = msgspec.json.encode(
            {
                "folder": str(self.place.folder),
                "python": str(self.python),
                "cache": str(self.cache),
                "env": servers.inherited(self.env),
            }
        )
        root = str(Path(gates.__file__).parents[1])
        code = (
            f"import sys; {root!r} in sys.path or sys.path.insert(0, {root!r}); "
            "from gates.backends.local.endpoint.supervisor import main; sys.exit(main())"
        )
        process = detach(
            [sys.executable, "-c", code], cwd=self.place.folder, env=servers.inherited(self.env), log=self.place.log,
            given=options,
        )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            running = answering(self.place)
            if running is not None:
                self.mask(layout.read_key(self.place))
                return running
            if process.poll() is not None:
                break
            time.sleep(0.02)
        last = self.place.log.read_text("utf-8", "replace").strip().splitlines()[-1:]
        raise Unavailable(
            f"the supervisor of endpoint {self.name} did not start: {' '.join(last)}", hint=f"read {self.place.log}"
        )


def connect(
    state_dir: Path,
    name: str,
    *,
    env: Mapping[str, str],
    python: Path,
    cache: Path | None = None,
    score: str = "auto",
    mask: Callable[[str], None] = lambda _: None,
) -> LocalEndpoint:
    """The endpoint `name` under `state_dir`; its supervisor starts when it is needed.

    env: the command's environment, of which model servers see what is no secret; python: the base of their
    environments; cache: where those are kept (default `<state-dir>/environments`); score: how MLflow models are asked.
    """
    place = layout.locate(state_dir, name)
    if place.key.is_file():
        mask(layout.read_key(place))
    return LocalEndpoint(place, dict(env), python, cache or state_dir.resolve() / "environments", score, mask=mask)


def ensure(
    state_dir: Path,
    name: str,
    *,
    env: Mapping[str, str],
    python: Path,
    cache: Path | None = None,
    score: str = "auto",
) -> LocalEndpoint:
    """As `connect`, with the supervisor running. Two at once do no harm."""
    endpoint = connect(state_dir, name, env=env, python=python, cache=cache, score=score)
    endpoint.start()
    return endpoint


def stop(state_dir: Path, name: str, *, seconds: float = 30.0) -> bool:
    """End the supervisor and every model server; whether there was one. State stays, so that it can start again.

    Raises Unavailable when something is left after `seconds`.
    """
    place = layout.locate(state_dir, name)
    if not place.folder.is_dir():
        return False
    with _locked(place.start_lock):
        running = answering(place)
        if running is not None:
            control.call(running.control, "stop", {})
        deadline = time.monotonic() + seconds
        while not _is_free(place.lock):
            if time.monotonic() > deadline:
                raise Unavailable(f"endpoint {name} did not stop within {seconds:.0f} s", hint=f"read {place.log}")
            time.sleep(0.02)
    return running is not None


def status(state_dir: Path, name: str) -> dict[str, Any] | None:
    """`{url, key_file, traffic, mirror, deployments: [{name, model_digest, state, pid}]}`; None: no such endpoint.

    Starts nothing: what does not run has state `stopped` and no pid.
    """
    place = layout.locate(state_dir, name)
    known = state.load(place.state, name)
    if not known.created:
        return None
    running = answering(place)
    if running is None:
        deployments = [
            {"name": spec.name, "model_digest": spec.model_digest, "state": "stopped", "pid": None}
            for spec in known.deployments.values()
        ]
        return _status(place, f"http://127.0.0.1:{known.port}/score", known.traffic, known.mirror, deployments)
    seen = control.call(running.control, "observe", {})
    deployments = [{k: d[k] for k in ("name", "model_digest", "state", "pid")} for d in seen["deployments"]]
    return _status(place, seen["url"], seen["traffic"], seen["mirror"], deployments)


def _status(place: Layout, url: str, traffic: Any, mirror: Any, deployments: list[dict[str, Any]]) -> dict[str, Any]:
    shares = {"traffic": dict(traffic), "mirror": dict(mirror)}
    return {"url": url, "key_file": str(place.key), **shares, "deployments": deployments}


def answering(place: Layout) -> layout.Running | None:
    """The supervisor that answers now, if one does."""
    running = layout.read_running(place)
    if running is None or _is_free(place.lock):
        return None
    try:
        control.call(running.control, "observe", {}, timeout=10.0)
    except Unavailable:
        return None
    return running


def _is_free(lock: Path) -> bool:
    """Whether no supervisor holds the lock."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold `path`; the system frees it when we die."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
