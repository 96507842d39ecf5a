"""Every check against every way that evidence can be none: drawn by Hypothesis, no combination passes and none raises.

DEFECTS holds, by kind of need, the nine ways (NaN, infinities, empty, constant, single class, one row, missing slice,
mismatched rows, wrong type). Where a way means nothing for a kind, NOTHING says why; a test keeps the two complete.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_every_check import SAMPLES, N, _cut, check, good

from gates.checks.spec import Settings
from gates.evidence import Counted, Evidence, Predictions
from gates.verdict import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    Defect = Callable[[Evidence, int], Evidence]
    Spoil = Callable[[Predictions, int], Predictions]

WAYS = ("nan", "infinite", "empty", "constant", "single class", "one row", "missing slice", "mismatched", "wrong type")
CASES = [(kind, raw) for kind, rows in SAMPLES.items() for raw in rows]


def _at(values: Any, i: int, bad: Any) -> Any:
    out = np.asarray(values, dtype=float if isinstance(bad, float) else object).copy()
    out[i % len(out)] = bad
    return out


def _everywhere(p: Predictions, i: int, bad: float) -> Predictions:
    """One value in the answers, and one in the scores: whichever the check looks at is spoilt."""
    return replace(p, prediction=_at(p.prediction, i, bad), scores=_at(p.scores, i, bad))


def _missing_slice(p: Predictions, i: int) -> Predictions:
    return replace(p, groups={name: np.full(p.n, "F") for name in p.groups})


def _constant(p: Predictions, i: int) -> Predictions:
    """Every row answered negative, with certainty in the other; and everybody in one group."""
    return _missing_slice(replace(p, prediction=np.zeros(p.n, dtype=np.int64), scores=np.ones(p.n)), i)


def _shifted(p: Predictions, i: int) -> Predictions:
    """The answers of the row before, one row fewer."""
    return replace(p, prediction=np.roll(p.prediction, 1)[:-1])


ANSWERS: dict[str, Spoil] = {
    "nan": lambda p, i: _everywhere(p, i, float("nan")),
    "infinite": lambda p, i: _everywhere(p, i, (float("inf"), float("-inf"))[i % 2]),
    "empty": lambda p, i: _cut(p, 0),
    "constant": _constant,
    "single class": lambda p, i: replace(p, target=np.full(p.n, i % 2)),
    "one row": lambda p, i: _cut(p, 1),
    "mismatched": _shifted,
    "wrong type": lambda p, i: replace(p, prediction=p.prediction.astype(str), scores=np.asarray(["0.5"] * p.n)),
}


def _candidate(spoil: Spoil) -> Defect:
    return lambda e, i: replace(e, candidate=spoil(e.candidate, i) if e.candidate else None)


def _champion(spoil: Spoil) -> Defect:
    return lambda e, i: replace(e, champion=spoil(e.champion, i) if e.champion else None)


def _other_rows(p: Predictions, i: int) -> Predictions:
    return replace(p, row_id=np.arange(N) + 1 + i)


def _fact(name: str, **changes: Callable[[Any, int], Any]) -> dict[str, Defect]:
    """By way (spaces as underscores), the fact changed."""

    def defect(change: Callable[[Any, int], Any]) -> Defect:
        return lambda e, i: replace(e, facts={**e.facts, name: change(e.facts[name], i)})

    return {way.replace("_", " "): defect(change) for way, change in changes.items()}


def _times(change: Callable[[Any, int], Any]) -> Defect:
    return lambda e, i: replace(e, samples={name: change(values, i) for name, values in e.samples.items()})


def _counts(side: str, change: Callable[[int], Any]) -> Defect:
    if side == "counts":
        return lambda e, i: replace(e, counts={"http_5xx": change(i)})
    return lambda e, i: replace(e, champion_counts={"http_5xx": change(i)})


def _counted(side: str) -> dict[str, Defect]:
    ways: dict[str, Callable[[int], Any]] = {
        "nan": lambda i: Counted(float("nan"), 1000),  # type: ignore[arg-type]  # wrong on purpose
        "infinite": lambda i: Counted(0, float("inf")),  # type: ignore[arg-type]  # wrong on purpose
        "empty": lambda i: Counted(0, 0),
        "constant": lambda i: Counted(1000, 1000) if side == "counts" else Counted(0, 1),
        "one row": lambda i: Counted(0, 1),
        "missing slice": lambda i: None,
        "mismatched": lambda i: Counted(1001 + i, 1000),
        "wrong type": lambda i: ((0, 1000), "0/1000", Counted("0", 1000), Counted(True, 1000))[i % 4],  # type: ignore[arg-type]  # wrong on purpose
    }
    return {way: _counts(side, change) for way, change in ways.items()}


def _columns(**changes: Any) -> Defect:
    return lambda e, i: replace(e, drift=tuple(replace(column, **changes) for column in e.drift or ()))


def _every_number(value: float) -> Defect:
    names = ("ks", "p", "psi", "psi_raw", "missing_difference", "missing_p")
    return _columns(**dict.fromkeys(names, value))


def _one_attribution(bad: float) -> Callable[[Any, int], Any]:
    def spoil(facts: Any, i: int) -> Any:
        side = ("candidate", "champion")[i % 2]
        values = getattr(facts, side).copy()
        values[i % len(values), i % 4] = bad
        return replace(facts, **{side: values})

    return spoil


DEFECTS: dict[str, dict[str, Defect]] = {
    "predictions": {way: _candidate(spoil) for way, spoil in ANSWERS.items()}
    | {"missing slice": _candidate(lambda p, i: replace(p, groups={}))},
    "champion_predictions": {way: _champion(spoil) for way, spoil in ANSWERS.items() if way != "constant"}
    | {"mismatched": _champion(_other_rows)},
    "metric": {
        "nan": lambda e, i: replace(e, metrics=dict.fromkeys(e.metrics, float("nan"))),
        "infinite": lambda e, i: replace(e, metrics=dict.fromkeys(e.metrics, (float("inf"), float("-inf"))[i % 2])),
        "empty": lambda e, i: replace(e, metrics={}),
        "wrong type": lambda e, i: replace(e, metrics=dict.fromkeys(e.metrics, ("1", True, None, [])[i % 4])),  # type: ignore[arg-type]  # wrong on purpose
    },
    "samples": {
        "nan": _times(lambda values, i: _at(values, i, float("nan"))),
        "infinite": _times(lambda values, i: _at(values, i, (float("inf"), float("-inf"))[i % 2])),
        "empty": _times(lambda values, i: values[:0]),
        "constant": _times(lambda values, i: np.full(len(values), 351.0)),
        "one row": _times(lambda values, i: values[:1]),
        "wrong type": _times(lambda values, i: (values.astype(str), values.reshape(-1, 2), "fast", 3.0)[i % 4]),
    },
    "counts": _counted("counts"),
    "champion_counts": _counted("champion_counts"),
    "drift": {
        "nan": _every_number(float("nan")),
        "infinite": _every_number(float("inf")),
        "empty": lambda e, i: replace(e, drift=((), None)[i % 2]),
        "constant": _columns(ks=None, p=None, psi=None, psi_raw=None),
        "one row": _columns(n_ref=1, n_cur=1),
        "missing slice": _columns(n_cur=0, nulls_cur=4000, missing_difference=1.0, missing_p=0.0),
        "wrong type": lambda e, i: replace(e, drift=("x", ({},), (None,), 3)[i % 4]),  # type: ignore[arg-type]  # wrong on purpose
    },
    "explanations": _fact(
        "explanations",
        nan=_one_attribution(float("nan")),
        infinite=_one_attribution(float("inf")),
        empty=lambda f, i: replace(f, candidate=f.candidate[:0]),
        constant=lambda f, i: replace(f, candidate=np.zeros_like(f.candidate)),
        one_row=lambda f, i: replace(f, candidate=f.candidate[:1]),
        missing_slice=lambda f, i: replace(f, features=f.features[:-1]),
        mismatched=lambda f, i: replace(f, candidate=f.candidate[:, :-1]),
        wrong_type=lambda f, i: (replace(f, candidate=f.candidate.astype(str)), {}, "x", None)[i % 4],
    ),
    "environment": _fact(
        "environment",
        nan=lambda f, i: replace(f, parity=replace(f.parity, largest=float("nan"))),
        infinite=lambda f, i: replace(f, parity=replace(f.parity, largest=float("inf"))),
        empty=lambda f, i: replace(f, **{("trained", "serving")[i % 2]: replace(f.trained, packages={})}),
        one_row=lambda f, i: replace(f, parity=replace(f.parity, rows=1)),
        missing_slice=lambda f, i: replace(f, serving=replace(f.serving, packages={"pandas": "2.2.0"})),
        mismatched=lambda f, i: replace(f, parity=replace(f.parity, mismatched=1 + i)),
        wrong_type=lambda f, i: ({}, "x", None, replace(f, trained="3.11"))[i % 4],
    ),
    "table": _fact(
        "table",
        nan=lambda f, i: replace(f, age_seconds=float("nan")),
        infinite=lambda f, i: replace(f, columns={"age": replace(f.columns["age"], infinite=1 + i % f.rows)}),
        empty=lambda f, i: replace(f, rows=0, columns={"age": replace(f.columns["age"], nulls=0)}),
        constant=lambda f, i: replace(f, duplicates=f.rows - 1),
        one_row=lambda f, i: replace(f, columns={"age": replace(f.columns["age"], nulls=f.rows)}),
        missing_slice=lambda f, i: replace(f, columns={}),
        mismatched=lambda f, i: replace(f, columns={"age": replace(f.columns["age"], nulls=f.rows + 1 + i)}),
        wrong_type=lambda f, i: ({}, "x", None, replace(f, columns={"age": replace(f.columns["age"], dtype="string")}))[
            i % 4
        ],
    ),
    "package": _fact(
        "package",
        nan=lambda f, i: replace(f, **({"megabytes": float("nan")}, {"predictions_finite": False})[i % 2]),
        infinite=lambda f, i: replace(f, megabytes=float("inf")),
        empty=lambda f, i: replace(f, **({"signature": False}, {"input_example": False}, {"predicts": None})[i % 3]),
        wrong_type=lambda f, i: ({}, "x", None, 1.0)[i % 4],
    ),
    "findings": _fact(
        "findings",
        nan=lambda f, i: {name: replace(one, counts={**one.counts, "error": float("nan")}) for name, one in f.items()},
        infinite=lambda f, i: {
            name: replace(one, counts={**one.counts, "error": float("inf")}) for name, one in f.items()
        },
        empty=lambda f, i: {name: replace(one, evaluated=0) for name, one in f.items()},
        missing_slice=lambda f, i: {name: replace(one, counts={}) for name, one in f.items()},
        mismatched=lambda f, i: {"another.sarif": f["scan.sarif"]},
        wrong_type=lambda f, i: ({}, "x", None, {"scan.sarif": {}})[i % 4],
    ),
}
NOTHING: dict[str, dict[str, str]] = {
    "predictions": {},
    "champion_predictions": {
        "constant": "a champion that answers nothing is easily beaten, which is so",
        "missing slice": "groups are read from the candidate's rows, which are the same rows",
    },
    "metric": {
        **dict.fromkeys(("constant", "one row", "single class", "missing slice", "mismatched"), "one figure, no rows")
    },
    "samples": dict.fromkeys(("single class", "missing slice", "mismatched"), "times have no labels and no pairs"),
    "counts": {"single class": "counts have no labels"},
    "champion_counts": {"single class": "counts have no labels"},
    "drift": dict.fromkeys(("single class", "mismatched"), "columns are compared as wholes, row by row never"),
    "explanations": {"single class": "attributions have no labels"},
    "environment": dict.fromkeys(("constant", "single class"), "versions have no rows and no labels"),
    "table": {"single class": "a contract knows no label"},
    "package": dict.fromkeys(
        ("constant", "single class", "one row", "missing slice", "mismatched"), "a package has no rows"
    ),
    "findings": dict.fromkeys(("constant", "single class", "one row"), "counts of findings, no rows"),
}
TRIPLES = [
    (kind, raw, need.kind, way)
    for kind, raw in CASES
    for need in {need.kind: need for need in check(kind, raw).needs()}.values()
    for way in DEFECTS[need.kind]
    if way != "missing slice" or need.columns or need.kind != "predictions"  # who slices by nothing misses no slice
]


def test_every_kind_of_need_has_every_way_or_says_why_not() -> None:
    needed = {need.kind for kind, raw in CASES for need in check(kind, raw).needs()}
    assert needed == DEFECTS.keys() == NOTHING.keys()
    for need, ways in DEFECTS.items():
        assert set(ways) | set(NOTHING[need]) == set(WAYS), need
        assert not set(ways) & set(NOTHING[need])


@given(
    triple=st.sampled_from(TRIPLES),
    at=st.integers(0, N - 1),
    confidence=st.sampled_from([0.8, 0.95, 0.99]),
    absent=st.sampled_from(["fail", "bootstrap"]),
    seed=st.integers(0, 2**32),
    final=st.booleans(),
)
@settings(max_examples=400, deadline=None)
def test_no_spoilt_evidence_passes_any_check(
    triple: tuple[str, dict[str, Any], str, str], at: int, confidence: float, absent: Any, seed: int, final: bool
) -> None:
    kind, raw, need, way = triple
    spoilt = replace(DEFECTS[need][way](good(), at), final=final)
    result = check(kind, raw).decide(spoilt, Settings(confidence, seed, absent))
    assert result.status not in (Status.PASS, Status.SKIPPED), result
    assert result.reason


@pytest.mark.parametrize(("kind", "raw", "need", "way"), TRIPLES, ids=lambda value: str(value)[:40])
def test_each_way_alone_passes_no_check(kind: str, raw: dict[str, Any], need: str, way: str) -> None:
    """The same, each once and two positions: Hypothesis draws, this misses none."""
    for at in (0, 1, 2, 3, N - 1):
        result = check(kind, raw).decide(DEFECTS[need][way](good(), at), Settings())
        assert result.status not in (Status.PASS, Status.SKIPPED), (at, result)


@given(dropped=st.sets(st.sampled_from([field.name for field in fields(Evidence)])), case=st.sampled_from(CASES))
@settings(max_examples=200, deadline=None)
def test_whatever_is_taken_away_a_check_passes_only_with_what_it_needs(
    dropped: set[str], case: tuple[str, dict[str, Any]]
) -> None:
    """Parts of good evidence removed at random: a check passes as before, or not at all; it never passes otherwise."""
    kind, raw = case
    whole, empty = good(), Evidence()
    less = replace(whole, **{name: getattr(empty, name) for name in dropped})
    before, after = (check(kind, raw).decide(evidence, Settings()) for evidence in (whole, less))
    assert after == before or after.status is Status.ERROR
