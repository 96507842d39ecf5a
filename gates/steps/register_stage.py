"""The policy's stage 'register': checks on what is about to be registered: its size, its package, scans, environments.

What was scored belongs to the gate before it; a check that needs predictions is ERROR here and says so.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from gates.collect import facts
from gates.collect import store as stores
from gates.collect.gather import Gathering, Scorer, Subject, union
from gates.collect.predictions import Shape
from gates.judge import judge
from gates.lineage.digest import file_digest
from gates.runtime.environments import find_user_python
from gates.steps import judged, records
from gates.steps.step import done

if TYPE_CHECKING:
    from gates.policy import Policy
    from gates.steps.step import Context
    from gates.verdict import GateReport


def judge_registering(context: Context, policy: Policy, raw: bytes, folder: Path, digest: str) -> GateReport:
    """The stage's report, or one that judged nothing where the policy has no such stage. raw: the policy's bytes."""
    if "register" not in policy.stages:
        return done(context, stage="register", policy=policy, model=digest)
    needs = union(policy.stages["register"].checks)
    store = stores.Store(context.report_dir)
    found: Path | None = context.project.get("evaluate.data")
    data = found if found is not None and found.is_file() and any(need.kind == "table" for need in needs) else None
    with tempfile.TemporaryDirectory(prefix="gates-") as work:
        scorer = Scorer(
            find_user_python(context.env, context.python), context.env, context.state_dir / "cache", "auto", context.say
        )
        gathering = Gathering(store, Shape(""), data, file_digest(data) if data else "", scorer, Path(work))
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        gathering.metrics["artifact_megabytes"] = size / 1e6
        version = judged.version_of(context, policy, digest)
        gathering.about = judged.about(context, policy, digest, gathering.data_digest, version=version)
        lineage = records.lineage_of(context, digest)
        known = lineage.composite() if lineage.path.is_dir() else None
        about = facts.About(Subject(folder, digest), None, data, known, None, context.project.folder)
        facts.gather(needs, about, gathering)
        gathering.finish()
    judged.keep_policy(store, raw)
    evidence = stores.load(store.folder, store.items)
    return judge(
        policy, "register", evidence, step=context.step, today=context.now().date(), model=gathering.about["model"],
        data={"digest": gathering.data_digest, "rows": judged.rows_of(evidence)},
    )  # fmt: skip
