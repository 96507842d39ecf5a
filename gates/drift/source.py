"""Data read one column at a time: parquet, CSV or Arrow; a file, a folder, a glob, hive partitions, or a table.

Rules: only the columns asked for are decoded, one row group at a time; pandas is never touched; whatever cannot be
read is `InvalidInput` with the file's name. A window of time and a sample are masks, made once and used for every
column, so that columns stay aligned.
"""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gates.drift import files
from gates.drift.column import Temporal, temporal, values_of
from gates.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
_PARTITION = re.compile(r"^([^=/]+)=(.*)$")
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_SPAN = re.compile(r"^(\d+)([smhd])$")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Source:
    """Data that can be read column by column. Made by `open_source` or `from_table`.

    name: for messages; names, types: columns in order and their Arrow types; rows: after window and sample. keep: one
    mask for each piece of each reader, or None where every row counts.
    """

    name: str
    readers: tuple[files.Reader, ...]
    types: Mapping[str, pa.DataType]
    rows: int
    partitions: tuple[Mapping[str, Any], ...] = ()
    keep: tuple[tuple[NDArray[np.bool_] | None, ...], ...] | None = field(default=None, repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.types)

    def require(self, name: str) -> pa.DataType:
        """The column's type; InvalidInput when there is no such column."""
        if name not in self.types:
            known = ", ".join(self.names[:12]) + (", …" if len(self.names) > 12 else "")
            raise InvalidInput(f"no column {name!r}", hint=f"the columns are {known}", file=self.name)
        return self.types[name]

    def chunks(self, name: str, room: int | None = None) -> Iterator[pa.Array[Any]]:
        """The column's values in order, one array after the other; masked rows are left out.

        room: bytes that one array may take. InvalidInput where a single value is larger.
        """
        if room is None:
            yield from self._chunks(name, None)
            return
        for array in self._chunks(name, room):
            yield from _pieces(array, room, name, self.name)

    def _chunks(self, name: str, room: int | None) -> Iterator[pa.Array[Any]]:
        self.require(name)
        for number, reader in enumerate(self.readers):
            partition = self.partitions[number] if self.partitions else {}
            masks = None if self.keep is None else self.keep[number]
            if name in partition:
                yield from _constant(partition[name], self.types[name], reader.pieces, masks)
                continue
            yield from reader.read(name, masks, room)


def _pieces(array: Any, room: int, name: str, where: str) -> Iterator[pa.Array[Any]]:
    """In halves of halves, until each is small enough; of a dictionary the codes count, since it is not cut."""
    import pyarrow.types as pt

    size = array.indices.nbytes if pt.is_dictionary(array.type) else array.nbytes
    if size <= room or len(array) == 0:
        yield array
        return
    if len(array) == 1:
        raise InvalidInput(
            f"column {name!r} holds a value of {size:,} bytes, and the memory leaves {room:,} for one",
            hint="give more --memory, or name the columns to judge without it in the policy's drift check", file=where,
        )  # fmt: skip
    half = len(array) // 2
    yield from _pieces(array.slice(0, half), room, name, where)
    yield from _pieces(array.slice(half), room, name, where)


def open_source(
    where: Path | str,
    *,
    time_column: str | None = None,
    window: str | tuple[str | None, str | None] | None = None,
    sample: int | None = None,
    seed: int = 20240601,
) -> Source:
    """Open a file, a folder (hive partitions included) or a glob.

    window: `7d` for the last seven days that the data has, or (from, until), ISO times, until excluded; needs
    time_column. sample: that many rows, drawn without replacement with `seed`; more than there are means all.
    InvalidInput names the file and the column: nothing there, cut, no column, no row, types that differ.
    """
    paths, root = _find(str(where))
    readers = tuple(files.open_reader(path, FORMATS[path.suffix.lower()]) for path in paths)
    partitions = tuple(_partition(path, root) for path in paths)
    types = _types(readers, partitions)
    source = Source(str(where), readers, types, sum(sum(r.pieces) for r in readers), partitions)
    return narrow(source, time_column=time_column, window=window, sample=sample, seed=seed)


