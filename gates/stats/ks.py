"""Two-sample Kolmogorov–Smirnov: the p-value of a distance D, without importing scipy.stats (1.7 s) for it.

Rule, the one of scipy's `ks_2samp(method="auto")`: exact when neither sample has more than 10,000 values, else the
one-sample distribution at the effective size round(n m / (n + m)). The distance itself is `distances.compare`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

EXACT_UP_TO = 10_000
"""Samples of at most this many values get an exact p-value (scipy's MAX_AUTO_N)."""

_SMIRNOV_UP_TO = 1_000_000
_SLAB = 1 << 14
_SPAN = 640.0
"""Largest log of b^-width at which a row of paths is summed: e^640 times any of them is below the largest float."""
_FAR = 250.0
"""Largest squared distance, n m / (n + m) d^2, there: p is then over e^-500, and no path's weight is lost."""
_STIRLING = (-3617 / 122400, 1 / 156, -691 / 360360, 1 / 1188, -1 / 1680, 1 / 1260, -1 / 360, 1 / 12)
"""B_2j / (2j (2j − 1)), Bernoulli numbers, highest power first."""
_STIRLING_ERRORS = (
    0.0,
    *(math.lgamma(k + 1) - (k + 0.5) * math.log(k) + k - 0.5 * math.log(2 * math.pi) for k in range(1, 16)),
)


def p_value(d: float, n: int, m: int) -> float:
    """P(D ≥ d) for samples of n and m values of one continuous distribution; conservative with ties.

    d in [0, 1]. ValueError when d is not a number in that range or a sample is empty.
    """
    if not 0.0 <= d <= 1.0 or n < 1 or m < 1:
        raise ValueError(f"no p-value for d={d!r}, n={n}, m={m}")
    if max(n, m) <= EXACT_UP_TO:
        return _exact(d, n, m)
    return one_sample_sf(d, round(n * m / (n + m)))


def _exact(d: float, n: int, m: int) -> float:
    """Hodges, Arkiv för Matematik 3 (1958) 469: the share of lattice paths that leave |i/n - j/m| < d."""
    g = math.gcd(n, m)
    reach = round(d * (n // g) * m)
    if reach == 0:
        return 1.0
    p = _exact_equal(n, reach) if n == m else _exact_unequal(n, m, g, reach)
    return min(1.0, max(0.0, p))


def _exact_equal(n: int, reach: int) -> float:
    """Gnedenko & Korolyuk 1951: 2 Σ (-1)^(k+1) C(2n, n - k h) / C(2n, n), as a nested product without cancellation."""
    steps = np.arange(reach, dtype=np.float64)
    p = 0.0
    for k in range(n // reach, -1, -1):
        term = float(np.prod((n - k * reach - steps) / (n + k * reach + steps + 1.0)))
        p = term * (1.0 - p)
    return 2.0 * p


def _exact_unequal(n: int, m: int, g: int, reach: int) -> float:
    """The share of paths from (0, 0) to (n, m) that touch |i m/g - j n/g| >= reach; only sums of positives."""
    n, m = min(n, m), max(n, m)
    slope, rise = m // g, n // g
    at = np.arange(n + 1, dtype=np.int64) * slope
    low, high = np.maximum((at - reach) // rise + 1, 0), np.minimum(-(-(at + reach) // rise) - 1, m)
    if np.any(low > high):
        return 1.0
    span = (int((high - low).max()) + 1) * math.log1p(n / m)
    z2 = (reach * g / n / m) ** 2 * n * m / (n + m)
    if span > _SPAN or z2 > _FAR:
        return _by_diagonals(n, m, slope, rise, reach)
    return _by_rows(n, m, low, high)


def _by_rows(n: int, m: int, low: NDArray[np.int64], high: NDArray[np.int64]) -> float:
    """R(i, j) = b R(i, j-1) + a R(i-1, j) with b = m/(n+m), a = 1 - b: paths that touched, times a^i b^j.

    Row i, from low[i] to high[i], is a running sum of the row before once divided by b^(j - low[i]), so that n ≤ m
    steps do. What lies beyond the band is all paths: the binomial probability of i in i + j.
    """
    b = m / (n + m)
    a = 1.0 - b  # without rounding, as b ≥ 1/2: else the weights of 20,000 steps are off by 1e-12
    columns = np.arange(int(high[0]) + 1, m + 1)
    row = np.zeros(m + 1)
    row[columns] = _binomial(np.searchsorted(high, columns) - 1, columns, a, b)
    left = np.zeros(n + 1)
    inner = np.flatnonzero(low)
    left[inner] = b * _binomial(inner, low[inner] - 1, a, b)
    powers = b ** np.arange(int((high - low).max()) + 1, dtype=np.float64)
    scaled, held = a / powers, np.empty_like(powers)
    accumulate, multiply = np.add.accumulate, np.multiply
    for start, stop, edge in zip(low[1:].tolist(), (high[1:] + 1).tolist(), left[1:].tolist(), strict=True):
        width = stop - start
        now, sums = row[start:stop], held[:width]
        multiply(now, scaled[:width], out=sums)
        sums[0] += edge
        accumulate(sums, out=sums)
        multiply(sums, powers[:width], out=now)
    return float(row[m] / _binomial(np.array([n]), np.array([m]), a, b)[0])


def _binomial(i: NDArray[np.int64], j: NDArray[np.int64], a: float, b: float) -> NDArray[np.float64]:
    """(k,) C(i + j, i) a^i b^j by Loader 2000; i, j (k,) whole and ≥ 0, a + b = 1."""
    found = np.where(i == 0, b ** j.astype(np.float64), a ** i.astype(np.float64))
    both = np.flatnonzero((i > 0) & (j > 0))
    v, w = i[both].astype(np.float64), j[both].astype(np.float64)
    found[both] = _loader(v + w, v, (v + w) * a, (v + w) * b)
    return found


def _by_diagonals(n: int, m: int, slope: int, rise: int, reach: int) -> float:
    """P(i, j) = i/(i+j) P(i-1, j) + j/(i+j) P(i, j-1), 1 outside the band, by antidiagonals: of any width and distance.

    P(i, j) is the share of paths from (0, 0) to (i, j) that touch the band's edge.
    """
    outside = np.ones(n + 2)
    """outside[i + 1] on the diagonal i + j = s; what lies beyond the band is 1."""
    outside[1] = 0.0
    index = np.arange(n + 1, dtype=np.float64)
    span = slope + rise
    first, last = 0, 0
    for s in range(1, n + m + 1):
        low = max(0, s - m, (s * rise - reach) // span + 1)
        high = min(n, s, -((-s * rise - reach) // span) - 1)
        i = index[low : high + 1]
        row = (i * outside[low : high + 1] + (s - i) * outside[low + 1 : high + 2]) / s
        outside[first + 1 : low + 1] = 1.0
        outside[high + 2 : last + 2] = 1.0
        outside[low + 1 : high + 2] = row
        first, last = low, high
    return float(outside[n + 1])


def one_sample_sf(x: float, n: int) -> float:
    """P(D_n > x) of the two-sided one-sample statistic; Simard & L'Ecuyer, J. Stat. Software 39 (2011) no. 11.

    Where n or n x is small their matrix and recursion methods are needed: those come from scipy.stats.
    """
    t = n * x
    if x >= 1.0:
        return 0.0
    if t <= 0.5:
        return 1.0
    if t <= 1.0 and n > 140:
        return 1.0 - math.exp(_log_factorial_ratio(n) + n * math.log(2.0 * t - 1.0)) if t > 0.5 else 1.0
    if t >= n - 1:
        return min(1.0, 2.0 * (1.0 - x) ** n)
    spread = t * x
    if n > 140 and spread >= 370.0:
        return 0.0
    if (n > 140 and spread >= 2.2) or x >= 0.5 or (n <= 140 and spread > 4.0):
        return min(1.0, 2.0 * _smirnov(n, x))
    if n > 140 and not (n <= 100_000 and n * x**1.5 <= 1.4):
        return min(1.0, max(0.0, 1.0 - _pelz_good(n, x)))
    from scipy.stats import kstwo  # rare: an effective size below 140, or almost no distance

    return float(kstwo.sf(x, n))


def _log_factorial_ratio(n: int) -> float:
    """log(n! / n^n), by Stirling with n log n removed before it can cancel."""
    r = 1.0 / n
    return math.log(n) / 2 - n + math.log(2 * math.pi) / 2 + r * float(np.polyval(_STIRLING, r / n))


def _stirling_error(k: NDArray[np.float64]) -> NDArray[np.float64]:
    """log k! - Stirling's log, for whole k ≥ 1 (Loader 2000, eq. 3); below 16 from the factorial itself."""
    r = 1.0 / (k * k)
    series: NDArray[np.float64] = (1 / 1260 - (1 / 1680 - (1 / 1188 - 691 / 360360 * r) * r) * r) * r
    series = (1 / 12 - (1 / 360 - series) * r) / k
    small = np.flatnonzero(k < 16)
    series[small] = np.array(_STIRLING_ERRORS)[k[small].astype(np.int64)]
    return series


def _loader(
    n: NDArray[np.float64], v: NDArray[np.float64], mean: NDArray[np.float64], rest: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The binomial probability of v in n with means n p and n q, 0 < v < n (Loader 2000, section 2)."""
    log_terms = _stirling_error(n) - _stirling_error(v) - _stirling_error(n - v)
    log_terms -= _deviance(v, mean) + _deviance(n - v, rest)
    found: NDArray[np.float64] = np.exp(log_terms) * np.sqrt(n / (2 * math.pi * v * (n - v)))
    return found


def _deviance(k: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """k log(k / mean) + mean - k without cancellation where k is near mean (Loader 2000, section 4)."""
    away = k - mean
    w = away / (k + mean)
    far = np.flatnonzero(np.abs(w) >= 0.1)
    w[far] = 0.0
    w2 = w * w
    largest = float(w2.max(initial=0.0))
    terms = 1
    while largest**terms > 1e-18 and terms < 12:
        terms += 1
    tail = np.zeros_like(w)
    for j in range(terms, 0, -1):
        tail += 1.0 / (2 * j + 1)
        tail *= w2
    result: NDArray[np.float64] = away * w + 2 * k * w * tail
    result[far] = k[far] * np.log(k[far] / mean[far]) - away[far]
    return result


def _smirnov(n: int, d: float) -> float:
    """P(D_n^+ ≥ d), Smirnov 1944 (Birnbaum & Tingey 1951): d Σ_v C(n, v) (d + v/n)^(v-1) (1 - d - v/n)^(n-v).

    Each term is d/(d + v/n) times a binomial probability, taken by Loader's method ('Fast and accurate computation
    of binomial probabilities', 2000), so that n of a million keeps 13 digits. Beyond that Maag & Dicaire's
    exp(−(6 n d + 1)² / 18 n), Biometrika 58 (1971) 653, as scipy does, and where p is below 1e-34.
    """
    if n > _SMIRNOV_UP_TO or (n > EXACT_UP_TO and n * d * d > 40.0):
        return math.exp(-((6.0 * n * d + 1.0) ** 2) / (18.0 * n))
    last = min(n - 1, math.floor(n * (1.0 - d)))
    first = math.exp(n * math.log1p(-d)) if d < 1.0 else 0.0
    return first + math.fsum(_terms(n, d, at, min(at + _SLAB, last + 1)) for at in range(1, last + 1, _SLAB))


def _terms(n: int, d: float, start: int, stop: int) -> float:
    """The sum of `_smirnov` over v from start to before stop."""
    v = np.arange(start, stop, dtype=np.float64)
    v = v[n - v - n * d > 0.0]
    p, q = d + v / n, (n - v - n * d) / n
    return float(np.sum(_loader(np.array([float(n)]), v, n * p, n * q) * (d / p)))


def _pelz_good(n: int, x: float) -> float:
    """P(D_n ≤ x) to order n^(-3/2): Pelz & Good, JRSS B 38 (1976) 152, eq. 6-9, in the form for small z."""
    z = math.sqrt(n) * x
    pi2 = math.pi**2
    if -pi2 / 8 / z**2 < -708.0:
        return 0.0
    k = np.arange(math.ceil(16 * z / math.pi) + 1, 0, -1, dtype=np.float64)
    odd2 = (2 * k - 1) ** 2
    theta = np.exp(-pi2 * odd2 / 8 / z**2)
    whole = pi2 * k**2
    decay = np.exp(-whole / 2 / z**2)
    z2, z4, z6, z8 = z**2, z**4, z**6, z**8
    a = pi2 * odd2 / 4
    k0 = np.sum(theta) / z
    k1 = np.sum(theta * (a - z2)) / (6 * z4)
    k2 = np.sum(theta * (6 * z6 + 2 * z4 + (2 * z4 - 5 * z2) * a + (1 - 2 * z2) * a**2)) / (72 * z**7)
    k2 -= np.sum(whole * decay) / (36 * z**3)
    cubic = -30 * z6 - 90 * z8 + (135 * z4 - 96 * z6) * a + (212 * z4 - 60 * z2) * a**2 + (5 - 30 * z2) * a**3
    k3 = np.sum(theta * cubic) / (6480 * z**10) + np.sum((3 * z2 - whole) * whole * decay) / (216 * z6)
    root = math.sqrt(n)
    return float(math.sqrt(2 * math.pi) * (k0 + k1 / root + k2 / n + k3 / (n * root)))
