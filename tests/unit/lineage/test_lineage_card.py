"""The model card: golden text, NOT PROVIDED, strict mode, and that nothing in lineage can break out of its place."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import yaml
from lineage_built import NOW, Built, empty, trained_and_gated

from gates.canonical import digest
from gates.errors import InvalidInput
from gates.lineage.card import Card, missing, read_card, render_card
from gates.lineage.folder import composite_text
from gates.lineage.record import Approval, Lineage, utc
from gates.lineage.statement import compose

EXAMPLE = Path(__file__).parents[3] / "examples" / "census-income"
GOLDEN = Path(__file__).parents[2] / "golden" / "lineage"
CARD_YML = """\
summary: Estimates the probability that a loan is not repaid.
task: tabular-classification
license: apache-2.0
owner: risk-ml
contact: risk-ml@example.com
intended_use: |
  Ranking of applications for **manual** review.
out_of_scope: Automatic refusal.
limitations: Trained on one country.
risks: Lower recall for applicants under 25.
human_oversight: Every refusal is seen by a person.
training_data: Applications of 2024 and 2025.
evaluation_data: Applications of the first quarter of 2026.
monitoring: Drift is checked every night.
language: [en]
tags: [credit, tabular]
"""


def _built(tmp_path: Path) -> Built:
    built = empty(tmp_path)
    yes = Approval(by="user:bob", at=utc(NOW - 2500), model_digest=built.digest, policy_digest="sha256:" + "b" * 64)
    built.deploy(after=built.gate(after=built.train(), approvals=(yes,)))
    return built


def _lineage(tmp_path: Path) -> Lineage:
    return compose(_built(tmp_path).folder.statements())


def _card(tmp_path: Path) -> Card:
    (tmp_path / "card.yml").write_text(CARD_YML)
    return read_card(tmp_path / "card.yml")


def test_the_card_is_golden_text(tmp_path: Path) -> None:
    assert render_card(_lineage(tmp_path), _card(tmp_path), strict=True) == (GOLDEN / "card.md").read_text()


def test_the_card_of_the_example_is_golden_text() -> None:
    """From the lineage of one run of the example on a laptop, and the example's card.yml."""
    lineage = msgspec.json.decode((GOLDEN / "census-income.json").read_bytes(), type=Lineage)
    text = render_card(lineage, read_card(EXAMPLE / "card.yml"), strict=True)
    assert text == (GOLDEN / "census-income.md").read_text()
    assert "NOT PROVIDED" not in text


def test_the_composite_is_golden_text(tmp_path: Path) -> None:
    """lineage.json of this release; the flat keys are what other tools read."""
    text = composite_text(_lineage(tmp_path))
    assert text == (GOLDEN / "lineage.json").read_text()
    assert msgspec.json.decode(text, type=Lineage) == _lineage(tmp_path / "again")


def test_an_empty_card_shows_what_is_missing_and_fails_in_strict_mode(tmp_path: Path) -> None:
    built = empty(tmp_path)
    built.train(code=None, data=(), metrics={})
    lineage = compose(built.folder.statements())
    text = render_card(lineage, Card())
    assert text == (GOLDEN / "card-empty.md").read_text()
    lacking = missing(lineage, Card())
    assert lacking[0] == "card.yml: summary"
    assert lacking[-1] == "lineage: metrics"
    with pytest.raises(InvalidInput) as caught:
        render_card(lineage, Card(), strict=True)
    for name in ("card.yml: intended_use", "lineage: code_commit", "lineage: data", "lineage: verdict"):
        assert name in str(caught.value)


@pytest.mark.parametrize("field", [f for f in Card.__struct_fields__ if f not in ("language", "tags")])
def test_each_missing_field_fails_in_strict_mode(tmp_path: Path, field: str) -> None:
    lineage = _lineage(tmp_path)
    card = msgspec.structs.replace(_card(tmp_path), **{field: " \n"})
    with pytest.raises(InvalidInput, match=f"lacks card.yml: {field};"):
        render_card(lineage, card, strict=True)
    whole = render_card(lineage, _card(tmp_path))
    assert "NOT PROVIDED" not in whole
    assert render_card(lineage, card).count("NOT PROVIDED") == 1


def test_the_front_matter_is_hugging_faces(tmp_path: Path) -> None:
    text = render_card(_lineage(tmp_path), _card(tmp_path))
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["license"] == "apache-2.0"
    assert front["pipeline_tag"] == "tabular-classification"
    (entry,) = front["model-index"]
    (result,) = entry["results"]
    assert result["task"] == {"type": "tabular-classification"}
    assert set(result["dataset"]) == {"name", "type"}
    assert result["metrics"] == [{"type": "roc_auc", "value": 0.91}]


def test_the_card_holds_the_digest_of_the_lineage(tmp_path: Path) -> None:
    lineage = _lineage(tmp_path)
    text = render_card(lineage, _card(tmp_path))
    assert digest(msgspec.to_builtins(lineage)) in text
    assert all(item.digest in text for item in lineage.statements)


def test_warnings_stand_at_the_top(tmp_path: Path) -> None:
    lineage = msgspec.structs.replace(_lineage(tmp_path), ungated="incident | 7", code_dirty=True)
    top = render_card(lineage, _card(tmp_path)).split("## Details")[0]
    assert "Let through without a gate's decision:** incident \\| 7" in top
    assert "working tree differed" in top
    assert "unsigned" in top
    signed = compose(trained_and_gated(tmp_path / "signed", signed=True).folder.statements())
    assert "unsigned" not in render_card(signed, _card(tmp_path))


def test_nothing_in_lineage_breaks_out_of_its_cell(tmp_path: Path) -> None:
    evil = "a | b\n## Approved\n<script>alert(1)</script> `x` [l](http://e)\x1b[0m"
    lineage = msgspec.structs.replace(_lineage(tmp_path), parameters={evil: evil}, model_name=evil, ungated=evil)
    text = render_card(lineage, _card(tmp_path))
    assert "\n## Approved" not in text
    assert "<script>" not in text.split("---\n", 2)[2].split("\n", 3)[3]
    assert "\x1b" not in text
    (row,) = [line for line in text.splitlines() if line.startswith("| a ")]
    assert row.replace("\\|", "").count("|") == 3


@pytest.mark.parametrize("text", ["summry: x\n", "tags: x\n", "- a\n", "summary: [\n"])
def test_a_card_yml_that_is_wrong(tmp_path: Path, text: str) -> None:
    (tmp_path / "card.yml").write_text(text)
    with pytest.raises(InvalidInput, match=r"card\.yml"):
        read_card(tmp_path / "card.yml")
