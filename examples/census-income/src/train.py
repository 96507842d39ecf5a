"""Trains the income model and saves it as an MLflow model. It knows nothing of gates: it is any Azure ML job.

The model is a scikit-learn pipeline that takes the columns as they are published, so that the rows of the evaluation
file and of a request to the endpoint need no preparation. Sex and race are in the data, for the fairness check, and
are not among the model's features.
"""

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
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder

TARGET = "income_over_50k"
CATEGORICAL = [
    "class_of_worker", "education", "marital_status", "major_industry", "major_occupation",
    "tax_filer_status", "citizenship",
]  # fmt: skip
NUMERIC = [
    "age", "capital_gains", "capital_losses", "dividends", "persons_worked_for_employer", "weeks_worked_in_year",
]  # fmt: skip
REQUIREMENTS = ["mlflow-skinny", "scikit-learn", "numpy", "pandas", "cloudpickle"]


def build(trees: int, learning_rate: float, seed: int) -> Pipeline:
    """Gradient-boosted trees over raw columns; a category never seen in training is treated as missing."""
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=math.nan)
    return make_pipeline(
        make_column_transformer((encoder, CATEGORICAL), ("passthrough", NUMERIC)),
        HistGradientBoostingClassifier(
            max_iter=trees,
            learning_rate=learning_rate,
            categorical_features=list(range(len(CATEGORICAL))),
            early_stopping=False,
            random_state=seed,
        ),
    )


def measure(model: Pipeline, rows: pd.DataFrame) -> dict[str, float]:
    """Metrics on rows that were not trained on. The gate measures again, on its own data."""
    label, score = model.predict(rows), model.predict_proba(rows)[:, 1]
    return {
        "accuracy": float(accuracy_score(rows[TARGET], label)),
        "f1": float(f1_score(rows[TARGET], label, zero_division=0.0)),
        "roc_auc": float(roc_auc_score(rows[TARGET], score)),
    }


def save(model: Pipeline, rows: pd.DataFrame, path: Path) -> None:
    """Signature, example and exact requirements go with the model, so that anyone can load and serve it."""
    example = rows[[*CATEGORICAL, *NUMERIC]].head(3)
    with warnings.catch_warnings():
        # MLflow warns that an integer column could hold missing values one day. Census columns have none.
        warnings.filterwarnings("ignore", message=".*integer column", category=UserWarning)
        signature = mlflow.models.infer_signature(example, model.predict(example))
        mlflow.sklearn.save_model(
            model,
            path,
            signature=signature,
            input_example=example,
            # MLflow's default format, skops, refuses this estimator's internals unless each of them is listed.
            serialization_format="cloudpickle",
            # Without the list MLflow starts a second Python to find out, which takes longer than the training.
            pip_requirements=[f"{name}=={version(name)}" for name in REQUIREMENTS],
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=Path, required=True, help="labelled rows, parquet")
    parser.add_argument("--model-out", type=Path, required=True, help="where the MLflow model folder goes")
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=1994)
    parser.add_argument("--shuffle-labels", action="store_true", help="spoils the model, to see it refused")
    arguments = parser.parse_args()

    data = pd.read_parquet(arguments.train)
    fit_rows, held_out = train_test_split(data, test_size=0.1, random_state=arguments.seed, stratify=data[TARGET])
    labels = fit_rows[TARGET]
    if arguments.shuffle_labels:
        labels = labels.sample(frac=1.0, random_state=arguments.seed).reset_index(drop=True)

    with mlflow.start_run():
        names = ("trees", "learning_rate", "seed", "shuffle_labels")
        mlflow.log_params({name: getattr(arguments, name) for name in names})
        print(f"training on {len(fit_rows)} people, {arguments.trees} trees", flush=True)
        model = build(arguments.trees, arguments.learning_rate, arguments.seed).fit(fit_rows, labels)
        metrics = measure(model, held_out)
        mlflow.log_metrics(metrics)
        save(model, fit_rows, arguments.model_out)
    print("held out: " + ", ".join(f"{name} {value:.4f}" for name, value in metrics.items()))


if __name__ == "__main__":
    main()
