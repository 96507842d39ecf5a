"""Kept explanations: SHAP may have come or gone since, and shares by permutation are never held against SHAP values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from gates.checks.spec import Need
from gates.collect import explanations, facts
from gates.collect import store as stores
from gates.collect.gather import Gathering, Scorer, Subject
from gates.collect.predictions import Shape
from gates.runtime import scoring

if TYPE_CHECKING:
    from pathlib import Path

NEEDS = [Need("explanations", options={"sample": 2, "champion": True})]
METHODS = ("shap", "permutation")
LOST = "The champion's bytes could not be had, so its explanations could not."


@dataclass
class Answered:
    attributions: dict[str, Any]


@pytest.mark.parametrize("installed", METHODS)
@pytest.mark.parametrize("kept", [("", ""), ("shap", ""), ("", "permutation"), ("shap", "permutation")])
def test_both_are_explained_in_one_way(
    kept: tuple[str, str], installed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is kept from other days, what is stored is of one way, or nothing is stored and the reason said."""
    scorer = Scorer(tmp_path / "python", {}, tmp_path / "cache", "auto", lambda _: None)
    data = tmp_path / "data.csv"
    data.write_text("x\n1\n")
    for who, method in zip("ab", kept, strict=True):
        if method:
            folder = scorer.cache / "attributions"
            folder.mkdir(parents=True, exist_ok=True)
            said = {"method": method, "features": ["x"], "values": [[1.0]]}
            (folder / f"{who * 32}-{'d' * 32}-auto-2.json").write_text(json.dumps(said))
    now = Answered({"method": installed, "features": ["x"], "values": [[2.0]]})
    monkeypatch.setattr(scoring, "score_model", lambda *given, **more: now)
    into = Gathering(stores.Store(tmp_path / "report"), Shape(""), data, "sha256:" + "d" * 64, scorer, tmp_path)
    sides = [Subject(tmp_path / who, "sha256:" + who * 64) for who in "ab"]
    facts.gather(NEEDS, facts.About(sides[0], sides[1], data, None, None, tmp_path), into)
    stored = [item for item in into.store.items if item.name == stores.EXPLANATIONS]
    assert bool(stored) != bool(into.lacking)
    if stored:
        found = json.loads((into.store.folder / stored[0].sha256.partition(":")[2]).read_text())
        assert found["candidate"]["method"] == found["champion"]["method"]
    if not all(kept) or installed in kept:
        assert stored


def test_columns_are_matched_by_name_and_one_that_a_model_does_not_know_counts_0() -> None:
    ours = {"method": "shap", "features": ["a", "b"], "values": [[1.0, 2.0], [3.0, 4.0]]}
    theirs = {"method": "shap", "features": ["c", "a"], "values": [[5.0, 6.0]]}
    found = explanations.facts({"candidate": ours, "champion": theirs})
    assert (found.features, found.method) == (("a", "b", "c"), "shap")
    assert found.candidate.tolist() == [[1.0, 2.0, 0.0], [3.0, 4.0, 0.0]]
    assert found.champion is not None
    assert found.champion.tolist() == [[6.0, 0.0, 5.0]]
    assert explanations.facts({"candidate": ours, "champion": None}).champion is None


def test_a_champion_whose_bytes_could_not_be_had_is_lacking_unless_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = Scorer(tmp_path / "python", {}, tmp_path / "cache", "auto", lambda _: None)
    said = Answered({"method": "shap", "features": ["x"], "values": [[2.0]]})
    monkeypatch.setattr(scoring, "score_model", lambda *given, **more: said)
    data = tmp_path / "data.csv"
    for absent in (False, True):
        into = Gathering(stores.Store(tmp_path / str(absent)), Shape(""), data, "sha256:" + "d" * 64, scorer, tmp_path)
        into.champion_absent = absent
        subject = Subject(tmp_path / "a", "sha256:" + "a" * 64)
        facts.gather(NEEDS, facts.About(subject, None, data, None, None, tmp_path), into)
        assert bool(into.store.items) == absent
        assert into.lacking == ({} if absent else {"explanations": LOST})
