"""What a model server's environment holds: the deployment's own requirements, or the model's, plus Azure's server.

The resolver chooses the server's version: newer ones pin an OpenTelemetry that mlflow refuses, older ones do not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gates.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SERVER = ("azureml-inference-server-http>=1.4,<2", "gunicorn>=22")


def requirements(body: Mapping[str, Any], model: Path) -> tuple[str, ...]:
    """Lines of a requirements file: of the deployment's conda file where it has one, else of the model."""
    conda = (body.get("environment") or {}).get("conda_file")
    own = from_conda(conda) if conda else _of_model(model)
    return (*own, *SERVER)


def from_conda(conda: Mapping[str, Any]) -> tuple[str, ...]:
    """The requirements that a conda file names: its pip list, and its conda packages by the same name.

    `python` and `pip` are left out. InvalidInput for what has no equivalent there (a channel, a build string).
    """
    lines: list[str] = []
    for item in conda.get("dependencies") or []:
        if isinstance(item, dict):
            lines += [str(line) for line in item.get("pip") or []]
            continue
        match = re.fullmatch(r"([A-Za-z0-9_.-]+)\s*(?:(==?|>=|<=|~=|>|<)\s*([A-Za-z0-9_.*]+))?", str(item).strip())
        if match is None:
            raise InvalidInput(
                f"conda dependency '{item}' cannot be installed with pip",
                hint="move it to the pip: list of the conda file",
            )
        name, relation, version = match.groups()
        if name in ("python", "pip"):
            continue
        if relation == "=":
            relation, version = "==", version if version.endswith("*") else f"{version}.*"
        lines.append(f"{name}{relation or ''}{version or ''}")
    return tuple(lines)


def _of_model(model: Path) -> tuple[str, ...]:
    file = model / "requirements.txt"
    if not file.is_file():
        return ()
    lines = (line.strip() for line in file.read_text("utf-8").splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))
