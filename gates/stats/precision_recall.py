"""Areas under ROC and precision-recall curves of prepared predictions: one model or two, binary or averaged.

Where DeLong's closed form does not reach (precision-recall, averages over classes, rows in clusters), an area is
treated through its influence values: what each row adds to it. One variance formula then covers one model and a
difference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, logit, ndtr

from gates.stats import delong, student
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
    return _interval(_influence(metric, problems), data, confidence)


def _interval(found: _Area, data: Prepared, confidence: float) -> Estimate:
    n, spread = _spread(found.influence, data.cluster)
    if spread.variance == 0.0 or not 0.0 < found.value < 1.0:
        half = _floor(data, confidence, n)
        return Estimate(found.value, max(0.0, found.value - half), min(1.0, found.value + half), n, "no row differs")
    low, high = _on_logits(found.value, student.reach(confidence, spread.degrees) * spread.error)
    return Estimate(found.value, low, high, n, "influence, logit")


def _on_logits(value: float, half: float) -> tuple[float, float]:
    scaled = half / (value * (1.0 - value))
    return float(expit(logit(value) - scaled)), float(expit(logit(value) + scaled))


@dataclass(frozen=True)
class Areas:
    """candidate - weight * champion, both areas, and the two-sided p of no difference."""

    difference: Estimate
    candidate: float
    champion: Estimate
    p: float | None


def area_difference(metric: str, data: Prepared, confidence: float, average: str, weight: float) -> Areas:
    """candidate - weight * champion on the same rows.

    Where DeLong's form does not reach: both areas' intervals joined by MOVER with their correlation (Zou 2007, Psychol.
    Methods 12:399, eq. 15), and as much wider as the two areas' own bias differs, whichever side it is on.
    """
    ours, theirs = _problems(data, 0, average), _problems(data, 1, average)
    if metric == "roc_auc" and len(ours) == 1 and data.cluster is None:
        areas = delong.compare(ours[0][0], ours[0][1], theirs[0][1], weight)
        candidate, champion = areas.a.auc, delong.interval(areas.b, confidence)
        value, spread, n, method = areas.difference, areas.spread, data.n, "paired DeLong"
        low, high = spread.bounds(value, confidence)
    else:
        a, b = _influence(metric, ours), _influence(metric, theirs)
        candidate, champion = a.value, _interval(b, data, confidence)
        value, method = a.value - weight * b.value, "paired influence"
        n, spread = _spread(a.influence - weight * b.influence, data.cluster)
        low, high = _joined(a, b, spread, data, confidence, weight)
    if spread.error <= 1e-15:
        half = _floor(data, confidence, n)
        return Areas(Estimate(value, value - half, value + half, n, method), candidate, champion, None)
    p = float(2.0 * ndtr(-abs(value) / spread.error))
    return Areas(Estimate(value, low, high, n, method), candidate, champion, p)


def _joined(
    a: _Area, b: _Area, spread: student.Spread, data: Prepared, confidence: float, weight: float
) -> tuple[float, float]:
    errors = [_spread(one.influence, data.cluster)[1].error for one in (a, b)]
    if min(*errors, a.value * (1.0 - a.value), b.value * (1.0 - b.value)) <= 0.0:  # no logit, or nothing to correlate
        return spread.bounds(a.value - weight * b.value, confidence)
    shared = (errors[0] ** 2 + (weight * errors[1]) ** 2 - spread.variance) / (2.0 * weight * errors[0] * errors[1])
    t = student.reach(confidence, spread.degrees)
    (la, ua), (lb, ub) = (_on_logits(one.value, t * error) for one, error in zip((a, b), errors, strict=True))
    bias = abs(a.bias - weight * b.bias)

    def apart(one: float, other: float) -> float:
        return math.sqrt(max(0.0, one**2 + other**2 - 2.0 * shared * one * other)) + bias

    value = a.value - weight * b.value
    return (
        value - apart(a.value - la, weight * (ub - b.value)),
        value + apart(ua - a.value, weight * (b.value - lb)),
    )


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


@dataclass(frozen=True)
class _Area:
    """value; influence (n,), what each row adds; bias: how much the value is over the truth on average, about."""

    value: float
    influence: NDArray[np.float64]
    bias: float = 0.0


def _influence(metric: str, problems: list[tuple[NDArray[np.bool_], NDArray[np.float64], float]]) -> _Area:
    one = _auc_influence if metric == "roc_auc" else _ap_influence
    parts = [(weight, one(positive, scores)) for positive, scores, weight in problems]
    total = np.zeros(len(problems[0][0]))
    for weight, part in parts:
        total += weight * part.influence
    return _Area(sum(w * part.value for w, part in parts), total, sum(w * part.bias for w, part in parts))


def _auc_influence(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> _Area:
    found = delong.components(positive, scores)
    n = len(positive)
    influence = np.empty(n)
    influence[positive] = (found.positive - found.auc) * (n / len(found.positive))
    influence[~positive] = (found.negative - found.auc) * (n / len(found.negative))
    return _Area(found.auc, influence)


def _ap_influence(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> _Area:
    """Average precision (scikit-learn's step sum, ties as one step), its influence values (n,) and its bias.

    With P the share of positives, A(s) that of positives scored >= s, B(s) that of all scored >= s, the value is
    E[Y A(S) / B(S)] / P. A row (y, t) adds its own term, and moves A / B of every positive scored <= t by (y - A/B) / B
    (Gateaux derivative; Hampel 1974, JASA 69:383). A positive counts among the rows above itself, which lifts the
    precision there by (1 - precision) / rows above.
    """
    n, positives = len(positive), int(np.count_nonzero(positive))
    if positives in (0, n):
        raise Unusable("the target holds one class only, so there is no precision-recall curve")
    order = np.argsort(scores)
    ascending = scores[order]
    starts = np.flatnonzero(np.r_[True, ascending[1:] != ascending[:-1]])
    step = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, n]))
    hits = np.add.reduceat(positive[order].astype(np.float64), starts)
    above = np.cumsum(hits[::-1])[::-1]
    rows_above = (n - starts).astype(np.float64)
    precision = above / rows_above
    value = float((hits * precision).sum() / positives)
    bias = float((hits * (1.0 - precision) / rows_above).sum() / positives)
    pull = np.cumsum(hits / rows_above)
    drag = np.cumsum(hits * precision / rows_above)
    y = positive.astype(np.float64)
    at = np.empty(n, dtype=np.intp)
    at[order] = step
    return _Area(value, (y * precision[at] + y * pull[at] - drag[at] - y * value) * (n / positives), bias)


def _spread(influence: NDArray[np.float64], cluster: NDArray[np.intp] | None) -> tuple[int, student.Spread]:
    """Rows or clusters, and the spread of a mean of influence values (summed by cluster)."""
    if cluster is None:
        return len(influence), student.spread(np.sort(influence))
    order = np.lexsort((influence, cluster))
    added: NDArray[np.float64] = np.sort(np.bincount(cluster[order], weights=influence[order]))
    scale = len(added) / len(influence)  # the mean is over rows
    added *= scale
    return len(added), student.spread(added)
