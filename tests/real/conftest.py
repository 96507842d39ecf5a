"""The parts that the real tests of one session share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from act_rig import Rig, export

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean export of this work tree, as a released action would be."""
    return export(tmp_path_factory.mktemp("export") / "mlops-gates")


@pytest.fixture(scope="session")
def rig(need: Callable[[str], str], exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Rig:
    """A runner that stands for the session."""
    return Rig(need("act"), exported, tmp_path_factory.mktemp("runner"))


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An MLflow server on loopback that stands for the session; its URI."""
    pytest.importorskip("mlflow")
    from gates.backends.local.tracking import tracking

    state = tmp_path_factory.mktemp("mlflow")
    with tracking(f"sqlite:///{state}/mlflow.db", state_dir=state, env=dict(os.environ)) as started:
        yield started.uri
