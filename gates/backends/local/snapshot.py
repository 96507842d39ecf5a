"""The copy of `code:` that a job runs in, with the files that Azure ML would upload: no more, no fewer.

`.amlignore` in its root, else `.gitignore` there, says what stays out, as the SDK has it. A copy, because a job may
write where it stands, and because what ran must not change while it runs.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gates.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator

IGNORE_FILES = (".amlignore", ".gitignore")


def take(code: Path, into: Path) -> int:
    """Copy the file or folder `code` into the new folder `into`; the number of files. Links are followed."""
    into.mkdir(parents=True)
    if code.is_file():
        shutil.copy2(code, into / code.name)
        return 1
    if not code.is_dir():
        raise InvalidInput("no such file or folder (key 'code')", file=code)
    count = 0
    for inside in files(code):
        target = into / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(code / inside, target)
        count += 1
    return count


def files(code: Path) -> Iterator[Path]:
    """Paths inside the folder that are not ignored, sorted."""
    ignored = _ignored(code)
    for folder, folders, names in os.walk(code, followlinks=True):
        if len(Path(folder).relative_to(code).parts) > 100:
            raise InvalidInput("is nested too deeply; a symbolic link that points upwards?", file=folder)
        folders[:] = sorted(name for name in folders if name not in (".git", "__pycache__"))
        for name in sorted(names):
            inside = Path(folder, name).relative_to(code)
            if ignored is None or not ignored.match_file(inside.as_posix()):
                yield inside


def _ignored(code: Path) -> Any:
    for name in IGNORE_FILES:
        if (code / name).is_file():
            import pathspec

            lines = (code / name).read_text(encoding="utf-8-sig").splitlines()
            style = "gitignore" if "gitignore" in _styles(pathspec) else "gitwildmatch"
            return pathspec.PathSpec.from_lines(style, [line.rstrip() for line in lines])
    return None


def _styles(pathspec: Any) -> tuple[str, ...]:
    """pathspec 1.0 renamed the style."""
    return ("gitignore",) if int(pathspec.__version__.split(".")[0]) >= 1 else ("gitwildmatch",)
