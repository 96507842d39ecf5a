"""Fits gradient-boosted trees on the prepared rows and saves an MLflow model."""

from __future__ import annotations

import argparse
import math
import warnings
from importlib.metadata import version
from pathlib import Path

import mlflow
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

TARGET = "income_over_50k"
CATEGORICAL = ["education", "marital_status", "major_occupation"]
NUMERIC = ["age", "capital_gains", "capital_losses", "dividends", "weeks_worked_in_year"]
REQUIREMENTS = ["mlflow-skinny", "scikit-learn", "numpy", "pandas", "cloudpickle"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--trees", type=int, required=True)
    parser.add_argument("--model-out", type=Path, required=True)
    arguments = parser.parse_args()
    rows = pd.read_parquet(arguments.rows)
    mlflow.log_param("trees", arguments.trees)
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=math.nan)
    columns = make_column_transformer((encoder, CATEGORICAL), ("passthrough", NUMERIC))
    trees = HistGradientBoostingClassifier(max_iter=arguments.trees, early_stopping=False, random_state=1994)
    model = make_pipeline(columns, trees).fit(rows, rows[TARGET])
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
    print(f"trained on {len(rows)} people")


if __name__ == "__main__":
    main()