def from_table(
    table: pa.Table,
    name: str = "table",
    *,
    time_column: str | None = None,
    window: str | tuple[str | None, str | None] | None = None,
    sample: int | None = None,
    seed: int = 20240601,
) -> Source:
    """A table in memory as a source."""
    reader = files.TableReader(name, table)
    source = Source(name, (reader,), _types((reader,), ({},)), table.num_rows, ({},))
    return narrow(source, time_column=time_column, window=window, sample=sample, seed=seed)


def narrow(
    source: Source,
    *,
    time_column: str | None = None,
    window: str | tuple[str | None, str | None] | None = None,
    sample: int | None = None,
    seed: int = 20240601,
) -> Source:
    """The rows of the window, and of these the sample; see `open_source`. InvalidInput when no row is left."""
    if source.rows == 0:
        raise InvalidInput("no rows", hint="give data with at least one row", file=source.name)
    if window is not None:
        if time_column is None:
            raise InvalidInput("a window needs a time column", hint="name it", file=source.name)
        source = _windowed(source, time_column, window)
    if sample is not None:
        if sample < 1:
            raise InvalidInput(f"a sample of {sample} rows", hint="write 1 or more", file=source.name)
        source = _sampled(source, sample, seed)
    return source


def _find(where: str) -> tuple[list[Path], Path]:
    path = Path(where)
    if any(c in where for c in "*?[") and not path.exists():
        found = [Path(p) for p in glob.glob(where, recursive=True)]  # noqa: PTH207  # the pattern may be absolute
        root = Path(*[part for part in path.parts if not any(c in part for c in "*?[")][:1])
        paths = sorted(p for p in found if p.is_file())
        if not paths:
            raise InvalidInput("no file matches", hint="check the pattern", file=where)
    elif path.is_dir():
        root = path
        hidden = [p for p in path.rglob("*") if p.is_file() and p.suffix.lower() in FORMATS]
        paths = sorted(p for p in hidden if not any(q.startswith((".", "_")) for q in p.relative_to(path).parts))
        if not paths:
            raise InvalidInput("the folder holds no data file", hint=f"expected one of {_suffixes()}", file=where)
    elif path.is_file():
        root, paths = path.parent, [path]
    else:
        raise InvalidInput("no such file or folder", hint="check the path", file=where)
    for p in paths:
        if p.suffix.lower() not in FORMATS:
            raise InvalidInput(f"{p.suffix or 'no'} suffix is not a known format", hint=f"use {_suffixes()}", file=p)
    return paths, root


def _suffixes() -> str:
    return ", ".join(FORMATS)


def _partition(path: Path, root: Path) -> dict[str, Any]:
    """`key=value` folders below the root."""
    found = {}
    for part in path.parts[len(root.parts) : -1]:
        match = _PARTITION.match(part)
        if match:
            found[match[1]] = None if match[2] == _NO_VALUE else match[2]
    return found


def _types(readers: Sequence[files.Reader], partitions: Sequence[dict[str, Any]]) -> dict[str, pa.DataType]:
    """The columns that every file has, in the order of the first; partition columns last. Kinds must agree."""
    import pyarrow as pa

    types: dict[str, pa.DataType] = dict(readers[0].types)
    for reader in readers[1:]:
        missing = [n for n in types if n not in reader.types]
        if missing:
            raise InvalidInput(f"no column {missing[0]!r}, which {readers[0].path} has", file=reader.path)
        for name, type_ in reader.types.items():
            if name in types and type_ != types[name]:
                types[name] = files.common_type(types[name], type_, name, reader.path)
    keys = [key for key in partitions[0] if key not in types]
    for key in keys:
        raw = [p.get(key) for p in partitions]
        whole = all(v is None or re.fullmatch(r"-?\d{1,18}", v) for v in raw)
        types[key] = pa.int64() if whole else pa.string()
        for p in partitions:
            value = p.get(key)
            p[key] = int(value) if whole and value is not None else value
    for p in partitions:
        for key in [k for k in p if k not in keys]:
            del p[key]
    return types


