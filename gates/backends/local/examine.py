"""What `gates doctor` finds out about this machine: packages, the user's interpreter, the state folder, MLflow."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gates.backends.examined import Finding, packages
from gates.backends.local import mlflow_rest, tracking
from gates.errors import GatesError, Unavailable
from gates.files import write_whole
from gates.runtime import environments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

PACKAGES = ("mlflow", "aiohttp", "azure-ai-ml", "optuna")


def examine(state_dir: Path, uri: str, env: Mapping[str, str], python: str | None) -> Iterator[Finding]:
    """Findings. It writes a file to `state_dir` and takes it away again, and starts the MLflow server for a moment."""
    yield from packages(PACKAGES, "local")
    yield _tried("python", lambda: _python(env, python))
    uv = environments.find_uv(env)
    yield Finding("uv", None, str(uv) if uv else "not found: environments are built with pip, slower")
    yield _tried("state-dir", lambda: _writable(state_dir))
    yield _tried("mlflow server", lambda: _server(state_dir, uri, env))
    unix = os.name == "posix"
    said = "can run here" if unix else "cannot run on Windows"
    yield Finding("local endpoint", unix, said, "" if unix else "deploy with backend: azureml, or use WSL")


def _python(env: Mapping[str, str], python: str | None) -> str:
    found = environments.describe(environments.find_user_python(env, python), env)
    return f"{found.version} at {found.path}"


def _writable(folder: Path) -> str:
    probe = folder / ".doctor"
    write_whole(probe, "")
    probe.unlink()
    return f"{folder} can be written"


def _server(state_dir: Path, uri: str, env: Mapping[str, str]) -> str:
    with tracking.tracking(uri, state_dir=state_dir, env=env) as server:
        mlflow_rest.call(server.uri, "experiments/search", {"max_results": 1}, env)
    return f"answers for {uri.partition('@')[2] or uri}"


def _tried(what: str, act: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, act())
    except GatesError as error:
        return Finding(what, False, error.what, error.hint)
    except OSError as error:
        failed = Unavailable(str(error))
        return Finding(what, False, failed.what)
