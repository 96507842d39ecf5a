"""The journal of an endpoint's rollouts, and what it says about the deployment in progress.

Append-only records over any hash-chained store (`chain.Chain` fits; tests use one in memory). An intent is written
before an effect, `observed` when the effect was seen, `done` when the state is committed. `fold` never trusts a record
of an epoch lower than one before it: its writer had lost the lease.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from gates.rollout.routing import Routing, parse_routing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Kind = Literal["intent", "done", "observed"]

PLANNED, LOCKED, SNAPSHOTTED = "PLANNED", "LOCKED", "SNAPSHOTTED"
GREEN_CREATING, GREEN_READY, SMOKED, MIRRORING = "GREEN_CREATING", "GREEN_READY", "SMOKED", "MIRRORING"
CANARY, PROMOTED, BAKING, FINALIZING, SUCCEEDED = "CANARY", "PROMOTED", "BAKING", "FINALIZING", "SUCCEEDED"
RETIRED, HELD, INTERRUPTED = "RETIRED", "HELD", "INTERRUPTED"
ROLLING_BACK, ROLLED_BACK, ROLLBACK_FAILED = "ROLLING_BACK", "ROLLED_BACK", "ROLLBACK_FAILED"
ENDS = (SUCCEEDED, ROLLED_BACK, ROLLBACK_FAILED)


class Store(Protocol):
    """Append-only, durable once `append` returns; adds seq, prev_hash and hash."""

    def append(self, entry: Mapping[str, Any]) -> dict[str, Any]: ...

    def read(self) -> list[dict[str, Any]]: ...


@dataclass(frozen=True)
class Progress:
    """The last deployment in the journal. reached: the last state committed; state: the one being worked on.

    routing: what traffic should be now; pending: (before, after) of a write that was meant and not yet seen.
    since: when the present state's effect was seen; wrong: green answered other than gated; spans: seconds by state.
    compared: (answers that differed, answers compared) while mirroring.
    """

    deploy_id: str
    plan: Mapping[str, Any]
    snapshot: Mapping[str, Any]
    epoch: int
    seq: int
    started: float
    reached: str = PLANNED
    state: str = PLANNED
    routing: Routing | None = None
    pending: tuple[Routing, Routing] | None = None
    since: float | None = None
    cursor: int | None = None
    bake_until: float | None = None
    held: Mapping[str, Any] | None = None
    approvals: tuple[Mapping[str, Any], ...] = ()
    created: bool = False
    reason: str = ""
    wrong: bool = False
    compared: tuple[int, int] | None = None
    spans: Mapping[str, float] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return self.reached in ENDS

    @property
    def green(self) -> str:
        return str(self.plan["green"]["name"])

    @property
    def stamped(self) -> bool:
        """Whether the endpoint's tags must be ours by now."""
        return self.created or self.reached not in (PLANNED, LOCKED)

    @property
    def before(self) -> Routing:
        """The traffic to restore."""
        return parse_routing(self.snapshot)


@dataclass(frozen=True)
class Folded:
    """last: the newest deployment, ended or not. retire: deployments to delete, with the time from which they may be.

    champions: which champion each deployment name stood for, from the deployments that succeeded.
    """

    last: Progress | None
    retire: Mapping[str, float]
    epoch: int
    seq: int
    champions: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def active(self) -> Progress | None:
        return None if self.last is None or self.last.ended else self.last


def fold(records: Iterable[Mapping[str, Any]]) -> Folded:
    last: Progress | None = None
    retire: dict[str, float] = {}
    champions: dict[str, str | None] = {}
    epoch, seq = 0, -1
    for record in records:
        seq = int(record["seq"])
        if record["epoch"] < epoch:
            continue
        epoch = int(record["epoch"])
        after = record["after"]
        last = advance(last, record)
        if record["state"] == RETIRED:
            retire.pop(after["name"], None)
        elif last is not None and record["state"] == PLANNED:
            champions.update({name: last.snapshot.get("champion") for name in last.before.traffic})
        elif last is not None and record["state"] in ENDS:
            if record["state"] == SUCCEEDED:
                retire.pop(last.green, None)
                champions[last.green] = last.plan["champion"]
            retire.update(after.get("retire", {}))
    return Folded(last, retire, epoch, seq, champions)


def advance(last: Progress | None, record: Mapping[str, Any]) -> Progress | None:
    """The last deployment after one more record."""
    if record["state"] == PLANNED:
        return _begin(record)
    if last is None or record["deploy_id"] != last.deploy_id or record["state"] == RETIRED:
        return last
    return _next(last, record)


def _begin(record: Mapping[str, Any]) -> Progress:
    after = record["after"]
    return Progress(
        deploy_id=record["deploy_id"],
        plan=after["plan"],
        snapshot=after["snapshot"],
        epoch=record["epoch"],
        seq=record["seq"],
        started=record["ts"],
        created=bool(after.get("created")),
        reached=after.get("reached", PLANNED),
        state=after.get("reached", PLANNED),
        routing=parse_routing(after.get("routing", after["snapshot"])),
        since=after.get("since"),
        cursor=after.get("cursor"),
    )


def _next(progress: Progress, record: Mapping[str, Any]) -> Progress:
    """One record further."""
    state, kind, after, ts = record["state"], record["kind"], record["after"], record["ts"]
    progress = replace(progress, epoch=record["epoch"], seq=record["seq"])
    if state == HELD:
        return replace(progress, held={**after, "ts": ts})
    if state == INTERRUPTED:
        return progress
    if "approval" in after:
        return replace(progress, approvals=(*progress.approvals, after["approval"]))
    changed = state != progress.state
    progress = replace(progress, state=state, since=None if changed else progress.since)
    routing = parse_routing(after["routing"]) if "routing" in after else None
    if kind == "intent":
        if "compared" in after:
            progress = replace(progress, compared=(int(after["differing"]), int(after["compared"])))
        if routing is not None:
            progress = replace(progress, pending=(parse_routing(record["before"]["routing"]), routing))
        return replace(
            progress,
            created=progress.created or state == GREEN_CREATING,
            bake_until=after.get("bake_until", progress.bake_until),
            cursor=after.get("cursor", progress.cursor),
            reason=after.get("reason", progress.reason),
            wrong=progress.wrong or bool(after.get("green_is_wrong")),
        )
    if routing is not None:
        progress = replace(progress, routing=routing, pending=None, since=ts)
    if kind == "done":
        spans = {**progress.spans, state: round(ts - progress.started - sum(progress.spans.values()), 3)}
        held = None if state != progress.reached else progress.held
        progress = replace(progress, reached=state, spans=spans, held=held, reason=after.get("reason", progress.reason))
    return progress
