"""Asks a model for its answers. Run by the user's interpreter as `python worker.py REQUEST.json`, never imported.

It needs Python 3.8, mlflow and pandas there, and nothing of ours. The request names the model folder, the data, the
function and the file for the answers; the reply is a JSON file, errors included, since standard output belongs to the
model's own code. Rows keep their order. `auto` is predict_proba where the model has one, else predict. See scoring.py.
"""

from __future__ import annotations

import sys

# The folder of this script must not shadow modules of the user's (process, environments …).
if sys.path and sys.path[0] == __file__.rpartition("/")[0]:
    del sys.path[0]

import json
import os
import re
import time
import traceback
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK_ROWS = 100_000
WARM_UPS = 20
REPEATS = 10
BACKGROUND = 20


class Failure(Exception):  # the house's errors are named for what happened
    """kind: `interpreter` (something is not installed here), `model`, `data`, `columns`, `untrusted`, `predict`."""

    def __init__(self, kind: str, what: str, **more: Any) -> None:
        super().__init__(what)
        self.reply = {"ok": False, "kind": kind, "what": " ".join(str(what).split()), **more}


def main(request_path: str) -> int:
    with open(request_path, encoding="utf-8") as file:  # noqa: PTH123  # a script of few imports
        request = json.load(file)
    try:
        reply = _work(request)
    except Failure as failure:
        reply = failure.reply
    except BaseException as error:  # noqa: BLE001  # any end of the model's code is an answer
        reply = {"ok": False, "kind": "predict", "what": _first_line(error)}
        traceback.print_exc()
    beside = request["reply"] + ".part"
    with open(beside, "w", encoding="utf-8") as file:  # noqa: PTH123  # same
        json.dump(reply, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, request["reply"])  # noqa: PTH105  # same
    return 0 if reply["ok"] else 1


def _work(request: dict[str, Any]) -> dict[str, Any]:
    if request.get("task") == "try":
        return _try(request["model"])
    if request.get("task") == "metrics":
        return _own_metrics(request)
    chosen = request.get("columns") or []
    there = _there(request["data"], chosen)
    model = _Model(request["model"], request["function"])
    frame = _read(request["data"], chosen or model.columns or there, there, model)
    prediction, scores = model.ask_all(frame)
    _write(request["out"], prediction, scores, model.labels)
    reply = {
        "ok": True,
        "function": model.function,
        "labels": model.labels,
        "rows": len(frame),
        "versions": _versions(),
        "timings": model.time_one(frame, request.get("timings") or 0),
        "notes": model.notes,
    }
    explain = request.get("explain")
    if explain and explain.get("attributions"):
        reply["attributions"] = _attributions(model, frame, explain["rows"], explain["seed"])
    elif explain:
        reply["importances"], reply["explained_by"] = model.explain(frame, explain["rows"], explain["seed"])
    return reply


def _try(path: str) -> dict[str, Any]:
    """Load the model and predict its own input example; what goes wrong is the answer, not a failure."""
    found: dict[str, Any] = {"ok": True, "loads": False, "predicts": None, "finite": None, "problem": ""}
    try:
        import mlflow.pyfunc
        import numpy as np

        model = mlflow.pyfunc.load_model(path)
        found["loads"] = True
        found["predicts"] = False
        example = model.metadata.load_input_example(path)
        if example is None:
            raise ValueError("the input example cannot be read")
        answer = np.asarray(model.predict(example))
        if not answer.size:
            raise ValueError("the model gave no answer to its input example")
        found["predicts"] = True
        numbers = np.issubdtype(answer.dtype, np.number)
        found["finite"] = (
            bool(np.isfinite(answer).all()) if numbers else all(v is not None and v == v for v in answer.flat)
        )
    except BaseException as error:  # noqa: BLE001  # any end of the model's code is an answer
        traceback.print_exc()
        found["problem"] = (type(error).__name__ + ": " + _first_line(error))[:500]
    return found


