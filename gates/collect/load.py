"""A load test at a constant rate: every request has a time when it is due, and its latency counts from then.

A generator that waits for an answer before it sends the next stops measuring whenever the service stalls ('coordinated
omission', G. Tene, "How NOT to Measure Latency", 2013). Here requests fall due whatever the answers do; one that could
not be sent in time counts as late, and one that was never sent as failed. k6 does the sending when it is there.
"""

from __future__ import annotations

import csv
import json
import math
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gates.errors import Unavailable
from gates.evidence import Counted, Evidence
from gates.runtime import process

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

LATENCY, ERRORS = "load_latency_ms", "load_errors"
TIMEOUT = 10.0
"""Seconds in which a request must be answered."""
WORKERS = 64


@dataclass(frozen=True)
class Loaded:
    """ms: from due to answered, of every request; failed: how many were not answered with 200; tool: who sent them."""

    ms: tuple[float, ...]
    failed: int
    tool: str

    def evidence(self) -> Evidence:
        import numpy as np

        return Evidence(
            samples={LATENCY: np.array(self.ms, dtype=np.float64)}, counts={ERRORS: Counted(self.failed, len(self.ms))}
        )


def constant_rate(
    ask: Callable[[bytes], int], bodies: Sequence[bytes], *, rate: float, seconds: float, beat: Callable[[], None]
) -> Loaded:
    """Send `rate` requests a second for `seconds` with our own threads. ask: sends one, says its status, 0 for none.

    beat: called about every half second; what it raises ends the test.
    """
    load = _Load(ask, bodies, rate, math.ceil(rate * seconds))
    threads = [threading.Thread(target=load.work, daemon=True) for _ in range(min(WORKERS, load.count))]
    for thread in threads:
        thread.start()
    try:
        while any(thread.is_alive() for thread in threads):
            beat()
            for thread in threads:
                thread.join(0.5 / len(threads))
    finally:
        load.stopped.set()
    return load.loaded()


class _Load:
    def __init__(self, ask: Callable[[bytes], int], bodies: Sequence[bytes], rate: float, count: int) -> None:
        self.ask, self.bodies, self.rate, self.count = ask, bodies, rate, count
        self.begun, self.next, self.lock = time.monotonic(), 0, threading.Lock()
        self.stopped = threading.Event()
        self.ms: list[float] = []
        self.failed = 0

    def work(self) -> None:
        end = self.begun + self.count / self.rate + TIMEOUT
        while not self.stopped.is_set():
            with self.lock:
                number, self.next = self.next, self.next + 1
            if number >= self.count:
                return
            due = self.begun + number / self.rate
            self.stopped.wait(max(due - time.monotonic(), 0.0))
            status = self.ask(self.bodies[number % len(self.bodies)]) if time.monotonic() < end else 0
            taken = (time.monotonic() - due) * 1000
            with self.lock:
                self.ms.append(taken)
                self.failed += status != 200

    def loaded(self) -> Loaded:
        with self.lock:
            return Loaded(tuple(self.ms), self.failed, "gates")


_SCRIPT = """
import http from 'k6/http';
const bodies = JSON.parse(open('./bodies.json'));
const headers = JSON.parse(__ENV.GATES_LOAD_HEADERS);
export const options = { discardResponseBodies: true, scenarios: { load: { executor: 'constant-arrival-rate',
  rate: %(rate)s, timeUnit: '%(unit)ss', duration: '%(seconds)ss', preAllocatedVUs: %(users)s, maxVUs: %(users)s,
  gracefulStop: '%(timeout)ss' } } };
export default function () {
  http.post(__ENV.GATES_LOAD_URL, bodies[__ITER %% bodies.length], { headers: headers, timeout: '%(timeout)ss' });
}
"""


def k6(
    url: str,
    headers: Mapping[str, str],
    bodies: Sequence[bytes],
    *,
    rate: float,
    seconds: float,
    beat: Callable[[], None],
    env: Mapping[str, str],
) -> Loaded | None:
    """The same by k6; None when it is not on PATH. Raises Unavailable when it fails. Its report stays in no file."""
    program = shutil.which("k6", path=env.get("PATH"))
    if program is None:
        return None
    unit = 1 if rate == int(rate) else 100
    values = {
        "rate": round(rate * unit),
        "unit": unit,
        "seconds": math.ceil(seconds),
        "users": WORKERS,
        "timeout": int(TIMEOUT),
    }
    with tempfile.TemporaryDirectory(prefix="gates-load-") as work:
        folder = Path(work)
        (folder / "load.js").write_text(_SCRIPT % values, encoding="utf-8")
        (folder / "bodies.json").write_text(json.dumps([body.decode() for body in bodies]), encoding="utf-8")
        given = {
            **env,
            "GATES_LOAD_URL": url,
            "GATES_LOAD_HEADERS": json.dumps(dict(headers)),
            "K6_NO_USAGE_REPORT": "true",
        }
        argv = [program, "run", "--quiet", "--no-summary", "--out", "csv=out.csv", "load.js"]
        child = process.start(argv, cwd=folder, env=given, log=folder / "log")
        try:
            while child.poll() is None:
                beat()
                time.sleep(0.2)
        finally:
            child.terminate(1.0)
        if child.poll() != 0 or not (folder / "out.csv").is_file():
            said = (folder / "log").read_text("utf-8", "replace").strip().splitlines()[-1:]
            raise Unavailable(f"k6 ended with {child.poll()}: {' '.join(said)}", hint="take it off PATH to do without")
        return _read((folder / "out.csv").read_text(encoding="utf-8"))


def _read(text: str) -> Loaded:
    """k6's CSV. An iteration is one request; one that k6 could not begin in time was dropped: failed, and late."""
    ms, failed, dropped = [], 0.0, 0.0
    for row in csv.DictReader(text.splitlines()):
        name, value = row["metric_name"], float(row["metric_value"])
        if name == "iteration_duration":
            ms.append(value)
        elif name == "http_req_failed":
            failed += value
        elif name == "dropped_iterations":
            dropped += value
    return Loaded((*ms, *([TIMEOUT * 1000] * int(dropped))), int(failed + dropped), "k6")
