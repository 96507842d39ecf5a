"""What is gathered beside predictions: packages, environments, golden rows, cached answers; and what is said instead.

Models are asked in another process, which a unit test may not start: here that process's answer is given.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gates.checks.environment_drift import Installed
from gates.checks.package_sound import PackageFacts
from gates.checks.spec import Need
from gates.collect import environment, facts, golden, importances, package, signature
from gates.collect import store as stores
from gates.collect.gather import Gathering, Scorer, Subject, group_columns, needs_kind
from gates.collect.predictions import Shape
from gates.drift import source
from gates.errors import Cancelled, GatesError, InvalidInput, Unavailable
from gates.runtime import environments, scoring

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIGNATURE = '[{"name": "x", "type": "double", "required": true}, {"type": "double", "required": true}]'
LOADED: dict[str, Any] = {"loads": True, "predicts": True, "finite": True, "problem": ""}


@dataclass
class Asked:
    """Stands in for the user's interpreter: notes what it was asked, and answers each row with its own `x`."""

    calls: list[dict[str, Any]] = field(default_factory=list)
    answer: Callable[[dict[str, Any]], list[float]] | None = None
    error: Exception | None = None
    only_explaining: bool = False
    importances: dict[str, float] | None = None

    def score(self, model: Path, data: Path, **more: Any) -> scoring.Scored:
        call = {"model": model, "data": data, **more}
        self.calls.append(call)
        if self.error and (more.get("attributions") or not self.only_explaining):
            raise self.error
        rows = pq.read_table(data) if data.suffix == ".parquet" else None
        values = self.answer(call) if self.answer else (rows.column("x").to_pylist() if rows else [1.0])
        pq.write_table(pa.table({"prediction": values}), more["out"])
        timings = tuple(float(i) for i in range(more.get("timings", 0)))
        return scoring.Scored(
            path=more["out"], labels=(), function="predict", rows=len(values), versions={}, timings_ms=timings,
            python=more["python"], importances=self.importances,
            attributions={"method": "shap", "features": ["x"], "values": [[1.0]]} if more.get("attributions") else None,
        )  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    found = Asked()
    monkeypatch.setattr(scoring, "score_model", found.score)
    return found


@pytest.fixture
def scorer(tmp_path: Path) -> Scorer:
    return Scorer(tmp_path / "bin/python", {}, tmp_path / "cache", "auto", lambda _: None)


def table(path: Path, n: int) -> Path:
    pq.write_table(pa.table({"x": [float(i) for i in range(n)], "y": [i % 2 for i in range(n)]}), path)
    return path


# answers that are kept


def test_answers_are_kept_by_model_data_and_function(asked: Asked, scorer: Scorer, tmp_path: Path) -> None:
    data = table(tmp_path / "d.parquet", 3)
    one, other = "sha256:" + "a" * 64, "sha256:" + "b" * 64

    def ask(model: str, of: str, function: str = "auto", timings: int = 0) -> int:
        using = Scorer(scorer.python, {}, scorer.cache, function, scorer.say)
        answers = using.answers(tmp_path / "m", model, data, of, timings=timings)
        assert pq.read_table(answers.path).column("prediction").to_pylist() == [0.0, 1.0, 2.0]
        assert len(answers.timings) == timings
        return len(asked.calls)

    assert [ask(one, one), ask(one, one), ask(one, other), ask(other, one), ask(one, one, "predict")] == [1, 1, 2, 3, 4]
    assert [ask(one, one), ask(one, one, timings=5), ask(one, one)] == [4, 5, 5]  # times are measured anew
    assert [path.suffix for path in (scorer.cache / "predictions").iterdir()] == [".parquet"] * 4


def test_the_most_times_that_a_check_needs_are_measured_of_the_candidate_alone(
    asked: Asked, scorer: Scorer, tmp_path: Path
) -> None:
    data = table(tmp_path / "d.parquet", 3)
    into = Gathering(stores.Store(tmp_path / "r"), Shape("y"), data, "sha256:d", scorer, tmp_path)
    needs = [Need("samples", "predict_one_ms", options={"min_samples": n}) for n in (7, 30, 9)]
    into.candidate(Subject(tmp_path / "m", "sha256:a"), [*needs, Need("samples", "latency_ms")])
    into.champion(Subject(tmp_path / "c", "sha256:b"))
    assert [call["timings"] for call in asked.calls] == [30, 0]
    assert len(into.samples["predict_one_ms"]) == 30
    assert [item.name for item in into.store.items] == [stores.CANDIDATE, stores.CHAMPION]


