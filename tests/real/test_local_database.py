"""MLflow's database is whole or not there: two first runs in one folder, and one killed half-way, do no harm."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gates.backends.local import database

pytest.importorskip("mlflow")


def start(path: Path) -> subprocess.Popen[str]:
    """As tracking_server.py does it: the file run by its path."""
    code = "import runpy, sys, pathlib; runpy.run_path(sys.argv[1])['make'](pathlib.Path(sys.argv[2]))"
    return subprocess.Popen([sys.executable, "-c", code, database.__file__, str(path)], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip


def test_one_that_is_killed_and_two_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a state ü" / "mlflow.db"
    path.parent.mkdir()
    killed = start(path)
    while not (beside := Path(f"{path}.new")).exists() or not beside.stat().st_size:
        assert killed.poll() is None, killed.communicate()
        time.sleep(0.01)
    killed.kill()
    killed.communicate()
    assert not path.exists(), "nobody can take a half-made one for a whole one"
    both = [start(path), start(path)]
    for process in both:
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said
    assert not beside.exists()
    opened = sqlite3.connect(path)
    try:
        [(root,)] = opened.execute("SELECT artifact_location FROM experiments").fetchall()
        assert root.startswith(database.ARTIFACTS)
        assert len(opened.execute("SELECT * FROM alembic_version").fetchall()) == 1
        assert opened.execute("SELECT count(*) FROM model_versions").fetchall() == [(0,)]
    finally:
        opened.close()
