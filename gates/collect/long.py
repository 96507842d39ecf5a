"""Columns of a parquet file of many rows, read a batch at a time: the table as a whole is never in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gates.collect.tables import require, to_numpy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

MOST_TEXTS = 1000
LONGEST_TEXT = 16
"""Characters: a column of text takes four bytes of each, in every row."""


def rows(path: Path) -> int:
    """How many a readable parquet file has whose columns do not stay in memory (`stats.spill`); 0 for a shorter one."""
    import pyarrow.parquet as pq

    from gates.stats import spill

    n = int(pq.read_metadata(path).num_rows)
    return n if n * 8 > spill.LARGE else 0


def schema(path: Path, columns: Sequence[str], what: str) -> pa.Schema:
    """Raises errors.InvalidInput for a column that is not there, or twice."""
    import pyarrow.parquet as pq

    found = pq.read_schema(path)
    require(columns, found.names, path, what)
    return found


def column(path: Path, name: str) -> NDArray[Any]:
    """The same values as `to_numpy` gives, but text as fixed-width where it is short and of few kinds."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from gates.stats import spill

    n, kind = int(pq.read_metadata(path).num_rows), pq.read_schema(path).field(name).type
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        found = _texts(path, name, n)
        return to_numpy(pq.read_table(path, columns=[name]).column(0)) if found is None else found
    start, out = 0, spill.empty(0, np.int8)
    for batch in _batches(path, name):
        values = to_numpy(pa.chunked_array([batch]))
        if values.dtype == object:
            return to_numpy(pq.read_table(path, columns=[name]).column(0))
        if not start:
            out = spill.empty(n, values.dtype)
        elif out.dtype != values.dtype:  # whole numbers that have a gap further down
            before, out = out, spill.empty(n, np.float64)
            for part in spill.parts(before[:start], out):
                out[part] = before[part]
        out[start : start + len(values)] = values
        start += len(values)
        spill.release(out)
    return out


def _batches(path: Path, name: str) -> Iterator[pa.Array[Any]]:
    import pyarrow.parquet as pq

    from gates.stats import spill

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=[name], batch_size=spill.BLOCK):
            yield batch.column(0)


def _texts(path: Path, name: str, n: int) -> NDArray[Any] | None:
    """None where there are gaps, long texts or many."""
    import numpy as np
    import pyarrow as pa

    from gates.stats import spill

    codes, start, place = spill.empty(n, np.int16), 0, dict[str, int]()
    for batch in _batches(path, name):
        coded: Any = batch if pa.types.is_dictionary(batch.type) else batch.dictionary_encode()
        texts: list[Any] = coded.dictionary.to_pylist()
        if coded.null_count or not all(isinstance(t, str) and 0 < len(t) <= LONGEST_TEXT for t in texts):
            return None
        here = np.array([place.setdefault(text, len(place)) for text in texts], dtype=np.int64)
        if len(place) > MOST_TEXTS or any("\0" in text for text in texts):
            return None
        codes[start : start + len(coded)] = here[np.from_dlpack(coded.indices)]
        start += len(coded)
        spill.release(codes)
    known = np.array(list(place))
    out = spill.empty(n, known.dtype)
    for part in spill.parts(codes, out):
        out[part] = known[codes[part]]
    return out
