"""Columns of a parquet or CSV file as numpy arrays, without pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gates.document import did_you_mean
from gates.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray


def read_table(path: Path, columns: Sequence[str] | None, what: str) -> pa.Table:
    """The named columns (None: all) as an Arrow table. Raises errors.InvalidInput naming the file and the column."""
    import pyarrow as pa
    import pyarrow.csv as pcsv
    import pyarrow.parquet as pq

    if path.is_dir():
        raise InvalidInput(f"{what} is a directory", file=path, hint="name one parquet or CSV file")
    if not path.is_file():
        raise InvalidInput(f"{what} not found", file=path, hint="check the path")
    if path.stat().st_size == 0:
        raise InvalidInput(f"{what} is empty", file=path, hint="an empty file decides nothing")
    csv = is_csv(path)
    try:
        names = pcsv.open_csv(path).schema.names if csv else pq.read_schema(path).names
        require(columns or (), names, path, what)
        if csv:
            options = pcsv.ConvertOptions(include_columns=list(columns) if columns else None, strings_can_be_null=True)
            return pcsv.read_csv(path, convert_options=options)
        return pq.read_table(path, columns=list(columns) if columns else None)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        first = str(error).strip().splitlines()[0]
        raise InvalidInput(
            f"{what} is not a readable {'CSV' if csv else 'parquet'} file: {first}", file=path
        ) from error


def require(columns: Sequence[str], names: Sequence[str], path: Path, what: str) -> None:
    """Raises errors.InvalidInput for a column that is not among the names of the file, or twice."""
    for name in columns:
        if name not in names:
            raise InvalidInput(f"{what} has no column '{name}'", file=path, hint=did_you_mean(name, names))
        if names.count(name) > 1:
            raise InvalidInput(f"{what} has the column '{name}' {names.count(name)} times", file=path)


def is_csv(path: Path) -> bool:
    """By suffix; by its first bytes where there is none: evidence files are named by digest."""
    if path.suffix:
        return path.suffix.lower() == ".csv"
    with path.open("rb") as file:
        return file.read(4) != b"PAR1"


def column_names(path: Path, what: str) -> list[str]:
    return list(read_schema(path, what))


def read_schema(path: Path, what: str) -> Mapping[str, str]:
    """Names and Arrow types of the columns."""
    import pyarrow.parquet as pq

    if not path.is_file() or path.stat().st_size == 0 or is_csv(path):
        table = read_table(path, None, what)
        return {field.name: str(field.type) for field in table.schema}
    import pyarrow as pa

    try:
        return {field.name: str(field.type) for field in pq.read_schema(path)}
    except (pa.ArrowException, OSError) as error:
        raise InvalidInput(f"{what} is not a readable parquet file: {str(error).splitlines()[0]}", file=path) from error


def to_numpy(column: Any) -> NDArray[Any]:
    """(n,) array: numbers as float64 or int64 (float64 with NaN where there are nulls), booleans, else objects."""
    import numpy as np
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_boolean(kind) and column.null_count == 0:
        return _primitive(column.cast(pa.int8())).astype(bool)
    if pa.types.is_decimal(kind):
        column, kind = column.cast(pa.float64()), pa.float64()
    if pa.types.is_integer(kind) and column.null_count == 0:
        return _primitive(column)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _primitive(column.cast(pa.float64(), safe=False).fill_null(float("nan")))
    values = np.empty(len(column), dtype=object)
    values[:] = column.to_pylist()
    return values


def _primitive(column: Any) -> NDArray[Any]:
    import numpy as np

    chunks = [np.from_dlpack(chunk) for chunk in column.chunks if len(chunk)]
    dtype = np.from_dlpack(column.chunk(0)).dtype if column.num_chunks and len(column) else np.float64
    return np.concatenate(chunks) if chunks else np.empty(0, dtype=dtype)
