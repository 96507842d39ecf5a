"""Azure ML's early-termination policies: which trial of a sweep is not worth its time, from the metrics it reported.

An interval is one report of the primary metric. A policy looks at every `evaluation_interval`th report that is not
before `delay_evaluation`, and compares reports of the same age only.
Definitions: https://learn.microsoft.com/azure/machine-learning/how-to-tune-hyperparameters ("Early termination").
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gates.document import Document, Key


@dataclass(frozen=True)
class Policy:
    """type: bandit, median_stopping, truncation_selection."""

    type: str
    interval: int = 1
    delay: int = 0
    slack_factor: float | None = None
    slack_amount: float | None = None
    percentage: int = 0


def read(file: Document, raw: Mapping[str, Any], at: Key) -> Policy | None:
    """`early_termination` of a sweep."""
    given = raw.get("early_termination")
    if given is None:
        return None
    at = (*at, "early_termination")
    kind = str(given["type"]).lower()
    factor, amount = given.get("slack_factor"), given.get("slack_amount")
    if kind == "bandit" and (factor is None) == (amount is None):
        raise file.error("early_termination: bandit needs one of slack_factor and slack_amount", at)
    slack = factor if factor is not None else amount
    if slack is not None and not (math.isfinite(slack) and slack >= 0):
        raise file.error("early_termination: the slack must be 0 or more", at)
    percentage = int(given.get("truncation_percentage") or 0)
    if kind == "truncation_selection" and not 1 <= percentage <= 99:
        raise file.error("early_termination: truncation_percentage must be from 1 to 99", at)
    interval, delay = int(given.get("evaluation_interval") or 1), int(given.get("delay_evaluation") or 0)
    if interval < 1 or delay < 0:
        raise file.error("early_termination: evaluation_interval and delay_evaluation cannot be negative", at)
    return Policy(kind, interval, delay, factor, amount, percentage)


def verdict(policy: Policy, reports: Mapping[int, Sequence[float]], trial: int, *, maximize: bool) -> str:
    """Why `trial` is to be ended, or an empty text. reports: by trial, the values of the metric in order.

    NaN counts as worse than everything.
    """
    sign = 1.0 if maximize else -1.0
    curves = {one: [-math.inf if math.isnan(value) else sign * value for value in values]
              for one, values in reports.items()}  # fmt: skip
    mine = curves.get(trial, [])
    for age in range(policy.interval, len(mine) + 1, policy.interval):
        if age < policy.delay:
            continue
        others = {one: curve[:age] for one, curve in curves.items() if one != trial and len(curve) >= age}
        if others and (why := _RULES[policy.type](policy, mine[:age], list(others.values()))):
            return f"after {age} reports {why}"
    return ""


def _bandit(policy: Policy, mine: Sequence[float], others: Sequence[Sequence[float]]) -> str:
    """Slack as a factor f allows best − |best|·f/(1+f) when maximising, as an amount best − amount."""
    best, own = max(max(curve) for curve in others), max(mine)
    if policy.slack_amount is not None:
        allowed = policy.slack_amount
    else:
        factor = policy.slack_factor or 0.0
        # values are negated when minimising: a positive loss then has the allowance best·f, as Azure has it
        allowed = abs(best) * (factor / (1.0 + factor) if best > 0 else factor)
    if own < best - allowed:
        return f"{abs(own):.4g} is outside the slack of the best, {abs(best):.4g}"
    return ""


def _median(_: Policy, mine: Sequence[float], others: Sequence[Sequence[float]]) -> str:
    """The best so far against the median of the running averages of the others."""
    middle = statistics.median(statistics.fmean(curve) for curve in others)
    return f"{abs(max(mine)):.4g} is worse than the median, {abs(middle):.4g}" if max(mine) < middle else ""


def _truncation(policy: Policy, mine: Sequence[float], others: Sequence[Sequence[float]]) -> str:
    """Among the worst `percentage` of all trials of the same age, by their last report."""
    better = sum(curve[-1] > mine[-1] for curve in others)
    doomed = math.floor((len(others) + 1) * policy.percentage / 100)
    if better >= len(others) + 1 - doomed:
        return f"it is among the worst {policy.percentage} %"
    return ""


_RULES = {"bandit": _bandit, "median_stopping": _median, "truncation_selection": _truncation}
