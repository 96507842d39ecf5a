"""What a policy means once it is read: defaults and their exceptions, days that still count, limits of each value."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from gates import policy
from gates.errors import InvalidInput

TODAY = date(2026, 11, 21)
STAGES = """
stages:
  train:
    checks:
      - {id: a, type: threshold, metric: accuracy, min: 0.5}
  validate:
    checks:
      - {id: b, type: threshold, metric: accuracy, min: 0.5, severity: block, on_inconclusive: block}
      - {id: c, type: threshold, metric: accuracy, min: 0.5, severity: warn, on_inconclusive: warn}
"""


def load(more: str = "", stages: str = STAGES) -> policy.Policy:
    return policy.load(f"version: 1\nname: p\n{more}{stages}".encode(), Path("p.yml"), today=TODAY)


def refused(more: str = "", stages: str = STAGES) -> str:
    with pytest.raises(InvalidInput) as caught:
        load(more, stages)
    return str(caught.value)


@pytest.mark.parametrize("severity", ["block", "warn"])
@pytest.mark.parametrize("undecided", ["block", "warn"])
def test_a_check_s_own_word_goes_before_the_defaults(severity: str, undecided: str) -> None:
    read = load(f"defaults: {{severity: {severity}, on_inconclusive: {undecided}}}")
    found = {b.check.id: (b.severity, b.on_inconclusive) for stage in read.stages.values() for b in stage.checks}
    assert found == {"a": (severity, undecided), "b": ("block", "block"), "c": ("warn", "warn")}


def test_defaults_reach_every_check() -> None:
    settings = load("defaults: {confidence: 0.9, seed: 7}\nchampion: {when_absent: bootstrap}").check_settings
    assert (settings.confidence, settings.seed, settings.champion_when_absent) == (0.9, 7, "bootstrap")
    plain = load().check_settings
    assert (plain.confidence, plain.seed, plain.champion_when_absent) == (0.95, 20240601, "fail")


def test_a_policy_and_a_waiver_count_on_their_last_day_and_not_after() -> None:
    waiver = 'waivers: [{{check: a, reason: r, approved_by: x, expires: "{}"}}]'
    assert load('expires: "2026-11-21"').settings.expires == "2026-11-21"
    assert "the policy expired on 2026-11-20" in refused('expires: "2026-11-20"')
    assert load(waiver.format("2026-11-21")).settings.waivers[0].check == "a"
    assert "the waiver for 'a' expired on 2026-11-20" in refused(waiver.format("2026-11-20"))
    assert "a waiver for unknown check 'z'" in refused(waiver.format("2026-11-21").replace("check: a", "check: z"))


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("confidence", ("0.51", "0.999"), ("0.5", "1.0", "95")),
        ("seed", ("0", "1"), ("-1", "1.5")),
    ],
)
def test_defaults_have_limits(key: str, good: tuple[str, ...], bad: tuple[str, ...]) -> None:
    for value in good:
        assert load(f"defaults: {{{key}: {value}}}").stages
    for value in bad:
        assert f"defaults.{key}" in refused(f"defaults: {{{key}: {value}}}")


def test_ids_are_unique_over_all_stages() -> None:
    said = refused(stages=STAGES.replace("id: c", "id: a"))
    assert said.startswith("p.yml:11: duplicate check id 'a'; the first is on line 7")


def test_nobody_is_no_approver() -> None:
    stages = STAGES + "  deploy:\n    approvals: {min: 0}\n" + (
        "    checks: [{id: d, type: latency_quantile, signal: smoke_latency_ms, q: 0.9, max_ms: 1}]\n"
    )  # fmt: skip
    assert "approvals.min" in refused(stages=stages)
    assert load(stages=stages.replace("min: 0", "min: 1")).stages["deploy"].approvals == policy.Approvals()


@pytest.mark.parametrize("text", ["", "null", "{}", "{checks: }", "{checks: []}"])
def test_a_stage_that_checks_nothing_is_refused_beside_one_that_does(text: str) -> None:
    assert refused(stages=f"{STAGES}  canary: {text}\n").startswith("p.yml:12: ")


def test_the_digest_is_of_the_bytes() -> None:
    assert load().digest != load("# a comment changes them\n").digest
    assert load().digest == load().digest
    assert load("revision: 3").describe() == {
        "digest": load("revision: 3").digest, "name": "p", "revision": 3, "source": "file",
    }  # fmt: skip
