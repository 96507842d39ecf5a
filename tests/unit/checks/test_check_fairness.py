"""fairness: gaps of rates between groups on simultaneous intervals, groups that lack, the change from a champion."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from decided import BOOTSTRAP, brief, by_group, decide, lints

from gates.evidence import Evidence
from gates.stats.proportion import newcombe
from gates.verdict import Status

EVEN = (150, 50, 150, 650)  # 300 of 1,000 selected
FAIR = Evidence(candidate=by_group(a=EVEN, b=EVEN))
GAP: dict[str, Any] = {"metric": "demographic_parity_difference", "sensitive": ["g"], "max": 0.1}


@pytest.mark.parametrize(
    ("a", "status", "interval", "said"),
    [
        (EVEN, Status.PASS, (0.0, 0.0401196), "is 0, interval 0 to 0.0401196 (n = 2000): all of it is at most 0.1."),
        ((300, 50, 300, 350), Status.FAIL, (0.2576903, 0.3407051),
         "is 0.3, interval 0.25769 to 0.340705 (n = 2000): all of it is above 0.1."),
        ((200, 50, 200, 550), Status.INCONCLUSIVE, (0.0582422, 0.1412710),
         "is 0.1, interval 0.0582422 to 0.141271 (n = 2000) straddles 0.1; no number of rows is known to decide."),
    ],
)  # fmt: skip
def test_a_gap_of_two_groups_has_newcombes_interval(
    a: tuple[int, int, int, int], status: Status, interval: tuple[float, float], said: str
) -> None:
    found = decide("fairness", Evidence(candidate=by_group(a=a, b=EVEN)), **GAP)
    assert brief(found) == (status, f"demographic_parity_difference by g (selection: a against b) {said}")
    assert found.interval == pytest.approx(interval, abs=1e-7)
    low, high = newcombe(a[0] + a[2], 1000, 300, 1000, 0.95)
    assert found.interval == pytest.approx((max(0.0, low), high), abs=1e-9)


def test_more_pairs_widen_the_interval() -> None:
    """Three groups are three pairs: each is judged at 1 - 0.05 / 3."""
    found = decide("fairness", Evidence(candidate=by_group(a=(200, 50, 200, 550), b=EVEN, c=EVEN)), **GAP)
    low, high = newcombe(400, 1000, 300, 1000, 1 - 0.05 / 3)
    assert found.interval == pytest.approx((low, high), abs=1e-9)
    both = decide("fairness", Evidence(candidate=by_group(a=(180, 20, 100, 700), b=(100, 100, 100, 700))),
                  metric="equalized_odds_difference", sensitive=["g"], max=0.1)  # fmt: skip
    assert both.interval == pytest.approx(newcombe(180, 200, 100, 200, 1 - 0.05 / 2), abs=1e-9)
    assert "(tpr: a against b) is 0.4" in both.reason


def test_a_ratio_has_a_least_value() -> None:
    asked: dict[str, Any] = {"metric": "demographic_parity_ratio", "sensitive": ["g"], "min": 0.8}
    large = (300, 100, 300, 1300)
    assert decide("fairness", Evidence(candidate=by_group(a=large, b=large)), **asked).status is Status.PASS
    found = decide("fairness", Evidence(candidate=by_group(a=(600, 100, 600, 700), b=large)), **asked)
    assert found.status is Status.FAIL
    assert found.observed == 0.5
    assert "(selection: b against a)" in found.reason


SMALL = "Groups of g with fewer than 30 rows: b (20). About n = 1530 rows would hold them."


def test_groups_that_lack() -> None:
    required = decide("fairness", FAIR, required_groups={"g": ["a", "c"]}, **GAP)
    assert brief(required) == (Status.FAIL, "The data hold no row of g=c, which the policy requires.")
    small = decide("fairness", Evidence(candidate=by_group(a=EVEN, b=(3, 2, 3, 12))), **{**GAP, "max": 1.0})
    assert brief(small) == (Status.INCONCLUSIVE, SMALL)
    assert small.n_needed == 1530
    alone = decide("fairness", Evidence(candidate=by_group(a=EVEN)), **GAP)
    assert brief(alone) == (Status.ERROR, "There is one group only, so there is nothing to compare.")
    assert brief(decide("fairness", Evidence(), **GAP)) == (Status.ERROR, "No predictions were given.")


def test_the_change_from_the_champion() -> None:
    asked: dict[str, Any] = {**GAP, "max_regression": 0.05}
    same = decide("fairness", replace(FAIR, champion=FAIR.candidate), **asked)
    assert same.status is Status.PASS
    assert "The change of demographic_parity_difference by g from the champion's is 0" in same.reason
    uneven = by_group(a=(200, 0, 300, 500), b=EVEN)
    worse = decide("fairness", Evidence(candidate=uneven, champion=FAIR.candidate), **{**asked, "max": 0.5})
    assert worse.status is Status.FAIL
    assert "from the champion's is 0.2, interval" in worse.reason
    better = decide("fairness", Evidence(candidate=FAIR.candidate, champion=uneven), **asked)
    assert better.status is Status.PASS


def test_without_a_champion() -> None:
    asked: dict[str, Any] = {**GAP, "max_regression": 0.05}
    assert brief(decide("fairness", FAIR, **asked)) == (
        Status.ERROR, "The champion's predictions are missing, and max_regression needs them.",
    )  # fmt: skip
    first = replace(FAIR, champion_absent=True)
    assert decide("fairness", first, **asked).status is Status.ERROR
    found = decide("fairness", first, BOOTSTRAP, **asked)
    assert found.status is Status.PASS
    assert found.reason.endswith("There is no champion yet (bootstrap): regression not judged.")


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({**GAP, "min": 0.1}, ("min", "demographic_parity_difference is limited by `max`, not by `min`")),
        ({**GAP, "max": None}, ("metric", "nothing is required; write `max`")),
        ({**GAP, "max": 0.0}, ("max", "max 0 can never decide; write a number between 0 and 1")),
        ({**GAP, "max_regression": float("inf")}, ("max_regression", "write a finite number of at least 0")),
        ({**GAP, "required_groups": {"h": ["a"]}},
         ("required_groups", "'h' is not in `sensitive`; add it there or remove it here")),
    ],
)  # fmt: skip
def test_lint(raw: dict[str, Any], said: tuple[str, str]) -> None:
    assert lints("fairness", **raw) == [said]
    assert lints("fairness", **GAP) == []
