"""Predictions that must be refused: none, no numbers, too few, all wrong, of other rows, unfair."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gates import metrics
from gates.checks.champion_delta import ChampionDelta
from gates.checks.fairness import Fairness
from gates.checks.slice_threshold import SliceThreshold
from gates.checks.threshold import Threshold
from gates.evidence import Evidence, Predictions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from gates.checks.spec import Check

    Bad = tuple[str, Evidence]

ROWS = 2000
SURE = 0.999


def answers(
    right: Any, *, target: Any = None, columns: Mapping[str, Sequence[Any]] | None = None, regression: float = 0.0
) -> Predictions:
    """One model's answers. right: (n,) bool, which rows it gets right, and with what confidence.

    target: (n,) of 0 and 1, alternating by default. columns: by name the values of a slicing column, in turn.
    regression: over 0, targets are numbers, and a wrong answer is off by that share of them.
    """
    import numpy as np

    right = np.asarray(right, dtype=bool)
    n = len(right)
    truth = np.arange(n) % 2 if target is None else np.asarray(target)
    groups = {
        name: np.asarray([str(v) for v in values])[np.arange(n) // 2 % len(values)]
        for name, values in (columns or {}).items()
    }
    if regression:
        numbers = 10.0 + np.arange(n) % 7
        return Predictions(numbers, np.where(right, numbers, numbers * (1.0 + regression)), groups=groups)
    said = np.where(right, truth, 1 - truth)
    return Predictions(said * 0 + truth, said, np.where(said == 1, SURE, 1 - SURE), (0, 1), 1, groups)


def _columns(check: Check) -> dict[str, Sequence[Any]]:
    """The slicing columns that a check names, with the values that it requires, or two."""
    named = [column for need in check.needs() for column in need.columns]
    required: dict[str, list[Any]] = getattr(check, "required", None) or getattr(check, "required_groups", None) or {}
    return {name: required.get(name) if len(required.get(name, ())) > 1 else ("a", "b") for name in named}  # type: ignore[misc]  # get() of what is there


def _off(check: Check, metric: metrics.Metric) -> float:
    """How far off a wrong answer is, as a share of the target: beyond any limit of the check. 0: labels."""
    if metric.task != "regression":
        return 0.0
    limits: list[float] = [abs(getattr(check, name, None) or 0.0) for name in ("min", "max")]
    if isinstance(check, ChampionDelta):
        limits.append(check.margin.absolute or 0.0)
    return 10.0 * (1.0 + max(limits))


def _unsound(good: Predictions, scores: bool, regression: bool) -> Iterable[tuple[str, Predictions | None]]:
    """The candidate's predictions as they must not be."""
    import numpy as np

    holed = np.asarray(good.prediction, dtype=np.float64).copy()
    holed[0] = np.nan
    yield "no predictions", None
    yield "predictions of no row", _cut(good, 0)
    yield "one prediction that is NaN", replace(good, prediction=holed)
    yield "fewer predictions than rows", replace(good, prediction=good.prediction[:-1])
    if not regression:
        yield "rows of one class", replace(good, target=np.ones_like(good.target))
    if scores and good.scores is not None:
        missing = good.scores.copy()
        missing[0] = np.nan
        yield "one score that is NaN", replace(good, scores=missing)
        yield "labels without scores", replace(good, scores=None)


def _cut(p: Predictions, n: int) -> Predictions:
    return replace(
        p,
        target=p.target[:n],
        prediction=p.prediction[:n],
        scores=None if p.scores is None else p.scores[:n],
        groups={name: values[:n] for name, values in p.groups.items()},
    )


def _threshold(check: Check) -> Iterable[Bad]:
    assert isinstance(check, Threshold)  # noqa: S101  # the table's key is the class's tag
    metric = metrics.METRICS.get(check.metric)
    if any(need.kind == "metric" for need in check.needs()) or metric is None:
        yield from _figures(check)
        return
    import numpy as np

    off = _off(check, metric)
    n = max(ROWS, 2 * check.min_samples, int(4 * max(check.min or 0, check.max or 0)) if metric.high is None else 0)
    good = answers(np.ones(n), regression=off)
    for what, spoilt in _unsound(good, metric.needs_scores, bool(off)):
        yield what, Evidence(candidate=spoilt)
    wants_right = check.min is not None if metric.greater_is_better else check.max is not None
    if wants_right:
        yield "every answer wrong", Evidence(candidate=answers(np.zeros(n), regression=off))
        yield "three rows, answered rightly", Evidence(candidate=_cut(good, 3))
    else:
        yield "every answer right, where the policy sets a limit to that", Evidence(candidate=good)


def _figures(check: Threshold) -> Iterable[Bad]:
    """Ready figures: absent, no numbers, beyond the limit."""
    yield "no figure", Evidence()
    bad = {"a figure that is NaN": float("nan"), "an infinite figure": float("inf")}
    if check.min is not None:
        bad[f"a figure under the least, {check.min:g}"] = check.min - 0.01 * max(1.0, abs(check.min))
    if check.max is not None:
        bad[f"a figure over the most, {check.max:g}"] = check.max + 0.01 * max(1.0, abs(check.max))
    for what, value in bad.items():
        yield what, Evidence(metrics={check.metric: value}, self_reported=True, metrics_n=10**6)


