"""One runner at work on one endpoint: its lease, its records, its patience.

Rules: every mutation goes through `mutate`, which checks the lease first; every wait goes through `wait`, which renews
it and hears a stop; nothing here releases anything on the way out of an exception, since a killed runner cannot either.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from gates.errors import Conflict, Unavailable
from gates.rollout.ends import Stopped
from gates.rollout.journal import Folded, Kind, Progress, advance, fold
from gates.rollout.routing import Pointer, pointer_of, routing_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gates.rollout.journal import Store
    from gates.rollout.plan import Rollout
    from gates.rollout.port import Champion, Clock, Endpoint
    from gates.serving import EndpointView, Lease

T = TypeVar("T")


@dataclass
class Run:
    """Mutable: the lease that is held, the last deployment as the journal tells it, what was said."""

    endpoint: Endpoint
    champion: Champion
    journal: Store
    clock: Clock
    say: Callable[[str, str], None]
    stop: Callable[[], bool]
    owner: str
    rollout: Rollout
    sample: bytes | None = None
    lease: Lease | None = None
    progress: Progress | None = None
    events: list[tuple[float, str, str]] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    first_bad: float | None = None
    trouble: str = ""

    # what is known

    @property
    def now(self) -> float:
        return self.clock.now()

    @property
    def at(self) -> Progress:
        """The deployment being worked on."""
        if self.progress is None:
            raise AssertionError("no deployment has begun")
        return self.progress

    @property
    def epoch(self) -> int:
        if self.lease is None:
            raise AssertionError("no lease was taken")
        return self.lease.epoch

    def tell(self, text: str, state: str = "") -> None:
        label = state or (self.progress.state if self.progress else "")
        self.events.append((self.now, label, text))
        self.say(label, text)

    def read(self) -> Folded:
        folded = fold(self.journal.read())
        self.progress = folded.last
        return folded

    # the lease

    def take(self) -> None:
        """Take the lease, waiting at most lock_timeout for another owner's. Raises Conflict."""
        began = self.now
        until = began + self.rollout.lock_timeout
        while True:
            try:
                self.lease = self.endpoint.acquire(self.owner, seconds=self.rollout.lease, now=self.now)
                return
            except Conflict:
                if self.now >= until:
                    raise
            except Unavailable:
                if self.now >= max(until, began + self.rollout.rollback_timeout):
                    raise
            self._pause(min(self.rollout.poll, max(until - self.now, 1.0)))

    def renew(self, *, always: bool = False) -> None:
        """Keep the lease; a new epoch means that somebody had it in between. Raises Conflict.

        A lease that cannot be reached is still ours until it runs out; only then Unavailable.
        """
        mine = self.lease
        if mine is None:
            raise AssertionError("no lease was taken")
        if not always and mine.expires - self.now > self.rollout.lease / 2:
            return
        until = self.now + self.rollout.rollback_timeout
        while True:
            try:
                fresh = self.endpoint.acquire(self.owner, seconds=self.rollout.lease, now=self.now)
                break
            except Unavailable as error:
                self.trouble = error.what
                if self.now < mine.expires:
                    return  # still ours; it is tried again at the next step
                if self.now >= until:
                    raise
            self._pause(min(1.0, self.rollout.poll))
        if fresh.epoch != mine.epoch:
            self.endpoint.release(fresh)
            raise Conflict(
                f"the lease of endpoint {self.endpoint.name} went to another runner (epoch {mine.epoch} is over)",
                hint="look at that runner; this one touches nothing more",
            )
        self.lease = fresh

    def release(self) -> None:
        if self.lease is not None:
            self.endpoint.release(self.lease)
            self.lease = None

    # waiting

    def wait(self, seconds: float) -> None:
        """Let time pass, with the lease kept. Raises Stopped, Conflict; an unreachable lease is tried again."""
        until = self.now + seconds
        while True:
            if self.stop():
                raise Stopped
            self.renew()
            left = until - self.now
            if left <= 0:
                return
            self.clock.sleep(min(left, self.rollout.lease / 4))

    def _pause(self, seconds: float) -> None:
        if self.stop():
            raise Stopped
        self.clock.sleep(seconds)

    def patiently(self, call: Callable[[], T], *, until: float) -> T:
        """`call()`, again while it is Unavailable, until a wall time; then Unavailable."""
        pause = min(1.0, self.rollout.poll)
        while True:
            try:
                return call()
            except Unavailable as error:
                self.trouble = error.what
                if self.now + pause > until:
                    raise
            self.wait(pause)
            pause = min(pause * 2, 15.0)

    def observe(self, *, until: float, settled: bool = True) -> EndpointView:
        """The endpoint, once it is not updating. Raises Unavailable when it cannot be had until then."""
        while True:
            view = self.patiently(self.endpoint.observe, until=until)
            if not (settled and view.updating):
                return view
            if self.now >= until:
                raise Unavailable(f"endpoint {self.endpoint.name} is still updating")
            self.wait(self.rollout.poll)

    def mutate(self, call: Callable[[], None]) -> bool:
        """One mutation under the lease. False: not accepted for now (busy, unreachable, timed out); look, try again.

        A refusal because somebody else took over is Conflict; one because the service is busy is not.
        """
        try:
            self.renew()
            call()
        except Unavailable as error:
            self.trouble = error.what
            return False
        except Conflict as error:
            self.renew(always=True)
            self.fenced(self.patiently(self.endpoint.observe, until=self.now + self.rollout.lease))
            self.trouble = error.what
            return False
        return True

    # ours or somebody else's

    def fenced(self, view: EndpointView) -> Pointer | None:
        """The pointer, when its epoch is not above ours. Raises Conflict."""
        try:
            pointer = pointer_of(view.tags)
        except ValueError as error:
            raise Conflict(f"the tags of endpoint {self.endpoint.name} were edited: {error}") from error
        if pointer is not None and pointer.epoch > self.epoch:
            raise Conflict(
                f"endpoint {self.endpoint.name} belongs to {pointer.owner} (epoch {pointer.epoch}, ours {self.epoch})",
                hint="look at that runner; this one touches nothing more",
            )
        return pointer

    def ours(self, view: EndpointView) -> None:
        """Raises Conflict when the endpoint is not as we left it or meant it."""
        pointer = self.fenced(view)
        seen, at = routing_of(view), self.at
        meant = [at.routing, *(at.pending or ())]
        if seen not in meant and not view.updating:
            raise Conflict(
                f"somebody changed the traffic of endpoint {self.endpoint.name} to {seen.say()}, "
                f"expected {' or '.join(sorted({routing.say() for routing in meant if routing}))}",
                hint="undo the change and run again, or restore what was before with: gates rollback",
            )
        if at.stamped and pointer is not None and pointer.id != at.deploy_id:
            raise Conflict(f"endpoint {self.endpoint.name} carries another deployment's tags ({pointer.id})")

    def pointer(self, state: str) -> Pointer:
        at, lease = self.at, self.lease
        return Pointer(
            id=at.deploy_id, state=state, seq=at.seq, epoch=self.epoch, owner=self.owner,
            lease=lease.expires if lease else 0.0, prev=at.before, spec=str(at.plan["green"]["spec_digest"]),
            green=at.green, champion_prev=str(at.snapshot.get("champion") or ""),
            champion_next=str(at.plan["champion"] or ""),
        )  # fmt: skip

    # records

    def record(
        self,
        state: str,
        kind: Kind,
        *,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
        deploy_id: str = "",
        plan: Mapping[str, Any] | None = None,
    ) -> None:
        """Append one record, durable on return, and go on from it. Tried again while the journal is unreachable:

        a record that stands there twice means what it means once.
        """
        self.renew()
        document = plan or (self.progress.plan if self.progress else {})
        entry = {
            "epoch": self.epoch,
            "deploy_id": deploy_id or self.at.deploy_id,
            "ts": self.now,
            "state": state,
            "kind": kind,
            "before": dict(before or {}),
            "after": dict(after or {}),
            "policy_digest": document.get("policy_digest", ""),
            "model_digest": document.get("green", {}).get("model_digest", ""),
        }
        until = self.now + self.rollout.rollback_timeout
        written = self.patiently(lambda: self.journal.append(entry), until=until)
        self.progress = advance(self.progress, written)
