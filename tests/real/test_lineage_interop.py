"""Other people's tools agree: sha256sum, in-toto, SLSA's published forms, securesystemslib, OpenSSL, DVC, OpenSSF."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from gates import policy
from gates.errors import InvalidInput, Refused
from gates.lineage.audit import AuditLog
from gates.lineage.digest import folder_sums, model_digest, sums_text
from gates.lineage.dvc import md5_of, recorded
from gates.lineage.folder import LineageFolder
from gates.lineage.openssf import require_openssf
from gates.lineage.record import Approval, Code, Data, Deploying, Environment, Gating, Run, Training, utc
from gates.lineage.sign import Signer, ed25519_signer, pae, public_key, seal
from gates.lineage.statement import deploy_statement, gate_statement, train_statement
from gates.steps import records

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_800_000_000.0
RUN = Run(
    builder="https://example.com/builder", id="1", started=utc(NOW), finished=utc(NOW + 60), gates_version="0.1.0"
)
BIG = 2**53 - 1


def _model(path: Path) -> Path:
    (path / "code").mkdir(parents=True)
    for name, body in (("MLmodel", b"flavors"), ("model.pkl", b"\x00" * 70_000), ("code/a b.py", b"1"), ("ü", b""),
                       ("A", b"x"), ("a.b", b"y"), ("a-b", b"y"), ("-n", b"z"), ("#", b"w")):  # fmt: skip
        (path / name).write_bytes(body)
    return path


def _statements(model: Path) -> list[dict[str, Any]]:
    digest = model_digest(model)
    result = {
        "step": "validate-gate", "stage": "validate", "verdict": "PASS", "decision": "allow",
        "policy": {"digest": "sha256:" + "b" * 64, "name": "p", "revision": 7, "source": "file"},
        "model": {"digest": digest}, "champion": None, "data": {"digest": "sha256:" + "d" * 64, "rows": BIG},
        "checks": [{"id": "auc", "type": "threshold", "severity": "block", "status": "PASS", "observed": 0.91,
                    "interval": None, "required": {"min": 0.85}, "n": 1, "n_needed": None, "reason": "", "line": 1}],
        "evidence": [],
    }  # fmt: skip
    training = Training(
        model_name="m", files=folder_sums(model), environment=Environment(python="3.11", lock="sha256:" + "e" * 64),
        run=RUN, job="job.yml", job_digest="sha256:" + "a" * 64,
        code=Code("1" * 40, "2" * 40, True, "https://x/y", "main"),
        data=(Data(name="train", sha256="sha256:" + "d" * 64, rows=BIG, dvc="md5:" + "0" * 32),),
        parameters={"n": 1, "big": BIG, "c": 0.5}, metrics={"auc": 0.9}, champion="sha256:" + "c" * 64,
    )  # fmt: skip
    train = train_statement(training, audit_head="sha256:" + "0" * 64)
    approval = Approval(by="user:bob", at=utc(NOW), model_digest=digest, policy_digest="sha256:" + "b" * 64)
    gating = Gating(
        result=result, report_digest="sha256:" + "f" * 64, run=RUN, expires=utc(NOW + 9), approvals=(approval,)
    )
    gate = gate_statement(gating, model_digest=digest, time=utc(NOW), inputs=(seal(train, None).digest,))
    deploying = Deploying("ep", "blue", "id", "succeeded", RUN, ((utc(NOW), {"blue": 100}),), "sha256:" + "c" * 64)
    deploy = deploy_statement(deploying, model_digest=digest, time=utc(NOW), inputs=(seal(gate, None).digest,))
    return [train, gate, deploy]


def _openssl(tmp_path: Path) -> tuple[Path, Path]:
    private, public = tmp_path / "key.pem", tmp_path / "key.pub"
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(private)], check=True, capture_output=True
    )
    subprocess.run(["openssl", "pkey", "-in", str(private), "-pubout", "-out", str(public)], check=True)
    return private, public


def test_sha256sum_accepts_the_sums_file(tmp_path: Path) -> None:
    model = _model(tmp_path / "model")
    (tmp_path / "SHA256SUMS").write_text(sums_text(folder_sums(model)))
    command = ["sha256sum", "--check", "--strict", "--quiet", str(tmp_path / "SHA256SUMS")]
    assert subprocess.run(command, cwd=model, check=False).returncode == 0
    (model / "A").write_bytes(b"changed")
    assert subprocess.run(command, cwd=model, check=False, capture_output=True).returncode == 1


def test_the_digest_is_what_the_shell_says(tmp_path: Path) -> None:
    model = _model(tmp_path / "model")
    (model / "-n").unlink()  # xargs would hand it to sha256sum as an option
    (model / "code" / "a b.py").rename(model / "code" / "ab.py")
    line = "find . -type f | cut -c3- | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -f1 -d' '"
    said = subprocess.run(["sh", "-c", line], cwd=model, check=True, capture_output=True, text=True).stdout.strip()
    assert model_digest(model) == f"sha256:{said}"


def test_the_digest_is_in_totos_dirhash(tmp_path: Path) -> None:
    resolver = pytest.importorskip("in_toto.resolver")
    model = _model(tmp_path / "model")
    found = resolver.DirectoryResolver().hash_artifacts([f"dir:{model}"])
    assert list(found.values()) == [{"sha256": model_digest(model).removeprefix("sha256:")}]


def test_statements_are_in_toto_statements(tmp_path: Path) -> None:
    """in-toto's own message, strictly parsed (an unknown field is an error) and validated."""
    json_format = pytest.importorskip("google.protobuf.json_format")
    from in_toto_attestation.v1 import statement, statement_pb2  # type: ignore[import-untyped]  # ships no types

    for made in _statements(_model(tmp_path / "model")):
        parsed = json_format.Parse(json.dumps(made), statement_pb2.Statement())
        statement.Statement.copy_from_pb(parsed).validate()
        assert parsed.predicate_type == made["predicateType"]