def test_what_must_be_explained_is_explained_by_the_process_that_answers(
    asked: Asked, scorer: Scorer, tmp_path: Path
) -> None:
    """Two models are loaded twice, not four times; and a model that cannot be explained answers all the same."""
    data = table(tmp_path / "d.parquet", 3)
    needs = [Need("explanations", options={"sample": n}) for n in (5, 8)]
    sides = [Subject(tmp_path / name, f"sha256:{name}") for name in "mc"]

    def gathered(fresh: str, needs: list[Need] = needs) -> Gathering:
        into = Gathering(stores.Store(tmp_path / fresh), Shape("y"), data, f"sha256:{fresh}", scorer, tmp_path)
        into.candidate(sides[0], needs)
        into.champion(sides[1])
        facts.gather(needs, facts.About(sides[0], sides[1], data, None, None, tmp_path), into)
        return into

    assert gathered("one").lacking == {}
    assert [call.get("explain_rows", 0) for call in asked.calls] == [8, 8]
    asked.calls.clear()
    assert gathered("one").lacking == {}
    assert asked.calls == []
    shutil.rmtree(scorer.cache / "predictions")
    assert gathered("one").lacking == {}
    assert [call.get("explain_rows", 0) for call in asked.calls] == [0, 0]  # the explanations were kept
    asked.calls.clear()
    assert gathered("one", [Need("explanations", options={"sample": 20})]).lacking == {}
    assert [call.get("explain_rows", 0) for call in asked.calls] == [20, 20]  # but not those of other rows
    asked.error, asked.only_explaining = Unavailable("it cannot be explained"), True
    into = gathered("two")
    assert "it cannot be explained" in into.lacking["explanations"]
    assert [item.name for item in into.store.items] == [stores.CANDIDATE, stores.CHAMPION]
    asked.error = Cancelled(15)
    with pytest.raises(Cancelled):
        gathered("three")


def test_files_that_are_given_are_read_first_and_nothing_stands_for_what_is_missing(
    scorer: Scorer, tmp_path: Path
) -> None:
    into = Gathering(stores.Store(tmp_path / "r"), Shape("y"), None, "", scorer, tmp_path)
    (tmp_path / "p.csv").write_text("y,predicted\n1,1\n")
    for gather in (lambda subject: into.candidate(subject, ()), into.champion):
        with pytest.raises(InvalidInput, match=r"p\.csv: .* has no column 'prediction'"):
            gather(Subject(predictions=tmp_path / "p.csv"))
        with pytest.raises(InvalidInput, match="nothing to score the c"):
            gather(Subject(tmp_path / "m", "sha256:a"))
    (tmp_path / "m.json").write_text("{}")
    with pytest.raises(InvalidInput, match="holds no metrics"):
        into.reported(tmp_path / "m.json")
    assert into.store.items == []


def test_columns_of_slices_are_those_of_both_models_checks_once_each() -> None:
    needs = [
        Need("predictions", columns=("a", "b")),
        Need("champion_predictions", columns=("b", "c")),
        Need("table", columns=("d",)),
    ]
    assert group_columns(needs) == ("a", "b", "c")
    assert needs_kind(needs, "samples", "table")
    assert not needs_kind(needs, "samples")


# environments


TRAINED = Installed(
    "3.11.7", {"numpy": "2.0.0", "Scikit_Learn": "1.5.0", "pandas": "2.2.0", "shap": "0.46"}, "sha256:t"
)


def parity(scorer: Scorer, tmp_path: Path, n: int, rows: int, serving: Installed = TRAINED) -> Any:
    data = table(tmp_path / "d.parquet", n)
    (tmp_path / "requirements.txt").write_text("scikit-learn>=1\nmy-own @ file:///x\nmlflow\n")
    return environment.parity(tmp_path, data, TRAINED, serving, scorer, tmp_path, rows)


@pytest.mark.parametrize(("n", "rows", "expected"), [(10, 3, [0, 3, 6]), (10, 10, list(range(10))), (2, 5, [0, 1])])
def test_golden_rows_are_spread_evenly_over_the_data(
    n: int, rows: int, expected: list[int], asked: Asked, scorer: Scorer, tmp_path: Path
) -> None:
    seen: list[list[float]] = []

    def answer(call: dict[str, Any]) -> list[float]:
        values: Any = pq.read_table(call["data"]).column("x").to_pylist()
        seen.append(values)
        return seen[-1]

    asked.answer = answer
    found = parity(scorer, tmp_path, n, rows)
    assert seen == [expected, expected]
    assert (found.rows, found.largest, found.mismatched) == (len(expected), 0.0, 0)
    assert [call["python"] for call in asked.calls] == [scorer.python, scorer.python]


