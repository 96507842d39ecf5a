"""Splits the labelled rows into those to fit and those to hold out, by row id, so that every run splits alike."""

from __future__ import annotations

import argparse
from pathlib import Path

import mlflow
import pandas as pd


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--raw", type=Path, required=True)
    parser.add_argument("--share", type=float, required=True)
    parser.add_argument("--fit", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, required=True)
    arguments = parser.parse_args()
    rows = pd.read_parquet(arguments.raw)
    # Knuth's multiplicative hash: neighbours in the file do not end up on the same side.
    held_out = (rows["row_id"].to_numpy() * 2654435761 % 2**32) < arguments.share * 2**32
    rows[~held_out].to_parquet(arguments.fit)
    rows[held_out].to_parquet(arguments.held_out)
    mlflow.log_metric("rows", len(rows))
    print(f"{int((~held_out).sum())} rows to fit, {int(held_out.sum())} held out")


if __name__ == "__main__":
    main()
