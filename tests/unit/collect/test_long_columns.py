"""A parquet file of many rows is read a batch at a time, into the values that the whole table has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gates.collect import long, predictions
from gates.collect.predictions import Shape
from gates.errors import InvalidInput
from gates.metrics import METRICS
from gates.stats import spill

if TYPE_CHECKING:
    from pathlib import Path

N = 1000
RNG = np.random.default_rng(1)
Y = RNG.integers(0, 2, N)
LATE = [None if i == 900 else int(y) for i, y in enumerate(Y)]
COLUMNS: dict[str, Any] = {
    "y": Y,
    "prediction": Y,
    "score_0": 0.75 - Y / 2,
    "score_1": 0.25 + Y / 2,
    "text": [f"g{i % 7}" for i in range(N)],
    "kinds": pa.array([f"g{i % 3}" for i in range(N)]).dictionary_encode(),
    "long text": ["x" * (i % 40) for i in range(N)],
    "gaps": [None if i % 5 == 0 else "a" for i in range(N)],
    "late gap": LATE,
    "truth": Y == 1,
    "small": Y.astype(np.int8),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "p.parquet"
    pq.write_table(pa.table(COLUMNS), path, row_group_size=300)
    return path


def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "LARGE", 900)
    monkeypatch.setattr(spill, "BLOCK", 123)


def test_a_batch_at_a_time_is_the_table(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = Shape("y", 1, tuple(name for name in COLUMNS if name not in ("y", "prediction", "score_0", "score_1")))
    whole = predictions.read(file, shape, "the predictions")
    assert long.rows(file) == 0
    small(monkeypatch)
    assert long.rows(file) == N
    found = predictions.read(file, shape, "the predictions")
    assert isinstance(found.target, np.memmap)
    assert (found.labels, found.positive_label) == (whole.labels, whole.positive_label)
    for name in ("target", "prediction", "scores"):
        assert np.array_equal(getattr(found, name), getattr(whole, name))
    for name, values in whole.groups.items():
        assert np.array_equal(found.groups[name], values, equal_nan=name == "late gap"), name
    assert found.groups["text"].dtype.kind == found.groups["kinds"].dtype.kind == "U"
    for metric in ("roc_auc", "accuracy", "brier"):
        assert METRICS[metric].estimate(found) == METRICS[metric].estimate(whole)


def test_a_missing_column_is_named_all_the_same(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch)
    with pytest.raises(InvalidInput, match="the predictions has no column 'truht'"):
        predictions.read(file, Shape("y", 1, ("truht",)), "the predictions")
