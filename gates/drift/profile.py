"""The recorded reference: what training saw of each column, small enough to stand beside the model.

A drift check against it reads only the current data. Profiles of parts merge into the profile of the whole, the same
one in any order or grouping, so that many machines can make one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Any

from gates.drift import packing, text, vectors
from gates.drift.column import Numbers, Room, categories, kind_of, numbers
from gates.drift.sketch import POINTS, Sketch, compact, sketch
from gates.drift.sketch import merge as merge_sketches
from gates.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import numpy as np
    import pyarrow as pa

    from gates.drift.found import Kind
    from gates.drift.source import Source

VERSION = 1
FILE_NAME = "profile.gates"
CATEGORY_CAP = 1_000
"""Strings with more distinct values than this are text."""


SHARE = 16
"""Strings, their tokens and vectors take up to so many times the room of their array while they are counted."""
ROOM = 64 << 20
"""Bytes of such an array where no memory is named."""


@dataclass(frozen=True, eq=False)
class ColumnProfile:
    """One column. rows: all; nulls, nans: rows without a value. Then by kind: sketch (numeric, date: microseconds),
    counts by category (categorical, boolean), words (text), vectors (a sample); all None for a type not compared.
    """

    kind: Kind
    type: str
    rows: int
    nulls: int
    nans: int = 0
    sketch: Sketch | None = None
    counts: Mapping[str, int] | None = None
    words: text.Words | None = None
    vectors: vectors.Vectors | None = None

    @property
    def missing(self) -> int:
        return self.nulls + self.nans

    @property
    def n(self) -> int:
        return self.rows - self.missing


@dataclass(frozen=True, eq=False)
class Profile:
    """Columns by name, and the data it came from. Equal when their bytes are.

    data_digests: sha256 of every data set behind it, sorted; model_digest: of the model it stands beside, or None.
    """

    columns: Mapping[str, ColumnProfile]
    rows: int
    data_digests: tuple[str, ...] = ()
    model_digest: str | None = None
    category_cap: int = CATEGORY_CAP

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Profile) and self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        return hash(self.to_bytes())

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self.columns))

    def to_bytes(self) -> bytes:
        """Canonical: equal profiles give equal bytes."""
        return packing.pack(_header(self), _arrays(self), VERSION)

    @classmethod
    def from_bytes(cls, data: bytes, *, file: str | None = None) -> Profile:
        """InvalidInput when the bytes are cut, changed, no profile, or of another version."""
        header, arrays = packing.unpack(data, VERSION, file)
        return _parse(header, arrays, file)

    def require(self, model_digest: str) -> None:
        """InvalidInput when the profile stands beside another model."""
        if self.model_digest != model_digest:
            raise InvalidInput(
                f"the reference profile is of model {self.model_digest or 'unknown'}, not of {model_digest}",
                hint="use the profile that was recorded with this model",
            )


def build(
    source: Source,
    *,
    columns: Sequence[str] | None = None,
    data_digest: str | None = None,
    model_digest: str | None = None,
    category_cap: int = CATEGORY_CAP,
    points: int = POINTS,
    memory: int | None = None,
) -> Profile:
    """Record each column of `source` (or those named). memory: bytes that one column's values may take; a column that
    needs more is recorded in parts and merged, with wider bounds. InvalidInput for a column that is not there.
    """
    names = list(source.names) if columns is None else list(columns)
    made = {name: _column(source, name, category_cap, points, memory) for name in names}
    digests = () if data_digest is None else (data_digest,)
    return Profile(made, source.rows, digests, model_digest, category_cap)


def _column(source: Source, name: str, cap: int, points: int, memory: int | None) -> ColumnProfile:
    type_ = source.require(name)
    kind, spelled, rows = kind_of(type_), str(type_), source.rows
    if kind in ("numeric", "date"):
        return _numeric(source, name, kind, spelled, points, memory)
    room = ROOM if memory is None else max(1, memory // SHARE)
    if kind in ("categorical", "boolean"):
        counted = categories(source.chunks(name, room), cap, stop=True)
        if not counted.other:
            return ColumnProfile(kind, spelled, rows, counted.nulls, counts=_ordered(counted.counts))
        words, nulls = text.words(source.chunks(name, room))
        return ColumnProfile("text", spelled, rows, nulls, words=words)
    if kind == "vector":
        seen = vectors.vectors(source.chunks(name, room), name)
        return ColumnProfile(kind, spelled, rows, seen.nulls, seen.nans, vectors=seen.vectors)
    return ColumnProfile("unknown", spelled, rows, sum(chunk.null_count for chunk in source.chunks(name, room)))


def _numeric(source: Source, name: str, kind: Kind, spelled: str, points: int, memory: int | None) -> ColumnProfile:
    parts = [(sketch(p.values, points), p.nulls, p.nans) for p in batches(source, name, memory)]
    whole = reduce(merge_sketches, (part for part, _, _ in parts))
    if len(parts) > 1:
        whole = compact(whole, 4 * points)
    nulls, nans = sum(p for _, p, _ in parts), sum(p for _, _, p in parts)
    return ColumnProfile(kind, spelled, source.rows, nulls, nans, sketch=whole)


def batches(source: Source, name: str, memory: int | None, room: Room | None = None) -> Iterator[Numbers]:
    """The column's numbers, sorted: at once when they fit in `memory` bytes, else in batches that do.

    A batch is good until the next one is asked for.
    """
    room = room or Room()
    if memory is None or source.rows * 8 <= memory:
        yield numbers(source.chunks(name), source.rows, room)
        return
    limit = max(1, memory // 8)
    pieces = _Pieces(source.chunks(name))
    while pieces.more():
        yield numbers(pieces.portion(limit), limit, room)


class _Pieces:
    """A column's arrays in portions of rows, straight from the file: nothing is gathered first."""

    def __init__(self, chunks: Iterator[pa.Array[Any]]) -> None:
        self._chunks = chunks
        self._left: pa.Array[Any] | None = None

    def more(self) -> bool:
        while self._left is None or not len(self._left):
            self._left = next(self._chunks, None)
            if self._left is None:
                return False
        return True

    def portion(self, rows: int) -> Iterator[pa.Array[Any]]:
        while rows and self.more() and self._left is not None:
            piece, self._left = self._left.slice(0, rows), self._left.slice(rows)
            rows -= len(piece)
            yield piece


