"""Child processes never outlive their owner, however it dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from gates.errors import Cancelled, Unavailable
from gates.runtime import process

ENV = {"PATH": os.environ["PATH"]}
LINUX = sys.platform == "linux"

TREE = """
    import os, subprocess, sys, time
    mark = sys.argv[1]
    sleeper = [sys.executable, '-c', 'import time; time.sleep(60)', mark]
    subprocess.Popen(sleeper)                                            # a child
    subprocess.Popen(sleeper, start_new_session=True)                    # one that left the group
    if os.fork() == 0:                                                   # a daemon: its parent is gone
        os.setsid()
        if os.fork() == 0:
            os.execv(sys.executable, [*sleeper, 'daemon'])
        os._exit(0)
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)                        # and one that will not be asked
    print('up', flush=True)
    time.sleep(60)
"""


def alive(mark: str) -> list[str]:
    """Command lines that carry the mark."""
    command = ["ps", "-A", "-ww", "-o", "stat=", "-o", "args="]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [line for line in listing.splitlines() if mark in line and not line.startswith("Z") and "ps -A" not in line]


def gone_within(mark: str, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while alive(mark):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def wait_for(mark: str, count: int) -> None:
    until = time.monotonic() + 20
    while len(alive(mark)) < count:
        assert time.monotonic() < until, alive(mark)
        time.sleep(0.05)


@pytest.fixture
def mark(tmp_path: Path) -> str:
    return f"mark-{os.getpid()}-{tmp_path.name}"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    script = tmp_path / "tree.py"
    script.write_text(textwrap.dedent(TREE))
    return script


def owner(tmp_path: Path, tree: Path, mark: str) -> subprocess.Popen[bytes]:
    """A process of its own that runs the tree through `process.run`."""
    code = f"""
        from pathlib import Path
        from gates.runtime import process
        process.run([{sys.executable!r}, {str(tree)!r}, {mark!r}], cwd=Path({str(tmp_path)!r}), env={ENV!r})
    """
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], cwd=Path(__file__).parents[2])


@pytest.mark.skipif(not LINUX, reason="only Linux can find a daemon that left every group")
def test_nothing_runs_five_seconds_after_kill_nine_of_the_owner(tmp_path: Path, tree: Path, mark: str) -> None:
    parent = owner(tmp_path, tree, mark)
    wait_for(mark, 5 + 1)  # the guard, the tree, three sleepers, and the owner's own command line
    parent.kill()
    parent.wait()
    assert gone_within(mark, 5.0), alive(mark)


@pytest.mark.skipif(not LINUX, reason="same")
def test_descendants_end_with_a_child_that_ends_by_itself(tmp_path: Path, mark: str) -> None:
    script = tmp_path / "short.py"
    body = textwrap.dedent(TREE).replace("time.sleep(60)\n", "time.sleep(0.3); sys.exit(7)\n")
    script.write_text(body)
    ended = process.run([sys.executable, script, mark], cwd=tmp_path, env=ENV)
    assert ended.returncode == 7
    assert ended.tail == ("up",)
    assert alive(mark) == []


@pytest.mark.skipif(not LINUX, reason="only Linux kills the child of a guard that was itself killed")
def test_a_killed_guard_takes_its_child_along(tmp_path: Path, mark: str) -> None:
    child = process.start([sys.executable, "-c", "import time; time.sleep(60)", mark], cwd=tmp_path, env=ENV)
    wait_for(mark, 2)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait(5) == -signal.SIGKILL
    assert gone_within(mark, 2.0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_cancel_ends_children_and_goes_on(tmp_path: Path, tree: Path, mark: str, number: signal.Signals) -> None:
    def cancel(signum: int, _: object) -> None:
        raise Cancelled(signum)

    before = signal.signal(number, cancel)
    timer = threading.Timer(1.5, os.kill, (os.getpid(), number))
    timer.start()
    begun = time.monotonic()
    try:
        with pytest.raises(Cancelled) as caught:
            process.run([sys.executable, tree, mark], cwd=tmp_path, env=ENV)
    finally:
        signal.signal(number, before)
        timer.cancel()
    assert caught.value.signal_number == number
    assert time.monotonic() - begun < 30
    assert alive(mark) == []


def test_a_timeout_ends_everything_and_says_so(tmp_path: Path, tree: Path, mark: str) -> None:
    ended = process.run([sys.executable, tree, mark], cwd=tmp_path, env=ENV, timeout=1.0, grace=0.5)
    assert ended.timed_out
    assert not ended.ok
    assert ended.seconds < 30
    assert ended.tail == ("up",)
    assert "timed out after" in ended.how
    assert alive(mark) == []


def test_stop_from_another_thread(tmp_path: Path, mark: str) -> None:
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    command = [sys.executable, "-c", "import time; time.sleep(60)", mark]
    ended = process.run(command, cwd=tmp_path, env=ENV, stop=stop)
    assert ended.stopped
    assert ended.seconds < 30
    assert alive(mark) == []


@pytest.mark.parametrize(
    ("body", "code", "how"),
    [
        ("", 0, "ended with exit code 0"),
        ("import sys; sys.exit(3)", 3, "ended with exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", -9, "was killed by SIGKILL"),
        ("import os; os.kill(os.getpid(), 11)", -11, "was killed by SIGSEGV"),
    ],
)
def test_the_exit_status_is_the_childs_own(tmp_path: Path, body: str, code: int, how: str) -> None:
    ended = process.run([sys.executable, "-c", body], cwd=tmp_path, env=ENV)
    assert (ended.returncode, ended.how) == (code, how)


def test_output_reaches_lines_and_log(tmp_path: Path) -> None:
    lines: list[str] = []
    out = rb"b'one\n\n 10%\r 99%\r100%\nbad \xff byte\r\n'".decode()
    code = f"import os; os.write(1, {out}); os.write(2, b'error\\nno newline')"
    log = tmp_path / "logs" / "job.log"
    ended = process.run([sys.executable, "-c", code], cwd=tmp_path, env=ENV, on_line=lines.append, log=log)
    assert lines == ["one", "", "100%", "bad \ufffd byte", "error", "no newline"]
    assert ended.tail == tuple(lines)
    assert log.read_bytes().startswith(b"one\n\n 10%\r 99%")


def test_the_tail_is_the_last_fifty_lines_and_a_long_line_is_cut(tmp_path: Path) -> None:
    code = "print('x' * 200_000); [print(i) for i in range(200)]"
    ended = process.run([sys.executable, "-c", code], cwd=tmp_path, env=ENV)
    assert ended.tail == tuple(str(i) for i in range(150, 200))


def test_the_child_gets_the_environment_it_is_given_and_an_empty_input(tmp_path: Path) -> None:
    code = "import os, sys; print(sorted(k for k in os.environ if k != 'LC_CTYPE'), repr(sys.stdin.read()))"
    ended = process.run([sys.executable, "-I", "-c", code], cwd=tmp_path, env={**ENV, "ONLY": "this"})
    assert ended.tail == ("['ONLY', 'PATH'] ''",)


def test_what_cannot_be_started_is_said_before(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"^command not found: no-such-program; install it"):
        process.run(["no-such-program"], cwd=tmp_path, env=ENV)
    with pytest.raises(Unavailable, match="no such folder to run in"):
        process.run([sys.executable], cwd=tmp_path / "absent", env=ENV)


def test_start_appends_to_a_log_and_terminates(tmp_path: Path, mark: str) -> None:
    log = tmp_path / "server.log"
    code = "import time; print('serving', flush=True); time.sleep(60)"
    child = process.start([sys.executable, "-c", code, mark], cwd=tmp_path, env=ENV, log=log)
    wait_for(mark, 2)
    while not log.exists() or not log.read_text():
        time.sleep(0.02)
    assert child.poll() is None
    assert child.wait(0.05) is None
    assert child.terminate(grace=1.0) == -signal.SIGTERM
    assert log.read_text() == "serving\n"
    assert alive(mark) == []
