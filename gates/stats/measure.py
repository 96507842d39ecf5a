"""Which formula answers for which metric: values with intervals, and differences of two models on the same rows.

Proportions get Wilson's interval, areas DeLong's, everything else BCa or the jackknife. Rows of one entity are not
independent, so with entities nothing but clustered resampling is used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from gates.stats import bootstrap, calibration_error, cells, confusion, losses, moments, paired, precision_recall, spill
from gates.stats.estimate import Estimate, Unusable
from gates.stats.prepared import MOST_COUNTED
from gates.stats.proportion import mover, unseen, wilson

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from gates.stats.confusion import Matrix
    from gates.stats.prepared import Prepared


@dataclass(frozen=True)
class Ask:
    """How sure the interval shall be (two-sided), the seed of any resampling, how classes are averaged, and which
    McNemar test goes with a paired proportion: exact or mid_p.
    """

    confidence: float
    seed: int
    average: str = "binary"
    mcnemar: str = "exact"


@dataclass(frozen=True)
class Difference:
    """candidate - weight * champion, with both values and what their paired test says (None where there is none)."""

    estimate: Estimate
    candidate: float
    champion: Estimate
    p: float | None = None


CELLS: dict[str, tuple[int, int]] = {
    "true_negatives": (0, 0),
    "false_positives": (0, 1),
    "false_negatives": (1, 0),
    "true_positives": (1, 1),
}


def _statistic(metric: str, average: str) -> Callable[[Matrix], Matrix]:
    by_class = {"precision": confusion.precisions, "recall": confusion.recalls, "f1": confusion.f1s}
    if metric in by_class:
        return confusion.averaged(by_class[metric], average)
    if metric in CELLS:
        return confusion.cell(*CELLS[metric])
    return {
        "accuracy": confusion.accuracy,
        "balanced_accuracy": confusion.balanced_accuracy,
        "specificity": confusion.specificity,
    }[metric]


def _counted(metric: str, average: str, c: Matrix) -> tuple[float, float] | None:
    """The metric as successes of trials, where it is a proportion of rows; f1 as its Jaccard index."""
    if metric == "accuracy" or (average == "micro" and metric in ("precision", "recall", "f1")):
        return float(np.trace(c)), float(c.sum())
    if metric in CELLS:
        return float(c[CELLS[metric]]), float(c.sum())
    if metric == "specificity":
        return float(c[0, 0]), float(c[0].sum())
    if average != "binary":
        return None
    trials = {"recall": c[1].sum(), "precision": c[:, 1].sum(), "f1": c[1].sum() + c[0, 1]}.get(metric)
    return None if trials is None else (float(c[1, 1]), float(trials))


def _binary(metric: str, average: str, data: Prepared) -> None:
    one_class = metric in CELLS or metric == "specificity" or average == "binary"
    if metric in ("accuracy", "balanced_accuracy") or not one_class:
        return
    if data.k != 2:
        raise Unusable(f"{metric} of {data.k} classes needs `average: macro`, `micro` or `weighted`")
    if data.positive is None:
        raise Unusable(f"positive_label must say which of {data.labels!r} is the positive one")


def estimate(metric: str, data: Prepared, ask: Ask) -> Estimate:
    """Value and interval of one model's metric. Raises Unusable where it is undefined, e.g. recall with no positive."""
    model = data.models[0]
    if metric == "expected_calibration_error":
        return calibration_error.estimate(data, 0, ask.confidence, ask.seed)
    if metric in losses.LOSSES:
        loss = losses.LOSSES[metric]
        about = loss.checked(data)
        rows = moments.Rows(data.n, lambda part: loss.of(data.part(part), 0, about), data.columns)
        return moments.estimate(rows, loss.statistic, confidence=ask.confidence, seed=ask.seed, cluster=data.cluster)
    if metric in ("roc_auc", "average_precision"):
        return precision_recall.area(metric, data, ask.confidence, ask.average)
    _binary(metric, ask.average, data)
    table = confusion.matrix(data.truth, model.answer, data.k)
    value = float(_statistic(metric, ask.average)(table))
    if not math.isfinite(value):
        raise Unusable(_why_undefined(metric))
    counted = _counted(metric, ask.average, table)
    if data.cluster is None and counted is not None:
        return _closed(metric, value, counted, ask, data.n)
    if data.cluster is None and metric == "balanced_accuracy":
        return _mean_of_recalls(value, table, ask)
    return _resampled(metric, data, ask)


