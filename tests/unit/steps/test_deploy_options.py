"""What the policy and the rollout's keys make of a rollout: deadlines, requests, and what cannot be."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gates import policy as policies
from gates.errors import InvalidInput
from gates.project import Rollout as RolloutFile
from gates.rollout.plan import Rollout, Smoke
from gates.steps import deploy_blue_green as step

BASE = """\
version: 1
name: options
stages:
  validate:
    checks: [{id: a, type: threshold, metric: accuracy, min: 0.5}]
"""


def policy(*stages: str) -> Any:
    return policies.load((BASE + "".join(stages)).encode(), Path("policy.yml"), today=date(2026, 1, 1))


def stage(name: str, *checks: str) -> str:
    return f"  {name}:\n    checks:\n" + "".join(f"      - {{{check}}}\n" for check in checks)


RATE = "type: rate, ok: 0.01, bad: 0.1"


def options(judging: Any, *, outcomes: Path | None = None, **keys: Any) -> Rollout:
    inputs: Any = SimpleNamespace(rollout="", outcomes=outcomes)
    settings = SimpleNamespace(deploy=SimpleNamespace(rollout=RolloutFile(**keys)))
    context: Any = SimpleNamespace(project=SimpleNamespace(settings=settings))
    return step._rollout(inputs, context, judging)


def test_a_step_is_undecided_for_at_most_the_shortest_max_duration() -> None:
    both = stage("canary", f"id: x, signal: http_5xx, max_duration: 30m, {RATE}",
                 f"id: y, signal: http_5xx, max_duration: 10m, {RATE}")  # fmt: skip
    assert options(policy(both)).step_timeout == 600
    assert options(policy(stage("canary", f"id: x, signal: http_5xx, {RATE}"))).step_timeout == Rollout.step_timeout
    assert options(policy()).step_timeout == Rollout.step_timeout


def test_the_keys_are_read() -> None:
    found = options(policy(), attend="20m", synthetic=3, tolerance=0.1, mirror=20)
    assert (found.attend, found.synthetic, found.tolerance, found.mirror) == (1200, 3, 0.1, 20)
    assert options(policy()).attend == Rollout.attend


@pytest.mark.parametrize(
    ("signal", "key"), [("mirror_differs", "deploy.rollout.mirror"), ("wrong_answers", "deploy.outcomes")]
)
def test_a_signal_that_nobody_will_send_is_refused_before_anything_is_made(signal: str, key: str) -> None:
    judging = policy(stage("canary", f"id: x, signal: {signal}, {RATE}"))
    with pytest.raises(InvalidInput, match=key):
        options(judging)
    options(judging, mirror=20, outcomes=Path("outcomes.csv"))


def test_as_many_smoke_requests_as_the_checks_need() -> None:
    check = "id: s, type: latency_quantile, signal: smoke_latency_ms, q: 0.95, max_ms: 350, min_samples: 200"
    assert step._smoke(policy(stage("deploy", check))) == Smoke(200)
    assert step._smoke(policy()) == Smoke()