def merge(one: Profile, other: Profile) -> Profile:
    """The profile of both data sets together. Commutative and associative, to the byte.

    InvalidInput when columns, kinds, models or caps differ.
    """
    if set(one.names) != set(other.names):
        odd = sorted(set(one.names) ^ set(other.names))
        raise InvalidInput(f"profiles of different columns cannot be merged: {', '.join(odd[:5])}")
    if one.category_cap != other.category_cap or one.model_digest != other.model_digest:
        raise InvalidInput("profiles of different models or category caps cannot be merged")
    cap = one.category_cap
    columns = {name: _merged(name, one.columns[name], other.columns[name], cap) for name in sorted(one.names)}
    digests = tuple(sorted(set(one.data_digests) | set(other.data_digests)))
    return Profile(columns, one.rows + other.rows, digests, one.model_digest, cap)


def merge_all(profiles: Iterable[Profile]) -> Profile:
    """At least one profile."""
    return reduce(merge, profiles)


def compacted(profile: Profile, points: int = POINTS) -> Profile:
    """Fewer points in each column; bounds get wider, and later merges are no longer those of the parts."""
    made = {
        name: column if column.sketch is None else replace(column, sketch=compact(column.sketch, points))
        for name, column in profile.columns.items()
    }
    return replace(profile, columns=made)


