"""Microsoft's own schema of Azure Pipelines, with our tasks put beside theirs, over an expanded document.

The schema is the one that check-jsonschema carries. A custom task is unknown to it, so ours are injected in both places
where it lists tasks: the names, and the inputs of each.
"""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import TYPE_CHECKING, Any

import jsonschema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ado_agent import Task


@functools.cache
def _published() -> str:
    vendor = resources.files("check_jsonschema") / "builtin_schemas/vendor/azure-pipelines.json"
    return vendor.read_text(encoding="utf-8")


def validator(tasks: Mapping[str, Task]) -> Any:
    """A validator that knows Microsoft's tasks and these."""
    schema = json.loads(_published())
    task = schema["definitions"]["task"]
    for name, own in tasks.items():
        task["properties"]["task"]["anyOf"].insert(0, {"enum": [name]})
        inputs = {given["name"]: _input(given) for given in own.manifest["inputs"]}
        task["anyOf"].insert(0, {
            "properties": {"task": {"pattern": f"^{name}$"},
                           "inputs": {"properties": inputs, "additionalProperties": False}},
            "required": ["task"],
        })  # fmt: skip
    return jsonschema.Draft7Validator(schema)


def _input(given: Mapping[str, Any]) -> dict[str, Any]:
    return {"enum": sorted(given["options"])} if given["type"] == "pickList" else {"type": "string"}


def findings(document: Mapping[str, Any], tasks: Mapping[str, Task]) -> list[str]:
    """What the schema has against a document, the innermost reasons first."""
    return [
        f"{_place(error)}: {error.message[:300]}" for error in _leaves(validator(tasks).iter_errors(_texts(document)))
    ]


def _leaves(errors: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for error in errors:
        best = sorted(error.context, key=lambda inner: -len(inner.absolute_path))[:3] if error.context else []
        found += _leaves(best) or [error]
    return found


def _place(error: Any) -> str:
    return "/".join(str(part) for part in error.absolute_path)


def _texts(value: Any) -> Any:
    """Scalars as the service keeps them: texts."""
    if isinstance(value, dict):
        return {key: _texts(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_texts(inner) for inner in value]
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)
