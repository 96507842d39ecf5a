"""The evidence folder of a report: files named by the sha256 of their bytes, from which a verdict is made again."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from gates.collect import live, metrics_file, predictions
from gates.document import read_bytes
from gates.errors import InvalidInput
from gates.evidence import Evidence
from gates.files import CHUNK, copy_by_digest, sha256_of, write_whole
from gates.verdict import EvidenceItem

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

CANDIDATE, CHAMPION = "candidate-predictions", "champion-predictions"
METRICS, MANIFEST, POLICY, DRIFT = "metrics", "manifest", "policy", "drift"
ROLLOUT = "rollout:"
"""With a stage's name behind it: what a rollout saw of that stage (see `live`)."""
EXPLANATIONS, FINDINGS, APPROVALS = "explanations", "findings:", "approvals"


class Retraining(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a decision to retrain stands on beside drift. Numbers as texts: NaN asks for a retrain, and is no JSON."""

    performance_delta: str = ""
    model_age: str = ""
    performance: dict[str, Any] | None = None


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of the evidence is no table: small values, and how the tables are to be read."""

    target: str = ""
    positive_label: int | str | bool | None = None
    groups: tuple[str, ...] = ()
    champion_absent: bool = False
    reference_absent: bool = False
    metrics: dict[str, float] = {}
    samples: dict[str, list[float]] = {}
    importances: dict[str, float] = {}
    lacking: dict[str, str] = {}
    findings: dict[str, str] = {}
    about: dict[str, Any] = {}
    """step, the policy's source, model, champion and data: replayed from here, not believed of the report."""
    retrain: Retraining | None = None


def self_reported(name: str) -> bool:
    """Whether evidence of this name is the word of the user's own tools."""
    return name == METRICS or name.startswith(FINDINGS)


class Store:
    """`<report-dir>/evidence`. Files are added once, whole, under their digest."""

    def __init__(self, report_dir: Path) -> None:
        self.folder = report_dir / "evidence"
        self.items: list[EvidenceItem] = []

    def add_file(self, name: str, path: Path, *, self_reported: bool = False) -> None:
        if path.is_file() and path.stat().st_size > CHUNK:
            sha256 = copy_by_digest(path, self.folder)
            self.items.append(EvidenceItem(name, f"sha256:{sha256}", self_reported))
        else:
            self.add_bytes(name, read_bytes(path, f"evidence '{name}'"), self_reported=self_reported)

    def add_bytes(self, name: str, raw: bytes, *, self_reported: bool = False) -> None:
        sha256 = hashlib.sha256(raw).hexdigest()
        write_whole(self.folder / sha256, raw)
        self.items.append(EvidenceItem(name, f"sha256:{sha256}", self_reported))

    def add_fact(self, name: str, fact: Any) -> None:
        """A fact's dataclass, as JSON; `load` reads it back into the same values."""
        self.add_bytes(name, msgspec.json.encode(fact, order="deterministic"))

    def add_manifest(self, manifest: Manifest) -> None:
        self.add_bytes(MANIFEST, json.dumps(msgspec.to_builtins(manifest), sort_keys=True).encode())


def load(folder: Path, items: Iterable[EvidenceItem]) -> Evidence:
    """Evidence from stored files; each file's bytes must still have the digest that the report names."""
    kept = tuple(items)
    paths = {item.name: _verified(folder, item) for item in kept}
    manifest = manifest_of(folder, kept)
    shape = predictions.Shape(manifest.target, manifest.positive_label, manifest.groups)
    candidate = predictions.read(paths[CANDIDATE], shape, "the predictions") if CANDIDATE in paths else None
    champion = predictions.read(paths[CHAMPION], shape, "the champion's predictions") if CHAMPION in paths else None
    reported = metrics_file.read(paths[METRICS]) if METRICS in paths else None
    return Evidence(
        candidate=candidate,
        champion=champion,
        champion_absent=manifest.champion_absent,
        reference_absent=manifest.reference_absent,
        metrics={**(reported.metrics if reported else {}), **manifest.metrics},  # what we measured wins
        metrics_n=reported.n if reported else None,
        self_reported=reported is not None,
        samples=_samples(manifest),
        drift=_drift(paths[DRIFT]) if DRIFT in paths else None,
        importances=manifest.importances or None,
        facts=_facts(paths, manifest),
        lacking=manifest.lacking,
        items=tuple(item for item in kept if item.name != POLICY),
    )


def load_rollout(folder: Path, items: Iterable[EvidenceItem]) -> dict[str, Evidence]:
    """What a rollout saw, by stage; empty for another report. Each file's bytes must have the digest named."""
    return {
        item.name.removeprefix(ROLLOUT): live.load(_verified(folder, item).read_bytes())
        for item in items
        if item.name.startswith(ROLLOUT)
    }


def manifest_of(folder: Path, items: Iterable[EvidenceItem]) -> Manifest:
    """The stored manifest; an empty one where there is none."""
    for item in items:
        if item.name == MANIFEST:
            path = _verified(folder, item)
            try:
                return msgspec.json.decode(path.read_bytes(), type=Manifest)
            except msgspec.DecodeError as error:
                raise InvalidInput(f"evidence '{MANIFEST}' is not a manifest: {error}", file=path) from error
    return Manifest()


def _facts(paths: dict[str, Path], manifest: Manifest) -> dict[str, Any]:
    """Everything else that was stored, as the checks read it."""
    from gates.checks.data_contract import TableFacts
    from gates.checks.environment_drift import EnvironmentFacts
    from gates.checks.package_sound import PackageFacts
    from gates.collect import explanations, findings

    found: dict[str, Any] = {}
    kinds: dict[str, Any] = {"table": TableFacts, "environment": EnvironmentFacts, "package": PackageFacts}
    for name, kind in kinds.items():
        if name in paths:
            found[name] = msgspec.json.decode(paths[name].read_bytes(), type=kind)
    if EXPLANATIONS in paths:
        found[EXPLANATIONS] = explanations.facts(json.loads(paths[EXPLANATIONS].read_bytes()))
    found["findings"] = {
        file: findings.read(paths[FINDINGS + file], kind) for file, kind in manifest.findings.items()
    }  # fmt: skip
    return found


def _drift(path: Path) -> tuple[Any, ...]:
    from gates.drift.found import ColumnDrift

    return msgspec.json.decode(path.read_bytes(), type=tuple[ColumnDrift, ...])


def _samples(manifest: Manifest) -> dict[str, Any]:
    if not manifest.samples:
        return {}
    import numpy as np

    return {name: np.asarray(values, dtype=np.float64) for name, values in manifest.samples.items()}


def _verified(folder: Path, item: EvidenceItem) -> Path:
    path = folder / item.sha256.partition(":")[2]
    if not path.is_file():
        raise InvalidInput(
            f"evidence '{item.name}' is missing", file=path, hint="keep the report's evidence folder beside it"
        )
    if sha256_of(path) != path.name:
        raise InvalidInput(
            f"evidence '{item.name}' was changed", file=path, hint="its bytes no longer have the digest of the report"
        )
    return path
