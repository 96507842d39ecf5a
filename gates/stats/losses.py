"""Metrics that are functions of sums over rows: what each row adds, and how the sums make the value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gates.stats import exact, spill
from gates.stats.estimate import Unusable

if TYPE_CHECKING:
    from collections.abc import Callable

    from gates.stats.prepared import Prepared

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Loss:
    """of(data, model) -> (n, d) float64; statistic maps sums (..., d + 1), the last of them n, to (...).

    checked(data) says what is wrong with all rows together, and gives a number that `of` may lean on: rows come in
    stretches, and a stretch does not know the whole.
    """

    of: Callable[[Prepared, int, float], Array]
    statistic: Callable[[Array], Array]
    checked: Callable[[Prepared], float] = lambda _: 0.0

    def rows(self, data: Prepared, model: int) -> Array:
        """All rows at once."""
        return self.of(data, model, self.checked(data))


def _mean(sums: Array) -> Array:
    return _over(sums[..., 0], sums[..., -1])


def _over(a: Array, b: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(b > 0, a / np.where(b > 0, b, 1.0), np.nan)


def _scores(data: Prepared, model: int) -> Array:
    scores = data.models[model].scores
    if scores is None:
        raise Unusable("the model gives labels only, and this metric needs probabilities")
    if scores.size and (scores.min() < 0.0 or scores.max() > 1.0):
        raise Unusable("scores lie outside [0, 1], so they are not probabilities")
    return scores


def probabilities(data: Prepared, model: int) -> Array:
    """(n, k) with rows that sum to 1. Raises Unusable for values outside [0, 1]."""
    scores = _scores(data, model)
    if scores.ndim == 1:
        return np.stack([1.0 - scores, scores], axis=1)
    if len(scores) and np.abs(scores.sum(axis=1) - 1.0).max() > 1e-3:
        raise Unusable("a row's probabilities do not sum to 1")
    return scores


def of_positive(data: Prepared, model: int) -> Array:
    """(n,) probability of code 1 in a binary problem; see `probabilities`. No (n, 2) is made where (n,) was given."""
    scores = _scores(data, model)
    return scores if scores.ndim == 1 else probabilities(data, model)[:, 1]


def _brier(data: Prepared, model: int, _: float = 0.0) -> Array:
    """Brier 1950, Mon. Weather Rev. 78:1-3; binary problems use the positive class alone, in [0, 1]."""
    if data.k == 2:
        off = of_positive(data, model) - data.truth
        squared: Array = np.square(off, out=off)[:, None]
        return squared
    p = probabilities(data, model)
    rows: Array = ((p - np.eye(data.k)[data.truth]) ** 2).sum(axis=1, keepdims=True)
    return rows


def _log_loss(data: Prepared, model: int, _: float = 0.0) -> Array:
    """Probabilities are clipped at the machine's epsilon, as scikit-learn clips them."""
    if data.k == 2:
        p = of_positive(data, model)
        taken = np.where(data.truth == 1, p, 1.0 - p)[:, None]
    else:
        taken = np.take_along_axis(probabilities(data, model), data.truth[:, None], axis=1)
    eps = float(np.finfo(np.float64).eps)
    np.clip(taken, eps, 1.0 - eps, out=taken)
    rows: Array = np.negative(np.log(taken, out=taken), out=taken)
    return rows


def _residual(data: Prepared, model: int) -> Array:
    difference: Array = data.models[model].answer - data.truth
    return difference


def _mae(data: Prepared, model: int, _: float = 0.0) -> Array:
    return np.abs(_residual(data, model))[:, None]


def _squared(data: Prepared, model: int, _: float = 0.0) -> Array:
    return (_residual(data, model) ** 2)[:, None]


def _mape(data: Prepared, model: int, _: float = 0.0) -> Array:
    if not data.truth.all():
        raise Unusable("the target holds zeros, so no percentage error can be had")
    share: Array = np.abs(_residual(data, model) / data.truth)
    return share[:, None]


def _middle(data: Prepared) -> float:
    """The mean target: from there the sums keep their digits."""
    low = min(float(block.min()) for (block,) in spill.blocks(data.truth))
    high = max(float(block.max()) for (block,) in spill.blocks(data.truth))
    if len(data.truth) < 2 or low == high:
        raise Unusable("the target is constant, so r2 is undefined")
    total = exact.Sum()
    for (block,) in spill.blocks(data.truth):
        total.add(block)
    return total.value / len(data.truth)


def _r2_rows(data: Prepared, model: int, middle: float) -> Array:
    """Squared error, target, squared target."""
    centred = data.truth - middle
    return np.stack([_residual(data, model) ** 2, centred, centred**2], axis=1)


def _r2(sums: Array) -> Array:
    error, y, y2, n = (sums[..., i] for i in range(4))
    total = y2 - _over(y * y, n)
    return 1.0 - _over(error, total)


LOSSES: dict[str, Loss] = {
    "brier": Loss(_brier, _mean),
    "log_loss": Loss(_log_loss, _mean),
    "mae": Loss(_mae, _mean),
    "mse": Loss(_squared, _mean),
    "rmse": Loss(_squared, lambda sums: np.sqrt(_mean(sums))),
    "mape": Loss(_mape, _mean),
    "r2": Loss(_r2_rows, _r2, _middle),
}