def test_the_train_statement_is_slsa_provenance_v1(tmp_path: Path) -> None:
    """SLSA's message for the predicate, strictly parsed; what SLSA requires is there and well formed."""
    json_format = pytest.importorskip("google.protobuf.json_format")
    from in_toto_attestation.predicates.provenance.v1 import provenance_pb2  # type: ignore[import-untyped]  # no types
    from in_toto_attestation.v1 import resource_descriptor

    predicate = _statements(_model(tmp_path / "model"))[0]["predicate"]
    parsed = json_format.Parse(json.dumps(predicate), provenance_pb2.Provenance())
    assert parsed.build_definition.build_type.startswith("https://")
    assert len(parsed.build_definition.external_parameters) > 0
    assert parsed.run_details.builder.id == RUN.builder
    assert parsed.run_details.metadata.started_on.seconds == NOW
    for item in (*parsed.build_definition.resolved_dependencies, *parsed.run_details.byproducts):
        resource_descriptor.ResourceDescriptor.copy_from_pb(item).validate()


def test_the_gate_statement_has_the_shape_of_a_vsa(tmp_path: Path) -> None:
    """SLSA's verification summary v1 reads all that we share with it, and would refuse a field of another type."""
    json_format = pytest.importorskip("google.protobuf.json_format")
    from in_toto_attestation.predicates.vsa.v1 import vsa_pb2  # type: ignore[import-untyped]  # ships no types

    predicate = _statements(_model(tmp_path / "model"))[1]["predicate"]
    parsed = json_format.Parse(json.dumps(predicate), vsa_pb2.VerificationSummary(), ignore_unknown_fields=True)
    assert parsed.verification_result == "PASSED"
    assert parsed.policy.digest["sha256"] == "b" * 64
    assert len(parsed.input_attestations) == 1
    assert parsed.time_verified.seconds == NOW
    assert (parsed.verifier.id, parsed.resource_uri) == (predicate["verifier"]["id"], predicate["resourceUri"])


