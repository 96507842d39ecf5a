"""The SQLite file in which MLflow keeps everything: made whole, by one process at a time, before anybody uses it.

MLflow fills a new file by dozens of migrations in place. Two processes that do so at once break it for good, and so
does one that is ended half-way. Here it is made beside, under a lock, and renamed. MLflow must be importable, and
nothing of ours is needed: tracking_server.py runs this file by its path.
"""

from __future__ import annotations

import fcntl
from pathlib import Path

ARTIFACTS = "mlflow-artifacts:/"
"""Where runs keep artefacts, unless they say otherwise: with the server, wherever that one has them."""


def make(path: Path) -> None:
    """Make the database `path` unless it is there. Whatever MLflow or the file system raise goes on."""
    if path.exists():
        return
    with Path(f"{path}.lock").open("a", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():  # another process was quicker
            return
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        beside = Path(f"{path}.new")
        for left in (beside, Path(f"{beside}-journal")):
            left.unlink(missing_ok=True)
        store = SqlAlchemyStore(f"sqlite:///{beside}", ARTIFACTS)
        store.engine.dispose()
        beside.replace(path)
