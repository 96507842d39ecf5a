"""The registry of metrics: name, direction, what it needs, and where its value and interval come from.

Importing this imports no numpy: the policy is bound and linted by names alone, and a gate over a ready metrics file
never computes. The formulas stand in `stats/` and are imported when a metric is estimated.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from gates.evidence import Predictions
    from gates.stats.estimate import Estimate
    from gates.stats.measure import Difference
    from gates.stats.prepared import Prepared

Average = Literal["binary", "micro", "macro", "weighted"]
Task = Literal["classification", "regression"]


@dataclass(frozen=True)
class Metric:
    """One metric by its name in the policy.

    low, high: the range that its value can have, None where unbounded. averaged: it is of one class, and more classes
    need an `average`.
    """

    name: str
    about: str
    task: Task = "classification"
    greater_is_better: bool = True
    needs_scores: bool = False
    averaged: bool = False
    low: float | None = 0.0
    high: float | None = 1.0

    def prepare(self, candidate: Predictions, champion: Predictions | None = None) -> Prepared:
        """Checked, encoded arrays. Raises stats.estimate.Unusable, see stats.prepared."""
        from gates.stats.prepared import prepare

        return prepare(candidate, champion, regression=self.task == "regression", scores=self.needs_scores)

    def estimate(
        self, predictions: Predictions, *, confidence: float = 0.95, seed: int = 0, average: Average = "binary"
    ) -> Estimate:
        """Value with its two-sided interval. Raises Unusable where it is undefined or the predictions are unsound."""
        return self.estimate_on(self.prepare(predictions), confidence=confidence, seed=seed, average=average)

    def estimate_on(
        self, prepared: Prepared, *, confidence: float = 0.95, seed: int = 0, average: Average = "binary"
    ) -> Estimate:
        """The same on arrays already prepared, e.g. on one slice of them."""
        from gates.stats.measure import Ask, estimate

        return estimate(self.name, prepared, Ask(confidence, seed, average))

    def difference(
        self,
        candidate: Predictions,
        champion: Predictions,
        *,
        confidence: float = 0.95,
        seed: int = 0,
        average: Average = "binary",
        method: str = "auto",
        mcnemar: str = "exact",
        weight: float = 1.0,
    ) -> Difference:
        """candidate - weight * champion on the same rows. Raises Unusable, also when the rows are not the same."""
        from gates.stats.measure import Ask, difference

        prepared = self.prepare(candidate, champion)
        return difference(self.name, prepared, Ask(confidence, seed, average, mcnemar), weight=weight, method=method)


def _metrics(*metrics: Metric) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}


METRICS: dict[str, Metric] = _metrics(
    Metric("accuracy", "share of rows answered rightly"),
    Metric("balanced_accuracy", "mean recall over the classes"),
    Metric("precision", "share of positive answers that are right", averaged=True),
    Metric("recall", "share of positive rows that are found", averaged=True),
    Metric("specificity", "share of negative rows that are left alone"),
    Metric("f1", "harmonic mean of precision and recall", averaged=True),
    Metric("true_positives", "rows rightly answered positive", high=None),
    Metric("false_positives", "rows wrongly answered positive", greater_is_better=False, high=None),
    Metric("true_negatives", "rows rightly answered negative", high=None),
    Metric("false_negatives", "rows wrongly answered negative", greater_is_better=False, high=None),
    Metric("roc_auc", "area under the ROC curve", needs_scores=True),
    Metric("average_precision", "area under the precision-recall curve, by steps", needs_scores=True),
    Metric("log_loss", "mean negative log-likelihood", greater_is_better=False, needs_scores=True, high=None),
    Metric("brier", "mean squared error of the probability", greater_is_better=False, needs_scores=True, high=2.0),
    Metric("expected_calibration_error", "gap of confidence and truth", greater_is_better=False, needs_scores=True),
    Metric("mae", "mean absolute error", "regression", greater_is_better=False, high=None),
    Metric("mse", "mean squared error", "regression", greater_is_better=False, high=None),
    Metric("rmse", "root of the mean squared error", "regression", greater_is_better=False, high=None),
    Metric("mape", "mean absolute error as a share of the target", "regression", greater_is_better=False, high=None),
    Metric("r2", "share of variance explained", "regression", low=None),
)

FAIRNESS: dict[str, str] = {
    "demographic_parity_difference": "largest difference of the share answered positive",
    "demographic_parity_ratio": "smallest ratio of the share answered positive",
    "equalized_odds_difference": "largest difference of true or false positive rates",
    "equalized_odds_ratio": "smallest ratio of true or false positive rates",
    "equal_opportunity_difference": "largest difference of true positive rates",
    "equal_opportunity_ratio": "smallest ratio of true positive rates",
}


def unknown(name: str, instead: str = "") -> str:
    """What to say of a metric that is not in METRICS, with a 'did you mean' where one is near, else the known ones."""
    if name in FAIRNESS:
        return f"{name} compares groups; write `type: fairness`"
    near = difflib.get_close_matches(name, METRICS, n=1, cutoff=0.6)
    meant = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(METRICS)}"
    return f"unknown metric '{name}'; {meant}{' ' + instead if instead else ''}"
