"""Register the model that the gate allowed, and no other.

Verifies that the gate's report says allow for these very bytes, under this policy, against the champion that is live
now; then registers the model with its lineage, tags and alias. Registering the same bytes again changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gates import canonical
from gates.document import load_json, read_bytes
from gates.errors import InvalidInput, Refused
from gates.files import write_whole
from gates.inputs import option, output
from gates.lineage.audit import Event
from gates.lineage.card import render_card
from gates.lineage.digest import model_digest
from gates.lineage.folder import CARD, pointers
from gates.lineage.record import Gating
from gates.lineage.statement import gate_statement
from gates.lineage.verify import verify_for_register
from gates.steps import approvals, judged, records, state
from gates.steps.execute import values_of
from gates.steps.model_card import card_of
from gates.steps.register_stage import judge_registering
from gates.steps.step import Common, CommonOutputs, Context, Ended, done, ended
from gates.steps.validate_gate import find_champion

if TYPE_CHECKING:
    from pathlib import Path

    from gates.lineage.folder import LineageFolder
    from gates.policy import Policy

SUMMARY = "Register the model that the gate allowed, and no other."


@dataclass(frozen=True, kw_only=True)
class Inputs(Common):
    model: str = option("The model folder. Default: what `train` made last.")
    report: Path | None = option("The gate's report.json. Default: that of the last `validate-gate`.", kind="path")
    name: str = option("The registered model's name.", config="model")
    alias: str = option("The alias that names the new version.", default="candidate")
    card: Path | None = option("What people say of the model, for its card. Default: card.yml beside the project file, "
                               "where there is one.", kind="path")  # fmt: skip
    strict_card: bool = option("Refuse a model whose card would say NOT PROVIDED anywhere.", kind="bool", default=False)
    openssf_signature: Path | None = option(
        "An OpenSSF model-signing signature over the model, kept beside it; the policy may ask for one.", kind="path"
    )
    approve: bool = option("Approve, as whoever the platform says you are.", kind="bool", default=False)
    allow_ungated: str = option(
        "A REASON lets a model through without a gate's decision; it goes into lineage, audit log, tags and reports."
    )


@dataclass(kw_only=True)
class Outputs(CommonOutputs):
    model_name: str = output("The registered model's name.")
    model_version: str = output("The version, an integer.")
    model_uri: str = output("The version's URI in the registry.")
    registered: str = output("true when a new version was made, false when these bytes were registered before.")


def run(inputs: Inputs, context: Context, out: Outputs) -> Ended:
    """Verify, judge the stage 'register' when there is one, register."""
    folder = model_folder(inputs.model, context)
    digest = _identity(folder)
    report = None if inputs.allow_ungated else _report(inputs, context)
    policy, raw = _policy(context, report)
    champion = find_champion(context, policy)
    live = champion.digest if champion else None
    lineage = _lineage(context, digest, report)
    if live == digest:  # registered and promoted before: the champion of its gate is the one before it
        live = gated_champion(lineage)
    if inputs.approve:
        approvals.approve(context, digest, policy)
    rule = approvals.rule_of(context, policy, "register")
    given = approvals.given(context, digest)
    verify_for_register(
        folder, lineage, report=report, policy_digest=policy.digest, live_champion=live,
        now=context.now().timestamp(), trusted=records.trusted(policy), rule=rule, approvals=given,
        audit=records.audit(context), ungated=inputs.allow_ungated,
    ).require()  # fmt: skip
    if inputs.openssf_signature:
        signature = read_bytes(inputs.openssf_signature, "the OpenSSF signature")
        write_whole(lineage.path / records.OPENSSF, signature)
    records.require_openssf(policy, folder, lineage)
    judged_report = judge_registering(context, policy, raw, folder, digest)
    end = ended(judged_report) if judged_report.checks else Ended()
    if end.exit_code == 0:
        end = _register(inputs, context, out, folder, digest, policy)
    names = ("model_name", "model_version", "model_uri", "registered")
    shown = {**values_of(out, *names), "ungated": inputs.allow_ungated}
    context.write_report(judged_report, out, shown, policy_file=policy.file)
    return end


def model_folder(given: str, context: Context) -> Path:
    """The model folder as named, or what `train` made last."""
    found = given or state.recall(context, "train").get("model", "")
    if not found:
        raise InvalidInput("nothing says which model", hint="give --model, or run `gates train` first")
    path = context.cwd / found
    if not (path / "MLmodel").is_file():
        raise InvalidInput(f"no MLflow model at {path}", hint="name the folder that holds the file MLmodel")
    return path


def _identity(folder: Path) -> str:
    """The model's digest. What has none (a link, a .git folder) is no model that a gate has seen."""
    try:
        return model_digest(folder)
    except InvalidInput as error:
        raise Refused(f"refused to register: {error.what}", hint=error.hint, file=error.file) from error


