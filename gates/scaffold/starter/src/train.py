"""Trains a model on a table and saves it as an MLflow model. It is any Azure ML job: change it as you like.

Numbers go in as they are, texts as categories; the column `--target` is what is learnt, `row_id` is left out.
"""

from __future__ import annotations

import argparse
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import accuracy_score, mean_absolute_error, r2_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder

REQUIREMENTS = ("mlflow-skinny", "scikit-learn", "numpy", "pandas", "cloudpickle")


def read(path: Path) -> pd.DataFrame:
    """A CSV or parquet file."""
    return pd.read_csv(path) if path.suffix.lower() == ".csv" else pd.read_parquet(path)


def build(numbers: bool, trees: int, seed: int) -> Pipeline:
    """Gradient-boosted trees; a category that was never seen is treated as missing."""
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=float("nan"))
    columns = make_column_transformer(
        (encoder, make_column_selector(dtype_exclude=np.number)),
        ("passthrough", make_column_selector(dtype_include=np.number)),
    )
    kind = HistGradientBoostingRegressor if numbers else HistGradientBoostingClassifier
    return make_pipeline(columns, kind(max_iter=trees, random_state=seed))


def fit(rows: pd.DataFrame, target: str, *, numbers: bool, trees: int = 50, seed: int = 7) -> Pipeline:
    """A model of `target` on all other columns but row_id."""
    features = rows.drop(columns=[target, "row_id"], errors="ignore")
    return build(numbers, trees, seed).fit(features, rows[target])


def measure(model: Pipeline, rows: pd.DataFrame, target: str, *, numbers: bool) -> dict[str, float]:
    """On rows that were not trained on. The gate measures again, on its own data and with intervals."""
    answer = model.predict(rows.drop(columns=[target, "row_id"], errors="ignore"))
    if numbers:
        return {"mae": float(mean_absolute_error(rows[target], answer)), "r2": float(r2_score(rows[target], answer))}
    return {"accuracy": float(accuracy_score(rows[target], answer))}


def save(model: Pipeline, rows: pd.DataFrame, target: str, path: Path) -> None:
    """The model with its signature, an example and what it needs, exactly."""
    example = rows.drop(columns=[target, "row_id"], errors="ignore").head(3)
    mlflow.sklearn.save_model(
        model,
        path,
        signature=mlflow.models.infer_signature(example, model.predict(example)),
        input_example=example,
        serialization_format="cloudpickle",
        pip_requirements=[f"{name}=={version(name)}" for name in REQUIREMENTS],
    )


def main(argv: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description="Train a model on a table.")
    parser.add_argument("--train-data", type=Path, required=True)
    parser.add_argument("--model-out", type=Path, required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--task", choices=["classes", "numbers"], default="classes")
    parser.add_argument("--trees", type=int, default=50)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args(argv)
    numbers = arguments.task == "numbers"
    learnt, held_out = train_test_split(read(arguments.train_data), test_size=0.2, random_state=arguments.seed)
    with mlflow.start_run():
        model = fit(learnt, arguments.target, numbers=numbers, trees=arguments.trees, seed=arguments.seed)
        metrics = measure(model, held_out, arguments.target, numbers=numbers)
        mlflow.log_params({"trees": arguments.trees, "seed": arguments.seed})
        mlflow.log_metrics(metrics)
        save(model, learnt, arguments.target, arguments.model_out)
    print("held out: " + ", ".join(f"{name} {value:.4f}" for name, value in metrics.items()), flush=True)
    return metrics


if __name__ == "__main__":
    main()
