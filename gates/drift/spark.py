"""Drift on a SparkSession, for data that outgrows a machine: the same figures from parts that add up.

Rules: the reference is a profile, recorded at training or built here from each partition and merged. Each partition of
the current data is counted against it where it lies (`compared.Tally`, category counts, words); only these counts come
to the driver. Counts are integers, so that partitions in any number or order give the verdict of the arrow engine in
profile mode. A partition must fit into its executor's memory. pyspark is imported here and nowhere else.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gates.drift import compared, packing, text, vectors
from gates.drift import profile as profiles
from gates.drift.column import categories, numbers
from gates.drift.found import ColumnDrift
from gates.drift.missing import with_missing
from gates.drift.profile import ColumnProfile
from gates.drift.scan import CURRENT_CAP, kind_in_both, whole_vectors
from gates.drift.sketch import Cells
from gates.drift.source import Source, from_table
from gates.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa

    from gates.drift.found import Kind
    from gates.drift.profile import Profile

_VERSION = 1
_FORMATS = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet"}


def session() -> Any:
    """The session that is running (on a cluster), or a local one, whose workers are of this interpreter.

    Unavailable when pyspark or Java is missing.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise Unavailable("--engine spark needs pyspark", hint="pip install 'mlops-gates[spark]'") from error
    try:
        builder: Any = SparkSession.builder
        found = builder.appName("drift-check").config("spark.ui.enabled", "false").getOrCreate()
        if found.sparkContext.master.startswith("local"):
            found.sparkContext.pythonExec = sys.executable  # Spark would take the python3 of PATH
        return found
    except Exception as error:  # py4j raises its own kinds, and a plain Exception where Java is missing
        first = str(error).strip().splitlines() or [type(error).__name__]
        raise Unavailable(
            f"no SparkSession can be started: {first[0]}", hint="Java 17 or newer must be there"
        ) from error


def open_frame(spark: Any, where: str) -> Any:
    """A DataFrame of a parquet file, folder or glob, or of CSV files with a header. InvalidInput names the path."""
    suffix = next((s for s in _FORMATS if where.rstrip("/").endswith(s)), ".parquet")
    try:
        reader = spark.read.option("header", True).option("inferSchema", True) if suffix == ".csv" else spark.read
        frame = getattr(reader, _FORMATS[suffix])(where)
        empty = not frame.columns or frame.isEmpty()
    except Exception as error:  # as above: a cut file is a Java exception inside py4j's
        raise InvalidInput(f"Spark cannot read it: {_first_line(error)}", hint="write it again", file=where) from error
    if empty:
        raise InvalidInput("no rows", hint="give data with at least one row", file=where)
    return frame


def open_collected(spark: Any, where: str) -> Any:
    """A DataFrame of what Azure ML's data collector wrote below a folder: the rows of its events, an event a line."""
    try:
        reader = spark.read.option("recursiveFileLookup", True).option("pathGlobFilter", "*.jsonl")
        events = reader.json(where)
        rows = events.selectExpr("inline(data)") if "data" in events.columns else None
        empty = rows is None or rows.isEmpty()
    except Exception as error:  # as in open_frame
        raise InvalidInput(f"Spark cannot read it: {_first_line(error)}", hint="name the folder of model_inputs",
                           file=where) from error  # fmt: skip
    if empty:
        raise InvalidInput("no request was collected", hint="check the deployment's data_collector", file=where)
    return rows


def build(
    frame: Any, columns: Sequence[str], *, category_cap: int = profiles.CATEGORY_CAP, where: str = "reference"
) -> Profile:
    """The profile of a DataFrame: one of each partition, merged."""
    _require(frame, columns, where)

    def one(source: Source) -> bytes:
        return profiles.build(source, columns=list(columns), category_cap=category_cap).to_bytes()

    parts = _of_partitions(frame.select(*[f"`{name}`" for name in columns]), one, where)
    return profiles.merge_all(profiles.Profile.from_bytes(part) for part in parts)


