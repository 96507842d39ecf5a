"""How far a mirrored answer is from the one that the customer got."""

from __future__ import annotations

from typing import Any

import msgspec

from gates.serving import MAX_DISTANCE

LONGEST = 262_144
"""Answers of more bytes are not compared: the router has requests to serve."""


def distance(one: bytes, other: bytes) -> float | None:
    """The largest difference between the numbers of two JSON answers; MAX_DISTANCE where anything else differs.

    None: not compared, for their length. What is not JSON is compared byte by byte.
    """
    if max(len(one), len(other)) > LONGEST:
        return None
    if one == other:
        return 0.0
    try:
        return _apart(msgspec.json.decode(one), msgspec.json.decode(other))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return MAX_DISTANCE


def _apart(one: Any, other: Any) -> float:
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return max((_apart(a, b) for a, b in zip(one, other, strict=True)), default=0.0)
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return max((_apart(one[key], other[key]) for key in one), default=0.0)
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (one, other))
    if numbers:
        try:
            return min(abs(float(one) - float(other)), MAX_DISTANCE)
        except OverflowError:  # an integer beyond every float
            return 0.0 if one == other else MAX_DISTANCE
    return 0.0 if type(one) is type(other) and one == other else MAX_DISTANCE
