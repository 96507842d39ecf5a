"""The three in-toto Statements v1: train (SLSA provenance v1), gate (shaped like SLSA's VSA) and deploy.

Each names the one before by the digest of its bytes, and the head of the audit log when it was made. The subject of
all is the model: SHA256SUMS with the model's digest; train names each file too. Plain dicts, sealed as canonical JSON:
the protobuf of in-toto's own library turns 1 into 1.0 and corrupts integers above 2**53.
Sources: in-toto Attestation Framework v1 (Statement, ResourceDescriptor), SLSA v1.0 (Provenance, VSA).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from gates.canonical import digest
from gates.errors import InvalidInput
from gates.lineage.digest import SUMS_NAME, hexdigest, sums_digest
from gates.lineage.record import Lineage, StatementRef

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gates.lineage.record import Data, Deploying, Environment, Gating, Training
    from gates.lineage.sign import Envelope

STATEMENT = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
OURS = "https://mlops-gates.github.io/lineage"
BUILD_TYPE = f"{OURS}/train/v1"
GATE = f"{OURS}/gate/v1"
DEPLOY = f"{OURS}/deploy/v1"
KINDS = {PROVENANCE: "train", GATE: "gate", DEPLOY: "deploy"}
VERIFIER = f"{OURS}/gates"


class Statement(Struct, frozen=True):
    """A statement as read: kind, digest of its bytes, its subjects and predicate, and the envelope it came in."""

    kind: str
    digest: str
    subjects: dict[str, str]
    predicate: dict[str, Any]
    envelope: Any

    @property
    def model_digest(self) -> str:
        return f"sha256:{self.subjects.get(SUMS_NAME, '')}"

    @property
    def previous(self) -> tuple[str, ...]:
        """Digests of the statements it was made from."""
        return tuple(_digest(item) for item in self.predicate.get("inputAttestations", ()))

    @property
    def audit_head(self) -> str | None:
        """The head of the audit log when it was made."""
        holder = self.predicate["buildDefinition"]["internalParameters"] if self.kind == "train" else self.predicate
        head = holder.get("auditHead")
        return None if head is None else str(head)


def train_statement(training: Training, *, audit_head: str | None = None) -> dict[str, Any]:
    """SLSA provenance v1. What JSON cannot hold is written so that nothing is lost or invented: metrics that are not
    finite are null, parameters that are integers from 2**53 on or floats that are not finite are text.
    """
    subjects = [_named(SUMS_NAME, sums_digest(training.files))]
    subjects += [{"name": item.path, "digest": {"sha256": item.sha256}} for item in training.files]
    run = training.run
    metrics = {name: _finite(value) for name, value in training.metrics.items()}
    predicate: dict[str, Any] = {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "model": training.model_name,
                "job": {"path": training.job, "digest": {"sha256": hexdigest(training.job_digest)}},
                "parameters": {name: _lossless(value) for name, value in training.parameters.items()},
            },
            "internalParameters": _without_none(
                {
                    "auditHead": audit_head,
                    "actor": run.actor or None,
                    "run": run.id or None,
                    "volatile": list(training.volatile) or None,
                }
            ),
            "resolvedDependencies": _dependencies(training),
        },
        "runDetails": {
            "builder": _without_none(
                {"id": run.builder, "version": {"gates": run.gates_version} if run.gates_version else None}
            ),
            "metadata": _without_none(
                {
                    "invocationId": run.url or run.id or None,
                    "startedOn": run.started or None,
                    "finishedOn": run.finished or None,
                }
            ),
            "byproducts": [
                {"name": "metrics", "digest": {"sha256": hexdigest(digest(metrics))}, "annotations": metrics},
                _sized(training),
            ],
        },
    }
    return _statement(PROVENANCE, subjects, predicate)


def gate_statement(
    gating: Gating, *, model_digest: str, time: str, inputs: Sequence[str], audit_head: str | None = None
) -> dict[str, Any]:
    """inputs: digests of the statements judged, usually the train statement's. time: UTC text."""
    result = gating.result
    policy = result["policy"]
    passed = result["decision"] == "allow" and not gating.ungated
    predicate = {
        "verifier": {"id": VERIFIER, "version": {"gates": gating.run.gates_version}},
        "timeVerified": time,
        "expires": gating.expires or None,
        "resourceUri": f"mlops-gates:model/{model_digest}",
        "policy": _without_none(
            {
                "uri": f"mlops-gates:policy/{policy.get('name', '')}",
                "digest": {"sha256": hexdigest(policy["digest"])} if policy.get("digest") else None,
                "annotations": {key: policy[key] for key in ("revision", "source") if key in policy},
            }
        ),
        "inputAttestations": [{"digest": {"sha256": hexdigest(item)}} for item in inputs],
        "verificationResult": "PASSED" if passed else "FAILED",
        "verdict": result["verdict"],
        "decision": result["decision"],
        "stage": result["stage"],
        "report": {"digest": {"sha256": hexdigest(gating.report_digest)}},
        "champion": result["champion"],
        "data": result["data"],
        "checks": [
            {key: check[key] for key in ("id", "type", "severity", "status", "observed", "required", "reason")}
            for check in result["checks"]
        ],
        "approvals": [msgspec.to_builtins(item) for item in gating.approvals],
        "waivers": [dict(item) for item in gating.waivers],
        "ungated": gating.ungated,
        "run": msgspec.to_builtins(gating.run),
        "auditHead": audit_head,
    }
    return _statement(GATE, [_named(SUMS_NAME, model_digest)], _without_none(predicate))


