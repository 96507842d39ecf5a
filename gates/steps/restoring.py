"""What `rollback` and `reconcile` share: the endpoint that is meant, the machine's ports, the event."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

from gates import errors, inputs
from gates.lineage.audit import Event
from gates.rollout.plan import Rollout
from gates.steps import deploying, records
from gates.steps.endpoint_status import endpoint_name

if TYPE_CHECKING:
    from gates.policy import Policy
    from gates.rollout.machine import Ended
    from gates.steps.step import Context

ENDS: dict[str, type[errors.GatesError]] = {
    "unknown": errors.StateUnknown,
    "conflict": errors.Conflict,
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
        "endpoint": context.backend.endpoint(found, score=deploying.score_function(context)),
        "champion": deploying.ChampionAlias(context, context.project.settings.model, policy),
        "journal": context.backend.journal(found),
        "clock": deploying.WallClock(),
        "say": lambda where, text: context.say(f"{where:<14} {text}" if where else text),
        "stop": lambda: False,
        "owner": f"{socket.gethostname()}:{os.getpid()}",
        "rollout": Rollout(keep_old=keep, poll=0.5),
        "sample": deploying.sample(context),
    }


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
        endpoint=endpoint.name, deployment=ended.previous, deploy_id=ended.deploy_id, outcome="rolled-back",
        previous=serves.model_digest if serves else "", reason=ended.reason,
        actor=context.platform.run().get("actor", ""),
    ))  # fmt: skip
