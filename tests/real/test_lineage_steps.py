"""What was gated is what is registered and deployed: each way of cheating is refused at both doors, naming what it saw.

One model is trained, gated and registered; each test tampers with it, asks a door, and what it did is undone.
"""

from __future__ import annotations

import base64
import json
import shutil
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from lineage_project import POLICY, gates, make

from gates import cli
from gates.backends.local.registry import Registry
from gates.lineage.audit import AuditLog
from gates.lineage.folder import LineageFolder, composite_text
from gates.lineage.sign import ed25519_signer, parse_envelope, seal
from gates.lineage.statement import compose, read_statement
from gates.rollout import machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gates.rollout.plan import Plan

pytestmark = [pytest.mark.xdist_group("lineage-steps"), pytest.mark.timeout(600)]
WHY = "drift: 1 of 3 columns drifted (x)"
DOORS = ("register", "deploy-blue-green")


def pem(key: Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@dataclass(frozen=True)
class World:
    """A project whose model is trained, gated and registered; `key` signs, and is the only one trusted."""

    folder: Path
    key: str
    digest: str
    other_report: Path
    other_version: str

    @property
    def state(self) -> Path:
        return self.folder / ".gates"

    @property
    def registry(self) -> Registry:
        return Registry(f"sqlite:///{self.state / 'mlflow.db'}", state_dir=self.state)

    @property
    def lineage(self) -> LineageFolder:
        return LineageFolder(self.state / "lineage" / self.digest[7:39])

    @property
    def audit(self) -> Path:
        return self.state / "audit.jsonl"

    def model(self, door: str) -> Path:
        """The bytes that a door looks at."""
        if door == "register":
            return Path(json.loads((self.state / "last/train.json").read_text())["model"])
        return self.state / "models/tiny" / self.digest[7:]

    def tags(self) -> dict[str, str]:
        version = self.registry.get("tiny", "1")
        assert version is not None
        return dict(version.tags)

    def gates(self, line: str, *more: str) -> int:
        return gates(self.folder, line, *more, GATES_SIGNING_KEY=self.key)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, need: Callable[[str], str]) -> World:
    need("git")
    folder = make(tmp_path_factory.mktemp("tiny"))
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    (folder / "policy.yml").write_text(f"{POLICY}signing: {{keys: [{json.dumps(public)}]}}\n")
    (folder / "train.csv.dvc").write_text(
        "outs:\n- {md5: 0123456789abcdef0123456789abcdef, hash: md5, path: train.csv}\n"
    )
    state = folder / ".gates"
    env = {"GATES_SIGNING_KEY": pem(key)}
    assert gates(folder, "train", "--reason", WHY, **env) == 0
    trained = json.loads((state / "last/train.json").read_text())
    other = folder / "other"
    shutil.copytree(trained["model"], other)
    (other / "notes.txt").write_text("another model")
    assert gates(folder, f"validate-gate --model {other} --report-dir {folder / 'other-report'}", **env) == 0
    for line in ("validate-gate", "register --approve"):
        assert gates(folder, line, **env) == 0, line
    made = World(folder, pem(key), trained["digest"], folder / "other-report/report.json", "2")
    version, _ = made.registry.register("tiny", other)
    assert version.version == "2"
    assert json.loads((state / "last/register.json").read_text())["version"] == "1"
    return made


@contextmanager
def undone(world: World, *paths: Path) -> Iterator[None]:
    """What is done to these files and folders meanwhile is undone."""
    kept = world.folder / "kept"
    for number, path in enumerate(paths):
        if path.is_dir():
            shutil.copytree(path, kept / str(number))
        else:
            kept.mkdir(exist_ok=True)
            shutil.copy2(path, kept / str(number))
    try:
        yield
    finally:
        for number, path in enumerate(paths):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
            (kept / str(number)).replace(path)
        shutil.rmtree(kept)


def refused(world: World, door: str, capfd: pytest.CaptureFixture[str], *named: str) -> str:
    """The door is asked, and refuses with exit code 1 in one line that names all of `named`."""
    capfd.readouterr()
    before = world.audit.read_bytes()
    code = world.gates(door)
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert code == 1, errors
    assert len(errors) == 1, errors
    for text in named:
        assert text in errors[0], errors[0]
    assert world.audit.read_bytes() == before, "a refusal is no decision"
    return errors[0]


def change(model: Path) -> None:
    body = bytearray((model / "model.skops").read_bytes())
    body[-2] ^= 1
    (model / "model.skops").write_bytes(body)


