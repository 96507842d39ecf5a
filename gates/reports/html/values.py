"""What a page shows beside the reports themselves: values only, gathered by collect/pictures.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Curves:
    """One model on the evaluation data. roc: (fpr, tpr) corners; calibration: (mean score, share, low, high, rows).

    labels: (k,); confusion: (k, k) rows by truth, then by answer.
    """

    who: str
    n: int
    labels: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    roc: tuple[tuple[float, float], ...] = ()
    auc: float | None = None
    calibration: tuple[tuple[float, float, float, float, int], ...] = ()


@dataclass(frozen=True)
class Row:
    """One line of a forest plot. low, high: its interval."""

    name: str
    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Forest:
    """Intervals side by side. least, most: limits that each row is held to, where there are any."""

    title: str
    rows: tuple[Row, ...]
    least: float | None = None
    most: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Pictures:
    """What can be drawn from a report's evidence, and why the rest cannot."""

    curves: tuple[Curves, ...] = ()
    forests: tuple[Forest, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chapter:
    """One report of the page. report: report.json as parsed; rollout: rollout.json; lineage: lineage.json of its model;
    card: the model card, Markdown.
    """

    report: Mapping[str, Any]
    pictures: Pictures = field(default_factory=Pictures)
    rollout: Mapping[str, Any] | None = None
    lineage: Mapping[str, Any] | None = None
    card: str = ""
