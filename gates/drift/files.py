"""One file each: parquet by row group, Arrow IPC by record batch, CSV at once. What fails to read is InvalidInput."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from gates.drift.column import kind_of
from gates.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    Masks = Sequence[NDArray[np.bool_] | None] | None


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
    def read(self, name: str, masks: Masks) -> Iterator[pa.Array[Any]]: ...
    def read_piece(self, name: str, piece: int) -> list[pa.Array[Any]]: ...


def open_reader(path: Path, format_: str) -> Reader:
    """Open by format: parquet, csv or arrow. InvalidInput when the file is empty, cut or of another format."""
    if path.stat().st_size == 0:
        raise InvalidInput("the file is empty", hint="give data with at least one row", file=path)
    if format_ == "parquet":
        return ParquetReader(str(path))
    table = _guard(str(path), format_, lambda: _csv(path) if format_ == "csv" else _arrow(path))
    return TableReader(str(path), table)


class ParquetReader:
    """Opened anew for each column, with the footer read once: a handle must not be shared by threads."""

    def __init__(self, path: str) -> None:
        import pyarrow.parquet as pq

        self.path = path
        file = _guard(path, "parquet", lambda: pq.ParquetFile(path))
        self._footer = file.metadata
        self.pieces = tuple(self._footer.row_group(i).num_rows for i in range(self._footer.num_row_groups))
        self.types = _unique({}, file.schema_arrow, path)
        file.close()

    def read(self, name: str, masks: Masks) -> Iterator[pa.Array[Any]]:
        file = self._open(name)
        try:
            for i in range(len(self.pieces)):
                mask = None if masks is None else masks[i]
                if mask is not None and not mask.any():
                    continue
                yield from _masked(self._column(file, name, i), mask)
        finally:
            file.close()

    def read_piece(self, name: str, piece: int) -> list[pa.Array[Any]]:
        file = self._open(name)
        try:
            return list(self._column(file, name, piece))
        finally:
            file.close()

    def _open(self, name: str) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq

        words = pa.types.is_string(self.types[name]) or pa.types.is_large_string(self.types[name])
        return _guard(
            self.path,
            "parquet",
            lambda: pq.ParquetFile(self.path, metadata=self._footer, read_dictionary=[name] if words else None),
        )

    def _column(self, file: Any, name: str, piece: int) -> Iterator[pa.Array[Any]]:
        """One row group's; a large one in batches, since a file may be a single group of any size."""
        if self.pieces[piece] <= LARGE:
            table = _guard(
                self.path, "parquet", lambda: file.read_row_group(piece, columns=[name], use_threads=False), name
            )
            yield from table.column(name).chunks
            return
        batches = file.iter_batches(LARGE, row_groups=[piece], columns=[name], use_threads=False)
        while (batch := _guard(self.path, "parquet", lambda: next(batches, None), name)) is not None:
            yield batch.column(0)


class TableReader:
    """Columns already in memory, or mapped."""

    def __init__(self, path: str, table: pa.Table) -> None:
        self.path, self._table = path, table
        self.types = _unique({}, table.schema, path)
        self.pieces = (table.num_rows,)

    def read(self, name: str, masks: Masks) -> Iterator[pa.Array[Any]]:
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


def _arrow(path: Path) -> pa.Table:
    import pyarrow as pa

    mapped = pa.memory_map(str(path))
    magic = mapped.read(6)
    mapped.seek(0)
    return (pa.ipc.open_file(mapped) if magic == b"ARROW1" else pa.ipc.open_stream(mapped)).read_all()


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
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidInput(
            f"{which}cannot be read as {format_}: {message}", hint="the file may be cut; write it again", file=path
        ) from error
