"""Compiled code of a model's process is kept in environments of ours and nowhere else: beside a model it changes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gates.runtime import environments
from gates.runtime.scoring import worker_environment

if TYPE_CHECKING:
    from pathlib import Path


def test_an_environment_of_ours_keeps_what_it_compiled_and_another_nothing(tmp_path: Path) -> None:
    python = tmp_path / "home" / "bin" / "python"
    python.parent.mkdir(parents=True)
    env = {"PATH": "/usr/bin", "PYTHONPYCACHEPREFIX": "/theirs"}
    assert worker_environment(env, python)["PYTHONDONTWRITEBYTECODE"] == "1"
    (tmp_path / "home" / environments.COMPLETE).write_text("{}")
    found = worker_environment({**env, "PYTHONDONTWRITEBYTECODE": "1"}, python)
    assert found["PYTHONPYCACHEPREFIX"] == str(tmp_path / "home" / "bytecode")
    assert not found["PYTHONDONTWRITEBYTECODE"]
