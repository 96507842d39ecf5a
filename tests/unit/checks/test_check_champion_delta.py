"""champion_delta: 10 and 10 discordant of 1,000 rows differ by 0 +- 0.00953 (Tango); margins and tests decide."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from decided import BOOTSTRAP, brief, check, decide, lints, paired

from gates.evidence import Evidence, Predictions
from gates.stats.paired import mcnemar_exact, mcnemar_midp
from gates.verdict import Status

ALIKE = paired(10, 10, 900, 80)
MARGIN: dict[str, Any] = {"margin": {"absolute": 0.02}}
TANGO = "(Tango.) Two-sided p of no difference:"


@pytest.mark.parametrize(
    ("counts", "status", "reason", "needed"),
    [
        ((10, 10, 900, 80), Status.PASS,
         "accuracy 0.91 against the champion's 0.91; gain is 0, interval -0.00953343 to 0.00953343 (n = 1000): all of "
         f"it is at least -0.02. {TANGO} 1.", None),
        ((10, 60, 900, 30), Status.FAIL,
         "accuracy 0.91 against the champion's 0.96; gain is -0.05, interval -0.0674286 to -0.0347444 (n = 1000): all "
         f"of it is below -0.02. {TANGO} 8.00482e-10.", None),
        # ((-0.01 - -0.0218176) / 0.01)^2 * 1000 = 1396.6
        ((10, 20, 900, 70), Status.INCONCLUSIVE,
         "accuracy 0.91 against the champion's 0.92; gain is -0.01, interval -0.0218176 to 0.000783366 (n = 1000) "
         f"straddles -0.02; about n = 1397 would decide. {TANGO} 0.0987371.", 1397),
    ],
)  # fmt: skip
def test_not_worse_by_the_margin(
    counts: tuple[int, int, int, int], status: Status, reason: str, needed: int | None
) -> None:
    found = decide("champion_delta", paired(*counts), metric="accuracy", **MARGIN)
    assert brief(found) == (status, reason)
    assert (found.n, found.n_needed) == (1000, needed)
    assert found.observed == pytest.approx((counts[0] - counts[1]) / 1000)


def test_superiority_needs_mcnemar_too() -> None:
    """7 against 1: Tango's lower bound is over 0, the exact p is 2 * 9 / 256 = 0.0703, the mid-p 0.0391."""
    assert mcnemar_exact(7, 1) == 18 / 256
    assert mcnemar_midp(7, 1) == 10 / 256
    evidence = paired(7, 1, 80, 12)
    asked: dict[str, Any] = {"metric": "accuracy", "test": "superiority"}
    assert brief(decide("champion_delta", evidence, **asked)) == (
        Status.INCONCLUSIVE,
        "accuracy 0.87 against the champion's 0.81; the interval shows a gain, McNemar's test does not. "
        f"{TANGO} 0.0703125.",
    )
    found = decide("champion_delta", evidence, mcnemar="mid_p", **asked)
    assert found.status is Status.PASS
    assert found.reason.endswith("p of no difference: 0.0390625.")
    assert decide("champion_delta", paired(20, 5, 900, 75), **asked).status is Status.PASS
    assert decide("champion_delta", paired(5, 20, 900, 75), **asked).status is Status.FAIL


def test_superiority_by_a_margin() -> None:
    asked: dict[str, Any] = {"metric": "accuracy", "test": "superiority"}
    better = paired(60, 10, 900, 30)  # gain 0.05, interval 0.0347 to 0.0674
    assert decide("champion_delta", better, margin={"absolute": 0.03}, **asked).status is Status.PASS
    assert decide("champion_delta", better, margin={"absolute": 0.04}, **asked).status is Status.INCONCLUSIVE
    assert decide("champion_delta", better, margin={"absolute": 0.07}, **asked).status is Status.FAIL


def test_less_is_better_turns_the_sign() -> None:
    target = np.arange(200) % 2
    near, far = np.where(target == 1, 0.9, 0.1), np.where(target == 1, 0.8, 0.2)
    far[::2] += 0.01
    models = [Predictions(target, target, scores, (0, 1), 1) for scores in (near, far)]
    asked: dict[str, Any] = {"metric": "brier", "margin": {"absolute": 0.001}}
    assert decide("champion_delta", Evidence(candidate=models[0], champion=models[1]), **asked).status is Status.PASS
    found = decide("champion_delta", Evidence(candidate=models[1], champion=models[0]), **asked)
    assert found.status is Status.FAIL
    assert found.observed == pytest.approx(-(0.5 * 0.2**2 + 0.5 * 0.21**2 - 0.01), abs=1e-12)


