"""The gate itself: gathers what the stage's checks need, judges, and keeps what it judged on.

It is the same wherever it runs. `validate-gate` calls it on this machine; sent to where the data is (gate_elsewhere),
it is called there (gate_inside). What differs between the two is in `Asked`, as values.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gates.collect import facts
from gates.collect import store as stores
from gates.collect.gather import Gathering, Scorer, Subject, group_columns, needs_kind, union
from gates.collect.predictions import Shape
from gates.errors import InvalidInput, Unavailable
from gates.judge import judge
from gates.lineage.digest import file_digest, model_digest
from gates.runtime.environments import find_user_python
from gates.steps import judged, records

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gates.backends import ModelVersion
    from gates.checks.spec import Need
    from gates.lineage.record import Approval
    from gates.policy import Policy
    from gates.steps.step import Context
    from gates.verdict import GateReport


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is judged, and by what. `fetch`: puts the champion's bytes into a folder. step: of the report.

    metrics: a metrics file or `runs:/ID`, '' for none; `model` and `data` are None where ready evidence stands in.
    version: under which the model is registered, where a waiver hangs on it.
    """

    step: str
    stage: str
    model: Path | None
    digest: str
    data: Path | None
    champion: ModelVersion | None
    fetch: Callable[[ModelVersion, Path], Path]
    predictions: Path | None = None
    champion_predictions: Path | None = None
    metrics: str = ""
    approvals: tuple[Approval, ...] = field(default=())
    version: str = ""
    python: str = ""


def judge_asked(asked: Asked, context: Context, policy: Policy, raw: bytes) -> tuple[GateReport, stores.Store]:
    """The report, and the store that holds its evidence. raw: the policy's bytes."""
    needs = union(policy.stages[asked.stage].checks)
    data_digest = file_digest(asked.data) if asked.data and asked.data.is_file() else ""
    store = stores.Store(context.report_dir)
    with tempfile.TemporaryDirectory(prefix="gates-") as work:
        gathering = Gathering(
            store, _shape(context, needs), asked.data, data_digest, _scorer(asked, context), Path(work)
        )
        about = judged.about(context, policy, asked.digest, data_digest, asked.champion, version=asked.version)
        gathering.about = about = {**about, "step": asked.step}
        _gather(asked, context, needs, gathering)
    judged.keep_policy(store, raw)
    evidence = stores.load(store.folder, store.items)
    report = judge(
        policy, asked.stage, evidence, step=asked.step, today=context.now().date(), model=about["model"],
        champion=about["champion"], data={"digest": data_digest, "rows": judged.rows_of(evidence)},
    )  # fmt: skip
    return report, store


def baseline(asked: Asked, context: Context, store: stores.Store) -> bytes:
    """How the model did, which drift-check compares with once labels come; nothing where no lineage would hold it."""
    evaluate = context.project.settings.evaluate
    scored = next((item.sha256 for item in store.items if item.name == stores.CANDIDATE), None)
    kept = asked.stage == "validate" and bool(asked.digest) and records.lineage_of(context, asked.digest).path.is_dir()
    if evaluate is None or scored is None or not kept:
        return b""
    from gates.collect.performance import baseline_in  # numpy: a gate over a metrics file does without

    found = baseline_in(store.folder / scored.partition(":")[2], evaluate.target)
    return msgspec.json.encode(found) + b"\n"


def _gather(asked: Asked, context: Context, needs: Sequence[Need], gathering: Gathering) -> None:
    """Fill the evidence store with what the checks need."""
    candidate = Subject(asked.model, asked.digest, asked.predictions)
    if asked.metrics:
        gathering.reported(_metrics(asked.metrics, context, gathering.work))
    if needs_kind(needs, "metric") and candidate.model:
        size = sum(file.stat().st_size for file in candidate.model.rglob("*") if file.is_file())
        gathering.metrics["artifact_megabytes"] = size / 1e6
    own = any(need.options.get("source") == "import_path" for need in needs)  # a function of theirs, of predictions
    wanted = own or needs_kind(needs, "predictions", "champion_predictions", "samples")
    if wanted and (asked.predictions or not asked.metrics):
        context.need(gathering.shape.target, "evaluate.target", flag="")
        if asked.predictions is None:
            context.need(asked.data, "evaluate.data")
            if candidate.model is None:
                raise InvalidInput("nothing says which model to judge", hint="give --model, or run `gates train` first")
        gathering.candidate(candidate, needs)
    if needs_kind(needs, "champion_predictions", "explanations"):
        _gather_champion(asked, gathering, candidate)
    other, champion = gathering.work / "champion", asked.champion
    lineage = records.lineage_of(context, candidate.digest) if candidate.digest else None
    about = facts.About(
        candidate,
        Subject(other, champion.digest) if champion and other.is_dir() else None,
        asked.data if asked.data and asked.data.is_file() else None,
        lineage.composite() if lineage and lineage.path.is_dir() else None,
        _reference(lineage.path / records.PROFILE) if lineage else None,
        context.project.folder,
    )
    facts.gather(needs, about, gathering)
    if asked.approvals:
        gathering.store.add_bytes(stores.APPROVALS, msgspec.json.encode(asked.approvals))
    gathering.finish()


def _reference(path: Path) -> Any:
    """The profile that training recorded, which a drift check compares the evaluation data with; None without one."""
    from gates.drift.profile import Profile

    return Profile.from_bytes(path.read_bytes(), file=str(path)) if path.is_file() else None


def _metrics(given: str, context: Context, work: Path) -> Path:
    """The metrics file; of `runs:/ID`, what that run logged, written as one."""
    if not given.startswith("runs:/"):
        return context.cwd / given
    path = work / "run-metrics.json"
    found = context.backend.run_metrics(given.removeprefix("runs:/").strip("/"))
    path.write_text(json.dumps({"metrics": dict(sorted(found.items()))}), encoding="utf-8")
    return path


def _gather_champion(asked: Asked, gathering: Gathering, candidate: Subject) -> None:
    champion = asked.champion
    if asked.champion_predictions:
        gathering.champion(Subject(predictions=asked.champion_predictions))
    elif champion is None:
        gathering.champion_absent = True
    elif champion.digest == candidate.digest:
        raise Unavailable(
            f"the candidate is the champion itself ({champion.name} version {champion.version}, {champion.digest})",
            hint="a model compared with itself always looks fine; train a new one, or name another champion",
        )
    elif asked.predictions or not asked.metrics:
        folder = asked.fetch(champion, gathering.work / "champion")
        if model_digest(folder) != champion.digest:
            raise Unavailable(f"the registry's bytes of {champion.uri} are not those registered ({champion.digest})")
        gathering.champion(Subject(folder, champion.digest))


def _shape(context: Context, needs: Sequence[Need]) -> Shape:
    evaluate = context.project.settings.evaluate
    if evaluate is None:
        return Shape("", None, group_columns(needs))
    return Shape(evaluate.target, evaluate.positive_label, group_columns(needs))


def _scorer(asked: Asked, context: Context) -> Scorer:
    evaluate = context.project.settings.evaluate
    return Scorer(
        find_user_python(context.env, asked.python or None), context.env, context.state_dir / "cache",
        evaluate.score if evaluate else "auto", context.say,
    )  # fmt: skip
