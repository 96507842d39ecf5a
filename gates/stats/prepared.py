"""From predictions as they come to arrays that formulas can trust.

Everything that could make a figure meaningless is refused here, once: missing values, mixed or unlike types, lengths
that differ, rows that are not the same rows, a target with one class. After this no formula checks again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gates.stats import cells, spill
from gates.stats.estimate import Unusable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from gates.evidence import Predictions

MOST_COUNTED = 1_000_000  # cells for which a table of counts is kept
MOST_COMPARED = 16


@dataclass(frozen=True)
class Answers:
    """One model's answers: codes (n,) of some integer type, or values (n,) float64; scores (n,) or (n, k) float64, or
    None.
    """

    answer: NDArray[Any]
    scores: NDArray[np.float64] | None


@dataclass(frozen=True)
class Prepared:
    """The truth and each model's answers on the same n rows.

    truth: codes (n,) of some integer type in [0, k) for classification, values (n,) float64 for regression (k = 0).
    labels: what the codes stand for, ascending, but in binary problems (negative, positive). positive: its code, or
    None when nobody said which. cluster: (n,) codes of entities, or None.
    """

    truth: NDArray[Any]
    models: tuple[Answers, ...]
    k: int = 0
    labels: tuple[Any, ...] = ()
    positive: int | None = None
    cluster: NDArray[np.intp] | None = None

    @property
    def n(self) -> int:
        return len(self.truth)

    @property
    def smallest_class(self) -> int:
        """Rows, or entities, of the class that has fewest."""
        if self.cluster is None:
            seen = cells.counted((self.truth,), (self.k,))
            return int(seen[seen > 0].min())
        return min(len(np.unique(self.cluster[self.truth == code])) for code in np.unique(self.truth))

    def take(self, rows: NDArray[np.bool_]) -> Prepared:
        """The same, on the rows that are True in the mask (n,)."""
        n = sum(int(np.count_nonzero(block)) for (block,) in spill.blocks(rows))

        def taken(column: NDArray[Any]) -> NDArray[Any]:
            return _taken(column, rows, n)

        models = tuple(Answers(taken(m.answer), None if m.scores is None else taken(m.scores)) for m in self.models)
        cluster = None if self.cluster is None else self.cluster[rows]
        if cluster is not None:
            cluster = np.unique(cluster, return_inverse=True)[1]
        return replace(self, truth=taken(self.truth), models=models, cluster=cluster)

    def part(self, rows: slice) -> Prepared:
        """A stretch of rows, without a copy; of rows that belong to no entity."""
        models = tuple(Answers(m.answer[rows], None if m.scores is None else m.scores[rows]) for m in self.models)
        return replace(self, truth=self.truth[rows], models=models)

    @property
    def columns(self) -> list[NDArray[Any]]:
        """All that `part` cuts."""
        scores = [m.scores for m in self.models if m.scores is not None]
        return [self.truth, *(m.answer for m in self.models), *scores]


def _taken(column: NDArray[Any], rows: NDArray[np.bool_], n: int) -> NDArray[Any]:
    """The rows, n of them, that are True in the mask."""
    if column.ndim > 1:
        return np.asarray(column[rows])
    found, begin = spill.empty(n, column.dtype), 0
    for part in spill.parts(column, rows, found):
        own = column[part][rows[part]]
        found[begin : begin + len(own)] = own
        begin += len(own)
    return found


def column(values: Any, name: str) -> NDArray[Any]:
    """A column (n,) as float64, int64 or str. Raises Unusable for gaps, mixed types, other shapes."""
    array = np.asarray(values)
    if array.ndim != 1:
        raise Unusable(f"{name} must be one column, it has the shape {array.shape}")
    if array.dtype.kind == "O":
        array = _from_objects(array, name)
    if array.dtype.kind in "bui":
        return array.astype(np.int64, copy=False)
    if array.dtype.kind == "f":
        array = array.astype(np.float64, copy=False)
        bad = _not_finite(array)
        if bad:
            raise Unusable(f"{name} holds {bad} values that are missing or not finite")
        return array
    if array.dtype.kind == "U":
        return array
    raise Unusable(f"{name} holds {array.dtype} values; write numbers, booleans or strings")


def _not_finite(array: NDArray[np.float64]) -> int:
    return sum(block.size - int(np.count_nonzero(np.isfinite(block))) for (block,) in spill.blocks(array))


def _from_objects(array: NDArray[Any], name: str) -> NDArray[Any]:
    values = array.tolist()
    kinds = {type(value) for value in values}
    if type(None) in kinds:
        raise Unusable(f"{name} holds {sum(value is None for value in values)} missing values")
    if kinds <= {str, np.str_}:
        return np.asarray(values, dtype=np.str_)
    if all(issubclass(kind, (bool, int, float, np.number, np.bool_)) for kind in kinds):
        return np.asarray(values, dtype=np.float64)
    raise Unusable(f"{name} mixes values of type {', '.join(sorted(kind.__name__ for kind in kinds))}")


def prepare(
    candidate: Predictions, champion: Predictions | None = None, *, regression: bool = False, scores: bool = False
) -> Prepared:
    """Check and encode. With a champion its rows are brought into the candidate's order by `row_id`.

    scores: probabilities are needed; raises Unusable where a model has none.
    """
    truth = column(candidate.target, "the target")
    n = len(truth)
    if n == 0:
        raise Unusable("there are no rows")
    parts = [candidate] if champion is None else [candidate, _aligned(candidate, champion)]
    if champion is not None and not _same(truth, column(parts[1].target, "the champion's target")):
        raise Unusable("candidate and champion were scored on different rows: their targets differ")
    names = ("the prediction", "the champion's prediction")
    answers = [column(part.prediction, name) for part, name in zip(parts, names, strict=False)]
    for answer, name in zip(answers, names, strict=False):
        if len(answer) != n:
            raise Unusable(f"{name} has {len(answer)} rows, the target has {n}")
        if n and (answer.dtype.kind == "U") != (truth.dtype.kind == "U"):
            kinds = ("text" if values.dtype.kind == "U" else values.dtype.name for values in (answer, truth))
            raise Unusable(f"{name} and the target are of unlike types: {' and '.join(kinds)}")
    cluster = _cluster(candidate, n)
    if regression:
        if truth.dtype.kind == "U":
            raise Unusable("the target is text; this metric needs numbers")
        values = tuple(Answers(answer.astype(np.float64), None) for answer in answers)
        return Prepared(truth.astype(np.float64), values, cluster=cluster)
    labels, positive = _labels(candidate, [truth, *answers])
    codes = [_codes(values, labels) for values in (truth, *answers)]
    if np.count_nonzero(cells.counted((codes[0],), (len(labels),))) < 2:
        raise Unusable(f"every row's target is {labels[int(codes[0][0])]!r}: one class only")
    read = [_scores(part, labels, positive, n) if scores else None for part in parts]
    models = tuple(Answers(code, score) for code, score in zip(codes[1:], read, strict=True))
    return Prepared(codes[0], models, len(labels), labels, positive, cluster)


def _same(a: NDArray[Any], b: NDArray[Any]) -> bool:
    alike = a.shape == b.shape and (a.dtype.kind == "U") == (b.dtype.kind == "U")
    return alike and all(bool((one == other).all()) for one, other in spill.blocks(a, b))


def _aligned(candidate: Predictions, champion: Predictions) -> Predictions:
    if (candidate.row_id is None) != (champion.row_id is None):
        raise Unusable("only one of candidate and champion has row ids")
    if len(candidate.target) != len(champion.target):
        raise Unusable(f"the candidate has {candidate.n} rows, the champion {champion.n}")
    if candidate.row_id is None or champion.row_id is None:
        return champion
    ours, theirs = column(candidate.row_id, "row_id"), column(champion.row_id, "the champion's row_id")
    if len(ours) != candidate.n or len(theirs) != champion.n:
        raise Unusable("row_id has not as many rows as the target")
    if _same(ours, theirs):
        return champion
    order, back = np.argsort(theirs, kind="stable"), np.argsort(np.argsort(ours, kind="stable"), kind="stable")
    if not _same(np.sort(ours), theirs[order]):
        raise Unusable("candidate and champion were scored on different rows: their row ids differ")
    if len(np.unique(ours)) < len(ours):
        raise Unusable("row ids repeat, so rows cannot be matched")
    move = order[back]
    return replace(
        champion,
        target=np.asarray(champion.target)[move],
        prediction=np.asarray(champion.prediction)[move],
        scores=None if champion.scores is None else np.asarray(champion.scores)[move],
        row_id=np.asarray(champion.row_id)[move],
    )


def _cluster(predictions: Predictions, n: int) -> NDArray[np.intp] | None:
    if predictions.entity is None:
        return None
    entity = column(predictions.entity, "the entity")
    if len(entity) != n:
        raise Unusable(f"the entity has {len(entity)} rows, the target has {n}")
    codes: NDArray[np.intp] = np.unique(entity, return_inverse=True)[1]
    return codes


def _labels(candidate: Predictions, columns: Sequence[NDArray[Any]]) -> tuple[tuple[Any, ...], int | None]:
    seen: set[Any] = set()
    for values in columns:
        seen.update(_distinct(values))
    asked = candidate.positive_label
    known = {_plain(label) for label in candidate.labels} | seen
    if len({isinstance(label, str) for label in known}) > 1:
        raise Unusable("the labels mix text and numbers")
    labels = tuple(sorted(known))
    if asked is None:
        return labels, (1 if labels in ((0, 1), (0.0, 1.0)) else None)
    positive = _plain(asked)
    if positive not in known:
        raise Unusable(f"positive_label {asked!r} is not among the labels {_shown(labels)}")
    if len(labels) == 2:
        return (labels if labels[1] == positive else labels[::-1]), 1
    return labels, labels.index(positive)


def _distinct(values: NDArray[Any]) -> set[Any]:
    """Distinct values; what was seen is taken away before anything is sorted, for sorting text is slow."""
    seen: set[Any] = set()
    for (block,) in spill.blocks(values):
        rest = block
        for value in list(seen)[:8]:
            rest = rest[rest != value]
        for _ in range(2):
            if len(rest):
                seen.add(rest[0].item())
                rest = rest[rest != rest[0]]
        seen.update(np.unique(rest).tolist())
    return seen


def _plain(label: Any) -> Any:
    value = label.item() if isinstance(label, np.generic) else label
    if value is None or isinstance(value, (list, dict, tuple)) or value != value:  # NaN
        raise Unusable(f"{label!r} cannot be a label")
    return int(value) if isinstance(value, bool) else value


def _shown(labels: Sequence[Any]) -> str:
    return ", ".join(repr(label) for label in labels[:5]) + (", …" if len(labels) > 5 else "")


def _codes(values: NDArray[Any], labels: tuple[Any, ...]) -> NDArray[Any]:
    codes, known = spill.empty(len(values), cells.code_type(len(labels))), np.asarray(labels)
    for part in spill.parts(values, codes):
        codes[part] = values[part] == labels[1] if len(labels) == 2 else np.searchsorted(known, values[part])
    return codes


def _scores(part: Predictions, labels: tuple[Any, ...], positive: int | None, n: int) -> NDArray[np.float64]:
    """(n,) probability of the positive label, or (n, k) with the columns in the order of `labels`."""
    if part.scores is None:
        raise Unusable("the model gives labels only, and this metric needs probabilities")
    raw = np.asarray(part.scores)
    if raw.dtype.kind not in "fiub" or raw.ndim not in (1, 2) or len(raw) != n:
        raise Unusable(f"scores must be {n} rows of numbers, they are {raw.dtype} of the shape {raw.shape}")
    scores = raw.astype(np.float64, copy=False)
    bad = _not_finite(scores)
    if bad:
        raise Unusable(f"{bad} scores are missing or not finite")
    if scores.ndim == 1:
        if len(labels) != 2:
            raise Unusable(f"one score a row cannot cover {len(labels)} labels")
        if positive is None:
            raise Unusable("positive_label must say which label the scores are of")
        return scores
    given = tuple(_plain(label) for label in part.labels)
    if scores.shape[1] != len(given) or set(given) != set(labels):
        raise Unusable(f"scores have {scores.shape[1]} columns for the labels {_shown(labels)}")
    ordered = scores[:, [given.index(label) for label in labels]]
    return ordered[:, 1] if len(labels) == 2 and positive is not None else ordered


def groups(values: Any, name: str, n: int) -> tuple[NDArray[np.intp], list[Any]]:
    """Codes (n,) and distinct values, ascending, of a slicing column. Raises Unusable for gaps or another length."""
    raw = np.asarray(values)
    whole = raw.tolist() if raw.dtype.kind in "bO" and raw.ndim == 1 else None
    if whole is not None and {type(value) for value in whole} <= {bool, np.bool_}:
        raw = np.where(np.asarray(whole, dtype=bool), "True", "False")
    read = column(raw, name)
    if len(read) != n:
        raise Unusable(f"{name} has {len(read)} rows, the target has {n}")
    found: list[Any] = []
    codes = spill.empty(n, np.int8)
    for part in spill.parts(read, codes):
        if not _coded(read[part], found, codes[part]):
            distinct, inverse = np.unique(read, return_inverse=True)
            return inverse, distinct.tolist()
    order = sorted(range(len(found)), key=lambda i: found[i])
    rank = np.empty(len(found), dtype=np.int8)
    rank[order] = np.arange(len(found))
    for part in spill.parts(codes):
        codes[part] = rank[codes[part]]
    return codes, [found[i] for i in order]


def _coded(values: NDArray[Any], found: list[Any], codes: NDArray[np.int8]) -> bool:
    """Write the place of each value in `found`, which grows. False when groups are many: few are the rule, and
    comparing is faster than sorting text.
    """
    left, known = np.arange(len(values)), 0
    while len(left):
        if known == len(found):
            if known == MOST_COMPARED:
                return False
            found.append(values[left[0]].item())
        same = values[left] == found[known]
        codes[left[same]] = known
        left = left[~same]
        known += 1
    return True


def combine(codes: Sequence[NDArray[Any]], sizes: Sequence[int]) -> tuple[NDArray[Any], list[list[int]]]:
    """Codes (n,) of the combinations that occur, and for each the codes it is made of; sizes: codes a column has."""
    if math.prod(sizes) > MOST_COUNTED:
        rows, combined = np.unique(np.stack(codes, axis=1), axis=0, return_inverse=True)
        return combined.reshape(-1), rows.tolist()
    there = np.flatnonzero(cells.counted(codes, sizes))
    place = np.zeros(math.prod(sizes), dtype=cells.code_type(len(there)))
    place[there] = np.arange(len(there))
    found = spill.empty(len(codes[0]), place.dtype)
    for part in spill.parts(*codes, found):
        found[part] = place[cells.joined([column[part] for column in codes], sizes)]
    return found, np.stack(np.unravel_index(there, tuple(sizes)), axis=1).tolist()
