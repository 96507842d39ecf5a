"""The parts of a deployment that are not its order: verified bytes, golden rows, gates, approvals, what is recorded."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from gates import canonical
from gates.checks import CHECKS
from gates.collect.gather import Scorer
from gates.collect.golden import golden_rows
from gates.collect.signature import feature_names
from gates.document import load_json, read_bytes
from gates.errors import InvalidInput
from gates.files import write_whole
from gates.judge import judge
from gates.lineage.audit import Event
from gates.lineage.digest import file_digest, model_digest
from gates.lineage.record import Deploying, utc
from gates.lineage.statement import deploy_statement
from gates.lineage.verify import verify_for_deploy
from gates.policy import Bound, Stage
from gates.rollout.plan import Approval, Golden
from gates.runtime.environments import find_user_python
from gates.steps import judged, records
from gates.steps.register import gated_champion
from gates.steps.step import done
from gates.steps.validate_gate import find_champion

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gates.backends import EndpointFiles, ModelVersion
    from gates.evidence import Evidence
    from gates.policy import Policy
    from gates.rollout.machine import Ended
    from gates.rollout.plan import Analyse, Plan
    from gates.steps.step import Context
    from gates.verdict import GateReport


class WallClock:
    """Real time."""

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass(frozen=True)
class ChampionAlias:
    """The registry's champion alias, as rollout.port.Champion."""

    context: Context
    name: str
    policy: Policy

    @property
    def alias(self) -> str:
        return self.policy.settings.champion.alias

    def current(self) -> str | None:
        found = self.context.backend.find(self.name, alias=self.alias)
        return found.version if found else None

    def move(self, *, expected: str | None, new: str | None) -> None:
        self.context.backend.move_alias(self.name, self.alias, expected=expected, new=new)


def verified_model(context: Context, policy: Policy, version: ModelVersion, ungated: str) -> Path:
    """The registered bytes, fetched and verified against lineage and gate. Raises errors.Refused with every reason."""
    folder: Path = context.backend.fetch(version, context.state_dir / "models" / version.name / version.version)
    lineage = records.fetched_lineage(context, version)
    champion = find_champion(context, policy)
    live = champion.digest if champion else None
    if live == version.digest:  # deployed before: what its gate compared it with is not live any more
        live = gated_champion(lineage)
    verify_for_deploy(
        folder, lineage, policy_digest=policy.digest, live_champion=live, now=context.now().timestamp(),
        tags=version.tags, audit=records.audit(context), ungated=ungated,
    ).require()  # fmt: skip
    if model_digest(folder) != version.digest:
        raise InvalidInput(f"version {version.version} says {version.digest}, its bytes are others", file=folder)
    return folder


def score_function(context: Context) -> str:
    evaluate = context.project.settings.evaluate
    return evaluate.score if evaluate else "auto"


def spec_digest(files: EndpointFiles, version: ModelVersion) -> str:
    """What makes two deployments the same: the user's file with its code, and the model."""
    return canonical.digest({"body": files.deployment_body, "model": version.digest})


def golden(context: Context, files: EndpointFiles, version: ModelVersion, folder: Path) -> tuple[Golden, ...]:
    """Rows of the evaluation data with the gated answers. None for a scoring script of the user's."""
    data: Path | None = context.project.get("evaluate.data")
    if data is None or "code_configuration" in files.deployment_body:
        return ()
    scorer = Scorer(
        find_user_python(context.env, context.python), context.env, context.state_dir / "cache",
        score_function(context), context.say,
    )  # fmt: skip
    answers = scorer.answers(folder, version.digest, data, file_digest(data))
    return tuple(Golden(row.body, row.expected) for row in golden_rows(data, answers.path, feature_names(folder)))


def sample(context: Context) -> bytes | None:
    path: Path | None = context.project.get("deploy.sample_request")
    if path is None:
        return None
    load_json(path, "the sample request")
    return read_bytes(path, "the sample request")


def judge_deploy(context: Context, policy: Policy, version: ModelVersion) -> GateReport:
    """The report of the step; its stage 'deploy' is judged inside the rollout, where its evidence arises."""
    return done(context, stage="" if "deploy" in policy.stages else "deploy", policy=policy, model=version.digest)


def gate(context: Context, policy: Policy, stage: str, version: ModelVersion) -> Analyse | None:
    """A stage of the policy as the machine asks it; None when the policy has no such stage."""
    if stage not in policy.stages:
        return None

    def analyse(evidence: Evidence, *, final: bool) -> GateReport:
        return judge(
            policy, stage, replace(evidence, final=final), step=context.step, today=context.now().date(),
            model=judged.describe(version.digest, version=version.version),
        )  # fmt: skip

    return analyse


