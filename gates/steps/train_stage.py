"""The policy's stage 'train': checks on the training data, the package and what the job reported, before any gate."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gates.collect import facts, tables
from gates.collect import store as stores
from gates.collect.gather import Gathering, Scorer, Subject, needs_kind, union
from gates.collect.predictions import Shape
from gates.errors import GatesError
from gates.judge import judge
from gates.lineage.digest import file_digest
from gates.runtime.environments import find_user_python
from gates.steps import judged, records

if TYPE_CHECKING:
    from gates.backends import TrainedRun
    from gates.checks.spec import Need
    from gates.policy import Policy
    from gates.steps.step import Context
    from gates.verdict import GateReport


def judge_training(context: Context, policy: Policy, trained: TrainedRun, digest: str, raw: bytes) -> GateReport:
    """Judge with the job's own metrics (self-reported) and facts of the data that it read as evidence."""
    needs = union(policy.stages["train"].checks)
    store = stores.Store(context.report_dir)
    if needs_kind(needs, "metric", "predictions") and trained.metrics:
        store.add_file(stores.METRICS, context.report_dir / "metrics.json", self_reported=True)
    data = training_table(trained, needs)
    with tempfile.TemporaryDirectory(prefix="gates-") as work:
        scorer = Scorer(
            find_user_python(context.env, context.python), context.env, context.state_dir / "cache", "auto", context.say
        )
        gathering = Gathering(store, Shape(""), data, file_digest(data) if data else "", scorer, Path(work))
        gathering.about = judged.about(context, policy, digest, gathering.data_digest)
        if needs_kind(needs, "drift"):
            reference, gathering.reference_absent = _reference(context, policy)
        else:
            reference = None
        about = facts.About(
            Subject(trained.model, digest), None, data, records.lineage_of(context, digest).composite(), reference,
            context.project.folder,
        )  # fmt: skip
        facts.gather(needs, about, gathering)
        gathering.finish()
    judged.keep_policy(store, raw)
    evidence = stores.load(store.folder, store.items)
    return judge(
        policy,
        "train",
        evidence,
        step=context.step,
        today=context.now().date(),
        model=judged.describe(digest),
        data={"digest": gathering.data_digest, "rows": judged.rows_of(evidence)},
    )


def training_table(trained: TrainedRun, needs: tuple[Need, ...]) -> Path | None:
    """The first input that is a table with the columns that the contract names; else the first table."""
    wanted = {column for need in needs if need.kind == "table" for column in need.columns}
    found = []
    for path in trained.inputs.values():
        try:
            names = tables.column_names(path, "an input of the job")
        except GatesError:
            continue  # no table: a configuration file, a folder of images
        found.append((not wanted <= set(names), path))
    return min(found, key=lambda pair: pair[0])[1] if found else None


def _reference(context: Context, policy: Policy) -> tuple[Any, bool]:
    """What training data are compared with: drift.reference when it is a file, else the champion's profile."""
    from gates.drift import source
    from gates.drift.profile import Profile

    named = context.project.get("drift.reference")
    if named not in (None, "profile"):
        return source.open_source(named), False
    champion = context.backend.find(context.project.settings.model, alias=policy.settings.champion.alias)
    if champion is None:
        return None, True
    path = records.fetched_lineage(context, champion).path / records.PROFILE
    return (Profile.from_bytes(path.read_bytes(), file=str(path)) if path.is_file() else None), False
