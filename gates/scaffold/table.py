"""What a data file tells by itself: which file is held out, which column is the answer, what a policy can ask at least.

The answer is the column that a sample request lacks; else one with a usual name; else the last. Every guess is said.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gates.collect.tables import read_table
from gates.errors import GatesError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa

_HELD_OUT = re.compile(r"(?:^|[_\-.])(test|holdout|held[_-]?out|eval\w*|valid\w*)(?:[_\-.]|$)", re.IGNORECASE)
_CURRENT = re.compile(r"(?:^|[_\-.])(prod\w*|current|live|serving|recent)(?:[_\-.]|$)", re.IGNORECASE)
_USUAL = (
    "target", "label", "y", "class", "outcome", "default", "churn", "survived", "species", "quality", "price", "cost",
    "fraud", "is_fraud", "income",
)  # fmt: skip
_SENSITIVE = re.compile(
    r"^(sex|gender|race|ethnicity|age_band|age_group|nationality|religion|disability)$", re.IGNORECASE
)
_NO_FEATURE = re.compile(r"^(row_id|id|index|unnamed: 0)$", re.IGNORECASE)
_POSITIVE = ("1", "true", "yes", "y", "positive", "default", "churned", "fraud")
MOST_CLASSES = 20


@dataclass(frozen=True)
class Table:
    """A data file and what it shows. task: binary, classes or numbers; majority: share of the most frequent label."""

    path: Path
    rows: int
    columns: tuple[tuple[str, str], ...]
    complete: frozenset[str]
    target: str
    why_target: str
    task: str
    positive: Any = None
    majority: float = 0.0
    sensitive: tuple[str, ...] = ()
    sample: tuple[tuple[Any, ...], ...] = ()

    @property
    def features(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.columns if name != self.target and not _NO_FEATURE.match(name))


def held_out(tables: Sequence[Path], used: Sequence[Path]) -> tuple[Path | None, str]:
    """The evaluation data, and a warning where it is what the model was trained on."""
    named = [path for path in tables if _HELD_OUT.search(path.name)]
    if named:
        return named[0], ""
    others = [path for path in tables if path not in used and not _CURRENT.search(path.name)
              and not re.search("train", path.name, re.IGNORECASE)]  # fmt: skip
    if used and others:
        return others[0], ""
    only = next(iter([*used, *tables]), None)
    if only is None:
        return None, ""
    return only, f"{only.name} is the only data here; a model judged on what it was trained on always looks fine"


def current(tables: Sequence[Path]) -> Path | None:
    """What looks like data of production."""
    return next((path for path in tables if _CURRENT.search(path.name)), None)


def training(tables: Sequence[Path]) -> Path | None:
    return next((path for path in tables if re.search(r"train", path.name, re.IGNORECASE)), None)


def read(path: Path, target: str, requests: Sequence[Path]) -> Table:
    """Raises errors.InvalidInput for a file that is no table, or that has not the column named as target."""
    whole = read_table(path, None, "the data")
    names = whole.column_names
    chosen, why = (target, "named") if target else _target(names, requests)
    column = read_table(path, [chosen], "the data").column(chosen)
    task, positive, majority = _task(column)
    types = tuple((field.name, _dtype(field.type)) for field in whole.schema)
    head = whole.slice(0, 3).to_pylist()
    return Table(
        path=path, rows=whole.num_rows, columns=types,
        complete=frozenset(name for name in names if whole.column(name).null_count == 0),
        target=chosen, why_target=why, task=task, positive=positive, majority=majority,
        sensitive=tuple(name for name in names if _SENSITIVE.match(name) and name != chosen),
        sample=tuple(tuple(row[name] for name in names) for row in head),
    )  # fmt: skip


def _target(names: Sequence[str], requests: Sequence[Path]) -> tuple[str, str]:
    for path in requests:
        asked = _asked(path)
        absent = [name for name in names if name not in asked and not _NO_FEATURE.match(name)]
        if asked and len(absent) == 1 and asked & set(names):
            return absent[0], f"the only column that {path.name} does not send"
    usual = next((name for word in _USUAL for name in names if name.lower() == word), None)
    if usual:
        return usual, "by its name"
    return names[-1], "the last column, a guess: name it with --target where it is wrong"


def _asked(path: Path) -> set[str]:
    """The columns of a sample request."""
    said = json.loads(path.read_text(encoding="utf-8"))
    rows = said.get("input_data", said.get("dataframe_split"))
    if isinstance(rows, dict) and isinstance(rows.get("columns"), list):
        return {str(name) for name in rows["columns"]}
    if isinstance(rows, list) and rows and isinstance(rows[0], dict):
        return {str(name) for name in rows[0]}
    return set()


def _task(column: pa.ChunkedArray[Any]) -> tuple[str, Any, float]:
    """(task, positive label, share of the most frequent label)."""
    values = [value for value in column.to_pylist() if value is not None]
    counted = Counter(values)
    fraction = any(isinstance(value, float) and not value.is_integer() for value in counted)
    if not counted or fraction or len(counted) > MOST_CLASSES:
        return "numbers", None, 0.0
    majority = max(counted.values()) / len(values)
    if len(counted) != 2:
        return "classes", None, majority
    by_name = [value for word in _POSITIVE for value in counted if str(value).lower() == word]
    rarer = min(counted, key=lambda value: (counted[value], str(value)))
    return "binary", by_name[0] if by_name else rarer, majority


def _dtype(kind: pa.DataType) -> str:
    """In a data contract's words; "" where there is none."""
    import pyarrow as pa

    for name, fits in (
        ("boolean", pa.types.is_boolean), ("integer", pa.types.is_integer), ("number", pa.types.is_floating),
        ("string", lambda k: pa.types.is_string(k) or pa.types.is_large_string(k)),
        ("datetime", lambda k: pa.types.is_timestamp(k) or pa.types.is_date(k)),
    ):  # fmt: skip
        if fits(kind):
            return name
    return ""


def try_read(path: Path, target: str, requests: Sequence[Path]) -> tuple[Table | None, str]:
    """The table, or why there is none; a target that somebody named is never given up silently."""
    try:
        return read(path, target, requests), ""
    except GatesError as error:
        if target:
            raise
        return None, str(error)