def test_a_relative_margin_moves_with_the_champion() -> None:
    found = decide("champion_delta", ALIKE, metric="accuracy", margin={"relative": 0.02})
    assert found.status is Status.PASS
    assert found.observed == pytest.approx(0.91 - 0.98 * 0.91)
    assert "gain over the limit is 0.0182" in found.reason
    assert "all of it is at least 0." in found.reason


def test_a_relative_margin_of_nothing_decides_nothing() -> None:
    rng = np.random.default_rng(1)
    y = rng.normal(0, 1, 200)
    evidence = Evidence(
        candidate=Predictions(y, y + rng.normal(0, 1, 200)), champion=Predictions(y, np.full(200, y.mean()))
    )
    found = decide("champion_delta", evidence, metric="r2", margin={"relative": 0.1})
    assert found.status is Status.INCONCLUSIVE
    assert found.reason.endswith("the champion's value is too near 0 for a relative margin; write an absolute one.")


def test_few_rows_decide_nothing_but_a_failure() -> None:
    found = decide("champion_delta", ALIKE, metric="accuracy", min_samples=2000, **MARGIN)
    assert found.status is Status.INCONCLUSIVE
    assert found.reason.startswith("1000 rows are fewer than the 2000 that the policy wants; ")
    assert found.n_needed == 2000
    worse = paired(10, 60, 900, 30)
    assert decide("champion_delta", worse, metric="accuracy", min_samples=2000, **MARGIN).status is Status.FAIL


def test_without_a_champion() -> None:
    alone = replace(ALIKE, champion=None)
    missing = "The champion's predictions are missing, so nothing can be compared."
    absent = replace(alone, champion_absent=True)
    for evidence in (alone, absent):
        assert brief(decide("champion_delta", evidence, metric="accuracy", **MARGIN)) == (Status.ERROR, missing)
    assert brief(decide("champion_delta", absent, BOOTSTRAP, metric="accuracy", **MARGIN)) == (
        Status.SKIPPED,
        "There is no champion yet and the policy says bootstrap: not compared.",
    )
    assert decide("champion_delta", alone, BOOTSTRAP, metric="accuracy", **MARGIN).status is Status.ERROR
    gone = decide("champion_delta", replace(ALIKE, candidate=None), metric="accuracy", **MARGIN)
    assert gone.reason == "The candidate's predictions are missing, so nothing can be compared."


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"metric": "accuracy"},
         ("margin", "non-inferiority needs a margin; write {absolute: 0.01} or {relative: 0.02}")),
        ({"metric": "accuracy", "margin": {"absolute": 0.1, "relative": 0.1}},
         ("margin", "absolute and relative are both given; write one")),
        ({"metric": "accuracy", "margin": {"relative": 1.5}},
         ("margin", "a relative margin of 1.5 allows any loss; write a share such as 0.02")),
        ({"metric": "f1", "method": "delong", **MARGIN},
         ("method", "delong is for roc_auc; for f1 write paired_bootstrap or auto")),
        ({"metric": "f1", "method": "tango", **MARGIN},
         ("method", "tango is for accuracy, recall and specificity with an absolute margin; write auto")),
        ({"metric": "roc_auc", "method": "paired_bootstrap", **MARGIN},
         ("method", "roc_auc has a closed form that the bootstrap only repeats; write auto")),
        ({"metric": "f1", "mcnemar": "mid_p", **MARGIN},
         ("mcnemar", "McNemar's test is for accuracy, recall and specificity; for f1 leave it out")),
        ({"metric": "accuracy", "average": "macro", **MARGIN}, ("average", "accuracy takes no average; leave it out")),
    ],
)  # fmt: skip
def test_lint(raw: dict[str, Any], said: tuple[str, str]) -> None:
    assert lints("champion_delta", **raw) == [said]


def test_explained_with_the_rows_it_takes() -> None:
    said = check("champion_delta", metric="accuracy", **MARGIN).explain()
    assert said == (
        "accuracy may be worse than the champion's by less than 0.02. Two equally good models that disagree on 5 % of "
        "the rows need about 481 of them."  # 0.05 (1.96 / 0.02)^2
    )
