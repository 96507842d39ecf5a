"""An MLflow model behind the local endpoint: Azure's body in, the very answers that the gate saw out."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from gates.backends.local.endpoint import client, layout, mlflow_score
from gates.lineage.digest import model_digest
from gates.runtime.scoring import score_model
from gates.serving import DeploymentSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gates.backends.local.endpoint.client import LocalEndpoint


@pytest.fixture(scope="session")
def frame() -> Any:
    random = np.random.default_rng(7)
    numbers = random.normal(size=(120, 3))
    kinds = random.choice(["a", "b", "c"], 120)
    return pd.DataFrame({"age": numbers[:, 0], "dividends": numbers[:, 1], "weeks": numbers[:, 2], "kind": kinds})


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory, frame: pd.DataFrame) -> Path:
    import mlflow.sklearn
    import sklearn
    from mlflow.models import infer_signature
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    prepare = make_column_transformer((OneHotEncoder(), ["kind"]), remainder="passthrough")
    fitted = make_pipeline(prepare, LogisticRegression()).fit(frame, (frame["age"] + frame["weeks"] > 0).astype(int))
    path = tmp_path_factory.mktemp("mlflow") / "model"
    mlflow.sklearn.save_model(
        fitted,
        path,
        signature=infer_signature(frame, fitted.predict(frame)),
        pip_requirements=[f"scikit-learn=={sklearn.__version__}", f"mlflow=={mlflow.__version__}", "skops"],
    )
    return path


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("environments")


@pytest.fixture
def serve(tmp_path: Path, model: Path, cache: Path) -> Iterator[Callable[..., LocalEndpoint]]:
    def start(score: str = "auto", digest: str = "") -> LocalEndpoint:
        python = Path(sys.executable)
        env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}  # as on many runners
        it = client.connect(tmp_path, "credit", env=env, python=python, cache=cache, score=score)
        it.create_endpoint({}, epoch=0)
        it.create(DeploymentSpec("blue", f"sha256:{score}", str(model), digest or model_digest(model), {}), epoch=0)
        begun = time.monotonic()
        while it.observe().updating:
            assert time.monotonic() - begun < 300
            time.sleep(0.05)
        print(f"\n{score}: {it.observe().deployments['blue'].state} after {time.monotonic() - begun:.1f} s")
        return it

    yield start
    client.stop(tmp_path, "credit")


def body(frame: pd.DataFrame) -> bytes:
    split = frame.to_dict("split")
    data = {"columns": split["columns"], "index": split["index"], "data": split["data"]}
    return json.dumps({"input_data": data}).encode()


@pytest.mark.parametrize("score", ["predict_proba", "predict"])
def test_served_answers_are_the_gated_ones(
    serve: Callable[..., LocalEndpoint], model: Path, frame: pd.DataFrame, tmp_path: Path, score: str, cache: Path
) -> None:
    data = tmp_path / "data.parquet"
    frame.to_parquet(data)
    gated = score_model(
        model, data, python=Path(sys.executable), out=tmp_path / "out.parquet", env=os.environ, cache=cache,
        function=score,
    )  # fmt: skip
    answers = pd.read_parquet(gated.path)
    expected = answers[["score_0", "score_1"]] if score == "predict_proba" else answers["prediction"]
    endpoint = serve(score)
    served = endpoint.ask(body(frame), deployment="blue")
    assert served.status == 200, (served.body, endpoint.logs("blue"))
    assert json.loads(served.body) == expected.to_numpy().tolist()
    one = endpoint.ask(json.dumps({"input_data": frame.head(1).to_dict("records")}).encode(), deployment="blue")
    assert json.loads(one.body) == expected.to_numpy()[:1].tolist()
    wrong: list[Any] = [b"no json", b"{}", b'{"input_data": 3}', b'{"input_data": {"columns": ["a"], "data": [[1]]}}']
    assert [endpoint.ask(bad, deployment="blue").status for bad in wrong] == [424, 424, 424, 424]
    assert [event.status for event in endpoint.requests_since(0)[0]][2:5] == [400, 400, 400]
    kept = [path.name for path in cache.glob("*/bytecode/**/gunicorn/app/base*.pyc")]
    assert kept, "compiled once for all servers: it takes longer than all the rest of a start"
    assert not list(tmp_path.rglob("*.pyc")), "and never beside a model, whose bytes it would change"


def test_other_bytes_than_the_gated_ones_do_not_serve(serve: Callable[..., LocalEndpoint], model: Path) -> None:
    other = serve(digest="sha256:" + "0" * 64).observe().deployments["blue"]
    assert other.state == "failed"
    assert "not the one that was gated" in other.reason


def test_bytes_that_change_on_disk_are_refused_when_the_server_starts_again(
    serve: Callable[..., LocalEndpoint], model: Path
) -> None:
    endpoint = serve()
    copy = endpoint.place.deployment("blue") / "model" / model.name / "MLmodel"
    copy.write_bytes(copy.read_bytes() + b"\n# changed\n")
    running = layout.read_running(endpoint.place)
    assert running is not None
    os.kill(running.pid, signal.SIGKILL)
    until = time.monotonic() + 60
    while endpoint.observe().updating and time.monotonic() < until:
        time.sleep(0.05)
    view = endpoint.observe().deployments["blue"]
    assert view.state == "failed"
    assert "not the one that was gated" in view.reason


def test_the_server_script_knows_the_same_identity(model: Path) -> None:
    assert mlflow_score.identity(model) == model_digest(model)
