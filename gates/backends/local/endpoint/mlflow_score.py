"""Scores an MLflow model inside azureml-inference-server-http, as Azure does for one that comes without a script.

A plain file that runs in the model's environment: standard library, mlflow and what mlflow brings. `init()` computes
the model's identity again and refuses other bytes than those that were gated. The body is Azure's `{"input_data":
{"columns": [...], "index": [...], "data": [[...]]}}`, or rows, or named tensors; the answer is a JSON list.

GATES_MODEL: the model's folder; GATES_MODEL_DIGEST: its identity; GATES_SCORE: auto, predict or predict_proba.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

_model: Any = None


def init() -> None:
    global _model  # noqa: PLW0603  # the inference server's contract: init() loads, run() uses
    folder = Path(os.environ["GATES_MODEL"])
    expected, found = os.environ.get("GATES_MODEL_DIGEST", ""), identity(folder)
    if expected.removeprefix("sha256:") != found:
        message = f"the model's bytes are not those that were gated: {found[:12]} instead of {expected[:19]}"
        raise RuntimeError(message)
    _model = _load(str(folder), os.environ.get("GATES_SCORE", "auto"))


def run(raw_data: str) -> Any:
    from azureml_inference_server_http.api.aml_response import AMLResponse  # type: ignore[import-not-found]  # Azure's

    try:
        rows = rows_of(raw_data)
    except ValueError as error:
        return AMLResponse({"message": str(error)}, 400, json_str=True)
    return plain(_model(rows))


def identity(folder: Path) -> str:
    """sha256 of the SHA256SUMS text of a folder, as hex: `<sha256>  <posix path>` a line, sorted by path."""
    lines = []
    for path in sorted((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.relative_to(folder).as_posix()):
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        lines.append(f"{digest.hexdigest()}  {path.relative_to(folder).as_posix()}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def rows_of(raw: str) -> Any:
    """A DataFrame for columns, an array for rows, a dict of arrays for named tensors. ValueError for anything else."""
    import numpy as np
    import pandas as pd

    try:
        body = json.loads(raw)
    except ValueError as error:
        raise ValueError(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict) or "input_data" not in body:
        raise ValueError('the body has no "input_data"; write {"input_data": {"columns": [...], "data": [[...]]}}')
    data = body["input_data"]
    if isinstance(data, dict) and "data" in data:
        if "columns" in data:
            return pd.DataFrame(data["data"], columns=data["columns"], index=data.get("index"))
        return np.asarray(data["data"])
    if isinstance(data, dict):
        return {name: np.asarray(values) for name, values in data.items()}
    if isinstance(data, list) and data and isinstance(data[0], dict):
        return pd.DataFrame(data)
    if isinstance(data, list):
        return np.asarray(data)
    raise ValueError('"input_data" is neither columns and data, nor rows, nor named tensors')


def plain(answer: Any) -> Any:
    """What JSON can say: frames as records, arrays as lists."""
    if hasattr(answer, "to_dict"):
        return json.loads(answer.to_json(orient="records")) if hasattr(answer, "columns") else answer.tolist()
    if hasattr(answer, "tolist"):
        return answer.tolist()
    if isinstance(answer, dict):
        return {name: plain(values) for name, values in answer.items()}
    return answer


def _load(folder: str, score: str) -> Any:
    import mlflow.pyfunc

    model = mlflow.pyfunc.load_model(folder)
    if score == "predict":
        return model.predict
    native: Any = getattr(model, "get_raw_model", lambda: None)()
    if hasattr(native, "predict_proba"):
        return native.predict_proba
    if score == "predict_proba":
        message = f"GATES_SCORE is predict_proba, but a {type(native).__name__} has no predict_proba"
        raise RuntimeError(message)
    return model.predict
