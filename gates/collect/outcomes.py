"""Labels that come later: answers whose truth is known by now, told apart by the deployment that gave them.

A file that grows while a canary or an A/B test runs: the target under its own name, `prediction`, and `deployment`.
A wrong answer is then as good a signal as a failed request: `wrong_answers`, of the new deployment and of the others.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gates.collect.tables import read_table, to_numpy
from gates.errors import InvalidInput, Unavailable
from gates.evidence import Counted, Evidence

if TYPE_CHECKING:
    from pathlib import Path

SIGNAL = "wrong_answers"
DEPLOYMENT = "deployment"


def added(evidence: Evidence, path: Path, *, target: str, green: str) -> Evidence:
    """The evidence with what is labelled so far. No file yet: no label yet. Raises Unavailable for one that cannot be
    read now: it may be in the middle of being written."""
    ours, theirs = _counted(path, target, green)
    champion = {} if evidence.champion_absent else {SIGNAL: theirs}
    return replace(
        evidence,
        counts={**evidence.counts, SIGNAL: ours},
        champion_counts={**evidence.champion_counts, **champion},
    )


def _counted(path: Path, target: str, green: str) -> tuple[Counted, Counted]:
    if not path.exists():
        return Counted(0, 0), Counted(0, 0)
    try:
        table = read_table(path, [target, "prediction", DEPLOYMENT], "the file of outcomes")
    except InvalidInput as error:
        raise Unavailable(error.what, hint=error.hint, file=path) from error
    import pyarrow.compute as pc

    table = table.filter(pc.is_valid(table.column(target)))  # a row without its truth is not labelled yet
    truth, said = to_numpy(table.column(target)), to_numpy(table.column("prediction"))
    numbers = truth.dtype.kind in "iuf" and said.dtype.kind in "iuf"
    wrong = truth != said if numbers else truth.astype(str) != said.astype(str)
    mine = to_numpy(table.column(DEPLOYMENT)).astype(str) == green
    return (
        Counted(int((wrong & mine).sum()), int(mine.sum())),
        Counted(int((wrong & ~mine).sum()), int((~mine).sum())),
    )
