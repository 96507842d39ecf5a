"""Starts every process of ours behind guard.py, so that none outlives its owner; ends them when we are cancelled.

The one exception is `detach`: an endpoint's supervisor, which outlives its command on purpose.

Rules: `env` is given, never taken from os.environ; no shell; a command that is not there is errors.Unavailable before
anything starts. While `run` waits, an exception raised by a signal handler (errors.Cancelled, KeyboardInterrupt) ends
the child first and goes on. Linux and macOS; on Windows errors.Unavailable.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from gates.errors import Unavailable

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence

GUARD = Path(__file__).with_name("guard.py")
TAIL_LINES = 50
SECRETS = "GATES_SIGNING_"
"""The key that signs lineage: no process of the user's, which could sign anything with it, is told."""
GRACE = 2.0
"""Seconds that a child has between SIGTERM and SIGKILL."""
_LONGEST_LINE = 65536
_POLL = 0.25


@dataclass(frozen=True)
class Finished:
    """How a process ended. returncode as in subprocess (negative: the signal); tail: its last lines, at most 50."""

    returncode: int
    timed_out: bool
    tail: tuple[str, ...]
    seconds: float = 0.0
    stopped: bool = False

    @property
    def ok(self) -> bool:
        return self.returncode == 0 and not self.timed_out and not self.stopped

    @property
    def how(self) -> str:
        """In words, for messages: `exit code 3`, `killed by SIGKILL`, `timed out after 10 s`."""
        if self.timed_out:
            return f"timed out after {self.seconds:.0f} s"
        if self.stopped:
            return "was stopped"
        if self.returncode < 0:
            number = -self.returncode
            name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
            return f"was killed by {name}"
        return f"ended with exit code {self.returncode}"


class Child:
    """A running process behind its guard. `pid` is the guard's; signals sent to it are forwarded."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen
        self.pid = popen.pid

    @property
    def stdout(self) -> IO[bytes] | None:
        return self._popen.stdout

    def poll(self) -> int | None:
        """The exit status (negative: the signal), or None while it runs."""
        return self._popen.poll()

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit status; None when it still runs after `timeout` seconds."""
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def terminate(self, grace: float = GRACE) -> int:
        """SIGTERM, then SIGKILL after about `grace` seconds (at most the guard's own grace), to every descendant."""
        popen = self._popen
        try:
            if popen.poll() is None:
                popen.send_signal(signal.SIGTERM)
                self.wait(grace)
        finally:
            self._release()
        if self.wait(GRACE + 5.0) is None:
            popen.kill()
        return popen.wait()

    def _release(self) -> None:
        """Let go of the lifeline: whatever happens to us from here on, the guard ends everything."""
        if self._popen.stdin is not None:
            self._popen.stdin.close()


def start(
    argv: Sequence[str | Path],
    *,
    cwd: Path,
    env: Mapping[str, str],
    log: Path | None = None,
    grace: float = GRACE,
    capture: bool = False,
) -> Child:
    """Start `argv` behind a guard; its output is appended to `log`, or piped (`capture`), or dropped.

    The command is looked up on `env`'s PATH. Unavailable when it or `cwd` is not there.
    """
    command = _resolve(argv, cwd=cwd, env=env)
    guarded = [sys.executable, "-I", "-S", str(GUARD), "--grace", str(grace), "--", *command]
    output = subprocess.PIPE if capture else _open_log(log)
    try:
        popen = subprocess.Popen(
            guarded,
            cwd=cwd,
            env={name: value for name, value in env.items() if not name.startswith(SECRETS)},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise Unavailable(f"cannot start {command[0]}: {error.strerror or error}") from error
    finally:
        if output >= 0:
            os.close(output)
    return Child(popen)


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path,
    env: Mapping[str, str],
    on_line: Callable[[str], None] | None = None,
    timeout: float | None = None,
    log: Path | None = None,
    stop: threading.Event | None = None,
    grace: float = GRACE,
    hide: Sequence[str] = (),
) -> Finished:
    """Run `argv` to its end. Output (stderr joined in) goes line by line to `on_line`, as bytes to `log`.

    `on_line` is called in the calling thread, with undecodable bytes replaced and only the last state of a progress
    bar. None of the texts in `hide` comes through: `***` stands for them in lines, log and tail. After `timeout`
    seconds, or when `stop` is set, the child and all its descendants are ended.
    """
    begun = time.monotonic()
    child = start(argv, cwd=cwd, env=env, grace=grace, capture=True)
    reader = _Reader(child, on_line, log, hide)
    try:
        timed_out = stopped = False
        while reader.read(_POLL):
            timed_out = timeout is not None and time.monotonic() - begun > timeout
            stopped = stop is not None and stop.is_set()
            if timed_out or stopped:
                child.terminate(grace)
                reader.drain()
                break
        returncode = child.wait()
    except BaseException:
        child.terminate(grace)
        raise
    finally:
        reader.close()
        child._release()  # noqa: SLF001  # ours; not for callers
    seconds = time.monotonic() - begun
    return Finished(returncode or 0, timed_out, tuple(reader.tail), seconds, stopped)


