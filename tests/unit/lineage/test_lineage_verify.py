"""Every refusal at every door: one thing is broken in a lineage that passes, and the message names it."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from lineage_built import CHAMPION, NOW, POLICY, Built, empty, key_pair, make_model, trained_and_gated

from gates.canonical import canonical, digest
from gates.errors import Refused
from gates.lineage.digest import model_digest
from gates.lineage.folder import COMPOSITE, STATEMENTS
from gates.lineage.record import Approval, utc
from gates.lineage.sign import Envelope, parse_envelope, seal
from gates.lineage.verify import (
    ApprovalRule,
    Verification,
    verify_for_deploy,
    verify_for_register,
    verify_for_rollback,
    verify_recorded,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gates.lineage.sign import Signer

OTHER = "sha256:" + "9" * 64


def _register(built: Built, **changes: Any) -> Verification:
    values: dict[str, Any] = {
        "report": built.report,
        "policy_digest": POLICY,
        "live_champion": CHAMPION,
        "now": NOW,
        "trusted": built.trusted,
        "audit": built.log,
    }
    return verify_for_register(built.model, built.folder, **(values | changes))


def _deploy(built: Built, **changes: Any) -> Verification:
    values: dict[str, Any] = {
        "policy_digest": POLICY,
        "live_champion": CHAMPION,
        "now": NOW,
        "trusted": built.trusted,
        "audit": built.log,
        "tags": built.tags,
    }
    return verify_for_deploy(built.model, built.folder, **(values | changes))


def _rollback(built: Built, **changes: Any) -> Verification:
    values: dict[str, Any] = {"trusted": built.trusted, "audit": built.log, "tags": built.tags}
    return verify_for_rollback(built.model, built.folder, **(values | changes))


def _recorded(built: Built, **changes: Any) -> Verification:
    values: dict[str, Any] = {"trusted": built.trusted, "audit": built.log, "tags": built.tags}
    return verify_recorded(built.model, built.folder, **(values | changes))


DOORS: dict[str, Callable[..., Verification]] = {
    "register": _register, "deploy": _deploy, "rollback": _rollback, "verify": _recorded,
}  # fmt: skip
door = pytest.mark.parametrize("door", list(DOORS))
judging_door = pytest.mark.parametrize("door", ["register", "deploy", "rollback"])
gated_door = pytest.mark.parametrize("door", ["register", "deploy"])


def _ready(tmp_path: Path, *, signed: bool = False) -> Built:
    """Passes all three doors."""
    built = trained_and_gated(tmp_path, signed=signed)
    built.deploy(after=built.folder.statements()[-1].digest)
    return built


def _says(verification: Verification, *texts: str) -> None:
    """Not ok, and one problem holds all texts."""
    lines = [str(problem) for problem in verification.problems]
    assert any(all(text in line for text in texts) for line in lines), lines
    with pytest.raises(Refused, match=f"refused to {verification.action}"):
        verification.require()


def _lines(built: Built) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (built.folder.path / STATEMENTS).read_bytes().splitlines()]


def _write(built: Built, envelopes: list[Envelope]) -> None:
    text = b"".join(envelope.to_json() + b"\n" for envelope in envelopes)
    (built.folder.path / STATEMENTS).write_bytes(text)


def _change_statement(
    built: Built, index: int, change: Callable[[dict[str, Any]], object], signer: Signer | None
) -> None:
    """Rewrite one statement, keeping the others; resealed by `signer`."""
    envelopes = [item.envelope for item in built.folder.statements()]
    body = json.loads(envelopes[index].body)
    change(body)
    envelopes[index] = seal(body, signer)
    _write(built, envelopes)


@door
@pytest.mark.parametrize("signed", [False, True])
def test_what_was_gated_passes(tmp_path: Path, door: str, signed: bool) -> None:
    built = _ready(tmp_path, signed=signed)
    verification = DOORS[door](built)
    assert verification.problems == ()
    assert verification.ok
    assert verification.model_digest == built.digest
    assert verification.signed == (built.trusted[0].keyid if signed else "unsigned")
    verification.require()


@door
def test_a_byte_changed(tmp_path: Path, door: str) -> None:
    built = _ready(tmp_path)
    (built.model / "model.skops").write_bytes(b"\x01weights one")
    _says(DOORS[door](built), "model/model.skops: was changed")


@door
def test_a_file_added(tmp_path: Path, door: str) -> None:
    built = _ready(tmp_path)
    (built.model / "extra.py").write_text("import os")
    _says(DOORS[door](built), "model/extra.py: is not recorded")


@door
def test_a_file_removed(tmp_path: Path, door: str) -> None:
    built = _ready(tmp_path)
    (built.model / "MLmodel").unlink()
    _says(DOORS[door](built), "model/MLmodel: is missing")


@door
def test_a_file_renamed(tmp_path: Path, door: str) -> None:
    built = _ready(tmp_path)
    (built.model / "MLmodel").rename(built.model / "MLmodel2")
    _says(DOORS[door](built), "model/MLmodel: was renamed to MLmodel2")


@door
def test_a_symlink_instead_of_the_file(tmp_path: Path, door: str) -> None:
    built = _ready(tmp_path)
    (built.model / "MLmodel").rename(tmp_path / "elsewhere")
    (built.model / "MLmodel").symlink_to(tmp_path / "elsewhere")
    _says(DOORS[door](built), "model/MLmodel: is a symbolic link")


@door
def test_a_git_folder_slipped_in(tmp_path: Path, door: str) -> None:
    built = _ready(tmp_path)
    (built.model / ".git" / "hooks").mkdir(parents=True)
    (built.model / ".git" / "hooks" / "post-checkout").write_text("rm -rf /")
    _says(DOORS[door](built), "model/.git")


@door
def test_no_model_folder(tmp_path: Path, door: str) -> None:
    built = _ready(tmp_path)
    built.model.rename(tmp_path / "gone")
    _says(DOORS[door](built), "model: is not a folder")


@door
def test_another_models_lineage(tmp_path: Path, door: str) -> None:
    built = _ready(tmp_path)
    other = _ready_other(tmp_path)
    _says(DOORS[door](replace(built, folder=other.folder, log=other.log, tags=other.tags)), "model.skops: was changed")


def _ready_other(tmp_path: Path) -> Built:
    other = empty(tmp_path / "other")
    (other.model / "model.skops").write_bytes(b"another")
    other.gate(after=other.train())
    other.deploy(after=other.folder.statements()[-1].digest)
    return other


def test_another_models_report(tmp_path: Path) -> None:
    built = _ready(tmp_path)
    other = _ready_other(tmp_path)
    _says(_register(built, report=other.report), "report.json: is about another model", other.digest, built.digest)


@pytest.mark.parametrize("report", [None, {}, {"schema": "report.v1", "result": {}}, {"schema": "x", "result": []}])
def test_no_report(tmp_path: Path, report: Any) -> None:
    _says(_register(_ready(tmp_path), report=report), "report.json")


def test_a_report_that_was_edited(tmp_path: Path) -> None:
    built = trained_and_gated(tmp_path)
    built.report["result"]["checks"][0]["observed"] = 0.99
    _says(_register(built), "report.json: has digest", "gate statement")


def test_a_report_whose_verdict_was_turned(tmp_path: Path) -> None:
    """Even when a statement was made of it: the verdict must follow from the checks."""
    built = empty(tmp_path)
    bad = {**built.result()["checks"][0], "status": "FAIL"}
    built.gate(after=built.train(), checks=[bad])
    _says(_register(built), "says PASS, its checks say FAIL")


def test_a_report_over_other_data(tmp_path: Path) -> None:
    _says(_register(_ready(tmp_path), data_digest=OTHER), "report.json: is about other data", OTHER)


@gated_door
def test_another_policy(tmp_path: Path, door: str) -> None:
    _says(DOORS[door](_ready(tmp_path), policy_digest=OTHER), "gate statement", f"policy {POLICY}, not {OTHER}")


@gated_door
@pytest.mark.parametrize("live", [OTHER, None])
def test_the_champion_changed_since_the_gate(tmp_path: Path, door: str, live: str | None) -> None:
    _says(DOORS[door](_ready(tmp_path), live_champion=live), "champion changed", CHAMPION, live or "none")


@gated_door
def test_a_champion_appeared_since_the_gate(tmp_path: Path, door: str) -> None:
    built = empty(tmp_path)
    built.gate(after=built.train(champion=None), champion=None)
    assert DOORS[door](built, live_champion=None).ok
    _says(DOORS[door](built, live_champion=OTHER), "champion changed", "compared with none", OTHER)


@gated_door
def test_the_decision_expired(tmp_path: Path, door: str) -> None:
    built = empty(tmp_path)
    built.gate(after=built.train(), expires=utc(NOW))
    assert DOORS[door](built, now=NOW - 1).ok
    _says(DOORS[door](built, now=NOW), "gate statement", "expired")


@gated_door
def test_a_decision_from_the_future(tmp_path: Path, door: str) -> None:
    _says(DOORS[door](_ready(tmp_path), now=NOW - 86400), "future")


@judging_door
@pytest.mark.parametrize(
    ("verdict", "status", "decision"),
    [("FAIL", "FAIL", "refuse"), ("ERROR", "ERROR", "refuse"), ("INCONCLUSIVE", "INCONCLUSIVE", "refuse"),
     ("FAIL", "FAIL", "allow"), ("ERROR", "ERROR", "allow")],
)  # fmt: skip
def test_a_refused_model(tmp_path: Path, door: str, verdict: str, status: str, decision: str) -> None:
    built = empty(tmp_path)
    check = {**built.result()["checks"][0], "status": status}
    gate = built.gate(after=built.train(), verdict=verdict, decision=decision, checks=[check])
    built.deploy(after=gate)
    _says(DOORS[door](built), "gate statement", verdict)


@gated_door
def test_undecided_evidence_that_the_policy_lets_through(tmp_path: Path, door: str) -> None:
    built = empty(tmp_path)
    check = {**built.result()["checks"][0], "status": "INCONCLUSIVE"}
    built.gate(after=built.train(), verdict="INCONCLUSIVE", decision="allow", checks=[check])
    assert DOORS[door](built).ok


@judging_door
def test_no_gate_statement(tmp_path: Path, door: str) -> None:
    built = empty(tmp_path)
    built.deploy(after=built.train())
    _says(DOORS[door](built), "holds no gate statement")


@gated_door
def test_an_override_skips_the_gate_and_nothing_else(tmp_path: Path, door: str) -> None:
    built = empty(tmp_path)
    built.train()
    allowed = DOORS[door](built, ungated="incident 7", tags=None) if door == "deploy" else _register(built, ungated="i")
    assert allowed.ok
    assert allowed.ungated
    (built.model / "MLmodel").write_text("changed")
    changed = DOORS[door](built, ungated="incident 7")
    _says(changed, "MLmodel: was changed")


@gated_door
@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"at": utc(NOW - 73 * 3600)}, "expired"),
        ({"at": utc(NOW + 3600)}, "future"),
        ({"model_digest": OTHER}, f"another model, {OTHER}"),
        ({"policy_digest": OTHER}, f"another policy, {OTHER}"),
        ({"by": "user:ann"}, "author"),
    ],
)
def test_an_approval_that_does_not_count(tmp_path: Path, door: str, change: dict[str, str], why: str) -> None:
    built = _ready(tmp_path)
    rule = ApprovalRule(minimum=1, max_age=72 * 3600, authors=frozenset({"user:ann"}))
    good = {"by": "user:bob", "at": utc(NOW - 3600), "model_digest": built.digest, "policy_digest": POLICY}
    assert DOORS[door](built, rule=rule, approvals=[Approval(**good)]).ok
    _says(DOORS[door](built, rule=rule, approvals=[Approval(**(good | change))]), "0 of 1 approvals", why)
    _says(DOORS[door](built, rule=rule), "0 of 1 approvals")


@gated_door
def test_one_person_approves_once(tmp_path: Path, door: str) -> None:
    built = _ready(tmp_path)
    yes = [
        Approval(by=by, at=utc(NOW - age), model_digest=built.digest, policy_digest=POLICY)
        for by, age in (("user:bob", 10), ("user:bob", 20))
    ]
    _says(DOORS[door](built, rule=ApprovalRule(minimum=2), approvals=yes), "1 of 2 approvals")


@gated_door
def test_approvals_in_the_gate_statement_count(tmp_path: Path, door: str) -> None:
    built = empty(tmp_path)
    yes = Approval(by="user:bob", at=utc(NOW - 2500), model_digest=built.digest, policy_digest=POLICY)
    built.gate(after=built.train(), approvals=(yes,))
    assert DOORS[door](built, rule=ApprovalRule(minimum=1)).ok


@door
@pytest.mark.parametrize("signed", [False, True])
def test_an_altered_train_statement(tmp_path: Path, door: str, signed: bool) -> None:
    """The commit is changed; without a signature the next statement and the log still say so."""
    built = _ready(tmp_path, signed=signed)

    def change(body: dict[str, Any]) -> None:
        body["predicate"]["buildDefinition"]["resolvedDependencies"][0]["digest"]["gitCommit"] = "f" * 40

    _change_statement(built, 0, change, None)
    found = DOORS[door](built)
    _says(found, "gate statement", "follows a statement", "altered")
    _says(found, "train statement", "not in the audit log")
    if signed:
        _says(found, "train statement", "not signed by a trusted key")


@door
def test_an_altered_gate_statement(tmp_path: Path, door: str) -> None:
    built = _ready(tmp_path)
    _change_statement(
        built, 1, lambda body: body["predicate"].update(decision="allow", verdict="PASS", stage="x"), None
    )
    _says(DOORS[door](built), "gate statement", "not in the audit log")


def test_a_gate_statement_that_says_more_than_the_report(tmp_path: Path) -> None:
    """Without log, tags or signature: the report still binds it."""
    built = trained_and_gated(tmp_path)
    _change_statement(built, 1, lambda body: body["predicate"]["data"].update(digest=OTHER), None)
    _says(_register(built, audit=None), "gate statement", "does not say what the report says")


@door
def test_a_payload_changed_under_its_signature(tmp_path: Path, door: str) -> None:
    built = _ready(tmp_path, signed=True)
    envelopes = [item.envelope for item in built.folder.statements()]
    body = json.loads(envelopes[1].body)
    body["predicate"]["verdict"] = "PASS "
    forged = seal(body, None)
    _write(built, [envelopes[0], Envelope(forged.payload_type, forged.payload, envelopes[1].signatures), envelopes[2]])
    _says(DOORS[door](built, audit=None), "gate statement", "not signed by a trusted key")


@door
def test_resigned_with_another_key(tmp_path: Path, door: str) -> None:
    """The same bytes, another key, claiming to be ours."""
    built = _ready(tmp_path, signed=True)
    other, _ = key_pair()
    claimed = replace(other, keyid=built.trusted[0].keyid)
    _change_statement(built, 1, lambda body: None, claimed)
    _says(DOORS[door](built), "gate statement", "not signed by a trusted key")


@door
def test_unsigned_where_a_key_is_required(tmp_path: Path, door: str) -> None:
    _, key = key_pair()
    _says(DOORS[door](_ready(tmp_path), trusted=(key,)), "is unsigned, not signed by a trusted key")


@door
def test_another_of_the_trusted_keys_is_enough(tmp_path: Path, door: str) -> None:
    built = _ready(tmp_path, signed=True)
    _, second = key_pair()
    assert DOORS[door](built, trusted=(second, *built.trusted)).signed == built.trusted[0].keyid


@door
def test_a_statement_removed(tmp_path: Path, door: str) -> None:
    built = _ready(tmp_path)
    envelopes = [item.envelope for item in built.folder.statements()]
    _write(built, [envelopes[0], envelopes[2]])
    _says(DOORS[door](built), "deploy statement", "follows a statement")


@door
def test_a_second_training_or_none(tmp_path: Path, door: str) -> None:
    built = _ready(tmp_path)
    envelopes = [item.envelope for item in built.folder.statements()]
    _write(built, envelopes[1:])
    _says(DOORS[door](built), "does not begin with its one train statement")
    _write(built, [envelopes[0], *envelopes])
    _says(DOORS[door](built), "does not begin with its one train statement")


@door
@pytest.mark.parametrize("text", [b"", b"{}\n", b"not json\n", b'{"payloadType":"x","payload":"%%%"}\n'])
def test_lineage_that_is_none(tmp_path: Path, door: str, text: bytes) -> None:
    built = _ready(tmp_path)
    (built.folder.path / STATEMENTS).write_bytes(text)
    _says(DOORS[door](built), STATEMENTS)
    (built.folder.path / STATEMENTS).unlink()
    _says(DOORS[door](built), STATEMENTS, "not there")


@door
def test_an_edited_composite(tmp_path: Path, door: str) -> None:
    built = _ready(tmp_path)
    path = built.folder.path / COMPOSITE
    path.write_text(path.read_text().replace("1" * 40, "3" * 40))
    _says(DOORS[door](built), "lineage.json: does not say what the statements say")
    path.write_text("{")
    _says(DOORS[door](built), "lineage.json: not a lineage record")
    path.unlink()
    _says(DOORS[door](built), "lineage.json: cannot be read")


@door
def test_an_edited_sums_file(tmp_path: Path, door: str) -> None:
    built = _ready(tmp_path)
    path = built.folder.path / "SHA256SUMS"
    path.write_text(path.read_text().replace("MLmodel", "MLmodel2"))
    _says(DOORS[door](built), "SHA256SUMS: does not list")


@pytest.mark.parametrize("door", ["deploy", "rollback"])
@pytest.mark.parametrize("name", ["gates.model_digest", "gates.gate_statement", "gates.decision", "gates.data_hash"])
def test_a_tag_edited_by_hand(tmp_path: Path, door: str, name: str) -> None:
    built = _ready(tmp_path)
    _says(DOORS[door](built, tags=built.tags | {name: OTHER}), f"tag {name}: is '{OTHER}'")
    _says(DOORS[door](built, tags={k: v for k, v in built.tags.items() if k != name}), f"tag {name}: is missing")


@pytest.mark.parametrize("door", ["deploy", "rollback"])
def test_an_override_slipped_into_the_tags(tmp_path: Path, door: str) -> None:
    built = _ready(tmp_path)
    _says(DOORS[door](built, tags=built.tags | {"gates.ungated": "trust me"}), "tag gates.ungated")


@door
@pytest.mark.parametrize(
    ("tamper", "why"),
    [
        (lambda lines: [lines[0], *lines[2:]], "audit.jsonl"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "audit.jsonl"),
        (lambda lines: [], "the tail is cut"),
        (lambda lines: lines[:1], "the tail is cut"),
    ],
)
def test_an_audit_log_with_a_line_removed_reordered_or_cut(tmp_path: Path, door: str, tamper: Any, why: str) -> None:
    built = _ready(tmp_path)
    path = built.log.chain.path
    path.write_bytes(b"".join(tamper(path.read_bytes().splitlines(keepends=True))))
    _says(DOORS[door](built), why)


def test_an_audit_log_cut_is_named_by_the_anchor(tmp_path: Path) -> None:
    built = _ready(tmp_path)
    path = built.log.chain.path
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:1]))
    _says(_deploy(built), "tail is cut", built.tags["gates.audit_head"])


def test_a_rollback_to_what_never_served(tmp_path: Path) -> None:
    _says(_rollback(trained_and_gated(tmp_path)), "never served")


def test_a_rollback_to_what_failed(tmp_path: Path) -> None:
    built = trained_and_gated(tmp_path)
    built.deploy(after=built.folder.statements()[-1].digest, outcome="failed")
    _says(_rollback(built), "never served")


def test_a_rollback_after_the_world_moved_on(tmp_path: Path) -> None:
    """Another policy and champion, an expired decision: it served under those of its time."""
    built = empty(tmp_path)
    gate = built.gate(after=built.train(), expires=utc(NOW - 1500))
    built.deploy(after=gate)
    assert _rollback(built).ok
    assert not _deploy(built).ok


def test_all_problems_are_told(tmp_path: Path) -> None:
    built = _ready(tmp_path)
    (built.model / "MLmodel").unlink()
    (built.model / "extra").write_text("x")
    found = _deploy(built, policy_digest=OTHER, live_champion=OTHER)
    with pytest.raises(Refused) as caught:
        found.require()
    for text in ("MLmodel", "extra", OTHER, "champion"):
        assert text in str(caught.value)
    assert "\n" not in str(caught.value)


@door
def test_statements_with_parts_missing_never_pass_and_never_crash(tmp_path: Path, door: str) -> None:
    """Each part of each predicate is emptied in turn."""
    built = _ready(tmp_path)
    originals = (built.folder.path / STATEMENTS).read_bytes()
    for index, line in enumerate(originals.splitlines()):
        predicate = json.loads(parse_envelope(line).body)["predicate"]
        for key in predicate:
            for value in [nothing for nothing in EMPTY if nothing != predicate[key]]:
                _change_statement(built, index, partial(_set, key, value), None)
                assert not DOORS[door](built).ok, (index, key, value)
                DOORS[door](built, audit=None)
                (built.folder.path / STATEMENTS).write_bytes(originals)


EMPTY: tuple[Any, ...] = ("", None, {}, [])


def _set(key: str, value: Any, body: dict[str, Any]) -> None:
    body["predicate"][key] = value


@door
def test_a_train_statement_whose_files_do_not_make_its_digest(tmp_path: Path, door: str) -> None:
    """Nothing else is wrong: the log knows it, a trusted key signed it, later statements follow it."""
    built = empty(tmp_path, signed=True)
    built.train()

    def forge(body: dict[str, Any]) -> None:
        body["subject"][0]["digest"]["sha256"] = OTHER.removeprefix("sha256:")

    _change_statement(built, 0, forge, built.signer)
    _says(DOORS[door](built), "train statement", "its files do not make its model digest", OTHER)


@judging_door
def test_a_gate_about_another_model(tmp_path: Path, door: str) -> None:
    built = empty(tmp_path)
    built.deploy(after=built.gate(after=built.train(), model={"digest": OTHER}))
    _says(DOORS[door](built), "gate statement", f"is about another model, {OTHER}, not {built.digest}")


@door
def test_a_deploy_statement_about_another_model(tmp_path: Path, door: str) -> None:
    built = _ready(tmp_path, signed=True)

    def forge(body: dict[str, Any]) -> None:
        body["subject"][0]["digest"]["sha256"] = OTHER.removeprefix("sha256:")

    _change_statement(built, 2, forge, built.signer)
    _says(DOORS[door](built), "deploy statement", f"is about another model, {OTHER}")


@door
def test_a_statement_that_follows_nothing(tmp_path: Path, door: str) -> None:
    built = _ready(tmp_path, signed=True)
    _change_statement(built, 1, lambda body: body["predicate"].update(inputAttestations=[]), built.signer)
    _says(DOORS[door](built), "gate statement", "names no statement before it")


@judging_door
def test_a_gate_statement_without_its_parts(tmp_path: Path, door: str) -> None:
    built = _ready(tmp_path)
    _change_statement(built, 1, lambda body: body["predicate"].pop("timeVerified"), None)
    _says(DOORS[door](built), "gate statement", "lacks what every gate statement has")


@gated_door
def test_approvals_that_are_none(tmp_path: Path, door: str) -> None:
    built = _ready(tmp_path)
    _change_statement(built, 1, lambda body: body["predicate"].update(approvals=[{"by": "user:bob"}]), None)
    _says(DOORS[door](built, rule=ApprovalRule(minimum=1)), "approvals are not approvals")


@door
def test_no_sums_file(tmp_path: Path, door: str) -> None:
    built = _ready(tmp_path)
    (built.folder.path / "SHA256SUMS").unlink()
    _says(DOORS[door](built), "SHA256SUMS: cannot be read")


@door
def test_a_train_statement_without_its_parts(tmp_path: Path, door: str) -> None:
    built = _ready(tmp_path)
    _change_statement(built, 0, lambda body: body["predicate"]["buildDefinition"].pop("externalParameters"), None)
    _says(DOORS[door](built), STATEMENTS, "lacks what every one has")


def test_same_bytes_same_digest_other_folder(tmp_path: Path) -> None:
    assert model_digest(make_model(tmp_path / "a")) == model_digest(make_model(tmp_path / "b"))
    assert model_digest(make_model(tmp_path / "c", "two")) != model_digest(tmp_path / "a")
    assert digest(json.loads(canonical({"a": 1.5}))) == digest({"a": 1.5})
