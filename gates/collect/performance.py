"""How the model does on current data whose labels have come: the scores that `drift.performance` takes.

Rules: a right answer scores 1 and a wrong one 0; where target or prediction hold fractions, the score is minus the
absolute error. A row without its label does not count; a label without a prediction is an error, not a pass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gates.collect.tables import read_table
from gates.drift.column import Temporal, temporal, values_of
from gates.drift.performance import Baseline, Window, baseline_of, rolling
from gates.drift.source import from_table
from gates.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from gates.drift.source import Source

PREDICTION = "prediction"
MIN_SAMPLES = 100
_SHOWN = 100


@dataclass(frozen=True)
class Performance:
    """windows: oldest first; baseline: its mean score; measure: accuracy, or minus the mean absolute error."""

    windows: tuple[Window, ...]
    baseline: float
    measure: str

    @property
    def latest(self) -> Window | None:
        return next((w for w in reversed(self.windows) if w.delta is not None), None)

    @property
    def delta(self) -> float | None:
        """Of the latest window that decides, where its whole interval lies on one side of 0; 0 where chance explains
        it; None where no window has enough labels.
        """
        latest = self.latest
        if latest is None or latest.delta is None or latest.low is None or latest.high is None:
            return None
        return latest.delta if latest.high < 0 or latest.low > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        """`retrain.performance` of report.v1; times in seconds since the epoch, at most the last 100 windows."""
        rows = [
            {
                "start": w.start / 1e6, "stop": w.stop / 1e6, "n": w.n, "value": _round(w.value),
                "delta": _round(w.delta), "interval": None if w.low is None else [_round(w.low), _round(w.high)],
            }
            for w in self.windows[-_SHOWN:]
        ]  # fmt: skip
        return {"measure": self.measure, "baseline": _round(self.baseline), "windows": rows}

    def sentence(self) -> str:
        latest = self.latest
        if latest is None or latest.value is None or latest.delta is None:
            return f"performance is undecided: no window has {MIN_SAMPLES} labels"
        low, high = latest.low or 0.0, latest.high or 0.0
        return (
            f"{self.measure} {latest.value:.4g} on {latest.n:,} labels of the latest window, baseline "
            f"{self.baseline:.4g}: {latest.delta:+.4g} [{low:.4g}, {high:.4g}]"
        )


def baseline_in(predictions: Path, target: str) -> Baseline:
    """The baseline that a predictions file is. InvalidInput names a column that is missing."""
    import numpy as np

    past = from_table(read_table(predictions, [target, PREDICTION], "the baseline"), str(predictions))
    labels = not (_fractional(past, target) or _fractional(past, PREDICTION))
    found = scores(past, target, labels=labels)
    return baseline_of(found[~np.isnan(found)], labels=labels)


def measure(
    current: Source, baseline: Baseline, target: str, time_column: str, width: float | None
) -> Performance | None:
    """Windows of `width` seconds (None: one of all rows); None when the current data has no label at all.

    InvalidInput names a column that is missing, or cannot be compared as the baseline's were.
    """
    import numpy as np

    now = scores(current, target, labels=baseline.labels)
    if np.isnan(now).all():
        return None
    times = _times(current, time_column) if time_column else np.zeros(len(now), dtype=np.int64)
    known = times != np.iinfo(np.int64).min
    span = int(times[known].max() - times[known].min()) + 1 if known.any() else 1
    wide = span if width is None else int(width * 1e6)
    found = rolling(times[known], now[known], baseline, width=wide, min_samples=MIN_SAMPLES)
    return Performance(found, baseline.mean, "accuracy" if baseline.labels else "minus the mean absolute error")


def scores(source: Source, target: str, *, labels: bool) -> NDArray[np.float64]:
    """(rows,) one score a row; NaN where no label came."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    truth, answer = (_whole(source, name) for name in (target, PREDICTION))
    lost = pc.sum(pc.and_(pc.is_valid(truth), pc.invert(pc.is_valid(answer)))).as_py() or 0
    if lost:
        raise InvalidInput(
            f"{lost} rows have a label in {target!r} and no {PREDICTION!r}", file=source.name,
            hint="write every prediction that was served",
        )  # fmt: skip
    try:
        if labels:
            raw: Any = pc.equal(truth, answer).cast(pa.uint8())
        else:
            raw = pc.negate(pc.abs(pc.subtract(truth.cast(pa.float64()), answer.cast(pa.float64()))))
    except pa.ArrowException as error:
        raise InvalidInput(
            f"column {target!r} is {truth.type} and {PREDICTION!r} is {answer.type}: they cannot be compared",
            hint="write both in one type", file=source.name,
        ) from error  # fmt: skip
    found = []
    for chunk in raw.chunks:
        values, valid = values_of(chunk)
        part = values.astype(np.float64)
        if valid is not None:
            part[~valid] = math.nan
        found.append(part)
    return np.concatenate(found) if found else np.zeros(0)


def _whole(source: Source, name: str) -> Any:
    """A column as one chunked array, NaN as null, dictionaries decoded."""
    import pyarrow as pa
    import pyarrow.compute as pc

    source.require(name)
    raw: list[Any] = list(source.chunks(name))
    chunks = [chunk.dictionary_decode() if pa.types.is_dictionary(chunk.type) else chunk for chunk in raw]
    array: Any = pa.chunked_array(chunks)
    if pa.types.is_floating(array.type):
        return pc.if_else(pc.is_nan(array), None, array)
    return array


def _fractional(source: Source, name: str) -> bool:
    """Whether a number of the column is no whole one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    array = _whole(source, name)
    if pa.types.is_decimal(array.type):
        array = array.cast(pa.float64())
    if not pa.types.is_floating(array.type):
        return False
    return bool(pc.any(pc.not_equal(pc.round(array), array)).as_py())


def _times(source: Source, column: str) -> NDArray[np.int64]:
    """(rows,) microseconds since the epoch; the smallest int64 where a row has no time."""
    import numpy as np

    kind = source.require(column)
    if temporal(kind) is not Temporal.MOMENT:
        raise InvalidInput(f"column {column!r} is {kind}, no date or time", hint="name one", file=source.name)
    parts = []
    for chunk in source.chunks(column):
        values, valid = values_of(chunk)
        part = values.astype(np.int64)
        if valid is not None:
            part[~valid] = np.iinfo(np.int64).min
        parts.append(part)
    return np.concatenate(parts)


def _round(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
