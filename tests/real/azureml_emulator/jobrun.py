"""Runs one job to its end, as a process of its own: `python -m azureml_emulator.jobrun OPTIONS.json`.

Its standard output is the job's log. `result.json` says how it ended; without one, it was killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from gates.backends.local import jobs
from gates.errors import Cancelled, GatesError


def main() -> int:
    options = json.loads(Path(sys.argv[1]).read_text())
    home = Path(options["home"])

    def stop(number: int, _: object) -> None:
        raise Cancelled(number)

    signal.signal(signal.SIGTERM, stop)
    try:
        done = jobs.run_job(
            jobs.load_job(Path(options["job"])), work=home / "work", python=Path(options["python"]),
            tracking_uri=options["tracking"], env=dict(os.environ), on_line=lambda line: print(line, flush=True),
        )  # fmt: skip
    except GatesError as error:
        print(f"error: {error}", flush=True)
        answer = {"ok": False, "problem": str(error)}
    else:
        outputs = {name: str(path) for name, path in done.outputs.items()}
        answer = {"ok": True, "run_id": done.run_id, "outputs": outputs}
    beside = home / "result.new"
    beside.write_text(json.dumps(answer))
    beside.replace(home / "result.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
