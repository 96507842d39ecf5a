"""The checks of the gate, one a file. CHECKS is the whole list: a policy's `type` is looked up here and nowhere else.

Importing this imports no numpy; a check imports its formulas when it decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gates.checks.champion_delta import ChampionDelta
from gates.checks.data_contract import DataContract
from gates.checks.drift import Drift
from gates.checks.environment_drift import EnvironmentDrift
from gates.checks.explanation_stability import ExplanationStability
from gates.checks.fairness import Fairness
from gates.checks.findings import Findings
from gates.checks.latency_quantile import LatencyQuantile
from gates.checks.package_sound import PackageSound
from gates.checks.rate import Rate
from gates.checks.rate_ratio import RateRatio
from gates.checks.slice_threshold import SliceThreshold
from gates.checks.threshold import Threshold

if TYPE_CHECKING:
    from gates.checks.spec import Check

CHECKS: dict[str, type[Check]] = {
    "champion_delta": ChampionDelta,
    "data_contract": DataContract,
    "drift": Drift,
    "environment_drift": EnvironmentDrift,
    "explanation_stability": ExplanationStability,
    "fairness": Fairness,
    "findings": Findings,
    "latency_quantile": LatencyQuantile,
    "package_sound": PackageSound,
    "rate": Rate,
    "rate_ratio": RateRatio,
    "slice_threshold": SliceThreshold,
    "threshold": Threshold,
}
