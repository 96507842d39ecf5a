"""Cutting rows by the columns that the policy names: which slices there are, and which are missing.

Imports numpy where it cuts, like every module of checks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gates.stats.estimate import Unusable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from gates.evidence import Predictions


@dataclass(frozen=True)
class Slices:
    """One way of cutting: codes (n,) into names. features has more than one entry for combinations."""

    features: tuple[str, ...]
    codes: NDArray[Any]
    names: tuple[str, ...]
    parts: tuple[tuple[str, ...], ...]

    @property
    def feature(self) -> str:
        return " and ".join(self.features)

    def sizes(self) -> Iterable[tuple[str, int]]:
        """(name, rows) of each slice."""
        from gates.stats import cells

        counted = cells.counted((self.codes,), (len(self.names),)).tolist()
        return list(zip(self.names, counted, strict=True))

    def rows(self, group: int) -> NDArray[Any]:
        """(n,) bool: the rows of the group of this place among the names."""
        import numpy as np

        from gates.stats import spill

        found = spill.empty(len(self.codes), np.bool_)
        for part in spill.parts(self.codes, found):
            found[part] = self.codes[part] == group
        return found

    def missing(self, required: Mapping[str, Sequence[Any]]) -> list[str]:
        """`feature=value` of each value that is required of one of these features and in no row."""
        found = []
        for i, feature in enumerate(self.features):
            there = {part[i] for part in self.parts}
            found += [f"{feature}={text(value)}" for value in required.get(feature, ()) if text(value) not in there]
        return found


def text(value: Any) -> str:
    """A group's name: 1, 1.0 and "1" are the same group, so are True and true."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def slices(predictions: Predictions, features: Sequence[str], *, intersect: bool) -> list[Slices]:
    """One cut a feature, or one by their combinations. Raises Unusable for a column that is absent or has gaps."""
    from gates.stats.prepared import groups

    cut = []
    for feature in features:
        if feature not in predictions.groups:
            raise Unusable(f"the predictions have no column '{feature}' to slice by")
        codes, values = groups(predictions.groups[feature], f"the column '{feature}'", len(predictions.target))
        names = tuple(text(value) for value in values)
        cut.append(Slices((feature,), codes, names, tuple((name,) for name in names)))
    return [_combined(cut)] if intersect and len(cut) > 1 else cut


def _combined(cut: Sequence[Slices]) -> Slices:
    from gates.stats.prepared import combine

    codes, rows = combine([one.codes for one in cut], [len(one.names) for one in cut])
    parts = tuple(tuple(one.names[i] for one, i in zip(cut, row, strict=True)) for row in rows)
    features = tuple(one.feature for one in cut)
    return Slices(features, codes, tuple(" and ".join(part) for part in parts), parts)
