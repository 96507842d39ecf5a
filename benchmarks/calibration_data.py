"""Worlds whose truth is known: predictions to draw, and the exact value of each metric on endless rows of them.

Integrals are sums over a grid so fine that its error is under 1e-9; where a closed form exists it is used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr

from gates.evidence import Predictions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Make = Callable[[np.random.Generator, int], Predictions]

BINS = 15


@dataclass(frozen=True)
class World:
    """make(rng, n) draws n rows; truth: by metric, what endless rows would show (cells: as a share of the rows)."""

    make: Make
    truth: Mapping[str, float] = field(default_factory=dict)


def _probability(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-odds))
    return found


def binary(share: float, sharpness: float = 1.0, noise: float = 0.0) -> World:
    """Log-odds are the prior's +- 1 with normal noise of variance 2: the scores are then the true probabilities. They
    are bent by `sharpness`, and `noise` is the deviation of what is added to them.
    """
    cut = min(0.5, 1.5 * share)

    def make(rng: np.random.Generator, n: int) -> Predictions:
        target = (rng.random(n) < share).astype(np.int64)
        odds = math.log(share / (1 - share)) + (2 * target - 1.0) + rng.normal(0, math.sqrt(2.0), n)
        if noise:
            odds += rng.normal(0, noise, n)
        return labelled(target, _probability(sharpness * odds), cut)

    return World(make, _exact(share, sharpness, 2.0 + noise**2, cut))


def labelled(target: NDArray[np.int64], scores: NDArray[np.float64], cut: float) -> Predictions:
    return Predictions(target, (scores > cut).astype(np.int64), scores, (0, 1), 1)


def worse(
    noise: float = 1.0, share: float = 0.3
) -> tuple[Callable[..., tuple[Predictions, Predictions]], World, World]:
    """Pairs (candidate, champion): the candidate scores the champion's rows with more noise. And both worlds."""
    champion, candidate = binary(share), binary(share, noise=noise)

    def make(rng: np.random.Generator, n: int) -> tuple[Predictions, Predictions]:
        theirs = champion.make(rng, n)
        assert theirs.scores is not None
        odds = np.log(theirs.scores / (1 - theirs.scores)) + rng.normal(0, noise, n)
        return labelled(theirs.target, _probability(odds), min(0.5, 1.5 * share)), theirs

    return make, candidate, champion


def alike(noise: float, share: float = 0.3) -> Callable[[np.random.Generator, int], tuple[Predictions, Predictions]]:
    """Pairs that are equally good: each adds noise of its own to the same scores."""

    def make(rng: np.random.Generator, n: int) -> tuple[Predictions, Predictions]:
        base = binary(share).make(rng, n)
        assert base.scores is not None
        odds, cut = np.log(base.scores / (1 - base.scores)), min(0.5, 1.5 * share)
        a, b = (labelled(base.target, _probability(odds + rng.normal(0, noise, n)), cut) for _ in range(2))
        return a, b

    return make


def _exact(share: float, sharpness: float, variance: float, cut: float) -> dict[str, float]:
    sd, prior = math.sqrt(variance), math.log(share / (1 - share))
    at = np.linspace(prior - 1 - 9 * sd, prior + 1 + 9 * sd, 1_200_001)
    step = at[1] - at[0]
    density = [
        weight * np.exp(-(((at - prior - sign) / sd) ** 2) / 2.0) / (sd * math.sqrt(2.0 * math.pi)) * step
        for weight, sign in ((1.0 - share, -1.0), (share, 1.0))
    ]
    p = _probability(sharpness * at)
    edge = math.log(cut / (1 - cut)) / sharpness
    tp = share * (1.0 - float(ndtr((edge - prior - 1.0) / sd)))
    fp = (1.0 - share) * (1.0 - float(ndtr((edge - prior + 1.0) / sd)))
    fn, tn = share - tp, 1.0 - share - fp
    above = share * (1.0 - ndtr((at - prior - 1.0) / sd))
    every = above + (1.0 - share) * (1.0 - ndtr((at - prior + 1.0) / sd))
    gaps = np.bincount(
        np.clip(np.ceil(p * BINS).astype(np.intp) - 1, 0, BINS - 1), weights=density[0] * p + density[1] * (p - 1.0)
    )
    return {
        "accuracy": tp + tn,
        "balanced_accuracy": (tp / share + tn / (1.0 - share)) / 2.0,
        "precision": tp / (tp + fp),
        "recall": tp / share,
        "specificity": tn / (1.0 - share),
        "f1": 2.0 * tp / (2.0 * tp + fp + fn),
        "true_positives": tp,
        "false_positives": fp,
        "true_negatives": tn,
        "false_negatives": fn,
        "roc_auc": float(ndtr(2.0 / (sd * math.sqrt(2.0)))),
        "average_precision": float((density[1] / share * above / np.maximum(every, 1e-300)).sum()),
        "brier": float((density[0] * p**2 + density[1] * (1.0 - p) ** 2).sum()),
        "log_loss": float((density[0] * np.logaddexp(0, sharpness * at)).sum())
        + float((density[1] * np.logaddexp(0, -sharpness * at)).sum()),
        "expected_calibration_error": float(np.abs(gaps).sum()),
    }


