"""rate_ratio: on whom errors fall, by stretches of one split, and what two sides without errors come to."""

from __future__ import annotations

from typing import Any

import pytest
from decided import BOOTSTRAP, brief, check, decide, lints

from gates.checks.rate_ratio import Window
from gates.evidence import Counted, Evidence
from gates.verdict import Status

RATIO: dict[str, Any] = {"signal": "s", "max_ratio": 3.0}


def counted(ours: tuple[int, int], theirs: tuple[int, int], *windows: Window, final: bool = True) -> Evidence:
    facts = {"windows": {"s": windows}} if windows else {}
    return Evidence(
        counts={"s": Counted(*ours)}, champion_counts={"s": Counted(*theirs)}, facts=facts, final=final
    )  # fmt: skip


@pytest.mark.parametrize(
    ("ours", "theirs", "status", "reason", "observed"),
    [
        ((40, 1000), (36, 9000), Status.FAIL,
         "s: 40 of 1000 against the champion's 36 of 9000: more than 3 times as often, at any look.", 10.0),
        ((25, 5000), (25, 5000), Status.PASS,
         "s: 25 of 5000 against the champion's 25 of 5000: at most 3 times as often, at any look.", 1.0),
        ((1, 100), (0, 900), Status.INCONCLUSIVE,
         "s: 1 of 100 against the champion's 0 of 900: a ratio to 3 is not shown; errors are needed to compare, "
         "about n = 6700 of the candidate's requests would decide.", None),
        ((2, 1000), (2, 1000), Status.INCONCLUSIVE,
         "s: 2 of 1000 against the champion's 2 of 1000: a ratio to 3 is not shown; errors are needed to compare, "
         "about n = 8500 of the candidate's requests would decide.", 1.0),
        ((0, 10**5), (0, 10**5), Status.INCONCLUSIVE,
         "s: 0 of 100000 against the champion's 0 of 100000: a ratio to 3 is not shown; errors are needed to compare.",
         None),
    ],
)  # fmt: skip
def test_on_whom_errors_fall(
    ours: tuple[int, int], theirs: tuple[int, int], status: Status, reason: str, observed: float | None
) -> None:
    found = decide("rate_ratio", counted(ours, theirs), **RATIO)
    assert brief(found) == (status, reason)
    assert found.observed == (None if observed is None else pytest.approx(observed))
    assert found.n_needed == next((n for n in (6700, 8500) if str(n) in reason), None)


def test_a_negligible_rate_passes_without_errors() -> None:
    """`negligible` is a second way to pass, so that each way has half of beta: 476 requests at 1 %, not 391."""
    asked: dict[str, Any] = {**RATIO, "negligible": 0.01}
    found = decide("rate_ratio", counted((0, 1000), (0, 9000)), **asked)
    assert brief(found) == (
        Status.PASS,
        "s: 0 of 1000 against the champion's 0 of 9000: under 0.01, where no ratio matters.",
    )
    clear = next(
        n for n in range(1, 1000) if decide("rate_ratio", counted((0, n), (0, 9)), **asked).status is Status.PASS
    )
    both: dict[str, Any] = {**asked, "beta": 0.1}
    sooner = next(
        n for n in range(1, 1000) if decide("rate_ratio", counted((0, n), (0, 9)), **both).status is Status.PASS
    )
    alone = next(
        n for n in range(1, 1000)
        if decide("rate", Evidence(counts={"s": Counted(0, n)}), signal="s", ok=0.001, bad=0.01, beta=0.05).status
        is Status.PASS
    )  # fmt: skip
    assert sooner == alone < clear


def test_a_storm_that_hits_both_accuses_neither() -> None:
    """Half of all fails while 10 % is ours, then 0.5 %: the totals by window are even."""
    windows = Window(Counted(50, 100), Counted(450, 900)), Window(Counted(5, 1000), Counted(45, 9000))
    found = decide("rate_ratio", counted((55, 1100), (495, 9900), *windows), **RATIO)
    assert (found.status, found.observed) == (Status.PASS, 1.0)


def test_a_changed_split_must_not_accuse() -> None:
    """A storm of 50 % while the candidate had 5 %, calm while it had 95 %: pooled, it would look far better."""
    windows = Window(Counted(25, 50), Counted(475, 950)), Window(Counted(36, 950), Counted(0, 50))
    apart = decide("rate_ratio", counted((61, 1000), (475, 1000), *windows), max_ratio=1.0, signal="s")
    pooled = decide("rate_ratio", counted((61, 1000), (475, 1000)), max_ratio=1.0, signal="s")
    assert pooled.status is Status.PASS
    assert apart.status is Status.INCONCLUSIVE


@pytest.mark.parametrize(
    ("evidence", "status", "reason"),
    [
        (Evidence(counts={"s": Counted(0, 9)}), Status.ERROR, "The champion's 's' was not counted."),
        (Evidence(champion_counts={"s": Counted(0, 9)}), Status.ERROR, "'s' was not counted."),
        (counted((0, 0), (1, 5)), Status.ERROR, "The candidate had no request, so no ratio can be had."),
        (counted((0, 5), (0, 0)), Status.ERROR, "The champion had no request, so no ratio can be had."),
        (counted((0, 0), (0, 5), final=False), Status.INCONCLUSIVE, "The candidate had no request yet."),
        (counted((2, 5), (0, 5), Window(Counted(1, 5), Counted(0, 5))), Status.ERROR,
         "The windows of 's' do not add up to its counts."),
    ],
)  # fmt: skip
def test_what_was_not_counted(evidence: Evidence, status: Status, reason: str) -> None:
    assert brief(decide("rate_ratio", evidence, **RATIO)) == (status, reason)


def test_without_a_champion() -> None:
    alone = Evidence(counts={"s": Counted(0, 9)}, champion_absent=True)
    assert decide("rate_ratio", alone, **RATIO).status is Status.ERROR
    assert brief(decide("rate_ratio", alone, BOOTSTRAP, **RATIO)) == (
        Status.SKIPPED,
        "There is no champion yet and the policy says bootstrap: not compared.",
    )


def test_lint_and_words() -> None:
    assert lints("rate_ratio", **RATIO) == []
    assert lints("rate_ratio", signal="s", max_ratio=0.5) == [
        ("max_ratio", "0.5 asks the candidate to err less than the champion; write 1 or more")
    ]
    assert lints("rate_ratio", signal="s", max_ratio=float("inf")) == [("max_ratio", "write a finite number")]
    said = check("rate_ratio", negligible=0.001, **RATIO).explain()
    assert said.endswith("A rate shown to be under 0.001 passes whatever the champion's is.")
