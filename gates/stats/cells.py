"""How many rows fall in each cell of several columns of codes: all that a confusion matrix or a rate needs of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gates.stats import spill

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def code_type(size: int) -> type[np.signedinteger[Any]]:
    """The smallest integers that hold codes in [0, size)."""
    return np.int8 if size <= 1 << 7 else np.int16 if size <= 1 << 15 else np.int64


def counted(columns: Sequence[NDArray[Any]], sizes: Sequence[int]) -> NDArray[np.int64]:
    """Rows by cell, of the shape `sizes`. columns: (n,) codes each, the i-th in [0, sizes[i])."""
    total = int(np.prod(sizes))
    found = np.zeros(total, dtype=np.int64)
    for block in spill.blocks(*columns):
        found += np.bincount(joined(block, sizes), minlength=total)
    return found.reshape(tuple(sizes))


def joined(columns: Sequence[NDArray[Any]], sizes: Sequence[int]) -> NDArray[np.int64]:
    """(n,) one number for each combination of codes, in the order of the combinations."""
    code = np.asarray(columns[0], dtype=np.int64)
    for column, size in zip(columns[1:], sizes[1:], strict=True):
        code = code * size + column
    return code
