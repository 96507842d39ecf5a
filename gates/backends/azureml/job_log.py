"""A job's log, streamed to its end: whole lines, none twice, no secret of ours among them."""

from __future__ import annotations

import contextlib
import io
import re
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from gates.backends.azureml.calls import explain, scrub
from gates.backends.azureml.client import quiet
from gates.backends.azureml.submission import RUNNING, status_of_job
from gates.errors import Cancelled, GatesError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

    from gates.backends.azureml.client import Workspace

_STREAM_PATIENCE = 600.0
"""Seconds that a job's log may be out of reach before we give up; the job goes on."""
_SAID_BY_SDK = re.compile(r"^(RunId: |Web View: |Execution Summary$|=+$|Streaming \S+$)")


def follow(
    workspace: Workspace, name: str, hear: Callable[[str], None], *, whole: Callable[[], str], told: Sequence[int] = ()
) -> str:
    """Stream until the job has ended; its status. A stream that breaks goes on where it was.

    whole: the log as it is kept, '' where there is none: the SDK streams nothing of a job that has ended, so that the
    rest is taken from there when the stream broke before, or never began. told: see `heeded`.
    """
    seen, since = 0, time.monotonic()
    while True:
        out = _Lines(hear, skip=seen, told=told)
        trouble: GatesError | None = None
        try:
            with quiet(out):
                workspace.ml.jobs.stream(name)
        except GatesError:
            raise
        except Exception as error:
            trouble = None if type(error).__name__ == "JobException" else explain(f"the log of job {name}", error)
            if trouble is None and type(error).__name__ != "JobException":
                raise
        finally:
            out.finish()
        heed(told)
        if out.count > seen:
            seen, since = out.count, time.monotonic()
        try:
            status = status_of_job(workspace, name)
        except Unavailable as error:
            status, trouble = "Unknown", error
        if status is None:
            raise Unavailable(f"job {name} is gone from the workspace", hint="somebody deleted it; train again")
        if status not in RUNNING:
            if trouble is not None or not seen:
                _rest(hear, whole, seen)
            return status
        if time.monotonic() - since > _STREAM_PATIENCE and trouble is not None:
            raise Unavailable(f"{trouble.what}; job {name} goes on", hint="run the same command again to go on with it")
        time.sleep(2.0)


@contextlib.contextmanager
def heeded() -> Iterator[list[int]]:
    """The signals that came inside: what their handler raises in the middle of the SDK, it may swallow; see `heed`."""
    told: list[int] = []
    before: dict[signal.Signals, Any] = {}

    def noting(handler: Any) -> Callable[[int, FrameType | None], Any]:
        def note(number: int, frame: FrameType | None) -> Any:
            told.append(number)
            return handler(number, frame)

        return note

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if callable(handler := signal.getsignal(number)):
                before[number] = signal.signal(number, noting(handler))
    try:
        yield told
    finally:
        for known, handler in before.items():
            signal.signal(known, handler)


def heed(told: Sequence[int]) -> None:
    """Raise what a signal asked for, where nobody between its handler and us let it through."""
    if told:
        raise Cancelled(told[0])


def _rest(hear: Callable[[str], None], whole: Callable[[], str], seen: int) -> None:
    out = _Lines(hear, skip=seen)
    out.write(whole())
    out.finish()


class _Lines(io.TextIOBase):
    """A stream that hands on whole lines, without what the SDK says of itself, and without the first `skip`."""

    def __init__(self, hear: Callable[[str], None], *, skip: int = 0, told: Sequence[int] = ()) -> None:
        self._hear, self._skip, self._rest, self.count, self._told = hear, skip, "", 0, told
        self._out, self._err = sys.stdout, sys.stderr  # whoever hears a line may print it: not to us again

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._say(line)
        return len(text)

    def flush(self) -> None:
        """The SDK asks for it before each of its waits."""
        heed(self._told)

    def finish(self) -> None:
        if self._rest:
            self._say(self._rest)
            self._rest = ""

    def _say(self, line: str) -> None:
        if not line.strip() or _SAID_BY_SDK.match(line):
            return
        self.count += 1
        if self.count > self._skip:
            with contextlib.redirect_stdout(self._out), contextlib.redirect_stderr(self._err):
                self._hear(scrub(line))
