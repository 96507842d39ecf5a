"""Every column of the reference beside the same column of the current data: figures, no decision.

One column at a time: read, sort each side once, take all statistics from the two sorted sides. Against a profile, or
when a pair of columns does not fit in the memory budget, the current data is counted against the profile's points,
batch by batch; the figures then carry the bound of what the points do not know, and `method` says 'profile'.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from gates.drift import compared, text, vectors
from gates.drift import profile as profiles
from gates.drift.column import Room, categories, kind_of, numbers
from gates.drift.found import ColumnDrift
from gates.drift.missing import with_missing
from gates.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from gates.drift.found import Kind
    from gates.drift.profile import ColumnProfile, Profile
    from gates.drift.source import Source

MEMORY = 2 * 2**30
"""Bytes of column data held at once, all threads together."""
_ROOM = 16
"""Bytes a row and side: the value, and one float64 of working room."""
CURRENT_CAP = 100_000
"""New categories of the current data that are counted apart, where memory lets them be."""
_CATEGORY = 1_000
"""Bytes of memory for which one category is counted apart: its text, its count, and the tables made of both."""


def scan(
    reference: Profile | Source,
    current: Source,
    *,
    columns: Sequence[str] | None = None,
    memory: int = MEMORY,
    threads: int = 1,
    category_cap: int = profiles.CATEGORY_CAP,
) -> tuple[ColumnDrift, ...]:
    """One value a column, in the order of `columns`, or of the reference.

    memory: bytes of column data held at once by all threads. InvalidInput for a column that a side lacks, or whose type
    changed kind; a statistic that cannot be computed is None with a reason.
    """
    names = list(reference.names) if columns is None else list(columns)
    if not names:
        raise InvalidInput("there is no column to compare", hint="name columns that both sides have")
    for name in names:
        current.require(name)
        _require(reference, name)
    budget = max(1, memory // max(1, threads))

    own = threading.local()

    def one(name: str) -> ColumnDrift:
        if not hasattr(own, "rooms"):
            own.rooms = (Room(), Room())
        return _column(reference, current, name, budget, category_cap, own.rooms)

    if threads <= 1:
        return tuple(one(name) for name in names)
    with ThreadPoolExecutor(threads) as pool:
        return tuple(pool.map(one, names))


def _batch(memory: int) -> int:
    """Bytes of values in one batch: the reference's and the current data's may both be held, and a part of a file."""
    return memory * 3 // 8


def _require(reference: Profile | Source, name: str) -> None:
    if not isinstance(reference, profiles.Profile):
        reference.require(name)
    elif name not in reference.columns:
        raise InvalidInput(f"the reference profile has no column {name!r}", hint="record it again by training")


def _column(
    reference: Profile | Source, current: Source, name: str, memory: int, cap: int, rooms: tuple[Room, Room]
) -> ColumnDrift:
    kind = _kind(reference, current, name)
    if kind == "unknown":
        return _not_compared(reference, current, name, memory)
    if kind == "vector":
        return _told_apart(reference, current, name, memory)
    if isinstance(reference, profiles.Profile):
        held = reference.columns[name]
        if kind in ("numeric", "date"):
            return _against(held, current, name, kind, memory, rooms[1])
        return _counted(held, current, name, memory)
    if kind in ("numeric", "date"):
        if (reference.rows + current.rows) * _ROOM > memory:
            made = profiles.build(reference, columns=[name], memory=_batch(memory))
            return _against(made.columns[name], current, name, kind, memory, rooms[1], streamed=True)
        return _exact(reference, current, name, kind, rooms)
    made = profiles.build(reference, columns=[name], category_cap=cap, memory=memory)
    return replace(_counted(made.columns[name], current, name, memory), method="exact")


def _kind(reference: Profile | Source, current: Source, name: str) -> Kind:
    return kind_in_both(reference, current.types[name], name, current.name)


def kind_in_both(reference: Profile | Source, after_type: pa.DataType, name: str, where: str) -> Kind:
    """What both are; a column of nothing but nulls is what the other side is. InvalidInput when the kind changed."""
    after = kind_of(after_type)
    if isinstance(reference, profiles.Profile):
        before, spelled = reference.columns[name].kind, reference.columns[name].type
    else:
        before, spelled = kind_of(reference.types[name]), str(reference.types[name])
    if str(after_type) == "null":
        return before
    if spelled == "null":
        return after
    if before != after and {before, after} != {"text", "categorical"}:
        raise InvalidInput(
            f"column {name!r} is {after_type} now and was {spelled} in the reference",
            hint="write it with the type it had, or train again",
            file=where,
        )
    return before


def _not_compared(reference: Profile | Source, current: Source, name: str, memory: int) -> ColumnDrift:
    if isinstance(reference, profiles.Profile):
        before = reference.columns[name]
    else:
        before = profiles.build(reference, columns=[name], memory=memory).columns[name]
    after = profiles.build(current, columns=[name], memory=memory).columns[name]
    base = ColumnDrift(name, "unknown", before.n, after.n, before.missing, after.missing)
    return with_missing(replace(base, reason=f"columns of type {current.types[name]} are not compared"))


def _exact(reference: Source, current: Source, name: str, kind: Kind, rooms: tuple[Room, Room]) -> ColumnDrift:
    x = numbers(reference.chunks(name), reference.rows, rooms[0])
    y = numbers(current.chunks(name), current.rows, rooms[1])
    base = ColumnDrift(name, kind, len(x.values), len(y.values), x.nulls + x.nans, y.nulls + y.nans)
    return with_missing(compared.samples(base, x.values, y.values))


def _against(
    held: ColumnProfile, current: Source, name: str, kind: Kind, memory: int, spare: Room, *, streamed: bool = False
) -> ColumnDrift:
    base = ColumnDrift(name, kind, held.n, 0, held.missing, 0, method="profile")
    room = None if current.rows * _ROOM <= memory else _batch(memory)
    batches = profiles.batches(current, name, room, spare)
    if held.sketch is None:  # the reference is all null, of no type
        seen = [len(b.values) for b in batches]
        after = replace(base, n_cur=sum(seen), nulls_cur=current.rows - sum(seen), reason="the reference has no value")
        return with_missing(after)
    if room is None and held.sketch.exact and not streamed:
        y = next(iter(batches))
        full = replace(base, n_cur=len(y.values), nulls_cur=y.nulls + y.nans, method="exact")
        if y.values.dtype == held.sketch.points.dtype:
            return with_missing(compared.against_values(full, held.sketch, y.values))
        if held.sketch.n * _ROOM <= memory:
            return with_missing(compared.samples(full, held.sketch.expand(), y.values))
        batches = iter((y,))
    return with_missing(compared.sketched(base, held.sketch, batches))


def _told_apart(reference: Profile | Source, current: Source, name: str, memory: int) -> ColumnDrift:
    sides = [
        side if isinstance(side, profiles.Profile) else profiles.build(side, columns=[name], memory=memory)
        for side in (reference, current)
    ]
    return whole_vectors(name, sides[0].columns[name], sides[1].columns[name])


def whole_vectors(name: str, before: ColumnProfile, after: ColumnProfile) -> ColumnDrift:
    """From what both sides kept; a side of nothing but nulls of no type holds no vector."""
    base = ColumnDrift(name, "vector", before.n, after.n, before.missing, after.missing)
    ref, cur = before.vectors or vectors.EMPTY, after.vectors or vectors.EMPTY
    return with_missing(compared.told_apart(base, ref, cur))


def _counted(held: ColumnProfile, current: Source, name: str, memory: int) -> ColumnDrift:
    room = max(1, memory // profiles.SHARE)
    base = ColumnDrift(name, held.kind, held.n, 0, held.missing, 0)
    if held.words is not None:
        words, nulls = text.words(current.chunks(name, room))
        return with_missing(compared.texts(replace(base, nulls_cur=nulls), held.words, words))
    known = held.counts or {}
    cap = max(min(CURRENT_CAP, memory // _CATEGORY), len(known))
    found = categories(current.chunks(name, room), cap, known)
    kind: Kind = kind_of(current.types[name]) if held.kind == "unknown" else held.kind
    base = replace(base, kind=kind, n_cur=found.n, nulls_cur=found.nulls)
    return with_missing(compared.counts(base, known, found.counts, found.other))
