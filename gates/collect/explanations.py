"""Attributions of candidate and champion on the same rows: SHAP where the user's interpreter has it, else permutation.

Kept by model, data, function and number of rows, since explaining takes long; most often they come with the answers
(see `Scorer`). The seed is fixed, so both models are asked about the very same rows.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gates.checks.explanation_stability import ExplanationFacts
from gates.files import write_whole
from gates.runtime import scoring

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gates.collect.gather import Scorer


def attributions(
    model: Path, digest: str, data: Path, data_digest: str, rows: int, scorer: Scorer, work: Path, *, method: str = ""
) -> Any:
    """{"method", "features", "values"}: a row an explained row (shap) or a repeat (permutation).

    method: what the answer should be of; one that is kept and of another is asked again: SHAP may have come or gone.
    """
    kept = scorer.explained(digest, data_digest, rows)
    if kept.is_file():
        found = json.loads(kept.read_text(encoding="utf-8"))
        if method in ("", found["method"]):
            return found
    scorer.say(f"asking what {model.name} looks at")
    scored = scoring.score_model(
        model, data, python=scorer.python, out=work / "explained.parquet", env=scorer.env,
        cache=scorer.cache / "environments", function=scorer.function, explain_rows=rows, attributions=True,
        say=scorer.say,
    )  # fmt: skip
    write_whole(kept, json.dumps(scored.attributions))
    return scored.attributions


def facts(raw: Mapping[str, Any]) -> ExplanationFacts:
    """From {"candidate": …, "champion": … or null}; a column that one model does not know counts 0 for it."""
    ours, theirs = raw["candidate"], raw["champion"]
    names = list(dict.fromkeys([*ours["features"], *(theirs["features"] if theirs else ())]))
    return ExplanationFacts(
        tuple(names), _matrix(ours, names), _matrix(theirs, names) if theirs else None, ours["method"]
    )


def _matrix(one: Mapping[str, Any], names: list[str]) -> Any:
    import numpy as np

    values = np.asarray(one["values"], dtype=np.float64)
    wide = np.zeros((len(values), len(names)))
    wide[:, [names.index(name) for name in one["features"]]] = values
    return wide
