"""Concept drift: once labels come, the model's performance over a rolling window beside its baseline, with intervals.

Rules: performance is a mean over rows of a score where more is better (1 for a right answer, or minus an error); only
rows whose label came count; a window with too few of them is undecided, never stable. Windows do not overlap, and the
interval of each is corrected for how many there are (Bonferroni), so that watching longer raises no more false alarms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

import numpy as np
from msgspec import Struct

from gates.drift.missing import newcombe
from gates.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Baseline(Struct, frozen=True, forbid_unknown_fields=True):
    """Performance as it was judged: of n scores their mean and sample variance. labels: whether a score is 1 for a
    right answer and 0 for a wrong one; else it is minus the absolute error.
    """

    n: int
    mean: float
    variance: float
    labels: bool
    version: Literal[1] = 1


def baseline_of(scores: NDArray[np.float64], *, labels: bool) -> Baseline:
    """scores: (n,) all there. InvalidInput when one is missing or infinite, or there is none."""
    if not len(scores) or not np.isfinite(scores).all():
        raise InvalidInput(
            f"a baseline of {len(scores)} scores, or one that is missing or infinite", hint="mend the predictions"
        )
    variance = float(np.var(scores, ddof=1)) if len(scores) > 1 else 0.0
    return Baseline(len(scores), float(np.mean(scores)), variance, labels)


@dataclass(frozen=True)
class Window:
    """start, stop: microseconds since the epoch, stop excluded. value: mean score; delta: value minus the baseline's,
    with its interval (low, high). All None, and dropped too, where fewer than min_samples labels came.
    dropped: whether the whole interval lies below −margin.
    """

    start: int
    stop: int
    n: int
    value: float | None = None
    delta: float | None = None
    low: float | None = None
    high: float | None = None
    dropped: bool | None = None


def rolling(
    times: NDArray[np.int64],
    scores: NDArray[np.float64],
    baseline: Baseline,
    *,
    width: int,
    margin: float = 0.0,
    min_samples: int = 100,
    confidence: float = 0.95,
) -> tuple[Window, ...]:
    """Windows of `width` microseconds, counted back from the latest time, oldest first.

    times: (n,) microseconds; scores: (n,), NaN where no label came; baseline: of the evaluation data, in one measure.
    Labels are compared by Newcombe's interval (1998, method 10), others by Welch's with a normal quantile.
    InvalidInput when nothing is there to compare, or a score is infinite.
    """
    if width <= 0 or margin < 0 or not 0 < confidence < 1 or min_samples < 2:
        raise InvalidInput(
            f"width {width}, margin {margin}, min_samples {min_samples}, confidence {confidence} cannot be used",
            hint="width > 0, margin >= 0, min_samples >= 2, confidence between 0 and 1",
        )
    if len(times) != len(scores):
        raise InvalidInput(f"{len(times)} times for {len(scores)} scores", hint="give one time for each score")
    if np.isinf(scores).any() or not (math.isfinite(baseline.mean) and math.isfinite(baseline.variance)):
        raise InvalidInput("a score is infinite, or the baseline is no number", hint="mend the predictions")
    if baseline.n < min_samples or len(times) == 0:
        raise InvalidInput(f"{len(times)} rows and a baseline of {baseline.n}", hint=f"give {min_samples} or more")
    age = (int(times.max()) - times) // width
    count = int(age.max()) + 1
    if count > 100_000:
        raise InvalidInput(f"{count} windows of {width} microseconds", hint="write a wider window")
    latest = int(times.max()) + 1
    level = 1 - (1 - confidence) / count
    there = ~np.isnan(scores)
    made = []
    for back in range(count - 1, -1, -1):
        inside = scores[there & (age == back)]
        stop = latest - back * width
        made.append(_window(stop - width, stop, inside, baseline, margin, min_samples, level))
    return tuple(made)


def _window(
    start: int,
    stop: int,
    inside: NDArray[np.float64],
    baseline: Baseline,
    margin: float,
    min_samples: int,
    level: float,
) -> Window:
    n = len(inside)
    if n < min_samples:
        return Window(start, stop, n)
    value = float(np.mean(inside))
    delta = value - baseline.mean
    low, high = difference(inside, baseline, level)
    return Window(start, stop, n, value, delta, low, high, high < -margin)


def difference(a: NDArray[np.float64], b: Baseline, confidence: float) -> tuple[float, float]:
    """Interval of mean(a) − the baseline's mean; both of at least two finite scores."""
    if b.labels:
        return newcombe(int(a.sum()), len(a), round(b.mean * b.n), b.n, confidence)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    spread = math.sqrt(float(np.var(a, ddof=1)) / len(a) + b.variance / b.n)
    middle = float(np.mean(a)) - b.mean
    return middle - z * spread, middle + z * spread


def latest_delta(windows: tuple[Window, ...]) -> float | None:
    """What `decide.retrain` takes as performance_delta: of the latest window that has one; None when none has."""
    return next((w.delta for w in reversed(windows) if w.delta is not None), None)
