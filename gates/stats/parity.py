"""How unequally groups are treated: the largest gap, or the smallest ratio, of a rate over groups, with intervals.

The largest minus the smallest of noisy rates is biased up: five equal groups of 100 differ by more than 0.1 half the
time. So each pair of groups gets an interval at a level that holds for all pairs at once (Bonferroni), and the bounds
of the largest gap are the largest of the lower bounds and the largest of the upper ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from gates.stats import bootstrap, cells
from gates.stats.estimate import Estimate, Unusable
from gates.stats.proportion import newcombe, ratio_of_proportions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Rates = dict[str, tuple[float, float]]
"""By group: (rows selected, rows that could be)."""

KINDS: dict[str, tuple[str, ...]] = {
    "demographic_parity": ("selection",),
    "equalized_odds": ("tpr", "fpr"),
    "equal_opportunity": ("tpr",),
}


@dataclass(frozen=True)
class Disparity:
    """The estimate, the pair of groups that makes it, and the rate it is of."""

    estimate: Estimate
    pair: tuple[str, str]
    rate: str


def rates(
    kind: str, groups: NDArray[np.intp], names: Sequence[str], truth: NDArray[np.intp], answer: NDArray[np.intp]
) -> dict[str, Rates]:
    """By rate (selection, tpr, fpr) and group: selected rows and rows in question. truth, answer: (n,) codes."""
    table = cells.counted((groups, truth, answer), (len(names), 2, 2))
    found: dict[str, Rates] = {}
    for rate in KINDS[kind]:
        of = table.sum(axis=1) if rate == "selection" else table[:, 1 if rate == "tpr" else 0]
        selected, asked = of[:, 1], of.sum(axis=1)
        for name, count in zip(names, asked, strict=True):
            if count == 0:
                raise Unusable(f"group {name!r} has no row for the {rate} rate")
        found[rate] = {name: (float(selected[i]), float(asked[i])) for i, name in enumerate(names)}
    return found


def difference(found: dict[str, Rates], confidence: float, families: int = 1) -> Disparity:
    """The largest gap between two groups, over all rates given (fairlearn's worst case), in [0, 1].

    families: how many such families are judged together; the level is shared with them.
    """
    level = _shared(found, confidence, families)
    best: list[tuple[float, float, float, tuple[str, str], str]] = []
    for rate, by_group in found.items():
        for a, b in combinations(by_group, 2):
            gap = by_group[a][0] / by_group[a][1] - by_group[b][0] / by_group[b][1]
            low, high = newcombe(*by_group[a], *by_group[b], level)
            smallest = max(0.0, low, -high)
            best.append((abs(gap), smallest, max(abs(low), abs(high)), (a, b), rate))
    value, _, _, pair, rate = max(best, key=lambda item: item[0])
    n = int(sum(asked for _, asked in next(iter(found.values())).values()))
    low, high = max(item[1] for item in best), min(1.0, max(item[2] for item in best))
    return Disparity(Estimate(value, min(low, value), max(high, value), n, "simultaneous Newcombe"), pair, rate)


def ratio(found: dict[str, Rates], confidence: float, families: int = 1) -> Disparity:
    """The smallest ratio of two groups' rates over all rates, in [0, 1]. Raises Unusable when every rate is 0."""
    level = _shared(found, confidence, families)
    best: list[tuple[float, float, float, tuple[str, str], str]] = []
    for rate, by_group in found.items():
        if all(selected == 0 for selected, _ in by_group.values()):
            raise Unusable(f"the {rate} rate is 0 in every group, so ratios are undefined")
        for a, b in combinations(by_group, 2):
            small, large = sorted((a, b), key=lambda group: by_group[group][0] / by_group[group][1])
            top = by_group[large][0] / by_group[large][1]
            if top == 0.0:
                best.append((math.inf, 0.0, 1.0, (small, large), rate))
                continue
            low, high = ratio_of_proportions(*by_group[small], *by_group[large], level)
            low, high = min(low, 1 / high if high > 1 else low), min(1.0, high)
            best.append((by_group[small][0] / by_group[small][1] / top, low, high, (small, large), rate))
    value, _, _, pair, rate = min(best, key=lambda item: item[0])
    n = int(sum(asked for _, asked in next(iter(found.values())).values()))
    low, high = min(item[1] for item in best), min(item[2] for item in best)
    return Disparity(Estimate(value, min(low, value), max(high, value), n, "simultaneous MOVER-R"), pair, rate)


def _shared(found: dict[str, Rates], confidence: float, families: int) -> float:
    groups = len(next(iter(found.values())))
    if groups < 2:
        raise Unusable("there is one group only, so there is nothing to compare")
    return 1.0 - (1.0 - confidence) / (len(found) * groups * (groups - 1) / 2 * families)


def change(
    kind: str,
    groups: NDArray[np.intp],
    size: int,
    truth: NDArray[np.intp],
    candidate: NDArray[np.intp],
    champion: NDArray[np.intp],
    *,
    as_ratio: bool,
    confidence: float,
    seed: int,
) -> Estimate:
    """The candidate's disparity minus the champion's on the same rows, by a paired BCa bootstrap over cells."""
    table = cells.counted((groups, truth, candidate, champion), (size, 2, 2, 2))
    there = np.flatnonzero(table)
    counts = table.ravel()[there]
    grid = np.eye(size * 8)[there]

    def contrast(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        drawn = (sums @ grid).reshape(*sums.shape[:-1], size, 2, 2, 2)
        return _disparity(kind, drawn.sum(-1), as_ratio) - _disparity(kind, drawn.sum(-2), as_ratio)

    floor = 2.0 / (2.0 + int(table.sum(axis=(1, 2, 3)).min()))
    return bootstrap.interval(
        np.eye(len(there)), counts.astype(np.int64), contrast, confidence=confidence, seed=seed, floor=floor
    )


def _disparity(kind: str, table: NDArray[np.float64], as_ratio: bool) -> NDArray[np.float64]:
    """table: (..., groups, truth, answer) -> (...)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        by_rate = {
            "selection": table[..., 1].sum(-1) / table.sum((-1, -2)),
            "tpr": table[..., 1, 1] / table[..., 1, :].sum(-1),
            "fpr": table[..., 0, 1] / table[..., 0, :].sum(-1),
        }
        chosen = np.stack([by_rate[rate] for rate in KINDS[kind]])
        if as_ratio:
            smallest: NDArray[np.float64] = (chosen.min(-1) / chosen.max(-1)).min(0)
            return smallest
        largest: NDArray[np.float64] = (chosen.max(-1) - chosen.min(-1)).max(0)
        return largest