def detach(
    argv: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str], log: Path, given: bytes = b""
) -> subprocess.Popen[bytes]:
    """Start `argv` in a session of its own, behind no guard: it goes on when we end, and nobody signals it.

    given: what it reads from its standard input, then its end. Output is appended to `log`. Unavailable when it cannot
    be started. `poll()` the answer to see an early death.
    """
    command = _resolve(argv, cwd=cwd, env=env)
    output = _open_log(log)
    try:
        popen = subprocess.Popen(
            command, cwd=cwd, env={name: value for name, value in env.items() if not name.startswith(SECRETS)},
            stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise Unavailable(f"cannot start {command[0]}: {error.strerror or error}") from error
    finally:
        os.close(output)
    if popen.stdin is not None:
        try:
            popen.stdin.write(given)
            popen.stdin.close()
        except BrokenPipeError:
            popen.wait()  # it died before it read; the caller sees that by poll(), and why in the log
    return popen


class _Reader:
    """Cuts a child's output into lines."""

    def __init__(
        self, child: Child, on_line: Callable[[str], None] | None, log: Path | None, hide: Sequence[str]
    ) -> None:
        if child.stdout is None:  # start(capture=True) always gives one
            raise Unavailable("the child has no output to read")
        self._pipe = child.stdout
        self._on_line = on_line
        self._log = None if log is None else os.fdopen(_open_log(log), "ab", buffering=0)
        self._rest = b""
        self._hide = sorted((text.encode() for text in hide if text), key=len, reverse=True)
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._pipe, selectors.EVENT_READ)

    def read(self, timeout: float) -> bool:
        """Read what there is, waiting at most `timeout` seconds. False at the end of the output."""
        if not self._selector.select(timeout):
            return True
        chunk = os.read(self._pipe.fileno(), 65536)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        whole = [line + b"\n" for line in lines]
        if not chunk or len(self._rest) > _LONGEST_LINE:
            rest = self._hidden(self._rest)
            keep = len(self._hide[0]) - 1 if chunk and self._hide else 0  # another may have begun at the very end
            last, self._rest = rest[: len(rest) - keep], rest[len(rest) - keep :]
            lines.append(last)
            whole.append(last)
        if self._log is not None:
            self._log.write(self._hidden(b"".join(whole)))
        for number, line in enumerate(lines):
            if line or number < len(lines) - 1 or chunk:
                self._say(self._hidden(line))
        return bool(chunk)

    def drain(self) -> None:
        """Read to the end of an output whose writers have been ended."""
        until = time.monotonic() + 1.0
        while time.monotonic() < until and self.read(0.1):
            pass

    def close(self) -> None:
        self._selector.close()
        self._pipe.close()
        if self._log is not None:
            self._log.write(self._hidden(self._rest))
            self._log.close()

    def _hidden(self, text: bytes) -> bytes:
        for secret in self._hide:
            text = text.replace(secret, b"***")
        return text

    def _say(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2]
        self.tail.append(text)
        if self._on_line is not None:
            self._on_line(text)


def _resolve(argv: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str]) -> list[str]:
    if os.name != "posix":
        raise Unavailable("processes are only started on Linux and macOS", hint="use WSL on Windows")
    if not cwd.is_dir():
        raise Unavailable(f"no such folder to run in: {cwd}")
    name, *rest = [str(word) for word in argv]
    found = shutil.which(name if os.sep not in name else str(cwd / name), path=env.get("PATH", os.defpath))
    if found is None:
        raise Unavailable(f"command not found: {name}", hint="install it or put it on PATH")
    return [found, *rest]


def _open_log(log: Path | None) -> int:
    """A descriptor to append to, closed by whoever asked for it."""
    if log is None:
        return os.open(os.devnull, os.O_WRONLY)
    log.parent.mkdir(parents=True, exist_ok=True)
    return os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
