"""Do intervals cover and verdicts err as they say? Simulations with fixed seeds: `python benchmarks/calibration.py
[RUNS] [PART ...]`, parts: coverage, regressions, margin, watching, families.

Prints a table; a figure outside its range, allowing three standard errors of the simulation, is marked and makes the
exit code 1.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr

from gates.evidence import Predictions
from gates.metrics import METRICS
from gates.stats import ks, multiplicity, parity, quantiles, sequential

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Make = Callable[[np.random.Generator, int], Predictions]
    Cases = list[tuple[str, Make, tuple[str, ...], tuple[int, ...], str]]
    Pair = Callable[[np.random.Generator, int], tuple[Predictions, Predictions]]

LARGE = 2_000_000  # rows that stand for the truth


@dataclass(frozen=True)
class Row:
    """One line of the table: a share seen in `runs`, and the range that it must lie in."""

    what: str
    share: float
    runs: int
    low: float = 0.0
    high: float = 1.0

    @property
    def held(self) -> bool:
        return all(
            (limit - self.share) * sign <= 3.0 * math.sqrt(limit * (1.0 - limit) / self.runs)
            for limit, sign in ((self.low, 1.0), (self.high, -1.0))
        )

    def __str__(self) -> str:
        if (self.low, self.high) == (0.0, 1.0):
            return f"| {self.what} | {self.share:.4f} | no promise | {self.runs} | |"
        asked = f"{self.low:.3f} to {self.high:.3f}" if self.low else f"at most {self.high:.3f}"
        return f"| {self.what} | {self.share:.4f} | {asked} | {self.runs} | {'yes' if self.held else '**no**'} |"


def binary(share: float, sharpness: float = 1.0) -> Make:
    """Scores that are the true probabilities, bent by `sharpness` (1: calibrated)."""

    def make(rng: np.random.Generator, n: int) -> Predictions:
        target = (rng.random(n) < share).astype(np.int64)
        odds = math.log(share / (1 - share)) + (2 * target - 1.0) + rng.normal(0, math.sqrt(2.0), n)
        scores = 1 / (1 + np.exp(-sharpness * odds))
        return Predictions(target, (scores > min(0.5, 1.5 * share)).astype(np.int64), scores, (0, 1), 1)

    return make


def three_classes(rng: np.random.Generator, n: int) -> Predictions:
    target = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    return Predictions(target, np.where(rng.random(n) < 0.7, target, rng.integers(0, 3, n)), None, (0, 1, 2))


def regression(skewed: bool) -> Make:
    def make(rng: np.random.Generator, n: int) -> Predictions:
        target = rng.normal(20, 4, n)
        noise = rng.lognormal(0, 1, n) * rng.choice([-1, 1], n) if skewed else rng.normal(0, 2, n)
        return Predictions(target, target + noise)

    return make


HEAVY = regression(skewed=True)  # no interval is known to cover tails like these at these sizes


def in_entities(rng: np.random.Generator, n: int) -> Predictions:
    """Entities of five rows each, which the model gets right or wrong together."""
    entity = np.repeat(np.arange(n // 5), 5)
    target = rng.integers(0, 2, n // 5 * 5)
    right = rng.random(n // 5 * 5) < np.repeat(rng.beta(4, 1, n // 5), 5)
    scores = np.where(right == (target == 1), 0.7, 0.3)
    return Predictions(target, np.where(right, target, 1 - target), scores, (0, 1), 1, entity=entity)


CELLS = ("true_positives", "false_positives", "true_negatives", "false_negatives")
SHARES = ("accuracy", "balanced_accuracy", "precision", "recall", "specificity", "f1", "roc_auc", "average_precision")
CLASSES: Cases = [
    ("30 % positive", binary(0.3), (*SHARES, *CELLS), (300, 1000, 6000), "binary"),
    ("10 % positive", binary(0.1), SHARES, (500, 2000), "binary"),
    ("30 % positive", binary(0.3), ("brier", "log_loss"), (300, 6000), "binary"),
    ("overconfident", binary(0.3, 2.0), ("brier", "log_loss"), (6000,), "binary"),
    ("three classes", three_classes, ("precision", "recall", "f1"), (300, 2000), "macro"),
    ("three classes", three_classes, ("f1",), (300, 2000), "weighted"),
    ("entities of 5", in_entities, ("accuracy", "f1", "roc_auc", "brier"), (1000,), "binary"),
]  # fmt: skip
NUMBERS: Cases = [
    ("normal errors", regression(skewed=False), ("mae", "mse", "rmse", "mape", "r2"), (300, 6000), "binary"),
    ("lognormal errors", HEAVY, ("mae", "rmse", "r2"), (300, 6000), "binary"),
]  # fmt: skip


def _covers(make: Make, name: str, n: int, average: Any, runs: int) -> float:
    """The share of 95 % intervals that hold the value of a very large sample. Cells: as a share of the rows."""
    per_row = name in CELLS
    truth = METRICS[name].estimate(make(np.random.default_rng(0), LARGE), average=average).value
    truth = truth / LARGE * n if per_row else truth
    rng, hits = np.random.default_rng([n, *name.encode()]), 0
    for i in range(runs):
        found = METRICS[name].estimate(make(rng, n), seed=i, average=average)
        hits += found.low <= truth <= found.high
    return hits / runs


def _table(cases: Cases, runs: int) -> Iterator[Row]:
    for said, make, names, sizes, average in cases:
        for name in names:
            for n in sizes:
                low, high = (0.0, 1.0) if make is HEAVY else (0.93, 0.97)
                way = "" if average == "binary" else f" {average}"
                share = _covers(make, name, n, average, runs)
                yield Row(f"95 % interval of {name}{way}, {said}, n = {n}", share, runs, low, high)


def coverage(runs: int) -> Iterator[Row]:
    yield from _table(CLASSES, runs)
    for said, sharpness in (("calibrated", 1.0), ("overconfident", 2.0)):
        for n in (300, 3000):
            share = _covers(binary(0.3, sharpness), "expected_calibration_error", n, "binary", runs)
            yield Row(f"95 % interval of expected_calibration_error, {said}, n = {n}", share, runs, 0.95, 1.0)


def regressions(runs: int) -> Iterator[Row]:
    yield from _table(NUMBERS, runs)
    yield from _quantiles(runs)


def _quantiles(runs: int) -> Iterator[Row]:
    rng = np.random.default_rng(4)
    for q, n in ((0.5, 50), (0.95, 200), (0.99, 1000)):
        truth = -math.log(1.0 - q)
        found = [quantiles.quantile(rng.exponential(1.0, n), q, 0.95) for _ in range(runs)]
        yield Row(f"upper bound of q{q:g}, n = {n}", sum(f.high >= truth for f in found) / runs, runs, 0.95, 1.0)
        yield Row(f"lower bound of q{q:g}, n = {n}", sum(f.low <= truth for f in found) / runs, runs, 0.95, 1.0)


def _worse(noise: float) -> Pair:
    """A candidate that scores the champion's rows with more noise."""

    def make(rng: np.random.Generator, n: int) -> tuple[Predictions, Predictions]:
        champion = binary(0.3)(rng, n)
        assert champion.scores is not None
        odds = np.log(champion.scores / (1 - champion.scores)) + rng.normal(0, noise, n)
        scores = 1 / (1 + np.exp(-odds))
        return Predictions(champion.target, (scores > 0.45).astype(np.int64), scores, (0, 1), 1), champion

    return make


