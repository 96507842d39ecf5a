"""What data was: the sha256 of the file's bytes as evidence, and a hash of the table's content for parity.

The content hash sees names, types, values, nulls and the order of rows, and nothing of how they are stored: not the
compression, row groups, chunks, metadata, dictionary encoding, 32- or 64-bit offsets, nor the order of columns. Each
column is hashed as streams that do not know where a chunk ends: values (nulls as zeros), positions of nulls, lengths.
All NaN are one NaN. With a key, rows are first sorted by it, and it must be unique, so that the order is no accident.
CSV: an unquoted empty field is null and nothing else is; types are those given, else those pyarrow infers.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gates.canonical import digest
from gates.errors import InvalidInput, Unavailable
from gates.lineage.digest import file_digest, model_digest
from gates.lineage.record import Data

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa

_ROWS = 1 << 17
SCHEME = "arrow-content-v1"


@dataclass(frozen=True)
class DataFingerprint:
    """sha256: of the bytes (of a folder: as a model's digest). content: `sha256:<hex>`, None where it is no table.

    rows is None where content is; columns: (name, canonical Arrow type), sorted by name.
    """

    path: str
    sha256: str
    rows: int | None = None
    columns: tuple[tuple[str, str], ...] = ()
    content: str | None = None


def fingerprint(
    path: Path | str, *, key: Sequence[str] = (), types: Mapping[str, pa.DataType] | None = None
) -> DataFingerprint:
    """Of a parquet or CSV file, with content; of any other file or a folder, the bytes only.

    key: columns that name a row. types: Arrow types of CSV columns. Raises InvalidInput, Unavailable.
    """
    file = Path(path)
    if file.is_dir():
        return DataFingerprint(path=str(path), sha256=model_digest(file))
    sha256 = file_digest(file)
    suffix = file.suffix.lower()
    if suffix not in (".parquet", ".csv"):
        return DataFingerprint(path=str(path), sha256=sha256)
    import pyarrow as pa

    try:
        if suffix == ".csv":
            schema, batches = _csv(file, types or {})
        else:
            schema, batches = _parquet(file)
        content = TableHash(schema)
        for batch in _by_key(schema, batches, key, file) if key else batches:
            content.add(batch)
    except (pa.ArrowException, OSError) as error:
        raise Unavailable(f"cannot be read as a table: {error}", file=file) from error
    return DataFingerprint(
        path=str(path), sha256=sha256, rows=content.rows, columns=content.columns, content=content.digest()
    )


def as_data(
    name: str, seen: DataFingerprint, *, key: Sequence[str] = (), dvc: str | None = None, asset: str | None = None
) -> Data:
    """The record of an input, from its fingerprint, made with this key; dvc and asset as in `Data`."""
    return Data(
        name=name,
        sha256=seen.sha256,
        path=seen.path,
        content=seen.content,
        rows=seen.rows,
        columns=seen.columns,
        key=tuple(key),
        dvc=dvc,
        asset=asset,
    )


class TableHash:
    """The content hash of record batches of one schema, added in the order of the rows."""

    def __init__(self, schema: pa.Schema) -> None:
        names = list(schema.names)
        if len(set(names)) != len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise InvalidInput(f"columns named twice: {', '.join(twice)}", hint="rename them")
        self.rows = 0
        self._order = sorted(names)
        self._hashers = {name: _Column(schema.field(name).type, name) for name in names}

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        return tuple((name, self._hashers[name].type) for name in self._order)

    def add(self, batch: pa.RecordBatch) -> None:
        for name in self._order:
            self._hashers[name].add(batch.column(name))
        self.rows += batch.num_rows

    def digest(self) -> str:
        columns = [[name, self._hashers[name].type, self._hashers[name].streams()] for name in self._order]
        return digest({"scheme": SCHEME, "rows": self.rows, "columns": columns})


# Arrays are Any below: what can be done with one depends on its type at run time, which no stub can follow.


class _Column:
    """Streams of one column, by path inside its type ('' for a flat one): sha256 of values, null positions, lengths."""

    def __init__(self, type_: Any, name: str) -> None:
        self.type = _type_name(type_, name)
        self._hashers: dict[str, Any] = {}
        self._seen: dict[str, int] = {}

    def add(self, array: Any) -> None:
        self._add("", array)

    def streams(self) -> dict[str, str]:
        return {name: hasher.hexdigest() for name, hasher in sorted(self._hashers.items())}

    def _feed(self, name: str, data: Any) -> None:
        if len(data):
            self._hashers.setdefault(name, hashlib.sha256()).update(data)

    def _add(self, path: str, array: Any) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        array = _plain(array)
        start = self._seen.get(path, 0)
        self._seen[path] = start + len(array)
        if array.null_count:
            where = pc.indices_nonzero(pc.is_null(array))
            self._feed(path + "nulls", pc.add(pc.cast(where, pa.int64()), start).buffers()[1])
        type_ = array.type
        if pa.types.is_null(type_):
            return
        if pa.types.is_struct(type_):
            for rank, index in enumerate(sorted(range(type_.num_fields), key=lambda i: type_.field(i).name)):
                self._add(f"{path}{rank}.", array.flatten()[index])
        elif pa.types.is_large_list(type_):
            self._feed(path + "lengths", _zeroed(pc.list_value_length(array)))
            self._add(f"{path}[].", array.flatten())
        elif pa.types.is_large_binary(type_):
            self._feed(path + "lengths", _zeroed(pc.binary_length(array)))
            self._feed(path + "values", _text_bytes(array))
        else:
            self._feed(path + "values", _zeroed(array))


def _plain(array: Any) -> Any:
    """The same values in the one storage that is hashed."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    type_ = array.type
    if pa.types.is_dictionary(type_):
        return _plain(array.dictionary_decode())
    if pa.types.is_run_end_encoded(type_):
        return _plain(pc.call_function("run_end_decode", [array]))
    if pa.types.is_boolean(type_):
        return array.cast(pa.uint8())
    if pa.types.is_floating(type_):
        nan = pc.is_nan(array)
        return pc.if_else(nan, pa.scalar(float("nan"), type_), array) if pc.any(nan).as_py() else array
    storage = _storage(type_)
    return array if storage == type_ else array.cast(storage)


def _storage(type_: Any) -> Any:
    import pyarrow as pa

    types = pa.types
    if any(test(type_) for test in (types.is_string, types.is_large_string, types.is_string_view)) or any(
        test(type_) for test in (types.is_binary, types.is_binary_view, types.is_fixed_size_binary)
    ):
        return pa.large_binary()
    if types.is_list(type_) or types.is_fixed_size_list(type_) or types.is_map(type_):
        return pa.large_list(_element(type_))
    if types.is_timestamp(type_) and type_.unit == "s":
        return pa.timestamp("ms", type_.tz)
    if types.is_duration(type_) and type_.unit == "s":
        return pa.duration("ms")
    if types.is_time32(type_) and type_.unit == "s":
        return pa.time32("ms")
    return type_


def _element(type_: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_map(type_):
        return pa.field("item", pa.struct([pa.field("key", type_.key_type), pa.field("value", type_.item_type)]))
    return pa.field("item", type_.value_type)


def _type_name(type_: Any, column: str) -> str:
    """The type as it is hashed: without storage (dictionary, offsets' width, views, seconds kept as milliseconds)."""
    import pyarrow as pa

    types = pa.types
    if isinstance(type_, pa.BaseExtensionType):
        return _type_name(type_.storage_type, column)
    if types.is_dictionary(type_) or types.is_run_end_encoded(type_):
        return _type_name(type_.value_type, column)
    if types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_):
        return "string"
    if types.is_binary(type_) or types.is_large_binary(type_) or types.is_binary_view(type_):
        return "binary"
    if types.is_map(type_) or types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_):
        return f"list<{_type_name(_element(type_).type, column)}>"
    if types.is_struct(type_):
        fields = sorted((field.name, _type_name(field.type, column)) for field in type_)
        return "struct<" + ", ".join(f"{name}: {kind}" for name, kind in fields) + ">"
    if types.is_fixed_size_binary(type_):
        return "binary"
    if types.is_primitive(type_) or types.is_decimal(type_) or types.is_null(type_):
        return str(_storage(type_) if types.is_temporal(type_) else type_)
    raise InvalidInput(f"column {column}: type {type_} has no content hash", hint="store it as another type")


