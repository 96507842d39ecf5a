"""Sums that are exact until they are rounded once at their end, as `math.fsum` is, and quick on arrays.

So neither the order of the rows nor the size of the blocks that they come in can change the last bit, and nothing has
to be sorted for it. Values are cut into digits that add up without rounding in a float64 (Demmel & Nguyen 2013, IEEE
ARITH 21:163), and the digits' sums are kept as a whole number.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK = 1 << 15
"""Values treated at once: they stay in the cache."""
DIGIT = 37  # bits; 2^15 digits add up to 52
UNIT = 1074  # the smallest float64 is 2^-1074


class Sum:
    """A running sum of finite float64 values. least: each is first rounded to a multiple of 2^least, which is quicker
    where small ones do not matter, and as independent of order and blocks.
    """

    def __init__(self, least: int = -UNIT) -> None:
        self._whole = 0  # in units of 2^-UNIT
        self._least = least

    def add(self, values: NDArray[np.float64]) -> None:
        """values: (n,). Raises ValueError where one is not finite."""
        for start in range(0, len(values), BLOCK):
            self._block(values[start : start + BLOCK])

    def _block(self, values: NDArray[np.float64]) -> None:
        left, own = values, False
        while len(left):
            top = max(float(left.max()), -float(left.min()))
            if not math.isfinite(top):
                raise ValueError("a value to add is not finite")
            if top == 0.0:
                return
            low = max(math.frexp(top)[1] - DIGIT, self._least)
            if low > 900:  # the magic number would overflow
                self._whole += sum(_whole(float(value)) for value in left)
                return
            magic = math.ldexp(1.5, low + 52)
            digits = left + magic
            digits -= magic
            self._whole += int(math.ldexp(float(digits.sum()), -low)) << (low + UNIT)
            if low == self._least:
                return
            left = np.subtract(left, digits, out=left) if own else left - digits
            own = True
            rest = np.count_nonzero(left)
            if rest < len(left) // 2:
                left = left[left != 0.0]

    @property
    def value(self) -> float:
        """The sum, rounded once; infinite beyond the range of float64."""
        try:
            return self._whole / (1 << UNIT)  # division of whole numbers rounds rightly
        except OverflowError:
            return math.inf if self._whole > 0 else -math.inf


def _whole(value: float) -> int:
    numerator, denominator = value.as_integer_ratio()
    return (numerator << UNIT) // denominator


def total(values: NDArray[np.float64]) -> float:
    """The exact sum of (n,) finite values, rounded once."""
    found = Sum()
    found.add(values)
    return found.value
