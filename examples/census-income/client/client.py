"""Stands for the applications that use the model: one question, or a stream of them while versions change.

    python client/client.py ask   --url URL --key-file FILE
    python client/client.py start --url URL --key-file FILE --log requests.json
    python client/client.py stop  --log requests.json

`start` leaves a process behind that asks without pause until `stop`, or for ten minutes at most. `stop` says who
answered and ends with 1 when any request failed, so a switch that drops requests is seen. Standard library only.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path

SAMPLE = Path(__file__).parents[1] / "deploy" / "sample.json"
SERVED_BY = "azureml-model-deployment"
CUSTOMERS = 4
LONGEST = 600.0


def ask(url: str, key: str, body: bytes) -> tuple[str, bytes]:
    """(the deployment that answered, its answer). Raises OSError, also for any status but 2xx."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.headers.get(SERVED_BY, ""), answer.read()


def keep_asking(url: str, key: str, log: Path) -> None:
    """Ask from several threads until SIGTERM or LONGEST; the log is written twice a second, and last at the end."""
    answered: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    over, lock, body = threading.Event(), threading.Lock(), SAMPLE.read_bytes()

    def customer() -> None:
        while not over.is_set():
            try:
                name, why = ask(url, key, body)[0], ""
            except (OSError, http.client.HTTPException) as error:
                name, why = "", str(error)
            with lock:
                failed.update([why] if why else [])
                answered.update([] if why else [name])
            over.wait(0.5 if why else 0.005)

    signal.signal(signal.SIGTERM, lambda *_: over.set())
    threads = [threading.Thread(target=customer) for _ in range(CUSTOMERS)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + LONGEST
    while not over.wait(0.5) and time.monotonic() < until:
        write(log, answered, failed, done=False)
    over.set()
    for thread in threads:
        thread.join()
    write(log, answered, failed, done=True)


def write(log: Path, answered: Counter[str], failed: Counter[str], *, done: bool) -> None:
    seen = {"pid": os.getpid(), "done": done, "answered": dict(answered.copy()), "failed": dict(failed.copy())}
    beside = log.with_suffix(".tmp")
    beside.write_text(json.dumps(seen))
    beside.replace(log)


def start(url: str, key_file: Path, log: Path) -> None:
    """Leave the asking process behind, in a session of its own, once it has written its first line."""
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    command = [sys.executable, __file__, "run", "--url", url, "--key-file", str(key_file), "--log", str(log)]
    nothing = subprocess.DEVNULL
    process = subprocess.Popen(command, start_new_session=True, stdin=nothing, stdout=nothing, stderr=nothing)
    until = time.monotonic() + 30
    while not log.exists():
        if process.poll() is not None or time.monotonic() > until:
            sys.exit("the customers did not start")
        time.sleep(0.05)
    print(f"{CUSTOMERS} customers ask without pause")


def stop(log: Path) -> None:
    """End the asking process; exits with 1 when a request failed or none was answered."""
    if not log.exists():
        sys.exit("there are no customers to stop")
    seen = json.loads(log.read_text())
    until = time.monotonic() + 40
    while not seen["done"]:
        try:
            os.kill(seen["pid"], signal.SIGTERM)
        except ProcessLookupError:
            seen = json.loads(log.read_text())
            break
        if time.monotonic() > until:
            sys.exit("the customers do not stop")
        time.sleep(0.2)
        seen = json.loads(log.read_text())
    for name, count in sorted(seen["answered"].items()):
        print(f"{count} answered by {name}")
    failures = sum(seen["failed"].values())
    print(f"{failures} failed" + "".join(f"\n  {count} times {why}" for why, count in seen["failed"].items()))
    sys.exit(1 if failures or not seen["answered"] or not seen["done"] else 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["ask", "start", "stop", "run"])
    parser.add_argument("--url", default="")
    parser.add_argument("--key-file", type=Path, default=None)
    parser.add_argument("--log", type=Path, default=None)
    parser.add_argument("--expect", default="", help="ask: the deployment that must answer")
    given = parser.parse_args()
    if given.command != "stop" and not (given.url and given.key_file):
        parser.error("--url and --key-file are needed")
    if given.command != "ask" and not given.log:
        parser.error("--log is needed")
    if given.command == "ask":
        served_by, answer = ask(given.url, given.key_file.read_text().strip(), SAMPLE.read_bytes())
        print(f"{served_by}: {answer.decode()}")
        if given.expect and served_by != given.expect:
            sys.exit(f"answered by {served_by}, not by {given.expect}")
    elif given.command == "start":
        start(given.url, given.key_file, given.log)
    elif given.command == "run":
        keep_asking(given.url, given.key_file.read_text().strip(), given.log)
    else:
        stop(given.log)


if __name__ == "__main__":
    main()
