"""Files that are whole or not there: written beside, fsynced, renamed."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

from gates.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK = 1 << 22


def write_whole(path: Path, data: bytes | str, *, mode: int = 0o644) -> None:
    """Replace `path` with `data` in one step; its folder is made. Raises errors.Unavailable when the disk refuses."""
    raw = data.encode() if isinstance(data, str) else data

    def fill(file: IO[bytes]) -> Path:
        file.write(raw)
        return path

    _written(path.parent, path.name, fill, mode)


def copy_by_digest(source: Path, folder: Path, *, mode: int = 0o644) -> str:
    """Copy a file into `folder`, whole, under the sha256 of its bytes, which is returned; never all in memory."""
    digest = hashlib.sha256()

    def fill(file: IO[bytes]) -> Path:
        with source.open("rb") as original:
            while chunk := original.read(CHUNK):
                digest.update(chunk)
                file.write(chunk)
        return folder / digest.hexdigest()

    _written(folder, source.name, fill, mode)
    return digest.hexdigest()


def sha256_of(path: Path) -> str:
    """The digest of a file's bytes, a stretch at a time."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _written(folder: Path, name: str, fill: Callable[[IO[bytes]], Path], mode: int) -> None:
    """Written beside, fsynced, renamed to what `fill` says."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, beside = tempfile.mkstemp(dir=folder, prefix=f".{name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                path = fill(file)
                file.flush()
                os.fsync(file.fileno())
            Path(beside).chmod(mode)
            Path(beside).replace(path)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise
        _sync_folder(folder)
    except OSError as error:
        raise Unavailable(
            f"cannot write {folder / name}: {error.strerror or error}", hint="free space, or name another folder"
        ) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
