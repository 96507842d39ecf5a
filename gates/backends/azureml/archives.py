"""A folder as one archive, so that a reader finds all of it or what was before; equal folders give equal bytes."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

from gates.errors import Unavailable

if TYPE_CHECKING:
    from pathlib import Path


def pack(folder: Path) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.writestr(zipfile.ZipInfo(path.relative_to(folder).as_posix()), path.read_bytes())
    return out.getvalue()


def unpack(packed: bytes, into: Path, what: str) -> Path:
    """Into a new folder. Unavailable for bytes that are no archive; `what` says whose they are."""
    into.mkdir(parents=True)
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            archive.extractall(into)
    except (zipfile.BadZipFile, OSError) as error:
        raise Unavailable(
            f"the lineage of {what} cannot be unpacked: {error}", hint="publish it again: run the gate again"
        ) from error
    return into
