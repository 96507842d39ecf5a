"""What people ask of the audit log, answered as data from its events alone; `table` makes it readable.

Which data, code, environment, policy, approvers and verdict stand behind a model, or behind what serves now; which
models were made from this data; every promotion and rollback in a window; how fast and how well models are delivered.
"""

from __future__ import annotations

from bisect import bisect_left
from statistics import median
from typing import TYPE_CHECKING, Any

from gates.lineage.record import seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gates.lineage.audit import Event


def stand_behind(events: Sequence[Event], model: str) -> dict[str, Any]:
    """Which data, code, environment, policy, approvers and verdict stand behind this model digest (None: not known)."""
    of = [event for event in events if event.model == model]
    made = _last(of, "trained")
    gated = _last(of, "gated")
    registered = _last(of, "registered")
    approvers = sorted({name for event in of for name in event.approvers})
    return {
        "model": model,
        "model_name": next((event.model_name for event in of if event.model_name), None),
        "version": registered.version if registered else None,
        "trained": made.at if made else None,
        "data": list(made.data) if made else None,
        "code": made.code if made else None,
        "environment": made.environment if made else None,
        "policy": gated.policy if gated else None,
        "verdict": gated.verdict if gated else None,
        "decision": gated.decision if gated else None,
        "approvers": approvers,
        "ungated": next((event.ungated for event in reversed(of) if event.ungated), None),
    }


def serving(events: Sequence[Event], endpoint: str = "") -> list[dict[str, Any]]:
    """What serves now, by endpoint, and what stands behind it, as `stand_behind`."""
    now: dict[str, Event] = {}
    for event in events:
        if event.endpoint and endpoint in ("", event.endpoint) and _took_traffic(event):
            now[event.endpoint] = event
    return [
        {
            "endpoint": name,
            "since": event.at,
            "deployment": _deployment(events, event),
            **stand_behind(events, event.previous if event.kind == "rolled-back" else event.model),
        }
        for name, event in sorted(now.items())
        if event.kind == "deployed" or event.previous  # the first deployment rolled back leaves nothing that serves
    ]


def _deployment(events: Sequence[Event], event: Event) -> str:
    """The deployment that has served since this event: after a rollback the one from before."""
    if event.kind == "deployed":
        return event.deployment
    earlier = (e for e in reversed(events) if e.kind == "deployed" and e.endpoint == event.endpoint)
    return next((e.deployment for e in earlier if e.model == event.previous and e.outcome == "succeeded"), "")


def made_from(events: Sequence[Event], data: str) -> list[dict[str, Any]]:
    """Which models were made from the data with this digest, of its bytes or its content; oldest first."""
    made = [event for event in events if event.kind == "trained" and data in event.data]
    versions = {event.model: event.version for event in events if event.kind == "registered"}
    last: dict[str, Event] = {}
    for event in events:
        if event.kind == "deployed" and event.outcome == "succeeded":
            last[event.model] = event
    return [
        {
            "model": event.model,
            "model_name": event.model_name,
            "version": versions.get(event.model),
            "trained": event.at,
            "code": event.code,
            "deployed": last[event.model].at if event.model in last else None,
        }
        for event in made
    ]


def movements(
    events: Sequence[Event], *, since: float = float("-inf"), until: float = float("inf")
) -> list[dict[str, Any]]:
    """Every registration, deployment and rollback with since ≤ time < until (seconds since the epoch)."""
    kinds = ("registered", "deployed", "rolled-back")
    keys = (
        "at",
        "kind",
        "model_name",
        "version",
        "model",
        "endpoint",
        "outcome",
        "previous",
        "actor",
        "reason",
        "ungated",
    )
    return [
        {key: getattr(event, key) for key in keys} | {"approvers": list(event.approvers)}
        for event in events
        if event.kind in kinds and since <= seconds(event.at) < until
    ]


