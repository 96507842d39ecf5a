"""Makes the environment that the actions run in: ours, never the user's. Standard library only.

Keyed by the lock file of the extras, this source, the Python and the platform; kept in the runner's tool cache. It is
built with uv when there, else pip, under a lock, so that two jobs side by side do no harm, and a half-built one is
built again; where the tool cache cannot be written it goes to the runner's temporary folder. Prints nothing that a
runner would obey but its own outputs.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
OLDEST = (3, 10)
EXTRAS = ("gate", "stats", "local", "azure")
PLACES = ("RUNNER_TOOL_CACHE", "RUNNER_TEMP", "AGENT_TOOLSDIRECTORY", "AGENT_TEMPDIRECTORY")


def main() -> int:
    if sys.version_info < OLDEST:
        print(f"error: mlops-gates needs Python 3.10 or newer, this is {sys.version.split()[0]}; "
              "put a newer python3 on PATH (actions/setup-python)", file=sys.stderr)  # fmt: skip
        return 2
    sys.path.insert(0, str(ROOT))
    from gates.errors import GatesError
    from gates.platforms import detect
    from gates.runtime import environments

    env = dict(os.environ)
    platform = detect(env, sys.stderr)
    try:
        extras = extras_needed(env)
        wanted = [
            *requirements(ROOT / "lock" / f"{extras}.txt"), f"# mlops-gates {source_digest(ROOT / 'gates')}"
        ]  # fmt: skip
        python = in_first_cache(
            env, lambda cache: environments.build(
                wanted, python=Path(sys.executable), cache=cache, env=env, say=platform.say
            )
        )  # fmt: skip
        install_source(python)
    except GatesError as error:
        platform.annotate("error", str(error))
        platform.set_outputs({"python": "", "exit-code": str(error.exit_code), "outcome": error.outcome})
        return error.exit_code
    if "--print" in sys.argv[1:]:  # for the Azure DevOps tasks, each of which sets it up for itself
        print(python)
    else:
        platform.set_outputs({"python": str(python)})
    return 0


def in_first_cache(env: dict[str, str], build: Callable[[Path], Path]) -> Path:
    """Build in the runner's tool cache, or in its temporary folder where that one cannot be written."""
    from gates.errors import Unavailable

    places = [name for name in PLACES if env.get(name)]
    why = []
    for name in places:
        try:
            return build(Path(env[name]) / "mlops-gates")
        except OSError as error:  # noqa: PERF203  # two places at most
            why.append(f"{name} ({env[name]}): {error.strerror or error}")
    if why:
        raise Unavailable(f"no folder for the environment: {'; '.join(why)}", hint="make one of them writable")
    return build(ROOT / ".gates" / "mlops-gates")


def extras_needed(env: dict[str, str]) -> str:
    """The lock file for what is asked for: a gate over a metrics file needs neither numpy, mlflow nor azure.

    A drift check against a file needs no registry, and so no mlflow. A policy that asks for more than its extras hold
    ends in an error that names what is missing, never in a pass.
    """
    named = env.get("GATES_EXTRAS", "")
    if named:
        if named not in EXTRAS:
            from gates.errors import InvalidInput

            raise InvalidInput(f"extras: '{named}' is not known", hint=f"one of {', '.join(EXTRAS)}")
        return named
    step = env.get("GATES_STEP")
    if step == "validate-gate" and env.get("GATES_METRICS") and not (
        env.get("GATES_PREDICTIONS") or env.get("GATES_MODEL") or env.get("GATES_CHAMPION_PREDICTIONS")
    ):  # fmt: skip
        return "gate"
    if step == "drift-check" and env.get("GATES_REFERENCE", "profile") not in ("", "profile"):
        return "stats"
    return "local"


def requirements(lock: Path) -> list[str]:
    """The lock's requirements, one a line with their hashes."""
    text = lock.read_text(encoding="utf-8").replace("\\\n", " ")
    return [" ".join(line.split()) for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def source_digest(package: Path) -> str:
    digest = hashlib.sha256()
    for file in package_files(package):
        name = file.relative_to(package).as_posix()
        digest.update(f"{name}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def package_files(package: Path) -> list[Path]:
    return sorted(file for file in package.rglob("*") if file.is_file() and "__pycache__" not in file.parts)


def install_source(python: Path) -> None:
    """Copy the library into the environment, whole or not at all; a copy that is not this source is replaced."""
    site = next((python.parent.parent / "lib").glob("python3*")) / "site-packages"
    there = site / "gates"
    wanted = source_digest(ROOT / "gates")
    if there.is_dir() and source_digest(there) == wanted:
        return
    with (site / ".gates.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if there.is_dir() and source_digest(there) == wanted:  # another job was quicker
            return
        beside = site / f".gates-{os.getpid()}"
        for file in package_files(ROOT / "gates"):  # not copytree, which would copy a read-only checkout's modes
            copy = beside / file.relative_to(ROOT / "gates")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
        shutil.rmtree(there, ignore_errors=True)
        beside.rename(there)


if __name__ == "__main__":
    sys.exit(main())
