"""Deciding: effect and significance together, undecided is never stable, and every reason to retrain is said."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gates.drift.decide import COLUMN_KEYS, decide, retrain, share
from gates.drift.found import ColumnDrift

CALM = ColumnDrift("x", "numeric", 5000, 5000, ks=0.01, p=0.4, psi=0.001, psi_raw=0.004, w1=0.1, js=0.01)


def column(name: str = "x", **changes: Any) -> ColumnDrift:
    return replace(CALM, name=name, **changes)


def test_drift_needs_effect_and_significance() -> None:
    cases = [
        (column(), False),
        (column(psi=0.25, p=1e-9), True),
        (column(ks=0.11, p=1e-9), True),
        (column(psi=0.25, p=0.2), False),
        (column(psi=0.19, ks=0.09, p=1e-300), False),
    ]
    for found, drifted in cases:
        (decision,) = decide([found])
        assert decision.drifted is drifted, decision
    assert "not beyond chance" in decide([column(psi=0.25, p=0.2)])[0].why


def test_many_null_columns_raise_few_alarms() -> None:
    rng = np.random.default_rng(0)
    alarms = naive = 0
    for _ in range(300):
        ps = rng.random(50)
        columns = [column(f"c{i}", p=float(p), psi=0.25) for i, p in enumerate(ps)]
        alarms += any(d.drifted for d in decide(columns, fdr_q=0.05))
        naive += bool((ps < 0.05).any())
    assert alarms / 300 < 0.10
    assert naive / 300 > 0.85


def test_severity_and_action() -> None:
    high, medium, none = decide([column(psi=0.31, p=0.0), column(psi=0.21, p=0.0), column()])
    assert (high.severity, medium.severity, none.severity) == ("high", "medium", "none")
    assert "feed" in high.action
    assert none.action == "none"
    fresh = column(kind="categorical", psi=0.4, ks=None, p=0.0, new_share=0.1)
    assert "new categories" in decide([fresh])[0].action


def test_tails_drift_on_their_own_and_either_way() -> None:
    for difference in (0.07, -0.07):
        found = column(tail_difference=difference, tail_p=1e-30)
        (decision,) = decide([found])
        assert (decision.drifted, decision.severity) == (True, "medium")
        assert decision.why == "share beyond the reference's middle 90 % differs by 0.07 over 0.05"
        assert decision.action == "check the upstream feed: values scatter otherwise, then retrain"
        assert decision.to_json()["tail"] == difference
        assert decide([found], tail_max=None)[0].drifted is False
        assert decide([replace(found, tail_p=0.3)])[0].drifted is False
    assert decide([column(tail_difference=0.05, tail_p=1e-30)])[0].drifted is False
    both = decide([column(tail_difference=0.07, tail_p=1e-30, ks=0.4, p=0.0)])[0]
    assert both.action == "check the upstream feed, then retrain"
    assert "tail" not in decide([CALM])[0].to_json()


def test_an_effect_that_is_not_judged_makes_no_other_less_significant() -> None:
    """Five tests of which one has p = 0.03: with the other four beside it, it is not significant."""
    others: dict[str, Any] = {"tail_difference": 0.0, "tail_p": 0.9, "missing_difference": 0.0, "missing_p": 0.9}
    columns = [column(p=0.03, ks=0.2, **others)]
    assert decide(columns)[0].drifted is False
    assert decide(columns, tail_max=None)[0].drifted is False
    assert decide(columns, tail_max=None, missing_max=None)[0].q == 0.03
    assert decide(columns, tail_max=None, missing_max=None)[0].drifted is True


def test_tails_alone_decide_nothing_of_a_column_that_was_not_compared() -> None:
    found = ColumnDrift("x", "numeric", 5000, 5000, tail_difference=0.0, tail_p=0.9, reason="no limit fits")
    assert decide([found])[0].drifted is None
    tested = replace(found, p=0.4)  # and tested, but by no effect that the limits judge
    assert decide([tested])[0].drifted is None


def test_exactly_as_many_values_as_needed_are_enough() -> None:
    assert decide([column(n_ref=100, n_cur=100)])[0].drifted is False
    assert decide([column(n_ref=100, n_cur=99)])[0].drifted is None


def test_missing_values_drift_on_their_own() -> None:
    found = column(missing_difference=0.2, missing_p=1e-30)
    (decision,) = decide([found])
    assert decision.drifted is True
    assert decision.why == "missing share differs by 0.2 over 0.05"
    assert decide([found], missing_max=None)[0].drifted is False
    gone = ColumnDrift("x", "numeric", 5000, 0, 0, 5000, missing_difference=1.0, missing_p=0.0, reason="no value")
    assert decide([gone])[0].drifted is True


def test_too_few_values_are_undecided_with_the_number_needed() -> None:
    (decision,) = decide([column(n_cur=99)], min_samples=100)
    assert (decision.drifted, decision.n_needed) == (None, 100)
    assert "99 values of 100" in decision.why
    assert decide([column(n_cur=99, psi=0.5, p=1e-9)])[0].drifted is True


@pytest.mark.parametrize(
    "found",
    [
        column(ks=None, p=None, psi=None, reason="nothing"),
        column(p=None),
        column(p=math.nan),
        column(psi=math.nan, ks=math.nan),
        column(psi=None, ks=None),
    ],
)
def test_what_could_not_be_computed_is_undecided(found: ColumnDrift) -> None:
    assert decide([found])[0].drifted is None


def test_a_limit_that_does_not_fit_the_column_leaves_it_undecided() -> None:
    category = column(kind="categorical", ks=None)
    assert decide([category], psi_max=None, ks_max=0.1)[0].drifted is None
    assert decide([category], psi_max=0.2, ks_max=0.1)[0].drifted is False


def test_json_has_exactly_the_keys_of_the_report_and_finite_numbers() -> None:
    (decision,) = decide([column(ks=math.inf, w1=math.nan)])
    row = decision.to_json()
    assert tuple(row) == COLUMN_KEYS
    assert (row["ks"], row["w1"], row["chi2"], row["q"]) == (None, None, None, 0.4)
    assert row["drifted"] is False


def test_shares_are_weighted_and_bounded_by_the_undecided() -> None:
    columns = [column("a", psi=0.5, p=0.0), column("b"), column("c", n_cur=1)]
    found = share(decide(columns))
    assert found is not None
    assert found.drifted == pytest.approx(1 / 3)
    assert found.at_most == pytest.approx(2 / 3)
    weighed = share(decide(columns, weights={"a": 3.0, "b": 1.0}))
    assert weighed is not None
    assert (weighed.drifted, weighed.at_most) == (0.75, 0.75)
    assert share(()) is None
    assert share(decide(columns, weights={"z": 1.0})) is None


def test_retrain_says_every_reason() -> None:
    decisions = decide([column("a", psi=0.5, p=0.0), column("b")])
    policy: dict[str, Any] = {"on_drift": True, "on_performance_drop": 0.03, "on_age": 30 * 86400.0}
    calm = retrain(decisions, drift_verdict="PASS", performance_delta=-0.02, model_age=86400.0, **policy)
    assert (calm.decide, calm.reason) == (False, None)
    loud = retrain(decisions, drift_verdict="FAIL", performance_delta=-0.03, model_age=31 * 86400.0, **policy)
    assert loud.decide
    assert loud.reason == (
        "drift: 1 of 2 columns drifted (a); performance: dropped by 0.03, limit 0.03; age: 31.0 days, limit 30.0"
    )
    assert retrain(decisions, on_drift=True).decide
    assert not retrain(decisions, on_drift=False, performance_delta=-1.0, model_age=1e12).decide
    assert retrain((), performance_delta=math.nan, **policy).reason == "performance: the difference is NaN"
    assert retrain((), model_age=math.nan, **policy).decide
    assert retrain((), model_age=30 * 86400.0, **policy).decide
    assert retrain(decisions, drift_verdict="FAIL", **policy).to_json()["decide"] is True
