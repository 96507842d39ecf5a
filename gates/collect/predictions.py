"""Predictions files: one form for those that a user brings and those that we make.

Columns: the target under its own name, `prediction`, `score` (probability of the positive label) or `score_<label>`
each, the slice and sensitive columns, and `row_id` where there is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gates.collect import long
from gates.collect.tables import column_names, is_csv, read_table, to_numpy
from gates.errors import InvalidInput
from gates.evidence import Predictions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import pyarrow as pa

SCORE = "score"


@dataclass(frozen=True)
class Shape:
    """What a predictions file is to be read as."""

    target: str
    positive_label: int | str | bool | None = None
    groups: tuple[str, ...] = ()


def read(path: Path, shape: Shape, what: str) -> Predictions:
    """Read a predictions file. Raises errors.InvalidInput for a missing column, one of a wrong type, a label that no
    row has, no rows.
    """
    names = column_names(path, what)
    scores = [name for name in names if name == SCORE or name.startswith(SCORE + "_")]
    extra = [name for name in ("row_id",) if name in names]
    wanted = list(dict.fromkeys([shape.target, "prediction", *shape.groups, *scores, *extra]))
    many = 0 if is_csv(path) else long.rows(path)
    table = None if many else read_table(path, wanted, what)
    if table is not None and table.num_rows == 0:
        raise InvalidInput(f"{what} has no rows", file=path, hint="no rows decide nothing")
    schema = table.schema if table is not None else long.schema(path, wanted, what)
    for name in wanted:
        _fits(name, schema.field(name).type, path, what, score=name in scores)

    def column(name: str) -> Any:
        return long.column(path, name) if table is None else to_numpy(table.column(name))

    target = column(shape.target)
    matrix, labels = _scores(column, scores, shape, target)
    return Predictions(
        target=target,
        prediction=column("prediction"),
        scores=matrix,
        labels=labels,
        positive_label=_positive(shape, target, path, what),
        groups={name: column(name) for name in shape.groups},
        row_id=column("row_id") if extra else None,
    )


def _fits(name: str, kind: pa.DataType, path: Path, what: str, *, score: bool) -> None:
    """A column that could be what its name says; scores hold numbers, nothing holds lists."""
    import pyarrow as pa

    is_a = pa.types
    if is_a.is_nested(kind):
        raise InvalidInput(f"{what}: column '{name}' holds {kind}, one value a row is asked", file=path)
    if score and not (is_a.is_integer(kind) or is_a.is_floating(kind) or is_a.is_decimal(kind)):
        raise InvalidInput(f"{what}: column '{name}' holds {kind}, not probabilities", file=path, hint="write numbers")


def join(data: Path, scored: Path, shape: Shape, out: Path) -> None:
    """Write a predictions file from the evaluation data and a scored file of the same rows in the same order."""
    import pyarrow.parquet as pq

    names = column_names(data, "the evaluation data")
    kept = list(dict.fromkeys([shape.target, *shape.groups, *(["row_id"] if "row_id" in names else [])]))
    truth, answers = read_table(data, kept, "the evaluation data"), pq.read_table(scored)
    if truth.num_rows == 0:
        raise InvalidInput("the evaluation data has no rows", file=data, hint="no rows decide nothing")
    if truth.num_rows != answers.num_rows:
        raise InvalidInput(f"the model answered {answers.num_rows} of {truth.num_rows} rows", file=data)
    table = truth
    for name in answers.column_names:
        table = table.set_column(kept.index(name), name, answers.column(name)) if name in kept else table.append_column(
            name, answers.column(name))  # fmt: skip
    out.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata(None), out, compression="zstd")


def _scores(
    column: Callable[[str], Any], names: Sequence[str], shape: Shape, target: Any
) -> tuple[Any, tuple[Any, ...]]:
    """(n,) probabilities of the positive label, or (n, k) with the labels of the columns, or None."""
    import numpy as np

    if not names:
        return None, ()
    if SCORE in names:
        return column(SCORE).astype(np.float64, copy=False), ()
    real = {str(value): value for value in _uniques(target)}
    labels = tuple(real.get(name[len(SCORE) + 1 :], name[len(SCORE) + 1 :]) for name in names)
    if shape.positive_label is not None:
        for name in names:
            if name[len(SCORE) + 1 :] == str(shape.positive_label):
                return column(name).astype(np.float64, copy=False), labels
    return np.column_stack([column(name).astype(np.float64) for name in names]), labels


def _uniques(target: Any) -> list[Any]:
    import numpy as np

    if target.dtype == object:
        return sorted({value for value in target.tolist() if value is not None}, key=str)
    from gates.stats import spill

    seen: set[Any] = set()
    for (block,) in spill.blocks(target):
        seen.update(np.unique(block).tolist())
    return sorted(seen)


def _positive(shape: Shape, target: Any, path: Path, what: str) -> Any:
    """The positive label in the dtype of the target; an error when no row could ever have it by type."""
    if shape.positive_label is None:
        return None
    values = _uniques(target)
    if shape.positive_label in values:
        return shape.positive_label
    same = [value for value in values if str(value) == str(shape.positive_label)]
    if same:
        return same[0]
    if values and not any(isinstance(value, type(shape.positive_label)) for value in values):
        shown = ", ".join(str(value) for value in values[:5])
        raise InvalidInput(
            f"{what}: column '{shape.target}' never holds the positive label {shape.positive_label!r}",
            file=path, hint=f"evaluate.positive_label must be one of its values: {shown}",
        )  # fmt: skip
    return shape.positive_label
