"""An Azure workspace on loopback, as the backend is given it: shared by the tests of the azureml backend."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from gates.backends.azureml.backend import AzureMLBackend
from gates.backends.azureml.client import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from azureml_emulator.start import Running

PLAYED = {"AZUREML_RUN_POLLING_INTERVAL_MIN": "1", "AZUREML_RUN_POLLING_INTERVAL_MAX": "1"}
"""The SDK asks for a job's log every second, not every minute."""


def workspace(azure: Running) -> Workspace:
    """With the client secret of the emulator's tenant; the process must have the emulator's environment."""
    env = azure.environment()

    def opened() -> tuple[Any, str]:
        from azure.identity import ClientSecretCredential

        parts = (env[f"AZURE_{part}"] for part in ("TENANT_ID", "CLIENT_ID", "CLIENT_SECRET"))
        return ClientSecretCredential(*parts), "client secret"

    names = (env["AZURE_SUBSCRIPTION_ID"], env["AZURE_RESOURCE_GROUP"], env["AZURE_ML_WORKSPACE"])
    return Workspace(subscription=names[0], group=names[1], name=names[2], open_credential=opened)


def backend(azure: Running, state: Path, *, model: str = "credit", run: str = "") -> AzureMLBackend:
    return AzureMLBackend(workspace(azure), state_dir=state, model=model, output="model", run=run, say=lambda _: None)


def enter(azure: Running) -> dict[str, str]:
    """What this process must have in its environment to speak to the emulator; restore what was before."""
    wanted = {**azure.environment(), **PLAYED}
    before = {name: os.environ.get(name, "") for name in wanted}
    os.environ.update(wanted)
    return before
