"""Answers whose truth came later are counted by who gave them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gates.checks.rate_ratio import Window
from gates.collect import live
from gates.collect.outcomes import SIGNAL, added
from gates.errors import InvalidInput, Unavailable
from gates.evidence import Counted, Evidence

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "deployment,y,prediction\n"


def counted(path: Path, text: str) -> tuple[Counted, Counted]:
    path.write_text(HEAD + text)
    found = added(Evidence(), path, target="y", green="green")
    return found.counts[SIGNAL], found.champion_counts[SIGNAL]


@pytest.mark.parametrize(
    ("text", "ours", "theirs"),
    [
        ("green,1,1\ngreen,1,0\nblue,0,0\nblue,0,0\nblue,1,0\n", Counted(1, 2), Counted(1, 3)),
        ("green,1,1\ngreen,,0\nblue,0,0\n", Counted(0, 1), Counted(0, 1)),
        ("green,1,1.0\nblue,0,0\n", Counted(0, 1), Counted(0, 1)),
        ("green,yes,no\nblue,yes,yes\n", Counted(1, 1), Counted(0, 1)),
        ("green,1,\nblue,1,1\n", Counted(1, 1), Counted(0, 1)),
        ("", Counted(0, 0), Counted(0, 0)),
    ],
    ids=["both", "unlabelled", "numbers", "labels", "no answer", "no row"],
)
def test_wrong_answers_are_counted(text: str, ours: Counted, theirs: Counted, tmp_path: Path) -> None:
    assert counted(tmp_path / "o.csv", text) == (ours, theirs)


def test_no_file_yet_is_no_label_yet_and_an_unreadable_one_is_tried_again(tmp_path: Path) -> None:
    found = added(Evidence(), tmp_path / "later.csv", target="y", green="green")
    assert (found.counts[SIGNAL], found.champion_counts[SIGNAL]) == (Counted(0, 0), Counted(0, 0))
    (tmp_path / "bad.csv").write_text("y,prediction\n1,1\n")
    with pytest.raises(Unavailable, match="no column 'deployment'"):
        added(Evidence(), tmp_path / "bad.csv", target="y", green="green")


def test_a_first_deployment_is_compared_with_nobody(tmp_path: Path) -> None:
    found = added(Evidence(champion_absent=True), tmp_path / "later.csv", target="y", green="green")
    assert SIGNAL not in found.champion_counts


def test_what_a_rollout_saw_is_read_back_as_it_was() -> None:
    seen = Evidence(
        final=False,
        counts={"http_5xx": Counted(2, 30)},
        champion_counts={"http_5xx": Counted(1, 70)},
        samples={"latency_ms": np.array([1.5, 2.5])},
        champion_samples={"latency_ms": np.array([1.0])},
        facts={"windows": {"http_5xx": (Window(Counted(2, 30), Counted(1, 70)),)}},
    )
    raw = live.dump(seen)
    again = live.load(raw)
    assert live.dump(again) == raw
    assert (again.counts, again.champion_counts, again.facts, again.final) == (
        seen.counts, seen.champion_counts, seen.facts, False,
    )  # fmt: skip
    assert again.samples["latency_ms"].tolist() == [1.5, 2.5]
    assert live.load(live.dump(replace(seen, champion_absent=True))).champion_absent
    with pytest.raises(InvalidInput, match="not the evidence of a rollout"):
        live.load(b"{}")
