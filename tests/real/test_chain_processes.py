"""The chain under real processes: eight writers lose nothing, a writer that is killed tears only its own line."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

from gates.chain import Chain

ROOT = Path(__file__).parents[2]
WRITER = """
import sys
from gates.chain import Chain
chain, who, count = Chain(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
sys.stdin.readline()
for number in range(count):
    record = chain.append({"who": who, "number": number, "pad": "x" * (number % 50 * 400)})
    print(record["seq"], number, flush=True)
"""


def _start(path: Path, who: int, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(who), str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def _go(processes: list[subprocess.Popen[str]]) -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()


def test_eight_processes_lose_nothing(tmp_path: Path) -> None:
    path, count = tmp_path / "audit.jsonl", 60
    processes = [_start(path, who, count) for who in range(8)]
    _go(processes)
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 8
    entries = Chain(path).read()
    assert [entry["seq"] for entry in entries] == list(range(8 * count))
    assert {(e["who"], e["number"]) for e in entries} == {(w, n) for w in range(8) for n in range(count)}
    told = sorted(int(line.split()[0]) for output in outputs for line in output.splitlines())
    assert told == list(range(8 * count)), "each writer was told the place that its entry has"
    turns = [entry["who"] for entry in entries]
    assert sum(a != b for a, b in pairwise(turns)) > 8, "they did run at the same time"


def test_kill_9_during_appends(tmp_path: Path) -> None:
    """What was acknowledged stays, the chain stays whole, the next append goes on."""
    path, rng = tmp_path / "audit.jsonl", random.Random(7)
    chain = Chain(path)
    for who in range(12):
        process = _start(path, who, 100_000)
        _go([process])
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(rng.uniform(0.0, 0.03))
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate(timeout=30)
        before = chain.read()
        for line in (first + rest).splitlines(keepends=True):
            if line.endswith("\n"):
                seq, number = map(int, line.split())
                assert (before[seq]["who"], before[seq]["number"]) == (who, number), "an acknowledged entry is gone"
        record = chain.append({"after": who})
        assert chain.read() == [*before, record]


def test_a_write_torn_by_kill_9_is_the_only_thing_repaired(tmp_path: Path) -> None:
    """The process dies between two halves of its line: that half goes, everything before it stays, byte for byte."""
    path = tmp_path / "audit.jsonl"
    chain = Chain(path)
    for number in range(3):
        chain.append({"number": number})
    whole = path.read_bytes()
    script = (
        "import os, signal, sys, gates.chain as c\n"
        "def half(fd, data):\n"
        "    real(fd, bytes(data)[:40]); os.kill(os.getpid(), signal.SIGKILL)\n"
        "real = os.write\n"
        "os.write = half\n"
        "c.Chain(sys.argv[1]).append({'number': 3})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes()[:-40] == whole
    assert [entry["number"] for entry in chain.read()] == [0, 1, 2]
    chain.append({"number": 4})
    assert path.read_bytes().startswith(whole)
    assert [entry["number"] for entry in chain.read()] == [0, 1, 2, 4]
