"""The CPU of a gate over 100,000 rows, candidate and champion, every interval included: `python benchmarks/gate.py
[ROWS]`.

`section()` returns the lines; the figure counts CPU seconds of this process after imports.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import msgspec
import numpy as np
import scipy.special  # noqa: F401  # counted as an import, not as work

from gates.checks import CHECKS
from gates.checks.spec import Settings
from gates.evidence import Evidence, Predictions

POLICY: list[dict[str, Any]] = [
    {"type": "threshold", "metric": "accuracy", "min": 0.5},
    {"type": "threshold", "metric": "f1", "min": 0.5},
    {"type": "threshold", "metric": "roc_auc", "min": 0.5},
    {"type": "champion_delta", "metric": "accuracy", "margin": {"absolute": 0.01}},
    {"type": "champion_delta", "metric": "f1", "margin": {"relative": 0.02}},
    {"type": "champion_delta", "metric": "roc_auc", "margin": {"absolute": 0.005}},
    {"type": "slice_threshold", "metric": "recall", "by": ["region"], "min": 0.5},
    {
        "type": "fairness",
        "metric": "demographic_parity_difference",
        "sensitive": ["sex"],
        "max": 0.1,
        "max_regression": 0.02,
    },
    {
        "type": "fairness",
        "metric": "equalized_odds_difference",
        "sensitive": ["sex"],
        "max": 0.1,
        "max_regression": 0.02,
    },
]


def evidence(rows: int) -> Evidence:
    rng = np.random.default_rng(1)
    target = (rng.random(rows) < 0.2).astype(np.int64)
    groups = {"sex": rng.choice(["F", "M"], rows), "region": rng.choice(["north", "south", "east", "west"], rows)}

    def model(noise: float) -> Predictions:
        scores = 1 / (1 + np.exp(-(2 * target - 1.0 + rng.normal(0, noise, rows))))
        return Predictions(target, (scores > 0.5).astype(np.int64), scores, (0, 1), 1, groups)

    return Evidence(candidate=model(1.0), champion=model(1.05))


def section(rows: int = 100_000) -> list[str]:
    """A line a check, with its CPU seconds, and the sum."""
    seen, lines, total = evidence(rows), [], 0.0
    for i, raw in enumerate(POLICY):
        check = msgspec.convert({"id": f"c{i}", **raw}, CHECKS[str(raw["type"])])
        start = time.process_time()
        result = check.decide(seen, Settings())
        spent = time.process_time() - start
        total += spent
        lines.append(f"{spent:7.3f} s  {result.status.value:12}  {raw['type']} {raw['metric']}")
    return [*lines, f"{total:7.3f} s  in all, {rows} rows, candidate and champion"]


if __name__ == "__main__":
    print("\n".join(section(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)))