def scan(
    reference: Profile, frame: Any, *, columns: Sequence[str] | None = None, where: str = "current data"
) -> tuple[tuple[ColumnDrift, ...], int]:
    """One value a column, in the order of `columns` or of the reference, and the rows of the current data.

    InvalidInput for a column that a side lacks, or whose type changed kind.
    """
    names = list(reference.names) if columns is None else list(columns)
    if not names:
        raise InvalidInput("there is no column to compare", hint="name columns that both sides have")
    _require(frame, names, where)
    for name in names:
        if name not in reference.columns:
            raise InvalidInput(f"the reference profile has no column {name!r}", hint="record it again by training")
    types = _types(frame)
    kinds = {name: kind_in_both(reference, types[name], name, where) for name in names}
    held = {name: reference.columns[name] for name in names}

    def one(source: Source) -> bytes:
        return _pack({name: _part(held[name], kinds[name], source, name) for name in names}, source.rows)

    parts = [_unpack(part) for part in _of_partitions(frame.select(*[f"`{n}`" for n in names]), one, where)]
    found = tuple(_whole(held[name], kinds[name], name, [part[0][name] for part in parts]) for name in names)
    return found, sum(rows for _, rows in parts)


class _Counts:
    """What one partition says of one column: a tally, or counts by category, or words, or vectors."""

    def __init__(
        self,
        tally: compared.Tally,
        counts: dict[str, int] | None = None,
        other: int = 0,
        words: Any = None,
        sample: vectors.Vectors | None = None,
    ) -> None:
        self.tally, self.counts, self.other, self.words, self.sample = tally, counts, other, words, sample


def _part(held: ColumnProfile, kind: Kind, source: Source, name: str) -> _Counts:
    if kind in ("numeric", "date"):
        batch = numbers(source.chunks(name), source.rows)
        if held.sketch is None:  # the reference is all null, of no type
            return _Counts(compared.Tally(len(batch.values), batch.nulls + batch.nans))
        return _Counts(compared.tally(held.sketch, batch, name))
    if held.words is not None:
        words, nulls = text.words(source.chunks(name))
        return _Counts(compared.Tally(source.rows - nulls, nulls), words=words)
    if kind == "vector":
        seen = vectors.vectors(source.chunks(name), name)
        return _Counts(compared.Tally(seen.vectors.n, seen.nulls + seen.nans), sample=seen.vectors)
    if kind == "unknown":
        nulls = sum(chunk.null_count for chunk in source.chunks(name))
        return _Counts(compared.Tally(source.rows - nulls, nulls))
    known = held.counts or {}
    found = categories(source.chunks(name), max(CURRENT_CAP, len(known)), known)
    return _Counts(compared.Tally(found.n, found.nulls), counts=found.counts, other=found.other)


def _whole(held: ColumnProfile, kind: Kind, name: str, parts: Sequence[_Counts]) -> ColumnDrift:
    total = compared.Tally()
    for part in parts:
        total = compared.added(total, part.tally)
    base = ColumnDrift(name, kind, held.n, total.n, held.missing, total.missing)
    if kind == "unknown":
        return with_missing(replace(base, reason="columns of this type are not compared"))
    if kind == "vector":
        sample = vectors.EMPTY
        for part in parts:
            sample = vectors.merge(sample, part.sample or vectors.EMPTY, name)
        after = ColumnProfile(kind, held.type, total.n + total.missing, total.missing, vectors=sample)
        return whole_vectors(name, held, after)
    if kind in ("numeric", "date"):
        if held.sketch is None:
            return with_missing(replace(base, reason="the reference has no value", method="profile"))
        return with_missing(compared.tallied(replace(base, method="profile"), held.sketch, total))
    if held.words is not None:
        words = text.from_counts({})
        for part in parts:
            words = text.merge(words, part.words)
        return with_missing(compared.texts(base, held.words, words))
    counts: dict[str, int] = {}
    for part in parts:
        for word, rows in (part.counts or {}).items():
            counts[word] = counts.get(word, 0) + rows
    return with_missing(compared.counts(base, held.counts or {}, counts, sum(part.other for part in parts)))


