"""What an estimated quantity is: a value, an interval, the rows behind it, and how it was had.

A quantity that cannot be computed is never a number: `Unusable` says why, and a check turns it into ERROR. An interval
whose bounds are infinite is honest: it says that so little evidence decides nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


class Unusable(ValueError):  # named after the evidence, like the ends in errors.py
    """The evidence cannot give this quantity. The message is one clause: what is wrong, and with what."""


@dataclass(frozen=True)
class Estimate:
    """A value with its two-sided interval, in the quantity's own unit.

    value: finite. low, high: low <= high, may be infinite. n: rows (or clusters) behind it. method: how the interval
    was had, in the field's words.
    """

    value: float
    low: float
    high: float
    n: int
    method: str

    def n_needed(self, limit: float) -> int | None:
        """About how many rows would put the interval on one side of `limit`, at the present value.

        The distance from the value to the bound that faces the limit shrinks like 1 / sqrt(n). None when the value lies
        on the limit (no number of rows would do) or the interval is unbounded.
        """
        gap = self.value - limit
        reach = self.value - self.low if gap > 0 else self.high - self.value
        if math.isclose(self.value, limit, rel_tol=1e-12, abs_tol=1e-12) or not math.isfinite(reach):
            return None
        if reach <= abs(gap):
            return self.n
        needed = self.n * (reach / abs(gap)) ** 2
        return math.ceil(needed) if needed < 1e15 else None
