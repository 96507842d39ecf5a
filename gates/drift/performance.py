"""Concept drift: once labels come, the model's performance over a rolling window beside its baseline, with intervals.

Rules: performance is a mean over rows of a score where more is better (1 for a right answer, or minus an error); only
rows whose label came count; a window with too few of them is undecided, never stable. Windows do not overlap, and the
interval of each is corrected for how many there are (Bonferroni), so that watching longer raises no more false alarms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from gates.drift.missing import newcombe
from gates.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
    baseline: NDArray[np.float64],
    *,
    width: int,
    margin: float = 0.0,
    min_samples: int = 100,
    confidence: float = 0.95,
) -> tuple[Window, ...]:
    """Windows of `width` microseconds, counted back from the latest time, oldest first.

    times: (n,) microseconds; scores: (n,), NaN where no label came; baseline: (m,) scores on the evaluation data.
    Scores of 0 and 1 are compared by Newcombe's interval (1998, method 10), others by Welch's with a normal quantile.
    InvalidInput when nothing is there to compare, or a score is infinite.
    """
    if width <= 0 or margin < 0 or not 0 < confidence < 1 or min_samples < 2:
        raise InvalidInput(
            f"width {width}, margin {margin}, min_samples {min_samples}, confidence {confidence} cannot be used",
            hint="width > 0, margin >= 0, min_samples >= 2, confidence between 0 and 1",
        )
    if len(times) != len(scores):
        raise InvalidInput(f"{len(times)} times for {len(scores)} scores", hint="give one time for each score")
    if np.isinf(scores).any() or not np.isfinite(baseline).all():
        raise InvalidInput("a score is infinite, or a score of the baseline is missing", hint="mend the predictions")
    if len(baseline) < min_samples or len(times) == 0:
        raise InvalidInput(f"{len(times)} rows and a baseline of {len(baseline)}", hint=f"give {min_samples} or more")
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
    baseline: NDArray[np.float64],
    margin: float,
    min_samples: int,
    level: float,
) -> Window:
    n = len(inside)
    if n < min_samples:
        return Window(start, stop, n)
    value = float(np.mean(inside))
    delta = value - float(np.mean(baseline))
    low, high = difference(inside, baseline, level)
    return Window(start, stop, n, value, delta, low, high, high < -margin)


def difference(a: NDArray[np.float64], b: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    """Interval of mean(a) − mean(b); both of at least two finite scores."""
    if np.isin(a, (0.0, 1.0)).all() and np.isin(b, (0.0, 1.0)).all():
        return newcombe(int(a.sum()), len(a), int(b.sum()), len(b), confidence)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    spread = math.sqrt(float(np.var(a, ddof=1)) / len(a) + float(np.var(b, ddof=1)) / len(b))
    middle = float(np.mean(a)) - float(np.mean(b))
    return middle - z * spread, middle + z * spread


def latest_delta(windows: tuple[Window, ...]) -> float | None:
    """What `decide.retrain` takes as performance_delta: of the latest window that has one; None when none has."""
    return next((w.delta for w in reversed(windows) if w.delta is not None), None)
