"""What a model server's environment holds: the deployment's own requirements, or the model's, plus Azure's server.

The resolver chooses the server's version: newer ones pin an OpenTelemetry that mlflow refuses, older ones do not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gates.errors import InvalidInput
from gates.runtime.scoring import model_requirements

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SERVER = ("azureml-inference-server-http>=1.4,<2", "gunicorn>=22")


def requirements(body: Mapping[str, Any], model: Path) -> tuple[str, ...]:
    """Lines of a requirements file: of the deployment's conda file where it has one, else of the model."""
    environment = body.get("environment")
    conda = environment.get("conda_file") if isinstance(environment, dict) else None
    if conda:
        return (*from_conda(conda), *SERVER)
    return (*(model_requirements(model) if (model / "MLmodel").is_file() else ()), *SERVER)


def from_conda(conda: Mapping[str, Any]) -> tuple[str, ...]:
    """The requirements that a conda file names: its pip list, and its conda packages by the same name.

    `python` and `pip` are left out. InvalidInput for what pip has no word for (a channel, a build string, a file).
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
    for line in lines:
        if line.startswith("-"):
            raise InvalidInput(f"pip option '{line}' in a conda file is not read", hint="list the packages themselves")
    return tuple(lines)
