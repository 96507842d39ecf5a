"""Expected calibration error with an interval that knows its bias.

The error is a sum of absolute values, so noise only ever adds to it: a perfectly calibrated model of 300 rows shows
about 0.08. A bootstrap repeats that bias and covers almost never. Here each bound holds whatever the true errors of the
bins are: the upper one because a sum of absolute values is never under the sum with its signs, the lower one because
it gives away all that noise can have added to bins whose sign is not plain. So they cover 95 % or more, and near
perfect calibration much more: a short interval would be a false one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gates.stats import exact, spill
from gates.stats.estimate import Estimate, Unusable
from gates.stats.losses import of_positive, probabilities
from gates.stats.proportion import z_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gates.stats.prepared import Prepared

BINS = 15
DRAWS = 10_000
FEWEST = 30  # rows or clusters, below which a bin's noise cannot be told from its own few values


@dataclass(frozen=True)
class Bins:
    """gap: (BINS,) mean over all rows of (confidence - hit) in each bin; noise: (BINS,) its standard error; n: rows or
    clusters.
    """

    gap: NDArray[np.float64]
    noise: NDArray[np.float64]
    n: int


def bins(data: Prepared, model: int) -> Bins:
    """15 equal bins of confidence (Guo et al. 2017, arXiv 1706.04599, eq. 3), right edges inside.

    Binary: confidence in the positive class; else in the top label. A bin's noise is the larger of what its rows show
    and what its confidences imply, for a bin without a miss shows none.
    """
    groups = data.n if data.cluster is None else int(data.cluster.max()) + 1
    sums = _by_bin(data, model) if data.cluster is None else _by_bin_and_entity(data, model, data.cluster)
    gap, noise = np.zeros(BINS), np.zeros(BINS)
    for b, (added, squared, implied) in enumerate(sums):
        gap[b] = added / data.n
        shown = squared - groups * (added / groups) ** 2
        noise[b] = math.sqrt(max(shown, implied)) / data.n
    return Bins(gap, noise, groups)


def _confidence(data: Prepared, model: int) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.intp]]:
    """Of each row its confidence, whether it is a hit, and its bin."""
    if data.k == 2:
        confidence, hit = of_positive(data, model), data.truth == 1
    else:
        p = probabilities(data, model)
        top = p.argmax(axis=1)
        confidence, hit = p[np.arange(len(p)), top], top == data.truth
    return confidence, hit, np.clip(np.ceil(confidence * BINS).astype(np.intp) - 1, 0, BINS - 1)


def _by_bin(data: Prepared, model: int) -> list[tuple[float, float, float]]:
    """Of each bin the sums of confidence - hit, of its square, and of confidence (1 - confidence)."""
    sums = [(exact.Sum(), exact.Sum(), exact.Sum()) for _ in range(BINS)]
    for part in spill.parts(*data.columns):
        confidence, hit, bin_of = _confidence(data.part(part), model)
        order = np.argsort(bin_of.astype(np.int8), kind="stable")
        confidence, added = confidence[order], (confidence - hit)[order]
        ends = np.cumsum(np.bincount(bin_of, minlength=BINS))
        for found, start, stop in zip(sums, [0, *ends[:-1]], ends, strict=True):
            one, c = added[start:stop], confidence[start:stop]
            for total, values in zip(found, (one, one**2, c * (1.0 - c)), strict=True):
                total.add(values)
    return [(a.value, b.value, c.value) for a, b, c in sums]


def _by_bin_and_entity(data: Prepared, model: int, cluster: NDArray[np.intp]) -> list[tuple[float, float, float]]:
    """The same, where what is added and squared are the sums of an entity's rows in the bin."""
    confidence, hit, bin_of = _confidence(data, model)
    found = []
    for b in range(BINS):
        inside = np.flatnonzero(bin_of == b)
        parts, entity, c = (confidence - hit)[inside], cluster[inside], confidence[inside]
        order = np.lexsort((parts, entity))
        parts = np.asarray(np.bincount(entity[order], weights=parts[order]), dtype=np.float64)
        found.append((exact.total(parts), exact.total(parts**2), exact.total(c * (1.0 - c))))
    return found


def estimate(data: Prepared, model: int, confidence: float, seed: int) -> Estimate:
    """The plain error, with bounds that hold for every pattern of true errors by bin.

    upper: T + z sqrt(sum s_b^2), as T >= sum of sign(mu_b) m_b. lower: T less the upper quantile of what noise adds,
    |N(0, s_b)| in bins within sqrt(log n) standard errors of 0 and N(0, s_b) in the others: the directional delta
    method with moment selection (Fang & Santos 2019, Rev. Econ. Stud. 86:377; Andrews & Soares 2010, Econometrica
    78:119).
    """
    found = bins(data, model)
    value = math.fsum(np.abs(found.gap))
    if found.n < FEWEST:
        return Estimate(value, 0.0, 1.0, found.n, "too few rows to tell error from noise")
    upper = value + z_of(confidence) * math.sqrt(math.fsum(found.noise**2))
    plain = np.abs(found.gap) > math.sqrt(math.log(found.n)) * found.noise
    drawn = np.random.default_rng(seed).standard_normal((DRAWS, BINS)) * found.noise
    added = np.where(plain, drawn, np.abs(drawn)).sum(axis=1)
    lower = value - float(np.quantile(added, 0.5 + confidence / 2.0))
    return Estimate(value, min(max(0.0, lower), value), min(1.0, upper), found.n, "bias-aware bins")


def difference(data: Prepared, confidence: float, seed: int, weight: float) -> Estimate:
    """candidate - weight * champion, from both intervals at half the error each: bounds that may both be off are added.

    Two models err alike on the same rows and their noise partly cancels, so this is wide. It is not MOVER, which adds
    distances in quadrature: bias is no noise, and a calibrated champion's bias would hide a candidate's error.
    """
    half = 1.0 - (1.0 - confidence) / 2.0
    a, b = estimate(data, 0, half, seed), estimate(data, 1, half, seed)
    if weight < 0:
        raise Unusable("a relative margin over 100 % leaves nothing to compare")
    low, high = a.low - weight * b.high, a.high - weight * b.low
    return Estimate(a.value - weight * b.value, low, high, min(a.n, b.n), "bias-aware bins, both bounds")