def _lineage(context: Context, digest: str, report: dict[str, Any] | None) -> LineageFolder:
    """The lineage of these bytes; where there is none, that of the model which the report is about.

    The bytes have changed then, and only the lineage of what they were can tell which of them.
    """
    own = records.lineage_of(context, digest)
    if own.path.is_dir() or report is None:
        return own
    try:
        gated = records.lineage_of(context, str(report["result"]["model"]["digest"]))
    except (KeyError, TypeError, InvalidInput):
        return own
    return gated if gated.path.is_dir() else own


def gated_champion(lineage: Any) -> str | None:
    """The champion that the model's last gate compared it with."""
    gates = [statement for statement in lineage.statements() if statement.kind == "gate"]
    champion = gates[-1].predicate.get("champion") if gates else None
    return str(champion["digest"]) if champion else None


def _report(inputs: Inputs, context: Context) -> dict[str, Any]:
    path = inputs.report or state.recall(context, "validate-gate").get("report")
    if not path:
        raise InvalidInput("no gate report is named", hint="run `gates validate-gate` first, or give --report")
    report = load_json(context.cwd / path, "the gate report")
    if not isinstance(report, dict):
        raise InvalidInput("not a gate report", file=str(path), hint="give the report.json of validate-gate")
    return report


def _policy(context: Context, report: dict[str, Any] | None) -> tuple[Policy, bytes]:
    """The policy that must have judged, with its bytes: the project's, at the ref that the report names if any."""
    try:
        source = str(report["result"]["policy"]["source"]) if report else "file"
    except (KeyError, TypeError):
        source = "file"
    ref = source.removeprefix("ref:") if source.startswith("ref:") else ""
    return judged.load_policy(context, context.project.get("policy"), ref=ref)


def _register(inputs: Inputs, context: Context, out: Outputs, folder: Path, digest: str, policy: Policy) -> Ended:
    lineage = records.lineage_of(context, digest)
    name = inputs.name or context.project.settings.model
    if inputs.allow_ungated:
        _record_override(inputs, context, digest, policy)
    write_whole(
        lineage.path / CARD, render_card(lineage.composite(), card_of(inputs.card, context), strict=inputs.strict_card)
    )
    tags = pointers(lineage.statements(), audit_head=records.audit(context).head())
    run_id = state.recall(context, "train").get("run_id", "") if _is_last(context, digest) else ""
    version, new = context.backend.register(name, folder, digest=digest, run_id=run_id, tags=tags, lineage=lineage.path)
    out.model_name, out.model_version, out.model_uri = version.name, version.version, version.uri
    out.registered = "true" if new else "false"
    context.platform.tag(f"{version.name}-{version.version}")
    if inputs.alias:
        current = context.backend.find(name, alias=inputs.alias)
        context.backend.move_alias(
            name, inputs.alias, expected=current.version if current else None, new=version.version
        )
    if new or inputs.allow_ungated:
        records.note(
            context,
            Event(
                kind="registered", at=records.now(context), model_name=name, model=digest, version=version.version,
                policy=policy.digest, ungated=inputs.allow_ungated, actor=context.platform.run().get("actor", ""),
            ),
        )  # fmt: skip
    records.publish(context, version, records.audit(context).head())
    state.remember(context, "register", name=name, version=version.version, digest=digest)
    was = "registered" if new else "was registered before as"
    return Ended(message=f"{was} {name} version {version.version} ({digest})")


def _record_override(inputs: Inputs, context: Context, digest: str, policy: Policy) -> None:
    """A gate statement that says there was no decision, and why; nothing takes it for one."""
    result = done(context, stage="validate", policy=policy, model=digest).to_json()
    gating = Gating(
        result=result, report_digest=canonical.digest(result), run=records.run_of(context), ungated=inputs.allow_ungated
    )
    lineage = records.lineage_of(context, digest)
    statement = gate_statement(
        gating, model_digest=digest, time=records.now(context), inputs=[lineage.statements()[0].digest],
        audit_head=records.audit(context).head(),
    )  # fmt: skip
    sealed = records.seal(context, lineage, statement)
    records.note(
        context,
        Event(
            kind="gated", at=records.now(context), model_name=context.project.settings.model, model=digest,
            policy=policy.digest, ungated=inputs.allow_ungated, statement=sealed.digest,
            actor=context.platform.run().get("actor", ""),
        ),
    )  # fmt: skip


def _is_last(context: Context, digest: str) -> bool:
    return state.recall(context, "train").get("digest") == digest