def deploy_statement(
    deploying: Deploying, *, model_digest: str, time: str, inputs: Sequence[str], audit_head: str | None = None
) -> dict[str, Any]:
    """inputs: digests of the statements relied on, usually the gate statement's. time: UTC text."""
    predicate = {
        "timeDeployed": time,
        "endpoint": deploying.endpoint,
        "deployment": deploying.deployment,
        "deployId": deploying.deploy_id,
        "outcome": deploying.outcome,
        "traffic": [{"at": at, "percent": dict(percent)} for at, percent in deploying.traffic],
        "previous": None if deploying.previous is None else {"digest": {"sha256": hexdigest(deploying.previous)}},
        "environmentDigest": deploying.environment_digest or None,
        "inputAttestations": [{"digest": {"sha256": hexdigest(item)}} for item in inputs],
        "approvals": [msgspec.to_builtins(item) for item in deploying.approvals],
        "ungated": deploying.ungated,
        "run": msgspec.to_builtins(deploying.run),
        "auditHead": audit_head,
    }
    return _statement(DEPLOY, [_named(SUMS_NAME, model_digest)], _without_none(predicate))


def read_statement(envelope: Envelope) -> Statement:
    """Raises InvalidInput when the bytes in the envelope are not one of our three statements."""
    try:
        raw = msgspec.json.decode(envelope.body)
        kind = KINDS[raw["predicateType"]]
        if raw["_type"] != STATEMENT:
            raise KeyError("_type")
        subjects = {str(item["name"]): str(item["digest"]["sha256"]) for item in raw["subject"]}
        statement = Statement(kind, envelope.digest, subjects, raw["predicate"], envelope)
        _ = (statement.previous, statement.audit_head)
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput("not a statement of lineage", hint="restore the statement") from error
    return statement


def compose(statements: Iterable[Statement]) -> Lineage:
    """`lineage.json` of a version: its training, its last gate, all its deployments. Raises InvalidInput."""
    chain = tuple(statements)
    trained = [s for s in chain if s.kind == "train"]
    if len(trained) != 1:
        raise InvalidInput(f"{len(trained)} train statements instead of one", hint="one version, one training")
    build, details = trained[0].predicate["buildDefinition"], trained[0].predicate["runDetails"]
    dependencies = {item["name"]: item for item in build["resolvedDependencies"]}
    byproducts = {item["name"]: item for item in details["byproducts"]}
    data = tuple(_flat(item) for name, item in dependencies.items() if name.startswith("data/"))
    code, environment = dependencies.get("code"), dependencies["environment"]
    champion = dependencies.get("champion")
    lock, asked = dependencies.get("environment/lock"), dependencies.get("environment/declared")
    gate = next((s.predicate for s in reversed(chain) if s.kind == "gate"), None)
    return Lineage(
        model_name=build["externalParameters"]["model"],
        model_digest=trained[0].model_digest,
        model_files=len(trained[0].subjects) - 1,
        model_bytes=byproducts["size"]["annotations"]["bytes"],
        data_hash=data[0]["sha256"] if data else None,
        code_commit=code["digest"]["gitCommit"] if code else None,
        code_dirty=code["annotations"]["dirty"] if code else None,
        environment_lock=_digest(lock) if lock else None,
        python=environment["annotations"]["python"],
        parameters=build["externalParameters"]["parameters"],
        metrics=byproducts["metrics"]["annotations"],
        data=data,
        environment={**environment["annotations"], **(asked["annotations"] if asked else {})},
        champion=_digest(champion) if champion else None,
        run={
            **details["metadata"],
            **{key: build["internalParameters"][key] for key in ("actor", "run") if key in build["internalParameters"]},
            "builder": details["builder"]["id"],
        },
        volatile=tuple(build["internalParameters"].get("volatile", ())),
        **({} if gate is None else _gate_fields(gate)),
        deployments=tuple(_deployment(s.predicate) for s in chain if s.kind == "deploy"),
        statements=tuple(StatementRef(s.kind, s.digest, s.envelope.tier) for s in chain),
    )


