"""How quickly the commands and the actions start, beside a bare interpreter in the same run.

    python benchmarks/startup.py [--python INTERPRETER] [--metrics FILE]

Medians of interleaved runs: `python -I -c pass`, `gates --help`, a gate with a point threshold over a ready metrics
file, the setup action from its cache; and one cold setup of the gate's environment with a warm package cache. The
interpreter is the one that the setup action builds; without --python it is built here. Promised: help at most 100 ms
over bare, the gate at most 300 ms over bare, setup from cache at most 1 s, cold setup at most 15 s. Processor seconds
stand beside the clock's: on a machine that others load they are what can be compared.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIMITS = {
    "help_over_bare_seconds": 0.1, "gate_over_bare_seconds": 0.3, "setup_cached_seconds": 1.0,
    "setup_cold_seconds": 15.0,
}  # fmt: skip
POLICY = (
    "version: 1\nname: s\nrevision: 1\nowner: s\nstages:\n  validate:\n    checks:\n"
    "      - {id: a, type: threshold, metric: accuracy, min: 0.9, decide_on: point}\n"
)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--python", type=Path)
    parser.add_argument("--metrics", type=Path)
    parser.add_argument("--runs", type=int, default=15)
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        metrics = measure(Path(folder), given.python, given.runs)
    for name, figure in metrics.items():
        limit = f"  at most {LIMITS[name]:g}" if name in LIMITS else ""
        print(f"{name:<28} {figure:8.3f}{limit}{'' if figure <= LIMITS.get(name, figure) else '  MISSED'}")
    if given.metrics:
        given.metrics.write_text(json.dumps({"metrics": metrics}, indent=2) + "\n", encoding="utf-8")
    return 0


def measure(folder: Path, python: Path | None, runs: int) -> dict[str, float]:
    """Seconds, and ratios to bare Python, by name."""
    setup = [sys.executable, "-I", str(ROOT / "actions/setup/setup.py")]
    output = folder / "output"
    env = {name: value for name, value in os.environ.items() if not name.startswith(("GATES_", "GITHUB_"))}
    env |= {"GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": str(output), "GATES_EXTRAS": "gate"}
    env |= {"RUNNER_TOOL_CACHE": str(folder / "tools")}
    timed(setup, env, folder)  # fills the package cache
    shutil.rmtree(folder / "tools")
    cold = timed(setup, env, folder)
    built = python or Path(output.read_text(encoding="utf-8").splitlines()[1])
    (folder / "mlops.yml").write_text("version: 1\nmodel: s\n", encoding="utf-8")
    (folder / "policy.yml").write_text(POLICY, encoding="utf-8")
    (folder / "metrics.json").write_text('{"accuracy": 0.95}', encoding="utf-8")
    plain = {name: value for name, value in env.items() if not name.startswith(("GITHUB_", "GATES_"))}
    commands = {
        "bare": ([str(built), "-I", "-c", "pass"], plain),
        "help": ([str(built), "-I", "-m", "gates", "--help"], plain),
        "gate": ([str(built), "-I", "-m", "gates", "validate-gate", "--metrics", "metrics.json"], plain),
        "setup": (setup, env),
    }
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for turn in range(runs + 1):
        for name, (command, its_env) in commands.items():
            both = timed(command, its_env, folder)
            if turn:  # the first run writes byte code
                taken[name].append(both)
    middle = {name: statistics.median(wall for wall, _ in values) for name, values in taken.items()}
    cpu = {name: statistics.median(used for _, used in values) for name, values in taken.items()}
    return {
        "bare_seconds": middle["bare"],
        "help_over_bare_seconds": middle["help"] - middle["bare"],
        "help_over_bare_ratio": middle["help"] / middle["bare"],
        "gate_over_bare_seconds": middle["gate"] - middle["bare"],
        "gate_over_bare_ratio": middle["gate"] / middle["bare"],
        "setup_cached_seconds": middle["setup"],
        "setup_cold_seconds": cold[0],
        "bare_cpu_seconds": cpu["bare"],
        "help_over_bare_cpu_seconds": cpu["help"] - cpu["bare"],
        "gate_over_bare_cpu_seconds": cpu["gate"] - cpu["bare"],
        "setup_cached_cpu_seconds": cpu["setup"],
        "setup_cold_cpu_seconds": cold[1],
    }


def timed(command: list[str], env: dict[str, str], folder: Path) -> tuple[float, float]:
    """(seconds on the clock, seconds of processor time of it and its children)."""
    begun, used = time.perf_counter(), children()
    subprocess.run(command, env=env, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return time.perf_counter() - begun, children() - used


def children() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
