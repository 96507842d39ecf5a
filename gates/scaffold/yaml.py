"""Small pieces of YAML as people would write them: quoted only where YAML would read something else."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_PLAIN = re.compile(r"(?:\.{1,2}/)*[A-Za-z][A-Za-z0-9_./-]*|\d+[smhd]")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


def quoted(value: object) -> str:
    """A scalar. Texts that YAML would take for something else are written as JSON, which YAML reads."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        said = repr(value)  # YAML 1.1 reads an exponent only after a point
        return said if "e" not in said or "." in said else said.replace("e", ".0e")
    text = str(value)
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return text if plain else json.dumps(text, ensure_ascii=False)


def listed(values: Iterable[object]) -> str:
    return f"[{', '.join(quoted(value) for value in values)}]"


def item(**keys: object) -> str:
    """One check on one line. Values that begin with a bracket or a brace are YAML already."""
    said = ", ".join(f"{key}: {value if str(value)[:1] in '[{' else quoted(value)}" for key, value in keys.items())
    return f"      - {{ {said} }}\n"
