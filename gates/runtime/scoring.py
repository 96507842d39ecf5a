"""Scores a model in the user's interpreter, so that no pickle is ever loaded in our own process.

When that interpreter lacks what the model needs, an environment is built from the model's own requirements (cached,
see environments.py) and asked instead. The worker's errors become ours here, with what to do about them.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gates import confidential
from gates.errors import GatesError, InvalidInput, Unavailable
from gates.runtime import environments, process

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

WORKER = Path(__file__).with_name("worker.py")
FUNCTIONS = ("auto", "predict", "predict_proba")
SAVE_LINE = 'mlflow.sklearn.save_model(model, path, pip_requirements=["scikit-learn", "mlflow"])'


@dataclass(frozen=True)
class Scored:
    """A model's answers. `path`: parquet, one row a row of the data, in its order.

    Its columns: `prediction`, and `score_<label>` (float64, 0 to 1) for each of `labels` where `function` is
    predict_proba. timings_ms: one-row predictions. importances: share of each column (sum 1), where asked for.
    """

    path: Path
    labels: tuple[Any, ...]
    function: str
    rows: int
    versions: Mapping[str, str]
    timings_ms: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    python: Path = Path()
    importances: Mapping[str, float] | None = None
    explained_by: str = ""
    attributions: Mapping[str, Any] | None = None
    log: tuple[str, ...] = field(default=(), repr=False)


def score_model(
    model: Path,
    data: Path,
    *,
    python: Path,
    out: Path,
    env: Mapping[str, str],
    cache: Path,
    function: str = "auto",
    columns: Sequence[str] | None = None,
    timings: int = 0,
    explain_rows: int = 0,
    attributions: bool = False,
    seed: int = 20240601,
    timeout: float | None = 3600.0,
    say: Callable[[str], None] = lambda _: None,
) -> Scored:
    """Score `data` (parquet or csv) with the MLflow model folder `model`; the answers are written to `out`.

    attributions: explain row by row ({"method", "features", "values"}) instead of one share a column.
    columns: the features; None takes those of the model's signature, else those that the model remembers it was fitted
    on (feature_names_in_), else all of the data.
    InvalidInput: what the user must mend (no MLflow model, missing columns, untrusted types). Unavailable: the model
    could not be loaded or raised.
    """
    if function not in FUNCTIONS:
        raise InvalidInput(f"score: {function!r} is not one of {', '.join(FUNCTIONS)}")
    if not (model / "MLmodel").is_file():
        raise InvalidInput(
            "not an MLflow model folder (no MLmodel file in it)", hint=f"save it with {SAVE_LINE}", file=model
        )
    if not data.is_file():
        raise InvalidInput("no such data file", file=data)
    request: dict[str, Any] = {
        "model": str(model.absolute()),
        "data": str(data.absolute()),
        "out": str(out.absolute()),
        "function": function,
        "columns": None if columns is None else list(columns),
        "timings": timings,
        "explain": {"rows": explain_rows, "seed": seed, "attributions": attributions} if explain_rows else None,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    reply, lines = _ask(request, python, env, timeout)
    notes: tuple[str, ...] = ()
    if not reply["ok"] and reply["kind"] == "interpreter":
        notes = (
            f"{python} could not load the model ({reply['what']}); an environment was built from its requirements",
        )
        say(notes[0])
        python = environments.build(model_requirements(model), python=python, cache=cache, env=env, say=say)
        reply, lines = _ask(request, python, env, timeout)
    if not reply["ok"]:
        raise _error(reply, model, data, lines)
    return Scored(
        path=out,
        labels=tuple(reply["labels"] or ()),
        function=reply["function"],
        rows=reply["rows"],
        versions=reply["versions"],
        timings_ms=tuple(reply["timings"]),
        notes=(*notes, *reply["notes"]),
        python=python,
        importances=reply.get("importances"),
        explained_by=reply.get("explained_by", ""),
        attributions=reply.get("attributions"),
        log=lines,
    )


@dataclass(frozen=True)
class Tried:
    """Whether a model loads, predicts its input example, and answers with numbers; None: it did not come to that."""

    loads: bool
    predicts: bool | None
    finite: bool | None
    problem: str


def try_model(model: Path, *, python: Path, env: Mapping[str, str], timeout: float = 600.0) -> Tried:
    """Load the model and predict its own input example. Unavailable when the process died without an answer."""
    reply, _ = _ask({"task": "try", "model": str(model.absolute())}, python, env, timeout)
    return Tried(reply["loads"], reply["predicts"], reply["finite"], reply["problem"])


def own_metrics(
    names: Sequence[str],
    predictions: Path,
    *,
    folder: Path,
    python: Path,
    env: Mapping[str, str],
) -> dict[str, float]:
    """The user's `module:function` figures, computed by their interpreter with `folder` on its path.

    Each function gets the predictions as a pandas DataFrame and returns one number. Unavailable when one raised.
    """
    request = {
        "task": "metrics",
        "metrics": list(names),
        "data": str(predictions.absolute()),
        "folder": str(folder.absolute()),
    }
    reply, lines = _ask(request, python, env, 3600.0)
    if not reply["ok"]:
        raise Unavailable(f"a metric of yours could not be computed: {reply['what']}", hint="; ".join(lines[-1:]))
    return {name: float(value) for name, value in reply["metrics"].items()}


def model_requirements(model: Path) -> list[str]:
    """Lines of the model's own requirements.txt, with mlflow in the version that saved it where they name none."""
    path = model / "requirements.txt"
    if not path.is_file():
        raise InvalidInput(
            "the model folder has no requirements.txt, so no environment can be built for it",
            hint="give a Python that can load it with --python, or save it with pip_requirements",
            file=model,
        )
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not any(line.lower().startswith("mlflow") for line in lines):
        version = _mlflow_version(model)
        lines.append(f"mlflow=={version}" if version else "mlflow")
    return lines


