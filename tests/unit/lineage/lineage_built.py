"""A constructed lineage: a small model folder, its three statements, the report, the log, keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gates.canonical import digest
from gates.lineage.audit import AuditLog, Event
from gates.lineage.digest import folder_sums, model_digest
from gates.lineage.folder import LineageFolder, pointers
from gates.lineage.record import Approval, Code, Data, Deploying, Environment, Gating, Run, Training, utc
from gates.lineage.sign import PublicKey, Signer, ed25519_signer, public_key, seal
from gates.lineage.statement import deploy_statement, gate_statement, train_statement

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_800_000_000.0
POLICY = "sha256:" + "b" * 64
DATA = "sha256:" + "d" * 64
CHAMPION = "sha256:" + "c" * 64
RUN = Run(
    builder="https://github.com/actions/runner/github-hosted",
    id="42",
    url="https://github.com/acme/credit/actions/runs/42",
    actor="user:ann",
    started=utc(NOW - 3600),
    finished=utc(NOW - 3000),
    gates_version="0.1.0",
)


def key_pair() -> tuple[Signer, PublicKey]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return ed25519_signer(private), public_key(public)


def make_model(path: Path, note: str = "one") -> Path:
    (path / "data").mkdir(parents=True)
    (path / "MLmodel").write_text("flavors: {}\n")
    (path / "model.skops").write_bytes(b"\x00weights " + note.encode())
    (path / "data" / "ünï.txt").write_text("x")
    return path


@dataclass
class Built:
    """All that a verification may look at; the tests break one thing each."""

    model: Path
    folder: LineageFolder
    log: AuditLog
    signer: Signer | None = None
    trusted: tuple[PublicKey, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        return model_digest(self.model)

    def result(self, **changes: Any) -> dict[str, Any]:
        check = {"id": "auc", "type": "threshold", "severity": "block", "status": "PASS", "observed": 0.91,
                 "interval": [0.9, 0.92], "required": {"min": 0.85}, "n": 4000, "n_needed": None,
                 "reason": "0.91 is at least 0.85", "line": 7}  # fmt: skip
        result = {"step": "validate-gate", "stage": "validate", "verdict": "PASS", "decision": "allow",
                  "policy": {"digest": POLICY, "name": "credit-risk", "revision": 7, "source": "file"},
                  "model": {"digest": self.digest}, "champion": {"digest": CHAMPION},
                  "data": {"digest": DATA, "rows": 4000}, "checks": [check], "evidence": []}  # fmt: skip
        return result | changes

    def train(self, **changes: Any) -> str:
        values: dict[str, Any] = {
            "model_name": "credit-risk",
            "files": folder_sums(self.model),
            "environment": Environment(
                python="3.11.7", lock="sha256:" + "e" * 64, installed=("numpy==2.1.0", "scikit-learn==1.5.2")
            ),
            "run": RUN,
            "job": "jobs/train.yml",
            "job_digest": "sha256:" + "a" * 64,
            "code": Code(commit="1" * 40, tree="2" * 40, repository="https://github.com/acme/credit", ref="main"),
            "data": (Data(name="train", sha256=DATA, path="data/train.parquet", content=DATA, rows=9000),),
            "parameters": {"C": 0.5, "seed": 7, "solver": "lbfgs", "big": 2**60 + 1},
            "metrics": {"roc_auc": 0.91, "broken": float("nan")},
            "champion": CHAMPION,
        }
        statement = train_statement(Training(**(values | changes)), audit_head=self.log.head())
        made = self.folder.add(seal(statement, self.signer))
        self.log.append(Event(kind="trained", at=utc(NOW - 3000), model=self.digest, statement=made.digest,
                              model_name="credit-risk", data=(DATA,), code="1" * 40))  # fmt: skip
        return made.digest

    def gate(self, *, after: str, approvals: tuple[Approval, ...] = (), expires: str = "", **changes: Any) -> str:
        result = self.result(**changes)
        self.report = {"schema": "report.v1", "result": result, "run": {}}
        gating = Gating(result=result, report_digest=digest(result), run=RUN, expires=expires, approvals=approvals)
        statement = gate_statement(
            gating,
            model_digest=result["model"]["digest"],
            time=utc(NOW - 2000),
            inputs=(after,),
            audit_head=self.log.head(),
        )
        made = self.folder.add(seal(statement, self.signer))
        self.log.append(Event(kind="gated", at=utc(NOW - 2000), model=self.digest, statement=made.digest,
                              policy=POLICY, verdict=result["verdict"], decision=result["decision"]))  # fmt: skip
        self.tags = pointers(self.folder.statements(), audit_head=self.log.head())
        return made.digest

    def deploy(self, *, after: str, outcome: str = "succeeded") -> str:
        deploying = Deploying(
            endpoint="credit", deployment="blue-1", deploy_id="abc", outcome=outcome, run=RUN, previous=CHAMPION,
            traffic=((utc(NOW - 900), {"blue-1": 10}), (utc(NOW - 800), {"blue-1": 100})),
        )  # fmt: skip
        statement = deploy_statement(
            deploying, model_digest=self.digest, time=utc(NOW - 700), inputs=(after,), audit_head=self.log.head()
        )
        made = self.folder.add(seal(statement, self.signer))
        self.log.append(Event(kind="deployed", at=utc(NOW - 700), model=self.digest, statement=made.digest,
                              endpoint="credit", outcome=outcome))  # fmt: skip
        return made.digest


def trained_and_gated(tmp_path: Path, *, signed: bool = False) -> Built:
    """Trained and gated; with `signed`, by one trusted key."""
    made = empty(tmp_path, signed=signed)
    made.gate(after=made.train())
    return made


def empty(tmp_path: Path, *, signed: bool = False) -> Built:
    """A model without any statement yet."""
    signer, key = key_pair() if signed else (None, None)
    return Built(
        model=make_model(tmp_path / "model"),
        folder=LineageFolder(tmp_path / "lineage"),
        log=AuditLog(tmp_path / "audit.jsonl"),
        signer=signer,
        trusted=(key,) if key else (),
    )
