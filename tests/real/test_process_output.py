"""What a process prints goes to lines and log as it is, but for what nobody may see."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from gates import confidential
from gates.runtime import process

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "s3cr3t-" + "x" * 40


def run(tmp_path: Path, code: str, hide: tuple[str, ...]) -> tuple[list[str], bytes, tuple[str, ...]]:
    lines: list[str] = []
    log = tmp_path / "log"
    ended = process.run([sys.executable, "-c", code], cwd=tmp_path, env=dict(os.environ), on_line=lines.append, log=log,
                        hide=hide)  # fmt: skip
    assert ended.ok, ended
    return lines, log.read_bytes(), ended.tail


def test_without_anything_to_hide_the_log_is_every_byte(tmp_path: Path) -> None:
    code = "import os; os.write(1, b'a\\rb\\n\\xff\\n' + b'x' * 200000 + b'\\nlast')"
    lines, log, _ = run(tmp_path, code, ())
    assert log == b"a\rb\n\xff\n" + b"x" * 200000 + b"\nlast"
    assert (lines[0], lines[1], lines[-1]) == ("b", "\ufffd", "last")


@pytest.mark.parametrize("before", [0, 5, 65536 - 60, 65536 - 20, 65536, 131072 - 30])
def test_what_is_hidden_comes_through_nowhere_also_across_the_cut_of_a_long_line(tmp_path: Path, before: int) -> None:
    """Printed whole, in two writes, and without an end of line."""
    code = (
        f"import os, time\nos.write(1, b'.' * {before})\nos.write(1, {SECRET[:20].encode()!r})\ntime.sleep(0.05)\n"
        f"os.write(1, {SECRET[20:].encode()!r} + b' after\\n' + {SECRET.encode()!r})"
    )
    lines, log, tail = run(tmp_path, code, ("other", SECRET))
    assert b"s3cr3t" not in log
    assert not any("s3cr3t" in line for line in (*lines, *tail))
    assert log.replace(b".", b"") == b"*** after\n***"
    assert log.count(b".") == before


def test_what_is_read_when_a_process_is_ended_is_in_the_log(tmp_path: Path) -> None:
    log, printed, stop = tmp_path / "log", tmp_path / "printed", threading.Event()
    code = (
        f"import pathlib, time; print({SECRET!r}, 'half a line', end='', flush=True); pathlib.Path('printed').touch()"
    )

    def wait() -> None:
        while not printed.exists():
            time.sleep(0.01)
        time.sleep(0.3)
        stop.set()

    threading.Thread(target=wait, daemon=True).start()
    ended = process.run([sys.executable, "-c", f"{code}; time.sleep(60)"], cwd=tmp_path, env=dict(os.environ), log=log,
                        stop=stop, hide=(SECRET,))  # fmt: skip
    assert ended.stopped
    assert log.read_text() == "*** half a line"


def test_the_values_that_nobody_may_see() -> None:
    pem = "-----BEGIN PRIVATE KEY-----\nfirst\nsecond==\n-----END PRIVATE KEY-----\n"
    env = {"GATES_SIGNING_KEY": pem, "MLFLOW_TRACKING_TOKEN": " t ", "AZURE_CLIENT_SECRET": "", "PATH": "/bin"}
    assert confidential.values(env) == ("first", "second==", "t")
    assert confidential.values({"GATES_SIGNING_KEY": "keys/release.pem"}) == ()
