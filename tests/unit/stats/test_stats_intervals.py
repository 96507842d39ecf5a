"""Formulas against other implementations, published worked examples, and brute force."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import average_precision_score, roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from gates.stats import (
    bootstrap,
    delong,
    multiplicity,
    paired,
    precision_recall,
    proportion,
    quantiles,
    ranking,
    sequential,
    student,
)
from gates.stats.estimate import Estimate, Unusable

# DeLong, DeLong & Clarke-Pearson 1988: albumin, total protein, K-G score, outcome of 43 patients.
PATIENTS = np.fromstring(
    """3.0 5.8 10 0 3.2 6.3 5 1 3.9 6.8 3 1 2.8 4.8 6 0 3.2 5.8 3 1 0.9 4.0 5 0 2.5 5.7 8 0 1.6 5.6 5 1 3.8 5.7 5 1
    3.7 6.7 6 1 3.2 5.4 4 1 3.8 6.6 6 1 4.1 6.6 5 1 3.6 5.7 5 1 4.3 7.0 4 1 3.6 6.7 4 0 2.3 4.4 6 1 4.2 7.6 4 0
    4.0 6.6 6 0 3.5 5.8 6 1 3.8 6.8 7 1 3.0 4.7 8 0 4.5 7.4 5 1 3.7 7.4 5 1 3.1 6.6 6 1 4.1 8.2 6 1 4.3 7.0 5 1
    4.3 6.5 4 1 3.2 5.1 5 1 2.6 4.7 6 1 3.3 6.8 6 0 1.7 4.0 7 0 3.7 6.1 5 1 3.3 6.3 7 1 4.2 7.7 6 1 3.5 6.2 5 1
    2.9 5.7 9 0 2.1 4.8 7 1 2.8 6.2 8 0 4.0 7.0 7 1 3.3 5.7 6 1 3.7 6.9 5 1 3.6 6.6 5 1""",
    sep=" ",
).reshape(-1, 4)
# Efron & Tibshirani 1993, table 14.1, test A.
SPATIAL = np.array(
    [48, 36, 20, 29, 42, 42, 20, 42, 22, 41, 45, 14, 6, 0, 33, 28, 34, 4, 32, 24, 47, 41, 24, 26, 30, 41], dtype=float
)


@pytest.mark.parametrize(("k", "n"), [(0, 10), (1, 10), (7, 10), (10, 10), (50, 1000), (999, 1000)])
def test_proportions_agree_with_statsmodels(k: int, n: int) -> None:
    assert proportion.wilson(k, n, 0.95) == pytest.approx(proportion_confint(k, n, 0.05, "wilson"), abs=1e-9)
    assert proportion.clopper_pearson(k, n, 0.9) == pytest.approx(proportion_confint(k, n, 0.1, "beta"), abs=1e-9)


def test_newcombe_gives_the_published_example() -> None:
    low, high = proportion.newcombe(56, 70, 48, 80, 0.95)  # Newcombe 1998, table II (a), method 10
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)
    theirs = confint_proportions_2indep(56, 70, 48, 80, method="newcomb")
    assert (low, high) == pytest.approx(theirs, abs=1e-9)


def test_a_ratio_bound_holds_its_own_difference_at_zero() -> None:
    low, high = proportion.ratio_of_proportions(30, 100, 20, 120, 0.95)
    for bound in (low, high):  # MOVER-R: the MOVER interval of a - bound * b touches 0
        la, ua = proportion.wilson(30, 100, 0.95)
        lb, ub = (bound * x for x in proportion.wilson(20, 120, 0.95))
        ends = proportion.mover((0.3, -bound * 20 / 120), ((la, ua), (-ub, -lb)))
        assert min(abs(end) for end in ends) < 1e-9


def test_paired_tests_give_the_published_example() -> None:
    """Bentur et al. 2009 as in Fagerland, Lydersen & Laake 2014, Statist. Med. 33:2850: 1 and 7 discordant of 21."""
    low, high = paired.tango(1, 7, 21, 0.95)
    assert (round(low, 3), round(high, 3)) == (-0.517, -0.026)
    assert paired.mcnemar_exact(1, 7) == pytest.approx(0.0703125, abs=1e-12)
    assert paired.mcnemar_midp(1, 7) == pytest.approx(0.0390625, abs=1e-12)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (0, 1), (3, 3), (5, 12), (120, 80)])
def test_mcnemar_agrees_with_statsmodels(b: int, c: int) -> None:
    theirs = mcnemar([[0, b], [c, 0]], exact=True).pvalue if b + c else 1.0
    assert paired.mcnemar_exact(b, c) == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize(("b", "c", "n"), [(0, 0, 30), (1, 7, 21), (12, 3, 200), (0, 5, 5)])
def test_tango_bounds_have_the_score_of_the_level(b: int, c: int, n: int) -> None:
    low, high = paired.tango(b, c, n, 0.95)
    z = proportion.z_of(0.95)
    assert low <= (b - c) / n <= high
    if low > -1:
        assert paired.tango_score(b, c, n, low) == pytest.approx(z, abs=1e-6)
    if high < 1:
        assert paired.tango_score(b, c, n, high) == pytest.approx(-z, abs=1e-6)
    if b == c == 0:
        assert high == pytest.approx(z * z / (n + z * z), abs=1e-9)


def brute_delong(positive: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
    """Both areas and the variance of their difference by the double loop of DeLong 1988, eq. 2-6."""
    parts = []
    for scores in (a, b):
        x, y = scores[positive], scores[~positive]
        psi = (y[None, :] < x[:, None]) + 0.5 * (y[None, :] == x[:, None])
        parts.append((psi.mean(), psi.mean(1), psi.mean(0)))
    (auc_a, v10_a, v01_a), (auc_b, v10_b, v01_b) = parts
    m, n = len(v10_a), len(v01_a)
    s10, s01 = np.cov(v10_a, v10_b), np.cov(v01_a, v01_b)
    contrast = np.array([1.0, -1.0])
    return float(auc_a), float(auc_b), float(contrast @ (s10 / m + s01 / n) @ contrast)


def test_delong_on_its_own_patients() -> None:
    positive = PATIENTS[:, 3] == 1
    albumin, score = PATIENTS[:, 0], -PATIENTS[:, 2]
    auc_a, auc_b, variance = brute_delong(positive, albumin, score)
    found = delong.compare(positive, albumin, score)
    assert (found.a.auc, found.b.auc) == pytest.approx((auc_a, auc_b), abs=1e-12)
    assert found.standard_error**2 == pytest.approx(variance, abs=1e-12)
    assert found.a.auc == pytest.approx(roc_auc_score(positive, albumin), abs=1e-12)


def test_delong_gives_the_published_figures() -> None:
    """The patients of DeLong et al. 1988 as printed by SAS/STAT (PROC LOGISTIC, 'Comparing ROC Curves')."""
    positive = PATIENTS[:, 3] == 1
    albumin, protein, score = PATIENTS[:, 0], PATIENTS[:, 1], -PATIENTS[:, 2]
    for values, area, error in ((albumin, 0.7366, 0.0927), (protein, 0.6478, 0.1000), (score, 0.7258, 0.1028)):
        parts = delong.components(positive, values)
        m, n = len(parts.positive), len(parts.negative)
        variance = np.var(parts.positive, ddof=1) / m + np.var(parts.negative, ddof=1) / n
        assert (round(parts.auc, 4), round(float(np.sqrt(variance)), 4)) == (area, error)
    for values, difference, error, p in ((albumin, 0.0108, 0.0953, 0.9102), (protein, -0.0780, 0.1046, 0.4561)):
        found = delong.compare(positive, values, score)
        assert [round(x, 4) for x in (found.difference, found.standard_error, found.p)] == [difference, error, p]


def test_delong_with_ties_agrees_with_the_double_loop() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        positive = rng.random(60) < 0.4
        a, b = np.round(rng.normal(positive, 1), 1), np.round(rng.normal(positive, 1), 0)
        _, _, variance = brute_delong(positive, a, b)
        assert delong.compare(positive, a, b).standard_error ** 2 == pytest.approx(variance, abs=1e-12)


def test_average_precision_without_each_row_agrees_with_scikit_learn() -> None:
    """Exactly, with ties: the jackknife's values come of sums over steps, not of n curves."""
    rng = np.random.default_rng(4)
    for decimals in (0, 1, 8):
        positive = rng.random(50) < 0.3
        scores = np.round(rng.normal(positive, 1), decimals)
        found = precision_recall._ap_influence(positive, scores)
        assert found.value == pytest.approx(average_precision_score(positive, scores), abs=1e-12)
        without = [average_precision_score(np.delete(positive, i), np.delete(scores, i)) for i in range(50)]
        assert found.value - found.influence / 49 == pytest.approx(without, abs=1e-12)
        assert found.bias == pytest.approx(49 * (np.mean(without) - found.value), abs=1e-12)


