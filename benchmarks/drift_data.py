"""Pairs of parquet files for the drift benchmarks: unequal row counts, nulls, NaN and ties, from a seed.

Run: `python -m benchmarks.drift_data FOLDER M` writes FOLDER/M-reference.parquet and FOLDER/M-current.parquet.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


@dataclass(frozen=True)
class Shape:
    rows: int
    floats: int
    integers: int = 0
    categories: int = 0


SHAPES = {
    "S": Shape(100_000, 14, 4, 2),
    "M": Shape(1_000_000, 24, 4, 2),
    "M2rows": Shape(2_000_000, 24, 4, 2),
    "M2cols": Shape(1_000_000, 48, 8, 4),
    "L": Shape(10_000_000, 20),
    "XL": Shape(100_000_000, 4),
}
GROUP = 250_000


def write(folder: Path, name: str, *, seed: int = 1) -> tuple[Path, Path]:
    """Write the pair unless it is there. The current side has 7 % more rows, and a shift in every fourth column."""
    shape = SHAPES[name]
    made = []
    for number, side in enumerate(("reference", "current")):
        path = folder / f"{name}-{side}.parquet"
        made.append(path)
        if path.exists():
            continue
        rng = np.random.default_rng([seed, number])
        rows = shape.rows if number == 0 else int(shape.rows * 1.07)
        beside = path.with_suffix(".part")
        writer: Any = None
        for start in range(0, rows, GROUP):
            table = pa.table(_group(shape, rng, min(GROUP, rows - start), shifted=number == 1))
            writer = writer or pq.ParquetWriter(beside, table.schema)
            writer.write_table(table)
        writer.close()
        beside.rename(path)
    return made[0], made[1]


def _group(shape: Shape, rng: np.random.Generator, rows: int, *, shifted: bool) -> dict[str, pa.Array[Any]]:
    columns: dict[str, Any] = {}
    for i in range(shape.floats):
        values = rng.normal(size=rows) + (0.05 * (i % 4 == 3) if shifted else 0.0)
        if i % 3 == 1:
            values = np.round(values, 2)  # ties
        mask = rng.random(rows) < 0.01 if i % 2 else None
        if i % 5 == 0:
            values[rng.random(rows) < 0.005] = np.nan
        columns[f"f{i}"] = pa.array(values, mask=mask, from_pandas=False)
    for i in range(shape.integers):
        columns[f"i{i}"] = pa.array(rng.poisson(4.0 * 10**i, size=rows))
    for i in range(shape.categories):
        labels = np.array([f"c{k}" for k in range(8 * 10 ** (i % 2))])  # more than 1,000 would be text
        columns[f"c{i}"] = pa.array(labels[rng.integers(0, len(labels), rows)]).dictionary_encode().dictionary_decode()
    return columns


if __name__ == "__main__":
    for shape_name in sys.argv[2:]:
        print(*write(Path(sys.argv[1]), shape_name))
