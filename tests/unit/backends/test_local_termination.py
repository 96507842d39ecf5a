"""Early-termination policies as Azure ML documents them, and NaN as worse than everything."""

from __future__ import annotations

import math

import pytest

from gates.backends.local.termination import Policy, verdict

NAN = math.nan


@pytest.mark.parametrize(
    ("policy", "mine", "others", "maximize", "ends"),
    [
        # (Y + Y * 0.2) < 0.8 ends the run, in the words of Azure's documentation: the edge is 0.6667.
        (Policy("bandit", slack_factor=0.2), [0.66], [[0.8]], True, True),
        (Policy("bandit", slack_factor=0.2), [0.67], [[0.8]], True, False),
        (Policy("bandit", slack_amount=0.2), [0.59], [[0.8]], True, True),
        (Policy("bandit", slack_amount=0.2), [0.61], [[0.8]], True, False),
        (Policy("bandit", slack_factor=0.2), [0.61], [[0.5]], False, True),
        (Policy("bandit", slack_factor=0.2), [0.59], [[0.5]], False, False),
        (Policy("bandit", slack_factor=0.2), [0.9, 0.1], [[0.9, 0.9]], True, False),  # its best counts
        (Policy("bandit", slack_factor=0.2), [NAN], [[0.1]], True, True),
        (Policy("bandit", slack_factor=0.2), [0.1], [], True, False),  # nobody to compare with
        (Policy("bandit", slack_factor=0.2), [0.1], [[]], True, False),
        (Policy("bandit", slack_factor=0.2, interval=3), [0.1, 0.1], [[0.8, 0.8]], True, False),
        (Policy("bandit", slack_factor=0.2, interval=3), [0.1] * 3, [[0.8] * 3], True, True),
        (Policy("bandit", slack_factor=0.2, delay=3), [0.1, 0.1], [[0.8, 0.8]], True, False),
        (Policy("bandit", slack_factor=0.2, delay=3), [0.1] * 3, [[0.8] * 3], True, True),
        # Reports of the same age only: what the others reach later says nothing now.
        (Policy("bandit", slack_factor=0.2), [0.3], [[0.3, 0.9]], True, False),
        (Policy("median_stopping"), [0.4, 0.5], [[0.6, 0.6], [0.5, 0.7], [0.1, 0.1]], True, True),
        (Policy("median_stopping"), [0.4, 0.61], [[0.3, 0.9], [0.3, 0.9], [0.1, 0.1]], True, False),
        (Policy("median_stopping"), [0.9], [[0.2], [0.3]], False, True),
        (Policy("truncation_selection", percentage=20), [0.1], [[0.5], [0.4], [0.3], [0.2]], True, True),
        (Policy("truncation_selection", percentage=20), [0.2], [[0.5], [0.4], [0.3], [0.1]], True, False),
        (Policy("truncation_selection", percentage=20), [0.1], [[0.5], [0.4], [0.3]], True, False),  # 20 % of 4: none
        (Policy("truncation_selection", percentage=40), [0.4], [[0.5], [0.3], [0.2], [0.1]], False, True),
    ],
)
def test_a_trial_is_ended_when_its_policy_says_so(
    policy: Policy, mine: list[float], others: list[list[float]], maximize: bool, ends: bool
) -> None:
    reports = {0: mine, **dict(enumerate(others, 1))}
    assert bool(verdict(policy, reports, 0, maximize=maximize)) is ends
