"""Where a job's data and models come from when there is no workspace: paths, and a local folder of assets.

`azureml:NAME:VERSION`, `azureml:NAME@LABEL` and `azureml://…` are looked up under the assets folder; what is not there
is an error that says where to put it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

    from gates.errors import InvalidInput

_DATASTORE = re.compile(r"^azureml://(?:.*/)?datastores/([^/]+)/paths/(.+)$")
_REGISTRY = re.compile(r"^azureml://registries/([^/]+)/(\w+)/([^/]+)(?:/(?:versions|labels)/([^/]+))?$")
_NAMED = re.compile(r"^azureml:([^:@/]+)(?:[:@]([^:@/]+))?$")


def resolve(reference: str, *, base: Path, assets: Path | None, where: Callable[[str], InvalidInput]) -> Path:
    """The local path of an input's `path`. `base` is the folder of the YAML file; `where` makes the error."""
    if reference.startswith("azureml:"):
        return _asset(reference, assets, where)
    parts = urlsplit(reference)
    if parts.scheme == "file":
        path = Path(unquote(parts.path))
    elif parts.scheme and len(parts.scheme) > 1:
        raise where(f"{reference} cannot be read by a local run; download it and give its path")
    else:
        path = base / Path(reference).expanduser()
    if not path.exists():
        raise where(f"no such file or folder: {path}")
    return path.resolve()


def candidates(reference: str) -> tuple[str, ...]:
    """Paths under the assets folder where a reference may stand, best first."""
    if match := _DATASTORE.match(reference):
        return (f"datastores/{match.group(1)}/{match.group(2).rstrip('/')}",)
    if match := _REGISTRY.match(reference):
        registry, kind, name, version = match.groups()
        tail = f"{name}/{version}" if version else name
        return (f"registries/{registry}/{kind}/{tail}", f"registries/{registry}/{kind}/{name}")
    if match := _NAMED.match(reference):
        name, version = match.groups()
        return (f"{name}/{version}", name) if version else (name,)
    return ()


def _asset(reference: str, assets: Path | None, where: Callable[[str], InvalidInput]) -> Path:
    places = candidates(reference)
    if not places:
        raise where(f"{reference} is not a reference that a local run can resolve")
    if assets is None:
        raise where(f"{reference} stands in a workspace; a local run needs an assets folder with {places[0]} in it")
    for place in places:
        if (assets / place).exists():
            return (assets / place).resolve()
    raise where(f"{reference} is not in the assets folder; put it at {assets / places[0]}")
