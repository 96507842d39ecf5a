"""What a batch deployment is asked, and what it answered: a file without the truth, and one line of JSON a row.

A row is known by its number, since a batch service puts the answers of many workers together in any order. Every row
is answered exactly once, or there is no evidence.
"""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

from gates.collect.tables import column_names, read_table
from gates.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ROW = "gates_row"
"""The column that numbers the rows of the input, and the key that names a row in an answer."""
_FORM = f'write one JSON object a row: {{"{ROW}": 0, "prediction": 1, "score_0": 0.2, "score_1": 0.8}}'


def write_input(
    data: Path, into: Path, *, features: Sequence[str] = (), without: Sequence[str] = ()
) -> tuple[Path, int]:
    """The data as a batch deployment gets it: its features and the number of each row; (the file, its rows).

    features: the columns that the model takes; () is all but `without`, the truth among them. The file is of the data's
    own form, and what stands in a CSV stays as it is written.
    """
    names = column_names(data, "the evaluation data")
    if ROW in names:
        raise InvalidInput(f"the evaluation data has a column '{ROW}'", file=data, hint="give it another name")
    wanted = [name for name in names if (name in features if features else name not in without)]
    out = into / f"input{data.suffix}"
    rows = _copy_csv(data, out, wanted) if data.suffix == ".csv" else _copy_parquet(data, out, wanted)
    if not rows:
        raise InvalidInput("the evaluation data has no rows", file=data, hint="no rows decide nothing")
    return out, rows


def _copy_parquet(data: Path, out: Path, wanted: Sequence[str]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = read_table(data, list(wanted), "the evaluation data").select(list(wanted))
    pq.write_table(table.append_column(ROW, pa.array(range(table.num_rows), pa.int64())), out)
    return int(table.num_rows)


def _copy_csv(data: Path, out: Path, wanted: Sequence[str]) -> int:
    with data.open(newline="", encoding="utf-8-sig") as source, out.open("w", newline="", encoding="utf-8") as target:
        reader, writer = csv.DictReader(source), csv.writer(target)
        writer.writerow([*wanted, ROW])
        number = -1
        for number, row in enumerate(reader):
            writer.writerow([*(row[name] for name in wanted), number])
        return number + 1


def read_answers(lines: Path, rows: int, out: Path) -> Path:
    """The answers by row: parquet of `prediction` and `score…`, in the order of the data.

    Raises Unavailable for a line that is no answer, a row without one or with two.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    found: dict[int, dict[str, Any]] = {}
    for number, text in enumerate(lines.read_text(encoding="utf-8").splitlines(), start=1):
        if text.strip():
            answer = _answer(text, number)
            row = answer[ROW]
            if row in found or not 0 <= row < rows:
                what = "a second time" if row in found else f"which is none of {rows}"
                raise Unavailable(f"line {number} of the batch output answers row {row}, {what}", hint=_FORM)
            found[row] = answer
    if len(found) != rows:
        missing = next(row for row in range(rows) if row not in found)
        raise Unavailable(f"the batch output answers {len(found)} of {rows} rows; the first without is {missing}")
    names = [name for name in found[0] if name == "prediction" or name == "score" or name.startswith("score_")]
    if any(name not in answer for answer in found.values() for name in names):
        raise Unavailable("the lines of the batch output have not the same keys", hint=_FORM)
    pq.write_table(pa.table({name: [found[row][name] for row in range(rows)] for name in names}), out)
    return out


def _answer(text: str, number: int) -> dict[str, Any]:
    """One line, which the service may have quoted as a CSV field."""
    if text.startswith('"'):
        text = next(csv.reader([text]), [""])[0]
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or type(answer.get(ROW)) is not int or "prediction" not in answer:
        raise Unavailable(f"line {number} of the batch output is no answer: {text[:80]!r}", hint=_FORM)
    return answer
