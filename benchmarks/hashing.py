"""Hashing a model folder against `sha256sum`: python benchmarks/hashing.py [MEGABYTES]

Promise: no less than 0.85 of sha256sum's speed on one thread, near twice that on two cores. Some builds of sha256sum
do not use the processor's SHA instructions, so openssl is a peer too and the faster of both counts. The files are
hashed once before any clock runs, so that all read from memory; each figure is the median of five, taken in turn.
Also measured: the content hash of a table, and the questions of an audit log of 10,000 events.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from gates.lineage import digest
from gates.lineage.fingerprint import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable

REPEAT = 5


def main() -> int:
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 2048
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "model"
        folder.mkdir()
        block = os.urandom(1 << 20)
        for number in range(8):
            with (folder / f"part-{number}.bin").open("wb") as file:
                for _ in range(megabytes // 8):
                    file.write(block)
        files = sorted(str(path) for path in folder.iterdir())
        digest.folder_sums(folder)
        sides: dict[str, Callable[[], Any]] = {
            "sha256sum, one process": lambda: subprocess.run(["sha256sum", *files], check=True, capture_output=True),
            "openssl, one process": lambda: subprocess.run(
                ["openssl", "dgst", "-sha256", *files], check=True, capture_output=True
            ),
            "gates, one thread": lambda: [digest.file_digest(file) for file in files],
            "gates, folder": lambda: digest.folder_sums(folder),
        }
        times: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(REPEAT):
            for side, run in sides.items():
                times[side].append(_timed(run))
    base = min(median(times[peer]) for peer in ("sha256sum, one process", "openssl, one process"))
    print(f"{megabytes} MiB in 8 files, {os.cpu_count()} cores, median of {REPEAT}")
    for side, seen in times.items():
        took, speed = median(seen), megabytes / 1024 / median(seen)
        print(f"{side:24} {took:7.3f} s  {speed:5.2f} GiB/s  {base / took:5.2f} of the best peer")
    _table()
    _audit()
    return 0 if base / median(times["gates, one thread"]) >= 0.85 else 1


def _table() -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(1)
    rows = 5_000_000
    table = pa.table(
        {
            "a": rng.normal(size=rows),
            "b": rng.integers(0, 1000, rows, dtype=np.int32),
            "c": pa.array(np.array(["north", "south", "east", "west"])[rng.integers(0, 4, rows)]),
            "d": rng.integers(0, 2, rows, dtype=np.int8),
        }
    )
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "t.parquet"
        pq.write_table(table, path)
        del table
        read = median(_timed(lambda: pq.read_table(path)) for _ in range(REPEAT))
        took = median(_timed(lambda: fingerprint(path)) for _ in range(REPEAT))
        size = path.stat().st_size / 2**20
    print(f"fingerprint of {rows} rows, 4 columns, {size:.0f} MiB parquet: {took:.2f} s (reading alone: {read:.2f} s)")


def _audit() -> None:
    from gates.lineage.audit import AuditLog, Event
    from gates.lineage.questions import delivery, made_from, movements, serving, stand_behind
    from gates.lineage.record import utc

    kinds: tuple[Any, ...] = ("trained", "gated", "registered", "deployed", "rolled-back", "drifted")
    with tempfile.TemporaryDirectory() as name:
        log = AuditLog(Path(name) / "audit.jsonl")
        events = [
            Event(kind=kinds[i % 6], at=utc(1.8e9 + i), model=f"sha256:{i // 6:064x}", endpoint="e", data=("sha256:d",),
                  outcome="succeeded")
            for i in range(10_000)
        ]  # fmt: skip
        spent = _timed(lambda: [log.append(event) for event in events])
        print(f"audit log: {spent / len(events) * 1e3:.2f} ms an append with fsync")
        questions: dict[str, Callable[[], Any]] = {
            "serving now": lambda: serving(log.events()),
            "behind a model": lambda: stand_behind(log.events(), events[600].model),
            "made from data": lambda: made_from(log.events(), "sha256:d"),
            "movements": lambda: movements(log.events()),
            "delivery figures": lambda: delivery(log.events(), since=1.8e9, until=1.8e9 + 1e5),
        }
        for question, ask in questions.items():
            print(
                f"10,000 events, read, verified, answered: {question:18} {median(_timed(ask) for _ in range(3)):.3f} s"
            )


def _timed(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
