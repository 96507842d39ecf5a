"""Do verdicts err as rarely as they say? Simulations, seeds fixed: `python benchmarks/calibration.py [RUNS]`."""

from __future__ import annotations

import math
import sys

import numpy as np

from gates.evidence import Predictions
from gates.metrics import METRICS
from gates.stats import sequential


def coverage(name: str, n: int, runs: int) -> str:
    """The share of 95 % intervals that hold the value of a very large sample."""
    truth = METRICS[name].estimate(_model(np.random.default_rng(0), 1_000_000)).value
    rng = np.random.default_rng(1)
    found = [METRICS[name].estimate(_model(rng, n), seed=i) for i in range(runs)]
    share = sum(f.low <= truth <= f.high for f in found) / runs
    return f"coverage of {name}, n = {n}: {share:.3f}"


def _model(rng: np.random.Generator, n: int) -> Predictions:
    target = (rng.random(n) < 0.3).astype(np.int64)
    scores = 1 / (1 + np.exp(-(2 * target - 1.0 + rng.normal(0, 1, n))))
    return Predictions(target, (scores > 0.5).astype(np.int64), scores, (0, 1), 1)


def wrong_passes(n: int, runs: int) -> str:
    """How often non-inferiority of accuracy passes a candidate worse by just the margin (at most 0.025)."""
    rng, passed = np.random.default_rng(2), 0
    for _ in range(runs):
        target = rng.integers(0, 2, n)
        kind = rng.choice(3, n, p=[0.04, 0.06, 0.90])  # only the candidate right, only the champion right, both
        ours, theirs = np.where(kind == 1, 1 - target, target), np.where(kind == 0, 1 - target, target)
        found = METRICS["accuracy"].difference(Predictions(target, ours), Predictions(target, theirs))
        passed += found.estimate.low >= -0.02
    return f"wrong passes of accuracy at the margin, n = {n}: {passed / runs:.4f}"


def e_processes(runs: int) -> list[str]:
    rng = np.random.default_rng(3)
    looks = range(10, 2001, 10)
    ends = np.array(looks) - 1

    def ever(rate: float, against: float, above: bool, level: float) -> float:
        of, hits = sequential.above if above else sequential.below, 0
        for _ in range(runs):
            errors = np.cumsum(rng.random(2000) < rate)[ends]
            hits += any(of(int(e), n, against) >= -math.log(level) for e, n in zip(errors, looks, strict=True))
        return hits / runs

    first = []
    for _ in range(runs):
        errors = np.cumsum(rng.random(1500) < 0.05)
        first.append(
            next((n for n in range(1, 1501) if sequential.above(int(errors[n - 1]), n, 0.01) >= math.log(100)), 9999)
        )
    return [
        f"rate 5 % found after a median of {np.median(first):.0f} requests (ok 1 %, alpha 0.01)",
        f"false alarms at ok over 200 looks: {ever(0.01, 0.01, True, 0.01):.4f} (alpha 0.01)",
        f"false passes at bad over 200 looks: {ever(0.02, 0.02, False, 0.05):.4f} (beta 0.05)",
    ]


if __name__ == "__main__":
    RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    for metric in ("accuracy", "f1", "roc_auc", "average_precision", "brier", "log_loss", "expected_calibration_error"):
        print(coverage(metric, 300, RUNS), flush=True)
    print(wrong_passes(500, RUNS), flush=True)
    print("\n".join(e_processes(RUNS)))
