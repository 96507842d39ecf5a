"""The scoring script of a deployment whose MLflow model comes without one; it runs in the model's own container.

A plain file that imports nothing of ours but the two beside it: mlflow_score.py, which verifies the model's bytes and
answers, and worker.py, which asks the model exactly as the gate asked it. Azure's own no-code serving answers with
`predict` alone, from which no probability that was gated can be told.

Azure's data collector logs what a script hands it: rows go to the collection `model_inputs`, answers to
`model_outputs`, one event each with the same correlation id, where the deployment's data_collector has them enabled.
A request is answered whether or not it could be collected.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

SETTINGS = "serve_mlflow.json"
"""Which bytes were gated and how the model was asked; a file, so that the user's environment variables stay theirs."""
_HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(_HERE))


def init() -> None:
    import mlflow_score  # type: ignore[import-not-found]  # stands beside this file where it runs

    os.environ.update(json.loads((_HERE / SETTINGS).read_text(encoding="utf-8")))
    os.environ["GATES_MODEL"] = str(_model())
    os.environ["GATES_WORKER"] = str(_HERE / "worker.py")
    mlflow_score.init()
    mlflow_score.heard = collector()


def run(raw_data: str) -> object:
    import mlflow_score

    return mlflow_score.run(raw_data)


def collector() -> Any:
    """What hands rows and answers to Azure's data collector; None where it is off or not installed here."""
    try:
        from azureml.ai.monitoring import Collector  # type: ignore[import-not-found]  # only there
    except ImportError as error:
        if {"AZUREML_MDC_CONFIG_PATH", "AZUREML_MDC_ENABLED"} & os.environ.keys():
            _trouble(error, [])  # the user's own environment lacks it
        return None
    made = {}
    for name in ("model_inputs", "model_outputs"):
        trouble: list[Exception] = []
        opened = Collector(name=name, on_error=lambda error, said=trouble: _trouble(error, said))
        if not trouble:
            made[name] = opened
    return (lambda rows, answer: _collect(made, rows, answer)) if made else None


def _trouble(error: Exception, said: list[Exception]) -> None:
    """What the collector does not take, or that it is off, into the container's log."""
    said.append(error)
    logging.getLogger("gates").warning("not collected: %s", error)


def _collect(collectors: dict[str, Any], rows: Any, answer: Any) -> None:
    """The rows as a table, where they are one: the collector takes nothing else."""
    import pandas as pd

    if not isinstance(rows, pd.DataFrame):
        return
    try:
        context = collectors["model_inputs"].collect(rows) if "model_inputs" in collectors else None
        if "model_outputs" in collectors:
            collectors["model_outputs"].collect(outputs(answer), context)
    except Exception as error:  # noqa: BLE001  # whatever fails in the collector: the request is answered all the same
        _trouble(error, [])


def outputs(answer: list[Any]) -> Any:
    """A row an answer: `prediction`, or `score_0`, `score_1`, … of probabilities."""
    import pandas as pd

    if answer and isinstance(answer[0], list):
        return pd.DataFrame(answer, columns=[f"score_{i}" for i in range(len(answer[0]))])
    if answer and isinstance(answer[0], dict):
        return pd.DataFrame(answer)
    return pd.DataFrame({"prediction": answer})


def _model() -> Path:
    """The folder below AZUREML_MODEL_DIR that holds the file MLmodel, the uppermost where there are several."""
    root = Path(os.environ["AZUREML_MODEL_DIR"])
    found = sorted(root.rglob("MLmodel"), key=lambda path: (len(path.parts), str(path)))
    if not found:
        message = f"there is no MLflow model below {root}"
        raise RuntimeError(message)
    return found[0].parent
