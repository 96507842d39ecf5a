"""On a real workspace, where somebody names one: `make azure`. The emulator's own tests, and what doctor says.

Skipped otherwise, which is no missing tool: nobody's subscription can be asked for. What it makes is named by the run,
stays in the workspace, and costs two short jobs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import azureml_room
import pytest
from test_azureml_jobs import (
    test_a_job_on_a_data_asset_is_streamed_fetched_and_described,
    test_an_alias_moves_only_from_where_it_was_expected,
    test_registered_bytes_that_are_fewer_than_gated_are_refused,
    test_versions_are_integers_made_once_and_keep_foreign_tags,
)

from gates import cli
from gates.backends.azureml.backend import AzureMLBackend

if TYPE_CHECKING:
    from pathlib import Path

NAMED = ("AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP", "AZURE_ML_WORKSPACE")
pytestmark = pytest.mark.skipif(
    os.environ.get("GATES_AZURE") != "1", reason=f"no real workspace is named: make azure, with {', '.join(NAMED)}"
)
__all__ = [
    "test_a_job_on_a_data_asset_is_streamed_fetched_and_described",
    "test_an_alias_moves_only_from_where_it_was_expected",
    "test_registered_bytes_that_are_fewer_than_gated_are_refused",
    "test_versions_are_integers_made_once_and_keep_foreign_tags",
]


@dataclass(frozen=True)
class Azure:
    """What these tests ask of the emulator, of the real thing: it keeps no books that we may read."""

    def requests(self) -> list[dict[str, Any]]:
        return []

    def invalid(self) -> list[dict[str, Any]]:
        return []


@pytest.fixture
def azure() -> Azure:
    missing = [name for name in NAMED if not os.environ.get(name)]
    assert not missing, f"GATES_AZURE=1 needs {', '.join(missing)}"
    return Azure()


@pytest.fixture
def backend(azure: Azure, tmp_path: Path) -> AzureMLBackend:
    workspace = azureml_room.workspace(os.environ, credential="")
    return AzureMLBackend(
        workspace, state_dir=tmp_path / "state", model="credit", output="model", run="", say=lambda _: None
    )


def test_doctor_finds_every_right(azure: Azure, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mlops.yml").write_text(
        "version: 1\nmodel: credit\nbackend: azureml\nworkspace:\n  subscription_id: ${env:AZURE_SUBSCRIPTION_ID}\n"
        "  resource_group: ${env:AZURE_RESOURCE_GROUP}\n  name: ${env:AZURE_ML_WORKSPACE}\n"
    )
    assert cli.run(["doctor"], os.environ, tmp_path) == 0, "".join(capfd.readouterr())
