"""Faults at every call of training and registering: what passes is waited out, what does not ends as it should.

The calls are those of a healthy run, recorded: one that a later version makes is struck too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import azureml_room
import pytest
from azure.storage.blob._shared.policies import ExponentialRetry
from azureml_emulator import storage, tokens

from gates.errors import Conflict, GatesError, Unavailable
from gates.lineage.digest import model_digest

if TYPE_CHECKING:
    from pathlib import Path

    from azureml_emulator.start import Running

    from gates.backends import ModelVersion, TrainedRun

TRAIN = """\
import pathlib, sys
out = pathlib.Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
(out / "MLmodel").write_text("flavors: {}\\n")
(out / "weights").write_text("0.5")
print("trained", flush=True)
"""
JOB = """\
type: command
code: src
command: python train.py ${{outputs.model}}
environment: {image: mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04, conda_file: conda.yml}
outputs: {model: {type: mlflow_model}}
compute: azureml:cpu-cluster
experiment_name: faults
"""
PASSING: dict[str, dict[str, Any]] = {
    "429": {"do": "status", "status": 429, "code": "TooManyRequests", "headers": {"Retry-After": "1"}},
    "500": {"do": "status", "status": 500},
    "503 after it was done": {"do": "late", "status": 503, "code": "ServiceUnavailable"},
    "reset": {"do": "reset"},
    "answer lost": {"do": "lost"},
    "slow": {"do": "slow", "seconds": 0.5},
}


@dataclass(frozen=True)
class Room:
    """A project with one job. `calls`: the patterns of every call of a healthy run, in order."""

    folder: Path
    azure: Running
    calls: tuple[str, ...] = ()

    def train(self, run: str, state: str) -> TrainedRun:
        backend = azureml_room.backend(self.folder / state, model=f"faults-{state}", run=run)
        return backend.train(
            self.folder / "train.yml", model_output="model", compute="", timeout=None, environment="current",
            on_line=lambda _: None,
        )  # fmt: skip

    def register(self, trained: TrainedRun, state: str) -> tuple[ModelVersion, bool]:
        backend = azureml_room.backend(self.folder / state, model=f"faults-{state}")
        lineage = self.folder / "lineage"
        lineage.mkdir(exist_ok=True)
        (lineage / "lineage.json").write_text("{}")
        digest = model_digest(trained.model)
        return backend.register(
            f"faults-{state}", trained.model, digest=digest, run_id=trained.run_id, tags={"a": "b"}, lineage=lineage
        )


def pattern(line: dict[str, Any]) -> str:
    """The call without what names this very run."""
    named = r"[0-9a-f]{8}-[0-9a-f-]{27}|(?:up-)?[0-9a-f]{16,}|train-[0-9a-f]{12}|gates-[a-z0-9-]+|faults-[a-z0-9-]+"
    parts = re.split(named, f"{line['method']} {line['host']}{line['path']}")
    return "re:" + "[^/]+".join(re.escape(part) for part in parts)


@pytest.fixture(scope="module")
def room(azure_running: Running, tmp_path_factory: pytest.TempPathFactory) -> Any:
    patch = pytest.MonkeyPatch()
    for name, value in azureml_room.environment(azure_running).items():
        patch.setenv(name, value)
    patch.setattr(ExponentialRetry, "get_backoff_time", lambda *_: 0.2)  # the SDK's uploads wait 15 s and more
    folder = tmp_path_factory.mktemp("faults")
    (folder / "src").mkdir()
    (folder / "src/train.py").write_text(TRAIN)
    (folder / "conda.yml").write_text("name: job\ndependencies: [python=3.11]\n")
    (folder / "train.yml").write_text(JOB)
    azure_running.plant()
    healthy = Room(folder, azure_running)
    since = len(azure_running.requests())
    assert healthy.register(healthy.train("ci healthy", "healthy"), "healthy")[0].version == "1"
    made = [pattern(line) for line in azure_running.requests()[since:]]
    yield Room(folder, azure_running, tuple(dict.fromkeys(made)))
    patch.undo()


def jobs_since(azure: Running, since: int) -> set[str]:
    puts = (line for line in azure.requests()[since:] if line["method"] == "PUT" and "/jobs/" in line["path"])
    return {line["path"] for line in puts}


def test_the_calls_are_known(room: Room) -> None:
    """A healthy run that made none of these would strike nothing below."""
    said = " ".join(room.calls).replace("\\", "")
    for part in (
        "oauth2/v2.0/token", "/workspaces/risk-ws ", "startPendingUpload", "/environments/", "PUT management", "/jobs/",
        "/details", "listSecrets", f"GET {storage.HOST}", f"PUT {storage.HOST}", "/models/", "user_logs", "/mlflow/",
    ):  # fmt: skip
        assert part in f"{said} ", part
    assert len(room.calls) > 25


@pytest.mark.parametrize("kind", PASSING)
def test_a_fault_that_passes_is_waited_out_at_every_call(azure: Running, room: Room, kind: str) -> None:
    state, since = kind.replace(" ", "-"), len(azure.requests())
    blobs = kind != "429"  # storage throttles by 503; its client does not take a 429 for a reason to wait
    struck = tuple(call for call in room.calls if blobs or "blob" not in call)
    azure.plant(*({"match": call, "times": 1, **PASSING[kind]} for call in struck))
    trained = room.train(f"ci {kind}", state)
    version, new = room.register(trained, state)
    azure.plant()
    hit = {pattern(line) for line in azure.requests()[since:] if "fault" in line}
    assert len(hit) >= len(struck) * 0.8, set(struck) - hit
    assert len(jobs_since(azure, since)) == 1, "a job was submitted twice"
    assert (trained.model / "weights").read_text() == "0.5"
    assert (version.version, version.digest) == ("1", model_digest(trained.model))
    assert room.register(trained, state) == (version, False)
    assert new or kind in ("503 after it was done", "answer lost")


def ends(room: Room, call: str, fault: dict[str, Any], turn: int) -> GatesError | None:
    """How a run ends where `call` always meets the fault; the calls that follow a job meet it in one that is done."""
    room.azure.plant({"match": call, "times": 10**6, **fault})
    before = call in room.calls[: room.calls.index(next(one for one in room.calls if "/details" in one))]
    try:
        trained = room.train(f"ci {turn} {fault['do']}" if before else "ci healthy", f"turn-{turn}")
        room.register(trained, f"turn-{turn}-{fault['do']}")
    except GatesError as error:
        return error
    finally:
        room.azure.plant()
    return None


def test_a_token_that_is_not_taken_any_more_says_so_at_every_call(azure: Running, room: Room) -> None:
    asked = [call for call in room.calls if "login" not in call and "/discovery" not in call]  # these take no token
    ended = {call: ends(room, call, {"do": "expired"}, turn) for turn, call in enumerate(asked)}
    for call, error in ended.items():
        assert error is None or isinstance(error, Unavailable), (call, error)
        assert tokens.SECRET not in str(error)
    assert len([error for error in ended.values() if error is not None]) >= len(ended) * 0.7, ended
    assert "credential" in str(ended[next(call for call in ended if r"PUT\ management" in call and "/jobs/" in call)])


def test_a_conflict_that_stays_is_one_of_ours_at_every_write(azure: Running, room: Room) -> None:
    writes = [call for call in room.calls if call.startswith(r"re:PUT\ management")]
    assert len(writes) >= 4
    for turn, call in enumerate(writes):
        since = len(azure.requests())
        error = ends(room, call, {"do": "status", "status": 409, "code": "Conflict"}, turn)
        assert isinstance(error, Conflict), (call, error)
        assert not [
            line
            for line in azure.requests()[since:]
            if line["path"] in jobs_since(azure, since) and line["status"] == 201
        ]
