"""A metrics file that the user's own code wrote: `{"metrics": {"accuracy": 0.91}, "n": 4000}`, or flat. Strict JSON.

NaN is let in here on purpose, so that the check says ERROR about it by name; it can never pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gates.document import load_json
from gates.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Reported:
    """Figures as reported. `n` is None where the file does not say how many rows stand behind them."""

    metrics: Mapping[str, float]
    n: int | None


def read(path: Path) -> Reported:
    """Raises errors.InvalidInput for anything that is not a mapping of names to numbers."""
    value = load_json(path, "the metrics file", allow_nan=True)
    if not isinstance(value, dict):
        raise InvalidInput("a metrics file is one JSON object", file=path, hint='write {"accuracy": 0.91}')
    nested = "metrics" in value
    metrics: Any = value["metrics"] if nested else value
    if nested and (unknown := sorted(set(value) - {"metrics", "n"})):
        raise InvalidInput(f"unknown key '{unknown[0]}' in the metrics file", file=path, hint="known: metrics, n")
    if not isinstance(metrics, dict) or not metrics:
        raise InvalidInput("the metrics file holds no metrics", file=path, hint='write {"accuracy": 0.91}')
    for name, figure in metrics.items():
        if isinstance(figure, bool) or not isinstance(figure, (int, float)):
            raise InvalidInput(f"metric '{name}' is not a number", file=path, hint="write a number, unquoted")
    n = value.get("n") if nested else None
    if n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < 0):
        raise InvalidInput("'n' is not a count", file=path, hint="write the number of rows, e.g. 4000")
    if n == 0:
        raise InvalidInput("'n' is 0", file=path, hint="no rows decide nothing")
    return Reported({name: float(figure) for name, figure in metrics.items()}, n)
