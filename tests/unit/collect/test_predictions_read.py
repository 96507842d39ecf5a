"""Predictions files, of users and of ours, become the very values that stand in them, or are refused in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gates.collect import predictions
from gates.collect.predictions import Shape
from gates.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

    from gates.evidence import Predictions


def read(folder: Path, text: str, positive: Any = None, groups: tuple[str, ...] = ()) -> Predictions:
    path = folder / "p.csv"
    path.write_text(text)
    return predictions.read(path, Shape("y", positive, groups), "the predictions")


def test_columns_come_as_they_stand(tmp_path: Path) -> None:
    found = read(tmp_path, "row_id,y,g,prediction,score,other\n7,1,a,0,0.25,x\n3,0,b,1,0.75,y\n", 1, ("g",))
    assert (found.target.tolist(), found.prediction.tolist()) == ([1, 0], [0, 1])
    assert found.scores is not None
    assert (found.scores.tolist(), found.labels, found.positive_label) == ([0.25, 0.75], (), 1)
    assert {name: values.tolist() for name, values in found.groups.items()} == {"g": ["a", "b"]}
    assert found.row_id is not None
    assert found.row_id.tolist() == [7, 3]
    bare = read(tmp_path, "y,prediction\n1.5,2\n")
    assert (bare.scores, bare.row_id, bare.groups, bare.positive_label) == (None, None, {}, None)


@pytest.mark.parametrize(
    ("text", "positive", "scores", "labels"),
    [
        ("y,prediction,score_0,score_1\n0,0,0.9,0.1\n1,1,0.2,0.8\n", 1, [0.1, 0.8], (0, 1)),
        ("y,prediction,score_1,score_0\n0,0,0.1,0.9\n1,1,0.8,0.2\n", 1, [0.1, 0.8], (1, 0)),
        ("y,prediction,score_no,score_yes\nno,no,0.9,0.1\nyes,yes,0.2,0.8\n", "no", [0.9, 0.2], ("no", "yes")),
        ("y,prediction,score_a,score_b\na,a,0.9,0.1\nb,b,0.2,0.8\n", None, [[0.9, 0.1], [0.2, 0.8]], ("a", "b")),
        ("y,prediction,score_2,score_10\n2,2,0.9,0.1\n10,2,0.2,0.8\n", None, [[0.9, 0.1], [0.2, 0.8]], (2, 10)),
        ("y,prediction,score_a,score_c\na,a,0.9,0.1\nb,b,0.2,0.8\n", None, [[0.9, 0.1], [0.2, 0.8]], ("a", "c")),
    ],
)
def test_scores_are_told_apart_by_their_label(
    text: str, positive: Any, scores: Any, labels: tuple[Any, ...], tmp_path: Path
) -> None:
    """A label is the target's own value where it has it (2 and not '2'), else the column's text."""
    found = read(tmp_path, text, positive)
    assert found.scores is not None
    assert (found.scores.tolist(), found.labels) == (scores, labels)
    assert [type(label) for label in found.labels] == [type(label) for label in labels]


@pytest.mark.parametrize(
    ("values", "asked", "found"),
    [
        ("1\n0\n", 1, 1),
        ("1\n0\n", "1", 1),
        ("yes\nno\n", "yes", "yes"),
        ("true\nfalse\n", True, True),
        ("0\n0\n", 1, 1),
        ("1.0\n0.0\n", 1, 1),
    ],
)
def test_the_positive_label_is_found_in_the_target_s_type(values: str, asked: Any, found: Any, tmp_path: Path) -> None:
    """Also where no row has it: that the metric then is undefined is for the check to say."""
    text = "y,prediction\n" + "".join(f"{value},{value}\n" for value in values.split())
    label = read(tmp_path, text, asked).positive_label
    assert label == found


@pytest.mark.parametrize(
    ("text", "positive", "said"),
    [
        ("y,prediction\nyes,no\n", 1, "column 'y' never holds the positive label 1; evaluate.positive_label must be "
         "one of its values: yes"),
        ("y,prediction\n1,0\n0,0\n", "yes", "column 'y' never holds the positive label 'yes'; evaluate.positive_label "
         "must be one of its values: 0, 1"),
        ("y,prediction\n", None, "has no rows"),
        ("prediction\n1\n", None, "has no column 'y'"),
        ("y,predictions\n1,1\n", None, "has no column 'prediction'; did you mean 'predictions'?"),
        ("y,prediction,prediction\n1,1,0\n", None, "has the column 'prediction' 2 times"),
        ("y,y,prediction\n1,0,0\n", None, "has the column 'y' 2 times"),
        ("y,prediction,score\n1,1,high\n", 1, "column 'score' holds string, not probabilities; write numbers"),
        ("y,prediction,score_0,score_1\n1,1,0.5,\n", 1, "column 'score_1' holds null, not probabilities"),
        ("y,prediction,score\n1,1,true\n", 1, "column 'score' holds bool, not probabilities"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(text: str, positive: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(tmp_path, text, positive)
    assert str(caught.value).startswith(f"{tmp_path / 'p.csv'}: the predictions")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_gaps_stay_gaps_and_long_numbers_are_read(tmp_path: Path) -> None:
    """Missing is NaN or None, never 0 or text: the check says ERROR about it."""
    found = read(tmp_path, "y,prediction,g\n1,,a\n,0,\n", groups=("g",))
    assert np.isnan(found.prediction).tolist() == [True, False]
    assert np.isnan(found.target).tolist() == [False, True]
    assert found.groups["g"].tolist() == ["a", None]
    pq.write_table(pa.table({"y": pa.array([2**60 + 1, None]), "prediction": [1, 2]}), tmp_path / "p.parquet")
    long = predictions.read(tmp_path / "p.parquet", Shape("y"), "the predictions")
    assert long.target[0] == 2.0**60
    pq.write_table(pa.table({"y": [[1]], "prediction": [1]}), tmp_path / "p.parquet")
    with pytest.raises(InvalidInput, match="column 'y' holds list<element: int64>, one value a row is asked"):
        predictions.read(tmp_path / "p.parquet", Shape("y"), "the predictions")


def joined(folder: Path, data: pa.Table, scored: pa.Table, groups: tuple[str, ...] = ()) -> pa.Table:
    pq.write_table(data, folder / "data.parquet")
    pq.write_table(scored, folder / "scored.parquet")
    predictions.join(folder / "data.parquet", folder / "scored.parquet", Shape("y", None, groups), folder / "out/p")
    return pq.read_table(folder / "out/p")


def test_answers_are_put_beside_the_rows_that_they_are_of(tmp_path: Path) -> None:
    data = pa.table({"x": [1, 2], "y": [0, 1], "g": ["a", "b"], "row_id": [5, 6]})
    found = joined(tmp_path, data, pa.table({"prediction": [1, 0], "score_1": [0.6, 0.4]}), ("g",))
    assert found.to_pydict() == {
        "y": [0, 1], "g": ["a", "b"], "row_id": [5, 6], "prediction": [1, 0], "score_1": [0.6, 0.4],
    }  # fmt: skip
    without = joined(tmp_path, data.drop_columns(["row_id"]), pa.table({"prediction": [1, 0]}))
    assert without.column_names == ["y", "prediction"]


def test_a_column_of_the_data_called_prediction_is_not_the_model_s_answer(tmp_path: Path) -> None:
    data = pa.table({"y": [0, 1], "prediction": ["old", "old"]})
    assert joined(tmp_path, data, pa.table({"prediction": [1, 0]}), ("prediction",)).to_pydict() == {
        "y": [0, 1], "prediction": [1, 0],
    }  # fmt: skip


def test_answers_of_other_rows_are_refused(tmp_path: Path) -> None:
    data = pa.table({"y": [0, 1]})
    with pytest.raises(InvalidInput, match="the model answered 1 of 2 rows"):
        joined(tmp_path, data, pa.table({"prediction": [1]}))
    with pytest.raises(InvalidInput, match="the evaluation data has no rows"):
        joined(tmp_path, data.slice(0, 0), pa.table({"prediction": pa.array([], pa.int64())}))
