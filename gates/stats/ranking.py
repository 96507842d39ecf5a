"""How alike two rankings of features are, and how alike one is to itself when its rows are drawn again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def top(importance: NDArray[np.float64], names: Sequence[str], k: int) -> tuple[str, ...]:
    """The k names of largest importance, ties by name, so that the order of the columns does not matter."""
    order = sorted(range(len(names)), key=lambda i: (-float(importance[i]), names[i]))
    return tuple(names[i] for i in order[:k])


def overlap(a: Sequence[str], b: Sequence[str]) -> float:
    """The share of a's names that b has."""
    return len(set(a) & set(b)) / len(a)


def spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Rank correlation with midranks for ties (Spearman 1904); NaN when one side is constant."""
    ra, rb = _midranks(a), _midranks(b)
    ra, rb = ra - ra.mean(), rb - rb.mean()
    scale = float(np.sqrt((ra @ ra) * (rb @ rb)))
    return float(ra @ rb) / scale if scale > 0 else float("nan")


def _midranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    ordered = np.sort(values)
    below = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    return below / 2.0


def self_overlap(
    attributions: NDArray[np.float64], names: Sequence[str], k: int, *, seed: int, resamples: int = 200
) -> NDArray[np.float64]:
    """The overlap of the top k of each bootstrap resample of the rows with the top k of all: (resamples,), ascending.

    attributions: (n, d) float64, one row's absolute attribution to each feature.
    """
    canonical = attributions[np.lexsort(attributions.T)]
    whole = top(canonical.mean(axis=0), names, k)
    n, rng = len(canonical), np.random.default_rng(seed)
    weights = rng.multinomial(n, np.full(n, 1.0 / n), size=resamples) / n
    return np.sort([overlap(whole, top(row, names, k)) for row in weights @ canonical])
