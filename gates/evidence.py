"""What a check may look at: values only, never a network, a file or a clock.

`collect/` makes these; a check reads them. Arrays are numpy, imported only where they are made.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from gates.verdict import EvidenceItem


@dataclass(frozen=True)
class Predictions:
    """One model's answers on n rows, in the order of the data.

    target, prediction: (n,) of any one dtype (labels or numbers). scores: (n,) float64 probability of the positive
    label, or (n, k) float64 with one column a label of `labels`, or None where the model gives labels only.
    groups: slice and sensitive columns, each (n,). row_id, entity: (n,) or None.
    """

    target: NDArray[Any]
    prediction: NDArray[Any]
    scores: NDArray[np.float64] | None = None
    labels: tuple[Any, ...] = ()
    positive_label: Any = None
    groups: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    row_id: NDArray[Any] | None = None
    entity: NDArray[Any] | None = None

    @property
    def n(self) -> int:
        return len(self.target)


@dataclass(frozen=True)
class Counted:
    """`bad` of `n` requests or rows, e.g. answers of 5xx. Changing traffic: `checks.rate_ratio.Window`."""

    bad: int
    n: int


@dataclass(frozen=True)
class Evidence:
    """All that one stage's checks may see. A missing part is None or absent, and a check that needs it says ERROR.

    metrics: ready-made figures (from a metrics file: self-reported; from us: e.g. artifact_megabytes), metrics_n rows
    behind them. samples: measured series by signal name, each (n,) float64, e.g. predict_one_ms, latency_ms.
    counts, champion_counts: by signal name, e.g. http_5xx. drift: what drift.scan found (`drift.ColumnDrift` values).
    facts: anything else a check declares, by need (see `checks.Need`).
    """

    candidate: Predictions | None = None
    champion: Predictions | None = None
    champion_absent: bool = False
    reference_absent: bool = False
    """Columns would be compared with the champion's profile, and there is no champion yet."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    self_reported: bool = False
    metrics_n: int | None = None
    samples: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    champion_samples: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    counts: Mapping[str, Counted] = field(default_factory=dict)
    champion_counts: Mapping[str, Counted] = field(default_factory=dict)
    drift: tuple[Any, ...] | None = None
    importances: Mapping[str, float] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    lacking: Mapping[str, str] = field(default_factory=dict)
    """By kind of need, what to provide where that could not be gathered."""
    items: tuple[EvidenceItem, ...] = ()
    final: bool = True
    """False while more evidence of the same kind may still come (a canary that is being watched)."""
