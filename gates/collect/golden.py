"""Golden rows: requests with the answers that were gated, asked again of what serves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gates.collect.tables import column_names, read_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class GoldenRow:
    """A request body in Azure's `input_data` form, and the gated answer as JSON values."""

    body: bytes
    expected: list[Any]


def golden_rows(
    data: Path, answers: Path, features: Sequence[str], *, count: int = 8, without: Sequence[str] = ()
) -> tuple[GoldenRow, ...]:
    """`count` single-row requests, spread evenly over the data.

    features: the columns that the model takes, in order; where a model has no signature, the data's own columns but
    `without` (the target, which no client sends).
    """
    columns = list(features) or [name for name in column_names(data, "the evaluation data") if name not in without]
    rows = read_table(data, columns, "the evaluation data").select(columns)
    scored = read_table(answers, None, "the gated answers")
    scores = [name for name in scored.column_names if name.startswith("score_")]
    step = max(rows.num_rows // count, 1)
    return tuple(
        _row(rows, scored, scores, columns, index) for index in range(0, min(rows.num_rows, step * count), step)
    )


def _row(rows: Any, scored: Any, scores: list[str], columns: list[str], index: int) -> GoldenRow:
    values = [rows.column(name)[index].as_py() for name in columns]
    body = {"input_data": {"columns": columns, "index": [0], "data": [values]}}
    answer = [scored.column(name)[index].as_py() for name in scores] or scored.column("prediction")[index].as_py()
    return GoldenRow(json.dumps(body, default=str).encode(), [answer])
