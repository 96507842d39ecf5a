"""Models are asked in the user's interpreter, keep the order of rows, and say what is wrong with them in one line."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from gates.errors import InvalidInput, Unavailable
from gates.runtime import environments, scoring
from gates.runtime.scoring import Scored, score_model

pytest.importorskip("mlflow")
pytest.importorskip("sklearn")
pytest.importorskip("statsmodels")

PYTHON = Path(sys.executable)
ENV = {**os.environ, "MLFLOW_RUN_ID": "no-such-run"}

MAKE = """
    import sys
    from pathlib import Path
    import mlflow, numpy as np, pandas as pd
    from mlflow.models import infer_signature
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder
    from sklearn.svm import LinearSVC
    home = Path(sys.argv[1])
    r = np.random.default_rng(0)
    df = pd.DataFrame({"a": r.normal(size=300), "b": r.integers(0, 5, 300), "c": r.choice(["01", "02"], 300),
                       "unused": r.normal(size=300)})
    label = np.where(df.a + (df.c == "01") + r.normal(size=300) * 0.3 > 0.5, "yes", "no")
    df.assign(target=label).to_parquet(home / "data.parquet")
    df.assign(target=label).to_csv(home / "data.csv", index=False)
    df[["a", "b"]].to_parquet(home / "short.parquet")
    df.iloc[:0].to_parquet(home / "empty.parquet")
    x = df[["a", "b", "c"]]
    def fit(model, y):
        columns = make_column_transformer((OneHotEncoder(), ["c"]), ("passthrough", ["a", "b"]))
        return make_pipeline(columns, model).fit(x, y)
    def save(name, model, y, **more):
        more = {"serialization_format": "cloudpickle", "pip_requirements": ["scikit-learn", "mlflow"], **more}
        mlflow.sklearn.save_model(model, home / name, signature=infer_signature(x, model.predict(x)), **more)
    save("logistic", fit(LogisticRegression(), label), label)
    mlflow.sklearn.save_model(fit(LogisticRegression(), df.b % 3), home / "multi",  # and without a signature
                              serialization_format="cloudpickle", pip_requirements=["scikit-learn"])
    mlflow.sklearn.save_model(LogisticRegression().fit(df[["a", "b"]], label), home / "plain",
                              serialization_format="cloudpickle", pip_requirements=["scikit-learn"])
    save("svc", fit(LinearSVC(), label), label)
    try:  # saving in this format saves first and refuses to load afterwards, or at once, by version
        save("skops", fit(RandomForestClassifier(3), label), label, serialization_format="skops",
             skops_trusted_types=["sklearn.tree._tree.Tree"])
        import yaml
        conf = yaml.safe_load((home / "skops" / "MLmodel").read_text())
        conf["flavors"]["sklearn"]["skops_trusted_types"] = None
        (home / "skops" / "MLmodel").write_text(yaml.safe_dump(conf))
    except Exception as error:
        print("no skops here:", error)
    class Bad(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            raise ValueError("the model's own\\nerror")
    mlflow.pyfunc.save_model(home / "raises", python_model=Bad(), pip_requirements=["mlflow"])
    class Short(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return list(range(len(model_input) - 1))
    mlflow.pyfunc.save_model(home / "short", python_model=Short(), pip_requirements=["mlflow"])
    import json
    import mlflow.statsmodels, statsmodels.api
    ols = statsmodels.api.OLS(df.a, df[["a", "b"]]).fit()
    mlflow.statsmodels.save_model(ols, home / "ols", pip_requirements=["statsmodels", "mlflow"])
    (home / "ols.json").write_text(json.dumps(ols.predict(df[["a", "b"]]).tolist()))
    native = {}
    for name in ("logistic", "svc"):  # what the same model says when it is asked by hand
        model = mlflow.sklearn.load_model(home / name)
        scores = model.predict_proba(x).tolist() if hasattr(model, "predict_proba") else None
        native[name] = [model.predict(x).tolist(), scores]
    (home / "native.json").write_text(json.dumps(native))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models with space")
    ended = subprocess.run(
        [PYTHON, "-c", textwrap.dedent(MAKE), folder], cwd=folder, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return folder


def ask(home: Path, model: str, data: str = "data.parquet", **more: Any) -> Scored:
    options: dict[str, Any] = {"python": PYTHON, "env": ENV, "cache": home / "cache", **more}
    return score_model(
        home / model, home / data, out=home / "out" / f"{len(list((home / 'out').glob('*')))}.parquet", **options
    )


def table(scored: Scored) -> Any:
    import pandas as pd

    return pd.read_parquet(scored.path)


def natively(home: Path, model: str) -> tuple[Any, Any]:
    prediction, scores = json.loads((home / "native.json").read_text())[model]
    return prediction, scores


@pytest.fixture(scope="module")
def logistic(home: Path) -> Scored:
    """One run for all who look at it: an interpreter that imports mlflow takes seconds."""
    return ask(home, "logistic", timings=30, explain_rows=200, seed=1)


def test_auto_takes_probabilities_in_the_order_of_the_rows(home: Path, logistic: Scored) -> None:
    found = table(logistic)
    prediction, scores = natively(home, "logistic")
    assert (logistic.function, logistic.labels, logistic.rows) == ("predict_proba", ("no", "yes"), 300)
    assert list(found.columns) == ["prediction", "score_no", "score_yes"]
    assert found["prediction"].tolist() == prediction
    assert found[["score_no", "score_yes"]].to_numpy().tolist() == scores
    assert len(logistic.timings_ms) == 30
    assert 0 < min(logistic.timings_ms) < 1000
    assert {"python", "mlflow", "sklearn", "pandas", "numpy"} <= set(logistic.versions)


def test_many_classes_labels_that_are_numbers_and_columns_that_are_chosen(home: Path) -> None:
    """The model has no signature that would name its columns."""
    scored = ask(home, "multi", columns=["a", "b", "c"])
    assert scored.function == "predict_proba"
    assert scored.labels == (0, 1, 2)
    assert list(table(scored).columns) == ["prediction", "score_0", "score_1", "score_2"]
    with pytest.raises(InvalidInput, match=r"data\.parquet: lacks columns that the model needs: zz; it has: a, b, c"):
        ask(home, "multi", columns=["a", "zz"])


def test_a_model_without_a_signature_is_asked_with_what_it_was_fitted_on(home: Path) -> None:
    """The target stands in the same file; asked with it, scikit-learn refuses."""
    assert table(ask(home, "plain")).equals(table(ask(home, "plain", columns=["a", "b"])))


def test_a_model_of_another_flavour_is_asked_as_it_is(home: Path) -> None:
    """statsmodels has no predict_proba and no class of scikit-learn's: MLflow's pyfunc is all that is used."""
    scored = ask(home, "ols", columns=["a", "b"])
    assert (scored.function, scored.labels) == ("predict", ())
    assert table(scored)["prediction"].tolist() == json.loads((home / "ols.json").read_text())


@pytest.mark.parametrize(
    ("model", "function", "data"), [("svc", "auto", "data.parquet"), ("logistic", "predict", "data.csv")]
)
def test_predict_where_there_are_no_probabilities_or_none_are_wanted(
    home: Path, model: str, function: str, data: str
) -> None:
    """In the csv the column c holds "01": read as a number it would be another category."""
    scored = ask(home, model, data, function=function)
    assert (scored.function, scored.labels) == ("predict", ())
    assert list(table(scored).columns) == ["prediction"]
    assert table(scored)["prediction"].tolist() == natively(home, model)[0]


def test_probabilities_that_are_not_there_are_said(home: Path) -> None:
    with pytest.raises(Unavailable, match=r"has no predict_proba; write `score: predict`"):
        ask(home, "svc", function="predict_proba")
    with pytest.raises(InvalidInput, match="score: 'proba' is not one of auto, predict, predict_proba"):
        ask(home, "svc", function="proba")


def test_columns_of_the_signature_must_be_there(home: Path) -> None:
    with pytest.raises(InvalidInput, match=r"short\.parquet: lacks columns that the model needs: c; it has: a, b"):
        ask(home, "logistic", "short.parquet")


@pytest.mark.parametrize(
    ("data", "content", "message"),
    [
        ("none.parquet", None, "no such data file"),
        ("bad.parquet", b"not parquet", "cannot be read"),
        ("bad.csv", b"", "cannot be read"),
        ("text.csv", b"a,b,c\nx,y,z\n", "does not fit the model's signature"),
        ("empty.parquet", None, "the data has no rows"),
    ],
)
def test_bad_data_is_said_with_its_file(home: Path, data: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (home / data).write_bytes(content)
    with pytest.raises(InvalidInput, match=message) as caught:
        ask(home, "logistic", data)
    assert caught.value.file is not None
    assert caught.value.file.endswith(data)
    assert "\n" not in str(caught.value)


def test_a_model_that_raises_or_loses_rows_is_unavailable(home: Path) -> None:
    with pytest.raises(Unavailable, match="the model raised while it was asked: the model's own"):
        ask(home, "raises", function="predict")
    with pytest.raises(Unavailable, match="the model gave 299 answers for 300 rows"):
        ask(home, "short", columns=["a"])


def test_untrusted_types_are_said_with_the_line_that_trusts_them(home: Path) -> None:
    if not (home / "skops" / "MLmodel").is_file():
        pytest.skip("this MLflow has no skops format")
    with pytest.raises(InvalidInput, match=r"skops_trusted_types=\['sklearn\.tree\._tree\.Tree'\]"):
        ask(home, "skops")


def test_what_is_no_mlflow_model_is_never_loaded(home: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.system, (f"touch {tmp_path}/exploded",))

    (tmp_path / "model" / "model.pkl").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InvalidInput, match=r"not an MLflow model folder .*; save it with mlflow\.sklearn\.save_model"):
        ask(home, str(tmp_path / "model"))
    assert not (tmp_path / "exploded").exists()


def test_an_interpreter_without_mlflow_gets_an_environment_from_the_models_requirements(
    home: Path, logistic: Scored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "bare"
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", bare], check=True)
    built: list[list[str]] = []

    def build(requirements: list[str], **_: Any) -> Path:
        built.append(requirements)
        return PYTHON  # the resolver is proved in test_environments; a real build would fetch 500 MB

    monkeypatch.setattr(environments, "build", build)
    said: list[str] = []
    scored = ask(home, "logistic", python=bare / "bin" / "python", say=said.append, explain_rows=200, seed=1)
    assert scored.importances == logistic.importances  # the same seed, another process
    assert built == [["scikit-learn", "mlflow"]]
    assert "No module named" in said[0]
    assert scored.notes == (said[0],)
    assert scored.python == PYTHON
    monkeypatch.setattr(environments, "build", lambda *_, **__: bare / "bin" / "python")
    with pytest.raises(Unavailable, match=r"could not be loaded: No module named '(pandas|mlflow)'; put it into"):
        ask(home, "logistic", python=bare / "bin" / "python")


def test_requirements_without_mlflow_get_the_one_that_saved_the_model(tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text("flavors: {}\nmlflow_version: 2.9.1\n")
    (tmp_path / "requirements.txt").write_text("# made by hand\nscikit-learn==1.5\n")
    assert scoring.model_requirements(tmp_path) == ["scikit-learn==1.5", "mlflow==2.9.1"]
    (tmp_path / "requirements.txt").unlink()
    with pytest.raises(InvalidInput, match=r"has no requirements\.txt"):
        scoring.model_requirements(tmp_path)


def test_a_worker_that_is_killed_or_too_slow_is_unavailable(home: Path) -> None:
    with pytest.raises(Unavailable, match=r"timed out after \d+ s before it answered"):
        ask(home, "logistic", timeout=0.5)


def test_modules_beside_the_worker_do_not_shadow_the_users(home: Path, tmp_path: Path) -> None:
    """runtime/ has a process.py and an environments.py; a user's model may have its own."""
    probe = tmp_path / "probe.py"
    source = scoring.WORKER.read_text().partition("import json")[0]
    probe.write_text(f"{source}\nprint([p for p in sys.path if p == {str(tmp_path)!r}])\n")
    ended = subprocess.run([PYTHON, probe], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"


def test_importances_name_the_columns_that_move_the_answer(logistic: Scored) -> None:
    assert logistic.explained_by == "permutation"
    assert logistic.importances is not None
    assert sum(logistic.importances.values()) == pytest.approx(1.0)
    assert max(logistic.importances, key=lambda name: (logistic.importances or {})[name]) == "a"
    assert logistic.importances["b"] < 0.1
