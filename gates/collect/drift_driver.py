"""The driver of a Spark job in a workspace: compares current data, where it lies, with the profile that came along.

Run by Spark as a script, with this package on the path of driver and executors. What it writes is counts and figures a
column, `{"rows", "columns"}` on one line of text in the folder `--found`; no row of the data is in them. Whoever asked
judges by them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gates.document import read_bytes
from gates.drift import spark
from gates.drift.found import ColumnDrift  # noqa: TC001  # msgspec reads the annotation
from gates.drift.profile import Profile
from gates.errors import GatesError

if TYPE_CHECKING:
    from collections.abc import Sequence

PROFILE, ASKED = "profile.gates", "asked.json"


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """columns: listed by the policy; every: the profile's too, but those `left`, and the target while no label came.

    collected: whether a data collector wrote the current data.
    """

    columns: tuple[str, ...] = ()
    every: bool = True
    left: tuple[str, ...] = ()
    target: str = ""
    collected: bool = False


class Found(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was compared; or in `error`, `hint` and `outcome` why nothing was."""

    rows: int = 0
    columns: tuple[ColumnDrift, ...] = ()
    outcome: str = "compared"
    error: str = ""
    hint: str = ""


def main(argv: Sequence[str] | None = None) -> None:
    """A known error is the answer, not a failure of the job."""
    parser = argparse.ArgumentParser()
    for name in ("--current", "--found", "--beside"):
        parser.add_argument(name, required=True)
    given = parser.parse_args(argv)
    session = spark.session()
    try:
        found = compare(session, given.current, Path(given.beside))
    except GatesError as error:
        found = Found(outcome=error.outcome, error=error.what, hint=error.hint)
    text = msgspec.json.encode(found).decode()
    session.createDataFrame([(text,)], ["found"]).coalesce(1).write.mode("overwrite").text(given.found)
    print(json.dumps({"outcome": found.outcome, "rows": found.rows}), flush=True)  # noqa: T201  # the job's log


def compare(session: Any, current: str, beside: Path) -> Found:
    """`beside` holds the profile and what is asked."""
    asked = msgspec.json.decode(read_bytes(beside / ASKED, "what is asked"), type=Asked)
    profile = Profile.from_bytes(read_bytes(beside / PROFILE, "the profile"), file=PROFILE)
    frame = spark.open_collected(session, current) if asked.collected else spark.open_frame(session, current)
    left = {*asked.left, *([asked.target] if asked.target not in frame.columns else [])} - set(asked.columns)
    names = [name for name in profile.names if name not in left] if asked.every else []
    columns, rows = spark.scan(profile, frame, columns=list(dict.fromkeys([*names, *asked.columns])), where=current)
    return Found(rows=rows, columns=columns)


if __name__ == "__main__":
    main()
