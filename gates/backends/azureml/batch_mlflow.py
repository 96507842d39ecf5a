"""The scoring script of a batch deployment whose MLflow model comes without one; it runs in the job's own container.

A plain file that imports nothing of ours but the three beside it: serve_mlflow.py has the model's bytes verified, and
worker.py asks it exactly as the gate asked it. An answer is a line of JSON with its file and the number of its row,
since the service puts the lines of many workers together in any order.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import sys
from pathlib import Path
from typing import Any

ROW = "gates_row"
"""The key of an answer that holds its row's number; of the input too, a column, where that has one."""
_HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(_HERE))
_worker: Any = None


def init() -> None:
    global _worker  # noqa: PLW0603  # the service's contract: init() loads, run() uses
    import serve_mlflow  # type: ignore[import-not-found]  # stands beside this file where it runs

    serve_mlflow.init()
    spec = importlib.util.spec_from_file_location("gates_batch_worker", _HERE / "worker.py")
    _worker = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]  # a file has a spec
    spec.loader.exec_module(_worker)  # type: ignore[union-attr]  # same


def run(mini_batch: list[str]) -> list[str]:
    import mlflow_score  # type: ignore[import-not-found]  # stands beside this file where it runs

    model: Any = mlflow_score._model  # noqa: SLF001  # one scorer for the gate and what serves
    lines = []
    for path in map(str, mini_batch):
        there = _worker._there(path, [])  # noqa: SLF001  # same
        features = model.columns or [name for name in there if name != ROW]
        rows = _worker._read(path, [ROW], there, model)[ROW] if ROW in there else itertools.count()  # noqa: SLF001  # same
        answers, scores = model.ask_all(_worker._read(path, features, there, model))  # noqa: SLF001  # same
        for number, (row, answer) in enumerate(zip(rows, answers)):  # noqa: B905  # a count goes on for ever
            line = {"file": Path(path).name, ROW: int(row), "prediction": _worker._plain(answer)}  # noqa: SLF001  # same
            if scores is not None:
                line.update((f"score_{label}", float(scores[number, k])) for k, label in enumerate(model.labels))
            lines.append(json.dumps(line))
    return lines