def three_classes() -> World:
    """70 % answered rightly, the rest at random."""
    shares = np.array([0.5, 0.3, 0.2])

    def make(rng: np.random.Generator, n: int) -> Predictions:
        target = rng.choice(3, n, p=shares)
        return Predictions(target, np.where(rng.random(n) < 0.7, target, rng.integers(0, 3, n)), None, (0, 1, 2))

    recall = 0.7 + 0.3 / 3
    predicted = 0.7 * shares + 0.3 / 3
    precision, f1 = recall * shares / predicted, 2.0 * recall * shares / (shares + predicted)
    return World(make, {
        "precision macro": float(precision.mean()), "recall macro": recall, "f1 macro": float(f1.mean()),
        "f1 weighted": float(f1 @ shares), "precision weighted": float(precision @ shares),
    })  # fmt: skip


def in_entities() -> World:
    """Entities of five rows each, which the model gets right or wrong together."""

    def make(rng: np.random.Generator, n: int) -> Predictions:
        entity = np.repeat(np.arange(n // 5), 5)
        target = rng.integers(0, 2, n // 5 * 5)
        right = rng.random(n // 5 * 5) < np.repeat(rng.beta(4, 1, n // 5), 5)
        scores = np.where(right == (target == 1), 0.7, 0.3)
        return Predictions(target, np.where(right, target, 1 - target), scores, (0, 1), 1, entity=entity)

    brier = 0.8 * 0.3**2 + 0.2 * 0.7**2
    return World(make, {"accuracy": 0.8, "f1": 0.8, "roc_auc": 0.8**2 + 0.8 * 0.2, "brier": brier})


def _numbers(error: Callable[[np.random.Generator, int], NDArray[np.float64]], mae: float, mse: float) -> World:
    """A target spread evenly from 10 to 30, and errors that know nothing of it."""

    def make(rng: np.random.Generator, n: int) -> Predictions:
        target = rng.uniform(10.0, 30.0, n)
        return Predictions(target, target + error(rng, n))

    return World(make, numbers_truth(mae, mse))


def numbers_truth(mae: float, mse: float) -> dict[str, float]:
    return {
        "mae": mae,
        "mse": mse,
        "rmse": math.sqrt(mse),
        "mape": mae * math.log(3.0) / 20.0,
        "r2": 1 - mse * 12 / 400,
    }


def normal_errors(sd: float = 2.0) -> World:
    return _numbers(lambda rng, n: rng.normal(0, sd, n), sd * math.sqrt(2.0 / math.pi), sd**2)


def lognormal_errors() -> World:
    """Both signs, sigma 1: no interval is known to cover tails like these at these sizes."""

    def error(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
        drawn: NDArray[np.float64] = rng.lognormal(0, 1, n) * rng.choice([-1, 1], n)
        return drawn

    return _numbers(error, math.exp(0.5), math.exp(2.0))


def worse_numbers(
    sd: float = 2.0, noise: float = 0.6
) -> tuple[Callable[..., tuple[Predictions, Predictions]], World, World]:
    """Pairs whose candidate adds normal noise to the champion's normal errors."""
    champion, candidate = normal_errors(sd), normal_errors(math.hypot(sd, noise))

    def make(rng: np.random.Generator, n: int) -> tuple[Predictions, Predictions]:
        theirs = champion.make(rng, n)
        return Predictions(theirs.target, theirs.prediction + rng.normal(0, noise, n)), theirs

    return make, candidate, champion
