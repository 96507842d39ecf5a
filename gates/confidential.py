"""What nobody may see: the variables that our own steps read as secrets, and their values.

A runner masks its log, and only what came from its own secrets. The rest is ours: values are masked before anything is
said (platforms), and taken out of what is kept in files, the log of a job first of all (runtime).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SECRETS = (
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "AZURE_CLIENT_SECRET", "GATES_SIGNING_KEY", "GATES_SIGNING_PASSWORD",
    "GATES_TOKEN", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "SYSTEM_ACCESSTOKEN",
)  # fmt: skip
"""The variables that our own steps read and nobody may see. A runner masks what came from its secrets, not the rest."""
HIDDEN = "***"


def values(env: Mapping[str, str]) -> tuple[str, ...]:
    """What of the environment is secret, a line each, in the order of SECRETS."""
    return tuple(line for name in SECRETS for line in _lines(name, env.get(name, "")))


def _lines(name: str, value: str) -> list[str]:
    """What of a value is secret: a key may be given as the name of its file, and the fence around PEM is no secret."""
    if name == "GATES_SIGNING_KEY" and not value.lstrip().startswith("-----BEGIN"):
        return []
    lines = (line.strip() for line in value.splitlines())
    return [line for line in lines if line and not line.startswith("-----")]
