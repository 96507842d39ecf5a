"""How much the model looks at each column: what `weights: importance` of a drift check weighs by.

Asked once of a model and its data: the answer is kept under both digests, since loading a model takes seconds.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from gates.errors import Unavailable
from gates.files import write_whole
from gates.runtime import scoring

if TYPE_CHECKING:
    from collections.abc import Callable

    from gates.collect.gather import Scorer

ROWS = 2000


def importances(
    fetch: Callable[[Path], Path], digest: str, data: Path, data_digest: str, scorer: Scorer
) -> dict[str, float]:
    """Share of each column, sum 1. `fetch` puts the model below a folder and returns it; not called when known.

    Unavailable when the model cannot say what it looks at.
    """
    short = [text.partition(":")[2][:32] for text in (digest, data_digest)]
    kept = scorer.cache / "importances" / f"{short[0]}-{short[1]}-{scorer.function}.json"
    if kept.is_file():
        return {str(name): float(value) for name, value in json.loads(kept.read_text(encoding="utf-8")).items()}
    with tempfile.TemporaryDirectory(prefix="gates-") as work:
        scored = scoring.score_model(
            fetch(Path(work) / "model"), data, python=scorer.python, out=Path(work) / "answers.parquet", env=scorer.env,
            cache=scorer.cache / "environments", function=scorer.function, explain_rows=ROWS, say=scorer.say,
        )  # fmt: skip
    if not scored.importances:
        raise Unavailable(f"the model {digest} did not say how much it looks at each column")
    found = {name: float(value) for name, value in sorted(scored.importances.items())}
    write_whole(kept, json.dumps(found, indent=1) + "\n")
    return found
