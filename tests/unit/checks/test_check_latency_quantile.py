"""latency_quantile: order statistics when all is measured, an anytime-valid share of slow answers before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from decided import brief, check, decide, lints

from gates.evidence import Evidence
from gates.verdict import Status

P95: dict[str, Any] = {"signal": "t", "q": 0.95, "max_ms": 100.0}


def measured(*parts: tuple[int, float], final: bool = True) -> Evidence:
    """So many values of each size."""
    return Evidence(samples={"t": np.concatenate([np.full(n, value) for n, value in parts])}, final=final)


@pytest.mark.parametrize(
    ("evidence", "raw", "status", "reason", "needed"),
    [
        (measured((59, 50.0)), {}, Status.PASS,
         "q0.95 of t is 50, interval 50 to 50 (n = 59): all of it is at most 100.", None),
        (measured((58, 50.0)), {}, Status.INCONCLUSIVE,
         "q0.95 of t is 50, interval 50 to inf (n = 58) straddles 100; it takes at least n = 59.", 59),
        (measured((50, 50.0), (50, 150.0)), {}, Status.FAIL,
         "q0.95 of t is 150, interval 150 to 150 (n = 100): all of it is above 100.", None),
        (measured((59, 50.0)), {"min_samples": 200}, Status.INCONCLUSIVE,
         "59 rows are fewer than the 200 that the policy wants; q0.95 of t is 50, interval 50 to 50 (n = 59): all of "
         "it is at most 100.", 200),
    ],
)  # fmt: skip
def test_finished(evidence: Evidence, raw: dict[str, Any], status: Status, reason: str, needed: int | None) -> None:
    found = decide("latency_quantile", evidence, **P95, **raw)
    assert (*brief(found), found.n_needed) == (status, reason, needed)


def test_the_bounds_of_a_hundred_values() -> None:
    """Of 1..100, P(X <= 98) = 0.9629 for Bin(100, 0.95) and P(X <= 90) = 0.0282: the bounds are the 91st and 99th."""
    found = decide("latency_quantile", Evidence(samples={"t": np.arange(1.0, 101)}), **{**P95, "max_ms": 96.0})
    assert (found.observed, found.interval) == (95.0, (91.0, 99.0))
    assert found.n_needed == 1600  # (4 / 1)^2 * 100
    at = decide("latency_quantile", Evidence(samples={"t": np.arange(1.0, 101)}), **{**P95, "max_ms": 99.0})
    assert at.status is Status.PASS
    over = decide("latency_quantile", Evidence(samples={"t": np.arange(1.0, 101)}), **{**P95, "max_ms": 90.9})
    assert over.status is Status.FAIL


@pytest.mark.parametrize(
    ("evidence", "raw", "status", "reason", "needed"),
    [
        (measured((113, 50.0), final=False), {}, Status.INCONCLUSIVE,
         "0 of 113 values of t are over 100 ms; keep watching.", 114),
        (measured((114, 50.0), final=False), {}, Status.PASS,
         "0 of 114 values of t are over 100 ms: less than a share of 0.05, at any look.", None),
        (measured((400, 50.0), final=False), {"min_samples": 500}, Status.INCONCLUSIVE,
         "0 of 400 values of t are over 100 ms; keep watching.", 500),
        (measured((20, 50.0), (20, 150.0), final=False), {}, Status.FAIL,
         "20 of 40 values of t are over 100 ms: more than a share of 0.05, at any look.", None),
        (measured((40, 100.0), final=False), {}, Status.INCONCLUSIVE,
         "0 of 40 values of t are over 100 ms; keep watching.", 114),
    ],
)  # fmt: skip
def test_live(evidence: Evidence, raw: dict[str, Any], status: Status, reason: str, needed: int | None) -> None:
    found = decide("latency_quantile", evidence, **P95, **raw)
    assert (*brief(found), found.n_needed) == (status, reason, needed)


@pytest.mark.parametrize(
    ("evidence", "status", "reason"),
    [
        (Evidence(), Status.ERROR, "'t' was not measured."),
        (Evidence(samples={"t": np.array([])}), Status.ERROR, "'t' holds no value."),
        (Evidence(samples={"t": np.array([])}, final=False), Status.INCONCLUSIVE, "Nothing was measured yet."),
        (Evidence(samples={"t": np.array([-1.0])}), Status.ERROR, "'t' holds what is no time in milliseconds."),
        (Evidence(samples={"t": np.array([np.nan])}), Status.ERROR,
         "'t' holds 1 values that are missing or not finite."),
    ],
)  # fmt: skip
def test_what_was_not_measured(evidence: Evidence, status: Status, reason: str) -> None:
    assert brief(decide("latency_quantile", evidence, **P95)) == (status, reason)


def test_lint_and_words() -> None:
    assert lints("latency_quantile", **P95) == []
    assert lints("latency_quantile", min_samples=50, **P95) == [
        ("min_samples", "50 can never pass: q 0.95 needs at least 59 at 95 %")
    ]
    assert lints("latency_quantile", **{**P95, "max_ms": float("inf")}) == [
        ("max_ms", "write a finite number of milliseconds")
    ]
    assert "takes at least 299 values" in check("latency_quantile", **{**P95, "q": 0.99}).explain()
