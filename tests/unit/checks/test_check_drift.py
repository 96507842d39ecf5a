"""The drift check: fails on drift, passes on calm, and refuses what it cannot judge."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from gates.checks.drift import Drift, Effect
from gates.checks.spec import Settings
from gates.drift.found import ColumnDrift
from gates.evidence import Evidence
from gates.verdict import CheckResult, Status

CALM = ColumnDrift("x", "numeric", 5000, 4000, ks=0.01, p=0.4, psi=0.001, psi_raw=0.004, w1=0.1, js=0.01)
SETTINGS = Settings()


def columns(*states: str) -> tuple[ColumnDrift, ...]:
    kinds: dict[str, dict[str, Any]] = {"calm": {}, "drift": {"psi": 0.5, "p": 0.0}, "few": {"n_cur": 50}}
    return tuple(replace(CALM, name=f"c{i}", **kinds[state]) for i, state in enumerate(states))


def check(**options: Any) -> Drift:
    return Drift(id="features", **options)


def judged(found: tuple[ColumnDrift, ...] | None, importances: Any = None, **options: Any) -> CheckResult:
    return check(**options).decide(Evidence(drift=found, importances=importances), SETTINGS)


def test_the_share_of_drifted_columns_decides() -> None:
    found = columns("drift", "calm", "calm", "calm", "calm")
    failed, passed = judged(found), judged(found, max_drifted_share=0.2)
    assert failed.status is Status.FAIL
    assert failed.reason == "1 of 5 columns drifted: c0 (PSI 0.5 over 0.2)"
    assert (failed.observed, failed.n) == (0.2, 4000)
    assert passed.status is Status.PASS
    assert failed.required["psi_max"] == 0.2


def test_undecided_columns_count_as_what_could_be() -> None:
    assert judged(columns("calm", "few")).status is Status.INCONCLUSIVE
    assert judged(columns("calm", "few")).n_needed == 100
    assert judged(columns("drift", "few")).status is Status.FAIL
    assert judged(columns("calm", "calm", "calm", "few"), max_drifted_share=0.25).status is Status.PASS
    assert judged(columns("few"), max_drifted_share=0.99).status is Status.INCONCLUSIVE
    assert judged(columns("few", "few"), weights={"c0": 0.0, "c1": 1.0}).status is Status.INCONCLUSIVE


@pytest.mark.parametrize(
    ("found", "options", "reason"),
    [
        (None, {}, "no comparison"),
        ((), {}, "no column was compared"),
        (columns("calm"), {"columns": ["c0", "gone"]}, "not compared: gone"),
        (columns("calm"), {"columns": []}, "none is listed"),
        (columns("calm"), {"weights": "importance"}, "needs the model's importances"),
        (columns("calm"), {"weights": {"other": 1.0}}, "weigh nothing"),
        (columns("calm"), {"weights": {"c0": math.nan}}, "not a number of 0 or more"),
    ],
)
def test_what_cannot_be_judged_is_an_error(found: Any, options: dict[str, Any], reason: str) -> None:
    result = judged(found, **options)
    assert result.status is Status.ERROR
    assert reason in result.reason


def test_no_evidence_of_any_column_never_passes() -> None:
    broken = {"ks": math.nan, "psi": math.nan, "p": math.nan}
    for changes in (broken, {"n_cur": 0}, {"n_ref": 0, "n_cur": 0}, {"p": None}, {"ks": None, "psi": None}):
        result = judged((replace(CALM, **changes),))
        assert result.status is not Status.PASS, changes


def test_only_listed_columns_count() -> None:
    found = columns("drift", "calm")
    assert judged(found, columns=["c1"]).status is Status.PASS
    assert judged(found, columns=["c0"]).status is Status.FAIL
    assert [d.name for d in check(columns=["c1"]).decisions(Evidence(drift=found))] == ["c1"]
    assert check().decisions(Evidence()) == ()


def test_importances_weigh_the_columns() -> None:
    found = columns("drift", "calm")
    options: dict[str, Any] = {"weights": "importance", "max_drifted_share": 0.3}
    assert judged(found, importances={"c0": 0.1, "c1": 0.9}, **options).status is Status.PASS
    assert judged(found, importances={"c0": 0.9, "c1": 0.1}, **options).status is Status.FAIL
    needs = check(weights="importance", columns=["c0"]).needs()
    assert [(n.kind, n.columns) for n in needs] == [("drift", ("c0",)), ("explanations", ())]


def test_the_policy_of_the_design_parses() -> None:
    raw = {
        "type": "drift",
        "id": "features",
        "columns": "all",
        "effect": {"psi_max": 0.2, "ks_max": 0.1},
        "fdr_q": 0.05,
        "max_drifted_share": 0.2,
        "min_samples": 100,
    }
    parsed = msgspec.convert(raw, Drift)
    assert parsed.max_drifted_share == 0.2
    assert list(parsed.lint()) == []
    one = msgspec.convert({"type": "drift", "id": "p", "columns": ["prediction"], "effect": {"psi_max": 0.1}}, Drift)
    assert one.effect.ks_max is None
    assert list(one.lint()) == []
    with pytest.raises(msgspec.ValidationError, match="psi_maximum"):
        msgspec.convert({**raw, "effect": {"psi_maximum": 0.2}}, Drift)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"effect": Effect()}, "effect"),
        ({"effect": Effect(psi_max=-0.1)}, "effect"),
        ({"effect": Effect(psi_max=math.nan)}, "effect"),
        ({"effect": Effect(psi_max=0.2, tail_max=-0.1)}, "effect"),
        ({"effect": Effect(ks_max=0.1)}, "effect"),
        ({"effect": Effect(psi_max=0.1, ks_max=1.0)}, "ks_max"),
        ({"fdr_q": 0.0}, "fdr_q"),
        ({"max_drifted_share": 1.0}, "max_drifted_share"),
        ({"columns": []}, "columns"),
        ({"columns": ["a", "a"]}, "columns"),
        ({"weights": {"a": -1.0}}, "weights"),
        ({"weights": {"a": 0.0}}, "weights"),
    ],
)
def test_lint_names_what_can_never_work(options: dict[str, Any], key: str) -> None:
    assert key in [k for k, _ in check(**options).lint()]


def test_explain_says_the_limits() -> None:
    said = check(max_drifted_share=0.2).explain()
    assert "PSI of at most 0.2" in said
    assert "20%" in said
    assert "beyond the reference's middle 90 % of at most 0.05" in said
    assert "move by 0.25 standard deviations" in said
    assert "standard deviations" not in check(effect=Effect(psi_max=0.2)).explain()
    assert "middle" not in check(effect=Effect(psi_max=0.2, tail_max=None)).explain()
    assert "\n" not in said


def test_training_data_have_no_reference_before_the_first_champion() -> None:
    """SKIPPED only where the policy says bootstrap and the champion's profile is what is missing; never for another."""
    bootstrap, absent = Settings(champion_when_absent="bootstrap"), Evidence(reference_absent=True)
    skipped = check().decide(absent, bootstrap)
    assert (skipped.status, skipped.reason) == (
        Status.SKIPPED,
        "There is no champion yet to have a profile, and the policy says bootstrap: not compared.",
    )
    assert check().decide(absent, Settings()).status is Status.ERROR
    assert check().decide(Evidence(champion_absent=True), bootstrap).status is Status.ERROR
    assert check().decide(replace(absent, drift=()), bootstrap).status is Status.ERROR