def _why_undefined(metric: str) -> str:
    return {
        "recall": "recall is undefined: no row is of the positive class",
        "precision": "precision is undefined: the model predicts no row positive",
        "f1": "f1 is undefined: no row is positive, in truth or in prediction",
        "specificity": "specificity is undefined: no row is of the negative class",
    }.get(metric, f"{metric} is undefined on these rows")


def _closed(metric: str, value: float, counted: tuple[float, float], ask: Ask, n: int) -> Estimate:
    """Wilson's interval, carried over to f1 = 2 J / (1 + J) (Lam et al. 2023, arXiv 2309.14621) and to cell counts."""
    successes, trials = counted
    low, high = wilson(successes, trials, ask.confidence)
    if metric == "f1" and ask.average == "binary":
        return Estimate(value, 2 * low / (1 + low), 2 * high / (1 + high), int(trials), "Wilson on the Jaccard index")
    if metric in CELLS:
        return Estimate(value, low * n, high * n, n, "Wilson")
    return Estimate(value, low, high, int(trials), "Wilson")


def _mean_of_recalls(value: float, table: Matrix, ask: Ask) -> Estimate:
    present = [i for i in range(len(table)) if table[i].sum() > 0]
    share = 1.0 / len(present)
    bounds = [wilson(float(table[i, i]), float(table[i].sum()), ask.confidence) for i in present]
    low, high = mover(
        [share * float(table[i, i] / table[i].sum()) for i in present], [(share * lo, share * hi) for lo, hi in bounds]
    )
    return Estimate(value, max(0.0, low), min(1.0, high), int(table.sum()), "MOVER of Wilson")


