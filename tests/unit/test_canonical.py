"""Canonical JSON: RFC 8785's own examples, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from gates.canonical import canonical, digest
from gates.errors import InvalidInput


def test_the_example_of_rfc_8785_section_3_2() -> None:
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": '€$\u000f\u000aA\'B"\\\\"/',
        "literals": [None, True, False],
    }
    expected = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert canonical(value) == expected.encode()


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), 2**53 + 1, {1: 2}, {"a": object()}, b"x", {1, 2}])
def test_what_json_cannot_say_is_an_error(value: Any) -> None:
    with pytest.raises(InvalidInput, match="canonical JSON"):
        canonical(value)


def test_a_value_that_holds_itself_is_an_error() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(InvalidInput):
        canonical(value)


def test_digest_ignores_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest({}) == "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