def link(model: Path) -> None:
    (model / "conda.yaml").unlink()
    (model / "conda.yaml").symlink_to("python_env.yaml")


def git(model: Path) -> None:
    (model / ".git").mkdir()
    (model / ".git/config").write_text("[core]")


BYTES: dict[str, tuple[Callable[[Path], object], str]] = {
    "changed": (change, "model.skops"),
    "added": (lambda model: (model / "extra.py").write_text("1"), "extra.py"),
    "removed": (lambda model: (model / "conda.yaml").unlink(), "conda.yaml"),
    "renamed": (lambda model: (model / "conda.yaml").rename(model / "conda.yml"), "conda.yaml"),
    "a link": (link, "conda.yaml"),
    "a .git folder": (git, ".git"),
}


@pytest.mark.parametrize("how", BYTES)
@pytest.mark.parametrize("door", DOORS)
def test_other_bytes_are_refused(world: World, capfd: pytest.CaptureFixture[str], door: str, how: str) -> None:
    act, name = BYTES[how]
    with undone(world, world.model(door)):
        act(world.model(door))
        error = refused(world, door, capfd)
    assert (name if door == "register" or how in ("a link", "a .git folder") else world.digest) in error, error


def test_a_report_of_another_model_is_refused(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    assert world.gates(f"register --report {world.other_report}") == 1
    error = capfd.readouterr().err
    about = json.loads(world.other_report.read_text())["result"]["model"]["digest"]
    assert f"report.json: is about another model, {about}, not {world.digest}" in error


def test_the_gate_of_another_model_is_refused_at_deployment(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    """Version 2 has the bytes of another model: version 1's lineage, put in its place, is about other bytes."""
    other = json.loads(world.other_report.read_text())["result"]["model"]["digest"]
    place = world.state / "lineage" / other[7:39]
    shutil.copytree(world.lineage.path, place)
    try:
        capfd.readouterr()
        assert world.gates("deploy-blue-green --model-version 2") == 1
        assert "notes.txt: is not recorded: it was added" in capfd.readouterr().err
    finally:
        shutil.rmtree(place)


@pytest.mark.parametrize("door", DOORS)
def test_a_decision_under_another_policy_is_refused(world: World, capfd: pytest.CaptureFixture[str], door: str) -> None:
    policy = world.folder / "policy.yml"
    with undone(world, policy):
        policy.write_text(policy.read_text().replace("min: 0.8}", "min: 0.9}"))
        refused(world, door, capfd, "was decided under policy sha256:", ", not sha256:")


@pytest.mark.parametrize("door", DOORS)
def test_an_expired_approval_is_refused(
    world: World, capfd: pytest.CaptureFixture[str], door: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Later:
            moment = datetime.now(tz) + timedelta(hours=73)
            return cls.fromtimestamp(moment.timestamp(), tz)

    monkeypatch.setattr(cli, "datetime", Later)
    refused(world, door, capfd, "0 of 1 approvals", "expired", world.digest)


@pytest.mark.parametrize("door", DOORS)
def test_an_approval_of_another_model_is_refused(world: World, capfd: pytest.CaptureFixture[str], door: str) -> None:
    file = world.state / "approvals" / f"{world.digest[7:39]}.json"
    with undone(world, file):
        file.write_text(file.read_text().replace(world.digest, "sha256:" + "e" * 64))
        refused(world, door, capfd, "0 of 1 approvals", "is for another model, sha256:" + "e" * 64)


@pytest.mark.parametrize("door", DOORS)
def test_an_approval_that_was_typed_is_refused(world: World, capfd: pytest.CaptureFixture[str], door: str) -> None:
    file = world.state / "approvals" / f"{world.digest[7:39]}.json"
    given = json.loads(file.read_text())
    with undone(world, file):
        file.write_text(json.dumps([{**given[0], "by": "the-boss"}]))
        refused(world, door, capfd, "the-boss's approval", "is not in the audit log", world.digest)


@pytest.mark.parametrize("door", DOORS)
def test_another_champion_than_the_gates_is_refused(world: World, capfd: pytest.CaptureFixture[str], door: str) -> None:
    world.registry.set_alias("tiny", "champion", world.other_version, expected=None)
    try:
        live = json.loads(world.other_report.read_text())["result"]["model"]["digest"]
        refused(world, door, capfd, f"the champion changed since the gate: compared with none, live is {live}")
    finally:
        world.registry.set_alias("tiny", "champion", None, expected=world.other_version)


def sealed_anew(lineage: LineageFolder, signer: Any, edit: Callable[[dict[str, Any]], None]) -> None:
    """All statements edited and signed, chained anew and with their composite: what a careful forger would do."""
    digests: dict[str, str] = {}
    statements = []
    for line in (lineage.path / "lineage.intoto.jsonl").read_bytes().splitlines():
        envelope = parse_envelope(line)
        text = base64.b64decode(envelope.payload).decode()
        for old, new in digests.items():
            text = text.replace(old, new)
        statement = json.loads(text)
        edit(statement)
        made = read_statement(seal(statement, signer))
        digests[read_statement(envelope).digest[7:]] = made.digest[7:]
        statements.append(made)
    body = b"".join(made.envelope.to_json() + b"\n" for made in statements)
    (lineage.path / "lineage.intoto.jsonl").write_bytes(body)
    (lineage.path / "lineage.json").write_text(composite_text(compose(statements)))


def metrics_up(statement: dict[str, Any]) -> None:
    for product in statement["predicate"].get("runDetails", {}).get("byproducts", []):
        if product["name"] == "metrics":
            product["annotations"]["train_accuracy"] = 0.999


@pytest.mark.parametrize("door", DOORS)
def test_a_statement_signed_by_another_key_is_refused(
    world: World, capfd: pytest.CaptureFixture[str], door: str
) -> None:
    signer = ed25519_signer(pem(Ed25519PrivateKey.generate()).encode())
    with undone(world, world.lineage.path):
        sealed_anew(world.lineage, signer, lambda _: None)
        refused(world, door, capfd, "train statement sha256:", "not signed by a trusted key")


@pytest.mark.parametrize("door", DOORS)
def test_an_altered_statement_is_refused_even_with_the_right_key(
    world: World, capfd: pytest.CaptureFixture[str], door: str
) -> None:
    """A thief of the key still cannot make the audit log tell of another statement."""
    with undone(world, world.lineage.path):
        sealed_anew(world.lineage, ed25519_signer(world.key.encode()), metrics_up)
        refused(world, door, capfd, "train statement sha256:", "is not in the audit log: it was altered or added")


@pytest.mark.parametrize("door", DOORS)
def test_an_altered_payload_is_refused(world: World, capfd: pytest.CaptureFixture[str], door: str) -> None:
    file = world.lineage.path / "lineage.intoto.jsonl"
    with undone(world, world.lineage.path):
        first, *rest = file.read_bytes().splitlines(keepends=True)
        envelope = json.loads(first)
        statement = json.loads(base64.b64decode(envelope["payload"]))
        metrics_up(statement)
        envelope["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
        file.write_bytes(b"".join([json.dumps(envelope).encode() + b"\n", *rest]))
        refused(world, door, capfd, "sha256:")


@pytest.mark.parametrize("tag", ["gates.decision", "gates.gate_statement", "gates.data_hash"])
def test_a_tag_edited_by_hand_is_refused(world: World, capfd: pytest.CaptureFixture[str], tag: str) -> None:
    was = world.tags()[tag]
    version = world.registry.get("tiny", "1")
    assert version is not None
    world.registry.set_tags(version, {tag: "edited"})
    try:
        refused(world, "deploy-blue-green", capfd, f"tag {tag}: is 'edited', recorded was '{was}'")
    finally:
        world.registry.set_tags(version, {tag: was})


def cut(lines: list[bytes], door: str) -> list[bytes]:
    """At registration the last statement anchors the head; afterwards the registry's tag does."""
    return lines[:1] if door == "register" else lines[:-1]


LOGS: dict[str, Callable[[list[bytes], str], list[bytes]]] = {
    "removed": lambda lines, _: [lines[0], *lines[2:]],
    "reordered": lambda lines, _: [lines[1], lines[0], *lines[2:]],
    "cut": cut,
    "gone": lambda lines, _: [],
}


@pytest.mark.parametrize("how", LOGS)
@pytest.mark.parametrize("door", DOORS)
def test_another_audit_log_is_refused(world: World, capfd: pytest.CaptureFixture[str], door: str, how: str) -> None:
    with undone(world, world.audit):
        lines = world.audit.read_bytes().splitlines(keepends=True)
        world.audit.write_bytes(b"".join(LOGS[how](lines, door)))
        refused(world, door, capfd, "audit")


def test_why_it_was_trained_stands_on_the_run_and_in_the_log(world: World) -> None:
    with closing(sqlite3.connect(world.state / "mlflow.db")) as runs:
        assert runs.execute("select value from tags where key = 'gates.reason'").fetchall() == [(WHY,)]
    said = [json.loads(line) for line in world.audit.read_text().splitlines()]
    assert [entry["reason"] for entry in said if entry.get("kind") == "trained"] == [WHY]


def test_how_it_did_at_its_gate_is_kept_with_its_lineage(world: World) -> None:
    """What of that folder a shared registry hands to another machine: all of it, in test_lineage_elsewhere."""
    kept = json.loads((world.lineage.path / "baseline.json").read_text())
    report = json.loads((world.state / "reports/validate-gate/report.json").read_text())
    seen = next(check["observed"] for check in report["result"]["checks"] if check["id"] == "accuracy.floor")
    assert (kept["labels"], kept["mean"]) == (True, pytest.approx(seen))


def test_what_training_read_carries_its_dvc_hash(world: World) -> None:
    data = json.loads((world.lineage.path / "lineage.json").read_text())["data"]
    assert [(item["name"], item["dvc"]) for item in data] == [("rows", "md5:0123456789abcdef0123456789abcdef")]


def test_gated_again_the_registered_tags_and_lineage_follow(world: World) -> None:
    before = world.tags()
    assert world.gates("validate-gate") == 0
    after = world.tags()
    assert before["gates.gate_statement"] != after["gates.gate_statement"]
    kept = world.state / "models/tiny" / f"{world.digest[7:]}.lineage" / "lineage.intoto.jsonl"
    assert kept.read_bytes() == (world.lineage.path / "lineage.intoto.jsonl").read_bytes()
    assert world.gates("register") == 0


def test_a_version_is_verified_and_its_log_answers(
    world: World, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert world.gates("lineage verify --version 1") == 0
    assert "every recorded digest was found again" in capsys.readouterr().out
    with undone(world, world.folder / "train.csv"):
        with (world.folder / "train.csv").open("a") as rows:
            rows.write("1.0,1.0,1\n")
        assert world.gates("lineage verify --version 1 --json") == 1
    problems = json.loads(capsys.readouterr().out)["problems"]
    assert [problem.split(":")[0] for problem in problems] == ["data rows", "content of data rows"]
    assert world.gates("lineage audit --question behind --model 1 --json") == 0
    answer = json.loads(capsys.readouterr().out)["answer"]
    assert (answer["model"], answer["decision"], len(answer["approvers"])) == (world.digest, "allow", 1)
    assert world.gates(f"lineage audit --question made-from --data {world.folder / 'train.csv'}") == 0
    assert world.digest in capsys.readouterr().out


def test_trained_again_the_predictions_are_the_same_bit_by_bit(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """The archive of the model holds addresses and times: its bytes differ, what it learned does not."""
    assert world.gates("lineage verify --version 1 --reproduce --at-least R2 --json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["grade"], said["problems"]) == ("R2", [])
    assert any("model.skops was changed" in reason for reason in said["reasons"])


def test_the_card_says_what_nobody_provided_and_strict_refuses_it(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "NOT PROVIDED" in (world.lineage.path / "model-card.md").read_text()
    assert world.gates("register --strict-card") == 2
    assert "the model card lacks card.yml: summary" in capsys.readouterr().err
    assert world.gates("model card --version 1") == 0
    assert world.digest in capsys.readouterr().out


def test_what_serves_is_on_record_once(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rollout is another test's; here it dies right after it had its end recorded, twice."""

    def dies(plan: Plan, **_: Any) -> machine.Ended:
        assert plan.record is not None
        assert [approval.by for approval in plan.approved] != []
        for _again in range(2):
            plan.record({"deploy_id": "d1", "snapshot": {"champion": "2"}, "green": {"name": plan.green.name}})
        return machine.Ended(outcome="error", reason="died", state="BAKING", deploy_id="d1")

    monkeypatch.setattr(machine, "deploy", dies)
    assert world.gates("deploy-blue-green") == 4
    capsys.readouterr()
    assert world.gates("lineage audit --json") == 0
    (row,) = json.loads(capsys.readouterr().out)["answer"]
    assert (row["endpoint"], row["model"], row["verdict"]) == ("tiny", world.digest, "PASS")
    (event,) = [event for event in AuditLog(world.audit).events() if event.kind == "deployed"]
    other = json.loads(world.other_report.read_text())["result"]["model"]["digest"]
    assert (event.deploy_id, event.previous, event.model_name) == ("d1", other, "tiny")
    assert world.tags()["gates.audit_head"] == AuditLog(world.audit).head()
    (deployed,) = json.loads((world.lineage.path / "lineage.json").read_text())["deployments"]
    assert len(deployed["approvers"]) == 1
