"""The one hash-chained JSONL: the audit log and the rollout's journal are both such files.

A line is the canonical JSON of its entry with three keys added: `seq` (from 0), `prev_hash` (the line before, GENESIS
for the first) and `hash`, the sha256 of the canonical JSON of all the rest. A line counts once its newline is written,
so bytes after the last newline are a write that died: readers leave them out, the next append cuts them off, and
nothing else is ever repaired. The chain alone cannot see that its tail was cut; whoever kept a head can (`anchor`).
"""

from __future__ import annotations

import hashlib
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gates.canonical import canonical
from gates.errors import InvalidInput, Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

GENESIS = "sha256:" + "0" * 64
OURS = ("seq", "prev_hash", "hash")
_BLOCK = 1 << 16


class ChainBroken(Refused):
    """The file is not what was appended to it. `errors` holds each `FILE:LINE: why`, the first is the message."""

    def __init__(self, errors: tuple[str, ...]) -> None:
        self.errors = errors
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        super().__init__(errors[0] + more, hint="keep the file as it is and restore it from a copy")


class Chain:
    """The chain in the file `path`, which need not exist yet. Safe for many threads and processes of one machine."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def append(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Add `entry` and return it as it now stands in the file, with seq, prev_hash and hash.

        Returns after fsync. Raises InvalidInput for an entry that JSON cannot hold or that uses our keys, ChainBroken
        when the last line is not ours, Unavailable when the disk refuses; then the file is as before.
        """
        allowed(entry)  # before the file is touched
        try:
            with _locked(self.path) as fd:
                end, last = self._tail(fd)
                if end != os.fstat(fd).st_size:
                    os.ftruncate(fd, end)
                record = linked(entry, last)
                _write(fd, canonical(record) + b"\n", end)
        except OSError as error:
            raise Unavailable(f"could not append: {error.strerror or error}", file=self.path) from error
        return record

    def follow(self, other: Chain) -> bool:
        """Append what `other` goes on with, when it begins with all that is here; false when it does not.

        Nothing here: all of it. Raises ChainBroken for either, Unavailable when the disk refuses.
        """
        lines = [canonical(entry) + b"\n" for entry in other.read()]
        self.read()
        try:
            with _locked(self.path) as fd:
                end = self._tail(fd)[0]
                have, said = _read_at(fd, 0, end), b"".join(lines)
                if not said.startswith(have):
                    return False
                if len(said) > end:
                    os.ftruncate(fd, end)
                    _write(fd, said[end:], end)
        except OSError as error:
            raise Unavailable(f"could not append: {error.strerror or error}", file=self.path) from error
        return True

    def read(self) -> list[dict[str, Any]]:
        """Every entry, oldest first, each verified. No file: no entries. Raises ChainBroken."""
        entries, errors = self._scan()
        if errors:
            raise ChainBroken(tuple(errors))
        return entries

    def verify(self, anchor: str | None = None) -> None:
        """Raises ChainBroken unless the chain is whole and `anchor`, a head seen before, is still part of it."""
        entries, errors = self._scan()
        if anchor is not None and anchor != GENESIS and not any(entry.get("hash") == anchor for entry in entries):
            errors.append(f"{self.path}:{len(entries)}: the tail is cut: the anchored head {anchor} is not in the file")
        if errors:
            raise ChainBroken(tuple(errors))

    def head(self) -> str:
        """The hash of the last line, or GENESIS. Looks at that line only. Raises ChainBroken when it is not ours."""
        try:
            with self.path.open("rb") as file:
                last = self._tail(file.fileno())[1]
        except FileNotFoundError:
            return GENESIS
        return GENESIS if last is None else str(last["hash"])

    def _scan(self) -> tuple[list[dict[str, Any]], list[str]]:
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return [], []
        except OSError as error:
            raise Unavailable(f"could not be read: {error.strerror or error}", file=self.path) from error
        return scan(data, str(self.path))

    def _tail(self, fd: int) -> tuple[int, dict[str, Any] | None]:
        """Where the last whole line ends, and that line."""
        size = os.fstat(fd).st_size
        start, data = size, b""
        while start > 0 and data.count(b"\n") < 2:
            start = max(0, start - _BLOCK)
            data = _read_at(fd, start, size - start)
        whole = data[: data.rfind(b"\n") + 1]
        if not whole:
            return 0, None
        entry, why = _parse(whole[:-1].rsplit(b"\n", 1)[-1])
        if why:
            raise ChainBroken((f"{self.path}: the last line {why}",))
        return start + len(whole), entry


