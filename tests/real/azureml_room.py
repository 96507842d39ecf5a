"""An Azure workspace on loopback, as the backend is given it, and rollouts on one of its endpoints.

`python azureml_room.py FOLDER CACHE` is the runner of rollout_room.py, with everything of the product's azureml
backend: endpoint, lease, journal in the workspace's storage, champion alias on the model.
"""

from __future__ import annotations

import functools
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rollout_room
from rollout_room import Room

from gates.backends.azureml.backend import AzureMLBackend
from gates.backends.azureml.client import Workspace, quiet
from gates.lineage.digest import model_digest
from gates.rollout import machine

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from azureml_emulator.start import Running

    from gates.rollout.ends import Ended
    from gates.rollout.plan import Rollout

PLAYED = {"AZUREML_RUN_POLLING_INTERVAL_MIN": "1", "AZUREML_RUN_POLLING_INTERVAL_MAX": "1"}
"""The SDK asks for a job's log every second, not every minute."""
IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04"
CONDA = {"name": "echo", "dependencies": ["python=3.11", "pip", {"pip": ["azureml-inference-server-http>=1.4,<2"]}]}
SERVED = {"environment": {"image": IMAGE, "conda_file": CONDA}, "instance_type": "Standard_DS3_v2", "instance_count": 1}
COLLECTED = {
    "data_collector": {"collections": {"model_inputs": {"enabled": "true"}, "model_outputs": {"enabled": "true"}}}
}


def environment(azure: Running) -> dict[str, str]:
    """What leads a process of ours to the emulator."""
    return {**azure.environment(), **PLAYED}


def workspace(env: Mapping[str, str]) -> Workspace:
    """With the client secret of the emulator's tenant; this process must have the emulator's environment."""

    def opened() -> tuple[Any, str]:
        from gates.backends.azureml import credentials

        return credentials.open_credential(env, "client-secret")

    names = [env[name] for name in ("AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP", "AZURE_ML_WORKSPACE")]
    return Workspace(subscription=names[0], group=names[1], name=names[2], open_credential=opened)


def backend(
    state: Path, *, model: str = "credit", run: str = "", env: Mapping[str, str] = os.environ
) -> AzureMLBackend:
    return AzureMLBackend(workspace(env), state_dir=state, model=model, output="model", run=run, say=lambda _: None)


@functools.lru_cache
def _backend_of(state: Path, model: str, process: int) -> AzureMLBackend:
    del process  # a forked child opens its own connections
    return backend(state, model=model)


@dataclass(frozen=True)
class AzureChampion:
    """The champion alias of a registered model."""

    backend: AzureMLBackend
    name: str

    def current(self) -> str | None:
        found = self.backend.find(self.name, alias="champion")
        return found.version if found else None

    def move(self, *, expected: str | None, new: str | None) -> None:
        self.backend.move_alias(self.name, "champion", expected=expected, new=new)


@dataclass(frozen=True)
class AzureRoom(Room):
    """`folder.name` names the endpoint and the registered model, so that rooms of one workspace keep apart."""

    @property
    def backend(self) -> AzureMLBackend:
        return _backend_of(self.folder / "state", self.label, os.getpid())

    @property
    def label(self) -> str:
        return self.folder.name

    def endpoint(self) -> Any:
        return self.backend.endpoint(self.label, score="auto")

    @property
    def journal(self) -> Any:
        return self.backend.journal(self.label)

    @property
    def champion(self) -> Any:
        return AzureChampion(self.backend, self.label)

    def reconcile(self, *, rollout: Rollout = rollout_room.QUICK) -> Ended:
        return machine.reconcile(None, **self.ports(), rollout=rollout, sample=b'{"i": 1}')

    def register(self) -> None:
        """Versions 1 to 3 of the model."""
        lineage = self.folder / "lineage"
        lineage.mkdir()
        (lineage / "lineage.json").write_text("{}")
        for version in ("v1", "v2", "v3"):
            model = self.folder / version
            digest = model_digest(model)
            self.backend.register(self.label, model, digest=digest, run_id="", tags={}, lineage=lineage)


@contextmanager
def azure_room(folder: Path, cache: Path) -> Iterator[AzureRoom]:
    """A room in which v1 serves on the emulator that this process is led to."""
    room = AzureRoom(folder, cache, {**SERVED, **COLLECTED})
    room.prepare()
    room.register()
    first = room.deploy("v1")
    assert first.outcome == "passed", first
    yield room


def main(folder: str, cache: str) -> None:
    with quiet():
        import azure.ai.ml  # noqa: F401  # once, not in every child
    rollout_room.serve(AzureRoom(Path(folder), Path(cache), {**SERVED, **COLLECTED}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