def _own_metrics(request: dict[str, Any]) -> dict[str, Any]:
    """`module:function` of the user's, called with the predictions as a DataFrame; it returns one number."""
    import importlib

    import pandas as pd

    sys.path.insert(0, request["folder"])
    frame = pd.read_csv(request["data"]) if _is_csv(request["data"]) else pd.read_parquet(request["data"])
    values = {}
    for name in request["metrics"]:
        module, _, function = name.partition(":")
        try:
            value = getattr(importlib.import_module(module), function)(frame.copy())
            values[name] = float(value)
        except Exception as error:
            traceback.print_exc()
            raise Failure("metric", name + ": " + type(error).__name__ + ": " + _first_line(error)) from error
    return {"ok": True, "metrics": values}


def _attributions(model: _Model, frame: Any, count: int, seed: int) -> dict[str, Any]:
    """Rows of absolute attributions, one number a column: SHAP values where shap is installed (Lundberg & Lee 2017,
    permutation form), else one row a repeat of `explain`. The rows and the background depend on the seed alone.
    """
    try:
        import shap  # noqa: F401  # the user's, or not there
    except ImportError:
        repeats = [model.explain(frame, count, seed + i)[0] for i in range(REPEATS)]
        names = list(repeats[0])
        return {"method": "permutation", "features": names, "values": [[one[n] for n in names] for one in repeats]}
    return {
        "method": "shap",
        "features": [str(name) for name in frame.columns],
        "values": _shap(model, frame, count, seed),
    }


def _shap(model: _Model, frame: Any, count: int, seed: int) -> list[list[float]]:
    """Columns are handed to shap as codes of their distinct values, so that texts can be masked like numbers."""
    import numpy as np
    import pandas as pd
    import shap

    order = np.random.RandomState(seed).permutation(len(frame))
    rows = frame.iloc[np.sort(order[:count])].reset_index(drop=True)
    background = frame.iloc[np.sort(order[-BACKGROUND:])].reset_index(drop=True)
    both = pd.concat([rows, background], ignore_index=True)
    coded = [pd.factorize(both[name], use_na_sentinel=False) for name in both.columns]
    codes = np.column_stack([code for code, _ in coded]).astype("float64")

    def answers(asked: Any) -> Any:
        columns = {}
        for k, name in enumerate(both.columns):
            values = pd.Series(coded[k][1])
            columns[name] = values.take(asked[:, k].astype(int)).astype(both[name].dtype).to_numpy()
        table = pd.DataFrame(columns).astype(both.dtypes.to_dict())
        prediction, scores = model.ask(table)
        if scores is not None:
            return scores[:, -1] if scores.shape[1] == 2 else scores
        return np.asarray(prediction, dtype="float64")

    masker = shap.maskers.Independent(codes[len(rows) :], max_samples=BACKGROUND)
    found = shap.PermutationExplainer(answers, masker, seed=seed)(
        codes[: len(rows)], max_evals=2 * codes.shape[1] + 1, silent=True
    ).values
    found = np.abs(np.asarray(found, dtype="float64"))
    rows_of: list[list[float]] = (found.mean(axis=2) if found.ndim == 3 else found).tolist()
    return rows_of


