"""The contract of endpoints, over the real SDK and the wire; and what every write must keep."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import azureml_room
import pytest
import test_endpoint_contract as contract
from rollout_world import spec

from gates.lineage.digest import model_digest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from azureml_emulator.start import Running


@pytest.fixture(autouse=True)
def _led_there(azure: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in azureml_room.environment(azure).items():
        monkeypatch.setenv(name, value)


class Named:
    """Room names are taken once: each test has an endpoint of its own."""

    count = 0


@pytest.fixture
def room(tmp_path: Path) -> Iterator[contract.Room]:
    code, model = tmp_path / "code", tmp_path / "model"
    for made in (code, model):
        made.mkdir()
    (code / "score.py").write_text(contract.ECHO)
    (model / "weights").write_text("1")
    specs = []
    for number in (1, 2):
        one = spec(number)
        body = {
            "code_configuration": {"code": str(code), "scoring_script": "score.py"},
            "environment_variables": {"VERSION": one.name},
            **azureml_room.SERVED,
        }  # fmt: skip
        specs.append(replace(one, model=str(model), model_digest=model_digest(model), body=body))
    Named.count += 1
    backend = azureml_room.backend(tmp_path / "state")
    endpoint = backend.endpoint(f"credit-{Named.count}", score="auto")
    yield contract.Room(endpoint, contract.RealClock(), specs[0], specs[1], b"{}")
    endpoint._workspace.delete(f"onlineEndpoints/{endpoint.name}")


for _name, _test in vars(contract).items():
    if _name.startswith("test_"):
        globals()[_name] = _test


def test_what_others_set_survives_every_write(azure: Running, room: contract.Room) -> None:
    """Tags, identity, description, network access, properties of the endpoint; tags and settings of a deployment."""
    epoch = room.up(room.blue, room.green)
    endpoint: Any = room.endpoint
    workspace, path = endpoint._workspace, endpoint._path
    mine = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/scorer"
    before = workspace.get(path)
    body = {
        "location": before["location"], "kind": "Managed",
        "tags": {**before.get("tags", {}), "team": "risk", "cost-centre": "4711"},
        "identity": {"type": "UserAssigned", "userAssignedIdentities": {mine: {}}},
        "properties": {
            "authMode": "Key", "description": "by hand", "publicNetworkAccess": "Disabled",
            "properties": {"azureml.onlineendpointid": "x"},
        },
    }  # fmt: skip
    workspace.put(path, body)
    room.settle()
    blue = f"{path}/deployments/{room.blue.name}"
    deployed = workspace.get(blue)
    told = {key: value for key, value in deployed["properties"].items() if key != "provisioningState"}
    settings = {"requestSettings": {"maxConcurrentRequestsPerInstance": 7, "requestTimeout": "PT9S"}}
    changed = {key: deployed[key] for key in ("location", "sku") if key in deployed}
    changed |= {"tags": {**deployed["tags"], "owner": "ann"}, "properties": {**told, **settings}}
    workspace.put(blue, changed)
    room.settle()
    kept = workspace.get(blue)
    for traffic, mirror in (({room.blue.name: 100}, {}), ({room.blue.name: 100}, {room.green.name: 10}),
                            ({room.blue.name: 50, room.green.name: 50}, {}), ({room.blue.name: 100}, {})):  # fmt: skip
        room.write(epoch, traffic, mirror=mirror, tags={"gates.state": "CANARY_1"})
    room.endpoint.delete(room.green.name, epoch=epoch)
    room.settle()
    after = workspace.get(path)
    assert {"team": "risk", "cost-centre": "4711", "gates.state": "CANARY_1"}.items() <= after["tags"].items()
    assert after["identity"]["type"] == "UserAssigned"
    assert list(after["identity"]["userAssignedIdentities"]) == [mine]
    wanted = {**body["properties"], "traffic": {room.blue.name: 100}}
    assert {key: after["properties"].get(key) for key in wanted} == wanted
    now = workspace.get(blue)
    for part in ("tags", "sku"):
        assert now[part] == kept[part]
    assert now["properties"] == kept["properties"]
    assert azure.invalid() == []
