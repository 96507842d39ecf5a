"""The parts of a deployment that are not its order: verified bytes, golden rows, gates, approvals, what is recorded."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gates import canonical, inputs
from gates.collect import load, outcomes
from gates.collect.gather import Scorer
from gates.collect.golden import golden_rows
from gates.collect.signature import feature_names
from gates.document import load_json, read_bytes
from gates.errors import InvalidInput
from gates.lineage.audit import Event
from gates.lineage.digest import file_digest, model_digest
from gates.lineage.findings import not_counted
from gates.lineage.questions import serving
from gates.lineage.record import Deploying, seconds, utc
from gates.lineage.statement import deploy_statement
from gates.lineage.verify import verify_for_deploy
from gates.rollout.plan import Approval, Golden
from gates.runtime.environments import find_user_python
from gates.steps import approvals as approving
from gates.steps import records, sharing
from gates.steps.register import gated_champion
from gates.steps.validate_gate import find_champion

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from gates.backends import EndpointFiles, ModelVersion
    from gates.evidence import Evidence
    from gates.lineage.record import Approval as Approved
    from gates.policy import Policy
    from gates.project import LoadTest
    from gates.rollout.machine import Ended
    from gates.rollout.plan import Loading, Plan
    from gates.rollout.port import Endpoint
    from gates.steps.step import Context


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
    if version.archived:
        raise InvalidInput(
            f"{version.name} version {version.version} is archived", hint="register its bytes again, and deploy that"
        )
    folder: Path = context.backend.fetch(version, context.state_dir / "models" / version.name / version.version)
    lineage = records.fetched_lineage(context, version)
    champion = find_champion(context, policy)
    live = champion.digest if champion else None
    if live == version.digest:  # deployed before: what its gate compared it with is not live any more
        live = gated_champion(lineage)
    verify_for_deploy(
        folder, lineage, policy_digest=policy.digest, live_champion=live, now=context.now().timestamp(),
        tags=version.tags, trusted=records.trusted(policy), audit=sharing.log_behind(context, lineage), ungated=ungated,
    ).require()  # fmt: skip
    records.require_openssf(policy, folder, lineage)
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
    evaluate = context.project.settings.evaluate
    without = ("row_id", evaluate.target) if evaluate else ("row_id",)
    rows = golden_rows(data, answers.path, feature_names(folder), without=without)
    return tuple(Golden(row.body, row.expected) for row in rows)


def sample(context: Context) -> bytes | None:
    path: Path | None = context.project.get("deploy.sample_request")
    if path is None:
        return None
    load_json(path, "the sample request")
    return read_bytes(path, "the sample request")


def load_test(
    context: Context, endpoint: Endpoint, asked: LoadTest, golden: tuple[Golden, ...], sample: bytes | None
) -> Loading:
    """A load test as the machine calls it: by k6 when it is on PATH, else by our own threads."""
    bodies = [row.body for row in golden] or [sample or b""]
    seconds = inputs.duration(asked.duration, "rollout.load.duration")

    def run(deployment: str, *, beat: Callable[[], None]) -> Evidence:
        url, headers = endpoint.address(deployment)
        done = load.k6(url, headers, bodies, rate=asked.rate, seconds=seconds, beat=beat, env=context.env)
        if done is None:

            def ask(body: bytes) -> int:
                return endpoint.ask(body, deployment=deployment, timeout=load.TIMEOUT).status

            done = load.constant_rate(ask, bodies, rate=asked.rate, seconds=seconds, beat=beat)
        context.say(f"load test by {done.tool}: {len(done.ms)} requests at {asked.rate:g}/s, {done.failed} failed")
        return done.evidence()

    return run


def labels(context: Context, path: Path | None, green: str) -> Callable[[Evidence], Evidence] | None:
    """Adds what is labelled so far to what was seen; None where there is no file of outcomes."""
    evaluate = context.project.settings.evaluate
    if path is None:
        return None
    if evaluate is None:
        raise InvalidInput("deploy.outcomes needs evaluate.target", file=context.project.file, hint="add the section")
    return lambda evidence: outcomes.added(evidence, path, target=evaluate.target, green=green)


def approve(context: Context, version: ModelVersion, policy: Policy) -> None:
    """Write down that the platform's actor approves these bytes under this policy."""
    approving.approve(context, version.digest, policy, version=version.version)


def approvals(context: Context, version: ModelVersion, policy: Policy) -> tuple[Approval, ...]:
    """The approvals as the rollout reads them. Raises errors.Refused when there are some, and too few count."""
    rule = approving.rule_of(context, policy, "deploy")
    found = approving.require_counting(context, version.digest, policy, rule)
    return tuple(Approval(a.by, seconds(a.at), a.model_digest, a.policy_digest) for a in found)


def record(
    context: Context, policy: Policy, version: ModelVersion, files: EndpointFiles, what: Mapping[str, Any], ungated: str
) -> None:
    """The deploy statement and the event, once: the machine may ask again after a crash."""
    folder = records.fetched_lineage(context, version)
    statements = folder.statements()
    if any(s.kind == "deploy" and s.predicate.get("deployId") == what["deploy_id"] for s in statements):
        return
    at, before = utc(context.now().timestamp()), what["snapshot"].get("champion")
    previous = context.backend.find(version.name, version=before) if before else None
    deploying = Deploying(
        endpoint=files.endpoint_name, deployment=what["green"]["name"], deploy_id=what["deploy_id"],
        outcome="succeeded", run=records.run_of(context), traffic=((at, {what["green"]["name"]: 100}),),
        previous=previous.digest if previous else None, approvals=_approved(context, policy, version), ungated=ungated,
    )  # fmt: skip
    gates = [s.digest for s in statements if s.kind == "gate"]
    sealed = records.seal(
        context, folder,
        deploy_statement(deploying, model_digest=version.digest, time=at, inputs=gates[-1:] or [statements[0].digest],
                         audit_head=records.audit(context).head()),
    )  # fmt: skip
    head = records.note(
        context,
        Event(
            kind="deployed", at=at, model_name=version.name, model=version.digest, version=version.version,
            policy=policy.digest, endpoint=files.endpoint_name, deployment=what["green"]["name"],
            deploy_id=what["deploy_id"], traffic={what["green"]["name"]: 100}, outcome="succeeded",
            statement=sealed.digest, ungated=ungated, actor=context.platform.run().get("actor", ""),
            previous=previous.digest if previous else "",
        ),
    )  # fmt: skip
    records.publish(context, version, head)


def _approved(context: Context, policy: Policy, version: ModelVersion) -> tuple[Approved, ...]:
    """The approvals that counted."""
    rule, now = approving.rule_of(context, policy, "deploy"), context.now().timestamp()
    found = approving.given(context, version.digest)
    return tuple(item for item in found if not not_counted(item, rule, version.digest, policy.digest, now))


def rolled_back_event(context: Context, version: ModelVersion, plan: Plan, ended: Ended) -> Event:
    """The event; `previous` is the model that serves again, as the audit log knows it."""
    before = serving(records.audit(context).events(), plan.endpoint)
    return Event(
        kind="rolled-back", at=records.now(context), model_name=version.name, model=version.digest,
        version=version.version, endpoint=plan.endpoint, deployment=plan.green.name, deploy_id=ended.deploy_id,
        outcome="rolled-back", previous=str(before[0]["model"]) if before else "",
        reason=ended.reason, actor=context.platform.run().get("actor", ""),
    )  # fmt: skip
