"""How far a mirrored answer is from the live one."""

from __future__ import annotations

import pytest

from gates.backends.local.endpoint.differences import LONGEST, distance
from gates.serving import MAX_DISTANCE


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        (b"[0.25, 0.75]", b"[0.25, 0.75]", 0.0),
        (b"[0.25, 0.75]", b"[0.20, 0.80]", 0.05),
        (b'{"y": [1, 2], "v": "a"}', b'{"v": "a", "y": [1, 2.5]}', 0.5),
        (b'{"y": 1, "v": "a"}', b'{"y": 1, "v": "b"}', MAX_DISTANCE),
        (b"[1, 2]", b"[1]", MAX_DISTANCE),
        (b"[1]", b"[true]", MAX_DISTANCE),
        (b"[1]", b'["1"]', MAX_DISTANCE),
        (b"[null]", b"[0]", MAX_DISTANCE),
        (b'{"a": 1}', b'{"b": 1}', MAX_DISTANCE),
        (b"yes", b"no", MAX_DISTANCE),
        (b"yes", b"yes", 0.0),
        (b"[NaN]", b"[1]", MAX_DISTANCE),
        (b"[1e308]", b"[-1e308]", MAX_DISTANCE),
        (b"[%d]" % 10**400, b"[1]", MAX_DISTANCE),
        (b"[" * 3000 + b"1" + b"]" * 3000, b"[" * 3000 + b"2" + b"]" * 3000, MAX_DISTANCE),
        (b"", b"[]", MAX_DISTANCE),
    ],
)
def test_what_is_apart(one: bytes, other: bytes, apart: float) -> None:
    assert distance(one, other) == pytest.approx(apart)
    assert distance(other, one) == pytest.approx(apart)


def test_a_long_answer_is_not_compared() -> None:
    assert distance(b"1" * (LONGEST + 1), b"1") is None