def with_canary(policy: Policy, context: Context) -> Policy:
    """The policy, with the built-in canary where it has none: errors over 3 times blue's, p95 over the limit + 25 %."""
    if "canary" in policy.stages:
        return policy
    context.platform.annotate("notice", "the policy has no stage 'canary': the built-in one applies")
    checks: list[Any] = [CHECKS["rate_ratio"](id="builtin.errors", signal="http_5xx", max_ratio=3.0)]  # type: ignore[call-arg]  # its own fields
    deploy = policy.stages.get("deploy")
    for bound in deploy.checks if deploy else ():
        if bound.type == "latency_quantile":
            limit: Any = bound.check
            wider = msgspec.structs.replace(
                limit, id="builtin.latency", signal="latency_ms", max_ms=limit.max_ms * 1.25
            )
            checks.append(wider)
            break
    bounds = tuple(Bound(check, type(check).__struct_config__.tag, 0, "block", "block") for check in checks)
    return replace(policy, stages={**policy.stages, "canary": Stage("canary", 0, bounds)})


def approve(context: Context, version: ModelVersion, policy: Policy) -> None:
    """Write down that the platform's actor approves these bytes under this policy."""
    actor = context.platform.run().get("actor", "")
    if not actor:
        raise InvalidInput(
            "--approve: the platform does not say who you are", hint="approve from a workflow or a login"
        )
    given = [*_read_approvals(context, version), {"by": actor, "ts": context.now().timestamp(),
             "model_digest": version.digest, "policy_digest": policy.digest}]  # fmt: skip
    write_whole(_approvals_file(context, version), json.dumps(given, indent=2) + "\n")
    records.note(
        context,
        Event(kind="approved", at=records.now(context), model_name=version.name, model=version.digest,
              version=version.version, policy=policy.digest, approvers=(actor,), actor=actor),
    )  # fmt: skip


def approvals(context: Context, version: ModelVersion) -> tuple[Approval, ...]:
    return tuple(Approval(**item) for item in _read_approvals(context, version))


def _approvals_file(context: Context, version: ModelVersion) -> Path:
    return context.state_dir / "approvals" / f"{version.name}-{version.version}.json"


def _read_approvals(context: Context, version: ModelVersion) -> list[dict[str, Any]]:
    path = _approvals_file(context, version)
    found: list[dict[str, Any]] = load_json(path, "the approvals") if path.is_file() else []
    return found


def record(
    context: Context, policy: Policy, version: ModelVersion, files: EndpointFiles, what: Mapping[str, Any], ungated: str
) -> None:
    """The deploy statement and the event, once: the machine may ask again after a crash."""
    folder = records.fetched_lineage(context, version)
    statements = folder.statements()
    if any(s.kind == "deploy" and s.predicate.get("deployId") == what["deploy_id"] for s in statements):
        return
    at = utc(context.now().timestamp())
    deploying = Deploying(
        endpoint=files.endpoint_name, deployment=what["green"]["name"], deploy_id=what["deploy_id"],
        outcome="succeeded", run=records.run_of(context), traffic=((at, {what["green"]["name"]: 100}),),
        ungated=ungated,
    )  # fmt: skip
    gates = [s.digest for s in statements if s.kind == "gate"]
    sealed = records.seal(
        context, folder,
        deploy_statement(deploying, model_digest=version.digest, time=at, inputs=gates[-1:] or [statements[0].digest],
                         audit_head=records.audit(context).head()),
    )  # fmt: skip
    records.note(
        context,
        Event(
            kind="deployed", at=at, model_name=version.name, model=version.digest, version=version.version,
            policy=policy.digest, endpoint=files.endpoint_name, deployment=what["green"]["name"],
            deploy_id=what["deploy_id"], traffic={what["green"]["name"]: 100}, outcome="succeeded",
            statement=sealed.digest, ungated=ungated, actor=context.platform.run().get("actor", ""),
        ),
    )  # fmt: skip


def rolled_back_event(context: Context, version: ModelVersion, plan: Plan, ended: Ended) -> Event:
    return Event(
        kind="rolled-back", at=records.now(context), model_name=version.name, model=version.digest,
        version=version.version, endpoint=plan.endpoint, deployment=plan.green.name, deploy_id=ended.deploy_id,
        outcome="rolled-back", reason=ended.reason, actor=context.platform.run().get("actor", ""),
    )  # fmt: skip
