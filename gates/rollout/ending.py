"""Every end of a call becomes a value, written down where somebody must know of it, and the lease is given back.

At all ends but a death: a killed runner does nothing of this, and the next one needs none of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gates.chain import ChainBroken
from gates.errors import Cancelled, Conflict, GatesError, InvalidInput, Refused, StateUnknown, Unavailable
from gates.rollout.ends import Ended, Held, Stopped
from gates.rollout.journal import INTERRUPTED
from gates.rollout.routing import routing_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from gates.rollout.ends import Outcome
    from gates.rollout.run import Run


def ended(run: Run, work: Callable[[], tuple[Outcome, str]]) -> Ended:
    """Do the work; how it ended."""
    began, hint, signal = run.now, "", 0
    try:
        outcome, reason = work()
    except Stopped:
        outcome, reason = _stopped(run)
    except Cancelled as error:
        signal = error.signal_number
        outcome, reason = _stopped(run)
    except Held as held:
        outcome, reason = "waiting", str(held)
    except ChainBroken as error:
        outcome, reason, hint = "unknown", error.what, error.hint
    except StateUnknown as error:
        outcome, reason, hint = "unknown", error.what, error.hint
    except Conflict as error:
        outcome, reason, hint = "conflict", error.what, error.hint
    except Refused as error:
        outcome, reason, hint = "refused", error.what, error.hint
    except InvalidInput as error:
        outcome, reason, hint = "invalid", error.what, error.hint
    except GatesError as error:
        outcome, reason, hint = "error", error.what, error.hint or "run the same command again to resume"
    live, previous = _serving(run)
    _give_back(run)
    at = run.progress
    spans = {} if at is None else dict(at.spans)
    return Ended(
        outcome=outcome,
        state="" if at is None else at.reached if at.ended else at.state,
        reason=reason,
        hint=hint,
        deploy_id="" if at is None else at.deploy_id,
        candidate="" if at is None else at.green,
        candidate_model="" if at is None else str(at.plan["green"]["model_digest"]),
        live=live,
        previous=previous,
        rolled_back=outcome == "rolled-back",
        timings={**spans, **run.timings, "total": run.now - began},
        events=tuple(run.events),
        signal=signal,
    )


def _stopped(run: Run) -> tuple[Outcome, str]:
    if run.progress is not None and not run.progress.ended and run.lease is not None:
        try:
            run.record(INTERRUPTED, "observed", after={"owner": run.owner})
        except GatesError as error:
            run.tell(f"the interruption could not be written down: {error.what}", INTERRUPTED)
    return "cancelled", "stopped on request; the same command, or gates reconcile, goes on from here"


def _give_back(run: Run) -> None:
    try:
        run.release()
    except GatesError as error:
        run.tell(f"the lease could not be given back and will expire: {error.what}")


def _serving(run: Run) -> tuple[str, str]:
    """(the deployment with most traffic, the one that had most before); '' where it cannot be told."""
    before = run.progress.before.traffic if run.progress is not None else {}
    previous = max(before, key=lambda name: before[name], default="")
    try:
        traffic = routing_of(run.endpoint.observe()).traffic
    except Unavailable as error:
        run.trouble = error.what
        return "", previous
    live = max(traffic, key=lambda name: traffic[name], default="")
    return live, "" if previous == live else previous
