"""What a rollout did over time, bounded in size: from the journal and the request log to a picture's figures.

`rollout.v1`: every number is seconds since the deployment was planned, whole percents, or a count. Requests that named
their deployment and copies of requests are left out: they say nothing about what clients met.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gates.rollout.journal import PLANNED, SNAPSHOTTED, advance
from gates.rollout.watch import is_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gates.rollout.journal import Progress
    from gates.serving import RequestEvent

SCHEMA = "rollout.v1"
WINDOWS = 60


def timeline(records: Iterable[Mapping[str, Any]], events: Iterable[RequestEvent]) -> dict[str, Any] | None:
    """The last deployment in the journal; None when there is none. events: those before it are left out."""
    last: Progress | None = None
    steps: list[dict[str, Any]] = []
    traffic: list[dict[str, Any]] = []
    now = 0.0
    for record in records:
        last = advance(last, record)
        if last is None or record["deploy_id"] != last.deploy_id:
            continue
        if record["state"] == PLANNED:
            steps, traffic = [], [{"at": 0.0, "shares": dict(last.before.traffic)}]
        now = float(record["ts"]) - last.started
        if record["kind"] == "done" and record["state"] not in (PLANNED, SNAPSHOTTED):
            begin = steps[-1]["at"] if steps else 0.0
            steps.append({"state": record["state"], "at": round(now, 3), "seconds": round(now - begin, 3)})
        shares = dict(last.routing.traffic) if last.routing is not None else {}
        if shares != traffic[-1]["shares"]:
            traffic.append({"at": round(now, 3), "shares": shares})
    if last is None:
        return None
    seen = [e for e in events if e.ts >= last.started and not e.pinned and not e.mirrored]
    now = max([now, *(e.ts - last.started for e in seen)])
    window = max(now / WINDOWS, 0.001)
    return {
        "schema": SCHEMA, "endpoint": last.plan["endpoint"], "deploy_id": last.deploy_id, "outcome": last.reached,
        "started": last.started, "seconds": round(now, 3), "window": round(window, 3), "steps": steps,
        "traffic": traffic, "requests": _requests(seen, last.started, window),
    }  # fmt: skip


def _requests(events: Iterable[RequestEvent], started: float, window: float) -> list[dict[str, Any]]:
    """By window and deployment: how many, how many failed, the 95 % quantile of milliseconds (nearest rank)."""
    cells: dict[tuple[int, str], list[RequestEvent]] = {}
    for event in events:
        at = min(int((event.ts - started) / window), WINDOWS - 1)
        cells.setdefault((at, event.deployment), []).append(event)
    found = []
    for (at, name), inside in sorted(cells.items()):
        ms = sorted(e.ms for e in inside)
        found.append({
            "at": round(at * window, 3), "deployment": name, "n": len(inside),
            "errors": sum(is_error(e.status) for e in inside),
            "p95_ms": round(ms[math.ceil(0.95 * len(ms)) - 1], 3),
        })  # fmt: skip
    return found
