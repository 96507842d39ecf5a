"""The policy's stage 'train': checks on the training data and on what the job reported, before any gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gates.collect import store as stores
from gates.collect.gather import needs_kind, union
from gates.judge import judge
from gates.lineage.digest import file_digest
from gates.steps import judged

if TYPE_CHECKING:
    from gates.backends import TrainedRun
    from gates.policy import Policy
    from gates.steps.step import Context
    from gates.verdict import GateReport


def judge_training(context: Context, policy: Policy, trained: TrainedRun, digest: str) -> GateReport:
    """Judge with the job's own metrics (self-reported) as evidence; what is not gathered here is ERROR."""
    needs = union(policy.stages["train"].checks)
    store = stores.Store(context.report_dir)
    if needs_kind(needs, "metric", "predictions") and trained.metrics:
        store.add_file(stores.METRICS, context.report_dir / "metrics.json", self_reported=True)
    store.add_manifest(stores.Manifest())
    data = next(iter(trained.inputs.values()), None)
    return judge(
        policy,
        "train",
        stores.load(store.folder, store.items),
        step=context.step,
        today=context.now().date(),
        model=judged.describe(digest),
        data={"digest": file_digest(data) if data and data.is_file() else "", "rows": 0},
    )
