"""A CSV file too large to hold, written once to a parquet file as it streams by, in blocks of bounded size.

Types are inferred from the first block, as Arrow does it; a later value that does not fit widens its column (whole
numbers to fractions to text) and starts again, so that the types are those that the whole file would give. The parquet
file goes when the reader does.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gates.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK = 16 << 20
_MISFIT = re.compile(r"^In CSV column #(\d+): .*conversion error to ")


def spooled(path: Path) -> tuple[Path, tempfile.TemporaryDirectory[str]]:
    """The parquet file, and the folder that deletes it. InvalidInput for a file that is cut or is no CSV; Unavailable
    where there is no room for it in the folder for temporary files.
    """
    folder = tempfile.TemporaryDirectory(prefix="gates-csv-")
    widened: dict[str, pa.DataType] = {}
    unseen: set[str] = set()
    while True:
        misfit = _write(path, Path(folder.name) / "data.parquet", widened, unseen)
        if misfit is None:
            return Path(folder.name) / "data.parquet", folder
        name, type_ = misfit
        widened[name] = type_


def _write(path: Path, into: Path, widened: dict[str, pa.DataType], unseen: set[str]) -> tuple[str, pa.DataType] | None:
    """None when all went well, else the column that is too narrow and the type to try. unseen: columns that had no
    value in the first block, whose type is guessed.
    """
    import pyarrow as pa
    import pyarrow.csv as pacsv
    import pyarrow.parquet as pq

    convert = pacsv.ConvertOptions(strings_can_be_null=True, column_types=dict(widened))
    reader: Any = None
    try:
        reader = pacsv.open_csv(path, pacsv.ReadOptions(block_size=BLOCK), convert_options=convert)
        schema = reader.schema
        unseen |= {field.name for field in schema if pa.types.is_null(field.type)}
        words: Any = [field.name for field in schema if pa.types.is_string(field.type)]
        with pq.ParquetWriter(into, schema, compression="lz4", use_dictionary=words) as writer:
            for batch in reader:
                writer.write_batch(batch)
    except pa.ArrowInvalid as error:
        message = str(error).splitlines()[0]
        found = _MISFIT.match(message)
        wider = None if found is None or reader is None else _wider(reader.schema.field(int(found[1])), unseen)
        if wider is None:
            raise InvalidInput(
                f"cannot be read as csv: {message}", hint="the file may be cut; write it again", file=path
            ) from error
        return wider
    except OSError as error:
        raise Unavailable(
            f"no room to read {path.name} column by column: {error}",
            hint="set TMPDIR to a larger disk, or give parquet",
        ) from error
    return None


def _wider(field: Any, unseen: set[str]) -> tuple[str, pa.DataType] | None:
    import pyarrow as pa

    numbers: list[pa.DataType]
    text: list[pa.DataType]
    numbers, text = [pa.int64(), pa.float64()], [pa.string(), pa.binary()]
    moments: list[pa.DataType] = [pa.date32(), pa.timestamp("s"), pa.timestamp("ns")]
    guesses: list[pa.DataType] = [pa.null(), *numbers, pa.bool_(), *moments, pa.time32("s"), *text]
    chains = [guesses] if field.name in unseen else [[*numbers, *text], [*moments, *text], text]
    for chain in chains:
        if field.type in chain:
            rest = chain[chain.index(field.type) + 1 :]
            return (field.name, rest[0]) if rest else None
    return None if field.type in text else (field.name, pa.string())
