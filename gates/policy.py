"""policy.yml -> Policy: typed checks with their lines, by stage.

Parsing binds each check to its class, so a misspelt parameter fails before any data is touched. A lint pass refuses
what a schema cannot see: duplicate ids, an empty stage, a waiver for an unknown check, an expired policy or waiver.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from gates.checks import CHECKS
from gates.checks.spec import OnInconclusive, Settings, Severity
from gates.document import Document, convert, did_you_mean, parse_yaml
from gates.errors import InvalidInput
from gates.inputs import duration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gates.checks.spec import Check

STAGES = ("train", "validate", "register", "deploy", "canary", "drift")
Pem = Annotated[
    str,
    Meta(
        pattern=r"^-----BEGIN PUBLIC KEY-----\n[A-Za-z0-9+/=\n]+\n-----END PUBLIC KEY-----\n?$",
        description="A public key as PEM text: `openssl pkey -in KEY -pubout`.",
    ),
]
Day = Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$", description='A date, quoted: "2027-06-30".')]


class Defaults(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a check takes when it says nothing itself."""

    severity: Annotated[Severity, Meta(description="block decides; warn is advisory.")] = "block"
    on_inconclusive: Annotated[OnInconclusive, Meta(description="Whether undecided evidence blocks.")] = "block"
    confidence: Annotated[float, Meta(gt=0.5, lt=1.0, description="Of every interval.")] = 0.95
    seed: Annotated[int, Meta(ge=0, description="Of every bootstrap.")] = 20240601


