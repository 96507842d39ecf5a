"""What the model was trained with, by its lineage, beside what serves it here; and golden rows answered by both."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from gates.checks.environment_drift import Installed, ParityFacts, normalised
from gates.errors import Cancelled, GatesError
from gates.runtime import environments, scoring

if TYPE_CHECKING:
    from pathlib import Path

    from gates.collect.gather import Scorer
    from gates.lineage.record import Lineage

ALWAYS = ("numpy", "scipy", "pandas", "pyarrow", "mlflow", "mlflow-skinny")


def trained_with(lineage: Lineage) -> Installed | None:
    """The environment as the train statement says it; None where it says nothing."""
    listed = [line.partition("==") for line in lineage.environment.get("installed", ())]
    packages = {name: version for name, _, version in listed if version}
    if not lineage.python or not packages:
        return None
    return Installed(lineage.python, packages, lineage.environment_lock)


def serving_with(scorer: Scorer) -> Installed:
    """What the scorer's interpreter has, with the digest of the same lock text as training writes."""
    packages = environments.freeze(scorer.python, scorer.env)
    text = "".join(sorted(f"{name}=={version}\n" for name, version in packages.items()))
    lock = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    return Installed(environments.describe(scorer.python, scorer.env).version, packages, lock)


def parity(
    model: Path, data: Path, trained: Installed, serving: Installed, scorer: Scorer, work: Path, rows: int
) -> ParityFacts | None:
    """`rows` golden rows answered where it was trained and where it serves; None, said aloud, where that cannot be.

    Where both have the same packages, two processes of the one interpreter answer. Else an environment is built from
    the model's requirements in the versions that training had.
    """
    import pyarrow.parquet as pq

    from gates.collect.tables import read_table

    table = read_table(data, None, "the evaluation data")
    step = max(table.num_rows // rows, 1)
    golden = work / "golden.parquet"
    pq.write_table(table.take(list(range(0, min(table.num_rows, step * rows), step))), golden)
    try:
        before = scorer.python if _same(trained, serving) else _rebuilt(model, trained, scorer)
        answers = [
            scoring.score_model(
                model, golden, python=python, out=work / f"golden-{k}.parquet", env=scorer.env,
                cache=scorer.cache / "environments", function=scorer.function, say=scorer.say,
            ).path
            for k, python in enumerate((before, scorer.python))
        ]  # fmt: skip
    except Cancelled:
        raise
    except GatesError as error:
        scorer.say(f"golden rows could not be answered in both environments: {error}")
        return None
    return _compare(*(pq.read_table(path) for path in answers))


def _same(one: Installed, other: Installed) -> bool:
    return one.python == other.python and _plain(one) == _plain(other)


def _plain(one: Installed) -> dict[str, str]:
    return {normalised(name): version for name, version in one.packages.items()}


def _rebuilt(model: Path, trained: Installed, scorer: Scorer) -> Path:
    pinned = _plain(trained)
    lines = scoring.model_requirements(model)
    names = [normalised(re.split(r"[\s\[<>=!~;@]", line, maxsplit=1)[0]) for line in lines]
    known = [f"{name}=={pinned[name]}" for name in dict.fromkeys([*names, *ALWAYS]) if name in pinned]
    loose = [line for line, name in zip(lines, names, strict=True) if name not in pinned]
    return environments.build(
        [*known, *loose], python=scorer.python, cache=scorer.cache / "environments", env=scorer.env, say=scorer.say
    )


def _compare(before: Any, after: Any) -> ParityFacts:
    import numpy as np

    from gates.collect.tables import to_numpy

    if set(before.column_names) != set(after.column_names):  # e.g. probabilities of other labels
        return ParityFacts(before.num_rows, 0.0, before.num_rows)
    largest, mismatched = 0.0, 0
    for name in sorted(before.column_names):
        one, two = to_numpy(before.column(name)), to_numpy(after.column(name))
        if one.dtype.kind in "iufb" and two.dtype.kind in "iufb":
            apart = np.abs(one.astype(np.float64) - two.astype(np.float64))
            largest = max(largest, float(np.max(apart)) if np.isfinite(apart).all() else float("inf"))
        else:
            mismatched = max(mismatched, int((one.astype(str) != two.astype(str)).sum()))
    return ParityFacts(before.num_rows, largest, mismatched)
