"""The parts that the real tests of one session share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from act_rig import Rig, export
from azureml_emulator.start import Running, running
from azureml_emulator.storage import azurite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ado_rig import Organisation


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean export of this work tree, as a released action would be."""
    return export(tmp_path_factory.mktemp("export") / "mlops-gates")


@pytest.fixture(scope="session")
def rig(need: Callable[[str], str], exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Rig:
    """A runner that stands for the session, with one tool cache for all workers."""
    home = shared(tmp_path_factory) / "runner"
    home.mkdir(exist_ok=True)
    return Rig(need("act"), exported, home)


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An MLflow server on loopback that stands for the session; its URI."""
    pytest.importorskip("mlflow")
    from gates.backends.local.tracking import tracking

    state = tmp_path_factory.mktemp("mlflow")
    with tracking(f"sqlite:///{state}/mlflow.db", state_dir=state, env=dict(os.environ)) as started:
        yield started.uri


@pytest.fixture(scope="session")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the environments of model servers are kept, shared by the workers of one run."""
    folder = shared(tmp_path_factory) / "environments"
    folder.mkdir(exist_ok=True)
    return folder


def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that is the same for all workers of one run."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


@pytest.fixture(scope="session")
def azure_running(tmp_path_factory: pytest.TempPathFactory, environments: Path) -> Iterator[Running]:
    """The emulator of Azure Machine Learning, one process for the session. Missing azurite: as `need`."""
    if azurite() is None:
        missing = "azurite is not installed: `make test` installs it"
        if os.environ.get("GATES_REQUIRE") == "1":
            pytest.fail(f"{missing}, and GATES_REQUIRE=1")
        pytest.skip(missing)
    with running(tmp_path_factory.mktemp("azure"), environments=environments) as started:
        yield started


@pytest.fixture
def azure(azure_running: Running) -> Iterator[Running]:
    """The emulator without a planted fault, before and after."""
    azure_running.plant()
    yield azure_running
    azure_running.plant()


@pytest.fixture(scope="session")
def devops(tmp_path_factory: pytest.TempPathFactory) -> Organisation:
    """Azure DevOps on this machine, with the extension that `make vsix` builds; one build for all workers."""
    from ado_rig import organisation

    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "devops"
    try:
        return organisation(folder)
    except FileNotFoundError as error:  # Node.js or node_modules
        if os.environ.get("GATES_REQUIRE") == "1":
            pytest.fail(f"{error}, and GATES_REQUIRE=1")
        pytest.skip(str(error))