DELTAS = (
    ("accuracy", 500), ("accuracy", 5000), ("recall", 1000), ("roc_auc", 300), ("roc_auc", 500), ("roc_auc", 2000),
    ("average_precision", 300), ("average_precision", 1000), ("f1", 500), ("f1", 2000), ("precision", 1000),
    ("brier", 300), ("log_loss", 300), ("brier", 6000), ("log_loss", 6000), ("expected_calibration_error", 1000),
)  # fmt: skip
FEW = ("brier", "log_loss")  # thousands of draws a run


def _exact(name: str, variance: float) -> float:
    """The value of a scorer whose log-odds are the prior's +- 1 with normal noise: no sample stands for the truth."""
    share, cut, sd = 0.3, math.log(0.45 / 0.55), math.sqrt(variance)
    prior = math.log(share / (1 - share))
    if name == "roc_auc":
        return float(ndtr(2.0 / (sd * math.sqrt(2.0))))
    if name == "average_precision":
        at = np.linspace(-12.0, 7.0, 2_000_001)
        above = share * (1.0 - ndtr((at - prior - 1.0) / sd))
        every = above + (1.0 - share) * (1.0 - ndtr((at - prior + 1.0) / sd))
        density = np.exp(-(((at - prior - 1.0) / sd) ** 2) / 2.0) / (sd * math.sqrt(2.0 * math.pi))
        return float((density * above / every).sum() * (at[1] - at[0]))
    tp = share * (1.0 - float(ndtr((cut - prior - 1.0) / sd)))
    fp = (1.0 - share) * (1.0 - float(ndtr((cut - prior + 1.0) / sd)))
    return {
        "accuracy": tp + 1.0 - share - fp,
        "recall": tp / share,
        "precision": tp / (tp + fp),
        "f1": 2.0 * tp / (tp + share + fp),
    }[name]