def test_integers_survive_where_in_totos_protobuf_rounds(tmp_path: Path) -> None:
    """Why plain dicts are sealed: the bytes say 9007199254740991 and 1, not 9007199254740991.0 and 1.0."""
    body = seal(_statements(_model(tmp_path / "model"))[0], None).body
    assert b'"big":9007199254740991' in body
    assert b'"n":1,' in body or b'"n":1}' in body


def test_securesystemslib_verifies_our_envelopes(tmp_path: Path) -> None:
    dsse = pytest.importorskip("securesystemslib.dsse")
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from securesystemslib.exceptions import VerificationError
    from securesystemslib.signer import SSlibKey

    private, public = _openssl(tmp_path)
    signer = ed25519_signer(private.read_bytes())
    key = SSlibKey.from_crypto(load_pem_public_key(public.read_bytes()), keyid=signer.keyid)
    for made in _statements(_model(tmp_path / "model")):
        envelope = seal(made, signer)
        theirs = dsse.Envelope.from_dict(json.loads(envelope.to_json()))
        assert theirs.pae() == pae(envelope.payload_type, envelope.body)
        assert list(theirs.verify([key], 1)) == [signer.keyid]
        theirs.payload = theirs.payload.replace(b"Statement", b"statement")
        with pytest.raises(VerificationError):
            theirs.verify([key], 1)


def test_openssl_verifies_our_signature_and_makes_our_keyid(tmp_path: Path) -> None:
    private, public = _openssl(tmp_path)
    signer = ed25519_signer(private.read_bytes())
    envelope = seal({"a": 1}, signer)
    (tmp_path / "message").write_bytes(pae(envelope.payload_type, envelope.body))
    (tmp_path / "sig").write_bytes(envelope.signatures[0].raw)
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(public), "-rawin",
               "-in", str(tmp_path / "message"), "-sigfile", str(tmp_path / "sig")]  # fmt: skip
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    (tmp_path / "message").write_bytes(b"other")
    assert subprocess.run(command, check=False, capture_output=True).returncode != 0
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-in", str(public), "-outform", "DER"], check=True, capture_output=True
    )
    assert signer.keyid == public_key(public.read_bytes()).keyid == "sha256:" + hashlib.sha256(der.stdout).hexdigest()


def test_the_folder_is_an_in_toto_bundle(tmp_path: Path) -> None:
    """JSON Lines of DSSE envelopes, each of the in-toto payload type."""
    folder = LineageFolder(tmp_path / "lineage")
    log = AuditLog(tmp_path / "audit.jsonl")
    assert log.events() == ()
    for made in _statements(_model(tmp_path / "model")):
        folder.add(seal(made, Signer("k", lambda message: hashlib.sha256(message).digest())))
    lines = (tmp_path / "lineage" / "lineage.intoto.jsonl").read_text().splitlines()
    assert [json.loads(line)["payloadType"] for line in lines] == ["application/vnd.in-toto+json"] * 3


def _dvc(cwd: Path, *arguments: str) -> str:
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1", "DVC_STUDIO_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=cwd, check=True, capture_output=True, text=True, env=environment
    )
    return done.stdout


