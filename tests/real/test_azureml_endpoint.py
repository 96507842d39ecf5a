"""The contract of endpoints, over the real SDK and the wire; and what every write must keep."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

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
