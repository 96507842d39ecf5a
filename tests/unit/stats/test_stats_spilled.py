"""Columns in files and rows sorted in small buckets give what memory and one sort give, to the last bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gates.evidence import Predictions
from gates.metrics import METRICS
from gates.stats import moments, order, spill

if TYPE_CHECKING:
    from collections.abc import Callable

N = 6000
METRIC = ["roc_auc", "average_precision", "brier", "log_loss", "expected_calibration_error", "accuracy", "recall", "f1"]


def pair(kind: str) -> tuple[Predictions, Predictions]:
    """Scores that are all different, that tie in tens, or of which half are 0."""
    rng = np.random.default_rng(4)
    y = (rng.random(N) < 0.3).astype(np.int64)

    def model(noise: float) -> Predictions:
        s = 1 / (1 + np.exp(-(2 * y - 1 + rng.normal(0, noise, N))))
        s = np.round(s, 2) if kind == "ties" else np.where(rng.random(N) < 0.5, 0.0, s) if kind == "zeros" else s
        return Predictions(y, (s > 0.5).astype(np.int64), s, (0, 1), 1, row_id=np.arange(N))

    return model(1.0), model(1.3)


def moved(predictions: Predictions, rows: np.ndarray) -> Predictions:
    columns: dict[str, Any] = {
        name: getattr(predictions, name)[rows] for name in ("target", "prediction", "scores", "row_id")
    }
    return Predictions(**columns, labels=(0, 1), positive_label=1)


def numbers() -> tuple[Predictions, Predictions]:
    rng = np.random.default_rng(5)
    y = rng.normal(20, 4, N)
    return Predictions(y, y + rng.normal(0, 2, N)), Predictions(y, y + rng.lognormal(0, 1, N))


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def shrink() -> None:
        monkeypatch.setattr(order, "BUCKET", 100)
        monkeypatch.setattr(spill, "LARGE", 900)
        monkeypatch.setattr(spill, "BLOCK", 333)
        monkeypatch.setattr(spill, "KEPT", 1000)

    return shrink


@pytest.mark.parametrize("kind", ["different", "ties", "zeros"])
@pytest.mark.parametrize("name", METRIC)
def test_small_buckets_and_files_change_nothing(name: str, kind: str, tiny: Callable[[], None]) -> None:
    candidate, champion = pair(kind)
    alone = METRICS[name].estimate(candidate)
    both = METRICS[name].difference(candidate, champion, weight=0.95)
    tiny()
    assert METRICS[name].estimate(candidate) == alone
    assert METRICS[name].difference(candidate, champion, weight=0.95) == both
    rows = np.random.default_rng(6).permutation(N)
    assert METRICS[name].estimate(moved(candidate, rows)) == alone
    assert METRICS[name].difference(moved(candidate, rows), champion, weight=0.95) == both


@pytest.mark.parametrize("name", ["mae", "mse", "rmse", "mape", "r2"])
def test_regression_in_blocks_changes_nothing(name: str, tiny: Callable[[], None]) -> None:
    candidate, champion = numbers()
    assert moments.MOST_RESAMPLED < N
    alone, both = METRICS[name].estimate(candidate), METRICS[name].difference(candidate, champion)
    tiny()
    assert METRICS[name].estimate(candidate) == alone
    assert METRICS[name].difference(candidate, champion) == both


@pytest.mark.parametrize("of", ["different", "ties", "one", "zeros", "two"])
def test_rows_come_in_ascending_order_with_what_they_carry(of: str, tiny: Callable[[], None]) -> None:
    rng = np.random.default_rng(7)
    scores = {
        "different": rng.normal(size=N),
        "ties": rng.integers(0, 30, N).astype(float),
        "one": np.full(N, 0.25),
        "zeros": np.where(rng.random(N) < 0.9, 0.0, rng.random(N)),
        "two": rng.integers(0, 2, N).astype(float),
    }[of]
    tiny()
    ordered, place, positive = order.ascending(scores, np.arange(N), scores > np.median(scores))
    assert (ordered == np.sort(scores)).all()
    assert (scores[place] == ordered).all()
    assert (np.sort(place) == np.arange(N)).all()
    steps = list(order.steps(ordered, positive))
    assert [step.start for step in steps[1:]] == [step.stop for step in steps[:-1]]
    assert sum(int(step.rows.sum()) for step in steps) == N
    assert sum(int(step.hits.sum()) for step in steps) == int(positive.sum())
    assert all(ordered[step.start] != ordered[step.start - 1] for step in steps[1:])  # none parts equal scores


def test_a_column_over_the_budget_is_in_a_file(tiny: Callable[[], None]) -> None:
    assert not isinstance(spill.empty(1000, np.float64), np.memmap)
    tiny()
    column = spill.empty(1000, np.float64)
    assert isinstance(column, np.memmap)
    for part in spill.parts(column):
        column[part] = np.arange(part.start, part.stop)
    spill.release(column)
    assert (column == np.arange(1000)).all()
