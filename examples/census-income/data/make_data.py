"""Cuts the example's four files from the published Census-Income file; the same input gives the same bytes of data.

    python data/make_data.py census_income.parquet

Every value is as published. Rows are chosen at random with a fixed seed, columns are left out, and one column,
`age_band`, is `age` put into bins. `row_id` is the row's position in the published file, so that any row can be found
there again, and no row stands in two files.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

SEED = 19941995
TARGET = "income_over_50k"
SENSITIVE = ["sex", "race", "age_band"]
FEATURES = [
    "age", "class_of_worker", "education", "marital_status", "major_industry", "major_occupation",
    "tax_filer_status", "citizenship", "capital_gains", "capital_losses", "dividends",
    "persons_worked_for_employer", "weeks_worked_in_year",
]  # fmt: skip
AGE_EDGES = [-1, 24, 39, 59, 200]
AGE_NAMES = ["0-24", "25-39", "40-59", "60+"]


def draw(people: pd.DataFrame, rows: int, seed: int) -> pd.DataFrame:
    """`rows` of `people` without replacement, in the order of the published file."""
    chosen = np.random.default_rng(seed).choice(len(people), size=rows, replace=False)
    return people.iloc[np.sort(chosen)]


def cut(people: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The four files by name. UCI's own split keeps what is trained on apart from what is tested on."""
    people = people.assign(
        row_id=np.arange(len(people), dtype=np.int64),
        age_band=pd.cut(people["age"], AGE_EDGES, labels=AGE_NAMES).astype(str),
    )
    train_1994, test_1994, train_1995, test_1995 = (
        people[(people["split"] == split) & (people["year"] == year)]
        for year in (1994, 1995)
        for split in ("train", "test")
    )
    labelled = ["row_id", *FEATURES, *SENSITIVE, TARGET]
    unlabelled = ["row_id", *FEATURES, *SENSITIVE]  # what arrives in production has no label yet
    return {
        "train": draw(train_1994, 60_000, SEED)[labelled],
        "test": draw(test_1994, 40_000, SEED + 1)[labelled],
        "production_same": draw(test_1995, 20_000, SEED + 2)[unlabelled],
        "production_shifted": draw(train_1995[train_1995["age"] > 60], 10_000, SEED + 3)[unlabelled],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="the published file, parquet, 299,285 rows")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    for name, rows in cut(pd.read_parquet(arguments.source)).items():
        # 64-bit integers, because that is what JSON requests carry: one type in training, gate and production.
        whole = rows.select_dtypes("integer").columns
        table = rows.astype(dict.fromkeys(whole, "int64")).reset_index(drop=True)
        path = arguments.out / f"{name}.parquet"
        table.to_parquet(path, compression="zstd", index=False)
        print(f"{path}: {len(table)} rows, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
