"""About how many rows it takes to decide: what `gates policy explain` says before anything was measured.

Normal approximations at 95 %, for planning. Each says from what distance to the limit, and of which rows.
"""

from __future__ import annotations

import math

Z = 1.96
NEAR = 0.02


def gap_of(limit: float) -> float:
    """The distance from a limit in (0, 1) that sizes are told for: 0.02, less near the ends."""
    return min(NEAR, limit / 2, (1.0 - limit) / 2)


def share(limit: float) -> int:
    """Rows that tell a share `gap_of` away from its limit (Wald 1943: n = p (1 - p) (z / gap)^2)."""
    return math.ceil(limit * (1.0 - limit) * (Z / gap_of(limit)) ** 2)


def f1(limit: float) -> int:
    """Rows that are positive, in truth or in prediction: f1 = 2 J / (1 + J) of the share J of them that is both."""
    slope = (2.0 - limit) ** 2 / 2.0
    both = limit / (2.0 - limit)
    return math.ceil(both * (1.0 - both) * (Z * slope / gap_of(limit)) ** 2)


def area(limit: float) -> int:
    """Rows of each class, as many of both, for an area under the ROC curve (Hanley & McNeil 1982, eq. 1)."""
    q1, q2 = limit / (2.0 - limit), 2.0 * limit**2 / (1.0 + limit)
    return math.ceil((q1 + q2 - 2.0 * limit**2) * (Z / gap_of(limit)) ** 2)


def groups(limit: float) -> int:
    """Rows in each of two groups that are treated alike, for their rates (one half each) to differ by less."""
    return math.ceil(0.5 * (Z / limit) ** 2)


def requests(bad: float, beta: float) -> int:
    """Requests without an error that rule out a rate of `bad`: 1 / beta, and 1.6 for what mixing costs."""
    return math.ceil(1.6 * -math.log(beta) / bad)


def errors(ratio: float, beta: float, split: float = 0.5) -> int:
    """Errors in all, where both sides err alike, for a ratio over `ratio` to be ruled out: 1 / beta over the divergence
    of the candidate's share of errors (its share of requests, `split`) from that which such a ratio would give, and
    1.6 for what mixing costs.
    """
    other = ratio * split / (ratio * split + 1.0 - split)
    divergence = split * math.log(split / other) + (1.0 - split) * math.log((1.0 - split) / (1.0 - other))
    return math.ceil(1.6 * -math.log(beta) / divergence)