def _cell_profiles(data: Prepared) -> tuple[NDArray[np.float64], NDArray[np.int64], list[Callable[[Matrix], Matrix]]]:
    """Distinct rows (or entities) by the cells they fall in, how often, and by model: counts of cells to matrices."""
    k = data.k
    columns, sizes = (data.truth, *(model.answer for model in data.models)), (k,) * (1 + len(data.models))
    if data.cluster is None and k ** len(columns) <= MOST_COUNTED:
        table = cells.counted(columns, sizes).ravel()
        there = np.flatnonzero(table)
        distinct, counts = np.eye(len(there)), table[there]
    else:
        code = cells.joined(columns, sizes)
        there, inverse, counts = np.unique(code, return_inverse=True, return_counts=True)
        distinct = np.eye(len(there))
    if data.cluster is not None:
        groups = int(data.cluster.max()) + 1
        by_entity = np.bincount(data.cluster * len(there) + inverse, minlength=groups * len(there))
        distinct, counts = np.unique(
            by_entity.reshape(groups, len(there)).astype(np.float64), axis=0, return_counts=True
        )
    answers = [there // k ** (len(data.models) - 1 - i) % k for i in range(len(data.models))]
    truth = there // k ** len(data.models)
    return distinct, counts.astype(np.int64), [_to_matrix(truth * k + answer, k) for answer in answers]


def _to_matrix(index: NDArray[np.int64], k: int) -> Callable[[Matrix], Matrix]:
    """Counts of cells (..., u) to matrices (..., k, k), where cell i belongs at index[i] of k * k."""
    order = np.argsort(index, kind="stable")
    places, starts = np.unique(index[order], return_index=True)

    def matrices(sums: Matrix) -> Matrix:
        found = np.zeros((*sums.shape[:-1], k * k))
        found[..., places] = np.add.reduceat(sums[..., order], starts, axis=-1)
        return found.reshape(*sums.shape[:-1], k, k)

    return matrices


def _resampled(metric: str, data: Prepared, ask: Ask) -> Estimate:
    distinct, counts, (to_matrix,) = _cell_profiles(data)
    statistic = _statistic(metric, ask.average)
    return bootstrap.interval(
        distinct,
        counts,
        lambda sums: statistic(to_matrix(sums)),
        confidence=ask.confidence,
        seed=ask.seed,
        floor=unseen(data.smallest_class, ask.confidence) * (data.n if metric in CELLS else 1),
    )


def difference(metric: str, data: Prepared, ask: Ask, *, weight: float = 1.0, method: str = "auto") -> Difference:
    """candidate - weight * champion on the same rows. `data` holds the candidate's answers, then the champion's.

    method: auto, delong, tango or paired_bootstrap; raises Unusable where that one does not fit the metric.
    """
    if metric in ("roc_auc", "average_precision"):
        areas = precision_recall.area_difference(metric, data, ask.confidence, ask.average, weight)
        return Difference(areas.difference, areas.candidate, areas.champion, areas.p)
    if metric in losses.LOSSES:
        return _loss_difference(metric, data, ask, weight)
    candidate = estimate(metric, _only(data, 0), ask)
    champion = estimate(metric, _only(data, 1), ask)
    found: Estimate
    p: float | None = None
    if metric == "expected_calibration_error":
        found = calibration_error.difference(data, ask.confidence, ask.seed, weight)
    else:
        discordant = _discordant(metric, ask.average, data) if weight == 1.0 and data.cluster is None else None
        if method == "tango" and discordant is None:
            raise Unusable(f"Tango's interval fits paired proportions with an absolute margin, not {metric} here")
        if discordant is not None and method in ("auto", "tango"):
            b, c, n = discordant
            low, high = paired.tango(b, c, n, ask.confidence)
            found = Estimate((b - c) / n, low, high, n, "Tango")
            p = paired.mcnemar_midp(b, c) if ask.mcnemar == "mid_p" else paired.mcnemar_exact(b, c)
        else:
            found = _resampled_difference(metric, data, ask, weight)
    return Difference(found, candidate.value, champion, p)


def _only(data: Prepared, model: int) -> Prepared:
    return replace(data, models=(data.models[model],))


def _discordant(metric: str, average: str, data: Prepared) -> tuple[int, int, int] | None:
    """Rows that only the candidate, or only the champion, has right, among those that the proportion is of."""
    if metric == "accuracy" or (average == "micro" and metric in ("precision", "recall", "f1")):
        of = None
    elif metric == "recall" and average == "binary":
        of = 1
    elif metric == "specificity":
        of = 0
    else:
        return None
    ours = theirs = asked = 0
    for truth, candidate, champion in spill.blocks(data.truth, *(model.answer for model in data.models)):
        rows = np.ones(len(truth), dtype=bool) if of is None else truth == of
        right, other = (candidate == truth) & rows, (champion == truth) & rows
        ours += int(np.count_nonzero(right & ~other))
        theirs += int(np.count_nonzero(other & ~right))
        asked += int(np.count_nonzero(rows))
    return ours, theirs, asked


def _resampled_difference(metric: str, data: Prepared, ask: Ask, weight: float) -> Estimate:
    distinct, counts, (ours, theirs) = _cell_profiles(data)
    statistic = _statistic(metric, ask.average)

    def contrast(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        return statistic(ours(sums)) - weight * statistic(theirs(sums))

    floor = unseen(data.smallest_class, ask.confidence) * (data.n if metric in CELLS else 1)
    return bootstrap.interval(distinct, counts, contrast, confidence=ask.confidence, seed=ask.seed, floor=floor)


def _loss_difference(metric: str, data: Prepared, ask: Ask, weight: float) -> Difference:
    loss = losses.LOSSES[metric]
    about, d = loss.checked(data), loss.of(data.part(slice(0, 1)), 0, loss.checked(data)).shape[1]

    def both(part: slice) -> NDArray[np.float64]:
        rows = data.part(part)
        return np.concatenate([loss.of(rows, 0, about), loss.of(rows, 1, about)], axis=1)

    def contrast(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        n = sums[..., -1:]
        return loss.statistic(np.concatenate([sums[..., :d], n], axis=-1)) - weight * loss.statistic(
            np.concatenate([sums[..., d:-1], n], axis=-1)
        )

    def of_champion(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        return loss.statistic(sums[..., d:])

    found, champion = moments.estimates(
        moments.Rows(data.n, both, data.columns),
        (contrast, of_champion),
        confidence=ask.confidence,
        seed=ask.seed,
        cluster=data.cluster,
    )
    return Difference(found, found.value + weight * champion.value, champion)
