"""One file each: parquet by row group, Arrow IPC by record batch, CSV by block. What fails to read is InvalidInput.

A CSV file cannot be read by column. One of up to `CSV_WHOLE` bytes is held in memory; a larger one is written once, as
it streams by, to a parquet file that goes with this process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from gates.drift import csv_stream
from gates.drift.column import kind_of
from gates.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    Masks = Sequence[NDArray[np.bool_] | None] | None


CSV_WHOLE = 64 << 20
"""Bytes of a CSV file that is held in memory."""
BUFFER = 1 << 18
"""Bytes that are read ahead of a column of a row group, where room is short: else it is read whole."""
LARGE = 1 << 20
"""Rows of a column that are decoded at once."""


class Reader(Protocol):
    """A file of columns in pieces: pieces[i] rows each."""

    @property
    def path(self) -> str: ...
    @property
    def pieces(self) -> tuple[int, ...]: ...
    @property
    def types(self) -> Mapping[str, pa.DataType]: ...
    def read(self, name: str, masks: Masks, room: int | None = None) -> Iterator[pa.Array[Any]]: ...
    def read_piece(self, name: str, piece: int) -> list[pa.Array[Any]]: ...


def open_reader(path: Path, format_: str) -> Reader:
    """Open by format: parquet, csv or arrow. InvalidInput when the file is empty, cut or of another format."""
    if path.stat().st_size == 0:
        raise InvalidInput("the file is empty", hint="give data with at least one row", file=path)
    if format_ == "parquet":
        return ParquetReader(str(path))
    if format_ == "csv":
        if path.stat().st_size > CSV_WHOLE:
            return ParquetReader(str(path), *csv_stream.spooled(path))
        return TableReader(str(path), _guard(str(path), "csv", lambda: _csv(path)))
    return ArrowReader(str(path))


class ParquetReader:
    """Opened anew for each column, with the footer read once: a handle must not be shared by threads.

    place: where it lies, when not at `path`, which is for messages; kept: what must live as long as this.
    """

    def __init__(self, path: str, place: Path | None = None, kept: Any = None) -> None:
        import pyarrow.parquet as pq

        self.path, self._place, self._kept = path, str(place or path), kept
        file = _guard(path, "parquet", lambda: pq.ParquetFile(self._place))
        self._footer = file.metadata
        self.pieces = tuple(self._footer.row_group(i).num_rows for i in range(self._footer.num_row_groups))
        self.types = _unique({}, file.schema_arrow, path)
        self._leaves = _leaves([file.schema.column(i).path for i in range(self._footer.num_columns)], self.types)
        file.close()

    def read(self, name: str, masks: Masks, room: int | None = None) -> Iterator[pa.Array[Any]]:
        """room: about so many bytes are decoded at once, by what the footer says of the size of a row."""
        file = self._open(name, 0 if room is None else BUFFER)
        try:
            for i in range(len(self.pieces)):
                mask = None if masks is None else masks[i]
                if mask is not None and not mask.any():
                    continue
                yield from _masked(self._column(file, name, i, self._rows(name, i, room)), mask)
        finally:
            file.close()

    def read_piece(self, name: str, piece: int) -> list[pa.Array[Any]]:
        file = self._open(name)
        try:
            return list(self._column(file, name, piece))
        finally:
            file.close()

    def _open(self, name: str, buffer: int = 0) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq

        words = pa.types.is_string(self.types[name]) or pa.types.is_large_string(self.types[name])
        words = words and all(self._size(name, i) <= 4 * rows for i, rows in enumerate(self.pieces))
        # else its dictionary is no table of few words but the column itself, which Arrow would gather as it reads
        return _guard(
            self.path,
            "parquet",
            lambda: pq.ParquetFile(
                self._place, metadata=self._footer, read_dictionary=[name] if words else None, buffer_size=buffer
            ),
        )

    def _rows(self, name: str, piece: int, room: int | None) -> int:
        """Rows that are decoded at once."""
        if room is None:
            return LARGE
        rows: int = self.pieces[piece] * room // max(1, self._size(name, piece))
        return max(1, min(LARGE, rows))

    def _size(self, name: str, piece: int) -> int:
        """Bytes of a column in a row group, before compression."""
        group = self._footer.row_group(piece)
        return sum(int(group.column(i).total_uncompressed_size) for i in self._leaves[name])

    def _column(self, file: Any, name: str, piece: int, rows: int = LARGE) -> Iterator[pa.Array[Any]]:
        """One row group's; a large one in batches, since a file may be a single group of any size."""
        if self.pieces[piece] <= rows:
            table = _guard(
                self.path, "parquet", lambda: file.read_row_group(piece, columns=[name], use_threads=False), name
            )
            yield from table.column(name).chunks
            return
        batches = file.iter_batches(rows, row_groups=[piece], columns=[name], use_threads=False)
        while (batch := _guard(self.path, "parquet", lambda: next(batches, None), name)) is not None:
            yield batch.column(0)


