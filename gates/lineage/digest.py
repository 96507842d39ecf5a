"""What a model is: the sha256 of the canonical SHA256SUMS text of its folder.

A line is `<64 hex>␠␠<posix path>\\n`, sorted by the bytes of the path. The digest equals in-toto's dirHash, the text is
accepted by `sha256sum -c`, and every digest of ours is written `sha256:<64 hex>`. What could mean two things on two
machines is refused, not skipped: links, special files, clashes of case or Unicode form, control characters, `.git`.
Nothing is cached: a verification reads the bytes. Empty folders hold no bytes and are not part of the identity.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gates.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SUMS_NAME = "SHA256SUMS"
PREFIX = "sha256:"
_THREADS_ABOVE = 1 << 20
_BUFFER = 1 << 18


@dataclass(frozen=True, order=True)
class FileSum:
    """One file of a folder: its posix path inside it, the sha256 of its bytes (64 hex, bare) and its size in bytes."""

    path: str
    sha256: str
    size: int = 0


def folder_sums(path: Path | str) -> tuple[FileSum, ...]:
    """Every file of the folder, sorted by the bytes of its path.

    Raises InvalidInput for a folder without files or with something in it that has no one identity, naming it;
    Unavailable for what cannot be read.
    """
    root = Path(path)
    if root.is_symlink() or not root.is_dir():
        raise InvalidInput("is not a folder", hint="name the model's folder itself, not a link or a file", file=root)
    found = sorted(_files(root, ""), key=lambda item: item[0].encode())
    if not found:
        raise InvalidInput("holds no files", hint="name the folder that holds the model", file=root)
    _refuse_clashes(root, [name for name, _ in found])
    total = sum(size for _, size in found)
    if total < _THREADS_ABOVE or len(found) == 1:
        return tuple(FileSum(name, _sha256(root / name), size) for name, size in found)
    largest_first = sorted(found, key=lambda item: -item[1])
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        sums = pool.map(lambda item: FileSum(item[0], _sha256(root / item[0]), item[1]), largest_first)
        return tuple(sorted(sums, key=lambda item: item.path.encode()))


def sums_text(sums: Iterable[FileSum]) -> str:
    """The SHA256SUMS text of these files."""
    return "".join(f"{item.sha256}  {item.path}\n" for item in sorted(sums, key=lambda item: item.path.encode()))


def sums_digest(sums: Iterable[FileSum]) -> str:
    """The identity of a model whose files have these sums, `sha256:<64 hex>`."""
    return PREFIX + hashlib.sha256(sums_text(sums).encode()).hexdigest()


def model_digest(path: Path | str) -> str:
    """The identity of the model in a folder, `sha256:<64 hex>`. Errors as in `folder_sums`."""
    return sums_digest(folder_sums(path))


def file_digest(path: Path | str) -> str:
    """`sha256:<64 hex>` of one file's bytes; a link is followed. Raises InvalidInput or Unavailable."""
    file = Path(path)
    if not file.is_file():
        raise InvalidInput("is not a file", hint="name a file that exists", file=file)
    return PREFIX + _sha256(file, follow=True)


def hexdigest(digest: str) -> str:
    """The bare 64 hex of `sha256:<64 hex>`. Raises InvalidInput for anything else."""
    bare = digest.removeprefix(PREFIX)
    if not digest.startswith(PREFIX) or len(bare) != 64 or set(bare) - set("0123456789abcdef"):
        raise InvalidInput(f"{digest!r} is not a digest", hint="write sha256: and 64 lower-case hex digits")
    return bare


def differences(expected: Iterable[FileSum], found: Iterable[FileSum]) -> Iterator[tuple[str, str]]:
    """Pairs of (path, what became of it), sorted: changed, missing, not recorded, or renamed."""
    old, new = {item.path: item.sha256 for item in expected}, {item.path: item.sha256 for item in found}
    gone, extra = {p: old[p] for p in old if p not in new}, {p: new[p] for p in new if p not in old}
    for path in sorted(set(old) | set(new)):
        if path in gone:
            moved = sorted(p for p, digest in extra.items() if digest == old[path])
            yield path, f"was renamed to {moved[0]}" if moved else "is missing"
        elif path in extra:
            if new[path] not in gone.values():
                yield path, "is not recorded: it was added"
        elif old[path] != new[path]:
            yield path, f"was changed: sha256 {new[path]}, recorded {old[path]}"


def _files(root: Path, inside: str) -> Iterator[tuple[str, int]]:
    try:
        entries = sorted(os.scandir(root / inside), key=lambda entry: entry.name)
    except OSError as error:
        raise Unavailable(f"cannot be listed: {error.strerror}", file=root / inside) from error
    for entry in entries:
        name = f"{inside}{entry.name}"
        _refuse_name(root, name, entry.name)
        mode = entry.stat(follow_symlinks=False)
        if stat.S_ISLNK(mode.st_mode):
            raise InvalidInput("is a symbolic link", hint="put the file itself into the model", file=root / name)
        if stat.S_ISDIR(mode.st_mode):
            yield from _files(root, f"{name}/")
        elif stat.S_ISREG(mode.st_mode):
            yield name, mode.st_size
        else:
            raise InvalidInput("is neither a file nor a folder", hint="remove it from the model", file=root / name)


def _refuse_name(root: Path, name: str, last: str) -> None:
    if last.casefold() == ".git":
        raise InvalidInput(
            "a .git folder is not part of a model", hint="remove it; other tools leave it out", file=root / name
        )
    try:
        last.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{name!r} is not UTF-8", hint="rename the file", file=root) from error
    if "\\" in last or any(unicodedata.category(char) in {"Cc", "Zl", "Zp"} for char in last):
        raise InvalidInput(f"{name!r} holds a control character or backslash", hint="rename the file", file=root)


def _refuse_clashes(root: Path, names: list[str]) -> None:
    """Two paths (of files or of the folders above them) that are one on another file system."""
    seen: dict[str, str] = {}
    for name in names:
        parts = name.split("/")
        for path in ("/".join(parts[:depth]) for depth in range(1, len(parts) + 1)):
            folded = unicodedata.normalize("NFC", path).casefold()
            if seen.setdefault(folded, path) != path:
                raise InvalidInput(
                    f"{seen[folded]!r} and {path!r} are one name on some file systems", hint="rename one", file=root
                )


def _sha256(path: Path, *, follow: bool = False) -> str:
    hasher, buffer = hashlib.sha256(), bytearray(_BUFFER)
    view = memoryview(buffer)
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | (0 if follow else getattr(os, "O_NOFOLLOW", 0))
    try:
        with io.FileIO(os.open(path, flags)) as file:
            while size := file.readinto(buffer):
                hasher.update(view[:size])
    except OSError as error:
        raise Unavailable(f"cannot be read: {error.strerror}", file=path) from error
    return hasher.hexdigest()
