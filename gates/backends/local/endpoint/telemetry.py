"""What the router saw: one event a request, kept in a ring, and counters for Prometheus.

A cursor is the number of an event. Numbers go on across restarts because they begin at the microsecond of the start:
a client's old cursor is never ahead of a new ring.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import deque
from itertools import islice

KEPT = 200_000
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the latency histogram, in seconds."""

Event = tuple[float, str, int, float, float, bool, bool, "float | None"]
"""As serving.RequestEvent: ts (wall seconds at arrival), deployment, status, ms, share, mirrored, pinned, distance."""


class _Counters:
    __slots__ = ("buckets", "seconds", "status")

    def __init__(self) -> None:
        self.status: dict[int, int] = {}
        self.buckets = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0


class Telemetry:
    """Events and counters of one endpoint. Not shared between threads."""

    def __init__(self, kept: int = KEPT, first: int | None = None) -> None:
        self._ring: deque[Event] = deque(maxlen=kept)
        self._next = time.time_ns() // 1000 if first is None else first
        self._counters: dict[tuple[str, bool], _Counters] = {}

    def record(self, event: Event) -> None:
        self._ring.append(event)
        self._next += 1
        key = (event[1], event[5])
        counters = self._counters.get(key)
        if counters is None:
            counters = self._counters[key] = _Counters()
        counters.status[event[2]] = counters.status.get(event[2], 0) + 1
        seconds = event[3] / 1000
        counters.seconds += seconds
        counters.buckets[bisect_left(BUCKETS, seconds)] += 1

    def since(self, cursor: int, limit: int) -> tuple[list[Event], int]:
        """At most `limit` events after `cursor`, oldest first, and the next cursor. Cursor 0: all that is kept."""
        first = self._next - len(self._ring)
        start = max(0, cursor - first)
        events = list(islice(self._ring, start, start + limit))
        return events, first + start + len(events)

    def prometheus(self, traffic: dict[str, int], healthy: dict[str, bool]) -> str:
        """The text exposition format, version 0.0.4."""
        lines = _head("gates_requests_total", "counter", "Requests by the status the deployment gave.")
        series = [
            (f'deployment="{name}",mirrored="{str(mirrored).lower()}"', counters)
            for (name, mirrored), counters in sorted(self._counters.items())
        ]
        for where, counters in series:
            by_status = sorted(counters.status.items())
            lines += [f'gates_requests_total{{{where},status="{status}"}} {count}' for status, count in by_status]
        lines += _head("gates_errors_total", "counter", "Requests that did not end in 200.")
        for where, counters in series:
            bad = sum(count for status, count in counters.status.items() if status != 200)
            lines.append(f"gates_errors_total{{{where}}} {bad}")
        lines += _head("gates_request_seconds", "histogram", "Time that the deployment took to answer.")
        for where, counters in series:
            total = 0
            for bound, count in zip((*map(str, BUCKETS), "+Inf"), counters.buckets, strict=True):
                total += count
                lines.append(f'gates_request_seconds_bucket{{{where},le="{bound}"}} {total}')
            lines.append(f"gates_request_seconds_sum{{{where}}} {counters.seconds:.6f}")
            lines.append(f"gates_request_seconds_count{{{where}}} {total}")
        lines += _head("gates_traffic_percent", "gauge", "Share of the live requests.")
        lines += [f'gates_traffic_percent{{deployment="{name}"}} {share}' for name, share in sorted(traffic.items())]
        lines += _head("gates_deployment_healthy", "gauge", "1 while the model server lives.")
        lines += [f'gates_deployment_healthy{{deployment="{name}"}} {int(ok)}' for name, ok in sorted(healthy.items())]
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
