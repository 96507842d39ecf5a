"""Small seeded simulations of what benchmarks/calibration.py shows at length, and calibration error's own bounds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from gates.evidence import Predictions
from gates.metrics import METRICS
from gates.stats import calibration_error, losses, measure, moments, sequential, spill
from gates.stats.prepared import prepare


def model(rng: np.random.Generator, n: int, bent: float = 1.0) -> Predictions:
    """Probabilities that are true when bent is 1, overconfident above."""
    p = rng.beta(1.0, 1.5, n)
    target = (rng.random(n) < p).astype(np.int64)
    scores = p**bent / (p**bent + (1 - p) ** bent)
    return Predictions(target, (scores > 0.5).astype(np.int64), scores, (0, 1), 1)


@pytest.mark.parametrize(("bent", "n"), [(1.0, 300), (1.0, 3000), (2.0, 300), (2.0, 3000)])
def test_calibration_error_is_covered_also_near_0(bent: float, n: int) -> None:
    metric, rng = METRICS["expected_calibration_error"], np.random.default_rng(5)
    truth = 0.0 if bent == 1.0 else metric.estimate(model(np.random.default_rng(0), 200_000, bent)).value
    found = [metric.estimate(model(rng, n, bent)) for _ in range(60)]
    if bent == 1.0:
        assert min(f.value for f in found) > 0.005  # biased up, all of them
    assert np.mean([f.low <= truth + 1e-12 and truth <= f.high for f in found]) >= 0.93
    if bent == 2.0 and n == 3000:
        assert np.mean([f.low for f in found]) > 0.3 * truth  # it still convicts


def test_calibration_error_bounds_by_hand() -> None:
    """400 rows at 0.9, 320 hits, and 400 at 0.1, 40 hits: gaps 0.05 and 0; noise sqrt(400 s^2) / 800."""
    target = np.repeat([1, 0, 1, 0], [320, 80, 40, 360])
    data = prepare(Predictions(target, target, np.repeat([0.9, 0.1], 400), (0, 1), 1), scores=True)
    bins = calibration_error.bins(data, 0)
    assert bins.gap[13] == pytest.approx(0.05)
    assert bins.gap[1] == pytest.approx(0.0, abs=1e-12)
    # bin of 0.9: sum of squares 320 * 0.1^2 + 80 * 0.9^2 = 68, less 800 * 0.05^2 = 2; bin of 0.1: 400 * 0.1 * 0.9 = 36
    assert bins.noise[[13, 1]] == pytest.approx([math.sqrt(66) / 800, math.sqrt(36) / 800], abs=1e-9)
    found = calibration_error.estimate(data, 0, 0.95, 1)
    assert found.value == pytest.approx(0.05)
    assert found.high == pytest.approx(0.05 + 1.959964 * math.sqrt(66 + 36) / 800, abs=1e-6)
    assert 0.0 < found.low < 0.05 - 1.645 * math.sqrt(66 + 36) / 800 + 0.01


def test_a_bin_without_a_miss_is_not_certain() -> None:
    target = np.repeat([1, 0], 200)
    data = prepare(Predictions(target, target, np.where(target == 1, 0.97, 0.03), (0, 1), 1), scores=True)
    assert calibration_error.bins(data, 0).noise[14] == pytest.approx(math.sqrt(200 * 0.97 * 0.03) / 400)


def test_a_calibrated_champion_does_not_hide_an_error() -> None:
    """The champion's plain error is all bias; the bound of the difference must reach the candidate's whole error."""
    rng, missed = np.random.default_rng(6), 0
    metric = METRICS["expected_calibration_error"]
    truth = metric.estimate(model(np.random.default_rng(0), 200_000, 2.0)).value
    for _ in range(20):
        champion = model(rng, 1000)
        assert champion.scores is not None
        s = champion.scores
        bent = Predictions(champion.target, champion.prediction, s**2 / (s**2 + (1 - s) ** 2), (0, 1), 1)
        found = metric.difference(bent, champion).estimate
        missed += not found.low <= truth <= found.high
    assert missed <= 2


@pytest.mark.parametrize("skewed", [False, True])
def test_the_jackknife_of_many_rows_agrees_with_bca(skewed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above MOST_RESAMPLED rows no resample is drawn: both intervals agree within a fifth of a half-width."""
    rng = np.random.default_rng(7)
    y = rng.normal(20, 4, 1500)
    noise = rng.lognormal(0, 0.8, 1500) * rng.choice([-1, 1], 1500) if skewed else rng.normal(0, 2, 1500)
    data = Predictions(y, y + noise)
    for name in ("mae", "rmse", "r2"):
        drawn = METRICS[name].estimate(data)
        assert drawn.method == "BCa bootstrap"
        with monkeypatch.context() as patched:
            patched.setattr(moments, "MOST_RESAMPLED", 1000)
            quick = METRICS[name].estimate(data)
        assert quick.method == "accelerated jackknife"
        half = (drawn.high - drawn.low) / 2
        assert abs(quick.low - drawn.low) < 0.2 * half, name
        assert abs(quick.high - drawn.high) < 0.2 * half, name
        if skewed and name == "mae":
            assert quick.high - quick.value > 1.05 * (quick.value - quick.low)


