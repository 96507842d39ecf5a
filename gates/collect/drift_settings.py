"""What the texts of drift-check's inputs mean: a window of time, a size in memory, a number of rows.

A text that means nothing is InvalidInput, said before any data is touched.
"""

from __future__ import annotations

import re

from gates.errors import InvalidInput
from gates.inputs import duration

_SIZES = {"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30, "TiB": 2.0**40}
LEAST = 1_000_000
"""Bytes below which every column would be cut into crumbs."""


def size(text: str) -> int:
    """Bytes of `512MB`, `2GB`, `1.5GiB`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]i?B)", text.strip())
    if match is None or match[2] not in _SIZES:
        raise InvalidInput(f"--memory: '{text[:60]}' is no size", hint="write e.g. 512MB or 2GB")
    found = int(float(match[1]) * _SIZES[match[2]])
    if found < LEAST:
        raise InvalidInput(f"--memory: '{text[:60]}' is too little", hint="write 1MB or more")
    return found


def window(text: str, time_column: str) -> str | tuple[str | None, str | None] | None:
    """`7d` as it is, `FROM..UNTIL` as a pair (an end may be left open); None when there is none."""
    if not text:
        return None
    if not time_column:
        raise InvalidInput(f"--window: '{text[:60]}' needs a time column", hint="give --time-column")
    if ".." in text:
        start, _, stop = (part.strip() for part in text.partition(".."))
        if not start and not stop:
            raise InvalidInput("--window: '..' has no end", hint="write e.g. 2026-01-01..2026-02-01")
        return start or None, stop or None
    duration(text, "--window")
    return text


def rows(number: float | None) -> int | None:
    """A whole number of rows, at least 1; None when none is given."""
    if number is None:
        return None
    if number != int(number) or number < 1:
        raise InvalidInput(f"--sample: {number:g} is no number of rows", hint="write a whole number of 1 or more")
    return int(number)
