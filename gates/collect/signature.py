"""What an MLflow model folder says of itself, read as text: no code of the model runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gates.document import load_yaml
from gates.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def mlmodel(folder: Path) -> Mapping[str, Any]:
    """The file MLmodel. Raises errors.InvalidInput when the folder is not an MLflow model."""
    found: Mapping[str, Any] = load_yaml(folder / "MLmodel", "the model's MLmodel file").value
    return found


def feature_names(folder: Path) -> tuple[str, ...]:
    """Names of the signature's input columns; () when the model has no signature or a tensor one."""
    inputs = (mlmodel(folder).get("signature") or {}).get("inputs")
    if not inputs:
        return ()
    try:
        columns = json.loads(inputs)
    except ValueError as error:
        raise InvalidInput("the signature in MLmodel is not JSON", file=folder / "MLmodel") from error
    return tuple(str(column["name"]) for column in columns if "name" in column)