def test_a_block_at_a_time_is_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    data = model(np.random.default_rng(8), 7000)
    whole = METRICS["brier"].estimate(data)
    monkeypatch.setattr(spill, "BLOCK", 999)
    assert METRICS["brier"].estimate(data) == whole
    rows = losses.LOSSES["brier"].rows(prepare(data, scores=True), 0)[:, 0]
    half = 1.959964 * float(np.std(rows, ddof=1)) / math.sqrt(7000)
    assert (whole.high - whole.low) / 2 == pytest.approx(half, rel=0.01)


def test_one_column_of_scores_is_two() -> None:
    one = model(np.random.default_rng(9), 500)
    assert one.scores is not None
    two = Predictions(one.target, one.prediction, np.stack([1 - one.scores, one.scores], axis=1), (0, 1), 1)
    for name in ("brier", "log_loss", "expected_calibration_error"):
        assert METRICS[name].estimate(one) == METRICS[name].estimate(two)


@pytest.mark.parametrize("name", ["accuracy", "roc_auc", "average_precision", "f1"])
def test_intervals_cover(name: str) -> None:
    rng = np.random.default_rng(10)
    truth = METRICS[name].estimate(model(np.random.default_rng(0), 200_000)).value
    found = [METRICS[name].estimate(model(rng, 300), seed=i) for i in range(200)]
    covered = np.mean([f.low <= truth <= f.high for f in found])
    assert 0.90 <= covered <= 0.985


@pytest.mark.parametrize("name", ["accuracy", "roc_auc", "f1"])
def test_a_candidate_worse_by_the_margin_seldom_passes(name: str) -> None:
    """At most 2.5 %; 150 runs allow 9."""
    turn = 1.0 if METRICS[name].greater_is_better else -1.0

    def pair(rng: np.random.Generator, n: int) -> tuple[Predictions, Predictions]:
        champion = model(rng, n)
        assert champion.scores is not None
        odds = np.log(champion.scores / (1 - champion.scores)) + rng.normal(0, 1.0, n)
        scores = 1 / (1 + np.exp(-odds))
        return Predictions(champion.target, (scores > 0.5).astype(np.int64), scores, (0, 1), 1), champion

    margin = METRICS[name].difference(*pair(np.random.default_rng(0), 200_000)).estimate.value * turn
    rng, passed, runs = np.random.default_rng(11), 0, 150
    for i in range(runs):
        found = METRICS[name].difference(*pair(rng, 200), seed=i).estimate
        passed += (found.low if turn > 0 else -found.high) >= margin
    assert passed <= 9


def test_live_evidence_errs_rarely_in_200_looks() -> None:
    rng, looks = np.random.default_rng(12), np.arange(10, 2001, 10)
    wrong_fail = wrong_pass = 0
    for _ in range(100):
        slow = np.cumsum(rng.random(2000) < 0.05)[looks - 1]
        pairs = [(int(bad), int(n)) for bad, n in zip(slow, looks, strict=True)]
        wrong_fail += any(sequential.above(bad, n, 0.05) >= math.log(20) for bad, n in pairs)
        wrong_pass += any(sequential.below(bad, n, 0.05) >= math.log(20) for bad, n in pairs)
    assert wrong_fail <= 10
    assert wrong_pass <= 10


def test_ratios_are_martingales_at_the_hypothesis() -> None:
    """By summing over where 6 errors fall: the mean evidence is 1 when the ratio is max_ratio, for any split."""
    for share in (0.05, 0.5):
        weight = 3.0 * share / (3.0 * share + 1 - share)
        mass = scipy.stats.binom.pmf(np.arange(7), 6, weight)
        n, other = int(share * 10_000), int((1 - share) * 10_000)
        for of in (sequential.ratio_above, sequential.ratio_below):
            mean = sum(m * math.exp(of([(n, int(k), other, 6 - int(k))], 3.0)) for k, m in enumerate(mass))
            assert mean == pytest.approx(1.0, abs=1e-9)


def test_requests_needed_is_the_first_that_decides() -> None:
    def below(bad: int, n: int) -> float:
        return sequential.below(bad, n, 0.02)

    needed = sequential.requests_needed(0, 10, below, math.log(20))
    assert needed == 196
    assert below(0, 196) >= math.log(20) > below(0, 195)
    assert sequential.requests_needed(5, 100, below, math.log(20)) is None  # 5 % is never under 2 %


def test_which_mcnemar_goes_with_tango() -> None:
    target = np.arange(100) % 2
    ours = np.where(np.arange(100) < 88, target, 1 - target)
    theirs = np.where((np.arange(100) >= 7) & (np.arange(100) < 89), target, 1 - target)  # 7 only ours, 1 only theirs
    data = prepare(Predictions(target, ours, positive_label=1), Predictions(target, theirs, positive_label=1))
    for way, p in (("exact", 18 / 256), ("mid_p", 10 / 256)):
        assert measure.difference("accuracy", data, measure.Ask(0.95, 1, mcnemar=way)).p == pytest.approx(p)
