"""What Azure ML's data collector wrote, as one table: a drift check reads tables.

The collector writes JSON lines below `modelDataCollector/ENDPOINT/DEPLOYMENT/NAME/YYYY/MM/DD/HH/`, a CloudEvent each:
its `data` holds the rows of one request, its `time` when that was. A line that is none of these is an error with its
place: half of what was served is no evidence.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gates.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TIME = "collected_at"
"""The column that says when a row was served."""
ID = "row_id"


def as_table(place: Path, into: Path) -> Path:
    """`place` itself; where it is a folder with JSON lines and nothing else, their rows as parquet at `into`."""
    files = sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else [place]
    if not files or any(path.suffix != ".jsonl" for path in files):
        return place
    rows = [row for file in files for row in _rows(file)]
    if not rows:
        raise InvalidInput("no request was collected", hint="check the deployment's data_collector", file=place)
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = list(dict.fromkeys(name for row in rows for name in row))
    try:
        columns = {name: pa.array([row.get(name) for row in rows]) for name in names}
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise InvalidInput(f"collected rows do not fit into one table: {error}", file=place) from error
    into.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), into)
    return into


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            event = json.loads(line)
            data, at = event["data"], str(event["time"])
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidInput(
                f"not an event of the data collector: {error!r}", hint="name the folder of model_inputs", file=file,
                line=number,
            ) from error  # fmt: skip
        for row in data if isinstance(data, list) else [data]:
            if not isinstance(row, dict):
                raise InvalidInput(
                    "a collected row has no column names", hint="collect a DataFrame", file=file, line=number
                )
            yield {**row, TIME: at, ID: str(event.get("correlationid") or event.get("id") or "")}
