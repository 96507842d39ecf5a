"""What a data contract asks of a table: counts in one pass, memory bounded by a batch and the distinct keys."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gates.checks.data_contract import ColumnFacts, TableFacts
from gates.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import pyarrow as pa

    from gates.checks.data_contract import Column, DataContract

SAMPLES = 3


def read(path: Path, contract: DataContract) -> TableFacts:
    """Facts of a parquet or CSV file. Its own time counts where the contract asks for an age and names no column."""
    age = time.time() - path.stat().st_mtime if contract.max_age and not contract.age_column else None
    return table_facts(batches(path), contract, age_seconds=age)


def batches(path: Path) -> Iterator[pa.RecordBatch]:
    """Record batches of a parquet or CSV file. Raises errors.InvalidInput when it cannot be read as one."""
    import pyarrow as pa
    import pyarrow.csv as pcsv
    import pyarrow.parquet as pq

    try:
        if path.suffix.lower() == ".csv":
            yield from pcsv.open_csv(path, convert_options=pcsv.ConvertOptions(strings_can_be_null=True))
        else:
            file = pq.ParquetFile(path)
            yield pa.RecordBatch.from_pylist([], schema=file.schema_arrow)
            yield from file.iter_batches(batch_size=131_072)
    except (pa.ArrowException, OSError) as error:
        first = str(error).strip().splitlines()[0]
        raise InvalidInput(f"the data cannot be read as a table: {first}", file=path) from error


def table_facts(
    batches: Iterable[pa.RecordBatch], contract: DataContract, *, age_seconds: float | None = None
) -> TableFacts:
    """See TableFacts. age_seconds: what to say of the age where `age_column` is not named."""
    found: dict[str, _Seen] = {}
    keys: set[tuple[Any, ...]] = set()
    rows = duplicates = 0
    repeated: list[str] = []
    newest: float | None = None
    for batch in batches:
        for name in batch.schema.names:
            column = batch.column(batch.schema.get_field_index(name))
            seen = found.setdefault(name, _Seen(_dtype(column.type)))
            seen.add(column, contract.columns.get(name), rows)
        if contract.unique_key and set(contract.unique_key) <= set(batch.schema.names):
            key_columns = [_values(batch.column(batch.schema.get_field_index(n))) for n in contract.unique_key]
            for i, key in enumerate(zip(*key_columns, strict=True)):
                if key in keys:
                    duplicates += 1
                    if len(repeated) < SAMPLES:
                        repeated.append(f"row {rows + i}: {', '.join(map(str, key))}"[:120])
                keys.add(key)
        if contract.max_age and contract.age_column in batch.schema.names:
            newest = _newest(batch.column(batch.schema.get_field_index(contract.age_column)), newest)
        rows += batch.num_rows
    if contract.max_age and contract.age_column:
        age_seconds = None if newest is None else time.time() - newest
    return TableFacts(
        rows,
        {name: seen.facts() for name, seen in found.items()},
        duplicates if contract.unique_key else None,
        tuple(repeated),
        age_seconds if contract.max_age else None,
    )


@dataclass
class _Seen:
    dtype: str
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("nulls", "below", "above", "not_allowed", "infinite"), 0)
    )
    samples: dict[str, list[str]] = field(default_factory=dict)

    def facts(self) -> ColumnFacts:
        shown = {key: tuple(rows) for key, rows in self.samples.items()}
        return ColumnFacts(self.dtype, samples=shown, **self.counts)

    def add(self, column: pa.Array[Any], promised: Column | None, offset: int) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_decimal(column.type) or column.type == pa.float16():
            column = column.cast(pa.float64())
        floating = pa.types.is_floating(column.type)
        nulls: Any = pc.is_null(column, nan_is_null=True)
        self._count("nulls", nulls, column, offset)
        if promised is None:
            return
        if floating:
            infinite: Any = pc.is_inf(column)
            self._count("infinite", pc.fill_null(infinite, False), column, offset)
        if pa.types.is_integer(column.type) or floating:
            bounds: Any = (("below", promised.min, pc.less), ("above", promised.max, pc.greater))
            for key, limit, compare in bounds:
                if limit is not None:
                    wrong = compare(column.cast(pa.float64(), safe=False), limit)
                    self._count(key, pc.fill_null(wrong, False), column, offset)
        if promised.allowed is not None:
            allowed = {_plain(value) for value in promised.allowed}
            wrong_values = [v is not None and v == v and _plain(v) not in allowed for v in _values(column)]
            self._count("not_allowed", pa.array(wrong_values, pa.bool_()), column, offset)

    def _count(self, key: str, wrong: Any, column: Any, offset: int) -> None:
        import pyarrow.compute as pc

        count = pc.sum(wrong).as_py() or 0
        self.counts[key] += count
        shown = self.samples.setdefault(key, []) if count else []
        if count and len(shown) < SAMPLES:
            for i in pc.indices_nonzero(wrong)[: SAMPLES - len(shown)].to_pylist():
                shown.append(f"row {offset + i}: {column[i].as_py()}"[:120])


def _values(column: Any) -> list[Any]:
    """The values; lists and structures as their text, which can be a key and is never an allowed value."""
    import pyarrow as pa

    values: list[Any] = column.to_pylist()
    return [None if v is None else ("nested", repr(v)) for v in values] if pa.types.is_nested(column.type) else values


def _plain(value: Any) -> Any:
    """A value as it is compared with `allowed`: 1 and 1.0 are one, 1 and true are not."""
    return (isinstance(value, bool), value) if not isinstance(value, str) else value


def _dtype(kind: pa.DataType) -> str:
    import pyarrow as pa

    is_a = pa.types
    if is_a.is_dictionary(kind):
        inner = _dtype(kind.value_type)
        return "category" if inner == "string" else inner
    for name, fits in (
        ("integer", is_a.is_integer(kind)),
        ("number", is_a.is_floating(kind) or is_a.is_decimal(kind)),
        ("boolean", is_a.is_boolean(kind)),
        ("string", is_a.is_string(kind) or is_a.is_large_string(kind)),
        ("datetime", is_a.is_timestamp(kind) or is_a.is_date(kind)),
    ):
        if fits:
            return name
    return "other"


def _newest(column: Any, before: float | None) -> float | None:
    """Seconds since the epoch of the latest time; times without a zone are UTC. None for what is no time."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not (pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)):
        return None
    latest = pc.max(column.cast(pa.timestamp("us", getattr(column.type, "tz", None)))).value
    found = None if latest is None else latest / 1e6
    return before if found is None else found if before is None else max(before, found)
