"""An Azure workspace on loopback, as the backend is given it, and rollouts on one of its endpoints.

`python azureml_room.py FOLDER CACHE` is the runner of rollout_room.py, with everything of the product's azureml
backend: endpoint, lease, journal in the workspace's storage, champion alias on the model.
"""

from __future__ import annotations

import functools
import http.client
import os
import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import rollout_room
import urllib3
from rollout_room import Room

from gates.backends.azureml.backend import AzureMLBackend
from gates.backends.azureml.client import Workspace, quiet
from gates.lineage.digest import model_digest
from gates.rollout import machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from azureml_emulator.start import Running

    from gates.rollout.ends import Ended
    from gates.rollout.plan import Rollout

T = TypeVar("T")
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


def workspace(env: Mapping[str, str], credential: str = "client-secret") -> Workspace:
    """With the client secret of the emulator's tenant; this process must have the emulator's environment.

    credential: another way to sign in, to a real workspace; '' is whichever is complete.
    """

    def opened() -> tuple[Any, str]:
        from gates.backends.azureml import credentials

        return credentials.open_credential(env, credential)

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


class NamedDeath:
    """Kills the process at the n-th call of a name (`order`: name, turn): of a port's, 'before' or 'after' it; of a
    request on the wire, when it is 'sent' and nobody has read the answer.

    `names` are all of them in their order; requests that only ask are none, but for the first of each call.
    """

    def __init__(self, order: Mapping[str, Any], report: Callable[[str], None]) -> None:
        self.name, self.turn, self.how = order.get("name"), order.get("turn", 1), order.get("how")
        self.report, self.names = report, list[str]()
        self._within = ""
        request, answer = urllib3.connection.HTTPConnection.request, http.client.HTTPConnection.getresponse

        def asking(connection: Any, method: str, url: str, *args: Any, **more: Any) -> Any:
            connection.gates_asked = (method, url)
            return request(connection, method, url, *args, **more)

        def answering(connection: Any) -> Any:
            self._sent(*connection.gates_asked)
            return answer(connection)

        sending: Any = urllib3.connection.HTTPConnection
        hearing: Any = http.client.HTTPConnection
        sending.request, hearing.getresponse = asking, answering  # the child's own, until it ends

    def _sent(self, method: str, url: str) -> None:
        parts = urlsplit(url)
        words = [word for word in parts.path.split("/") if word][-2:]
        asks = method in ("GET", "HEAD") or words[-1:] in (["query"], ["token"], ["listSecrets"], ["listKeys"])
        if asks or words == ["score"]:
            if self._within:
                self._reach(f"{self._within}: asked", "sent")
            self._within = ""
            return
        why = next((value for key, value in parse_qsl(parts.query) if key in ("comp", "overload")), "")
        action = f" ({why})" if why else ""
        self._reach(f"{method} {'/'.join(words)}{action}", "sent")

    def _reach(self, name: str, *hows: str) -> None:
        self.names.append(name)
        if name == self.name and self.names.count(name) == self.turn and self.how in hows:
            self.report(name)
            os.kill(os.getpid(), signal.SIGKILL)

    def call(self, name: str, effect: Callable[[], T]) -> T:
        self._reach(name, "before")
        self._within = name
        result = effect()
        self._within = ""
        if name == self.name and self.names.count(name) == self.turn and self.how == "after":
            self.report(name)
            os.kill(os.getpid(), signal.SIGKILL)
        return result


def main(folder: str, cache: str) -> None:
    with quiet():
        import azure.ai.ml  # once, not in every child
        import azure.storage.blob  # noqa: F401  # the same
    rollout_room.serve(AzureRoom(Path(folder), Path(cache), {**SERVED, **COLLECTED}), NamedDeath)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