def _merged(name: str, a: ColumnProfile, b: ColumnProfile, cap: int) -> ColumnProfile:
    if a.kind != b.kind and {a.kind, b.kind} != {"text", "categorical"}:
        raise InvalidInput(f"column {name!r} is {a.kind} in one profile and {b.kind} in the other")
    rows, nulls, nans = a.rows + b.rows, a.nulls + b.nulls, a.nans + b.nans
    spelled = min(a.type, b.type)
    if a.sketch is not None and b.sketch is not None:
        return ColumnProfile(a.kind, spelled, rows, nulls, nans, sketch=merge_sketches(a.sketch, b.sketch))
    if a.counts is not None and b.counts is not None:
        counts = {word: a.counts.get(word, 0) + b.counts.get(word, 0) for word in {**a.counts, **b.counts}}
        if len(counts) <= cap:
            return ColumnProfile(a.kind, spelled, rows, nulls, counts=_ordered(counts))
    if a.vectors is not None and b.vectors is not None:
        return ColumnProfile(a.kind, spelled, rows, nulls, nans, vectors=vectors.merge(a.vectors, b.vectors, name))
    if a.kind == "unknown":
        return ColumnProfile(a.kind, spelled, rows, nulls)
    words = text.merge(_words(a), _words(b))
    return ColumnProfile("text", spelled, rows, nulls, words=words)


def _words(column: ColumnProfile) -> text.Words:
    return column.words if column.words is not None else text.from_counts(column.counts or {})


def _ordered(counts: Mapping[str, int]) -> dict[str, int]:
    return {word: counts[word] for word in sorted(counts)}


_SKETCH_ARRAYS = ("points", "below", "at", "lo", "up")


def _header(profile: Profile) -> dict[str, Any]:
    columns = {}
    for name in sorted(profile.columns):
        c = profile.columns[name]
        row: dict[str, Any] = {"kind": c.kind, "type": c.type, "rows": c.rows, "nulls": c.nulls, "nans": c.nans}
        if c.sketch is not None:
            s = c.sketch
            row["sketch"] = {"n": s.n, "finite": s.finite, "s1": str(s.s1), "s2": str(s.s2)}
        if c.counts is not None:
            row["counts"] = dict(c.counts)
        if c.words is not None:
            row["words"] = text.header(c.words)
        if c.vectors is not None:
            row["vectors"] = vectors.header(c.vectors)
        columns[name] = row
    return {
        "columns": columns,
        "rows": profile.rows,
        "data_digests": list(profile.data_digests),
        "model_digest": profile.model_digest,
        "category_cap": profile.category_cap,
    }


def _arrays(profile: Profile) -> dict[str, np.ndarray[Any, Any]]:
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for name in sorted(profile.columns):
        c = profile.columns[name]
        if c.sketch is not None:
            arrays |= {f"{name}/{key}": getattr(c.sketch, key) for key in _SKETCH_ARRAYS}
        if c.words is not None:
            arrays |= {f"{name}/{key}": array for key, array in text.arrays(c.words).items()}
        if c.vectors is not None:
            arrays |= {f"{name}/{key}": array for key, array in vectors.arrays(c.vectors).items()}
    return arrays


def _parse(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]], file: str | None) -> Profile:
    from fractions import Fraction

    try:
        columns = {}
        for name, row in header["columns"].items():
            held: Sketch | None = None
            if "sketch" in row:
                s = row["sketch"]
                parts = [arrays[f"{name}/{key}"] for key in _SKETCH_ARRAYS]
                held = Sketch(s["n"], s["finite"], Fraction(s["s1"]), Fraction(s["s2"]), *parts)
            words = None
            if "words" in row:
                words = text.parse(row["words"], {k: arrays[f"{name}/{k}"] for k in text.ARRAYS})
            sample = None
            if "vectors" in row:
                sample = vectors.parse(row["vectors"], {k: arrays[f"{name}/{k}"] for k in vectors.ARRAYS})
            columns[name] = ColumnProfile(
                row["kind"], row["type"], row["rows"], row["nulls"], row["nans"], held, row.get("counts"), words, sample
            )
        digests = tuple(header["data_digests"])
        return Profile(columns, header["rows"], digests, header["model_digest"], header["category_cap"])
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"the profile lacks {error}", hint="record it again by training", file=file) from error
