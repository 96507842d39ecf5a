"""A batch deployment in the place of a live one: asked by a job on the evaluation data, judged, and made the default.

The checks of the policy's stage `validate` that look at predictions judge what the deployment itself answered, beside
the champion; the others were judged of the same bytes before. There is nothing to watch: no canary, no bake.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from gates.collect import batch, predictions
from gates.collect.gather import group_columns, union
from gates.collect.signature import feature_names
from gates.errors import InvalidInput
from gates.evidence import Evidence
from gates.rollout.plan import Rollout, Smoke
from gates.steps import judged
from gates.steps.data_at_hand import at_hand
from gates.steps.gating import Asked, judge_asked
from gates.steps.validate_gate import find_champion
from gates.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gates.backends import ModelVersion
    from gates.policy import Policy
    from gates.steps.step import Context
    from gates.verdict import GateReport

STAGE = "validate"
KINDS = frozenset(("predictions", "champion_predictions"))


@dataclass(frozen=True)
class Standing:
    """The judgement of a moment in which there is nothing to see: what was committed before it stands."""

    verdict: Verdict = Verdict.PASS
    allowed: bool = True
    failed_checks: tuple[str, ...] = ()


@dataclass
class Batch:
    """One deployment's answers and their judgement. raw: the policy's bytes; own_script: it answers by the user's.

    `report`: None until it was judged by this process.
    """

    context: Context
    policy: Policy
    raw: bytes
    version: ModelVersion
    folder: Path
    own_script: bool
    report: GateReport | None = None

    def parts(self, endpoint: Any, keep_old: float) -> dict[str, Any]:
        """What of a Plan is other than for a live deployment."""
        stage, evaluate = judged.stage_of(self.policy, STAGE, self.context), self.context.project.settings.evaluate
        checks = tuple(one for one in stage.checks if {need.kind for need in one.check.needs()} <= KINDS)
        if not checks or evaluate is None:
            raise InvalidInput(
                f"no check of the stage '{STAGE}' looks at predictions: nothing could gate a batch deployment",
                hint="add a metric with a threshold, and evaluate to mlops.yml", file=self.policy.file,
            )  # fmt: skip
        self.policy = replace(self.policy, stages={**self.policy.stages, STAGE: replace(stage, checks=checks)})
        shape = predictions.Shape(evaluate.target, evaluate.positive_label, group_columns(union(checks)))
        given: Path = self.context.need(self.context.project.get("evaluate.data"), "evaluate.data")

        def load(deployment: str, *, beat: Callable[[], None]) -> Evidence:
            self.report = self._judged(endpoint, deployment, at_hand(self.context, given), shape, beat)
            return Evidence()

        def decide(evidence: Evidence, *, final: bool) -> GateReport:
            del evidence, final
            if self.report is None:
                raise AssertionError("it was asked first")
            return self.report

        def stands(evidence: Evidence, *, final: bool) -> Standing:
            del evidence, final
            return Standing()

        return {
            "rollout": Rollout(steps=(100,), interval=0.0, bake=0.0, keep_old=keep_old, poll=2.0),
            "smoke": Smoke(0, 0), "golden": (), "sample": None, "load": load, "deploy_gate": decide,
            "canary_gate": stands, "enrich": None,
        }  # fmt: skip

    def _judged(
        self, endpoint: Any, deployment: str, data: Path, shape: predictions.Shape, beat: Callable[[], None]
    ) -> GateReport:
        """Have the deployment answer the data, and judge the answers; the report's evidence is stored."""
        context, work = self.context, self.context.report_dir / "batch"
        work.mkdir(parents=True, exist_ok=True)
        features = () if self.own_script else feature_names(self.folder)
        sent, rows = batch.write_input(data, work, features=features, without=(shape.target,))
        context.say(f"{deployment} answers {rows} rows of {data.name} by a job")
        answered = endpoint.answers(deployment, sent, work, beat=beat, seconds=Rollout.step_timeout)
        ready, scored = work / "predictions.parquet", batch.read_answers(answered, rows, work / "scored.parquet")
        predictions.join(data, scored, shape, ready)
        champion, policy = find_champion(context, self.policy), self.policy
        if champion is not None and champion.digest == self.version.digest:  # it serves already, in another deployment
            settings = msgspec.structs.replace(policy.settings.champion, when_absent="bootstrap")
            policy = replace(policy, settings=msgspec.structs.replace(policy.settings, champion=settings))
            champion = None
        asked = Asked(
            step=context.step, stage=STAGE, model=self.folder, digest=self.version.digest, data=data, champion=champion,
            fetch=lambda version, into: context.backend.fetch(version, into), predictions=ready,
        )  # fmt: skip
        return judge_asked(asked, context, policy, self.raw)[0]
