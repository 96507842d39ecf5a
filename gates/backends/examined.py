"""One thing that `gates doctor` looked at, whichever the backend."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Finding:
    """`ok` is None for what is only told. `said` holds no secret; `hint` says what mends it."""

    what: str
    ok: bool | None
    said: str
    hint: str = ""


def packages(names: tuple[str, ...], extra: str) -> Iterator[Finding]:
    """Whether the distributions that `extra` brings are installed, and which versions."""
    found = {name: _version(name) for name in names}
    for name, version in found.items():
        hint = "" if version else f"install mlops-gates[{extra}]"
        yield Finding(f"package {name}", bool(version), version or "not installed", hint)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
