"""How a call of the machine ends: as a value for the caller, and on the way there as one of three exceptions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Outcome = Literal["passed", "refused", "rolled-back", "unknown", "conflict", "waiting", "error", "invalid", "cancelled"]


class Failed(Exception):  # a course of the machine that never leaves it, not an error of a caller
    """The deployment is not good enough: roll back. `wrong`: it answers, but not what was gated."""

    def __init__(self, why: str, *, wrong: bool = False) -> None:
        super().__init__(why)
        self.wrong = wrong


class Held(Exception):  # same
    """The deployment waits for a person."""


class Stopped(Exception):  # same
    """The runner was asked to stop: between two steps, by the caller's `stop`."""


@dataclass(frozen=True)
class Ended:
    """How a call ended. outcome is one of `errors.OUTCOMES`; state the journal's; live has most traffic, '' is nobody.

    candidate: the deployment that was brought in, or that a rollback took the traffic from; candidate_model: the digest
    of its model. signal: what stopped it.

    timings: seconds by state, and `total`, `rollback` (decision to restored traffic), `first_bad_to_restored`.
    events: (wall seconds, state, text) as they were said.
    """

    outcome: Outcome
    state: str
    reason: str
    deploy_id: str = ""
    candidate: str = ""
    candidate_model: str = ""
    live: str = ""
    previous: str = ""
    rolled_back: bool = False
    hint: str = ""
    timings: Mapping[str, float] = field(default_factory=dict)
    events: tuple[tuple[float, str, str], ...] = ()
    signal: int = 0
