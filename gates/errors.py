"""Every way to end badly, with its exit code, its outcome and its hint.

A step ends well by returning; it ends badly by raising one of these, and only `cli` turns that into an exit code.
A gate that refuses is not an error: its verdict is a value (`verdict.py`).
The first line of the message is the message: what, where, and what to write instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from pathlib import Path

OUTCOMES = (
    "passed", "refused", "job-failed", "invalid", "inconclusive", "error",
    "rolled-back", "unknown", "conflict", "waiting", "defect", "cancelled",
)  # fmt: skip


class GatesError(Exception):
    """Base of all ends that are known. `str(error)` is `FILE:LINE: WHAT; HINT`, on one line."""

    exit_code: ClassVar[int] = 70
    outcome: ClassVar[str] = "defect"

    def __init__(self, what: str, *, hint: str = "", file: Path | str | None = None, line: int | None = None) -> None:
        self.what = " ".join(what.split())
        self.hint = " ".join(hint.split())
        self.file = None if file is None else str(file)
        self.line = line
        super().__init__(str(self))

    def __str__(self) -> str:
        where = "" if self.file is None else f"{self.file}: " if self.line is None else f"{self.file}:{self.line}: "
        return f"{where}{self.what}{'; ' + self.hint if self.hint else ''}"


class Refused(GatesError):
    """The evidence or the chain of lineage does not allow what was asked."""

    exit_code, outcome = 1, "refused"


class JobFailed(GatesError):
    """The user's own job failed. `tail` holds the last lines of its log."""

    exit_code, outcome = 1, "job-failed"

    def __init__(self, what: str, *, hint: str = "", tail: tuple[str, ...] = ()) -> None:
        super().__init__(what, hint=hint)
        self.tail = tail


class InvalidInput(GatesError):
    """An input, a configuration or a policy is wrong: the user mends it."""

    exit_code, outcome = 2, "invalid"


class Inconclusive(GatesError):
    """The evidence does not decide."""

    exit_code, outcome = 3, "inconclusive"


class Unavailable(GatesError):
    """Evidence or a backend could not be had."""

    exit_code, outcome = 4, "error"


class RolledBack(GatesError):
    """The deployment failed after a new deployment existed; what was before is restored and verified."""

    exit_code, outcome = 5, "rolled-back"


class StateUnknown(GatesError):
    """The rollback failed, or nobody can tell what serves: a person must look."""

    exit_code, outcome = 6, "unknown"


class Conflict(GatesError):
    """Somebody else holds the endpoint, or took it over."""

    exit_code, outcome = 7, "conflict"


class Waiting(GatesError):
    """Held until somebody approves."""

    exit_code, outcome = 8, "waiting"


class Cancelled(GatesError):
    """A signal ended the run; it can be resumed. The exit code is 128 + the signal's number."""

    outcome = "cancelled"

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"cancelled by signal {signal_number}", hint="run the same command again to resume")
        self.signal_number = signal_number

    @property
    def exit_code(self) -> int:  # type: ignore[override]  # the only end whose code depends on the instance
        return 128 + self.signal_number