def _constant(
    value: Any, type_: pa.DataType, pieces: Sequence[int], masks: Sequence[NDArray[np.bool_] | None] | None
) -> Iterator[pa.Array[Any]]:
    import pyarrow as pa

    for i, rows in enumerate(pieces):
        mask = None if masks is None else masks[i]
        count = rows if mask is None else int(mask.sum())
        if count:
            scalar: Any = pa.scalar(value, type=type_)
            yield pa.repeat(scalar, count)


def _windowed(source: Source, time_column: str, window: str | tuple[str | None, str | None]) -> Source:
    kind = source.require(time_column)
    if temporal(kind) is not Temporal.MOMENT:
        raise InvalidInput(f"column {time_column!r} is {kind}, no date or time", hint="name one", file=source.name)
    times = []
    for reader, partition in zip(source.readers, source.partitions, strict=True):
        if time_column in partition:
            raise InvalidInput(f"column {time_column!r} is a partition's name", file=source.name)
        times.append([_stamps(reader, time_column, i) for i in range(len(reader.pieces))])
    known = [t[ok] for pieces in times for t, ok in pieces if ok.any()]
    if not known:
        raise InvalidInput(f"column {time_column!r} holds no time", file=source.name)
    low, high = min(int(t.min()) for t in known), max(int(t.max()) for t in known)
    start, stop = _bounds(window, high, source.name)
    keep = tuple(tuple(ok & (t >= start) & (t < stop) for t, ok in pieces) for pieces in times)
    rows = sum(int(mask.sum()) for masks in keep for mask in masks)
    if rows == 0:
        span = f"{np.datetime64(low, 'us')} to {np.datetime64(high, 'us')}"
        raise InvalidInput(f"no row in the window; {time_column!r} runs from {span}", hint="widen it", file=source.name)
    return Source(source.name, source.readers, source.types, rows, source.partitions, keep)


def _stamps(reader: files.Reader, column: str, piece: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Microseconds since the epoch and which rows have one, for one piece."""
    parts = [values_of(array) for array in reader.read_piece(column, piece)]
    if not parts:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_)
    ok = [np.ones(len(v), dtype=np.bool_) if valid is None else valid for v, valid in parts]
    return np.concatenate([v for v, _ in parts]), np.concatenate(ok)


def _bounds(window: str | tuple[str | None, str | None], latest: int, where: str) -> tuple[int, int]:
    if isinstance(window, str):
        match = _SPAN.match(window)
        if match is None or int(match[1]) == 0:
            raise InvalidInput(f"{window!r} is no window", hint="write e.g. 7d, 12h, or a pair of times", file=where)
        return latest - int(match[1]) * _SECONDS[match[2]] * 1_000_000 + 1, latest + 1
    start, stop = window
    return _moment(start, -(2**63), where), _moment(stop, 2**63 - 1, where)


def _moment(text: str | None, default: int, where: str) -> int:
    """Microseconds since the epoch."""
    if text is None:
        return default
    try:
        return int(np.datetime64(text.removesuffix("Z"), "us").astype(np.int64))
    except ValueError:
        raise InvalidInput(f"{text!r} is no time", hint="write e.g. 2026-01-31T00:00:00", file=where) from None


def _sampled(source: Source, sample: int, seed: int) -> Source:
    if sample >= source.rows:
        return source
    chosen = np.zeros(source.rows, dtype=np.bool_)
    chosen[np.random.default_rng(seed).choice(source.rows, size=sample, replace=False, shuffle=False)] = True
    keep, at = [], 0
    for number, reader in enumerate(source.readers):
        masks: list[NDArray[np.bool_] | None] = []
        for i, rows in enumerate(reader.pieces):
            before = None if source.keep is None else source.keep[number][i]
            size = rows if before is None else int(before.sum())
            mask = np.ones(rows, dtype=np.bool_) if before is None else before.copy()
            mask[mask] = chosen[at : at + size]
            at += size
            masks.append(mask)
        keep.append(tuple(masks))
    return Source(source.name, source.readers, source.types, sample, source.partitions, tuple(keep))
