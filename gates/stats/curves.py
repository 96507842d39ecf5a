"""Curves for people to look at: ROC, calibration, bounded in size whatever n is. Nothing is decided on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gates.stats.proportion import wilson

if TYPE_CHECKING:
    from numpy.typing import NDArray

POINTS = 101
BINS = 10


def roc(positive: NDArray[np.bool_], score: NDArray[np.float64], points: int = POINTS) -> list[tuple[float, float]]:
    """(false positive rate, true positive rate) from (0, 0) to (1, 1); rows of equal score move together.

    positive, score: (n,), both classes present. At most `points` of the curve's own corners, evenly spaced along it.
    """
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    hits = np.concatenate([[0], np.cumsum(positive[order])[last]])
    misses = np.concatenate([[0], last + 1]) - hits
    x, y = misses / misses[-1], hits / hits[-1]
    if len(x) > points:
        along = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
        chosen = np.unique(np.searchsorted(along, np.linspace(0.0, along[-1], points - 1)))
        chosen = np.unique(np.append(np.minimum(chosen, len(x) - 1), len(x) - 1))
        x, y = x[chosen], y[chosen]
    return [(float(a), float(b)) for a, b in zip(x, y, strict=True)]


def calibration(
    positive: NDArray[np.bool_], score: NDArray[np.float64], bins: int = BINS, confidence: float = 0.95
) -> list[tuple[float, float, float, float, int]]:
    """(mean score, observed share, low, high, rows) of each bin of [0, 1] that holds rows; Wilson's interval.

    positive, score: (n,), scores in [0, 1].
    """
    of = np.minimum((score * bins).astype(np.intp), bins - 1)
    found = []
    for i in range(bins):
        inside = of == i
        n, hits = int(inside.sum()), int(positive[inside].sum())
        if n:
            low, high = wilson(hits, n, confidence)
            found.append((float(score[inside].mean()), hits / n, low, high, n))
    return found