def _leaves(paths: Sequence[str], names: Iterable[str]) -> dict[str, list[int]]:
    """Of each column the places of what is stored of it: `x` itself, or `x.list.element`; a name may hold dots."""
    found: dict[str, list[int]] = {name: [] for name in names}
    for place, path in enumerate(paths):
        parts = path.split(".")
        owners = (".".join(parts[:k]) for k in range(len(parts), 0, -1))
        found[next(owner for owner in owners if owner in found)].append(place)
    return found


class ArrowReader:
    """An Arrow IPC file or stream, one record batch of one column at a time; mapped, so what is not asked for rests."""

    def __init__(self, path: str) -> None:
        import pyarrow as pa

        self.path = path
        with pa.OSFile(path, "rb") as file:
            self._random = file.read(6) == b"ARROW1"
        first = _guard(path, "arrow", self._open)
        self.types = _unique({}, first.schema, path)
        self.pieces = tuple(batch.num_rows for batch in self._batches(0))

    def _open(self, field: int | None = None) -> Any:
        import pyarrow as pa

        options = pa.ipc.IpcReadOptions(included_fields=[] if field is None else [field])
        mapped = pa.memory_map(self.path)
        return (pa.ipc.open_file if self._random else pa.ipc.open_stream)(mapped, options=options)

    def _batches(self, field: int) -> Iterator[Any]:
        file = _guard(self.path, "arrow", lambda: self._open(field))
        if self._random:
            for i in range(file.num_record_batches):
                yield _guard(self.path, "arrow", lambda: file.get_batch(i))  # noqa: B023  # called at once
            return
        batches = iter(file)
        while (batch := _guard(self.path, "arrow", lambda: next(batches, None))) is not None:
            yield batch

    def read(self, name: str, masks: Masks, room: int | None = None) -> Iterator[pa.Array[Any]]:  # noqa: ARG002  # mapped
        for i, batch in enumerate(self._batches(list(self.types).index(name))):
            yield from _masked([batch.column(0)], None if masks is None else masks[i])

    def read_piece(self, name: str, piece: int) -> list[pa.Array[Any]]:
        return [b.column(0) for i, b in enumerate(self._batches(list(self.types).index(name))) if i == piece]


class TableReader:
    """Columns already in memory."""

    def __init__(self, path: str, table: pa.Table) -> None:
        self.path, self._table = path, table
        self.types = _unique({}, table.schema, path)
        self.pieces = (table.num_rows,)

    def read(self, name: str, masks: Masks, room: int | None = None) -> Iterator[pa.Array[Any]]:  # noqa: ARG002  # held
        yield from _masked(self.read_piece(name, 0), None if masks is None else masks[0])

    def read_piece(self, name: str, piece: int) -> list[pa.Array[Any]]:  # noqa: ARG002  # the protocol's signature
        column: Any = self._table.column(name)
        chunks: list[pa.Array[Any]] = column.chunks
        return chunks


def _masked(arrays: Iterable[pa.Array[Any]], mask: NDArray[np.bool_] | None) -> Iterator[pa.Array[Any]]:
    import pyarrow as pa

    at = 0
    for array in arrays:
        if mask is None:
            yield array
        else:
            chosen = array.filter(pa.array(mask[at : at + len(array)]))
            at += len(array)
            if len(chosen):
                yield chosen


def _csv(path: Path) -> pa.Table:
    import pyarrow.csv as pacsv

    return pacsv.read_csv(path, convert_options=pacsv.ConvertOptions(strings_can_be_null=True))


def _unique(types: dict[str, pa.DataType], schema: pa.Schema, path: str) -> dict[str, pa.DataType]:
    for column in schema:
        if column.name in types:
            raise InvalidInput(f"two columns are named {column.name!r}", hint="rename one", file=path)
        types[column.name] = column.type
    if not types:
        raise InvalidInput("no columns", file=path)
    return types


def common_type(one: pa.DataType, other: pa.DataType, name: str, path: str) -> pa.DataType:
    """The type that stands for both; InvalidInput when they are of different kinds."""
    import pyarrow as pa

    if pa.types.is_null(one):
        return other
    if pa.types.is_null(other) or kind_of(one) == kind_of(other):
        return one
    raise InvalidInput(f"column {name!r} is {other} here and {one} in another file", hint="give one type", file=path)


def _guard(path: str, format_: str, action: Any, column: str = "") -> Any:
    import pyarrow as pa

    try:
        return action()
    except (pa.ArrowException, OSError) as error:
        which = f"column {column!r} " if column else ""
        message = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise InvalidInput(
            f"{which}cannot be read as {format_}: {message}", hint="the file may be cut; write it again", file=path
        ) from error