def allowed(entry: Mapping[str, Any]) -> None:
    """Raises InvalidInput for an entry that JSON cannot hold or that uses our keys."""
    if taken := sorted(set(entry) & set(OURS)):
        raise InvalidInput(f"an entry of a chain may not hold {', '.join(taken)}", hint="rename these keys")
    canonical(entry)


def linked(entry: Mapping[str, Any], last: Mapping[str, Any] | None) -> dict[str, Any]:
    """`entry` as it follows `last` (None: nothing), with seq, prev_hash and hash; its canonical JSON is its line."""
    record = dict(entry)
    record["seq"] = 0 if last is None else last["seq"] + 1
    record["prev_hash"] = GENESIS if last is None else last["hash"]
    record["hash"] = _hash(record)
    return record


def scan(data: bytes, where: str) -> tuple[list[dict[str, Any]], list[str]]:
    """The entries of a chain's bytes up to the last newline, and an error `WHERE:LINE: why` for each that is none."""
    entries: list[dict[str, Any]] = []
    errors: list[str] = []
    before = GENESIS
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        entry, why = _parse(line)
        if not why and entry["prev_hash"] != before:
            why = "does not follow the line before it: a line was removed, added or moved"
        if not why and entry["seq"] != number - 1:
            why = f"has seq {entry['seq']}, not {number - 1}"
        if why:
            errors.append(f"{where}:{number}: {why}")
        before = entry.get("hash", before)
        entries.append(entry)
    return entries, errors


def _hash(record: Mapping[str, Any]) -> str:
    body = {key: value for key, value in record.items() if key != "hash"}
    return f"sha256:{hashlib.sha256(canonical(body)).hexdigest()}"


def _parse(line: bytes) -> tuple[dict[str, Any], str]:
    """The entry on a line, and why it is not one of ours ('' when it is)."""
    try:
        entry = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}, "is not JSON"
    if not isinstance(entry, dict) or not isinstance(entry.get("hash"), str):
        return {}, "is not an entry of a chain"
    if type(entry.get("seq")) is not int or not isinstance(entry.get("prev_hash"), str):
        return entry, "has no seq and prev_hash"
    # Only the exact bytes that `append` writes are ours: the hash is cut out of the line and the rest hashed.
    hashed = b'"hash":"%s",' % entry["hash"].encode("utf-8", "surrogatepass")
    body = line.replace(hashed, b"", 1)
    if f"sha256:{hashlib.sha256(body).hexdigest()}" != entry["hash"]:
        return entry, "was altered: its hash is not that of its content"
    return entry, ""


def _read_at(fd: int, start: int, size: int) -> bytes:
    os.lseek(fd, start, os.SEEK_SET)
    parts = []
    while size > 0 and (part := os.read(fd, size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _write(fd: int, data: bytes, end: int) -> None:
    """Write at `end` and fsync; on an error the file is cut back to `end`."""
    try:
        os.lseek(fd, end, os.SEEK_SET)
        left = memoryview(data)
        while left:
            left = left[os.write(fd, left) :]
        os.fsync(fd)
    except OSError:
        os.ftruncate(fd, end)
        raise


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """An exclusive lock on the file, made with its folder when absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    fd = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0), 0o644)
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(fd, 1 << 60, os.SEEK_SET)  # mandatory locks: a byte that nobody reads
            msvcrt.locking(fd, msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            fcntl.flock(fd, fcntl.LOCK_EX)
            if new:
                _sync_folder(path.parent)
        yield fd
    finally:
        os.close(fd)


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