def test_an_interval_of_few_values_reaches_as_far_as_student_says() -> None:
    """Exponential values: about n / 4 degrees. One value in a hundred that differs: 2 n / (kurtosis - 1) is about 2."""
    rng = np.random.default_rng(5)
    values = np.sort(rng.exponential(2.0, 4000))
    found = student.spread(values)
    assert found.variance == pytest.approx(np.var(values, ddof=1) / 4000, rel=1e-12)
    assert found.degrees == pytest.approx(2 * 4000 / (scipy.stats.kurtosis(values, fisher=False) - 1), rel=1e-9)
    assert found.acceleration == pytest.approx(scipy.stats.skew(values) / 6 / np.sqrt(4000), rel=2e-3)
    rare = np.sort(np.r_[np.zeros(99), 1.0])
    assert student.spread(rare).degrees == pytest.approx(2 * 100 / (scipy.stats.kurtosis(rare, fisher=False) - 1))
    counted = student.spread(np.array([0.0, 1.0]), np.array([99.0, 1.0]))
    assert (counted.variance, counted.degrees) == pytest.approx((student.spread(rare).variance, student.FEWEST), 0.05)
    assert student.reach(0.95, 5) == pytest.approx(scipy.stats.t.ppf(0.975, 5), abs=1e-9)
    assert student.reach(0.95, 1e9) == pytest.approx(proportion.z_of(0.95), abs=1e-6)
    two = student.joined([student.Spread(1.0, 5.0), student.Spread(2.0, 20.0)])
    assert (two.variance, two.degrees) == pytest.approx((3.0, 9 / (1 / 5 + 4 / 20)))
    assert student.spread(np.arange(5.0)).degrees == pytest.approx(4.0)


