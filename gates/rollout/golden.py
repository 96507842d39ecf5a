"""Whether a served answer is the one that was gated.

A golden row is a request with the gated prediction. Equal means: strict JSON, the same shape, the same labels, numbers
within an absolute and the same relative tolerance; NaN equals nothing.
"""

from __future__ import annotations

import json
import math
from typing import Any


def differs(body: bytes, expected: Any, *, atol: float) -> str:
    """Why `body` is not `expected`, or '' when it is. Never raises."""
    try:
        served = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return f"the answer is not JSON: {body[:80]!r}"
    return _compare(served, expected, atol, "answer")


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _compare(served: Any, expected: Any, atol: float, where: str) -> str:
    if isinstance(expected, dict) and isinstance(served, dict):
        if set(served) != set(expected):
            return f"{where} has the keys {sorted(served)}, not {sorted(expected)}"
        pairs = [(served[key], expected[key], f"{where}.{key}") for key in expected]
    elif isinstance(expected, (list, tuple)) and isinstance(served, list):
        if len(served) != len(expected):
            return f"{where} has {len(served)} entries, not {len(expected)}"
        pairs = [(got, want, f"{where}[{i}]") for i, (got, want) in enumerate(zip(served, expected, strict=True))]
    else:
        return "" if _same(served, expected, atol) else f"{where} is {served!r}, not {expected!r}"
    return next((why for got, want, place in pairs if (why := _compare(got, want, atol, place))), "")


def _same(served: Any, expected: Any, atol: float) -> bool:
    if isinstance(served, bool) or isinstance(expected, bool):
        return served is expected
    if isinstance(served, (int, float)) and isinstance(expected, (int, float)):
        return math.isclose(served, expected, rel_tol=atol, abs_tol=atol)
    return type(served) is type(expected) and bool(served == expected)
