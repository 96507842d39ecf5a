"""Data that an input names: a path as it is; a reference into the workspace, fetched."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from gates.inputs import remote

if TYPE_CHECKING:
    from pathlib import Path

    from gates.steps.step import Context


def at_hand(context: Context, given: Path) -> Path:
    """The path, or what the workspace holds under an `azureml:` reference, fetched."""
    reference = remote(given)
    if not reference:
        return given
    name = hashlib.sha256(reference.encode()).hexdigest()[:16]
    return context.backend.fetch_data(reference, context.state_dir / "data" / name)
