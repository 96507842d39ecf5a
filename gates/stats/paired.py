"""Two models on the same rows, right or wrong on each: tests and an interval from the discordant counts alone.

b: rows that only the first model has right; c: rows that only the second has right; n: all rows.
"""

from __future__ import annotations

import math

from scipy.special import betainc, betaln

from gates.stats.proportion import Interval, z_of


def _counted(b: int, c: int, n: int | None = None) -> None:
    if b < 0 or c < 0 or (n is not None and (n <= 0 or b + c > n)):
        raise ValueError(f"need b, c >= 0 and b + c <= n with n > 0, got b={b}, c={c}, n={n}")


def mcnemar_exact(b: int, c: int) -> float:
    """Two-sided exact p of b and c being equally likely (McNemar 1947, Psychometrika 12:153-157)."""
    _counted(b, c)
    return min(1.0, 2.0 * _cumulative(min(b, c), b + c))


def mcnemar_midp(b: int, c: int) -> float:
    """Two-sided mid-p: less conservative than the exact test (Fagerland et al. 2013, BMC Med. Res. Methodol. 13:91)."""
    _counted(b, c)
    smaller, total = min(b, c), b + c
    return min(1.0, 2.0 * _cumulative(smaller, total) - _mass(smaller, total))


def _cumulative(k: int, n: int) -> float:
    """P(X <= k) for X ~ Binomial(n, 1/2)."""
    return 1.0 if k >= n else float(betainc(n - k, k + 1, 0.5))


def _mass(k: int, n: int) -> float:
    return math.exp(-float(betaln(n - k + 1, k + 1)) - math.log(n + 1) - n * math.log(2.0))


def tango_score(b: int, c: int, n: int, delta: float) -> float:
    """Score statistic of H: p_first - p_second = delta (Tango 1998, Statist. Med. 17:891-908, eq. 5-7).

    Standard normal under H. Not finite only where no variance is left (delta = 1 or -1).
    """
    _counted(b, c, n)
    a_coef = 2.0 * n
    b_coef = -b - c + (2.0 * n - b + c) * delta
    c_coef = -c * delta * (1.0 - delta)
    root = math.sqrt(max(0.0, b_coef * b_coef - 4.0 * a_coef * c_coef))
    p21 = (root - b_coef) / (2.0 * a_coef)
    variance = n * (2.0 * p21 + delta * (1.0 - delta))
    numerator = b - c - n * delta
    if variance <= 0.0:
        return 0.0 if numerator == 0.0 else math.copysign(math.inf, numerator)
    return numerator / math.sqrt(variance)


def tango(b: int, c: int, n: int, confidence: float) -> Interval:
    """Score interval of p_first - p_second for paired proportions (Tango 1998, eq. 8), by bisection to 1e-15.

    Never of width 0: with no discordant row it is +- z^2 / (n + z^2).
    """
    _counted(b, c, n)
    z = z_of(confidence)
    value = (b - c) / n

    def bound(outer: float, target: float) -> float:
        inner = value
        for _ in range(200):
            middle = (inner + outer) / 2.0
            if middle in (inner, outer):
                break
            if abs(tango_score(b, c, n, middle)) <= abs(target):
                inner = middle
            else:
                outer = middle
        return inner

    return bound(-1.0, z), bound(1.0, -z)