def margin(runs: int) -> Iterator[Row]:
    """How often non-inferiority passes a candidate that is worse by just the margin: 2.5 % on this side of 95 %."""
    pair = _worse(1.0)
    for name, n in DELTAS:
        sign = 1.0 if METRICS[name].greater_is_better else -1.0
        if name in (*FEW, "expected_calibration_error"):
            truth = METRICS[name].difference(*pair(np.random.default_rng(0), LARGE)).estimate.value * sign
        else:
            truth = _exact(name, 3.0) - _exact(name, 2.0)
        rng, passed = np.random.default_rng([n, *name.encode()]), 0
        many = 2 * runs if name in FEW and n < 1000 else 10 * runs
        for i in range(many):
            found = METRICS[name].difference(*pair(rng, n), seed=i)
            passed += (found.estimate.low if sign > 0 else -found.estimate.high) >= truth
        yield Row(
            f"{name} worse by the margin passes ({found.estimate.method}), n = {n}", passed / many, many, 0.0, 0.025
        )


LOOKS = np.arange(10, 2001, 10)


def _ever(of: Callable[..., float], errors: np.ndarray, rate: float, level: float) -> bool:
    return any(of(int(e), int(n), rate) >= -math.log(level) for e, n in zip(errors, LOOKS, strict=True))


def watching(runs: int) -> Iterator[Row]:
    """e-processes looked at 200 times: a rate, a quantile of latencies, a ratio while the traffic's split changes."""
    rng = np.random.default_rng(3)

    def errors(rate: float) -> np.ndarray:
        return np.cumsum(rng.random(2000) < rate)[LOOKS - 1]

    cases: list[tuple[str, Callable[..., float], float, float]] = [
        ("a rate of ok = 1 % fails", sequential.above, 0.01, 0.01),
        ("a rate of bad = 2 % passes", sequential.below, 0.02, 0.05),
        ("a p95 at its limit fails", sequential.above, 0.05, 0.01),
        ("a p95 at its limit passes", sequential.below, 0.05, 0.01),
    ]
    for said, of, rate, level in cases:
        wrong = sum(_ever(of, errors(rate), rate, level) for _ in range(runs))
        yield Row(f"{said}, ever in 200 looks", wrong / runs, runs, 0.0, level)
    slow = sum(_first(np.cumsum(rng.random(1500) < 0.05)) > 150 for _ in range(runs)) / runs
    yield Row("a rate of 5 % takes over 150 requests to fail (ok 1 %)", slow, runs, 0.0, 0.5)
    for said, ratio, of, level in (
        ("fails", 3.0, sequential.ratio_above, 0.01),
        ("passes", 3.0, sequential.ratio_below, 0.05),
    ):
        wrong = sum(_ratio_ever(rng, ratio, of, level) for _ in range(runs))
        yield Row(
            f"a ratio of max_ratio = 3 {said}, ever in 200 looks, split 5 to 50 %", wrong / runs, runs, 0.0, level
        )


