"""Areas under the ROC curve: one, and two on the same rows, with DeLong's variance in O(n log n).

The variance comes from each row's structural component: the share of the other class that it is ranked against rightly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit, logit, ndtr

from gates.stats import order, spill, student
from gates.stats.estimate import Estimate, Unusable
from gates.stats.proportion import clopper_pearson

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Components:
    """auc, and the structural components: positive (m,), negative (n,), each float64 with mean `auc`."""

    auc: float
    positive: NDArray[np.float64]
    negative: NDArray[np.float64]


def components(positive: NDArray[np.bool_], scores: NDArray[np.float64]) -> Components:
    """Structural components V10, V01 (DeLong 1988, Biometrics 44:837-845, eq. 3-4; ranks: Sun & Xu 2014, SPL 21:1389),
    in the order of the rows.

    positive: (n,) bool. scores: (n,) float64, finite. Ties count one half.
    Raises Unusable when one of the classes is absent.
    """
    ranked, (place,) = _ranked(positive, scores, np.arange(len(scores)))
    of_row = np.empty(len(scores))
    of_row[place] = ranked.component
    return Components(ranked.auc, of_row[positive], of_row[~positive])


@dataclass(frozen=True)
class _Ranked:
    """auc, positive rows m, and of each row (n,), in some order: whether it is positive, its structural component."""

    auc: float
    m: int
    positive: NDArray[np.bool_]
    component: NDArray[np.float64]

    def spread(self, other: _Ranked | None = None, weight: float = 1.0) -> student.Spread:
        """Of the area, or of auc - weight * other.auc, whose rows are in the same order (DeLong 1988, eq. 5-7)."""
        components = (self.component,) if other is None else (self.component, other.component)

        def of(label: bool) -> student.Spread:
            def values() -> Iterator[NDArray[np.float64]]:
                for positive, *parts in spill.blocks(self.positive, *components):
                    own = [part[positive == label] for part in parts]
                    yield own[0] if other is None else own[0] - weight * own[1]

            return student.spread_of(values)

        sizes = {True: self.m, False: len(self.positive) - self.m}
        found = [of(label) for label, size in sizes.items() if size > 1]
        return student.joined(found) if found else student.Spread(0.0, student.FEWEST)


def _ranked(
    positive: NDArray[np.bool_], scores: NDArray[np.float64], *carried: NDArray[Any]
) -> tuple[_Ranked, tuple[NDArray[Any], ...]]:
    """Every row's component, rows in ascending order of score, and what is carried in that order too."""
    m = sum(int(np.count_nonzero(block)) for (block,) in spill.blocks(positive))
    n = len(positive) - m
    if m == 0 or n == 0:
        raise Unusable("the target holds one class only, so there is no ROC curve")
    ordered, label, *others = order.ascending(scores, positive, *carried)
    component = spill.empty(len(label), np.float64)
    twice_won = hits_before = misses_before = 0
    for step in order.steps(ordered, label, component):
        misses = step.rows - step.hits
        won = 2 * (misses_before + np.cumsum(misses)) - misses  # twice the negatives below, ties once
        lost = 2 * (hits_before + np.cumsum(step.hits)) - step.hits
        twice_won += int((step.hits * won).sum())
        of_hit, of_miss = won / (2.0 * n), 1.0 - lost / (2.0 * m)
        order.write(step, label, component, of_hit, of_miss)
        hits_before, misses_before = hits_before + int(step.hits.sum()), misses_before + int(misses.sum())
    spill.release(ordered, label, component)
    return _Ranked(twice_won / (2 * m * n), m, label, component), tuple(others)


@dataclass(frozen=True)
class Area:
    """auc, its spread, and the rows of the class that has fewer."""

    auc: float
    spread: student.Spread
    fewer: int
    n: int


def _area(ranked: _Ranked) -> Area:
    n = len(ranked.positive)
    return Area(ranked.auc, ranked.spread(), min(ranked.m, n - ranked.m), n)


def auc(positive: NDArray[np.bool_], scores: NDArray[np.float64], confidence: float) -> Estimate:
    """The area with its interval; see `components` and `interval`."""
    return interval(_area(_ranked(positive, scores)[0]), confidence)


def interval(area: Area, confidence: float) -> Estimate:
    """An interval on the logit scale (Pepe 2003, section 5.2.5), which stays inside (0, 1).

    A perfect ranking has no variance to estimate: there the bound is Clopper-Pearson over min(m, n) independent pairs.
    """
    found, pairs = area.spread, area.fewer
    if found.variance <= 0.0 or not 0.0 < area.auc < 1.0:
        low, high = clopper_pearson(area.auc * pairs, pairs, confidence)
        return Estimate(area.auc, low, high, area.n, "Clopper-Pearson over pairs")
    half = student.reach(confidence, found.degrees) * found.error / (area.auc * (1.0 - area.auc))
    low, high = expit(logit(area.auc) - half), expit(logit(area.auc) + half)
    return Estimate(area.auc, float(low), float(high), area.n, "DeLong")


@dataclass(frozen=True)
class Comparison:
    """difference = a - weight * b, its spread, and the two-sided p of difference = 0 (normal, as published)."""

    a: Area
    b: Area
    difference: float
    spread: student.Spread
    p: float

    @property
    def standard_error(self) -> float:
        return self.spread.error


def compare(
    positive: NDArray[np.bool_], a: NDArray[np.float64], b: NDArray[np.float64], weight: float = 1.0
) -> Comparison:
    """Two areas on the same rows, as correlated as they are (DeLong 1988, eq. 5-7, contrast (1, -weight))."""
    by_a, (scores,) = _ranked(positive, a, b)
    by_b, (component,) = _ranked(by_a.positive, scores, by_a.component)
    by_a = _Ranked(by_a.auc, by_a.m, by_b.positive, component)
    apart, difference = by_a.spread(by_b, weight), by_a.auc - weight * by_b.auc
    p = 1.0 if apart.error == 0.0 else float(2.0 * ndtr(-abs(difference) / apart.error))
    return Comparison(_area(by_a), _area(by_b), difference, apart, p)
