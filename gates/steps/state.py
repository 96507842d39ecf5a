"""What one command leaves for the next on the same machine: `<state-dir>/last/<step>.json`, a pointer, never proof.

It only spares typing `--model` and `--report`; every step verifies digests itself.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gates.files import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from gates.steps.step import Context


def remember(context: Context, step: str, **values: str) -> None:
    write_whole(_file(context, step), json.dumps(values, indent=2) + "\n")


def recall(context: Context, step: str) -> dict[str, str]:
    """Empty when there is none, or none that can be read."""
    try:
        found = json.loads(_file(context, step).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _file(context: Context, step: str) -> Path:
    return context.state_dir / "last" / f"{step}.json"
