"""Scores an MLflow model inside azureml-inference-server-http, as Azure does for one that comes without a script.

A plain file that runs in the model's environment, so it imports nothing of ours; the model is loaded and asked by
runtime/worker.py, the file that the gate asked it with. `init()` computes the model's identity again and refuses other
bytes than those that were gated. The body is Azure's `{"input_data": {"columns": [...], "index": [...],
"data": [[...]]}}`, or rows; the answer is a JSON list with one entry a row: a prediction, or the list of probabilities.

GATES_MODEL: the model's folder; GATES_MODEL_DIGEST: its identity; GATES_SCORE: auto, predict or predict_proba;
GATES_WORKER: worker.py.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from pathlib import Path
from typing import Any

_model: Any = None
heard: Any = None
"""Who is told of each request and its answer, `heard(rows, answer)`; nobody where it is None."""


def init() -> None:
    global _model  # noqa: PLW0603  # the inference server's contract: init() loads, run() uses
    folder = Path(os.environ["GATES_MODEL"])
    expected, found = os.environ["GATES_MODEL_DIGEST"], identity(folder)
    if expected != found:
        message = f"the model's bytes are not those that were gated: {found}, not {expected}"
        raise RuntimeError(message)
    spec = importlib.util.spec_from_file_location("gates_worker", os.environ["GATES_WORKER"])
    worker: Any = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]  # a file has a spec
    spec.loader.exec_module(worker)  # type: ignore[union-attr]  # same
    _model = worker._Model(str(folder), os.environ.get("GATES_SCORE", "auto"))  # noqa: SLF001  # one scorer for both


def run(raw_data: str) -> Any:
    from azureml_inference_server_http.api.aml_response import (  # type: ignore[import-not-found]  # only there
        AMLResponse,
    )

    try:
        rows = rows_of(raw_data)
    except ValueError as error:
        return AMLResponse({"message": str(error)}, 400, json_str=True)
    if _model.function == "predict_proba":
        answer = plain(_model.native.predict_proba(_model.prepare(rows)))
    else:
        answer = plain(_model.pyfunc.predict(rows))
    if heard is not None:
        heard(rows, answer)
    return answer


def identity(folder: Path) -> str:
    """`sha256:<hex>` of the SHA256SUMS text: `<sha256>  <posix path>` a line, sorted by the bytes of the path."""
    lines = []
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        lines.append((path.relative_to(folder).as_posix().encode(), digest.hexdigest()))
    text = b"".join(f"{digest}  ".encode() + name + b"\n" for name, digest in sorted(lines))
    return "sha256:" + hashlib.sha256(text).hexdigest()


def rows_of(raw: str) -> Any:
    """A DataFrame for columns and data, or for records; an array for rows. ValueError for anything else."""
    import numpy as np
    import pandas as pd

    try:
        body = json.loads(raw)
    except ValueError as error:
        message = f"the body is not JSON: {error}"
        raise ValueError(message) from error
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
    """What JSON can say: frames as records, arrays and series as lists."""
    if hasattr(answer, "columns"):
        return json.loads(answer.to_json(orient="records"))
    if hasattr(answer, "tolist"):
        return answer.tolist()
    if isinstance(answer, dict):
        return {name: plain(values) for name, values in answer.items()}
    return answer
