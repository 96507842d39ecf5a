"""report.v1: the report as JSON, and its digest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gates.canonical import digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gates.verdict import GateReport

SCHEMA = "report.v1"


def render(report: GateReport, run: Mapping[str, Any]) -> tuple[str, str]:
    """The text of report.json, and `report-digest`: sha256 of the canonical JSON (RFC 8785) of `result` alone."""
    result = report.to_json()
    text = json.dumps(
        {"schema": SCHEMA, "result": result, "run": dict(run)}, indent=2, ensure_ascii=False, allow_nan=False
    )
    return text + "\n", digest(result)


def schema() -> dict[str, Any]:
    """The JSON Schema of report.v1."""
    text, nullable = {"type": "string"}, {"type": ["number", "null"]}
    check = {
        "id": text, "type": text,
        "severity": {"enum": ["block", "warn"]},
        "status": {"enum": ["PASS", "FAIL", "ERROR", "INCONCLUSIVE", "SKIPPED", "WAIVED"]},
        "observed": nullable,
        "interval": {"type": ["array", "null"], "items": nullable, "minItems": 2, "maxItems": 2},
        "required": {"type": "object"}, "n": {"type": ["integer", "null"]}, "n_needed": {"type": ["integer", "null"]},
        "reason": text, "line": {"type": "integer"},
    }  # fmt: skip
    about = _object({"digest": text}, more=True)
    column = {
        "name": text, "kind": text, "ks": nullable, "p": nullable, "q": nullable, "psi": nullable, "w1": nullable,
        "js": nullable, "chi2": nullable, "drifted": {"type": "boolean"}, "severity": text, "action": text,
    }  # fmt: skip
    item = {"name": text, "sha256": text, "self_reported": {"type": "boolean"}}
    result = {
        "step": text, "stage": text,
        "verdict": {"enum": ["PASS", "INCONCLUSIVE", "ERROR", "FAIL"]}, "decision": {"enum": ["allow", "refuse"]},
        "policy": _object({"digest": text, "name": text, "revision": {"type": "integer"}, "source": text}, more=True),
        "model": about, "champion": {"anyOf": [about, {"type": "null"}]},
        "data": _object({"digest": text, "rows": {"type": "integer"}}, more=True),
        "checks": {"type": "array", "items": _object(check)},
        "evidence": {"type": "array", "items": _object(item)},
    }  # fmt: skip
    optional = {
        "columns": {"type": "array", "items": _object(column, more=True)},
        "retrain": _object(
            {"decide": {"type": "boolean"}, "reason": {"type": ["string", "null"]}},
            optional={"performance": _object({"measure": text, "baseline": nullable, "windows": {"type": "array"}})},
        ),
        "note": text,
    }
    run = _object(
        {"started": text, "platform": text, "versions": {"type": "object"}, "paths": {"type": "object"}}, more=True
    )
    whole = {"schema": {"const": SCHEMA}, "result": _object(result, optional=optional), "run": run}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Report", **_object(whole)}


def _object(
    properties: dict[str, Any], *, optional: dict[str, Any] | None = None, more: bool = False
) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {**properties, **(optional or {})},
        "required": list(properties),
        "additionalProperties": more,
    }
