"""Judge what a gate on another machine sent here: the command of the job that `validate-gate --gate-compute` submits.

The job gets this package, the policy, what is needed of the project, and a request that says what the caller judges;
model, data and champion come from the workspace. What it was given must be what was asked for, by digest. The rows of
the data and what was answered on them stay in the workspace: `rows` is an output of the job that nobody fetches.
It is no step of its own: nothing is recorded here, the caller does that.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from gates import policy as policies
from gates.backends import ModelVersion
from gates.collect import store as stores
from gates.document import read_bytes
from gates.errors import GatesError, InvalidInput, Unavailable
from gates.files import write_whole
from gates.inputs import option
from gates.lineage.digest import file_digest, model_digest
from gates.lineage.record import Approval  # noqa: TC001  # msgspec reads the annotation
from gates.reports import json as json_report
from gates.steps import gating
from gates.steps.step import Common, CommonOutputs, Context, Ended

if TYPE_CHECKING:
    from pathlib import Path

SUMMARY = "Judge what a gate on another machine sent here; the command of its job."
POLICY, REQUEST, ENDED, REPORT, BASELINE = "policy.yml", "request.json", "ended.json", "report.json", "baseline.json"
STAYS = (stores.CANDIDATE, stores.CHAMPION, stores.EXPLANATIONS)
"""Evidence that holds a row for each row of the data."""


class Champion(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The version to compare with. uri: as its registry names it."""

    name: str
    version: str
    digest: str
    uri: str


class Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the caller judges. day: ISO, waivers depend on it; data: its digest, '' where the caller has none."""

    step: str
    stage: str
    day: str
    source: str
    policy: str
    model: str
    data: str
    champion: Champion | None
    approvals: tuple[Approval, ...] = ()
    version: str = ""


@dataclass(frozen=True, kw_only=True)
class Inputs(Common):
    request: Path | None = option("What is judged.", kind="path")
    model: Path | None = option("The candidate's folder.", kind="path")
    data: Path | None = option("The evaluation data.", kind="path")
    champion_model: Path | None = option("The champion's folder.", kind="path")
    into: Path | None = option("Where the report goes.", kind="path")
    rows_into: Path | None = option("Where the evidence that holds rows goes.", kind="path")


@dataclass(kw_only=True)
class Outputs(CommonOutputs):
    """The common ones."""


def run(inputs: Inputs, context: Context, out: Outputs) -> Ended:  # noqa: ARG001  # the caller reads files
    """Judge, and say in `ended.json` how that ended. A known end is no failure of the job: it is the answer."""
    into: Path = context.need(inputs.into, "into")
    rows: Path = context.need(inputs.rows_into, "rows-into")
    try:
        said = _judge(inputs, context, into, rows)
    except GatesError as error:
        said = {"outcome": error.outcome, "what": error.what, "hint": error.hint}
        context.say(f"error: {error}")
    if not rows.is_dir() or not any(rows.iterdir()):
        write_whole(rows / "none", "no evidence holds rows\n")  # an output that nobody wrote to fails the job
    write_whole(into / ENDED, json.dumps(said))
    return Ended(message=f"the gate ended: {said['outcome']}")


def _judge(inputs: Inputs, context: Context, into: Path, rows: Path) -> dict[str, Any]:
    request = _request(context.need(inputs.request, "request"))
    here = replace(context, now=lambda: datetime.fromisoformat(request.day).replace(tzinfo=timezone.utc))
    file = context.project.folder / POLICY
    raw = read_bytes(file, "the policy")
    policy = policies.load(raw, file, source=request.source, today=here.now().date())
    model: Path = context.need(inputs.model, "model")
    _same("the policy", policy.digest, request.policy)
    _same("the model", model_digest(model), request.model)
    if request.data and inputs.data is not None:
        _same("the data", file_digest(inputs.data), request.data)
    asked = gating.Asked(
        step=request.step, stage=request.stage, model=model, digest=request.model, data=inputs.data,
        champion=_version(request.champion), fetch=lambda _, into: _copied(inputs.champion_model, into),
        approvals=request.approvals, python=inputs.python, version=request.version,
    )  # fmt: skip
    report, store = gating.judge_asked(asked, here, policy, raw)
    text, digest = json_report.render(report, {})
    for item in store.items:
        name = item.sha256.partition(":")[2]
        place = rows if item.name in STAYS else into / "evidence"
        place.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(store.folder / name, place / name)
    write_whole(into / BASELINE, gating.baseline(asked, here, store))
    write_whole(into / REPORT, text)
    return {"outcome": "judged", "digest": digest}


def _request(path: Path) -> Request:
    try:
        return msgspec.json.decode(read_bytes(path, "the request"), type=Request)
    except msgspec.DecodeError as error:
        raise InvalidInput(f"not a request of this gate: {error}", file=path) from error


def _same(what: str, here: str, asked: str) -> None:
    if here != asked:
        raise Unavailable(f"{what} that came here is {here}, not {asked}", hint="gate again")


def _version(champion: Champion | None) -> ModelVersion | None:
    if champion is None:
        return None
    return ModelVersion(name=champion.name, version=champion.version, digest=champion.digest, uri=champion.uri)


def _copied(given: Path | None, into: Path) -> Path:
    if given is None:
        raise Unavailable("the champion did not come here", hint="gate again")
    return shutil.copytree(given, into)
