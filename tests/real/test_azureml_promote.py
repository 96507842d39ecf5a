"""A gated version goes from one workspace through a registry into another: bytes, lineage, tags; and nothing else does.

One story: trained, gated and registered in `risk-ws`, shared through `risk-registry`, taken into `risk-prod`. Until it
is registered, the caller has no right but those that `gates doctor` asks about.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import azureml_room
import pytest
from azureml_emulator import arm
from azureml_project import project
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gates import cli
from gates.backends.azureml import rights
from gates.lineage.digest import model_digest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from azureml_emulator.start import Running

POLICY = """\
version: 1
name: promoted
stages:
  validate:
    checks:
      - {id: accuracy.floor, type: threshold, metric: accuracy, source: metrics, min: 0.8, decide_on: point}
"""
EVERYTHING = {"actions": ["*"], "notActions": list[str]()}
URI = f"azureml://registries/{arm.REGISTRY}/models/travelled/versions/1"


@dataclass(frozen=True)
class World:
    folder: Path
    env: dict[str, str]

    def gates(self, *arguments: str, at: str = "dev") -> int:
        workspace = {"dev": arm.WORKSPACE, "prod": "risk-prod"}[at]
        argv = [*arguments, "--state-dir", str(self.folder / at), "--report-dir", str(self.folder / at / "said")]
        return cli.run(argv, {**self.env, "AZURE_ML_WORKSPACE": workspace}, self.folder)

    def outputs(self, at: str = "dev") -> dict[str, str]:
        found: dict[str, str] = json.loads((self.folder / at / "said/outputs.json").read_text())
        return found

    def backend(self, at: str) -> Any:
        workspace = {"dev": arm.WORKSPACE, "prod": "risk-prod"}[at]
        return azureml_room.backend(self.folder / at, env={**self.env, "AZURE_ML_WORKSPACE": workspace})


@pytest.fixture(scope="module")
def world(azure_running: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """`travelled` version 1 of risk-ws, which a gate allowed."""
    azure_running.plant()
    folder = project(tmp_path_factory.mktemp("promoted"), rate=1)
    settings = (folder / "mlops.yml").read_text()
    settings = settings.replace("model: credit\n", "model: travelled\n")  # the emulator has others' models too
    (folder / "mlops.yml").write_text(settings.replace("workspace:\n", f"workspace:\n  registry: {arm.REGISTRY}\n"))
    (folder / "policy.yml").write_text(POLICY)
    (folder / "metrics.json").write_text('{"metrics": {"accuracy": 0.9}, "n": 1000}')
    env = {**azureml_room.environment(azure_running), "HOME": str(folder)}
    patch = pytest.MonkeyPatch()
    for name, value in env.items():
        patch.setenv(name, value)
    made = World(folder, env)
    enough = [action for command in ("every command", "train", "register") for action in rights.NEEDED[command]]
    azure_running.allow({"actions": enough, "notActions": []}, enforced=True)
    assert made.gates("train") == 0
    model = made.outputs()["model-path"]
    assert made.gates("validate-gate", "--model", model, "--metrics", "metrics.json") == 0
    report = made.outputs()["report-path"]
    (folder / "gate.json").write_text((folder / "dev/said/report.json").read_text())
    assert made.gates("register", "--model", model, "--report", report) == 0, report
    azure_running.allow(EVERYTHING)
    yield made
    azure_running.allow(EVERYTHING)
    patch.undo()


def test_a_version_goes_through_the_registry_with_all_that_is_known_of_it(azure: Running, world: World) -> None:
    [here] = world.backend("dev").versions("travelled")
    assert world.gates("model", "promote", "--version", here.version) == 0
    assert world.gates("model", "promote", "--source", URI, at="prod") == 0
    [there] = world.backend("prod").versions("travelled")
    assert (there.version, there.digest, there.aliases) == ("1", here.digest, ("candidate",))
    assert {**here.tags, "gates.promoted_from": URI} == there.tags
    found = world.backend("prod")._workspace.get("models/travelled/versions/1")
    assert found["properties"]["properties"]["gates.model_digest"] == here.digest
    ours, theirs = (
        world.backend(at).fetch_lineage(version, world.folder / f"lineage-{at}")
        for at, version in (("dev", here), ("prod", there))
    )
    assert ours
    assert theirs
    assert (theirs / "lineage.intoto.jsonl").read_bytes() == (ours / "lineage.intoto.jsonl").read_bytes()
    assert model_digest(world.backend("prod").fetch(there, world.folder / "fetched")) == here.digest
    assert world.gates("lineage", "verify", "--version", "1", at="prod") == 0
    assert azure.invalid() == []


def test_once_more_changes_nothing_and_numbers_are_integers(azure: Running, world: World) -> None:
    for _ in range(2):
        assert world.gates("model", "promote", "--version", "1") == 0
        assert world.gates("model", "promote", "--source", URI, at="prod") == 0
    assert [version.version for version in world.backend("prod").versions("travelled")] == ["1"]
    registry = world.backend("dev")._workspace.beside(arm.REGISTRY).registry_ml.models
    assert [one.version for one in registry.list("travelled")] == ["1"]
    assert [one.version for one in registry.list("travelled.lineage")] == ["1"]


@pytest.mark.parametrize(
    ("right", "command", "needs"),
    [
        ("jobs/write", ("train",), "train"),
        ("datastores/listsecrets/action", ("model", "promote", "--version", "1"), "every command"),
        ("models/versions/read", ("model", "promote", "--version", "1"), "register"),
        ("read", ("model", "list"), ""),
    ],
)
def test_a_right_that_is_missing_ends_in_one_line_and_doctor_names_it(
    azure: Running, world: World, capfd: pytest.CaptureFixture[str], right: str, command: tuple[str, ...], needs: str
) -> None:
    """The service refuses what the roles do not allow; nothing is half done."""
    action = f"Microsoft.MachineLearningServices/workspaces/{right}"
    azure.allow({**EVERYTHING, "notActions": [action, "*/models/read"] if right == "read" else [action]}, enforced=True)
    capfd.readouterr()
    code = world.gates(*command)
    said = "".join(capfd.readouterr())
    found = world.gates("doctor")
    doctor = "".join(capfd.readouterr())
    azure.allow(EVERYTHING)
    assert code == 4, said
    [line] = [line for line in said.splitlines() if line.startswith("error: ")]
    assert "not allowed (AuthorizationFailed)" in line
    assert "`gates doctor` names it" in line
    assert found == 4
    assert [line for line in doctor.splitlines() if line.startswith("MISSING") and needs in line and action in line]


@pytest.mark.parametrize(
    ("status", "told"), [(403, "not allowed"), (200, "the Azure SDK cannot read what Azure answered")]
)
def test_a_registry_whose_address_is_not_told_is_one_line(
    azure: Running, world: World, capfd: pytest.CaptureFixture[str], status: int, told: str
) -> None:
    """An answer of another form ends deep in the SDK, in whatever it stumbles over."""
    azure.plant({"match": f"GET {arm.DISCOVERY}/*", "do": "status", "status": status, "times": 99})
    capfd.readouterr()
    assert world.gates("model", "promote", "--version", "1") == 4
    [line] = [line for line in "".join(capfd.readouterr()).splitlines() if line.startswith("error: ")]
    assert told in line
    assert "`gates doctor`" in line


def test_where_the_policy_asks_for_signatures_nothing_unsigned_goes_either_way(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    key = Ed25519PrivateKey.generate().public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    (world.folder / "policy.yml").write_text(f"{POLICY}signing: {{keys: [{json.dumps(pem)}]}}\n")
    try:
        for way, at in ((("--version", "1"), "dev"), (("--source", URI), "prod")):
            capfd.readouterr()
            assert world.gates("model", "promote", *way, at=at) == 1, way
            assert "sign" in "".join(capfd.readouterr())
    finally:
        (world.folder / "policy.yml").write_text(POLICY)


def test_what_no_gate_allowed_does_not_leave_and_what_was_changed_does_not_come_in(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    """A version without a gate's word; and, last since it spoils the registry, one whose bytes there are others."""
    folder = world.folder / "ungated"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {}\n")
    (world.folder / "none").mkdir()
    (world.folder / "none/lineage.json").write_text("{}")
    backend = world.backend("dev")
    made, _ = backend.register(
        "travelled", folder, digest=model_digest(folder), run_id="", tags={}, lineage=world.folder / "none"
    )
    assert world.gates("model", "promote", "--version", made.version) in (1, 4)
    assert world.gates("model", "promote", "--version", "99") == 2
    registry = backend._workspace.beside(arm.REGISTRY).registry_ml.models
    assert [one.version for one in registry.list("travelled")] == ["1"]
    path = registry.get("travelled", "1").path
    container, _, below = path.partition(".net/")[2].partition("/")
    from azure.storage.blob import ContainerClient

    opened = backend._storage.container()
    client = ContainerClient(path.partition(f"/{container}")[0], container, credential=opened.credential.account_key)
    [weights] = [blob.name for blob in client.list_blobs(name_starts_with=below) if blob.name.endswith("weights")]
    client.upload_blob(weights, b"9", overwrite=True)
    capfd.readouterr()
    assert world.gates("model", "promote", "--source", URI, at="prod") == 1
    assert "are not those that were shared" in "".join(capfd.readouterr())
    assert world.gates("model", "promote", "--version", "1") == 1