class _Model:
    """A loaded MLflow model: what it is asked with, and how."""

    def __init__(self, path: str, function: str) -> None:
        try:
            import mlflow.pyfunc
        except ImportError as error:
            raise Failure("interpreter", _first_line(error), missing=error.name or "mlflow") from error
        self.notes: list[str] = []
        self.pyfunc = _load(mlflow.pyfunc.load_model, path)
        self.schema = self.pyfunc.metadata.get_input_schema()
        self.columns = list(self.schema.input_names()) if self.schema and self.schema.has_input_names() else []
        inputs = self.schema.inputs if self.columns else []
        self.optional = [column.name for column in inputs if not getattr(column, "required", True)]
        self.text_columns = [column.name for column in inputs if str(column.type).endswith("string")]
        self.native = self._native(path)
        if self.schema is None:  # scikit-learn's estimators remember what they were fitted on
            self.columns = [str(name) for name in getattr(self.native, "feature_names_in_", [])]
        self.labels: list[Any] = []
        has_scores = callable(getattr(self.native, "predict_proba", None))
        if function == "predict_proba" and not has_scores:
            raise Failure("model", "the model has no predict_proba", hint="write `score: predict` under evaluate")
        self.function = "predict_proba" if has_scores and function in ("auto", "predict_proba") else "predict"
        if self.function == "predict_proba":
            classes = getattr(self.native, "classes_", None)
            if classes is None or getattr(classes, "ndim", 1) != 1:
                raise Failure(
                    "model", "the model's predict_proba comes without classes_", hint="write `score: predict`"
                )
            self.labels = [_plain(label) for label in classes]

    def _native(self, path: str) -> Any:
        """The flavour's own object, or None."""
        try:
            return self.pyfunc.get_raw_model()
        except (AttributeError, NotImplementedError):
            pass  # an older MLflow, or a flavour without one
        for flavor in ("sklearn", "xgboost", "lightgbm", "catboost"):
            if flavor in self.pyfunc.metadata.flavors:
                import importlib

                return _load(importlib.import_module("mlflow." + flavor).load_model, path)
        return None

    def prepare(self, frame: Any) -> Any:
        """`frame` with the columns and types of the model's signature, as MLflow's own predict would make it."""
        if self.schema is None:
            return frame
        try:
            from mlflow.models.utils import _enforce_schema
        except ImportError:
            return frame[self.columns] if self.columns else frame
        try:
            return _enforce_schema(frame, self.schema)
        except Exception as error:
            raise Failure("data", "the data does not fit the model's signature: " + _first_line(error)) from error

    def ask(self, frame: Any) -> tuple[Any, Any]:
        """(prediction (n,), scores (n, k) or None) for the rows of `frame`."""
        import numpy as np

        if self.function == "predict_proba":
            ready = self.prepare(frame)
            scores = np.asarray(self.native.predict_proba(ready), dtype="float64")
            return np.asarray(self.native.predict(ready)).reshape(len(frame), -1)[:, 0], scores
        answer = np.asarray(self.pyfunc.predict(frame))
        if answer.ndim > 2 or (answer.ndim == 2 and answer.shape[1] != 1):
            shape = "x".join(str(size) for size in answer.shape)
            raise Failure("predict", "predict gave an array of " + shape + ", not one answer a row")
        return answer.reshape(-1), None

    def ask_all(self, frame: Any) -> tuple[Any, Any]:
        """`ask` in pieces, so that memory is bounded by the piece."""
        import numpy as np

        parts = []
        for start in range(0, len(frame), CHUNK_ROWS):
            piece = frame.iloc[start : start + CHUNK_ROWS]
            prediction, scores = self.ask(piece)
            if len(prediction) != len(piece) or (scores is not None and len(scores) != len(piece)):
                raise Failure("predict", f"the model gave {len(prediction)} answers for {len(piece)} rows")
            if scores is not None and scores.shape[1:] != (len(self.labels),):
                raise Failure("predict", f"predict_proba gave {scores.shape} for {len(self.labels)} classes")
            parts.append((prediction, scores))
        scores = None if parts[0][1] is None else np.concatenate([part[1] for part in parts])
        return np.concatenate([part[0] for part in parts]), scores

    def time_one(self, frame: Any, count: int) -> list[float]:
        """Milliseconds of `count` predictions of one row each, after warm-ups that do not count."""
        if count < 1:
            return []
        rows = [frame.iloc[[i % len(frame)]] for i in range(min(count, 1000))]
        scores = self.function == "predict_proba"
        taken = []
        for i in range(-WARM_UPS, count):
            begun = time.perf_counter_ns()
            if scores:
                self.native.predict_proba(self.prepare(rows[i % len(rows)]))
            else:
                self.pyfunc.predict(rows[i % len(rows)])
            taken.append((time.perf_counter_ns() - begun) / 1e6)
        return taken[WARM_UPS:]

    def explain(self, frame: Any, count: int, seed: int) -> tuple[dict[str, float], str]:
        """How much each column moves the answers: mean |change| when the column is shuffled, summing to 1.

        Permutation importance (Breiman 2001; model reliance, Fisher et al. 2019) of the answers, not of a loss, so
        that no target is needed. For labels, the share of answers that change.
        """
        import numpy as np

        order = np.random.RandomState(seed)
        sample = frame.iloc[np.sort(order.permutation(len(frame))[:count])].reset_index(drop=True)
        plain, plain_scores = self.ask(sample)
        moved = {}
        for name in sample.columns:
            shuffled = sample.copy()
            shuffled[name] = sample[name].take(order.permutation(len(sample))).set_axis(sample.index)
            answer, scores = self.ask(shuffled)
            if scores is not None:
                moved[str(name)] = float(np.abs(scores - plain_scores).mean())
            elif np.issubdtype(np.asarray(plain).dtype, np.number) and not self.labels:
                moved[str(name)] = float(np.abs(np.asarray(answer, "float64") - np.asarray(plain, "float64")).mean())
            else:
                moved[str(name)] = float((answer != plain).mean())
        total = sum(moved.values())
        return {name: value / total if total else 0.0 for name, value in moved.items()}, "permutation"


