"""What can be drawn from a report's stored evidence: curves, confusion, slices and groups, from verified bytes.

Nothing here decides; what cannot be drawn is a note on the page. Without predictions nothing of numpy is imported.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from gates import policy as policies
from gates.collect import store as stores
from gates.document import read_bytes
from gates.errors import GatesError, InvalidInput
from gates.reports.html.values import Curves, Forest, Pictures, Row
from gates.verdict import EvidenceItem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from gates.checks.fairness import Fairness
    from gates.checks.slice_threshold import SliceThreshold
    from gates.evidence import Evidence, Predictions
    from gates.policy import Policy
    from gates.stats.prepared import Prepared

LABELS = 12
"""Classes whose confusion is drawn."""


def draw(report: Mapping[str, Any], folder: Path, *, most_rows: int | None = None) -> Pictures:
    """The pictures of report.json, parsed, whose evidence stands in `folder`/evidence.

    most_rows: of more predictions than this, none are drawn (a page must not take longer than a gate).
    """
    result = report["result"]
    items = tuple(EvidenceItem(**item) for item in result["evidence"])
    if not any(item.name == stores.CANDIDATE for item in items):
        return Pictures()
    rows = int(result["data"].get("rows") or 0)
    if most_rows is not None and rows > most_rows:
        return Pictures(notes=(f"Curves of {rows:,} rows are drawn on request: gates report html.",))
    try:
        evidence = stores.load(folder / "evidence", items)
        policy = _policy(result, report["run"]["started"], folder)
    except GatesError as error:
        return Pictures(notes=(f"No curves: {error}.",))
    curves, notes = _curves(evidence)
    forests, more = _forests(policy, result["stage"], evidence)
    return Pictures(tuple(curves), tuple(forests), (*notes, *more))


def _policy(result: Mapping[str, Any], started: str, folder: Path) -> Policy:
    """As it was that day, from its bytes beside the evidence."""
    kept = folder / "evidence" / result["policy"]["digest"].partition(":")[2]
    policy = policies.load(
        read_bytes(kept, "the policy's bytes in the evidence"), kept, today=datetime.fromisoformat(started).date()
    )
    if policy.digest != result["policy"]["digest"]:
        raise InvalidInput("evidence 'policy' was changed", file=kept)
    return policy


def _curves(evidence: Evidence) -> tuple[list[Curves], list[str]]:
    found, notes = [], []
    for who, predictions in (("candidate", evidence.candidate), ("champion", evidence.champion)):
        if predictions is None:
            continue
        if evidence.candidate is not None and _is_regression(evidence.candidate):
            return [], ["Numbers are predicted, not classes: there are no ROC, calibration and confusion."]
        drawn = _one(who, predictions)
        if isinstance(drawn, str):
            notes.append(f"No curves of the {who}: {drawn}.")
        else:
            found.append(drawn)
    return found, notes


def _is_regression(predictions: Predictions) -> bool:
    """Numbers with a fraction are no labels."""
    import numpy as np

    values = predictions.target
    return values.dtype.kind == "f" and not bool(np.all(values == np.floor(values)))


def _one(who: str, predictions: Predictions) -> Curves | str:
    """The curves of one model, or why there are none."""
    from gates import metrics
    from gates.stats import confusion, curves, delong
    from gates.stats.estimate import Unusable

    known = metrics.METRICS["roc_auc" if predictions.scores is not None else "accuracy"]
    try:
        data = known.prepare(predictions)
    except Unusable as unusable:
        return str(unusable)
    model, shown = data.models[0], Curves(who, data.n)
    if data.k <= LABELS:
        counts = confusion.matrix(data.truth, model.answer, data.k)
        table = tuple(tuple(int(n) for n in row) for row in counts)
        shown = Curves(who, data.n, tuple(str(label) for label in data.labels), table)
    if data.k != 2 or data.positive is None or model.scores is None or model.scores.ndim != 1:
        return shown
    positive, score = data.truth == data.positive, model.scores
    if not 0 < int(positive.sum()) < data.n:
        return shown
    return Curves(
        who, data.n, shown.labels, shown.confusion, tuple(curves.roc(positive, score)),
        delong.auc(positive, score, 0.95).value, tuple(curves.calibration(positive, score)),
    )  # fmt: skip


def _forests(policy: Policy, stage: str, evidence: Evidence) -> tuple[list[Forest], list[str]]:
    """One of each check that cuts the rows, in the policy's order."""
    from gates.stats.estimate import Unusable

    found: list[Forest] = []
    notes: list[str] = []
    for bound in policy.stages[stage].checks if stage in policy.stages else ():
        check: Any = bound.check
        draw_one = _PLOTS.get(bound.type)
        if draw_one is None or evidence.candidate is None:
            continue
        try:
            found += draw_one(check, evidence.candidate, policy)
        except Unusable as unusable:
            notes.append(f"{check.id}: no plot: {unusable}.")
    return found, notes


def _of_slices(check: SliceThreshold, candidate: Predictions, policy: Policy) -> Iterable[Forest]:
    """The metric in every slice, with the interval that the check decides on."""
    from gates import metrics
    from gates.checks.slices import slices
    from gates.stats.estimate import Unusable

    known, settings = metrics.METRICS[check.metric], policy.check_settings
    data: Prepared = known.prepare(candidate)
    for cut in slices(candidate, check.by, intersect=check.intersect):
        rows, without = [], []
        for i, (group, size) in enumerate(cut.sizes()):
            try:
                e = known.estimate_on(data.take(cut.rows(i)), confidence=settings.confidence, seed=settings.seed,
                                      average=check.average)  # fmt: skip
            except Unusable:
                without.append(group)
                continue
            rows.append(Row(group, e.value, e.low, e.high, size))
        if rows:
            note = f"Not to be had for {', '.join(without)}." if without else ""
            yield Forest(f"{check.id}: {check.metric} by {cut.feature}", tuple(rows), check.min, check.max, note)


def _of_groups(check: Fairness, candidate: Predictions, policy: Policy) -> Iterable[Forest]:
    """The rates that are compared, group by group; the limit is on their difference or ratio, so none is drawn."""
    from gates.checks.slices import slices
    from gates.stats import parity
    from gates.stats.prepared import prepare
    from gates.stats.proportion import wilson

    data, confidence = prepare(candidate, None), policy.check_settings.confidence
    said = {"selection": "share answered positive", "tpr": "true positive rate", "fpr": "false positive rate"}
    for cut in slices(candidate, check.sensitive, intersect=check.intersect):
        kind = check.metric.rsplit("_", 1)[0]
        for rate, groups in parity.rates(kind, cut.codes, cut.names, data.truth, data.models[0].answer).items():
            rows = tuple(
                Row(name, selected / asked, *wilson(selected, asked, confidence), int(asked))
                for name, (selected, asked) in groups.items()
            )
            limit = f"at most {check.max:g}" if check.max is not None else f"at least {check.min or 0:g}"
            yield Forest(f"{check.id}: {said[rate]} by {cut.feature}", rows, note=f"{check.metric} must be {limit}.")


_PLOTS: dict[str, Callable[..., Iterable[Forest]]] = {"slice_threshold": _of_slices, "fairness": _of_groups}
