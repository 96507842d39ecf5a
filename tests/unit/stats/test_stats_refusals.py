"""What would make a figure meaningless is refused before any formula, in these words; rows find their place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gates.evidence import Predictions
from gates.stats import prepared
from gates.stats.estimate import Unusable

N = 12
Y = np.arange(N) % 2
S = np.linspace(0.1, 0.9, N)
WORDS = np.array(["no", "yes"])[Y]


def part(target: Any = Y, prediction: Any = Y, scores: Any = None, **more: Any) -> Predictions:
    return Predictions(target, prediction, scores, more.pop("labels", ()), more.pop("positive_label", 1), **more)


def objects(*values: Any) -> Any:
    return np.array([*values, *Y[len(values) :]], dtype=object)


@pytest.mark.parametrize(
    ("candidate", "more", "said"),
    [
        (part(Y[:0], Y[:0]), {}, "there are no rows"),
        (part(Y.reshape(-1, 2)), {}, "the target must be one column, it has the shape (6, 2)"),
        (part(objects(None)), {}, "the target holds 1 missing values"),
        (part(objects("a", 1)), {}, "the target mixes values of type int"),
        (part(Y.astype(complex)), {}, "the target holds complex128 values; write numbers, booleans or strings"),
        (part(np.r_[np.inf, Y[1:]]), {}, "the target holds 1 values that are missing or not finite"),
        (part(np.r_[np.nan, -np.inf, Y[2:]]), {}, "the target holds 2 values that are missing or not finite"),
        (part(Y, np.r_[np.nan, Y[1:]]), {}, "the prediction holds 1 values that are missing or not finite"),
        (part(Y, Y[1:]), {}, "the prediction has 11 rows, the target has 12"),
        (part(Y, WORDS), {}, "the prediction and the target are of unlike types: text and int64"),
        (part(WORDS, Y, positive_label="yes"), {}, "the prediction and the target are of unlike types: int64 and text"),
        (part(Y * 0), {}, "every row's target is 0: one class only"),
        (part(entity=Y[1:]), {}, "the entity has 11 rows, the target has 12"),
        (part(entity=objects(None)), {}, "the entity holds 1 missing values"),
        (part(labels=("a",)), {}, "the labels mix text and numbers"),
        (part(positive_label=7), {}, "positive_label 7 is not among the labels 0, 1"),
        (part(positive_label=float("nan")), {}, "nan cannot be a label"),
        (part(labels=(0, 1, None)), {}, "None cannot be a label"),
        (part(positive_label=[1]), {}, "[1] cannot be a label"),
        (part(WORDS, WORDS), {"regression": True}, "the target is text; this metric needs numbers"),
        (part(), {"scores": True}, "the model gives labels only, and this metric needs probabilities"),
        (part(scores=S[1:]), {"scores": True}, "scores must be 12 rows of numbers, they are float64 of the shape (11"),
        (part(scores=S.astype(str)), {"scores": True}, "scores must be 12 rows of numbers, they are <U32"),
        (part(scores=S.reshape(12, 1, 1)), {"scores": True}, "scores must be 12 rows of numbers"),
        (part(scores=np.r_[np.inf, S[1:]]), {"scores": True}, "1 scores are missing or not finite"),
        (part(scores=np.r_[np.nan, S[1:]]), {"scores": True}, "1 scores are missing or not finite"),
        (part(np.arange(N) % 3, Y, S), {"scores": True}, "one score a row cannot cover 3 labels"),
        (part(WORDS, WORDS, S, positive_label=None), {"scores": True},
         "positive_label must say which label the scores are of"),
        (part(scores=np.stack([S, S], 1), labels=(0,)), {"scores": True}, "scores have 2 columns for the labels 0, 1"),
        (part(scores=np.stack([S, S], 1), labels=(0, 2)), {"scores": True}, "scores have 2 columns for the labels"),
        (part(scores=np.stack([S, S, S], 1), labels=(0, 1)), {"scores": True}, "scores have 3 columns"),
    ],
)  # fmt: skip
def test_one_model_s_rows(candidate: Predictions, more: dict[str, Any], said: str) -> None:
    with pytest.raises(Unusable) as caught:
        prepared.prepare(candidate, **more)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("candidate", "champion", "said"),
    [
        (part(), part(1 - Y), "candidate and champion were scored on different rows: their targets differ"),
        (part(), part(WORDS, WORDS), "candidate and champion were scored on different rows: their targets differ"),
        (part(), part(Y[:-2], Y[:-2]), "the candidate has 12 rows, the champion 10"),
        (part(), part(Y, Y[:-1]), "the champion's prediction has 11 rows, the target has 12"),
        (part(), part(Y, WORDS), "the champion's prediction and the target are of unlike types"),
        (part(row_id=np.arange(N)), part(), "only one of candidate and champion has row ids"),
        (part(), part(row_id=np.arange(N)), "only one of candidate and champion has row ids"),
        (
            part(row_id=np.arange(N)),
            part(row_id=np.arange(N) + 1),
            "candidate and champion were scored on different ro",
        ),
        (
            part(row_id=np.arange(N)),
            part(row_id=np.arange(N).astype(str)),
            "candidate and champion were scored on diff",
        ),
        (part(row_id=np.arange(N - 1)), part(row_id=np.arange(N)), "row_id has not as many rows as the target"),
        (part(row_id=np.arange(N)), part(row_id=np.arange(N - 1)), "row_id has not as many rows as the target"),
        (part(row_id=objects(None)), part(row_id=np.arange(N)), "row_id holds 1 missing values"),
        (part(row_id=np.arange(N) // 4), part(Y[::-1], Y[::-1], row_id=np.arange(N)[::-1] // 4), "row ids repeat"),
    ],
)
def test_two_models_rows(candidate: Predictions, champion: Predictions, said: str) -> None:
    with pytest.raises(Unusable) as caught:
        prepared.prepare(candidate, champion)
    assert str(caught.value).startswith(said)


def test_a_champion_without_scores_or_with_others_is_refused_where_they_are_needed() -> None:
    with pytest.raises(Unusable, match="labels only"):
        prepared.prepare(part(scores=S), part(), scores=True)
    with pytest.raises(Unusable, match="1 scores are missing"):
        prepared.prepare(part(scores=S), part(scores=np.r_[np.nan, S[1:]]), scores=True)


def test_the_champion_s_answers_and_scores_move_with_its_rows() -> None:
    order = np.random.default_rng(1).permutation(N)
    champion = part(Y[order], 1 - Y[order], S[order], row_id=np.arange(N)[order])
    found = prepared.prepare(part(scores=S[::-1], row_id=np.arange(N)), champion, scores=True)
    assert found.models[1].answer.tolist() == (1 - Y).tolist()
    assert found.models[1].scores is not None
    assert found.models[1].scores.tolist() == S.tolist()


@pytest.mark.parametrize(
    ("candidate", "labels", "positive"),
    [
        (part(positive_label=None), (0, 1), 1),
        (part(positive_label=0), (1, 0), 1),
        (part(WORDS, WORDS, positive_label="no"), ("yes", "no"), 1),
        (part(WORDS, WORDS, positive_label=None), ("no", "yes"), None),
        (part(Y + 1, Y + 1, positive_label=None), (1, 2), None),
        (part(Y.astype(float), Y, positive_label=None), (0, 1), 1),
        (part(Y.astype(bool), Y, positive_label=True), (0, 1), 1),
        (part(np.arange(N) % 3, Y, positive_label=2), (0, 1, 2), 2),
        (part(Y, np.r_[5, Y[1:]], positive_label=1), (0, 1, 5), 1),
        (part(labels=(0, 1, 9)), (0, 1, 9), 1),
    ],
)
def test_labels_are_all_that_are_seen_or_said_and_the_positive_one_is_found(
    candidate: Predictions, labels: tuple[Any, ...], positive: int | None
) -> None:
    found = prepared.prepare(candidate)
    assert (found.labels, found.positive, found.k) == (labels, positive, len(labels))
    answered = [found.labels[code] for code in found.models[0].answer]
    assert answered == list(candidate.prediction)


def test_binary_scores_without_a_positive_label_keep_their_two_columns() -> None:
    both = np.stack([1 - S, S], 1)
    found = prepared.prepare(part(WORDS, WORDS, both[:, ::-1], labels=("yes", "no"), positive_label=None), scores=True)
    assert found.models[0].scores is not None
    assert found.models[0].scores.tolist() == both.tolist()


def test_the_smallest_class_is_counted_in_rows_or_in_entities() -> None:
    y = np.r_[np.ones(3, dtype=int), np.zeros(9, dtype=int)]
    assert prepared.prepare(part(y, y)).smallest_class == 3
    assert prepared.prepare(part(y, y, entity=np.r_[0, 0, 0, np.arange(9)])).smallest_class == 1
    assert prepared.prepare(part(y, y, entity=np.r_[0, 1, 2, np.zeros(9)])).smallest_class == 1


def test_some_of_the_rows_keep_their_entities_numbered_from_0() -> None:
    whole = prepared.prepare(part(scores=S, entity=np.arange(N) // 3), part(Y, 1 - Y, S[::-1]), scores=True)
    some = whole.take(np.arange(N) >= 6)
    assert (some.n, some.truth.tolist()) == (6, Y[6:].tolist())
    assert some.cluster is not None
    assert some.cluster.tolist() == [0, 0, 0, 1, 1, 1]
    assert some.models[1].scores is not None
    assert some.models[1].scores.tolist() == S[::-1][6:].tolist()


def test_groups_may_be_of_any_one_type_and_as_many_as_the_rows() -> None:
    for values, names in (
        (np.array([True, False] * 6), ["False", "True"]),
        (np.array([True, False] * 6, dtype=object), ["False", "True"]),
        (Y, [0, 1]),
        (Y / 2, [0.0, 0.5]),
        (WORDS.astype(object), ["no", "yes"]),
    ):
        codes, found = prepared.groups(values, "g", N)
        assert found == names
        assert [str(found[code]) for code in codes] == [str(value) for value in values]
    for values, said in ((Y[1:], "g has 11 rows"), (objects(None), "g holds 1 missing"), (objects("a"), "g mixes")):
        with pytest.raises(Unusable, match=said):
            prepared.groups(values, "g", N)
