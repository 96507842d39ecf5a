"""A policy without a stage 'canary': the built-in one decides, also for a first deployment that has no blue."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from gates import policy as policies
from gates.collect import live
from gates.evidence import Counted, Evidence
from gates.steps.canary import Judging, judged_live
from gates.verdict import Verdict

POLICY = b"""\
version: 1
name: no-canary
stages:
  validate:
    checks: [{id: a, type: threshold, metric: accuracy, min: 0.5}]
  deploy:
    checks: [{id: smoke, type: latency_quantile, signal: smoke_latency_ms, q: 0.95, max_ms: 100}]
"""
MODEL = {"digest": "sha256:" + "0" * 64, "version": "1"}
TODAY = date(2026, 1, 1)


def evidence(bad: int, n: int, *, blue: tuple[int, int] | None, ms: float = 10.0) -> Evidence:
    champion = {} if blue is None else {"http_5xx": Counted(*blue)}
    return Evidence(
        counts={"http_5xx": Counted(bad, n)},
        samples={"latency_ms": np.full(n, ms)},
        champion_counts=champion,
        champion_absent=blue is None,
    )


def judge(found: Evidence, accuracy: float | None = None) -> tuple[Verdict, list[tuple[str, str]], Judging]:
    policy = policies.load(POLICY, Path("policy.yml"), today=TODAY)
    judging = Judging(policy, "deploy-blue-green", lambda: TODAY, MODEL, accuracy)
    analyse = judging.gate("canary")
    assert analyse is not None
    analyse(found, final=False)
    seen = judging.reports["canary"]
    return seen.verdict, [(c.id, c.type) for c in seen.checks], judging


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (evidence(0, 0, blue=None), Verdict.INCONCLUSIVE),
        (evidence(0, 2000, blue=None), Verdict.PASS),
        (evidence(300, 2000, blue=None), Verdict.FAIL),
        (evidence(0, 2000, blue=(0, 2000)), Verdict.PASS),
        (evidence(200, 2000, blue=(2, 2000)), Verdict.FAIL),
        (evidence(0, 0, blue=(0, 0)), Verdict.INCONCLUSIVE),
        (evidence(0, 2000, blue=(0, 2000), ms=124.0), Verdict.PASS),
        (evidence(0, 2000, blue=(0, 2000), ms=126.0), Verdict.FAIL),
    ],
)
def test_what_it_decides(found: Evidence, verdict: Verdict) -> None:
    assert judge(found)[0] is verdict


def test_a_ratio_to_blue_where_there_is_one_and_a_rate_where_there_is_none() -> None:
    assert judge(evidence(0, 10, blue=(0, 10)))[1] == [
        ("builtin.errors", "rate_ratio"),
        ("builtin.latency", "latency_quantile"),
    ]
    assert judge(evidence(0, 10, blue=None))[1] == [("builtin.errors", "rate"), ("builtin.latency", "latency_quantile")]


@pytest.mark.parametrize(("allowed", "decision"), [(True, "allow"), (False, "refuse")])
def test_the_steps_report_is_what_the_rollout_judged(allowed: bool, decision: str, tmp_path: Path) -> None:
    judging = judge(evidence(0, 20, blue=None))[2]
    report = judging.report(tmp_path, POLICY, allowed=allowed)
    assert report is not None
    assert (report.stage, report.verdict, report.decision) == ("canary", Verdict.INCONCLUSIVE, decision)
    assert [check.id for check in report.checks] == ["builtin.errors", "builtin.latency"]
    assert report.model["digest"] == MODEL["digest"]
    assert [item.name for item in report.evidence] == ["rollout:canary", "manifest"]


def labelled(ours: tuple[int, int], theirs: tuple[int, int] | None) -> Evidence:
    """A canary without a failed request, and with so many (wrong, labelled) answers of each side."""
    found = evidence(0, 4000, blue=None if theirs is None else (0, 4000))
    champion = {} if theirs is None else {**found.champion_counts, "wrong_answers": Counted(*theirs)}
    return replace(found, counts={**found.counts, "wrong_answers": Counted(*ours)}, champion_counts=champion)


@pytest.mark.parametrize(
    ("ours", "theirs", "accuracy", "verdict", "decision"),
    [
        ((0, 0), (0, 0), 0.9, Verdict.INCONCLUSIVE, "allow"),  # no label yet holds nobody up
        ((800, 8000), (800, 8000), 0.9, Verdict.INCONCLUSIVE, "allow"),
        ((1200, 8000), (800, 8000), 0.9, Verdict.FAIL, "refuse"),
        ((1200, 8000), (1200, 8000), 0.9, Verdict.PASS, "allow"),  # the world did it, not the model
        ((600, 8000), (800, 8000), 0.9, Verdict.PASS, "allow"),
        ((400, 8000), (40, 8000), 1.0, Verdict.FAIL, "refuse"),
        ((0, 0), None, 0.9, Verdict.INCONCLUSIVE, "allow"),
        ((800, 8000), None, 0.9, Verdict.PASS, "allow"),
        ((1200, 8000), None, 0.9, Verdict.FAIL, "refuse"),
    ],
)
def test_accuracy_among_customers_is_watched_where_labels_come(
    ours: tuple[int, int], theirs: tuple[int, int] | None, accuracy: float, verdict: Verdict, decision: str
) -> None:
    seen, checks, judging = judge(labelled(ours, theirs), accuracy)
    assert [check for check, _ in checks][-1] == "builtin.accuracy"
    assert (seen, judging.reports["canary"].decision) == (verdict, decision)
    again = live.load(live.dump(judging.evidence["canary"]))
    replayed = judged_live(judging.policy, "canary", again, step="deploy-blue-green", today=TODAY, model=MODEL)
    assert replayed == judging.reports["canary"], "what is kept decides the same"


def test_two_percent_of_the_gated_accuracy_is_the_limit() -> None:
    """At 0.9 gated, 0.018 more wrong answers are 2 % of it: 0.1 may become 0.118, so the ratio is 1.18."""
    checks = judge(labelled((0, 0), (0, 0)), 0.9)[2].reports["canary"].checks
    assert checks[-1].required["max_ratio"] == pytest.approx(1.18)
    first = judge(labelled((0, 0), None), 0.9)[2].reports["canary"].checks
    assert (first[-1].required["ok"], first[-1].required["bad"]) == (pytest.approx(0.1), pytest.approx(0.118))


def test_mirrored_answers_have_no_labels() -> None:
    found = labelled((0, 0), (0, 0))
    assert "builtin.accuracy" not in dict(judge(replace(found, facts={"mirroring": True}), 0.9)[1])
