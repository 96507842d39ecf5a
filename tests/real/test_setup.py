"""The environment that the actions run in: ours, built once, whole, and only as large as the step needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from act_rig import Rig

PYTHON = Path(sys.executable)


class Setup:
    """The setup action's one command, with a tool cache of its own."""

    def __init__(self, rig: Rig, folder: Path) -> None:
        self.script = rig.export / "actions/setup/setup.py"
        self.cache = folder / "tool cache"
        self.output = folder / "output"
        self.env = rig.env() | {
            "GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": str(self.output), "RUNNER_TOOL_CACHE": str(self.cache),
            "GATES_EXTRAS": "gate",
        }  # fmt: skip

    def start(self, python: Path = PYTHON, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen([python, "-I", str(self.script)], env=self.env | env, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip

    def run(self, python: Path = PYTHON, **env: str) -> tuple[int, str]:
        process = self.start(python, **env)
        said, _ = process.communicate(timeout=120)
        return process.returncode, said

    def python(self) -> Path:
        """What the last run gave as its output."""
        lines = self.output.read_text(encoding="utf-8").splitlines()
        return Path(lines[max(i for i, line in enumerate(lines) if line.startswith("python<<")) + 1])

    def environments(self) -> list[Path]:
        return [path for path in (self.cache / "mlops-gates").iterdir() if path.is_dir()]


@pytest.fixture
def setup(rig: Rig, tmp_path: Path) -> Setup:
    return Setup(rig, tmp_path)


def gates(python: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([python, "-I", "-m", "gates", *arguments], cwd=cwd, capture_output=True, text=True,
                          check=False, env={"PATH": os.environ["PATH"]})  # fmt: skip


def modules(python: Path) -> set[str]:
    code = "import importlib.util as u; print(*[n for n in ('numpy','mlflow','azure','msgspec') if u.find_spec(n)])"
    return set(subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_only_what_the_step_needs_and_from_the_cache(setup: Setup, tmp_path: Path) -> None:
    for given, expected in (
        ({"GATES_STEP": "validate-gate", "GATES_METRICS": "m.json"}, {"msgspec"}),
        ({"GATES_STEP": "drift-check", "GATES_REFERENCE": "before.csv"}, {"msgspec", "numpy"}),
    ):
        code, said = setup.run(PYTHON, **{"GATES_EXTRAS": "", **given})
        assert code == 0, said
        assert modules(setup.python()) == expected
        assert "built in" in said
        assert setup.run(PYTHON, **{"GATES_EXTRAS": "", **given}) == (0, "")
    assert gates(setup.python(), "--version", cwd=tmp_path).returncode == 0


def test_four_builders_at_once(setup: Setup, tmp_path: Path) -> None:
    running = [setup.start() for _ in range(4)]
    for process in running:
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 0, said
    assert len(setup.environments()) == 1
    assert not list(setup.python().parent.parent.glob("lib/*/site-packages/.gates-*"))
    assert gates(setup.python(), "--version", cwd=tmp_path).returncode == 0


def test_a_build_that_was_killed_is_built_again(setup: Setup, tmp_path: Path) -> None:
    process = setup.start()
    deadline = time.monotonic() + 60
    while not list(setup.cache.glob("mlops-gates/*/pyvenv.cfg")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.communicate()
    code, said = setup.run()
    assert code == 0, said
    assert gates(setup.python(), "--version", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("lost", ["complete", "module", "source file"])
def test_a_half_built_one_is_built_again(setup: Setup, tmp_path: Path, lost: str) -> None:
    assert setup.run()[0] == 0
    home = setup.python().parent.parent
    packages = next(home.glob("lib/python3*/site-packages"))
    if lost == "complete":
        (home / "complete").unlink()
        shutil.rmtree(packages / "msgspec")
    elif lost == "module":
        shutil.rmtree(packages / "gates")
    else:
        (packages / "gates/cli.py").unlink()
    assert setup.run()[0] == 0
    shown = gates(setup.python(), "--version", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr


def test_another_source_is_another_environment(setup: Setup, tmp_path: Path) -> None:
    assert setup.run()[0] == 0
    first = setup.python()
    other = tmp_path / "other"
    shutil.copytree(setup.script.parents[2], other)
    (other / "gates/__init__.py").write_text((other / "gates/__init__.py").read_text() + "\n# changed\n")
    setup.script = other / "actions/setup/setup.py"
    assert setup.run()[0] == 0
    assert setup.python() != first


def test_a_read_only_checkout_of_the_action(setup: Setup, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(setup.script.parents[2], copy)
    for path in [*copy.rglob("*"), copy]:
        path.chmod(path.stat().st_mode & ~0o222)
    setup.script = copy / "actions/setup/setup.py"
    before = sorted(copy.rglob("*"))
    try:
        code, said = setup.run()
        assert code == 0, said
        assert sorted(copy.rglob("*")) == before, "the checkout of an action is not ours to write to"
    finally:
        for path in [copy, *copy.rglob("*")]:
            path.chmod(path.stat().st_mode | 0o700)


def test_an_unknown_extra_is_one_line_that_says_what_to_write(setup: Setup) -> None:
    code, said = setup.run(GATES_EXTRAS="gpu")
    assert code == 2
    assert "extras: 'gpu' is not known; one of gate, stats, local, azure" in said
    assert "Traceback" not in said
    assert "invalid" in setup.output.read_text()


def test_a_tool_cache_that_cannot_be_written(setup: Setup) -> None:
    setup.cache.write_text("a file, not a folder")
    code, said = setup.run()
    assert code == 4, said
    assert "Traceback" not in said
    assert "RUNNER_TOOL_CACHE" in said
    temporary = setup.cache.parent / "temp"
    assert setup.run(RUNNER_TEMP=str(temporary))[0] == 0
    assert temporary in setup.python().parents