def _champion_delta(check: Check) -> Iterable[Bad]:
    assert isinstance(check, ChampionDelta)  # noqa: S101  # as above
    import numpy as np

    metric = metrics.METRICS[check.metric]
    off, n = _off(check, metric), max(ROWS, 2 * check.min_samples)
    mostly = np.arange(n) // 2 % 10 != 0
    champion = answers(mostly, regression=off)
    for what, spoilt in _unsound(champion, metric.needs_scores, bool(off)):
        yield what, Evidence(candidate=spoilt, champion=champion)
        yield f"of the champion: {what}", Evidence(candidate=champion, champion=spoilt)
    reverse = answers(~mostly, regression=off)
    yield "worse than the champion in nine rows of ten", Evidence(candidate=reverse, champion=champion)
    ids = np.arange(n)
    yield (
        "the champion on other rows",
        Evidence(candidate=replace(champion, row_id=ids), champion=replace(champion, row_id=ids + 1)),
    )
    right = _cut(answers(np.ones(n), regression=off), 3)
    yield "three rows, both right", Evidence(candidate=right, champion=right)


def _slice_threshold(check: Check) -> Iterable[Bad]:
    assert isinstance(check, SliceThreshold)  # noqa: S101  # as above
    import numpy as np

    metric, columns = metrics.METRICS[check.metric], _columns(check)
    off = _off(check, metric)
    n = 4 * max(ROWS, check.min_slice_samples * max(len(values) for values in columns.values()))
    good = answers(np.ones(n), columns=columns, regression=off)
    for what, spoilt in _unsound(good, metric.needs_scores, bool(off)):
        yield what, Evidence(candidate=spoilt)
    name, values = next(iter(columns.items()))
    if check.min is not None if metric.greater_is_better else check.max is not None:
        failed = good.groups[name] != str(values[0])
        yield (
            f"every answer wrong where {name} is {values[0]}",
            Evidence(candidate=answers(failed, columns=columns, regression=off)),
        )
    yield f"no column '{name}'", Evidence(candidate=replace(good, groups={}))
    for feature, wanted in check.required.items():
        gone = {**good.groups, feature: np.full(n, "another")}
        yield f"no row where {feature} is {wanted[0]}", Evidence(candidate=replace(good, groups=gone))


def _fairness(check: Check) -> Iterable[Bad]:
    assert isinstance(check, Fairness)  # noqa: S101  # as above
    import numpy as np

    columns = _columns(check)
    n = 4 * max(ROWS, check.min_slice_samples * max(len(values) for values in columns.values()))
    fair = answers(np.arange(n) // 8 % 10 != 0, columns=columns)
    for what, spoilt in _unsound(fair, scores=False, regression=False):
        yield what, Evidence(candidate=spoilt, champion=fair)
    name, values = next(iter(columns.items()))
    favoured = fair.groups[name] == str(values[0])
    unfair = replace(fair, prediction=favoured.astype(np.int64))
    yield f"every {values[0]} of {name} answered positive, nobody else", Evidence(candidate=unfair, champion=fair)
    yield f"no column '{name}'", Evidence(candidate=replace(fair, groups={}), champion=fair)
    if check.max_regression is not None:
        yield "no predictions of the champion", Evidence(candidate=fair)
    for feature, wanted in check.required_groups.items():
        gone = {**fair.groups, feature: np.where(np.arange(n) % 4 < 2, "another", "others")}
        yield (
            f"no row where {feature} is {wanted[0]}",
            Evidence(candidate=replace(fair, groups=gone), champion=replace(fair, groups=gone)),
        )


KNOWN_BAD: dict[str, Callable[[Check], Iterable[Bad]]] = {
    "threshold": _threshold,
    "champion_delta": _champion_delta,
    "slice_threshold": _slice_threshold,
    "fairness": _fairness,
}


def looks_at_labels(check: Check) -> bool:
    """Whether it judges a classifier's predictions, and nothing else."""
    kinds = {need.kind for need in check.needs()}
    metric = metrics.METRICS.get(getattr(check, "metric", ""))
    return kinds <= {"predictions", "champion_predictions"} and (metric is None or metric.task == "classification")


def useless(checks: Sequence[Check]) -> Iterable[Bad]:
    """Models that learnt nothing but how common each label is, beside a champion that is nearly always right."""
    import numpy as np

    columns = {name: values for check in checks for name, values in _columns(check).items()}
    n = 20 * ROWS
    for share in (0.5, 0.1, 0.01):
        truth = (np.random.default_rng(1).permutation(n) < share * n).astype(np.int64)
        champion = answers(np.random.default_rng(2).random(n) < 0.999, target=truth, columns=columns)
        flat = np.full(n, share)
        yield (
            f"a model that never answers positive, where {share:.0%} of the rows are",
            Evidence(candidate=replace(champion, prediction=np.zeros_like(truth), scores=flat), champion=champion),
        )
        lot = (np.random.default_rng(3).random(n) < share).astype(np.int64)
        yield (
            f"a model that answers by lot, where {share:.0%} of the rows are positive",
            Evidence(candidate=replace(champion, prediction=lot, scores=flat), champion=champion),
        )
