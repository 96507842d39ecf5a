"""The CPU of a gate over 100,000 rows, candidate and champion, every interval included, beside what others do for it:
`python benchmarks/gate.py` prints all; `python benchmarks/gate.py gate ROWS` one size in this process.

CPU seconds are of this process after imports; memory is the peak of a process of its own. The peers: a bootstrap of
scikit-learn's metrics in a loop (100 resamples are timed and scaled to the 2,000 that ours draws), and
`mlflow.models.evaluate` of both models with `validate_evaluation_results`, which compares points and gives no interval.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import scipy.special  # noqa: F401  # counted as an import, not as work

from gates.checks import CHECKS
from gates.checks.spec import Settings
from gates.evidence import Evidence, Predictions
from gates.stats import spill

if TYPE_CHECKING:
    from collections.abc import Callable

POLICY: list[dict[str, Any]] = [
    {"type": "threshold", "metric": "accuracy", "min": 0.5},
    {"type": "threshold", "metric": "f1", "min": 0.5},
    {"type": "threshold", "metric": "roc_auc", "min": 0.5},
    {"type": "champion_delta", "metric": "accuracy", "margin": {"absolute": 0.01}},
    {"type": "champion_delta", "metric": "f1", "margin": {"relative": 0.02}},
    {"type": "champion_delta", "metric": "roc_auc", "margin": {"absolute": 0.005}},
    {"type": "threshold", "metric": "expected_calibration_error", "max": 0.9},
    {"type": "champion_delta", "metric": "brier", "margin": {"absolute": 0.01}},
    {"type": "slice_threshold", "metric": "recall", "by": ["region"], "min": 0.5},
    {
        "type": "fairness",
        "metric": "demographic_parity_difference",
        "sensitive": ["sex"],
        "max": 0.1,
        "max_regression": 0.02,
    },
    {
        "type": "fairness",
        "metric": "equalized_odds_difference",
        "sensitive": ["sex"],
        "max": 0.1,
        "max_regression": 0.02,
    },
]


def evidence(rows: int) -> Evidence:
    """Columns as they are read: those that outgrow the budget stand in files."""
    rng, label = np.random.default_rng(1), np.int64
    target, regions = spill.empty(rows, label), np.array(["north", "south", "east", "west"])
    groups = {"sex": spill.empty(rows, "U1"), "region": spill.empty(rows, "U5")}
    models = [(noise, spill.empty(rows, label), spill.empty(rows, np.float64)) for noise in (1.0, 1.05)]
    for part in spill.parts(target, *groups.values(), *(column for model in models for column in model[1:])):
        n = part.stop - part.start
        target[part] = rng.random(n) < 0.2
        groups["sex"][part], groups["region"][part] = rng.choice(["F", "M"], n), rng.choice(regions, n)
        for noise, answer, scores in models:
            scores[part] = 1 / (1 + np.exp(-(2 * target[part] - 1.0 + rng.normal(0, noise, n))))
            answer[part] = scores[part] > 0.5
    candidate, champion = (Predictions(target, answer, scores, (0, 1), 1, groups) for _, answer, scores in models)
    return Evidence(candidate=candidate, champion=champion)


def section(rows: int = 100_000) -> list[str]:
    """A line a check, with its CPU seconds, and the sum."""
    seen, lines, total = evidence(rows), [], 0.0
    for i, raw in enumerate(POLICY):
        check = msgspec.convert({"id": f"c{i}", **raw}, CHECKS[str(raw["type"])])
        start = time.process_time()
        result = check.decide(seen, Settings())
        spent = time.process_time() - start
        total += spent
        lines.append(f"{spent:7.3f} s  {result.status.value:12}  {raw['type']} {raw['metric']}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [*lines, f"{total:7.3f} s  in all, {rows} rows, candidate and champion; peak {peak:.0f} MiB"]


def scikit_learn(rows: int = 100_000, resamples: int = 100) -> list[str]:
    """The bootstrap that people write: resample the rows, call scikit-learn's metrics, take percentiles."""
    from sklearn import metrics

    seen = evidence(rows)
    assert seen.candidate is not None
    target, answer, scores = seen.candidate.target, seen.candidate.prediction, seen.candidate.scores
    assert scores is not None
    rng = np.random.default_rng(1)
    start = time.process_time()
    found = []
    for _ in range(resamples):
        taken = rng.integers(0, rows, rows)
        y, a = target[taken], answer[taken]
        found.append((metrics.accuracy_score(y, a), metrics.f1_score(y, a), metrics.roc_auc_score(y, scores[taken])))
    np.quantile(np.array(found), [0.025, 0.975], axis=0)
    spent = (time.process_time() - start) * 2000 / resamples
    return [f"{spent:7.1f} s  scikit-learn in a loop: intervals of accuracy, f1 and roc_auc of one model, {rows} rows"]


def mlflow_evaluate(rows: int = 100_000) -> list[str]:
    """Both models' metrics and a validation with thresholds and changes: points only."""
    import mlflow
    import pandas as pd

    seen = evidence(rows)
    assert seen.candidate is not None
    assert seen.champion is not None
    limits = {
        name: mlflow.models.MetricThreshold(threshold=0.5, min_absolute_change=1e-6, greater_is_better=True)
        for name in ("accuracy_score", "f1_score")
    }
    with tempfile.TemporaryDirectory() as folder:
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        mlflow.set_experiment(experiment_id=mlflow.create_experiment("gate", artifact_location=f"file://{folder}/a"))
        start = time.process_time()
        found = []
        for model in (seen.candidate, seen.champion):
            table = pd.DataFrame({"target": model.target, "prediction": model.prediction})
            with mlflow.start_run():
                found.append(
                    mlflow.models.evaluate(
                        data=table, targets="target", predictions="prediction", model_type="classifier",
                        evaluator_config={"log_explainer": False},
                    )
                )  # fmt: skip
        said = "validated"
        try:
            mlflow.validate_evaluation_results(limits, candidate_result=found[0], baseline_result=found[1])
        except mlflow.models.evaluation.validation.ModelValidationFailedException:
            said = "refused"
        spent = time.process_time() - start
    return [f"{spent:7.1f} s  mlflow.models.evaluate of both and validate_evaluation_results ({said}), {rows} rows"]


PARTS: dict[str, Callable[[int], list[str]]] = {
    "gate": section, "scikit-learn": scikit_learn, "mlflow": mlflow_evaluate,
}  # fmt: skip
ALL = (("gate", 100_000), ("scikit-learn", 100_000), ("mlflow", 100_000), ("gate", 1_000_000), ("gate", 10_000_000))

if __name__ == "__main__":
    if len(sys.argv) > 2:
        print("\n".join(PARTS[sys.argv[1]](int(sys.argv[2]))))
        sys.exit(0)
    for part, size in ALL:
        print(f"{part}, {size} rows", flush=True)
        subprocess.run([sys.executable, __file__, part, str(size)], check=True)