def _load(loader: Callable[[str], Any], path: str) -> Any:
    try:
        return loader(path)
    except (ImportError, AttributeError) as error:  # AttributeError: a pickle of another library version
        missing = getattr(error, "name", None) or ""
        raise Failure("interpreter", _first_line(error), missing=missing) from error
    except Exception as error:
        text = " ".join(str(error).split())
        if "untrusted" in text.lower():
            kinds = sorted(set(re.findall(r"'([\w.]+\.[\w.]+)'", text)))
            raise Failure("untrusted", text, types=kinds) from error
        inner = error.__cause__ or error.__context__
        if isinstance(inner, ImportError):
            raise Failure("interpreter", _first_line(inner), missing=inner.name or "") from error
        traceback.print_exc()
        raise Failure("model", type(error).__name__ + ": " + _first_line(error)) from error


def _there(path: str, columns: list[str]) -> list[str]:
    """The data's columns; fails early, before a model is loaded, for data that cannot be scored."""
    try:
        import pandas as pd

        if _is_csv(path):
            head = pd.read_csv(path, nrows=1)
            there, rows = list(head.columns), len(head)
        else:
            import pyarrow.parquet as pq

            file = pq.ParquetFile(path)
            there, rows = list(file.schema_arrow.names), file.metadata.num_rows
    except ImportError as error:
        raise Failure("interpreter", _first_line(error), missing=error.name or "pandas") from error
    except Exception as error:
        raise Failure("data", "cannot be read: " + _first_line(error)) from error
    if not rows:
        raise Failure("data", "the data has no rows")
    _require(columns, there)
    return there


def _require(wanted: list[str], there: list[str]) -> None:
    lacking = [name for name in wanted if name not in there]
    if lacking:
        raise Failure("columns", "lacks columns that the model needs: " + ", ".join(lacking), there=there)


def _read(path: str, wanted: list[str], there: list[str], model: _Model) -> Any:
    import pandas as pd

    wanted = [name for name in wanted if name in there or name not in model.optional]
    _require(wanted, there)
    try:
        if _is_csv(path):
            return pd.read_csv(path, usecols=wanted, dtype=dict.fromkeys(model.text_columns, str))[wanted]
        return pd.read_parquet(path, columns=wanted)[wanted]
    except Exception as error:
        raise Failure("data", "cannot be read: " + _first_line(error)) from error


def _is_csv(path: str) -> bool:
    return path.lower().endswith((".csv", ".csv.gz"))


def _write(path: str, prediction: Any, scores: Any, labels: list[Any]) -> None:
    import pandas as pd

    columns = {"prediction": prediction}
    if scores is not None:
        for k, label in enumerate(labels):
            columns[f"score_{label}"] = scores[:, k]
    beside = path + ".part"
    pd.DataFrame(columns).to_parquet(beside, index=False)
    os.replace(beside, path)  # noqa: PTH105  # same


def _plain(value: Any) -> Any:
    """A numpy scalar as JSON can hold it."""
    value = value.item() if hasattr(value, "item") else value
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def _versions() -> dict[str, str]:
    found = {"python": ".".join(str(part) for part in sys.version_info[:3])}
    for name in ("mlflow", "pandas", "numpy", "sklearn", "xgboost", "lightgbm", "catboost", "torch", "tensorflow"):
        module = sys.modules.get(name)
        if module is not None and hasattr(module, "__version__"):
            found[name] = str(module.__version__)
    return found


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:1000]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
