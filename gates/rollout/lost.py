"""A journal that was lost (a runner's disk that vanished) is rebuilt from the endpoint's tags, or nobody knows.

The tags hold the pointer that was written with the traffic: which deployment, how far, and what was before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gates.errors import StateUnknown
from gates.rollout.forward import phases
from gates.rollout.journal import ENDS, PLANNED, ROLLING_BACK
from gates.rollout.routing import pointer_of, routing_of

if TYPE_CHECKING:
    from gates.rollout.journal import Folded
    from gates.rollout.plan import Plan
    from gates.rollout.routing import Pointer
    from gates.rollout.run import Run
    from gates.serving import EndpointView


def rebuild(run: Run, folded: Folded, view: EndpointView, plan: Plan | None) -> bool:
    """Write the record that the lost ones amount to; False when nothing is lost. Raises StateUnknown, Conflict."""
    run.fenced(view)
    pointer = pointer_of(view.tags)
    if pointer is None or pointer.state in ENDS:
        return False
    if folded.last is not None and folded.last.deploy_id == pointer.id and pointer.seq <= folded.seq:
        return False
    if pointer.prev is None:
        raise StateUnknown(
            f"the journal of endpoint {run.endpoint.name} was lost while {pointer.green} was in {pointer.state}, "
            "and its tags do not say what was before",
            hint="look, then: gates rollback --to NAME",
        )
    routing = routing_of(view)
    mine = plan is not None and plan.identity(pointer.prev.to_json()) == pointer.id
    document = plan.document() if mine and plan is not None else _document(run, pointer)
    reached = _reached(pointer, plan) if mine and plan is not None else "GREEN_CREATING"
    existing = [name for name in view.deployments if name != pointer.green or name in pointer.prev.traffic]
    after: dict[str, Any] = {
        "plan": document,
        "snapshot": {
            **pointer.prev.to_json(), "deployments": sorted(existing), "champion": pointer.champion_prev or None,
            "sick": [],
        },
        "routing": routing.to_json(),
        "created": True,
        "reached": reached,
        "rebuilt": True,
    }  # fmt: skip
    run.record(PLANNED, "done", after=after, deploy_id=pointer.id, plan=document)
    run.tell(f"the journal was lost; rebuilt from the endpoint's tags: {pointer.green} in {pointer.state}")
    if pointer.state.startswith(ROLLING_BACK):
        run.record(ROLLING_BACK, "intent", after={"reason": "a rollback whose journal was lost"})
    return True


def _reached(pointer: Pointer, plan: Plan) -> str:
    """The state before the one whose write is in the tags: that one is entered again."""
    if pointer.prev is None:
        return PLANNED
    names = list(phases(plan, pointer.prev))
    state = pointer.state.removesuffix("_CLEARED")
    return names[names.index(state) - 1] if state in names[1:] else PLANNED


def _document(run: Run, pointer: Pointer) -> dict[str, Any]:
    return {
        "endpoint": run.endpoint.name, "policy_digest": "", "champion": pointer.champion_next or None, "author": "",
        "rollout": {},
        "green": {"name": pointer.green, "spec_digest": pointer.spec, "model": "", "model_digest": ""},
    }  # fmt: skip