def _zeroed(array: Any) -> Any:
    """The bytes of fixed-width values, nulls as zeros, without what lies outside the slice."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    width = array.type.bit_width // 8
    data = array.buffers()[1]
    if data is None:
        return b""
    values = np.frombuffer(data, dtype=np.uint8)[array.offset * width : (array.offset + len(array)) * width]
    if not array.null_count:
        return values
    valid = pc.cast(pc.is_valid(array), pa.uint8()).to_numpy()
    return np.where(valid[:, None] == 1, values.reshape(len(array), width), np.uint8(0)).tobytes()


def _text_bytes(array: Any) -> Any:
    """The bytes of all values after one another; nulls have none."""
    import numpy as np

    if array.null_count:
        array = array.drop_null()
    if not len(array) or array.buffers()[2] is None:
        return b""
    offsets = np.frombuffer(array.buffers()[1], dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    return array.buffers()[2][int(offsets[0]) : int(offsets[-1])]


def _parquet(file: Path) -> tuple[pa.Schema, Iterable[pa.RecordBatch]]:
    import pyarrow.parquet as pq

    opened = pq.ParquetFile(file)
    return opened.schema_arrow, opened.iter_batches(batch_size=_ROWS)


def _csv(file: Path, types: Mapping[str, pa.DataType]) -> tuple[pa.Schema, Iterable[pa.RecordBatch]]:
    import pyarrow.csv as pc

    convert = pc.ConvertOptions(
        column_types=dict(types), null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    table = pc.read_csv(file, convert_options=convert)
    if absent := sorted(set(types) - set(table.column_names)):
        raise InvalidInput(f"has no column {', '.join(absent)}", hint="give types of columns that are there", file=file)
    return table.schema, table.to_batches(max_chunksize=_ROWS)


def _by_key(
    schema: pa.Schema, batches: Iterable[pa.RecordBatch], key: Sequence[str], file: Path
) -> Iterable[pa.RecordBatch]:
    import pyarrow as pa

    if absent := sorted(set(key) - set(schema.names)):
        raise InvalidInput(f"has no key column {', '.join(absent)}", hint="name columns that are there", file=file)
    table = pa.Table.from_batches(batches, schema=schema)
    if table.select(list(key)).group_by(list(key)).aggregate([]).num_rows != table.num_rows:
        raise InvalidInput(f"key {', '.join(key)} is not unique", hint="give a key that names one row", file=file)
    return table.sort_by([(name, "ascending") for name in key]).to_batches(max_chunksize=_ROWS)
