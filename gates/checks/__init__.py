"""The checks of the gate, one a file. CHECKS is the whole list: a policy's `type` is looked up here and nowhere else.

Importing this imports no numpy; a check imports its formulas when it decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gates.checks.champion_delta import ChampionDelta
from gates.checks.drift import Drift
from gates.checks.fairness import Fairness
from gates.checks.threshold import Threshold

if TYPE_CHECKING:
    from gates.checks.spec import Check

CHECKS: dict[str, type[Check]] = {
    "threshold": Threshold,
    "champion_delta": ChampionDelta,
    "fairness": Fairness,
    "drift": Drift,
}
