"""Arrow arrays as numpy values, by their buffers: `to_numpy()` of pyarrow would import pandas, a second of start-up.

Rules: null and NaN are both missing, counted apart; infinities are values; decimals become float64; dates and times
become int64 microseconds (UTC where they name a zone); booleans, strings and dictionaries become counts by text.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gates.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pyarrow as pa
    from numpy.typing import NDArray

    from gates.drift.found import Kind

_UNIT = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": 0}


class Temporal(Enum):
    NO = 0
    MOMENT = 1
    LENGTH = 2


def temporal(type_: pa.DataType) -> Temporal:
    import pyarrow.types as pt

    if pt.is_date(type_) or pt.is_timestamp(type_):
        return Temporal.MOMENT
    return Temporal.LENGTH if pt.is_time(type_) or pt.is_duration(type_) else Temporal.NO


def kind_of(type_: pa.DataType) -> Kind:
    """What a column of this type is; a string column is `categorical` here, and may turn out to be text."""
    import pyarrow.types as pt

    if pt.is_dictionary(type_):
        return "categorical"
    if pt.is_boolean(type_):
        return "boolean"
    if pt.is_integer(type_) or pt.is_floating(type_) or pt.is_decimal(type_):
        return "numeric"
    if temporal(type_) is not Temporal.NO:
        return "date" if temporal(type_) is Temporal.MOMENT else "numeric"
    if pt.is_string(type_) or pt.is_large_string(type_):
        return "categorical"
    many: Any = type_
    lists = pt.is_list(type_) or pt.is_large_list(type_) or pt.is_fixed_size_list(type_)
    return "vector" if lists and pt.is_floating(many.value_type) else "unknown"


def values_of(array: pa.Array[Any]) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """(n,) numbers, and (n,) whether each is there, or None when all are. Numbers, decimals, dates and times only."""
    import pyarrow as pa
    import pyarrow.types as pt

    type_ = array.type
    if pt.is_decimal(type_):
        array, type_ = array.cast(pa.float64()), pa.float64()
    if pt.is_null(type_):
        return np.zeros(len(array)), np.zeros(len(array), dtype=np.bool_)
    buffers: list[Any] = array.buffers()
    validity, data = buffers
    signed = "u" if pt.is_unsigned_integer(type_) else "f" if pt.is_floating(type_) else "i"
    dtype = np.dtype(f"<{signed}{type_.bit_width // 8}")
    values: NDArray[Any] = np.frombuffer(data, dtype=dtype, count=array.offset + len(array))[array.offset :]
    if dtype == np.float16:
        values = values.astype(np.float32)
    valid = None
    if array.null_count:
        bits = np.frombuffer(validity, dtype=np.uint8)
        valid = np.unpackbits(bits, count=array.offset + len(array), bitorder="little")[array.offset :].view(np.bool_)
    return (values if temporal(type_) is Temporal.NO else _microseconds(values, type_)), valid


def _microseconds(values: NDArray[Any], type_: Any) -> NDArray[np.int64]:
    import pyarrow.types as pt

    whole: NDArray[np.int64] = values.astype(np.int64)
    if pt.is_date32(type_):
        return whole * 86_400_000_000
    factor = 1_000 if pt.is_date64(type_) else _UNIT[type_.unit]
    return whole // 1_000 if factor == 0 else whole * factor


class Room:
    """Memory for one column's values, used again for the next: fresh pages cost as much as the sort."""

    def __init__(self) -> None:
        self._held: NDArray[np.uint8] = np.zeros(0, dtype=np.uint8)

    def take(self, rows: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        """(rows,) of anything; what was taken before is no longer to be used."""
        needed = rows * dtype.itemsize
        if len(self._held) < needed:
            self._held = np.empty(needed, dtype=np.uint8)
        return self._held[:needed].view(dtype)


class Numbers(NamedTuple):
    """values: (n,) sorted ascending, no NaN; of the room, if one was given. nulls, nans: rows that are missing."""

    values: NDArray[Any]
    nulls: int
    nans: int


def numbers(chunks: Iterable[pa.Array[Any]], rows: int, room: Room | None = None) -> Numbers:
    """All numbers of a column of at most `rows` rows, sorted once."""
    room = room or Room()
    out: NDArray[Any] | None = None
    filled = nulls = 0
    for array in chunks:
        values, valid = values_of(array)
        if valid is not None:
            size = int(np.count_nonzero(valid))
            nulls += len(values) - size
        else:
            size = len(values)
        if out is None:
            out = room.take(rows, values.dtype)
        elif values.dtype != out.dtype and len(values):
            out = out.astype(np.result_type(out.dtype, values.dtype))
        if valid is None:
            out[filled : filled + size] = values
        else:
            out[filled : filled + size] = values[valid]
        filled += size
    if out is None:
        return Numbers(np.zeros(0), nulls, 0)
    out = out[:filled]
    out.sort()
    nans = 0
    if out.dtype.kind == "f" and filled and np.isnan(out[-1]):
        nans = filled - int(np.searchsorted(out, np.nan, side="left"))  # NaN sorts last
        out = out[: filled - nans]
    return Numbers(out, nulls, nans)


class Counted(NamedTuple):
    """counts: rows by category as text, at most `cap` of them beside the known ones. other: rows of the categories
    beyond that, 0 when all are counted. n: rows with a value.
    """

    counts: dict[str, int]
    other: int
    n: int
    nulls: int


def categories(
    chunks: Iterable[pa.Array[Any]], cap: int, known: Mapping[str, int] | None = None, *, stop: bool = False
) -> Counted:
    """Rows of each category. Those in `known` are always counted; of others the first `cap`, the rest as one.

    stop: read no further once there are more than `cap`, whose counts nobody will use.
    """
    counts: dict[str, int] = dict.fromkeys(known or (), 0)
    cap += len(counts)
    n = nulls = other = 0
    for array in chunks:
        words, sizes, missing = _tally(array)
        nulls += missing
        n += int(sizes.sum())
        for word, size in zip(words, sizes.tolist(), strict=True):
            if word in counts or len(counts) < cap:
                counts[word] = counts.get(word, 0) + size
            else:
                other += size
        if other and stop:
            break
    return Counted({word: size for word, size in counts.items() if size}, other, n, nulls)


def _tally(array: Any) -> tuple[list[str], NDArray[np.int64], int]:
    """The distinct values as text, how many rows each has, and how many rows have none."""
    import pyarrow as pa
    import pyarrow.types as pt

    if pt.is_null(array.type):
        return [], np.zeros(0, dtype=np.int64), len(array)
    if pt.is_boolean(array.type):
        true = int(array.true_count)
        false = len(array) - array.null_count - true
        return ["false", "true"], np.array([false, true], dtype=np.int64), int(array.null_count)
    encoded = array if pt.is_dictionary(array.type) else array.dictionary_encode()
    codes, valid = values_of(encoded.indices)
    codes = codes if valid is None else codes[valid]
    rows = np.bincount(codes, minlength=len(encoded.dictionary)).astype(np.int64)
    used = np.flatnonzero(rows)  # the dictionary may be of the whole file, and the array a slice
    raw = (encoded.dictionary if len(used) == len(rows) else encoded.dictionary.take(pa.array(used))).to_pylist()
    sizes = rows[used]
    missing = len(array) - len(codes)
    nothing = [i for i, value in enumerate(raw) if value is None]
    if nothing:
        missing += int(sizes[nothing].sum())
        raw, sizes = [value for value in raw if value is not None], np.delete(sizes, nothing)
    return [str(value) for value in raw], sizes, missing


def comparable(reference: NDArray[Any], current: NDArray[Any], name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Both sides in one dtype, still sorted. float32 beside float64 is compared as float32: the narrower side never
    held the other's digits. Whole numbers beside fractions become float64.
    """
    a, b = reference.dtype, current.dtype
    if a == b:
        return reference, current
    narrower = min(a, b, key=lambda dtype: dtype.itemsize)
    common = narrower if a.kind == b.kind == "f" else np.result_type(a, b)
    if common.kind not in "iuf":
        raise InvalidInput(f"column {name!r} is {a} in the reference and {b} in the current data", hint="give one type")
    return reference.astype(common, copy=False), current.astype(common, copy=False)
