"""One trial: cross-validates a setting, then fits it on all rows and saves an MLflow model."""

from __future__ import annotations

import argparse
import math
import warnings
from importlib.metadata import version
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder

TARGET = "income_over_50k"
CATEGORICAL = ["education", "marital_status", "major_occupation"]
NUMERIC = ["age", "capital_gains", "capital_losses", "dividends", "weeks_worked_in_year"]
REQUIREMENTS = ["mlflow-skinny", "scikit-learn", "numpy", "pandas", "cloudpickle"]


def build(trees: int, learning_rate: float) -> Pipeline:
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=math.nan)
    columns = make_column_transformer((encoder, CATEGORICAL), ("passthrough", NUMERIC))
    model = HistGradientBoostingClassifier(
        max_iter=trees, learning_rate=learning_rate, early_stopping=False, random_state=1994
    )
    return make_pipeline(columns, model)


def cross_validate(model: Pipeline, rows: pd.DataFrame, folds: int) -> None:
    """Reports the running mean after each fold, which is what an early-termination policy looks at."""
    scores: list[float] = []
    for fit, held_out in StratifiedKFold(folds, shuffle=True, random_state=1994).split(rows, rows[TARGET]):
        fitted = clone(model).fit(rows.iloc[fit], rows[TARGET].iloc[fit])
        judged = rows.iloc[held_out]
        scores.append(float(roc_auc_score(judged[TARGET], fitted.predict_proba(judged)[:, 1])))
        mlflow.log_metric("cv_roc_auc", float(np.mean(scores)), step=len(scores))
    mlflow.log_metric("cv_roc_auc_std", float(np.std(scores)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--folds", type=int, required=True)
    parser.add_argument("--trees", type=int, required=True)
    parser.add_argument("--learning-rate", type=float, required=True)
    parser.add_argument("--model-out", type=Path, required=True)
    arguments = parser.parse_args()
    rows = pd.read_parquet(arguments.rows)
    mlflow.log_params({"trees": arguments.trees, "learning_rate": arguments.learning_rate, "folds": arguments.folds})
    model = build(arguments.trees, arguments.learning_rate)
    cross_validate(model, rows, arguments.folds)
    model.fit(rows, rows[TARGET])
    example = rows[[*CATEGORICAL, *NUMERIC]].head(3)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*integer column", category=UserWarning)
        mlflow.sklearn.save_model(
            model,
            arguments.model_out,
            signature=mlflow.models.infer_signature(example, model.predict(example)),
            serialization_format="cloudpickle",
            pip_requirements=[f"{name}=={version(name)}" for name in REQUIREMENTS],
        )


if __name__ == "__main__":
    main()
