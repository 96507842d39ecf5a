"""Embeddings: few false alarms, shifts found, the same sample in any order of parts, and what cannot be compared."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats as scipy_stats

from gates.drift import vectors
from gates.drift.decide import decide
from gates.drift.profile import Profile, build, merge_all
from gates.drift.scan import scan
from gates.drift.source import Source, from_table, open_source
from gates.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def embedded(rows: NDArray[Any], type_: Any = None) -> pa.Array[Any]:
    return pa.array(list(rows.astype(np.float32)), type=type_ or pa.list_(pa.float32(), rows.shape[1]))


def source(rows: NDArray[Any], type_: Any = None) -> Source:
    return from_table(pa.table({"e": embedded(rows, type_)}))


def drawn(seed: int, rows: int, dimensions: int = 16) -> NDArray[Any]:
    return np.random.default_rng([seed, 5]).normal(size=(rows, dimensions))


def test_no_drift_raises_few_alarms() -> None:
    found = [scan(source(drawn(i, 160)), source(drawn(1000 + i, 120)))[0] for i in range(60)]
    p = [c.p for c in found if c.p is not None]
    assert len(p) == 60
    assert scipy_stats.kstest(p, "uniform").pvalue > 0.001  # the p-values of no drift are spread evenly
    assert not any(d.drifted for c in found for d in decide((c,)))


@pytest.mark.parametrize("kind", ["mean", "scale", "a third of the rows"])
def test_a_shift_is_found(kind: str) -> None:
    before, now = drawn(1, 2_000), drawn(2, 1_500)
    if kind == "mean":
        now = now + 0.3
    elif kind == "scale":
        now = now * 1.5
    else:
        now[:500] += 2.0
    found = scan(source(before), source(now))
    decision = decide(found)[0]
    assert found[0].auc is not None
    assert found[0].auc > 0.6
    assert decision.drifted is True
    assert "AUC of telling the sides apart" in decision.why
    row = decision.to_json()
    assert row["kind"] == "vector"
    assert row["auc"] == pytest.approx(found[0].auc, abs=1e-3)
    assert sum(row["histogram"]["current"]) == pytest.approx(1.0, abs=1e-3)


def test_the_p_value_is_mann_whitneys() -> None:
    rng = np.random.default_rng(3)
    x, y = np.sort(rng.integers(0, 9, 80).astype(float)), np.sort(rng.integers(1, 10, 60).astype(float))
    auc, p = vectors.mann_whitney(x, y)
    expected: Any = scipy_stats.mannwhitneyu(y, x, alternative="greater", method="asymptotic")
    assert auc == pytest.approx(expected.statistic / (80 * 60), rel=1e-12)
    assert p == pytest.approx(expected.pvalue, rel=1e-12)
    assert vectors.mann_whitney(x[:1] * 0, x[:1] * 0) == (0.5, 1.0)


def test_parts_in_any_order_and_grouping_keep_the_same_vectors() -> None:
    rows = drawn(4, 5_000, 3)
    rows[::7] = 1.0  # many equal rows
    parts = [build(source(rows[i : i + 900])) for i in range(0, 5_000, 900)]
    whole = merge_all(parts)
    random.Random(1).shuffle(parts)
    other = merge_all([merge_all(parts[:2]), merge_all([parts[2], merge_all(parts[3:])])])
    assert whole == other
    held = whole.columns["e"].vectors
    assert held is not None
    assert (held.n, len(held.rows)) == (5_000, vectors.SAMPLE)
    share = float(np.mean(np.all(held.rows == 1.0, axis=1)))
    assert share == pytest.approx(1 / 7, abs=0.05)  # rows are sampled, not values
    assert Profile.from_bytes(whole.to_bytes()) == whole


@pytest.mark.parametrize("type_", [pa.list_(pa.float32()), pa.list_(pa.float64()), pa.large_list(pa.float64())])
def test_every_list_of_floats_and_a_profile_give_the_same_figures(type_: Any, tmp_path: Path) -> None:
    before, now = drawn(5, 1_500).astype(np.float32), drawn(6, 1_200).astype(np.float32) + np.float32(0.2)
    expected = scan(source(before), source(now))[0]
    pq.write_table(pa.table({"e": embedded(now, type_)}), tmp_path / "now.parquet", row_group_size=500)
    found = scan(build(source(before)), open_source(tmp_path / "now.parquet"))[0]
    assert (found.auc, found.p, found.method) == (expected.auc, expected.p, "sample")


def test_rows_without_a_vector_are_missing() -> None:
    rows: list[Any] = [[1.0, 2.0], None, [float("nan"), 1.0], [None, 1.0], [float("inf"), 0.0]] * 30
    now = from_table(pa.table({"e": pa.array(rows, pa.list_(pa.float32()))}))
    found = scan(source(drawn(7, 200, 2)), now)[0]
    assert (found.n_cur, found.nulls_cur) == (30, 120)
    assert found.auc is None
    assert "fewer than 40 vectors" in found.reason
    assert decide((found,))[0].drifted is True  # missing values are a signal of their own
    assert decide((found,), missing_max=None)[0].drifted is None


def test_vectors_of_another_length_are_refused() -> None:
    with pytest.raises(InvalidInput, match="holds vectors of 8 numbers, and of 16 in the reference"):
        scan(source(drawn(1, 100)), source(drawn(1, 100, 8)))
    mixed = from_table(pa.table({"e": pa.array([[1.0], [1.0, 2.0]] * 50, pa.list_(pa.float32()))}))
    with pytest.raises(InvalidInput, match="column 'e' holds vectors of 1 and 2 numbers"):
        scan(source(drawn(1, 100, 1)), mixed)
    with pytest.raises(InvalidInput, match="column 'e' is double now and was"):
        scan(source(drawn(1, 100)), from_table(pa.table({"e": [1.0, 2.0]})))
