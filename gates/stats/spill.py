"""Columns longer than memory should hold: they stand in temporary files, and everything walks over them in blocks.

A formula asks `empty` for a column and `blocks` for stretches of several; what it keeps beside is of a block's size. So
memory does not grow with the rows, only the folder of temporary files (TMPDIR) does; one that is itself in memory
(tmpfs) gains nothing.
"""

from __future__ import annotations

import mmap
import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import DTypeLike, NDArray

LARGE = 1 << 25
"""Bytes of a column that stays in memory."""
BLOCK = 1 << 17
"""Rows treated at once."""
KEPT = 1 << 21
"""Rows walked over before the pages of files behind them are given back."""


def empty(n: int, dtype: DTypeLike) -> NDArray[Any]:
    """A column (n,) to be written: in memory, or in a file that is gone when the column is."""
    if n * np.dtype(dtype).itemsize <= LARGE:
        return np.empty(n, dtype=dtype)
    with tempfile.TemporaryFile(prefix="gates-column-") as file:
        return np.memmap(file, dtype=dtype, mode="w+", shape=(n,))


def blocks(*columns: NDArray[Any], size: int | None = None) -> Iterator[tuple[NDArray[Any], ...]]:
    """Stretches of columns of one length, together and in order."""
    for part in parts(*columns, size=size):
        yield tuple(np.asarray(column[part]) for column in columns)


def parts(*columns: NDArray[Any], size: int | None = None) -> Iterator[slice]:
    """The same as slices. Columns that are written to are named too, so that their pages are given back."""
    n, step, walked = len(columns[0]), size or BLOCK, 0
    for start in range(0, n, step):
        yield slice(start, min(n, start + step))
        walked += step
        if walked >= KEPT:
            walked = 0
            release(*columns)
    release(*columns)


def release(*columns: NDArray[Any]) -> None:
    """Give back the memory behind columns in files; their values stay in the files."""
    for column in columns:
        base: Any = column
        while base is not None and not isinstance(base, mmap.mmap):
            base = getattr(base, "base", None)
        if base is not None and hasattr(mmap, "MADV_DONTNEED"):
            base.madvise(mmap.MADV_DONTNEED)
