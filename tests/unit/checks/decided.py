"""A check from its words in the policy, and what it decides; predictions from the four cells of a confusion matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from gates.checks import CHECKS
from gates.checks.spec import Check, Settings
from gates.evidence import Evidence, Predictions

if TYPE_CHECKING:
    from gates.verdict import CheckResult, Status

BOOTSTRAP = Settings(champion_when_absent="bootstrap")


def check(kind: str, **raw: Any) -> Check:
    return msgspec.convert({"id": "x", "type": kind, **raw}, CHECKS[kind])


def decide(kind: str, evidence: Evidence, settings: Settings | None = None, **raw: Any) -> CheckResult:
    return check(kind, **raw).decide(evidence, settings or Settings())


def brief(result: CheckResult) -> tuple[Status, str]:
    return result.status, result.reason


def lints(kind: str, **raw: Any) -> list[tuple[str, str]]:
    return list(check(kind, **raw).lint())


def cells(tp: int, fn: int, fp: int, tn: int) -> Predictions:
    """Predictions with these counts, 1 the positive label."""
    counts = [tp, fn, fp, tn]
    return Predictions(np.repeat([1, 1, 0, 0], counts), np.repeat([1, 0, 1, 0], counts), positive_label=1)


def by_group(**groups: tuple[int, int, int, int]) -> Predictions:
    """The same with a column `g`: by its value the four cells."""
    parts = [cells(*counts) for counts in groups.values()]
    return Predictions(
        np.concatenate([part.target for part in parts]),
        np.concatenate([part.prediction for part in parts]),
        positive_label=1,
        groups={"g": np.repeat(list(groups), [part.n for part in parts])},
    )


def paired(only_ours: int, only_theirs: int, both: int, neither: int) -> Evidence:
    """Candidate and champion, right on these many rows each."""
    counts = [only_ours, only_theirs, both, neither]
    target = np.arange(sum(counts)) % 2
    ours, theirs = np.repeat([1, 0, 1, 0], counts) == 1, np.repeat([0, 1, 1, 0], counts) == 1
    return Evidence(
        candidate=Predictions(target, np.where(ours, target, 1 - target), positive_label=1),
        champion=Predictions(target, np.where(theirs, target, 1 - target), positive_label=1),
    )
