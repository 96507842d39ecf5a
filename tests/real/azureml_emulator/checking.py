"""Every PUT body against Microsoft's own schemas, by api-version: JSON Schema draft-04 of the resource provider.

Their quirks, each met here: `additionalProperties: false` inside `allOf` refuses what a sibling allows, so it is
dropped; enums differ in case; a double may be sent as an integer; `hash_version` is an integer on the wire, a
monitor's `threshold.value`, said to be an integer, a double (the service takes 0.2 as everybody sends it); `oneOf`
branches are told apart by their discriminator. They are open almost everywhere, hence the walk for unknown properties.
"""

from __future__ import annotations

import functools
import json
import os
import re
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ.get("GATES_AZUREML_SCHEMAS", Path(__file__).resolve().parents[4] / "shared/azureml-schemas"))
_COMMON = "https://schema.management.azure.com/schemas/common/definitions.json"
_READ_ONLY = {"id", "type", "systemData", "name"}


def there() -> bool:
    return (FOLDER / "common-definitions.json").is_file()


@functools.cache
def _load(version: str) -> dict[str, Any] | None:
    path = FOLDER / f"{version}.json"
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def problems(version: str, kind: str, body: Any) -> list[str]:
    """What is wrong with the body of a PUT of `kind` (`workspaces_jobs`); a list that is empty where nothing is."""
    document = _load(version)
    if document is None:
        return [f"no schema of api-version {version}"]
    resource = document["resourceDefinitions"].get(kind)
    if resource is None:
        return [f"api-version {version} knows no {kind}"]
    return list(_Walk(document).check(body, _without_envelope(resource), ""))


def _without_envelope(resource: dict[str, Any]) -> dict[str, Any]:
    """A template of a deployment names apiVersion, name and type; a body on the wire has them in its URL."""
    needed = [name for name in resource.get("required", []) if name not in ("apiVersion", "name", "type")]
    return {**resource, "required": needed}


class _Walk:
    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document

    def _resolve(self, schema: dict[str, Any]) -> dict[str, Any] | None:
        """The schema that `$ref` names; None for ARM's template expressions, which are never on the wire."""
        reference = schema.get("$ref")
        if reference is None:
            return schema
        if reference.startswith("#/definitions/"):
            found: dict[str, Any] = self._document["definitions"][reference[len("#/definitions/") :]]
            return self._resolve(found)
        return None

    def check(self, value: Any, schema: dict[str, Any], at: str) -> list[str]:
        found = self._resolve(schema)
        if found is None or value is None:
            return []  # the SDK sends nulls for what is not set, and the service takes them
        if isinstance(value, dict):
            return self._object(value, found, at)
        if "oneOf" in found:
            return min((self.check(value, branch, at) for branch in self._branches(found)), key=len, default=[])
        wrong = self._type(value, found.get("type"), found, at)
        if isinstance(value, list) and "items" in found:
            wrong += [p for i, item in enumerate(value) for p in self.check(item, found["items"], f"{at}[{i}]")]
        return wrong

    def _branches(self, schema: dict[str, Any]) -> list[dict[str, Any]]:
        return [found for branch in schema.get("oneOf", []) if (found := self._resolve(branch)) is not None]

    def _parts(self, value: dict[str, Any], schema: dict[str, Any], at: str, wrong: list[str]) -> list[dict[str, Any]]:
        """The schemas whose properties an object may have: its own, those of `allOf`, and of the branch that it is."""
        parts = [schema]
        for one in schema.get("allOf", []):
            found = self._resolve(one)
            parts += [] if found is None else self._parts(value, found, at, wrong)
        branches = self._branches(schema)
        if not branches:
            return parts
        told = [branch for branch in branches if self._discriminators(branch)]
        fitting = [branch for branch in told if self._discriminated(value, branch)] or [
            branch for branch in branches if branch not in told
        ]
        if not fitting:
            wrong.append(f"{at}: no branch of {sorted(self._names(branches))}")
            return parts
        best = min(fitting, key=lambda branch: len(self._object(value, branch, at)))
        return parts + self._parts(value, best, at, wrong)

    def _discriminators(self, branch: dict[str, Any]) -> dict[str, list[str]]:
        """Properties of a branch that hold one value alone."""
        found = {}
        for part in [branch, *(p for one in branch.get("allOf", []) if (p := self._resolve(one)))]:
            for name, schema in (part.get("properties") or {}).items():
                values = self._enum(schema)
                if len(values) == 1:
                    found[name] = values
        return found

    def _enum(self, schema: dict[str, Any]) -> list[str]:
        for one in [schema, *schema.get("oneOf", [])]:
            resolved = self._resolve(one)
            if resolved and "enum" in resolved:
                return [str(value) for value in resolved["enum"]]
        return []

    def _names(self, branches: list[dict[str, Any]]) -> set[str]:
        return {v for b in branches for values in self._discriminators(b).values() for v in values}

    def _discriminated(self, value: dict[str, Any], branch: dict[str, Any]) -> bool:
        told = self._discriminators(branch)
        return bool(told) and all(
            str(value.get(name, "")).lower() == values[0].lower() for name, values in told.items()
        )

    def _type(self, value: Any, kind: Any, schema: dict[str, Any], at: str) -> list[str]:
        fits = {
            "object": isinstance(value, dict), "array": isinstance(value, list), "string": isinstance(value, str),
            "boolean": isinstance(value, bool), "null": value is None,
            "integer": isinstance(value, int) and not isinstance(value, bool),
            "number": isinstance(value, (int, float)) and not isinstance(value, bool),
        }  # fmt: skip
        if kind is not None and not any(fits.get(one, True) for one in ([kind] if isinstance(kind, str) else kind)):
            if at.endswith(".hash_version") and isinstance(value, int):
                return []
            if at.endswith(".threshold.value") and fits["number"]:
                return []
            return [f"{at}: {value!r} is no {kind}"]
        if "enum" in schema and str(value).lower() not in {str(one).lower() for one in schema["enum"]}:
            return [f"{at}: {value!r} is none of {schema['enum']}"]
        if "pattern" in schema and isinstance(value, str) and not re.search(schema["pattern"], value):
            return [f"{at}: {value!r} does not match {schema['pattern']}"]
        return []

    def _object(self, value: dict[str, Any], schema: dict[str, Any], at: str) -> list[str]:
        found: list[str] = []
        parts = self._parts(value, schema, at, found)
        kinds = {part["type"] for part in parts if "type" in part}
        if kinds and "object" not in kinds:
            return [f"{at}: an object is no {sorted(kinds)}"]
        known: dict[str, Any] = {}
        for part in parts:
            known |= part.get("properties") or {}
        extra = next(
            (p["additionalProperties"] for p in parts if isinstance(p.get("additionalProperties"), dict)), None
        )
        found += [
            f"{at}: {name} is required" for p in parts for name in p.get("required", []) if value.get(name) is None
        ]
        lower = {name.lower(): name for name in known}
        for name, item in value.items():
            if name.lower() in lower:
                found += self.check(item, known[lower[name.lower()]], f"{at}.{name}")
            elif extra is not None:
                found += self.check(item, extra, f"{at}.{name}")
            elif known and item is not None and not (at == "" and name in _READ_ONLY):
                found.append(f"{at}.{name}: not known to the schema")
        return found
