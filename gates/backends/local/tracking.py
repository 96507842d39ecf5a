"""The MLflow server that a job talks to: the user's own, or one of ours on loopback over the SQLite file.

A job's code may bring another MLflow than ours, which would migrate or break the database file; over HTTP any version
gets along. The server dies with its owner (see runtime/guard.py).
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gates.errors import InvalidInput, Unavailable
from gates.runtime import process

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SCRIPT = Path(__file__).with_name("tracking_server.py")
START_TIMEOUT = 120.0


class Tracking:
    """A tracking server that may still be starting: `uri` waits until it answers, so other work can go first."""

    def __init__(
        self, uri: str, child: process.Child | None = None, ready: Path | None = None, log: Path | None = None
    ):
        self._uri, self._child, self._ready, self._log = uri, child, ready, log

    @property
    def uri(self) -> str:
        """`http://127.0.0.1:PORT`, or the user's own. Unavailable when the server did not start."""
        until = time.monotonic() + START_TIMEOUT
        while self._child is not None and self._ready is not None and not self._uri:
            ended = self._child.poll() is not None
            if self._ready.is_file():
                self._uri = self._ready.read_text()
            elif ended or time.monotonic() > until:
                said = self._log.read_text(errors="replace").strip().splitlines() if self._log else []
                what = "ended" if ended else f"did not answer within {START_TIMEOUT:.0f} s"
                raise Unavailable(f"the local MLflow server {what}: {' | '.join(said[-3:])}", hint="see gates doctor")
            else:
                time.sleep(0.02)
        return self._uri


@contextmanager
def tracking(uri: str, *, state_dir: Path, env: Mapping[str, str]) -> Iterator[Tracking]:
    """A server for `uri` while the block runs: `sqlite:///PATH` is served on loopback, http(s) is taken as it is.

    Artefacts stand under `state_dir`/artifacts. Returns at once; the first use of `.uri` waits (about 5 s).
    """
    if uri.startswith(("http://", "https://")):
        yield Tracking(uri)
        return
    database = database_path(uri)
    database.parent.mkdir(parents=True, exist_ok=True)
    artifacts = (state_dir / "artifacts").absolute()
    artifacts.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gates-mlflow-") as folder:
        ready, log = Path(folder) / "address", Path(folder) / "server.log"
        child = process.start(
            [sys.executable, "-P" if sys.version_info >= (3, 11) else "-E", SCRIPT, uri, artifacts.as_uri(), ready],
            cwd=Path(folder),
            env=server_environment(env),
            log=log,
        )
        try:
            yield Tracking("", child, ready, log)
        finally:
            child.terminate(grace=1.0)


def database_path(uri: str) -> Path:
    """The file of a `sqlite:///PATH` URI. InvalidInput for every other kind of URI."""
    if not uri.startswith("sqlite:///") or uri == "sqlite:///":
        raise InvalidInput(f"tracking_uri: {uri} is not usable", hint="write sqlite:///PATH, or the URL of a server")
    return Path(uri[len("sqlite:///") :])


def server_environment(env: Mapping[str, str]) -> dict[str, str]:
    """`env` without what would make MLflow talk to another server, or to anyone at all."""
    kept = {name: value for name, value in env.items() if not name.startswith(("MLFLOW_TRACKING_", "_MLFLOW_"))}
    return {**kept, "MLFLOW_DISABLE_TELEMETRY": "true"}
