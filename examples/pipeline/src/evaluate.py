"""Measures the model on the rows that were held out. The gate measures again, on its own data."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import mlflow
import pandas as pd
from sklearn.metrics import roc_auc_score

TARGET = "income_over_50k"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    rows = pd.read_parquet(arguments.rows)
    model = mlflow.sklearn.load_model(str(arguments.model))
    measured = {"roc_auc": float(roc_auc_score(rows[TARGET], model.predict_proba(rows)[:, 1]))}
    mlflow.log_metrics(measured)
    (arguments.out / "metrics.json").write_text(json.dumps({"metrics": measured, "n": len(rows)}))
    print(measured)


if __name__ == "__main__":
    main()
