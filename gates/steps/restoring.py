"""What `rollback` and `reconcile` share: the endpoint that is meant, the machine's ports, the event."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

from gates import errors, inputs
from gates.lineage.audit import Event
from gates.lineage.verify import verify_for_rollback
from gates.rollout.plan import Rollout
from gates.steps import deploying, records
from gates.steps.endpoint_status import endpoint_name, endpoint_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from gates.policy import Policy
    from gates.rollout.machine import Ended
    from gates.serving import DeploymentView
    from gates.steps.step import Context

ENDS: dict[str, type[errors.GatesError]] = {
    "unknown": errors.StateUnknown,
    "conflict": errors.Conflict,
    "refused": errors.Refused,
    "waiting": errors.Waiting,
    "error": errors.Unavailable,
    "invalid": errors.InvalidInput,
}


def ports(context: Context, policy: Policy, name: str) -> dict[str, Any]:
    """The keyword arguments that `machine.rollback` and `machine.reconcile` both take."""
    deploy = context.project.settings.deploy
    keep = inputs.duration(deploy.rollout.keep_old, "rollout.keep_old") if deploy else Rollout.keep_old
    found = endpoint_name(name, context)
    return {
        "endpoint": endpoint_of(context, found),
        "champion": deploying.ChampionAlias(context, context.project.settings.model, policy),
        "journal": context.backend.journal(found),
        "clock": deploying.WallClock(),
        "say": lambda where, text: context.say(f"{where:<14} {text}" if where else text),
        "stop": lambda: False,
        "owner": f"{socket.gethostname()}:{os.getpid()}",
        "rollout": Rollout(keep_old=keep, poll=0.5),
        "sample": deploying.sample(context),
    }


def verifying(context: Context, policy: Policy) -> Callable[[DeploymentView], None]:
    """Asks of a deployment that would serve again whether its model still is what was gated and served."""

    def verify(view: DeploymentView) -> None:
        name = context.project.settings.model
        if not view.model_digest:  # made by somebody else, and it served before
            context.platform.annotate("warning", f"nobody can say which model {view.name} serves")
            return
        version = context.backend.find(name, digest=view.model_digest)
        if version is None:
            raise errors.Refused(
                f"refused to roll back to {view.name}: no version of {name} is {view.model_digest}",
                hint="write --to with a deployment whose model is registered",
            )
        try:
            folder = context.backend.fetch(version, context.state_dir / "models" / version.name / version.version)
            verify_for_rollback(
                folder, records.fetched_lineage(context, version), tags=version.tags, trusted=records.trusted(policy),
                audit=records.audit(context),
            ).require()  # fmt: skip
        except errors.Refused as error:
            raise errors.Refused(
                f"refused to roll back to {view.name}, whose model is {version.digest}: {error.what}",
                hint=error.hint or "deploy a version that verifies", file=error.file,
            ) from error  # fmt: skip

    return verify


def require(ended: Ended) -> None:
    """Raise what an end that is neither success nor a rollback means."""
    if ended.outcome == "cancelled":
        raise errors.Cancelled(ended.signal or 15)
    if ended.outcome in ENDS:
        raise ENDS[ended.outcome](ended.reason, hint=ended.hint)


def note(context: Context, ended: Ended, endpoint: Any) -> None:
    """The event of a rollback; `previous` is the model that serves again, as the endpoint tells."""
    serves = endpoint.observe().deployments.get(ended.live)
    records.note(context, Event(
        kind="rolled-back", at=records.now(context), model_name=context.project.settings.model,
        model=ended.candidate_model, endpoint=endpoint.name, deployment=ended.candidate, deploy_id=ended.deploy_id,
        outcome="rolled-back", previous=serves.model_digest if serves else "", reason=ended.reason,
        actor=context.platform.run().get("actor", ""),
    ))  # fmt: skip
