"""slice_threshold: every slice by its interval, Holm before a FAIL, missing and small slices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from decided import brief, by_group, check, decide, lints

from gates.evidence import Evidence
from gates.stats.proportion import wilson
from gates.verdict import Status

GOOD = (90, 10, 10, 90)
RECALL: dict[str, Any] = {"metric": "recall", "by": ["g"], "min": 0.7}


def judged(*, required: Any = None, **groups: tuple[int, int, int, int]) -> tuple[Status, str, int | None]:
    more: dict[str, Any] = {} if required is None else {"required": required}
    found = decide("slice_threshold", Evidence(candidate=by_group(**groups)), **RECALL, **more)
    return (*brief(found), found.n_needed)


def test_every_slice_clears_or_one_is_named() -> None:
    assert judged(a=GOOD, b=(85, 15, 10, 90)) == (
        Status.PASS,
        "All 2 slices clear the limit; the closest: recall where g is b is 0.85, interval 0.767164 to 0.90694 (n = "
        "100): all of it is at least 0.7.",
        None,
    )
    assert judged(a=GOOD, b=(50, 50, 10, 90)) == (
        Status.FAIL,
        "recall where g is b is 0.5, interval 0.403832 to 0.596168 (n = 100): all of it is below 0.7.",
        None,
    )
    # ((0.75 - 0.656955) / 0.05)^2 * 100 = 346.3
    assert judged(a=GOOD, b=(75, 25, 10, 90)) == (
        Status.INCONCLUSIVE,
        "recall where g is b is 0.75, interval 0.656955 to 0.824548 (n = 100) straddles 0.7; about n = 347 would "
        "decide.",
        347,
    )


def test_small_missing_and_empty_slices() -> None:
    assert judged(a=GOOD, b=(20, 0, 0, 5)) == (
        Status.INCONCLUSIVE, "recall where g is b has 25 rows, fewer than 30.", 30,
    )  # fmt: skip
    assert judged(a=GOOD, b=(85, 15, 10, 90), required={"g": ["a", "c"]}) == (
        Status.FAIL, "The data hold no row of g=c, which the policy requires.", None,
    )  # fmt: skip
    assert judged(a=GOOD, b=(85, 15, 10, 90), required={"g": ["a", "b"]})[0] is Status.PASS
    assert judged(a=GOOD, b=(0, 0, 10, 90)) == (
        Status.ERROR, "recall where g is b: recall is undefined: no row is of the positive class.", None,
    )  # fmt: skip


def test_a_miss_among_many_slices_must_be_beyond_chance() -> None:
    """60 of 100 misses 0.7 at 95 %, not at 99.5 %, which ten slices ask; 50 of 100 does."""
    nine = {chr(97 + i): GOOD for i in range(9)}
    assert wilson(60, 100, 0.95)[1] < 0.7 < wilson(60, 100, 0.995)[1]
    assert wilson(50, 100, 0.995)[1] < 0.7
    assert judged(**nine, z=(60, 40, 10, 90))[:2] == (
        Status.INCONCLUSIVE,
        "recall where g is z misses the limit, but not beyond what 10 slices show by chance (Holm).",
    )
    assert judged(**nine, z=(50, 50, 10, 90))[0] is Status.FAIL
    assert judged(z=(60, 40, 10, 90))[0] is Status.FAIL  # alone it is


def test_holm_steps_down() -> None:
    """Of ten, nine are plainly rejected; then the tenth stands alone and is judged at 95 %."""
    nine = {chr(97 + i): (20, 80, 10, 90) for i in range(9)}
    found = decide("slice_threshold", Evidence(candidate=by_group(**nine, z=(60, 40, 10, 90))), **RECALL)
    assert found.status is Status.FAIL
    assert "And 5 more." in found.reason  # ten failed, five are told


def test_combinations_are_slices_too() -> None:
    whole = by_group(a=(50, 0, 0, 50), b=(50, 0, 0, 50))
    side = (whole.groups["g"] == "a") == (whole.target == 1)
    data = Evidence(candidate=replace(whole, groups={**whole.groups, "h": side}))
    asked: dict[str, Any] = {"metric": "accuracy", "by": ["g", "h"], "min": 0.5, "min_slice_samples": 60}
    assert decide("slice_threshold", data, **asked).status is Status.PASS
    apart = decide("slice_threshold", data, intersect=True, **asked)
    assert apart.status is Status.INCONCLUSIVE
    assert "accuracy where g and h is a and False has 50 rows, fewer than 60." in apart.reason


def test_what_cannot_be_sliced_is_an_error() -> None:
    assert brief(decide("slice_threshold", Evidence(), **RECALL)) == (Status.ERROR, "No predictions were given.")
    other: dict[str, Any] = {**RECALL, "by": ["h"]}
    assert brief(decide("slice_threshold", Evidence(candidate=by_group(a=GOOD)), **other)) == (
        Status.ERROR,
        "The predictions have no column 'h' to slice by.",
    )


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"metric": "recal", "by": ["g"], "min": 0.5}, ("metric", "unknown metric 'recal'; did you mean 'recall'?")),
        ({"metric": "recall", "by": ["g"]}, ("metric", "nothing is required; write `min` or `max`")),
        ({**RECALL, "by": ["g", "g"]}, ("by", "a column is named twice; name it once")),
        ({**RECALL, "required": {"h": ["a"]}}, ("required", "'h' is not in `by`; add it there or remove it here")),
        ({**RECALL, "required": {"g": []}}, ("required", "'g' names no value; list them or remove it")),
        ({**RECALL, "metric": "accuracy", "average": "macro"}, ("average", "accuracy takes no average; leave it out")),
    ],
)
def test_lint(raw: dict[str, Any], said: tuple[str, str]) -> None:
    assert lints("slice_threshold", **raw) == [said]
    assert "in every slice by g" in check("slice_threshold", **RECALL).explain()
