"""threshold: on the interval, on the point, on ready figures. 90 of 100 right is 0.825634 to 0.944771 by Wilson."""

from __future__ import annotations

from typing import Any

import pytest
from decided import brief, cells, check, decide, lints

from gates.evidence import Evidence
from gates.verdict import Status

NINETY = Evidence(candidate=cells(45, 5, 5, 45))
SAID = "accuracy is 0.9, interval 0.825634 to 0.944771 (n = 100)"


@pytest.mark.parametrize(
    ("limits", "status", "reason", "needed"),
    [
        ({"min": 0.8}, Status.PASS, f"{SAID}: all of it is at least 0.8.", None),
        ({"min": 0.95}, Status.FAIL, f"{SAID}: all of it is below 0.95.", None),
        ({"max": 0.8}, Status.FAIL, f"{SAID}: all of it is above 0.8.", None),
        ({"max": 0.95}, Status.PASS, f"{SAID}: all of it is at most 0.95.", None),
        # (0.9 - 0.825634) / 0.02 = 3.7183, squared times 100
        ({"min": 0.88}, Status.INCONCLUSIVE, f"{SAID} straddles 0.88; about n = 1383 would decide.", 1383),
        ({"min": 0.9}, Status.INCONCLUSIVE, f"{SAID} straddles 0.9; no number of rows is known to decide.", None),
        ({"min": 0.8, "max": 0.85}, Status.INCONCLUSIVE, f"{SAID} straddles 0.85; about n = 222 would decide.", 222),
        ({"min": 0.95, "max": 0.97}, Status.FAIL, f"{SAID}: all of it is below 0.95.", None),
        ({"min": 0.88, "decide_on": "point"}, Status.PASS, "accuracy is 0.9: within at least 0.88.", None),
        ({"min": 0.91, "decide_on": "point"}, Status.FAIL, "accuracy is 0.9: below 0.91.", None),
        ({"min": 0.8, "min_samples": 200}, Status.INCONCLUSIVE,
         f"100 rows are fewer than the 200 that the policy wants; {SAID}: all of it is at least 0.8.", 200),
        ({"min": 0.8, "min_samples": 100}, Status.PASS, f"{SAID}: all of it is at least 0.8.", None),
        ({"min": 0.95, "min_samples": 200}, Status.FAIL, f"{SAID}: all of it is below 0.95.", None),
    ],
)  # fmt: skip
def test_an_interval_is_cleared_missed_or_straddled(
    limits: dict[str, Any], status: Status, reason: str, needed: int | None
) -> None:
    found = decide("threshold", NINETY, metric="accuracy", **limits)
    assert brief(found) == (status, reason)
    assert found.n_needed == needed
    assert (found.observed, found.n) == (0.9, 100)
    assert found.interval == pytest.approx((0.82563434, 0.94477086), abs=1e-8)


@pytest.mark.parametrize(
    ("evidence", "raw", "reason"),
    [
        (NINETY, {"metric": "roc_auc"}, "The model gives labels only, and this metric needs probabilities."),
        (Evidence(), {"metric": "roc_auc"}, "No predictions and no figure 'roc_auc' were given."),
        (Evidence(candidate=cells(5, 0, 0, 0)), {"metric": "accuracy"}, "Every row's target is 1: one class only."),
        (Evidence(candidate=cells(0, 5, 0, 5)), {"metric": "precision"},
         "Precision is undefined: the model predicts no row positive."),
        (Evidence(), {"metric": "artifact_megabytes"}, "No figure 'artifact_megabytes' was given."),
        (Evidence(metrics={"accuracy": float("nan")}), {"metric": "accuracy"},
         "The figure accuracy is nan, not a finite number."),
        (Evidence(metrics={"accuracy": 0.9}, self_reported=True, metrics_n=0), {"metric": "accuracy"},
         "The figure accuracy (self-reported) stands on 0 rows."),
    ],
)  # fmt: skip
def test_what_cannot_be_computed_is_an_error(evidence: Evidence, raw: dict[str, Any], reason: str) -> None:
    assert brief(decide("threshold", evidence, min=0.1, **raw)) == (Status.ERROR, reason)


