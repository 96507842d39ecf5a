"""Areas under ROC and precision-recall curves of prepared predictions: one model or two, binary or averaged.

Where DeLong's closed form does not reach (precision-recall, averages over classes, rows in clusters), an area is
treated through its influence values: what each row adds to it. One variance formula then covers one model and a
difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit, logit, ndtr

from gates.stats import delong
from gates.stats.estimate import Estimate, Unusable
from gates.stats.proportion import z_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gates.stats.prepared import Prepared


def area(metric: str, data: Prepared, confidence: float, average: str) -> Estimate:
    """The area with an interval inside (0, 1): DeLong's, else the influence values' on the logit scale."""
    problems = _problems(data, 0, average)
    if metric == "roc_auc" and len(problems) == 1 and data.cluster is None:
        return delong.auc(problems[0][0], problems[0][1], confidence)
    value, influence = _influence(metric, problems)
    n, se = _standard_error(influence, data.cluster)
    if se == 0.0 or not 0.0 < value < 1.0:
        half = _floor(data, confidence, n)
        return Estimate(value, max(0.0, value - half), min(1.0, value + half), n, "no row differs")
    half = z_of(confidence) * se / (value * (1.0 - value))
    return Estimate(value, float(expit(logit(value) - half)), float(expit(logit(value) + half)), n, "influence, logit")


def area_difference(
    metric: str, data: Prepared, confidence: float, average: str, weight: float
) -> tuple[Estimate, float | None]:
    """candidate - weight * champion on the same rows, and the two-sided p of its being 0."""
    ours, theirs = _problems(data, 0, average), _problems(data, 1, average)
    if metric == "roc_auc" and len(ours) == 1 and data.cluster is None:
        found = delong.compare(ours[0][0], ours[0][1], theirs[0][1], weight)
        difference, se, n, method = found.difference, found.standard_error, data.n, "paired DeLong"
    else:
        a, influence_a = _influence(metric, ours)
        b, influence_b = _influence(metric, theirs)
        n, se = _standard_error(influence_a - weight * influence_b, data.cluster)
        difference, method = a - weight * b, "paired influence"
    half = max(z_of(confidence) * se, _floor(data, confidence, n) if se <= 1e-15 else 0.0)
    p = float(2.0 * ndtr(-abs(difference) / se)) if se > 1e-15 else None
    return Estimate(difference, difference - half, difference + half, n, method), p


def _floor(data: Prepared, confidence: float, n: int) -> float:
    """The half-width to claim when no row differs, at the size of the smallest class."""
    z2 = z_of(confidence) ** 2
    smallest = min(n, int(np.unique(data.truth, return_counts=True)[1].min()))
    return z2 / (smallest + z2)


def _problems(data: Prepared, model: int, average: str) -> list[tuple[NDArray[np.bool_], NDArray[np.float64], float]]:
    """One binary problem, or one a class: (is it this class, its score, its weight)."""
    scores = data.models[model].scores
    if scores is None:
        raise Unusable("the model gives labels only, and this metric needs probabilities")
    if scores.ndim == 1:
        return [(data.truth == 1, scores, 1.0)]
    if average not in ("macro", "weighted"):
        raise Unusable(f"an area over {data.k} classes needs `average: macro` or `weighted`, or a positive_label")
    support = np.bincount(data.truth, minlength=data.k)
    if not support.all():
        raise Unusable("a class is absent from the target, so its area is undefined")
    weights = support / data.n if average == "weighted" else np.full(data.k, 1.0 / data.k)
    return [(data.truth == i, scores[:, i], float(weights[i])) for i in range(data.k)]


def _influence(
    metric: str, problems: list[tuple[NDArray[np.bool_], NDArray[np.float64], float]]
) -> tuple[float, NDArray[np.float64]]:
    one = _auc_influence if metric == "roc_auc" else _ap_influence
    parts = [(weight, *one(positive, scores)) for positive, scores, weight in problems]
    total = np.zeros(len(problems[0][0]))
    for weight, _, influence in parts:
        total += weight * influence
    return sum(weight * value for weight, value, _ in parts), total


def _auc_influence(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    found = delong.components(positive, scores)
    n = len(positive)
    influence = np.empty(n)
    influence[positive] = (found.positive - found.auc) * (n / len(found.positive))
    influence[~positive] = (found.negative - found.auc) * (n / len(found.negative))
    return found.auc, influence


def _ap_influence(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Average precision (scikit-learn's step sum, ties as one step) and its influence values (n,).

    With P the share of positives, A(s) that of positives scored >= s, B(s) that of all scored >= s, the value is
    E[Y A(S) / B(S)] / P. A row (y, t) adds its own term, and moves A / B of every positive scored <= t by (y - A/B) / B
    (Gateaux derivative; Hampel 1974, JASA 69:383).
    """
    n, positives = len(positive), int(np.count_nonzero(positive))
    if positives in (0, n):
        raise Unusable("the target holds one class only, so there is no precision-recall curve")
    order = np.argsort(scores, kind="stable")
    ascending = scores[order]
    starts = np.flatnonzero(np.r_[True, ascending[1:] != ascending[:-1]])
    step = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, n]))
    hits = np.add.reduceat(positive[order].astype(np.float64), starts)
    above = np.cumsum(hits[::-1])[::-1]
    rows_above = (n - starts).astype(np.float64)
    precision = above / rows_above
    value = float((hits * precision).sum() / positives)
    pull = np.cumsum(hits / rows_above)
    drag = np.cumsum(hits * precision / rows_above)
    y = positive.astype(np.float64)
    at = np.empty(n, dtype=np.intp)
    at[order] = step
    influence = (y * precision[at] + y * pull[at] - drag[at] - y * value) * (n / positives)
    return value, influence


def _standard_error(influence: NDArray[np.float64], cluster: NDArray[np.intp] | None) -> tuple[int, float]:
    """Rows or clusters, and the standard error of a mean of influence values (summed by cluster)."""
    n = len(influence)
    added: NDArray[Any] = influence
    if cluster is not None:
        order = np.lexsort((influence, cluster))
        added = np.bincount(cluster[order], weights=influence[order])
    groups = len(added)
    if groups < 2:
        return groups, np.inf
    ordered = np.sort(added)
    spread = float(((ordered - ordered.mean()) ** 2).sum())
    return groups, float(np.sqrt(spread * groups / (groups - 1)) / n)