class Champion(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The model that a candidate is compared with."""

    alias: Annotated[str, Meta(description="The registry alias that names it.")] = "champion"
    when_absent: Annotated[
        Literal["bootstrap", "fail"],
        Meta(description="bootstrap: checks against a champion are SKIPPED while there is none; fail: they are ERROR."),
    ] = "fail"
    same_data: Annotated[
        Literal[True], Meta(description="Both are scored on byte-identical rows; nothing else is comparable.")
    ] = True


class Approvals(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who must agree before a deployment."""

    min: Annotated[int, Meta(ge=1, description="How many people.")] = 1
    forbid_author: Annotated[bool, Meta(description="Whoever asked for the deployment may not approve it.")] = True
    max_age: Annotated[str, Meta(description="An approval older than this does not count: 72h.")] = "72h"


class Retrain(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When drift-check asks for retraining."""

    on_drift: Annotated[bool, Meta(description="When the stage fails.")] = True
    on_performance_drop: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(description="When the metric fell by more than this against the baseline."),
    ] = None
    on_age: Annotated[str | None, Meta(description="When the model is older than this: 30d.")] = None


class StageFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One stage's checks."""

    checks: Annotated[list[dict[str, Any]], Meta(description="The checks of this stage.")]
    approvals: Annotated[Approvals | None, Meta(description="register and deploy only.")] = None
    retrain: Annotated[Retrain | None, Meta(description="drift only.")] = None


class StagesFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The stages; the commands judge: train, validate, register, deploy and canary, drift."""

    train: Annotated[StageFile | None, Meta(description="What training data and metrics must keep to.")] = None
    validate: Annotated[StageFile | None, Meta(description="What validate-gate judges a candidate on.")] = None
    register: Annotated[StageFile | None, Meta(description="What must hold when a model is registered.")] = None
    deploy: Annotated[StageFile | None, Meta(description="What a new deployment must show before traffic.")] = None
    canary: Annotated[StageFile | None, Meta(description="What is watched while traffic moves.")] = None
    drift: Annotated[StageFile | None, Meta(description="What drift-check judges current data on.")] = None


class Waiver(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Excuses one check's FAIL, never its ERROR, until it expires."""

    check: Annotated[str, Meta(description="The id of the check.")]
    reason: Annotated[str, Meta(min_length=1, description="Why.")]
    approved_by: Annotated[str, Meta(min_length=1, description="Who answers for it.")]
    expires: Annotated[Day, Meta(description="The last day it counts.")]
    model_version: Annotated[str | None, Meta(description="Only for this registered version.")] = None
    model_digest: Annotated[str | None, Meta(description="Only for these bytes.")] = None


class Signing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose signatures count. Where it stands, every statement of a model must bear one of them."""

    keys: Annotated[
        list[Pem],
        Meta(min_length=1, description="Public keys that are trusted, each as PEM text: ed25519, or ECDSA on P-256."),
    ]
    openssf: Annotated[
        Pem | None,
        Meta(description="A public EC key: the model must bear an OpenSSF model-signing signature of it too."),
    ] = None


class PolicyFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """policy.yml, version 1: what is good enough. Owned by whoever answers for quality."""

    version: Annotated[Literal[1], Meta(description="The version of this file's form.")]
    name: Annotated[str, Meta(min_length=1, description="The policy's name.")]
    stages: Annotated[StagesFile, Meta(description="The checks by stage.")]
    revision: Annotated[int, Meta(ge=0, description="Counts up with every change.")] = 0
    owner: Annotated[str, Meta(description="Who answers for it.")] = ""
    expires: Annotated[Day | None, Meta(description="After this day the policy judges nothing any more.")] = None
    defaults: Annotated[Defaults, Meta(description="What checks take when they say nothing.")] = Defaults()
    champion: Annotated[Champion, Meta(description="What candidates are compared with.")] = Champion()
    waivers: Annotated[list[Waiver], Meta(description="Excuses, each with an end.")] = []
    signing: Annotated[Signing | None, Meta(description="Whose signatures register and deploy ask for.")] = None


@dataclass(frozen=True)
class Bound:
    """A check as it stands in the policy: with its line, and the defaults applied."""

    check: Check
    type: str
    line: int
    severity: Severity
    on_inconclusive: OnInconclusive


@dataclass(frozen=True)
class Stage:
    """A stage with at least one check."""

    name: str
    line: int
    checks: tuple[Bound, ...]
    approvals: Approvals | None = None
    retrain: Retrain | None = None


@dataclass(frozen=True)
class Policy:
    """What is good enough. `digest` is the sha256 of the file's bytes; `source` is `file`, `ref:…` or `digest`."""

    file: Path
    digest: str
    source: str
    settings: PolicyFile
    stages: Mapping[str, Stage] = field(default_factory=dict)

    @property
    def check_settings(self) -> Settings:
        defaults = self.settings.defaults
        return Settings(defaults.confidence, defaults.seed, self.settings.champion.when_absent)

    def describe(self) -> dict[str, Any]:
        """`policy` of report.v1."""
        name, revision = self.settings.name, self.settings.revision
        return {"digest": self.digest, "name": name, "revision": revision, "source": self.source}


def load(raw: bytes, file: Path, *, source: str = "file", today: date) -> Policy:
    """Parse and lint. Raises errors.InvalidInput with file, line and what to write instead."""
    document = parse_yaml(raw, file, "the policy")
    settings = convert(document, PolicyFile)
    stages = {}
    for name in STAGES:
        stage = getattr(settings.stages, name)
        if stage is None and name in document.value["stages"]:
            raise _without_checks(document, name)
        if stage is not None:
            stages[name] = _stage(document, name, stage, settings.defaults)
    if not stages:
        raise document.error(
            "the policy has no stage", ("stages",), "a policy without checks decides nothing; add 'validate'"
        )
    _lint(document, settings, stages, today)
    return Policy(file, "sha256:" + hashlib.sha256(raw).hexdigest(), source, settings, stages)


def schema() -> dict[str, Any]:
    """The JSON Schema of policy.yml, with every check's own keys, for editors."""
    (policy, *refs), components = msgspec.json.schema_components(
        [PolicyFile, *CHECKS.values()], ref_template="#/$defs/{name}"
    )
    components["StageFile"]["properties"]["checks"]["items"] = {
        "anyOf": refs,
        "discriminator": {"propertyName": "type"},
    }
    components["StageFile"]["properties"]["checks"]["minItems"] = 1
    return {**policy, "$defs": components}


def _stage(document: Document, name: str, stage: StageFile, defaults: Defaults) -> Stage:
    at = ("stages", name)
    if not stage.checks:
        raise _without_checks(document, name)
    if stage.approvals and name not in ("register", "deploy"):
        raise document.error(
            "approvals belong to the stages 'register' and 'deploy'", (*at, "approvals"), "move them there"
        )
    if stage.retrain and name != "drift":
        raise document.error("retrain belongs to the stage 'drift'", (*at, "retrain"), "move it there")
    bound = tuple(_bind(document, (*at, "checks", i), raw, defaults) for i, raw in enumerate(stage.checks))
    return Stage(name, document.line(at) or 0, bound, stage.approvals, stage.retrain)


def _without_checks(document: Document, name: str) -> InvalidInput:
    what = f"stage '{name}' has no checks"
    return document.error(what, ("stages", name), "a stage without checks decides nothing; add one or remove it")


def _bind(document: Document, at: tuple[str | int, ...], raw: dict[str, Any], defaults: Defaults) -> Bound:
    kind = raw.get("type")
    if kind is None:
        raise document.error(
            f"check '{raw.get('id', '?')}' has no type", at, f"known types: {', '.join(sorted(CHECKS))}"
        )
    if not isinstance(kind, str) or kind not in CHECKS:
        raise document.error(f"unknown check type '{kind}'", (*at, "type"), did_you_mean(str(kind), CHECKS))
    check: Check = convert(document, CHECKS[kind], at=at)
    for key, message in check.lint():
        what, _, hint = message.partition("; ")
        raise document.error(f"{check.id}: {what}", (*at, *key.split(".")), hint)
    return Bound(
        check,
        kind,
        document.line(at) or 0,
        check.severity or defaults.severity,
        check.on_inconclusive or defaults.on_inconclusive,
    )


def _lint(document: Document, settings: PolicyFile, stages: Mapping[str, Stage], today: date) -> None:
    seen: dict[str, int] = {}
    for stage in stages.values():
        for bound in stage.checks:
            if bound.check.id in seen:
                at = next(p for p, line in document.lines.items() if line == bound.line and p and p[0] == "stages")
                raise document.error(
                    f"duplicate check id '{bound.check.id}'", at, f"the first is on line {seen[bound.check.id]}"
                )
            seen[bound.check.id] = bound.line
        if stage.approvals:
            _duration(document, stage.approvals.max_age, ("stages", stage.name, "approvals", "max_age"))
        if stage.retrain and stage.retrain.on_age:
            _duration(document, stage.retrain.on_age, ("stages", stage.name, "retrain", "on_age"))
    if settings.expires and _day(document, settings.expires, ("expires",)) < today:
        raise document.error(
            f"the policy expired on {settings.expires}", ("expires",), "its owner reviews it and sets a new date"
        )
    for i, waiver in enumerate(settings.waivers):
        if waiver.check not in seen:
            raise document.error(
                f"a waiver for unknown check '{waiver.check}'",
                ("waivers", i, "check"),
                did_you_mean(waiver.check, seen),
            )
        if _day(document, waiver.expires, ("waivers", i, "expires")) < today:
            raise document.error(
                f"the waiver for '{waiver.check}' expired on {waiver.expires}", ("waivers", i, "expires"), "remove it"
            )


def _duration(document: Document, text: str, at: tuple[str | int, ...]) -> None:
    try:
        duration(text, str(at[-1]))
    except InvalidInput as error:
        raise document.error(error.what, at, error.hint) from None


def _day(document: Document, text: str, at: tuple[str | int, ...]) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise document.error(f"'{text}' is not a date", at, 'write e.g. "2027-06-30"') from None
