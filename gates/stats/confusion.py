"""Classification metrics as functions of a confusion matrix, over any number of matrices at once.

A matrix is (..., k, k), rows the truth, columns the answer. In binary problems index 1 is the positive label. What is
undefined is NaN, but for two conventions of scikit-learn's: in an average a class that is never predicted has
precision 0, and f1 is 2 TP / (2 TP + FP + FN).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gates.stats import cells

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]


def matrix(truth: NDArray[np.intp], answer: NDArray[np.intp], k: int) -> Matrix:
    """Counts (k, k) float64 of codes (n,) in [0, k)."""
    return cells.counted((truth, answer), (k, k)).astype(np.float64)


def _divide(a: Matrix, b: Matrix, *, undefined: float = np.nan) -> Matrix:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(b > 0, a / np.where(b > 0, b, 1.0), undefined)


def _hits(c: Matrix) -> Matrix:
    return np.diagonal(c, axis1=-2, axis2=-1)


def accuracy(c: Matrix) -> Matrix:
    return _divide(_hits(c).sum(-1), c.sum((-2, -1)))


def recalls(c: Matrix) -> Matrix:
    """By class, (..., k); NaN for a class that is not in the truth."""
    return _divide(_hits(c), c.sum(-1))


def precisions(c: Matrix) -> Matrix:
    """By class, (..., k); NaN for a class that is never predicted."""
    return _divide(_hits(c), c.sum(-2))


def f1s(c: Matrix) -> Matrix:
    """By class, (..., k); NaN for a class neither in the truth nor predicted."""
    return _divide(2.0 * _hits(c), c.sum(-1) + c.sum(-2))


def balanced_accuracy(c: Matrix) -> Matrix:
    """The mean recall of the classes that are in the truth (scikit-learn's definition)."""
    present = c.sum(-1) > 0
    return _divide(np.where(present, _divide(_hits(c), c.sum(-1), undefined=0.0), 0.0).sum(-1), present.sum(-1))


def averaged(by_class: Callable[[Matrix], Matrix], average: str) -> Callable[[Matrix], Matrix]:
    """One number from a figure by class: binary (the positive one), micro, macro or weighted by support.

    A class neither in the truth nor predicted is left out, as scikit-learn does with the labels it finds.
    """
    if average == "binary":
        return lambda c: by_class(c)[..., 1]
    if average == "micro":
        return accuracy

    def mean(c: Matrix) -> Matrix:
        support = c.sum(-1)
        weight = support if average == "weighted" else ((support + c.sum(-2)) > 0).astype(np.float64)
        return _divide((np.nan_to_num(by_class(c)) * weight).sum(-1), weight.sum(-1))

    return mean


def cell(true: int, predicted: int) -> Callable[[Matrix], Matrix]:
    return lambda c: c[..., true, predicted]


def specificity(c: Matrix) -> Matrix:
    return recalls(c)[..., 0]
