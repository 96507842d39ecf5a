"""What DVC says data is: the md5 it recorded in a `.dvc` file or `dvc.lock`, and the same md5 of the bytes at hand.

For DVC 3 (`hash: md5`): of a file, the md5 of its bytes; of a folder, the md5 of the JSON list of its files, with
`.dir` behind. Files of DVC 2, whose md5 of text saw other line ends, are reported with scheme `md5-dos2unix` and are
not recomputed. md5 is a pointer into DVC's cache here, never evidence: that is the sha256 beside it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from gates.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

IGNORED = {".dvc", ".git", ".hg", ".DS_Store"}


@dataclass(frozen=True)
class DvcHash:
    """md5: 32 hex, with `.dir` behind for a folder. where: the file that says so."""

    md5: str
    scheme: str
    where: str

    def __str__(self) -> str:
        return f"{self.scheme}:{self.md5}"


def recorded(path: Path | str) -> DvcHash | None:
    """What DVC recorded of this file or folder: `PATH.dvc` beside it, else the nearest dvc.lock above that names it."""
    data = Path(path).absolute()
    for folder in data.parents:
        beside = folder / f"{data.relative_to(folder).parts[0]}.dvc"
        if beside.is_file() and (found := _find(beside, _outs(beside), folder, data)):
            return found
        lock = folder / "dvc.lock"
        if lock.is_file() and (found := _find(lock, _locked(lock), folder, data)):
            return found
        if (folder / ".dvc").is_dir():
            return None
    return None


def md5_of(path: Path | str) -> str:
    """The md5 that DVC 3 gives this file or folder. Raises InvalidInput, Unavailable."""
    data = Path(path)
    if data.is_file():
        return _md5(data)
    if not data.is_dir():
        raise InvalidInput("is neither a file nor a folder", hint="pull the data: dvc pull", file=data)
    entries = [{"md5": _md5(file), "relpath": file.relative_to(data).as_posix()} for file in _files(data)]
    text = json.dumps(sorted(entries, key=lambda entry: entry["relpath"]), sort_keys=True)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + ".dir"


def _find(source: Path, outs: list[dict[str, Any]], folder: Path, data: Path) -> DvcHash | None:
    for out in outs:
        if "path" in out and "md5" in out:
            base = folder / str(out.get("wdir", "."))
            if (base / str(out["path"])).absolute() == data:
                scheme = "md5" if out.get("hash") == "md5" else "md5-dos2unix"
                return DvcHash(md5=str(out["md5"]), scheme=scheme, where=str(source))
    return None


def _outs(file: Path) -> list[dict[str, Any]]:
    content = _yaml(file)
    return [{**out, "wdir": content.get("wdir", ".")} for out in content.get("outs") or [] if isinstance(out, dict)]


def _locked(file: Path) -> list[dict[str, Any]]:
    stages = _yaml(file).get("stages") or {}
    entries = [entry for stage in stages.values() for kind in ("outs", "deps") for entry in stage.get(kind) or []]
    return [entry for entry in entries if isinstance(entry, dict)]


def _yaml(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise Unavailable(f"cannot be read: {error.strerror}", file=file) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput("is not a file of DVC: not YAML", hint="restore it from git", file=file) from error
    if not isinstance(content, dict):
        raise InvalidInput("is not a file of DVC", hint="restore it from git", file=file)
    return content


def _files(folder: Path) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        if entry.name in IGNORED:
            continue
        if entry.is_dir():
            yield from _files(entry)
        else:
            yield entry


def _md5(file: Path) -> str:
    hasher = hashlib.md5(usedforsecurity=False)
    try:
        with file.open("rb") as opened:
            while block := opened.read(1 << 20):
                hasher.update(block)
    except OSError as error:
        raise Unavailable(f"cannot be read: {error.strerror}", file=file) from error
    return hasher.hexdigest()
