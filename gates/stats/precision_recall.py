"""Areas under ROC and precision-recall curves of prepared predictions: one model or two, binary or averaged.

Where DeLong's closed form does not reach (precision-recall, averages over classes, rows in clusters), an area is
treated through its influence values: what each row adds to it. One variance formula then covers one model and a
difference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtr

from gates.stats import delong, exact, order, spill, student
from gates.stats.estimate import Estimate, Unusable
from gates.stats.proportion import unseen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gates.stats.prepared import Prepared

Problems = list[tuple[NDArray[np.bool_], NDArray[np.float64], float]]
"""Is it this class (n,), its score (n,), its weight; one where there are two classes."""


def area(metric: str, data: Prepared, confidence: float, average: str) -> Estimate:
    """The area with an interval inside (0, 1): DeLong's, else the influence values' on the logit scale."""
    problems = _problems(data, 0, average)
    if len(problems) > 1 or data.cluster is not None:
        return _interval(_influence(metric, problems), data, confidence)
    positive, scores, _ = problems[0]
    if metric == "roc_auc":
        return delong.auc(positive, scores, confidence)
    return _interval(_ap_by_score(positive, scores)[0], data, confidence)


def _interval(found: _Area, data: Prepared, confidence: float) -> Estimate:
    n, spread = _spread(found.influence, data.cluster)
    if spread.variance == 0.0 or not 0.0 < found.value < 1.0:
        half = unseen(data.smallest_class, confidence)
        return Estimate(found.value, max(0.0, found.value - half), min(1.0, found.value + half), n, "no row differs")
    low, high = _on_logits(found.value, student.reach(confidence, spread.degrees) * spread.error)
    return Estimate(found.value, low, high, n, "jackknife, logit")


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
    """candidate - weight * champion, same rows, by both areas' intervals on the logit scale and their correlation.

    The correlation is DeLong's where that form reaches (DeLong 1988, eq. 5-7), else that of the influence values.
    """
    ours, theirs = _problems(data, 0, average), _problems(data, 1, average)
    if metric == "roc_auc" and len(ours) == 1 and data.cluster is None:
        areas = delong.compare(ours[0][0], ours[0][1], theirs[0][1], weight)
        candidate, champion = areas.a.auc, delong.interval(areas.b, confidence)
        errors = (areas.a.spread.error, areas.b.spread.error)
        spread, n, bias, method = areas.spread, data.n, 0.0, "paired DeLong"
    else:
        a, b = _influences(metric, ours, theirs, data)
        candidate, champion = a.value, _interval(b, data, confidence)
        errors = (_spread(a.influence, data.cluster)[1].error, _spread(b.influence, data.cluster)[1].error)
        n, spread = _apart(a.influence, b.influence, weight, data.cluster)
        bias, method = abs(a.bias - weight * b.bias), "paired jackknife"
    value = candidate - weight * champion.value
    if spread.error <= 1e-15:
        half = unseen(data.smallest_class, confidence)
        return Areas(Estimate(value, value - half, value + half, n, method), candidate, champion, None)
    p = float(2.0 * ndtr(-abs(value) / spread.error))
    low, high = _joined((candidate, champion.value), errors, spread, confidence, weight)
    if method == "paired jackknife":
        straight = spread.bounds(value, confidence)
        low, high = min(low, straight[0]), max(high, straight[1])
    return Areas(Estimate(value, low - bias, high + bias, n, method), candidate, champion, p)


def _joined(
    values: tuple[float, float], errors: tuple[float, float], spread: student.Spread, confidence: float, weight: float
) -> tuple[float, float]:
    """MOVER of two correlated estimates (Zou 2007, Psychol. Methods 12:399, eq. 15): near 1 an area's interval is
    longer towards 0, and so is the difference's. Areas of 0 or 1 have no logit: there the spread's own bounds.
    """
    (a, b), (error_a, error_b) = values, errors
    if min(error_a, error_b, a * (1.0 - a), b * (1.0 - b)) <= 0.0:
        return spread.bounds(a - weight * b, confidence)
    shared = (error_a**2 + (weight * error_b) ** 2 - spread.variance) / (2.0 * weight * error_a * error_b)
    t = student.reach(confidence, spread.degrees)
    (low_a, high_a), (low_b, high_b) = _on_logits(a, t * error_a), _on_logits(b, t * error_b)

    def apart(one: float, other: float) -> float:
        return math.sqrt(max(0.0, one**2 + other**2 - 2.0 * shared * one * other))

    value = a - weight * b
    return (
        value - apart(a - low_a, weight * (high_b - b)),
        value + apart(high_a - a, weight * (b - low_b)),
    )


def _problems(data: Prepared, model: int, average: str) -> Problems:
    """One binary problem, or one a class: (is it this class, its score, its weight)."""
    scores = data.models[model].scores
    if scores is None:
        raise Unusable("the model gives labels only, and this metric needs probabilities")
    if scores.ndim == 1:
        positive = spill.empty(data.n, np.bool_)
        for part in spill.parts(positive, data.truth):
            positive[part] = data.truth[part] == 1
        return [(positive, scores, 1.0)]
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


def _influences(metric: str, ours: Problems, theirs: Problems, data: Prepared) -> tuple[_Area, _Area]:
    """Both models' influence values, rows in the same order."""
    if len(ours) > 1 or data.cluster is not None or metric == "roc_auc":
        return _influence(metric, ours), _influence(metric, theirs)
    (positive, scores, _), (_, other, _) = ours[0], theirs[0]
    a, (carried,) = _ap_by_score(positive, scores, other)
    b, (influence,) = _ap_by_score(a.positive, carried, a.influence)
    return _Area(a.value, influence, a.bias), b