def test_bounds_bend_to_the_long_side() -> None:
    skewed = np.sort(np.random.default_rng(6).lognormal(0, 1, 200))
    low, high = student.spread(skewed).bounds(float(skewed.mean()), 0.95)
    assert high - skewed.mean() > 1.3 * (skewed.mean() - low)
    level = student.spread(np.sort(np.r_[skewed, -skewed])).bounds(0.0, 0.95)
    assert level[1] == pytest.approx(-level[0], rel=1e-9)


def test_a_perfect_ranking_of_few_rows_is_not_certain() -> None:
    found = delong.auc(np.array([True, True, False, False]), np.array([4.0, 3.0, 2.0, 1.0]), 0.95)
    assert found.value == 1.0
    assert found.low < 0.2
    with pytest.raises(Unusable, match="one class"):
        delong.auc(np.array([True, True]), np.array([1.0, 2.0]), 0.95)


def test_bca_gives_the_published_example() -> None:
    """Efron & Tibshirani 1993, table 14.2: the variance of test A, 90 %: (115.8, 259.6)."""
    rows = np.stack([SPATIAL, SPATIAL**2, np.ones(26)], axis=1)
    distinct, counts = np.unique(rows, axis=0, return_counts=True)

    def variance(s: Any) -> Any:
        return s[..., 1] / s[..., 2] - (s[..., 0] / s[..., 2]) ** 2

    value, left_out = float(variance(counts @ distinct)), variance(counts @ distinct - distinct)
    assert value == pytest.approx(171.5, abs=0.05)
    drawn = bootstrap.replicates(distinct, counts, variance, 1, 40_000)
    low, high = bootstrap.bca(value, drawn, left_out, counts.astype(np.float64), proportion.z_of(0.9))
    assert low == pytest.approx(115.8, abs=2.0)
    assert high == pytest.approx(259.6, abs=4.0)
    theirs = scipy.stats.bootstrap(
        (SPATIAL,), np.var, confidence_level=0.9, n_resamples=40_000, method="BCa", rng=np.random.default_rng(1)
    ).confidence_interval
    assert (low, high) == pytest.approx(tuple(theirs), abs=2.5)
    found = bootstrap.interval(distinct, counts, variance, confidence=0.9, seed=1, resamples=40_000)
    assert found.low < low  # 26 values tell their own spread badly, so more is allowed for it
    assert found.high > high


def test_multiplicity_agrees_with_statsmodels() -> None:
    p = np.random.default_rng(2).random(40) ** 2
    assert multiplicity.holm(p) == pytest.approx(multipletests(p, method="holm")[1], abs=1e-12)
    assert multiplicity.benjamini_hochberg(p) == pytest.approx(multipletests(p, method="fdr_bh")[1], abs=1e-12)
    with pytest.raises(ValueError, match="p-values"):
        multiplicity.holm([0.1, float("nan")])


def test_order_statistics_need_59_for_p95_and_299_for_p99() -> None:
    assert (quantiles.fewest(0.95, 0.95), quantiles.fewest(0.99, 0.95)) == (59, 299)
    for q, n in ((0.95, 59), (0.99, 299)):
        assert np.isfinite(quantiles.quantile(np.arange(float(n)), q, 0.95).high)
        assert np.isinf(quantiles.quantile(np.arange(float(n - 1)), q, 0.95).high)


