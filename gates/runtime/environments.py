"""Finds the user's interpreter, and builds virtual environments for what it lacks.

An environment is built once per requirements, interpreter and platform, in place (they cannot be moved), under a lock;
a file `complete`, written last, says that it may be used, and one without it is rebuilt. uv builds when it is there,
else venv and pip. Both are asked for the same indexes: uv does not read pip's configuration, so it is told.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from gates.errors import InvalidInput, Unavailable
from gates.files import write_whole
from gates.runtime import indexes, process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

OLDEST = (3, 8)
"""The oldest Python that worker.py runs on."""
COMPLETE = "complete"
BUILD_TIMEOUT = 1800.0
_DROPPED = (
    "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__", "VIRTUAL_ENV",
    "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "PIP_TARGET", "PIP_USER", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON",
    "PIP_REQUIRE_VIRTUALENV", "PIP_DRY_RUN", "PIP_REPORT", "UV_PYTHON", "UV_PROJECT_ENVIRONMENT", "UV_SYSTEM_PYTHON",
    "UV_TARGET", "UV_PREFIX", "UV_WORKING_DIRECTORY",
)  # fmt: skip


@dataclass(frozen=True)
class Interpreter:
    """What a Python says of itself. `version` is full, `3.11.7`; `tag` names implementation, ABI and platform."""

    path: Path
    version: str
    tag: str
    prefix: str


def clean(env: Mapping[str, str]) -> dict[str, str]:
    """`env` for another interpreter than ours: index, proxy and certificate settings stay, what binds to ours goes.

    Threads of OpenMP sleep while they wait, unless `env` says otherwise: processes that wait by spinning, as is the
    default, take several times the time of their work where they share cores.
    """
    return {"OMP_WAIT_POLICY": "passive", **{name: value for name, value in env.items() if name not in _DROPPED}}


def find_user_python(env: Mapping[str, str], python: str | None = None) -> Path:
    """The interpreter of the user's code: the one named, else the first `python` or `python3` on PATH, else ours.

    Not resolved: a virtual environment's python is a symlink. InvalidInput when the one named is not there.
    """
    path = env.get("PATH", os.defpath)
    if python:
        found = shutil.which(Path(python).expanduser(), path=path)
        if found is None:
            raise InvalidInput(f"no such Python interpreter: {python}", hint="give a path, or a name that is on PATH")
        return Path(found).absolute()
    for name in ("python", "python3"):
        found = shutil.which(name, path=path)
        if found is not None:
            return Path(found).absolute()
    return Path(sys.executable)


def describe(python: Path, env: Mapping[str, str]) -> Interpreter:
    """Ask `python` what it is. Unavailable when it does not run or is too old."""
    code = (
        "import json, sys, sysconfig; print(json.dumps(['.'.join(map(str, sys.version_info[:3])),"
        " sys.implementation.name + ' ' + sysconfig.get_platform() + ' ' + str(sysconfig.get_config_var('SOABI')),"
        " sys.prefix]))"
    )
    ended = process.run([python, "-I", "-c", code], cwd=Path("/"), env=clean(env), timeout=60)
    try:
        version, tag, prefix = json.loads(ended.tail[-1])
    except (IndexError, ValueError) as error:
        last = ended.tail[-1] if ended.tail else ended.how
        raise Unavailable(f"{python} does not run as Python 3: {last}", hint="choose another with --python") from error
    if tuple(int(part) for part in version.split(".")) < OLDEST:
        raise Unavailable(f"{python} is Python {version}, too old", hint="choose 3.8 or later with --python")
    return Interpreter(python, version, tag, prefix)


def freeze(python: Path, env: Mapping[str, str]) -> dict[str, str]:
    """Distributions installed where `python` looks, normalised name to version, sorted. Needs no pip there."""
    code = (
        "import importlib.metadata as m, json, re; print(json.dumps(sorted({(re.sub('[-_.]+', '-',"
        " d.metadata['Name']).lower(), d.version) for d in m.distributions() if d.metadata['Name']})))"
    )
    lines: list[str] = []
    ended = process.run([python, "-c", code], cwd=Path("/"), env=clean(env), timeout=120, on_line=lines.append)
    if not ended.ok:
        raise Unavailable(f"{python} could not list its packages: {' '.join(ended.tail[-1:])}")
    found: dict[str, str] = {}
    for name, version in json.loads("".join(lines[-1:])):
        found.setdefault(name, version)
    return found


def key(requirements: Sequence[str], interpreter: Interpreter) -> str:
    """The name of an environment: equal for the same requirements, in any order, on the same interpreter."""
    what = [sorted({line.strip() for line in requirements if line.strip()}), interpreter.version, interpreter.tag]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:24]


def build(
    requirements: Sequence[str],
    *,
    python: Path,
    cache: Path,
    env: Mapping[str, str],
    say: Callable[[str], None],
) -> Path:
    """The interpreter of a cached environment that holds `requirements` (lines of a requirements file).

    Unavailable, with the resolver's last lines, when it cannot be built.
    """
    interpreter = describe(python, env)
    home = cache.absolute() / key(requirements, interpreter)
    inside = home / "bin" / "python"
    if _usable(home, inside):
        return inside
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(home.with_suffix(".lock"), say):
        if _usable(home, inside):  # somebody else built it while we waited
            return inside
        if home.exists():
            say(f"an environment was left half built, building it again: {home}")
            shutil.rmtree(home)
        _make(home, inside, requirements, interpreter, env, say)
        write_whole(home / COMPLETE, json.dumps({"requirements": sorted(requirements), "python": interpreter.version}))
    return inside


def bytecode(python: Path) -> dict[str, str]:
    """Where a process of `python` may keep compiled code: in an environment of ours, else nowhere."""
    home = python.parent.parent
    ours = (home / COMPLETE).is_file()
    if ours:  # an empty value is none: the caller's own must not reach here
        return {"PYTHONPYCACHEPREFIX": str(home / "bytecode"), "PYTHONDONTWRITEBYTECODE": ""}
    return {"PYTHONDONTWRITEBYTECODE": "1"}


def _usable(home: Path, inside: Path) -> bool:
    return (home / COMPLETE).is_file() and inside.exists()  # exists() follows the link to the base interpreter


def _make(
    home: Path,
    inside: Path,
    requirements: Sequence[str],
    interpreter: Interpreter,
    env: Mapping[str, str],
    say: Callable[[str], None],
) -> None:
    begun = time.monotonic()
    uv = find_uv(env)
    listed = home.with_suffix(".txt")
    write_whole(listed, "".join(f"{line}\n" for line in requirements))
    say(f"building an environment of {len(requirements)} requirements with {'uv' if uv else 'pip'}: {home}")
    child_env = clean(env)
    if uv:
        settings = indexes.read(child_env, interpreter.prefix)
        child_env["UV_PYTHON_DOWNLOADS"] = "never"
        child_env |= indexes.uv_environment(settings, child_env)
        steps: list[list[str | Path]] = [
            [uv, "venv", "--quiet", "--python", interpreter.path, home],
            [uv, "pip", "install", "--python", inside, *indexes.uv_arguments(settings, child_env), "-r", listed],
        ]
    else:
        steps = [
            [interpreter.path, "-m", "venv", home],
            [inside, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "-r", listed],
        ]
    for step in steps:
        ended = process.run(step, cwd=home.parent, env=child_env, timeout=BUILD_TIMEOUT)
        if not ended.ok:
            last = " | ".join(line.strip() for line in ended.tail[-8:] if line.strip())
            raise Unavailable(
                f"the environment could not be built ({Path(step[0]).name} {ended.how}): {last}",
                hint="mend the requirements or the package index, or give a Python that has them with --python",
            )
    say(f"built in {time.monotonic() - begun:.1f} s")


def find_uv(env: Mapping[str, str]) -> Path | None:
    """The uv beside our interpreter, else the one on PATH."""
    beside = Path(sys.executable).parent / "uv"
    if os.access(beside, os.X_OK):
        return beside
    found = shutil.which("uv", path=env.get("PATH", os.defpath))
    return None if found is None else Path(found)


@contextmanager
def _locked(path: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock file; wait while another process holds it. It is freed by the system when we die."""
    with path.open("a") as file:
        told = False
        while not _try_lock(file):
            if not told:
                say("another process builds this environment; waiting for it")
                told = True
            time.sleep(0.2)
        yield


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