def _influence(metric: str, problems: Problems) -> _Area:
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
    """See `_ap_by_score`; in the order of the rows."""
    found, (place,) = _ap_by_score(positive, scores, np.arange(len(scores)))
    influence = np.empty(len(scores))
    influence[place] = found.influence
    return _Area(found.value, influence, found.bias)


@dataclass(frozen=True)
class _Scored(_Area):
    """The same with `positive` (n,), both in ascending order of score."""

    positive: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=bool))


def _ap_by_score(
    positive: NDArray[np.bool_], scores: NDArray[np.float64], *carried: NDArray[Any]
) -> tuple[_Scored, tuple[NDArray[Any], ...]]:
    """Average precision (scikit-learn's step sum, ties as one step), its jackknife influence values and bias.

    With P positives, A(s) of them scored >= s and B(s) rows scored >= s, the value is the sum of A / B over the
    positives, over P. Leaving out a row (y, t) makes A / B of every positive scored <= t (A - y) / (B - 1), takes its
    own term away and leaves P - y: all n values left out come of sums over steps, exactly. Influence: (n - 1) (value
    - value without the row); bias: (n - 1) (their mean - value) (Efron & Tibshirani 1993, eq. 11.5, 10.30).
    """
    n = len(positive)
    positives = sum(int(np.count_nonzero(block)) for (block,) in spill.blocks(positive))
    if positives in (0, n):
        raise Unusable("the target holds one class only, so there is no precision-recall curve")
    if positives == 1:
        raise Unusable("one positive row alone shows no spread of the precision")
    ordered, label, *others = order.ascending(scores, positive, *carried)
    terms = exact.Sum()
    for step, above, rows_above in _from_above(ordered, label, positives):
        terms.add(step.hits * above / rows_above)
    whole, done = terms.value, np.zeros(3)
    value, left_out, mean = whole / positives, spill.empty(n, np.float64), exact.Sum()
    for step, above, rows_above in _from_above(ordered, label, positives, left_out):
        fewer = np.maximum(rows_above - 1.0, 1.0)  # the only row at the top leaves nothing: its term is 0 either way
        parts = np.stack([step.hits * above / rows_above, step.hits * above / fewer, step.hits / fewer])
        sums = np.cumsum(np.concatenate([done[:, None], parts], axis=1), axis=1)
        kept, done = whole - sums[0, 1:] + sums[1, :-1], sums[:, -1]
        of_hit = kept - sums[2, :-1] + (step.hits - 1.0) * (above - 1.0) / fewer
        order.write(step, label, left_out, of_hit / (positives - 1.0), (kept + parts[1]) / positives)
    for part in spill.parts(left_out):
        mean.add(np.asarray(left_out[part]))
        left_out[part] = (n - 1) * (value - left_out[part])
    return _Scored(value, left_out, (n - 1) * (mean.value / n - value), label), tuple(others)


def _from_above(
    ordered: NDArray[np.float64], positive: NDArray[np.bool_], positives: int, *written: NDArray[Any]
) -> Iterator[tuple[order.Steps, NDArray[np.float64], NDArray[np.float64]]]:
    """Each stretch of steps with A and B of its scores."""
    above, rows_above = positives, len(ordered)
    for step in order.steps(ordered, positive, *written):
        hits, rows = np.cumsum(step.hits), np.cumsum(step.rows)
        yield step, (above - hits + step.hits).astype(np.float64), (rows_above - rows + step.rows).astype(np.float64)
        above, rows_above = above - int(hits[-1]), rows_above - int(rows[-1])


def _spread(influence: NDArray[np.float64], cluster: NDArray[np.intp] | None) -> tuple[int, student.Spread]:
    """Rows or clusters, and the spread of a mean of influence values (summed by cluster)."""
    if cluster is None:
        return len(influence), student.spread_of(lambda: (block for (block,) in spill.blocks(influence)))
    order = np.lexsort((influence, cluster))
    added = np.asarray(np.bincount(cluster[order], weights=influence[order]), dtype=np.float64)
    scale = len(added) / len(influence)  # the mean is over rows
    added *= scale
    return len(added), student.spread(added)


def _apart(
    a: NDArray[np.float64], b: NDArray[np.float64], weight: float, cluster: NDArray[np.intp] | None
) -> tuple[int, student.Spread]:
    """The same of a - weight * b."""
    if cluster is not None:
        return _spread(a - weight * b, cluster)
    return len(a), student.spread_of(lambda: (one - weight * other for one, other in spill.blocks(a, b)))