def test_order_statistic_bounds_cover_exactly() -> None:
    n, q = 200, 0.9
    found = quantiles.quantile(np.arange(1.0, n + 1), q, 0.95)
    below = scipy.stats.binom(n, q)
    assert below.cdf(found.high - 1) >= 0.95 > below.cdf(found.high - 2)
    assert below.cdf(found.low - 1) <= 0.05 < below.cdf(found.low)


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("q", [0.5, 0.9, 0.95, 0.99])
def test_order_statistic_bounds_cover_whatever_the_distribution(q: float, confidence: float) -> None:
    """Exactly, by summing over how many of n values lie below the quantile: each bound holds at least as often as it
    says, and where a bound further in would do, that one is taken.
    """
    for n in (20, 59, 60, 200, 299, 1000):
        found = quantiles.quantile(np.arange(1.0, n + 1), q, confidence)
        below = scipy.stats.binom(n, q)
        if np.isfinite(found.high):
            assert below.cdf(found.high - 1) >= confidence > below.cdf(found.high - 2)
        else:
            assert below.cdf(n - 1) < confidence
        if np.isfinite(found.low):
            assert below.sf(found.low - 1) >= confidence > below.sf(found.low)
        else:
            assert below.sf(0) < confidence


def test_e_processes_are_martingales_at_the_hypothesis() -> None:
    """The mean evidence after n requests is 1 at the hypothesis, by summing over every count."""
    for n in (1, 20, 300):
        k = np.arange(n + 1)
        for rate, of in ((0.01, sequential.above), (0.02, sequential.below)):
            weight = scipy.stats.binom.pmf(k, n, rate)
            mean = float(sum(w * np.exp(of(int(i), n, rate)) for i, w in zip(k, weight, strict=True) if w > 1e-300))
            assert mean == pytest.approx(1.0, abs=1e-9)


def test_a_rate_of_five_percent_is_found_within_150_requests_and_errs_rarely() -> None:
    """ok 1 %, bad 2 %; the full simulation is benchmarks/calibration.py."""
    rng = np.random.default_rng(3)
    found = [_first_look(np.cumsum(rng.random(600) < 0.05), 0.01, 0.01) for _ in range(60)]
    assert np.median(found) <= 150
    looks = [_ever(np.cumsum(rng.random(2000) < 0.01)[9::10], range(10, 2001, 10), 0.01, 0.01) for _ in range(60)]
    assert np.mean(looks) <= 0.05


def _first_look(errors: np.ndarray, ok: float, alpha: float) -> int:
    for n in range(1, len(errors) + 1):
        if sequential.above(int(errors[n - 1]), n, ok) >= -np.log(alpha):
            return n
    return 10**6


def _ever(errors: np.ndarray, looks: range, ok: float, alpha: float) -> bool:
    return any(sequential.above(int(e), n, ok) >= -np.log(alpha) for e, n in zip(errors, looks, strict=True))


def test_a_ratio_is_judged_by_where_errors_fall() -> None:
    assert sequential.ratio_above([(1000, 40, 9000, 36)], 3.0) > np.log(100)  # ten times as often
    assert sequential.ratio_below([(1000, 4, 9000, 36)], 3.0) < np.log(20)  # too few errors to tell
    assert sequential.ratio_below([(5000, 25, 5000, 25)], 3.0) > np.log(20)
    assert sequential.ratio_above([(1000, 0, 9000, 0)], 3.0) == pytest.approx(0.0, abs=1e-12)
    storm = [(100, 50, 900, 450), (1000, 5, 9000, 45)]  # hits both alike
    assert sequential.ratio_above(storm, 1.5) < 0


def test_rankings() -> None:
    a, b = np.array([3.0, 1.0, 1.0, 5.0]), np.array([1.0, 2.0, 2.0, 9.0])
    assert ranking.spearman(a, b) == pytest.approx(scipy.stats.spearmanr(a, b).statistic, abs=1e-12)
    assert ranking.top(a, ("x", "b", "a", "y"), 3) == ("y", "x", "a")


def test_n_needed_grows_with_the_square_of_the_gap() -> None:
    found = Estimate(0.9, 0.86, 0.93, 100, "")
    assert found.n_needed(0.88) == 400
    assert found.n_needed(0.9) is None


def test_wilson_covers_93_to_97_percent_exactly() -> None:
    """Exact coverage, by summing over every count; its mean near 95 % and no dip below 93 % in this range."""
    for n in (100, 300, 1000):
        bounds = [proportion.wilson(k, n, 0.95) for k in range(n + 1)]
        for p in (0.1, 0.25, 0.5, 0.8, 0.9):
            mass = scipy.stats.binom.pmf(np.arange(n + 1), n, p)
            covered = sum(m for m, (low, high) in zip(mass, bounds, strict=True) if low <= p <= high)
            assert 0.93 <= covered <= 0.97, (n, p, covered)