def test_another_python_or_another_version_is_built_again_as_training_had_it(
    asked: Asked, scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[list[str]] = []

    def build(lines: list[str], **more: Any) -> Path:
        built.append(list(lines))
        return tmp_path / "built/python"

    monkeypatch.setattr(environments, "build", build)
    for serving in (
        Installed("3.12.0", TRAINED.packages),
        Installed(TRAINED.python, {**TRAINED.packages, "numpy": "2.1.0"}),
        Installed(TRAINED.python, {name: version for name, version in TRAINED.packages.items() if name != "shap"}),
    ):
        parity(scorer, tmp_path, 4, 2, serving)
        assert built.pop() == ["scikit-learn==1.5.0", "numpy==2.0.0", "pandas==2.2.0", "my-own @ file:///x", "mlflow"]
        assert [call["python"] for call in asked.calls[-2:]] == [tmp_path / "built/python", scorer.python]
    parity(scorer, tmp_path, 4, 2, Installed("3.11.7", {"scikit-learn": "1.5.0", **TRAINED.packages}))
    assert built == []


@pytest.mark.parametrize(
    ("before", "after", "largest", "mismatched"),
    [
        ([1.0, 2.0], [1.5, 2.0], 0.5, 0),
        ([1.0, 2.0], [1.0, float("nan")], float("inf"), 0),
        ([1, 2], [1.0, 2.25], 0.25, 0),
        ([True, False], [True, True], 1.0, 0),
        (["a", "b", "c"], ["a", "c", "b"], 0.0, 2),
        (["1", "2"], [1, 3], 0.0, 1),
    ],
)
def test_answers_are_compared_by_their_kind(before: Any, after: Any, largest: float, mismatched: int) -> None:
    found = environment._compare(pa.table({"prediction": before}), pa.table({"prediction": after}))
    assert (found.rows, found.largest, found.mismatched) == (len(before), largest, mismatched)


def test_every_column_of_the_answers_counts_and_one_that_is_missing_is_no_likeness() -> None:
    one = pa.table({"prediction": ["a", "b"], "score_a": [0.5, 0.5], "score_b": [0.5, 0.5]})
    far = one.set_column(1, "score_a", pa.array([0.5, 0.9]))
    assert environment._compare(one, far).largest == pytest.approx(0.4)
    assert environment._compare(far.set_column(0, "prediction", pa.array(["a", "x"])), one).mismatched == 1
    for pair in ((one, one.drop_columns(["score_b"])), (one.drop_columns(["score_b"]), one)):
        assert environment._compare(*pair).mismatched == 2


def test_an_environment_that_cannot_be_had_is_said_and_a_cancellation_is_none(
    asked: Asked, scorer: Scorer, tmp_path: Path
) -> None:
    asked.error = Unavailable("it did not load")
    assert parity(scorer, tmp_path, 4, 2) is None
    asked.error = Cancelled(15)
    with pytest.raises(Cancelled):
        parity(scorer, tmp_path, 4, 2)


def lineage(python: str = "3.11.7", installed: tuple[str, ...] = ("numpy==2.0.0", "pandas==2.2.0")) -> Any:
    return SimpleNamespace(python=python, environment={"installed": installed}, environment_lock="sha256:t")


def test_what_training_had_is_what_its_record_lists() -> None:
    found = environment.trained_with(lineage(installed=("numpy==2.0.0", "mine @ file:///x", "odd")))
    assert found == Installed("3.11.7", {"numpy": "2.0.0"}, "sha256:t")
    for unknown in (lineage(python=""), lineage(installed=()), lineage(installed=("mine @ file:///x",))):
        assert environment.trained_with(unknown) is None


def test_as_many_golden_rows_are_asked_as_the_check_that_wants_most(
    asked: Asked, scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "serving_with", lambda scorer: Installed("3.11.7", {"numpy": "2.0.0"}))
    data = table(tmp_path / "d.parquet", 30)
    about = facts.About(Subject(tmp_path, "sha256:m"), None, data, lineage(installed=("numpy==2.0.0",)), None, tmp_path)
    into = Gathering(stores.Store(tmp_path / "r"), Shape("y"), data, "sha256:d", scorer, tmp_path)
    facts.gather([Need("environment", options={"golden_rows": n}) for n in (2, 10, 0)], about, into)
    found = stores.load(into.store.folder, into.store.items).facts["environment"]
    assert (found.parity.rows, into.lacking) == (10, {})


def test_one_drift_check_of_all_columns_is_enough_to_look_at_all(scorer: Scorer, tmp_path: Path) -> None:
    reference = source.open_source(table(tmp_path / "reference.parquet", 50))
    about = facts.About(Subject(), None, table(tmp_path / "d.parquet", 40), None, reference, tmp_path)
    for columns, expected in ((((), ("x",)), ["x", "y"]), ((("x",), ()), ["x", "y"]), ((("y",), ("y",)), ["y"])):
        into = Gathering(stores.Store(tmp_path / "r"), Shape("y"), None, "", scorer, tmp_path)
        facts.gather([Need("drift", columns=names) for names in columns], about, into)
        found = stores.load(into.store.folder, into.store.items).drift
        assert found is not None
        assert sorted(column.name for column in found) == expected


# packages


def model(folder: Path, *, example: bool = True, **said: Any) -> Path:
    folder.mkdir(parents=True)
    whole = {"signature": {"inputs": SIGNATURE}, "saved_input_example_info": {"artifact_path": "e.json"}, **said}
    (folder / "MLmodel").write_text(json.dumps(whole))
    (folder / "requirements.txt").write_text("# of this model\n\nnumpy==2.0.0\n  scipy  \n")
    (folder / "weights").write_bytes(b"\0" * 1_500_000)
    if example:
        (folder / "e.json").write_text("{}")
    return folder


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a trial answers, popped from the end; where it was tried is put at the front."""
    answers: list[Any] = []

    def try_model(folder: Path, *, python: Path, env: Any) -> scoring.Tried:
        answer = answers.pop()
        answers.insert(0, python)
        if isinstance(answer, Exception):
            raise answer
        return scoring.Tried(**answer)

    monkeypatch.setattr(scoring, "try_model", try_model)
    monkeypatch.setattr(environments, "build", lambda lines, **more: more["cache"] / "-".join(lines))
    return answers


def test_a_package_is_what_its_folder_holds(scorer: Scorer, tmp_path: Path) -> None:
    found = package.facts(model(tmp_path / "m"), scorer, predict=False, clean=True)
    assert found.megabytes == pytest.approx(1.5, abs=0.01)
    assert found == PackageFacts(True, True, ("numpy==2.0.0", "scipy"), megabytes=found.megabytes)
    bare = package.facts(
        model(tmp_path / "b", example=False, signature={"outputs": "[]"}), scorer, predict=True, clean=True
    )
    assert (bare.signature, bare.input_example, bare.loads) == (False, False, None)
    unnamed = package.facts(model(tmp_path / "u", saved_input_example_info=None), scorer, predict=True, clean=False)
    assert (unnamed.input_example, unnamed.predicts) == (False, None)


@pytest.mark.parametrize("clean", [True, False])
def test_a_package_is_tried_where_the_policy_says(
    scorer: Scorer, tried: list[Any], tmp_path: Path, *, clean: bool
) -> None:
    tried.append({**LOADED, "finite": False})
    found = package.facts(model(tmp_path / "m"), scorer, predict=True, clean=clean)
    assert (found.loads, found.predicts, found.predictions_finite, found.clean) == (True, True, False, clean)
    built = scorer.cache / "environments" / "numpy==2.0.0-scipy-mlflow"
    assert tried == [built if clean else scorer.python]
    tried.append(Unavailable("no index", hint="ask IT"))
    said = package.facts(tmp_path / "m", scorer, predict=True, clean=clean)
    assert (said.loads, said.predicts, said.clean, said.problem) == (None, None, False, "no index; ask IT")
    tried.append(Cancelled(15))
    with pytest.raises(Cancelled):
        package.facts(tmp_path / "m", scorer, predict=True, clean=clean)


def test_one_check_that_asks_for_a_trial_or_for_a_clean_place_is_enough(
    scorer: Scorer, tried: list[Any], tmp_path: Path
) -> None:
    about = facts.About(Subject(model(tmp_path / "m")), None, None, None, None, tmp_path)
    for options in ([(True, False), (False, True)], [(False, True), (True, False)]):
        into = Gathering(stores.Store(tmp_path / "r"), Shape(""), None, "", scorer, tmp_path)
        tried[:] = [LOADED]
        facts.gather([Need("package", options={"predict": p, "clean_environment": c}) for p, c in options], about, into)
        kept = stores.load(into.store.folder, into.store.items).facts["package"]
        assert (kept.predicts, kept.clean) == (True, True)


def test_columns_of_a_signature_are_those_with_names(tmp_path: Path) -> None:
    assert signature.feature_names(model(tmp_path / "m")) == ("x",)
    assert signature.feature_names(model(tmp_path / "none", signature=None)) == ()
    with pytest.raises(InvalidInput, match="not JSON"):
        signature.feature_names(model(tmp_path / "bad", signature={"inputs": "[{"}))


# what cannot be had


def lacking(needs: list[Need], about: facts.About, into: Gathering) -> dict[str, str]:
    facts.gather(needs, about, into)
    return into.lacking


def test_each_fact_that_is_lacking_says_what_to_provide(scorer: Scorer, tmp_path: Path) -> None:
    nothing = facts.About(Subject(), None, None, None, None, tmp_path)
    into = Gathering(stores.Store(tmp_path / "r"), Shape("y"), None, "", scorer, tmp_path)
    needs = [
        Need("table"), Need("package"), Need("environment"), Need("explanations"), Need("drift"),
        Need("findings", "scan.sarif", options={"format": "sarif"}),
        Need("metric", "mine:cost", options={"source": "import_path"}),
    ]  # fmt: skip
    found = lacking(needs, nothing, into)
    assert found.keys() == {need.kind for need in needs}
    assert found["table"].startswith("Give the data: evaluate.data in mlops.yml")
    assert found["package"] == "Give the model's folder with --model."
    assert "gates train" in found["environment"]
    assert "predictions alone cannot be explained" in found["explanations"]
    assert "drift.reference" in found["drift"]
    assert "scan.sarif" in found["findings"]
    assert "run the tool that writes it before this step" in found["findings"]
    assert found["metric"].startswith("A function of yours needs predictions")
    assert into.store.items == []


def test_two_contracts_of_one_stage_are_refused_and_an_error_is_kept_as_what_lacks(
    scorer: Scorer, tmp_path: Path
) -> None:
    data = tmp_path / "d.csv"
    data.write_text("x\n1\n")
    about = facts.About(Subject(), None, data, None, None, tmp_path)
    into = Gathering(stores.Store(tmp_path / "r"), Shape("y"), data, "", scorer, tmp_path)
    two = [Need("table", options={"contract": None}), Need("table", options={"contract": None})]
    assert lacking(two, about, into) == {"table": "One data_contract a stage can be held to the data; join them."}
    (tmp_path / "MLmodel").write_text("[")
    broken = facts.About(Subject(tmp_path), None, None, None, None, tmp_path)
    into.lacking.clear()
    options = {"predict": False, "clean_environment": False}
    assert "MLmodel" in lacking([Need("package", options=options)], broken, into)["package"]


# golden rows of a rollout, and importances


@pytest.mark.parametrize(("n", "count", "rows"), [(9, 4, [0, 2, 4, 6]), (3, 8, [0, 1, 2]), (8, 8, list(range(8)))])
def test_a_rollout_s_golden_rows_are_single_rows_with_their_gated_answers(
    n: int, count: int, rows: list[int], tmp_path: Path
) -> None:
    data = table(tmp_path / "d.parquet", n)
    scored = pa.table({"prediction": list(range(n)), "score_0": [0.25] * n, "score_1": [i / 100 for i in range(n)]})
    pq.write_table(scored, tmp_path / "s.parquet")
    found = golden.golden_rows(data, tmp_path / "s.parquet", (), count=count, without=("y",))
    assert [json.loads(row.body)["input_data"] for row in found] == [
        {"columns": ["x"], "index": [0], "data": [[float(i)]]} for i in rows
    ]
    assert [row.expected for row in found] == [[[0.25, i / 100]] for i in rows]
    pq.write_table(scored.select(["prediction"]), tmp_path / "s.parquet")
    labels = golden.golden_rows(data, tmp_path / "s.parquet", ("y", "x"), count=count)
    assert [row.expected for row in labels] == [[i] for i in rows]
    assert json.loads(labels[0].body)["input_data"]["columns"] == ["y", "x"]


def test_importances_are_asked_once_of_a_model_and_its_data(asked: Asked, scorer: Scorer, tmp_path: Path) -> None:
    data = table(tmp_path / "d.parquet", 3)
    asked.importances = {"y": 0.25, "x": 0.75}

    def ask(model: str, of: str) -> int:
        found = importances.importances(lambda into: into, f"sha256:{model}", data, f"sha256:{of}", scorer)
        assert found == {"x": 0.75, "y": 0.25}
        return len(asked.calls)

    assert [ask("a", "a"), ask("a", "a"), ask("a", "b"), ask("b", "a")] == [1, 1, 2, 3]
    asked.importances = {}
    with pytest.raises(GatesError, match="did not say how much it looks at each column"):
        ask("c", "c")