def _of_partitions(frame: Any, one: Callable[[Source], bytes], where: str) -> list[bytes]:
    """`one` of the table of each partition that has rows."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        held = [batch for batch in batches if batch.num_rows]
        if held:
            made = one(from_table(pa.Table.from_batches(held), "partition"))
            yield pa.RecordBatch.from_arrays([pa.array([made], type=pa.binary())], names=["part"])

    try:
        parts = [bytes(row["part"]) for row in frame.mapInArrow(run, "part binary").collect()]
    except Exception as error:  # py4j wraps whatever a worker or the JVM said
        raise InvalidInput(f"Spark failed: {_first_line(error)}", hint="see Spark's own log", file=where) from error
    if not parts:
        raise InvalidInput("no rows", hint="give data with at least one row", file=where)
    return parts


def _first_line(error: Exception) -> str:
    """The line that says why: of a worker's trace the last, else the first."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    said = [line for line in lines if "Error: " in line or "InvalidInput: " in line]
    return (said or lines or [type(error).__name__])[0][:300]


def _require(frame: Any, names: Sequence[str], where: str) -> None:
    for name in names:
        if name not in frame.columns:
            known = ", ".join(frame.columns[:12]) + (", …" if len(frame.columns) > 12 else "")
            raise InvalidInput(f"no column {name!r}", hint=f"the columns are {known}", file=where)


def _types(frame: Any) -> dict[str, pa.DataType]:
    """The Arrow types of the columns, by Spark's names for them (`DataFrame.dtypes`); others are not compared."""
    import pyarrow as pa

    plain: dict[str, pa.DataType] = {
        "double": pa.float64(), "float": pa.float32(), "bigint": pa.int64(), "int": pa.int32(), "smallint": pa.int16(),
        "tinyint": pa.int8(), "boolean": pa.bool_(), "string": pa.string(), "date": pa.date32(), "void": pa.null(),
        "timestamp": pa.timestamp("us", tz="UTC"), "timestamp_ntz": pa.timestamp("us"),
        "array<float>": pa.list_(pa.float32()), "array<double>": pa.list_(pa.float64()),
    }  # fmt: skip
    decimal = pa.decimal128(38, 18)
    return {
        name: decimal if spelled.startswith("decimal") else plain.get(spelled, pa.binary())
        for name, spelled in frame.dtypes
    }


_ARRAYS = ("below", "at_most", "inside")


def _pack(parts: dict[str, _Counts], rows: int) -> bytes:
    columns: list[dict[str, Any]] = []
    arrays: dict[str, Any] = {}
    for i, (name, part) in enumerate(parts.items()):
        t, row = part.tally, {"name": name, "n": part.tally.n, "missing": part.tally.missing}
        if t.cells is not None:
            row["cells"] = [t.cells.n, t.cells.left, t.cells.right, t.cells.infinite]
            arrays |= {f"{i}/{key}": getattr(t.cells, key) for key in _ARRAYS} | {
                f"{i}/range": np.array([t.low, t.high])
            }
        if part.counts is not None:
            row["counts"], row["other"] = part.counts, part.other
        if part.words is not None:
            row["words"] = text.header(part.words)
            arrays |= {f"{i}/{key}": array for key, array in text.arrays(part.words).items()}
        if part.sample is not None:
            row["vectors"] = vectors.header(part.sample)
            arrays |= {f"{i}/{key}": array for key, array in vectors.arrays(part.sample).items()}
        columns.append(row)
    return packing.pack({"columns": columns, "rows": rows}, arrays, _VERSION)


def _unpack(data: bytes) -> tuple[dict[str, _Counts], int]:
    header, arrays = packing.unpack(data, _VERSION, None)
    found = {}
    for i, row in enumerate(header["columns"]):
        tally = compared.Tally(row["n"], row["missing"])
        if "cells" in row:
            n, left, right, infinite = row["cells"]
            below, at_most, inside = (arrays[f"{i}/{key}"] for key in _ARRAYS)
            cells = Cells(n, below, at_most, inside, left, right, infinite)
            low, high = arrays[f"{i}/range"]
            tally = tally._replace(low=low, high=high, cells=cells)
        words = None
        if "words" in row:
            words = text.parse(row["words"], {key: arrays[f"{i}/{key}"] for key in text.ARRAYS})
        sample = None
        if "vectors" in row:
            sample = vectors.parse(row["vectors"], {key: arrays[f"{i}/{key}"] for key in vectors.ARRAYS})
        found[row["name"]] = _Counts(tally, row.get("counts"), row.get("other", 0), words, sample)
    return found, int(header["rows"])
