"""The scoring script of a deployment whose MLflow model comes without one; it runs in the model's own container.

A plain file that imports nothing of ours but the two beside it: mlflow_score.py, which verifies the model's bytes and
answers, and worker.py, which asks the model exactly as the gate asked it. Azure's own no-code serving answers with
`predict` alone, from which no probability that was gated can be told.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

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


def run(raw_data: str) -> object:
    import mlflow_score

    return mlflow_score.run(raw_data)


def _model() -> Path:
    """The folder below AZUREML_MODEL_DIR that holds the file MLmodel, the uppermost where there are several."""
    root = Path(os.environ["AZUREML_MODEL_DIR"])
    found = sorted(root.rglob("MLmodel"), key=lambda path: (len(path.parts), str(path)))
    if not found:
        message = f"there is no MLflow model below {root}"
        raise RuntimeError(message)
    return found[0].parent
