"""Makes the environment that the actions run in: ours, never the user's. Standard library only.

Keyed by the lock file of the extras, this source, the Python and the platform; kept in the runner's tool cache. It is
built with uv when there, else pip, under a lock, so that two jobs side by side do no harm, and a half-built one is
built again. Prints nothing that a runner would obey but its own outputs.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OLDEST = (3, 10)
EXTRAS = ("gate", "stats", "local", "azure")


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
        cache = Path(env.get("RUNNER_TOOL_CACHE") or env.get("RUNNER_TEMP") or ROOT / ".gates") / "mlops-gates"
        python = environments.build(
            [*requirements(ROOT / "lock" / f"{extras}.txt"), f"# mlops-gates {source_digest(ROOT / 'gates')}"],
            python=Path(sys.executable), cache=cache, env=env, say=platform.say,
        )  # fmt: skip
        install_source(python)
    except GatesError as error:
        platform.annotate("error", str(error))
        platform.set_outputs({"python": "", "exit-code": str(error.exit_code), "outcome": error.outcome})
        return error.exit_code
    platform.set_outputs({"python": str(python)})
    return 0


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
    for file in sorted(package.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            digest.update(
                f"{file.relative_to(package).as_posix()}\0".encode() + hashlib.sha256(file.read_bytes()).digest()
            )
    return digest.hexdigest()


def install_source(python: Path) -> None:
    """Copy the library into the environment, whole or not at all."""
    site = next((python.parent.parent / "lib").glob("python3*")) / "site-packages"
    if (site / "gates").is_dir():
        return
    beside = site / f".gates-{os.getpid()}"
    shutil.copytree(ROOT / "gates", beside, ignore=shutil.ignore_patterns("__pycache__"))
    try:
        beside.rename(site / "gates")
    except OSError:  # another job was quicker; its copy is the same source
        shutil.rmtree(beside)


if __name__ == "__main__":
    sys.exit(main())
