"""Do intervals cover and verdicts err as they say? Simulations with fixed seeds: `python benchmarks/calibration.py
[RUNS] [PART ...]`, parts: coverage, regressions, margin, power, watching, families.

RUNS (1,000 without) is of each line of coverage and families; lines of margin and watching take ten times as many.
Truths are exact (calibration_data). Prints a table; a figure outside its range,
allowing three standard errors of the simulation, is marked and makes the exit code 1.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import calibration_data as data
from gates.metrics import METRICS
from gates.stats import ks, multiplicity, parity, quantiles, sequential

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Cases = Sequence[tuple[str, data.World, tuple[str, ...], tuple[int, ...]]]


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


@dataclass(frozen=True)
class Figure:
    """One line that is no share: a number, and the most it may be."""

    what: str
    value: float
    runs: int
    most: float

    @property
    def held(self) -> bool:
        return self.value <= self.most

    def __str__(self) -> str:
        asked = f"at most {self.most:g}" if math.isfinite(self.most) else "no promise"
        return f"| {self.what} | {self.value:g} | {asked} | {self.runs} | {'yes' if self.held else '**no**'} |"


CELLS = ("true_positives", "false_positives", "true_negatives", "false_negatives")
SHARES = ("accuracy", "balanced_accuracy", "precision", "recall", "specificity", "f1", "roc_auc", "average_precision")
HEAVY = "lognormal errors"


def classes() -> Cases:
    three, ece = data.three_classes(), ("expected_calibration_error",)
    return (
        ("30 % positive", data.binary(0.3), (*SHARES, *CELLS), (300, 1000, 6000)),
        ("10 % positive", data.binary(0.1), SHARES, (500, 2000)),
        ("3 % positive", data.binary(0.03), SHARES, (1000, 5000)),
        ("30 % positive", data.binary(0.3), ("brier", "log_loss"), (300, 1000, 6000)),
        ("overconfident", data.binary(0.3, 2.0), ("brier", "log_loss"), (300, 6000)),
        ("three classes", three, ("precision macro", "recall macro", "f1 macro", "f1 weighted"), (300, 2000)),
        ("entities of 5", data.in_entities(), ("accuracy", "f1", "roc_auc", "brier"), (1000,)),
        ("calibrated", data.binary(0.3), ece, (300, 3000)),
        ("overconfident", data.binary(0.3, 2.0), ece, (300, 3000)),
    )


def _covers(world: data.World, name: str, n: int, runs: int) -> float:
    """The share of 95 % intervals that hold the truth."""
    metric, _, average = name.partition(" ")
    truth = world.truth[name] * (n if name in CELLS else 1)
    rng, hits = np.random.default_rng([n, *name.encode()]), 0
    more: dict[str, Any] = {"average": average} if average else {}
    for i in range(runs):
        found = METRICS[metric].estimate(world.make(rng, n), seed=i, **more)
        hits += found.low <= truth <= found.high
    return hits / runs


def _table(cases: Cases, runs: int) -> Iterator[Row]:
    for said, world, names, sizes in cases:
        for name in names:
            for n in sizes:
                low, high = (0.95, 1.0) if name == "expected_calibration_error" else (0.93, 0.97)
                low, high = (0.0, 1.0) if said == HEAVY else (low, high)
                yield Row(f"95 % interval of {name}, {said}, n = {n}", _covers(world, name, n, runs), runs, low, high)


def coverage(runs: int) -> Iterator[Row]:
    yield from _table(classes(), runs)


def regressions(runs: int) -> Iterator[Row]:
    numbers = ("mae", "mse", "rmse", "mape", "r2")
    yield from _table([("normal errors", data.normal_errors(), numbers, (300, 1000, 6000))], runs)
    yield from _table([(HEAVY, data.lognormal_errors(), numbers, (300, 6000))], runs)
    yield from _quantiles(runs)


def _quantiles(runs: int) -> Iterator[Row]:
    rng = np.random.default_rng(4)
    for q, n in ((0.5, 50), (0.95, 200), (0.99, 1000)):
        truth = -math.log(1.0 - q)
        found = [quantiles.quantile(rng.exponential(1.0, n), q, 0.95) for _ in range(runs)]
        yield Row(f"upper bound of q{q:g}, n = {n}", sum(f.high >= truth for f in found) / runs, runs, 0.95, 1.0)
        yield Row(f"lower bound of q{q:g}, n = {n}", sum(f.low <= truth for f in found) / runs, runs, 0.95, 1.0)


AREAS = ("roc_auc", "average_precision")
ANSWERS = ("accuracy", "recall", "specificity", "f1", "precision", "balanced_accuracy")
SLOW = ("brier", "log_loss", "expected_calibration_error", "mae", "mse", "rmse", "mape", "r2")
NS = (300, 1000, 5000)


def margin(runs: int) -> Iterator[Row]:
    """How often non-inferiority passes a candidate that is worse by just the margin: 2.5 % on this side of 95 %."""
    passed_in_all = runs_in_all = 0
    for pair, candidate, champion, names in (
        (*data.worse(), (*ANSWERS, *AREAS, *SLOW[:3])),
        (*data.worse_numbers(), SLOW[3:]),
    ):
        for name in names:
            for n in NS:
                sign = 1.0 if METRICS[name].greater_is_better else -1.0
                truth = (candidate.truth[name] - champion.truth[name]) * sign
                many = 10 * runs
                rng, passed = np.random.default_rng([n, *name.encode()]), 0
                for i in range(many):
                    found = METRICS[name].difference(*pair(rng, n), seed=i).estimate
                    passed += (found.low if sign > 0 else -found.high) >= truth
                yield Row(f"{name} worse by the margin passes ({found.method}), n = {n}", passed / many, many, 0, 0.025)
                if name != "expected_calibration_error":
                    passed_in_all, runs_in_all = passed_in_all + passed, runs_in_all + many
    said = "all of these together, without calibration error"
    yield Row(said, passed_in_all / runs_in_all, runs_in_all, 0.0, 0.025)


def power(runs: int) -> Iterator[Row]:
    """What caution costs: how often an equally good candidate passes, beside an interval of the true standard error.

    The margin is where 80 % would pass were that error known: 2.80 of it.
    """
    for name, n in (("f1", 300), ("f1", 2000), ("precision", 1000), ("average_precision", 1000), ("brier", 300)):
        pair, rng = data.alike(0.7), np.random.default_rng([n, *name.encode()])
        sign = 1.0 if METRICS[name].greater_is_better else -1.0
        found = [METRICS[name].difference(*pair(rng, n), seed=i).estimate for i in range(runs)]
        error = float(np.std([f.value for f in found]))
        limit = -(1.959964 + 0.841621) * error
        ours = sum((f.low if sign > 0 else -f.high) >= limit for f in found) / runs
        ideal = sum(sign * f.value - 1.959964 * error >= limit for f in found) / runs
        said = f"an equally good {name} passes at 2.8 standard errors, n = {n}"
        yield Row(f"{said} (were the error known: {ideal:.4f})", ours, runs)


LOOKS = np.arange(10, 2001, 10)


def _ever(of: Callable[..., float], errors: np.ndarray, rate: float, level: float) -> bool:
    return any(of(int(e), int(n), rate) >= -math.log(level) for e, n in zip(errors, LOOKS, strict=True))


def watching(runs: int) -> Iterator[Row | Figure]:
    """e-processes looked at 200 times: a rate, a quantile of latencies, a ratio while the traffic's split changes."""
    rng, runs = np.random.default_rng(3), 10 * runs

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
    needed = [_first(np.cumsum(rng.random(1500) < 0.05)) for _ in range(runs)]
    said = "requests until a rate of 5 % fails (ok 1 %, bad 2 %, alpha 0.01)"
    yield Figure(f"{said}, median", float(np.median(needed)), runs, 150.0)
    for q in (10, 90):
        yield Figure(f"{said}, {q}th percentile", float(np.percentile(needed, q)), runs, math.inf)
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


PARTS: dict[str, Callable[[int], Iterator[Row | Figure]]] = {
    "coverage": coverage, "regressions": regressions, "margin": margin, "power": power, "watching": watching,
    "families": families,
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
