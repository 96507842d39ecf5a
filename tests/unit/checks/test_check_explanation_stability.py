"""explanation_stability: overlap of the top features, its noise, forbidden ones, rank correlation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from decided import BOOTSTRAP, brief, check, decide, lints

from gates.checks.explanation_stability import ExplanationFacts
from gates.evidence import Evidence
from gates.verdict import Status

NAMES = ("a", "b", "c", "d", "id")
STEADY = np.tile([5.0, 4.0, 3.0, 2.0, 1.0], (40, 1))
ASKED: dict[str, Any] = {"top_k": 2, "min_overlap": 0.8}


def facts(candidate: Any, champion: Any = STEADY) -> Evidence:
    return Evidence(facts={"explanations": ExplanationFacts(NAMES, candidate, champion, "shap")})


def test_the_same_features_pass() -> None:
    found = decide("explanation_stability", facts(STEADY), **ASKED)
    assert brief(found) == (
        Status.PASS, "2 of the top 2 features are the champion's too (shap, rank correlation 1); at least 0.8 of them "
        "was asked.",
    )  # fmt: skip
    assert (found.observed, found.n) == (1.0, 40)


def test_another_feature_fails_where_the_champion_is_steady() -> None:
    """Ranks 5 2 4 3 1 against 5 4 3 2 1: the squares of the differences sum to 6, so rho = 1 - 36 / 120 = 0.7."""
    moved = np.tile([5.0, 2.0, 4.0, 3.0, 1.0], (40, 1))
    found = decide("explanation_stability", facts(moved), **ASKED)
    assert brief(found) == (
        Status.FAIL, "1 of the top 2 features are the champion's too (shap, rank correlation 0.7); the champion agrees "
        "with itself to 1 or more.",
    )  # fmt: skip
    assert found.observed == 0.5
    assert decide("explanation_stability", facts(moved), top_k=2, min_overlap=0.5).status is Status.PASS


def test_within_the_champions_own_noise_nothing_is_decided() -> None:
    rng = np.random.default_rng(1)
    noisy = np.abs(rng.normal(3.0, 2.0, (20, 5)))
    other = np.tile(np.where(noisy.mean(0) >= np.sort(noisy.mean(0))[-1], 5.0, [1.0, 4.0, 2.0, 3.0, 0.5]), (20, 1))
    found = decide("explanation_stability", facts(other, noisy), top_k=2, min_overlap=1.0)
    assert found.status is Status.INCONCLUSIVE
    assert found.reason.endswith("the champion agrees with itself no better than 0.5. Explain more rows.")


def test_the_rank_correlation_that_was_asked() -> None:
    swapped = np.tile([4.0, 5.0, 1.0, 2.0, 3.0], (40, 1))
    asked: dict[str, Any] = {**ASKED, "min_rank_correlation": 0.9}
    found = decide("explanation_stability", facts(swapped), **asked)
    assert found.status is Status.FAIL
    # differences 1, 1, 2, 0, 2: squares sum to 10, rho = 1 - 60 / 120 = 0.5
    assert found.reason.endswith("(shap, rank correlation 0.5); a correlation of 0.9 was asked.")


def test_forbidden_features_fail_without_a_champion() -> None:
    found = decide("explanation_stability", facts(STEADY[:, ::-1], None), forbidden_in_top_k=["id"], **ASKED)
    assert brief(found) == (Status.FAIL, "id is among the 2 features that matter most (shap).")


def test_the_sign_of_an_attribution_does_not_matter() -> None:
    assert decide("explanation_stability", facts(-STEADY), **ASKED).status is Status.PASS


def test_without_a_champion() -> None:
    alone = facts(STEADY, None)
    first = Evidence(facts=alone.facts, champion_absent=True)
    missing = (Status.ERROR, "The champion was not explained, so nothing can be compared.")
    assert brief(decide("explanation_stability", alone, **ASKED)) == missing
    assert brief(decide("explanation_stability", first, **ASKED)) == missing
    assert brief(decide("explanation_stability", alone, BOOTSTRAP, **ASKED)) == missing
    assert decide("explanation_stability", first, BOOTSTRAP, **ASKED).status is Status.SKIPPED


@pytest.mark.parametrize(
    ("evidence", "raw", "reason"),
    [
        (Evidence(), {}, "The model was not explained."),
        (Evidence(facts={"explanations": []}), {}, "Explanations are of the wrong type: list."),
        (facts(STEADY[:, :3]), {},
         "The candidate's attributions are float64 of the shape (40, 3), not rows of 5 features."),
        (facts(STEADY, STEADY * np.nan), {}, "The champion's attributions hold what is not a finite number."),
        (facts(STEADY * 0.0), {}, "The candidate's attributions are all 0: it looks at nothing."),
        (facts(STEADY), {"top_k": 6}, "There are 5 features, fewer than top_k 6."),
    ],
)  # fmt: skip
def test_what_explains_nothing_is_an_error(evidence: Evidence, raw: dict[str, Any], reason: str) -> None:
    assert brief(decide("explanation_stability", evidence, **{**ASKED, **raw})) == (Status.ERROR, reason)


def test_lint_and_words() -> None:
    assert lints("explanation_stability", **ASKED) == []
    assert lints("explanation_stability", forbidden_in_top_k=["a", "a"], **ASKED) == [
        ("forbidden_in_top_k", "a feature is named twice; name it once")
    ]
    assert check("explanation_stability", top_k=5, min_overlap=0.8).explain() == (
        "Of the 5 features that matter most, at least 4 must be the champion's too, on 2000 explained rows; less "
        "within the champion's own noise is undecided."
    )