def _first(errors: np.ndarray) -> int:
    target = math.log(100.0)
    found = (n for n in range(1, len(errors) + 1) if sequential.above(int(errors[n - 1]), n, 0.01) >= target)
    return next(found, 10**6)


def _ratio_ever(rng: np.random.Generator, ratio: float, of: Callable[..., float], level: float) -> bool:
    """Four splits of 50 looks each, 100 requests a look, the champion's rate moving from 1 % to 8 %."""
    done: list[tuple[int, int, int, int]] = []
    for share, rate in ((0.05, 0.01), (0.1, 0.08), (0.25, 0.02), (0.5, 0.01)):
        here = (0, 0, 0, 0)
        for _ in range(50):
            n = int(rng.binomial(100, share))
            add = (n, int(rng.binomial(n, ratio * rate)), 100 - n, int(rng.binomial(100 - n, rate)))
            here = (here[0] + add[0], here[1] + add[1], here[2] + add[2], here[3] + add[3])
            if of([*done, here], ratio) >= -math.log(level):
                return True
        done.append(here)
    return False


def _null_p(rng: np.random.Generator, n: int = 300) -> float:
    a, b = np.sort(rng.normal(size=n)), np.sort(rng.normal(size=n))
    both = np.concatenate([a, b])
    apart = np.abs(np.searchsorted(a, both, "right") - np.searchsorted(b, both, "right")).max() / n
    return ks.p_value(float(apart), n, n)


def families(runs: int) -> Iterator[Row]:
    """Many things judged at once: 50 columns without drift, pairs of groups, slices on their limit."""
    rng, alarms, naive = np.random.default_rng(5), 0, 0
    for _ in range(runs):
        p = [_null_p(rng) for _ in range(50)]
        alarms += bool((multiplicity.benjamini_hochberg(p) <= 0.05).any())
        naive += min(p) <= 0.05
    yield Row("any of 50 null columns significant after Benjamini-Hochberg at 0.05", alarms / runs, runs, 0.0, 0.05)
    yield Row("(for comparison: any of them at 0.05 each)", naive / runs, runs, 0.0, 1.0)
    for said, rates in (("5 equal groups", [0.3] * 5), ("5 unequal groups", [0.2, 0.3, 0.3, 0.35, 0.4])):
        for way, of in (("difference", parity.difference), ("ratio", parity.ratio)):
            truth = max(rates) - min(rates) if way == "difference" else min(rates) / max(rates)
            hits = 0
            for _ in range(runs):
                found = {"selection": {str(g): (float(rng.binomial(200, r)), 200.0) for g, r in enumerate(rates)}}
                estimate = of(found, 0.95).estimate
                hits += estimate.low <= truth <= estimate.high
            yield Row(f"demographic parity {way} covered, {said} of 200", hits / runs, runs, 0.95, 1.0)


PARTS: dict[str, Callable[[int], Iterator[Row]]] = {
    "coverage": coverage, "regressions": regressions, "margin": margin, "watching": watching, "families": families,
}  # fmt: skip

if __name__ == "__main__":
    RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    missed = 0
    print("| what | seen | asked | runs | held |\n| --- | --- | --- | --- | --- |")
    for part in sys.argv[2:] or PARTS:
        for row in PARTS[part](RUNS):
            missed += not row.held
            print(row, flush=True)
    sys.exit(1 if missed else 0)
