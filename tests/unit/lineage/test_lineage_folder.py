"""Where lineage is kept and what the statements say: chained, complete, lossless, idempotent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lineage_built import CHAMPION, DATA, NOW, POLICY, RUN, empty, trained_and_gated

from gates.errors import InvalidInput, Unavailable
from gates.lineage.digest import folder_sums, sums_text
from gates.lineage.folder import COMPOSITE, STATEMENTS, LineageFolder, composite_text, pointers
from gates.lineage.record import Deploying, Gating, Lineage, utc
from gates.lineage.sign import seal
from gates.lineage.statement import compose, deploy_statement, gate_statement, read_statement


def test_each_statement_names_the_one_before(tmp_path: Path) -> None:
    built = trained_and_gated(tmp_path)
    gate = built.folder.statements()[-1].digest
    built.deploy(after=gate)
    train, gated, deployed = built.folder.statements()
    assert (train.kind, gated.kind, deployed.kind) == ("train", "gate", "deploy")
    assert train.previous == ()
    assert gated.previous == (train.digest,)
    assert deployed.previous == (gated.digest,)
    assert {s.model_digest for s in (train, gated, deployed)} == {built.digest}


def test_the_train_statement_holds_what_the_specification_lists(tmp_path: Path) -> None:
    built = trained_and_gated(tmp_path)
    train = built.folder.statements()[0]
    build = train.predicate["buildDefinition"]
    dependencies = {item["name"]: item for item in build["resolvedDependencies"]}
    assert set(train.subjects) == {"SHA256SUMS", "MLmodel", "model.skops", "data/ünï.txt"}
    assert dependencies["code"]["digest"] == {"gitCommit": "1" * 40, "gitTree": "2" * 40}
    assert dependencies["code"]["annotations"] == {"dirty": False}
    assert dependencies["data/train"]["digest"] == {"sha256": DATA.removeprefix("sha256:")}
    assert dependencies["champion"]["digest"] == {"sha256": CHAMPION.removeprefix("sha256:")}
    assert dependencies["environment"]["annotations"]["installed"] == ["numpy==2.1.0", "scikit-learn==1.5.2"]
    assert "environment/lock" in dependencies
    assert build["externalParameters"]["parameters"]["big"] == str(2**60 + 1)
    assert build["internalParameters"]["actor"] == "user:ann"
    assert train.predicate["runDetails"]["builder"]["id"] == RUN.builder


def test_the_audit_head_is_anchored_in_every_statement(tmp_path: Path) -> None:
    built = trained_and_gated(tmp_path)
    built.deploy(after=built.folder.statements()[-1].digest)
    heads = [s.audit_head for s in built.folder.statements()]
    assert len(set(heads)) == 3
    assert len(built.log.events([head for head in heads if head])) == 3


def test_adding_twice_has_no_effect_and_the_files_are_whole(tmp_path: Path) -> None:
    built = trained_and_gated(tmp_path)
    before = {path.name: path.read_bytes() for path in built.folder.path.iterdir()}
    assert set(before) == {"SHA256SUMS", COMPOSITE, STATEMENTS}
    for statement in built.folder.statements():
        built.folder.add(statement.envelope)
    assert {path.name: path.read_bytes() for path in built.folder.path.iterdir()} == before
    assert built.folder.composite() == compose(built.folder.statements())
    assert composite_text(built.folder.composite()) == before[COMPOSITE].decode()
    sums = before["SHA256SUMS"].decode()
    assert sums == sums_text(folder_sums(built.model))


def test_a_gate_without_training_is_not_kept(tmp_path: Path) -> None:
    built = empty(tmp_path)
    with pytest.raises(InvalidInput, match="0 train statements"):
        built.gate(after="sha256:" + "0" * 64)
    assert not built.folder.path.exists()


def test_the_line_of_a_bad_statement_is_named(tmp_path: Path) -> None:
    built = trained_and_gated(tmp_path)
    path = built.folder.path / STATEMENTS
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0] + b"{}\n")
    with pytest.raises(InvalidInput, match=r"lineage\.intoto\.jsonl:2: not a DSSE envelope"):
        built.folder.statements()
    with pytest.raises(Unavailable, match="not there"):
        LineageFolder(tmp_path / "none").statements()


@pytest.mark.parametrize(
    "statement",
    [
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [],
            "predicateType": "https://example.com",
            "predicate": {},
        },
        {"_type": "x", "subject": [], "predicateType": "https://slsa.dev/provenance/v1", "predicate": {}},
        {"subject": 1},
        [],
    ],
)
def test_what_is_no_statement_of_ours(statement: Any) -> None:
    with pytest.raises(InvalidInput, match="not a statement of lineage"):
        read_statement(seal(statement, None))


def test_pointers_hold_digests_only_of_what_is(tmp_path: Path) -> None:
    built = empty(tmp_path)
    built.train()
    tags = pointers(built.folder.statements())
    assert set(tags) == {"gates.model_digest", "gates.data_hash", "gates.code_commit", "gates.train_statement"}
    built.gate(after=built.folder.statements()[0].digest)
    assert set(built.tags) - set(tags) == {
        "gates.policy_digest", "gates.report_digest", "gates.decision", "gates.gate_statement", "gates.audit_head"
    }  # fmt: skip
    assert all(len(value) < 256 for value in built.tags.values()), "Azure's limit of a tag's value"


def test_an_override_is_on_record_everywhere(tmp_path: Path) -> None:
    built = empty(tmp_path)
    train = built.train()
    result = built.result(verdict="ERROR", decision="refuse", checks=[])
    gating = Gating(result=result, report_digest="sha256:" + "f" * 64, run=RUN, ungated="incident 7")
    made = gate_statement(gating, model_digest=built.digest, time=utc(NOW), inputs=(train,))
    assert made["predicate"]["verificationResult"] == "FAILED"
    gate = built.folder.add(seal(made, None))
    deploying = Deploying("ep", "blue", "id", "succeeded", RUN, ungated="incident 7")
    built.folder.add(
        seal(deploy_statement(deploying, model_digest=built.digest, time=utc(NOW), inputs=(gate.digest,)), None)
    )
    composite = built.folder.composite()
    assert composite.ungated == "incident 7"
    assert composite.deployments[0]["ungated"] == "incident 7"
    assert pointers(built.folder.statements())["gates.ungated"] == "incident 7"


def test_the_flat_keys_that_other_tools_read(tmp_path: Path) -> None:
    built = trained_and_gated(tmp_path)
    raw = json.loads((built.folder.path / COMPOSITE).read_text())
    assert raw["schema"] == "lineage.v1"
    assert (raw["data_hash"], raw["code_commit"], raw["policy_digest"]) == (DATA, "1" * 40, POLICY)
    assert raw["environment_lock"] == "sha256:" + "e" * 64


def test_lineage_of_this_release_is_still_read() -> None:
    """The golden composite is parsed strictly: a renamed or removed key breaks the readers of older releases."""
    folder = LineageFolder(Path(__file__).parents[2] / "golden" / "lineage")
    assert isinstance(folder.composite(), Lineage)
