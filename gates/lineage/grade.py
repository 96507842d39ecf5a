"""How far a model is reproduced: parity of what was recorded, and the grade of a model trained again.

Byte parity of a retrained model cannot be promised (a model folder holds run ids, times and addresses), so it is
graded: R0 the inputs are equal and nothing was trained again, R1 the files are equal but for those listed as volatile
when the model was made, R2 the learned state or the probe predictions are bit-equal, R3 the metrics are within their
tolerances, R4 it differs. Other inputs are no reproduction: R4. What is missing, NaN or without tolerance never helps.
Parity is exact: every recorded digest is computed again from its reference; one that does not resolve has failed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

from gates.canonical import digest
from gates.errors import GatesError
from gates.lineage.digest import differences, model_digest
from gates.lineage.fingerprint import fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from gates.lineage.digest import FileSum
    from gates.lineage.record import Lineage

REL_TOL = 1e-12  # float noise: 0.91 - 0.905 is more than 0.005
GradeName = Literal["R0", "R1", "R2", "R3", "R4"]


@dataclass(frozen=True)
class Outcome:
    """What a training gave. state: digest of each learned part by name; predictions: digest of the probe predictions.

    Both digests are of raw bytes with dtype and shape, made where the model can be loaded; None where not made.
    """

    files: tuple[FileSum, ...]
    state: Mapping[str, str] | None = None
    predictions: str | None = None
    metrics: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Grade:
    """The grade and why it is not better, one line each."""

    grade: GradeName
    reasons: tuple[str, ...] = ()


def grade(
    inputs: tuple[Mapping[str, str], Mapping[str, str]],
    recorded: Outcome,
    retrained: Outcome | None,
    *,
    volatile: Sequence[str] = (),
    tolerances: Mapping[str, float] | None = None,
) -> Grade:
    """inputs: digests by name, of the recorded training and of the one at hand (`inputs_of`).

    volatile: glob patterns of paths, from the train statement. tolerances: largest allowed absolute difference by
    metric; each must be met.
    """
    then, now = inputs
    changed = [f"input {name} differs" for name in sorted(set(then) | set(now)) if then.get(name) != now.get(name)]
    if changed or not then:
        return Grade("R4", tuple(changed) or ("no inputs are recorded",))
    if retrained is None:
        return Grade("R0", ("nothing was trained again",))
    reasons = [
        f"{path} {what}"
        for path, what in differences(_stable(recorded.files, volatile), _stable(retrained.files, volatile))
    ]
    if not reasons and _stable(recorded.files, volatile):
        return Grade("R1")
    reasons = reasons or ["every file is listed as volatile"]
    learned = _learned(recorded, retrained)
    if not learned:
        return Grade("R2", tuple(reasons))
    reasons += learned
    worse = _metrics(recorded.metrics, retrained.metrics, tolerances or {})
    return Grade("R4", (*reasons, *worse)) if worse else Grade("R3", tuple(reasons))


def inputs_of(lineage: Lineage) -> dict[str, str]:
    """The digests that two trainings must share: code, each data set's content, environment, parameters."""
    found = {f"data/{item['name']}": str(item.get("content") or item["sha256"]) for item in lineage.data}
    found["parameters"] = digest(lineage.parameters)
    found["environment"] = lineage.environment_lock or digest(lineage.environment)
    if lineage.code_commit is not None:
        found["code"] = lineage.code_commit + ("+dirty" if lineage.code_dirty else "")
    return found


def parity(
    lineage: Lineage, *, model: Path | None, data: Mapping[str, Path], found: Mapping[str, str]
) -> tuple[str, ...]:
    """What does not match what was recorded, one line each; none when all of it does.

    model: the folder of the model; data: where each recorded data set is now, by name; found: digests that only others
    can compute, `code_commit` and `environment_lock`. A recorded reference that is not given did not resolve.
    """
    problems = []
    if model is None:
        problems.append("model: does not resolve")
    else:
        try:
            problems += _compare("model", lineage.model_digest, model_digest(model))
        except GatesError as error:
            problems.append(f"model: does not resolve: {error}")
    for item in lineage.data:
        name = str(item["name"])
        if name not in data:
            problems.append(f"data {name}: does not resolve")
            continue
        path, key = data[name], tuple(item.get("key", ()))
        try:
            seen = fingerprint(path, key=key)
        except GatesError as error:
            problems.append(f"data {name}: does not resolve: {error}")
            continue
        problems += _compare(f"data {name}", str(item["sha256"]), seen.sha256)
        if item.get("content"):
            problems += _compare(f"content of data {name}", str(item["content"]), seen.content)
    for name in ("code_commit", "environment_lock"):
        recorded = getattr(lineage, name)
        if recorded is not None and found.get(name) != recorded:
            problems.append(f"{name}: {found.get(name, 'does not resolve')}, recorded {recorded}")
    return tuple(problems)


def _compare(what: str, recorded: str, computed: str | None) -> list[str]:
    return [] if computed == recorded else [f"{what}: {computed}, recorded {recorded}"]


def _stable(files: Iterable[FileSum], volatile: Sequence[str]) -> tuple[FileSum, ...]:
    return tuple(item for item in files if not any(fnmatchcase(item.path, pattern) for pattern in volatile))


def _learned(recorded: Outcome, retrained: Outcome) -> list[str]:
    """Why neither the learned state nor the predictions are known to be equal; none when one of them is."""
    if recorded.state and recorded.state == retrained.state:
        return []
    if recorded.predictions is not None and recorded.predictions == retrained.predictions:
        return []
    reasons = []
    if recorded.state and retrained.state:
        names = sorted(set(recorded.state) | set(retrained.state))
        reasons += [f"learned {n} differs" for n in names if recorded.state.get(n) != retrained.state.get(n)]
    else:
        reasons.append("no learned state to compare")
    both = recorded.predictions is not None and retrained.predictions is not None
    return [*reasons, "probe predictions differ" if both else "no probe predictions to compare"]


def _metrics(
    recorded: Mapping[str, float | None], retrained: Mapping[str, float | None], tolerances: Mapping[str, float]
) -> list[str]:
    if not tolerances:
        return ["no tolerances are given"]
    reasons = []
    for name, allowed in sorted(tolerances.items()):
        then, now = recorded.get(name), retrained.get(name)
        if then is None or now is None or not (math.isfinite(then) and math.isfinite(now)):
            reasons.append(f"metric {name} is not there twice: {then}, {now}")
        elif not abs(then - now) <= allowed + REL_TOL * max(abs(then), abs(now)):
            reasons.append(f"metric {name}: {now:.6g}, recorded {then:.6g}, allowed {allowed:.6g}")
    return reasons