@pytest.mark.parametrize(
    ("figure", "n", "raw", "status", "reason"),
    [
        (0.9, None, {}, Status.PASS, "accuracy (self-reported) is 0.9: within at least 0.8."),
        (0.3, 40, {"min_samples": 50}, Status.FAIL, "accuracy (self-reported) is 0.3: below 0.8."),
        (0.9, 40, {"min_samples": 50}, Status.INCONCLUSIVE,
         "accuracy (self-reported) is 0.9: within at least 0.8. It stands on 40 rows, not 50."),
        (0.9, None, {"min_samples": 50}, Status.INCONCLUSIVE,
         "accuracy (self-reported) is 0.9: within at least 0.8. It stands on an unknown number of rows, not 50."),
        (0.9, None, {"decide_on": "ci_lower"}, Status.INCONCLUSIVE,
         "accuracy (self-reported) is 0.9: within at least 0.8. It has no interval, and the policy decides on "
         "ci_lower; give predictions."),
    ],
)  # fmt: skip
def test_self_reported_figures_have_no_interval(
    figure: float, n: int | None, raw: dict[str, Any], status: Status, reason: str
) -> None:
    evidence = Evidence(metrics={"accuracy": figure}, self_reported=True, metrics_n=n)
    found = decide("threshold", evidence, metric="accuracy", min=0.8, **raw)
    assert brief(found) == (status, reason)
    assert found.interval is None
    assert found.observed == figure


def test_float_noise_is_no_miss() -> None:
    evidence = Evidence(metrics={"accuracy": 0.1 + 0.2})
    assert decide("threshold", evidence, metric="accuracy", max=0.3).status is Status.PASS
    assert decide("threshold", evidence, metric="accuracy", max=0.2999999).status is Status.FAIL


def test_predictions_come_before_a_ready_figure() -> None:
    both = Evidence(candidate=cells(45, 5, 5, 45), metrics={"accuracy": 0.99}, self_reported=True)
    assert decide("threshold", both, metric="accuracy", min=0.95).status is Status.FAIL
    assert decide("threshold", both, metric="accuracy", min=0.95, source="metrics").status is Status.PASS


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"metric": "acuracy", "min": 0.8},
         ("metric", "unknown metric 'acuracy'; did you mean 'accuracy'? For a figure of your own metrics file add "
          "`source: metrics`")),
        ({"metric": "accuracy"}, ("metric", "nothing is required; write `min` or `max`")),
        ({"metric": "accuracy", "min": 0.9, "max": 0.8},
         ("min", "min 0.9 is over max 0.8, so nothing passes; swap them")),
        ({"metric": "accuracy", "min": float("inf")}, ("min", "inf is no limit; write a finite number")),
        ({"metric": "accuracy", "max": 0.9, "decide_on": "ci_lower"},
         ("decide_on", "ci_lower goes with `min`; for a `max` write ci_upper")),
        ({"metric": "accuracy", "min": 0.9, "decide_on": "ci_upper"},
         ("decide_on", "ci_upper goes with `max`; for a `min` write ci_lower")),
        ({"metric": "artifact_megabytes", "max": 5, "decide_on": "ci"},
         ("decide_on", "artifact_megabytes is a ready figure without an interval; write `decide_on: point`")),
        ({"metric": "accuracy", "min": 0.9, "average": "macro"},
         ("average", "accuracy takes no average; leave it out")),
    ],
)  # fmt: skip
def test_lint(raw: dict[str, Any], said: tuple[str, str]) -> None:
    assert lints("threshold", **raw) == [said]
    assert lints("threshold", metric="accuracy", min=0.8, decide_on="ci_lower") == []


def test_explained_with_the_rows_it_takes() -> None:
    said = check("threshold", metric="accuracy", min=0.85).explain()
    assert said.startswith("accuracy: its whole interval must be at least 0.85.")
    assert "1225" in said  # 0.85 * 0.15 * (1.96 / 0.02)^2