def _gate_fields(gate: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "policy_digest": _digest(gate["policy"]) if "digest" in gate["policy"] else None,
        "verdict": gate["verdict"],
        "decision": gate["decision"],
        "report_digest": _digest(gate["report"]),
        "approvers": tuple(item["by"] for item in gate["approvals"]),
        "ungated": gate["ungated"],
        "checks": tuple(gate["checks"]),
    }


def _deployment(predicate: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("timeDeployed", "endpoint", "deployment", "deployId", "outcome", "ungated")
    return {**{key: predicate[key] for key in keys}, "approvers": [item["by"] for item in predicate["approvals"]]}


def _dependencies(training: Training) -> list[dict[str, Any]]:
    """ResourceDescriptors of code, data, environment, champion; our names lead: `code`, `data/NAME`, `environment`."""
    found: list[dict[str, Any]] = []
    if code := training.code:
        uri = f"git+{code.repository}@{code.ref}" if code.repository and code.ref else code.repository or None
        digests = {"gitCommit": code.commit, "gitTree": code.tree}
        found.append(
            _without_none(
                {
                    "name": "code",
                    "uri": uri,
                    "digest": {key: value for key, value in digests.items() if value},
                    "annotations": {"dirty": code.dirty},
                }
            )
        )
    found += [_data(item) for item in training.data]
    found += _environment(training.environment)
    if training.champion is not None:
        found.append(_named("champion", training.champion))
    return found


def _data(data: Data) -> dict[str, Any]:
    notes = {
        "path": data.path or None,
        "content": data.content,
        "rows": data.rows,
        "columns": [list(column) for column in data.columns] or None,
        "key": list(data.key) or None,
        "dvc": data.dvc,
        "asset": data.asset,
    }
    return {**_named(f"data/{data.name}", data.sha256), "annotations": _without_none(notes)}


def _environment(environment: Environment) -> list[dict[str, Any]]:
    notes = {"python": environment.python, "platform": environment.platform, "installed": list(environment.installed)}
    found = [{**_named("environment", digest(notes)), "annotations": notes}]
    if environment.lock is not None:
        found.append(_named("environment/lock", environment.lock))
    if environment.image is not None:
        found.append(_named("environment/image", environment.image))
    if environment.declared:
        asked = {"declared": list(environment.declared), "differences": list(environment.differences)}
        found.append({**_named("environment/declared", digest(asked)), "annotations": asked})
    return found


def _sized(training: Training) -> dict[str, Any]:
    sizes = {"bytes": sum(item.size for item in training.files), "files": len(training.files)}
    return {"name": "size", "digest": {"sha256": hexdigest(digest(sizes))}, "annotations": sizes}


def _statement(kind: str, subjects: list[dict[str, Any]], predicate: dict[str, Any]) -> dict[str, Any]:
    return {"_type": STATEMENT, "subject": subjects, "predicateType": kind, "predicate": predicate}


def _named(name: str, sha256: str) -> dict[str, Any]:
    return {"name": name, "digest": {"sha256": hexdigest(sha256)}}


def _digest(descriptor: Mapping[str, Any]) -> str:
    return f"sha256:{descriptor['digest']['sha256']}"


def _flat(item: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": item["name"].removeprefix("data/"), "sha256": _digest(item), **item["annotations"]}


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _lossless(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    return value if math.isfinite(value) and (isinstance(value, float) or abs(value) < 2**53) else str(value)


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value
