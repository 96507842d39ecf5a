"""What a partition says of its columns, packed and put together without a Spark session: the figures of the whole."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pytest

from gates.drift import spark
from gates.drift.profile import build
from gates.drift.scan import kind_in_both, scan
from gates.drift.source import from_table


def test_parts_of_vectors_words_and_numbers_give_the_figures_of_the_whole() -> None:
    rng = np.random.default_rng(1)

    def table(rows: int, shift: float) -> pa.Table:
        vectors = list((rng.normal(size=(rows, 4)) + shift).astype(np.float32))
        return pa.table(
            {
                "x": pa.array(rng.normal(size=rows) + shift),
                "said": [f"order {i} of {i * 7}" for i in range(rows)],
                "e": pa.array(vectors, pa.list_(pa.float32())),
            }
        )

    profile, now = build(from_table(table(12_000, 0.0))), table(9_000, 0.3)
    whole = scan(profile, from_table(now), memory=100_000)
    parts = []
    for start in (0, 1_000, 7_000):
        source = from_table(now.slice(start, {0: 1_000, 1_000: 6_000, 7_000: 2_000}[start]))
        kinds = {name: kind_in_both(profile, now.schema.field(name).type, name, "now") for name in profile.names}
        said = {name: spark._part(profile.columns[name], kinds[name], source, name) for name in profile.names}
        parts.append(spark._unpack(spark._pack(said, source.rows)))
    assert sum(rows for _, rows in parts) == 9_000
    for column in whole:
        kind = kinds[column.name]
        found = spark._whole(profile.columns[column.name], kind, column.name, [p[0][column.name] for p in parts])
        one, other = asdict(column), asdict(found)
        for key in ("w1", "w1_bound", "w1_scaled"):  # sums of floats: their order differs
            left, right = one.pop(key), other.pop(key)
            assert left == right or left == pytest.approx(right, rel=1e-9)
        assert one == other
    assert next(c for c in whole if c.name == "e").auc is not None