def _mlflow_version(model: Path) -> str:
    for line in (model / "MLmodel").read_text(encoding="utf-8").splitlines():
        if line.startswith("mlflow_version:"):
            return line.partition(":")[2].strip().strip("'\"")
    return ""


def _ask(
    request: Mapping[str, Any], python: Path, env: Mapping[str, str], timeout: float | None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Run the worker; its reply and its last lines."""
    with tempfile.TemporaryDirectory(prefix="gates-score-") as folder:
        reply = Path(folder) / "reply.json"
        asked = Path(folder) / "request.json"
        asked.write_text(json.dumps({**request, "reply": str(reply)}), encoding="utf-8")
        secret = confidential.values(env)
        ended = process.run(
            [python, str(WORKER), str(asked)], cwd=Path(folder), env=worker_environment(env, python), timeout=timeout,
            hide=secret,
        )  # fmt: skip
        if not reply.is_file():
            last = " | ".join(ended.tail[-3:])
            raise Unavailable(f"the model's process {ended.how} before it answered: {last}", hint="see the model's log")
        said = reply.read_text(encoding="utf-8")
        for text in secret:  # a model's error may hold what its process was given
            said = said.replace(json.dumps(text)[1:-1], confidential.HIDDEN)
        found: dict[str, Any] = json.loads(said)
        return found, ended.tail


def worker_environment(env: Mapping[str, str], python: Path) -> dict[str, str]:
    """The user's environment for a process that only loads a model: no run to log to, nothing sent anywhere.

    Compiled code never goes beside the model, whose bytes it would change. An environment of ours has a place for it:
    uv installs sources alone, and compiling them again takes as long as all the rest of an answer.
    """
    kept = {name: value for name, value in environments.clean(env).items() if not _binds_to_a_run(name)}
    return {
        **kept,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        **environments.bytecode(python),
        "PATH": env.get("PATH", os.defpath),
    }


def _binds_to_a_run(name: str) -> bool:
    return name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_ACTIVE_MODEL_ID")


def _error(reply: Mapping[str, Any], model: Path, data: Path, lines: tuple[str, ...]) -> GatesError:
    kind, what, hint = reply["kind"], reply["what"], reply.get("hint", "")
    if kind == "columns":
        return InvalidInput(what, hint=f"it has: {', '.join(reply['there'])}", file=data)
    if kind == "data":
        return InvalidInput(what, hint=hint, file=data)
    if kind == "untrusted":
        types = reply["types"]
        line = f"skops_trusted_types={types}" if types else "the types that the message names as skops_trusted_types"
        return InvalidInput(
            f"MLflow refuses to load types that the model does not declare as trusted: {', '.join(types) or what}",
            hint=f"save the model with {line}, if you trust them",
            file=model,
        )
    if kind == "interpreter":
        return Unavailable(
            f"the model could not be loaded: {what}", hint="put it into the model's pip_requirements", file=model
        )
    if kind == "model":
        return Unavailable(f"the model could not be used: {what}", hint=hint, file=model)
    return Unavailable(f"the model raised while it was asked: {what}", hint="; ".join(lines[-1:]), file=model)
