"""A job's log is heard once, whole, whatever becomes of the stream; without what the SDK says of itself."""

from __future__ import annotations

import signal
import sys
from typing import Any

import pytest

from gates.backends.azureml import job_log
from gates.errors import Cancelled, Unavailable

LOG = ("first", "second", "third")


class SaysNothing(Exception):
    """What the SDK raises when it cannot be answered."""

    __module__ = "azure.core.exceptions"


class JobException(Exception):
    """What it raises when the job has failed."""


class Job:
    """A job whose every stream shows so many lines of the log and then breaks; None: it ends well.

    As the SDK's, a stream begins at the beginning, and says nothing of a job that has ended. `statuses`: what the
    workspace says, one after the other.
    """

    name = "train-1"

    def __init__(self, *streams: tuple[int, Exception | None], statuses: tuple[str | None, ...]) -> None:
        self._streams, self._statuses = list(streams), list(statuses)
        self.ml = type("Ml", (), {"jobs": self})()

    def stream(self, name: str) -> None:
        shown, error = self._streams.pop(0)
        print("RunId: train-1\nWeb View: https://x\n\nStreaming user_logs/std_log.txt\n=======\n")
        print("\n".join(LOG[:shown]), end="\n" if shown < len(LOG) else "")
        print("\nExecution Summary\n=====")
        if error is not None:
            raise error

    def get(self, path: str) -> dict[str, Any] | None:
        status = self._statuses.pop(0)
        return None if status is None else {"properties": {"status": status}}


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)


def follow(job: Job, *, kept: tuple[str, ...] = ()) -> tuple[str, list[str]]:
    heard: list[str] = []
    status = job_log.follow(job, job.name, heard.append, whole=lambda: "".join(f"{line}\n" for line in kept))  # type: ignore[arg-type]  # as much of a workspace as it asks
    return status, heard


def test_a_stream_is_heard_without_the_sdk_s_own_lines() -> None:
    assert follow(Job((3, None), statuses=("Completed",))) == ("Completed", list(LOG))


@pytest.mark.parametrize("shown", [0, 1, 2, 3])
def test_a_stream_that_breaks_goes_on_and_no_line_is_heard_twice(shown: int) -> None:
    streams = ((shown, SaysNothing("503")), (shown, SaysNothing("503")), (3, None))
    assert follow(Job(*streams, statuses=("Running", "Running", "Completed"))) == ("Completed", list(LOG))


@pytest.mark.parametrize("shown", [0, 1, 3])
def test_the_rest_of_a_job_that_ended_meanwhile_is_taken_from_what_is_kept(shown: int) -> None:
    job = Job((shown, SaysNothing("503")), statuses=("Failed",))
    assert follow(job, kept=LOG) == ("Failed", list(LOG))


def test_a_job_found_ended_says_what_is_kept_of_it() -> None:
    assert follow(Job((0, None), statuses=("Completed",)), kept=LOG) == ("Completed", list(LOG))


def test_a_job_that_failed_ends_its_stream_with_an_error_and_is_no_trouble() -> None:
    assert follow(Job((3, JobException("failed")), statuses=("Failed",)), kept=("another",)) == ("Failed", list(LOG))


def test_an_error_that_is_nobody_s_we_know_is_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError):
        follow(Job((1, ZeroDivisionError()), statuses=("Running",)))


def test_a_job_that_is_gone_and_a_log_out_of_reach_for_long_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unavailable, match="job train-1 is gone"):
        follow(Job((1, None), statuses=(None,)))
    monkeypatch.setattr(job_log, "_STREAM_PATIENCE", -1.0)
    with pytest.raises(Unavailable, match="job train-1 goes on"):
        follow(Job((1, SaysNothing("503")), statuses=("Running",)))
    assert follow(Job((1, None), (3, None), statuses=("Running", "Completed")))[0] == "Completed"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_the_sdk_swallows_is_heeded_before_its_next_wait(number: signal.Signals) -> None:
    """What the handler raises ends in some `except Exception` of the SDK's, and it streams on."""

    def cancel(number: int, _: object) -> None:
        raise Cancelled(number)

    class Deaf(Job):
        def stream(self, name: str) -> None:
            print(LOG[0])
            try:
                signal.raise_signal(number)
            except Exception:
                print(LOG[1])
            sys.stdout.flush()
            print(LOG[2])

    before = signal.signal(number, cancel)
    try:
        heard: list[str] = []
        with pytest.raises(Cancelled) as raised, job_log.heeded() as told:
            job_log.follow(Deaf(statuses=("Running",)), "n", heard.append, whole=lambda: "", told=told)  # type: ignore[arg-type]  # as above
        assert raised.value.signal_number == number
        assert heard == list(LOG[:2])
        assert signal.getsignal(number) is cancel
    finally:
        signal.signal(number, before)


def test_a_last_line_without_an_end_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Short(Job):
        def stream(self, name: str) -> None:
            print(LOG[0], end="")

    assert follow(Short(statuses=("Completed",))) == ("Completed", [LOG[0]])
    heard: list[str] = []
    status = job_log.follow(Job((0, None), statuses=("Completed",)), "n", heard.append, whole=lambda: "a\nb")  # type: ignore[arg-type]  # as above
    assert (status, heard) == ("Completed", ["a", "b"])


def test_who_hears_a_line_may_print_it(capsys: pytest.CaptureFixture[str]) -> None:
    job = Job((3, None), statuses=("Completed",))
    job_log.follow(job, "n", lambda line: print(f"heard {line}"), whole=lambda: "")  # type: ignore[arg-type]  # as above
    assert capsys.readouterr().out.splitlines() == [f"heard {line}" for line in LOG]


def test_a_signature_in_a_line_is_not_heard() -> None:
    heard: list[str] = []
    out = job_log._Lines(heard.append)
    for part in ("asking https://a/c?sv=1&si", "g=plantedSig%2BZq8&x=1\nnext", "\n", "last"):
        out.write(part)
    out.finish()
    assert heard == ["asking https://a/c?sv=1&sig=…&x=1", "next", "last"]
    assert out.count == 3