def delivery(events: Sequence[Event], *, since: float, until: float) -> dict[str, Any]:
    """The delivery figures of a window, since ≤ time < until (seconds since the epoch); None where nothing was seen.

    After DORA's four keys, for models. deployments_per_week: those that succeeded. lead_time: seconds from the commit
    (from the end of the training where no commit time is known) to the deployment. change_failure_rate: share of the
    deployments tried that did not succeed or were rolled back later. time_to_restore: seconds from the first traffic of
    what was rolled back to the end of the rollback. drift_reaction: seconds from a drift alarm to the next change of
    what serves that model; drift_open counts the alarms that still wait. Times are given as median, maximum and n.
    """
    inside = [event for event in events if since <= seconds(event.at) < until]
    done = [event for event in inside if event.kind == "deployed" and event.outcome == "succeeded"]
    weeks = (until - since) / (7 * 86400)
    attempts, restores = _attempts(events, since, until)
    reactions = _reactions(events, [event for event in inside if event.kind == "drifted"])
    made = {event.model: event for event in events if event.kind == "trained"}
    leads = [
        seconds(event.at) - seconds(made[event.model].code_time or made[event.model].at)
        for event in done
        if event.model in made
    ]
    return {
        "deployments": len(done),
        "deployments_per_week": len(done) / weeks if weeks > 0 else None,
        "lead_time": _spread(leads),
        "change_failure_rate": sum(attempts) / len(attempts) if attempts else None,
        "time_to_restore": _spread(restores),
        "drift_reaction": _spread([reaction for reaction in reactions if reaction is not None]),
        "drift_open": sum(reaction is None for reaction in reactions),
    }


def _attempts(events: Sequence[Event], since: float, until: float) -> tuple[list[bool], list[float]]:
    """Whether each deployment that ended in the window failed, and how long traffic was on before each rollback."""
    began: dict[tuple[str, str], float] = {}
    last: dict[tuple[str, str], int] = {}
    ended: list[tuple[float, bool]] = []
    restores = []
    for event in events:
        key, at = (event.endpoint, event.deploy_id or event.model), seconds(event.at)
        if event.kind in ("shifted", "deployed"):
            began.setdefault(key, at)
        if event.kind == "deployed":
            last[key] = len(ended)
            ended.append((at, event.outcome != "succeeded"))
        elif event.kind == "rolled-back":
            start = began.pop(key, None)
            if start is not None and since <= at < until:
                restores.append(at - start)
            if key in last:
                ended[last[key]] = (ended[last[key]][0], True)
            else:
                ended.append((at, True))
    return [failed for at, failed in ended if since <= at < until], restores


def _reactions(events: Sequence[Event], alarms: Sequence[Event]) -> list[float | None]:
    """Seconds from each alarm to the next change of what serves that model; None while there was none."""
    changes: dict[str, list[float]] = {}
    for event in events:
        if _took_traffic(event):
            changes.setdefault(event.model_name, []).append(seconds(event.at))
    found: list[float | None] = []
    for alarm in alarms:
        at, times = seconds(alarm.at), sorted(changes.get(alarm.model_name, ()))
        place = bisect_left(times, at)
        found.append(times[place] - at if place < len(times) else None)
    return found


def _spread(values: Sequence[float]) -> dict[str, float | int] | None:
    return {"median": median(values), "max": max(values), "n": len(values)} if values else None


def _took_traffic(event: Event) -> bool:
    return event.kind == "rolled-back" or (event.kind == "deployed" and event.outcome == "succeeded")


def _last(events: Sequence[Event], kind: str) -> Event | None:
    return next((event for event in reversed(events) if event.kind == kind), None)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of equal keys as an aligned text table, digests shortened to 12 digits; one row stands as `key  value`."""
    if not rows:
        return "nothing found\n"
    if len(rows) == 1:
        width = max(len(key) for key in rows[0])
        return "".join(f"{key:<{width}}  {_cell(value, whole=True)}\n" for key, value in rows[0].items())
    keys = list(rows[0])
    cells = [keys, *([_cell(row.get(key)) for key in keys] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(keys))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join(lines) + "\n"


def _cell(value: Any, *, whole: bool = False) -> str:
    if value is None or value == "" or value == []:
        return "–"
    if isinstance(value, (list, tuple)):
        return ", ".join(_cell(item, whole=whole) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {_cell(item, whole=whole)}" for key, item in value.items())
    if isinstance(value, float):
        return f"{value:.6g}"
    text = " ".join("".join(char if char.isprintable() else " " for char in str(value)).split())
    return text[:19] if text.startswith("sha256:") and not whole else text
