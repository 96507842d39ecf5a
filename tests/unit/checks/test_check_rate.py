"""rate: two e-processes. Against bad = 2 % without an error 196 requests reach 1/0.05."""

from __future__ import annotations

import math
from typing import Any

import pytest
from decided import brief, check, decide, lints
from scipy import integrate, stats

from gates.evidence import Counted, Evidence
from gates.stats import sequential
from gates.verdict import Status

RATE: dict[str, Any] = {"signal": "s", "ok": 0.01, "bad": 0.02}


@pytest.mark.parametrize(
    ("bad", "n", "status", "reason", "needed"),
    [
        (0, 195, Status.INCONCLUSIVE, "0 of 195 requests are s: neither over 0.01 nor under 0.02 is shown.", 196),
        (0, 196, Status.PASS, "0 of 196 requests are s: under 0.02, wrong in at most 0.05 of runs.", None),
        (30, 300, Status.FAIL, "30 of 300 requests are s: over 0.01, wrong in at most 0.01 of runs.", None),
        (3, 3, Status.FAIL, "3 of 3 requests are s: over 0.01, wrong in at most 0.01 of runs.", None),
    ],
)
def test_either_side_speaks(bad: int, n: int, status: Status, reason: str, needed: int | None) -> None:
    for final in (True, False):
        found = decide("rate", Evidence(counts={"s": Counted(bad, n)}, final=final), **RATE)
        assert (*brief(found), found.n_needed) == (status, reason, needed)
        assert (found.observed, found.n) == (bad / n, n)


def test_the_evidence_is_the_integral_that_it_says() -> None:
    """Beta(1, 99) cut off at 0.02: the mean of the likelihood ratio over rates below bad."""
    prior = stats.beta(1, 99)
    for bad, n in ((0, 196), (3, 300)):

        def weighed(p: float, bad: int = bad, n: int = n) -> float:
            return float(prior.pdf(p)) * (p / 0.02) ** bad * ((1 - p) / 0.98) ** (n - bad)

        mean = integrate.quad(weighed, 0, 0.02)[0] / float(prior.cdf(0.02))
        assert sequential.below(bad, n, 0.02) == pytest.approx(math.log(mean), abs=1e-7)


def test_the_requests_that_would_decide() -> None:
    """3 of 300 is 1 %: at that share 1,392 requests (about 14 errors) show it to be under 2 %."""
    found = decide("rate", Evidence(counts={"s": Counted(3, 300)}), **RATE)
    assert found.status is Status.INCONCLUSIVE
    assert found.n_needed is not None
    n = found.n_needed
    assert sequential.below(round(n / 100), n, 0.02) >= math.log(20) > sequential.below(round(n / 125), n // 2, 0.02)


@pytest.mark.parametrize(
    ("evidence", "status", "reason"),
    [
        (Evidence(), Status.ERROR, "'s' was not counted."),
        (Evidence(counts={"s": Counted(0, 0)}), Status.ERROR, "No request was counted for 's'."),
        (Evidence(counts={"s": Counted(0, 0)}, final=False), Status.INCONCLUSIVE, "No request was seen yet."),
        (Evidence(counts={"s": Counted(5, 3)}), Status.ERROR,
         "'s' is not a count of errors and requests: Counted(bad=5, n=3)."),
    ],
)  # fmt: skip
def test_what_was_not_counted(evidence: Evidence, status: Status, reason: str) -> None:
    assert brief(decide("rate", evidence, **RATE)) == (status, reason)


def test_lint_and_words() -> None:
    assert lints("rate", **RATE) == []
    assert lints("rate", **{**RATE, "ok": 0.03}) == [
        ("ok", "ok 0.03 must be less than bad 0.02; else both could be shown at once")
    ]
    assert "without any error that takes about 240 requests" in check("rate", **RATE).explain()