def test_dvc_says_the_same_of_files_and_folders(tmp_path: Path) -> None:
    """A real repository: `dvc add` of a file and a folder, and a pipeline stage whose output stands in dvc.lock."""
    pytest.importorskip("dvc")
    if shutil.which("git") is None:
        pytest.skip("needs git")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    _dvc(tmp_path, "init", "-q")
    data = _model(tmp_path / "data" / "set")
    (data / "text.csv").write_bytes(b"a,b\r\n1,2\r\n")
    (tmp_path / "data" / "one.csv").write_bytes(b"a\r\n1\r\n")
    _dvc(tmp_path, "add", "-q", "data/set", "data/one.csv")
    _dvc(tmp_path, "stage", "add", "-q", "-n", "copy", "-d", "data/one.csv", "-o", "out.csv", "cp data/one.csv out.csv")
    _dvc(tmp_path, "repro", "-q")
    for path, kind in (("data/set", ".dvc"), ("data/one.csv", ".dvc"), ("out.csv", "dvc.lock")):
        found = recorded(tmp_path / path)
        assert found is not None, path
        assert found.where.endswith(kind)
        assert found.scheme == "md5"
        assert found.md5 == md5_of(tmp_path / path)
    (tmp_path / "data" / "set" / "new").write_text("x")
    changed = recorded(tmp_path / "data" / "set")
    assert changed is not None
    assert changed.md5 != md5_of(tmp_path / "data" / "set")
    assert recorded(tmp_path / "data" / "none.csv") is None
    (tmp_path / "data" / "one.csv.dvc").write_text("[")
    with pytest.raises(InvalidInput, match="not a file of DVC"):
        recorded(tmp_path / "data" / "one.csv")


def test_an_openssf_signature_can_be_required(tmp_path: Path) -> None:
    signing = pytest.importorskip("model_signing.signing")
    hashing = pytest.importorskip("model_signing.hashing")
    model, private, public = _model(tmp_path / "model"), tmp_path / "ec.pem", tmp_path / "ec.pub"
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(private)], check=True)
    subprocess.run(
        ["openssl", "ec", "-in", str(private), "-pubout", "-out", str(public)], check=True, capture_output=True
    )
    signature = tmp_path / "model.sig"
    signing.Config().use_elliptic_key_signer(private_key=private).sign(model, signature)
    require_openssf(model, signature, public)
    (model / "A").write_bytes(b"changed")
    with pytest.raises(Refused, match="does not hold"):
        require_openssf(model, signature, public)
    (model / "A").write_bytes(b"x")
    (model / "added").write_bytes(b"x")
    with pytest.raises(Refused):
        require_openssf(model, signature, public)
    partial = hashing.Config().set_ignored_paths(paths=[model / "added"], ignore_git_paths=True)
    signing.Config().use_elliptic_key_signer(private_key=private).set_hashing_config(partial).sign(model, signature)
    with pytest.raises(Refused, match="added is not covered"):
        require_openssf(model, signature, public)
    signature.write_text("{}")
    with pytest.raises(Refused):
        require_openssf(model, signature, public)


def test_the_policy_asks_for_the_openssf_signature_kept_with_the_lineage(tmp_path: Path) -> None:
    signing = pytest.importorskip("model_signing.signing")
    model, private, public = _model(tmp_path / "model"), tmp_path / "ec.pem", tmp_path / "ec.pub"
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(private)], check=True)
    subprocess.run(
        ["openssl", "ec", "-in", str(private), "-pubout", "-out", str(public)], check=True, capture_output=True
    )
    key = json.dumps(public.read_text())
    checks = "[{id: a, type: threshold, metric: accuracy, min: 0.9}]"
    text = (
        f"version: 1\nname: p\nstages: {{validate: {{checks: {checks}}}}}\nsigning: {{keys: [{key}], openssf: {key}}}\n"
    )
    rules = policy.load(text.encode(), tmp_path / "policy.yml", today=date(2026, 1, 1))
    lineage = LineageFolder(tmp_path / "lineage")
    lineage.path.mkdir()
    with pytest.raises(Refused, match="asks for an OpenSSF signature, and there is none"):
        records.require_openssf(rules, model, lineage)
    signing.Config().use_elliptic_key_signer(private_key=private).sign(model, lineage.path / records.OPENSSF)
    records.require_openssf(rules, model, lineage)
    (model / "A").write_bytes(b"changed")
    with pytest.raises(Refused, match="does not hold"):
        records.require_openssf(rules, model, lineage)
