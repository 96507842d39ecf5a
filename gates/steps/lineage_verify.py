"""Verify what is recorded of a model: its bytes, its statements and signatures, the registry's tags, the audit log, and
that every recorded digest of code, data and environment is computed again from what it names.

With --reproduce the recorded job is run again here, nothing of it is registered, and the outcome is graded: R1 the same
files but for those that hold ids and times, R2 the same predictions bit by bit, R3 metrics within --tolerance, R4
another model. R0 is what a verification without --reproduce can say at most.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gates.errors import InvalidInput, Refused
from gates.inputs import number, option
from gates.lineage import grade as grading
from gates.lineage.digest import SUMS_NAME, FileSum, file_digest, folder_sums, model_digest
from gates.lineage.fingerprint import fingerprint
from gates.lineage.sign import seal
from gates.lineage.statement import compose, read_statement, train_statement
from gates.lineage.verify import verify_recorded
from gates.runtime import scoring
from gates.runtime.environments import find_user_python
from gates.steps import judged, records, sharing
from gates.steps.lineage_show import version_of
from gates.steps.step import Common, CommonOutputs, Context, Ended
from gates.steps.train import training_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gates.lineage.folder import LineageFolder
    from gates.lineage.record import Lineage
    from gates.lineage.statement import Statement
    from gates.lineage.verify import Verification
    from gates.policy import Policy

GRADES = ("R0", "R1", "R2", "R3", "R4")


@dataclass(frozen=True, kw_only=True)
class Inputs(Common):
    version: str = option("The registered version. Default: the champion.")
    model: Path | None = option("A model folder, in place of a registered version.", kind="path")
    reproduce: bool = option("Train again from what is recorded, and grade.", kind="bool", default=False)
    tolerance: tuple[str, ...] = option(
        "Largest difference of each metric for R3, e.g. train_accuracy=0.01,auc=0.02.", kind="list", default=()
    )
    at_least: str = option(
        "With --reproduce: the grade that is good enough.", kind="choice", default="R3", choices=("R1", "R2", "R3")
    )


@dataclass(kw_only=True)
class Outputs(CommonOutputs):
    """The common ones; what was found is on stdout."""


def run(inputs: Inputs, context: Context, out: Outputs) -> Ended:  # noqa: ARG001  # a query's answer is its text
    tolerances = dict(_tolerance(item) for item in inputs.tolerance)
    path: Path = context.project.get("policy")
    policy = judged.load_policy(context, path)[0] if path.is_file() else None
    with tempfile.TemporaryDirectory(prefix="gates-verify-") as temporary:
        model, lineage, tags = _subject(inputs, context, Path(temporary))
        found = verify_recorded(
            model, lineage, tags=tags, trusted=records.trusted(policy) if policy else (),
            audit=sharing.log_behind(context, lineage),
        )  # fmt: skip
        problems = [str(problem) for problem in found.problems]
        problems += _openssf(policy, model, lineage)
        graded = None
        if not problems:
            composite = lineage.composite()
            problems += grading.parity(
                composite, model=model, data=_data(composite, context), found=_found(composite, context)
            )
            if inputs.reproduce:
                graded = reproduce(context, lineage.statements(), model, tolerances)
    return _ended(inputs, found, problems, graded)


def _ended(inputs: Inputs, found: Verification, problems: list[str], graded: grading.Grade | None) -> Ended:
    good = graded is None or GRADES.index(graded.grade) <= GRADES.index(inputs.at_least)
    answer = {
        "model": found.model_digest, "signed": found.signed, "problems": problems,
        "grade": graded.grade if graded else None, "reasons": list(graded.reasons) if graded else [],
    }  # fmt: skip
    if inputs.json:
        text = json.dumps(answer, indent=2, ensure_ascii=False)
    else:
        lines = [f"model   {found.model_digest or '–'}", f"signed  {found.signed}"]
        lines += [f"WRONG   {problem}" for problem in problems] or ["parity  every recorded digest was found again"]
        if graded:
            lines += [f"grade   {graded.grade}", *(f"        {reason}" for reason in graded.reasons)]
        text = "\n".join(lines)
    if problems:
        return Ended("refused", 1, f"not what was recorded: {problems[0]}", text)
    if not good and graded:
        return Ended("refused", 1, f"the grade is {graded.grade}, not at least {inputs.at_least}", text)
    return Ended(text=text)


def _subject(inputs: Inputs, context: Context, beside: Path) -> tuple[Path, LineageFolder, Mapping[str, str] | None]:
    """The bytes, their lineage, and the registry's tags where it is a registered version."""
    if inputs.model is not None:
        return inputs.model, records.lineage_of(context, model_digest(inputs.model)), None
    version = version_of(inputs.version, context)
    folder: Path = context.backend.fetch(version, beside / "model")
    return folder, records.fetched_lineage(context, version), version.tags


def _openssf(policy: Policy | None, model: Path, lineage: LineageFolder) -> list[str]:
    try:
        if policy is not None:
            records.require_openssf(policy, model, lineage)
    except Refused as error:
        return [str(error)]
    return []


def _data(composite: Lineage, context: Context) -> dict[str, Path]:
    """Where the recorded data stands now; what is not there does not resolve."""
    places = {str(item["name"]): context.project.folder / str(item.get("path", "")) for item in composite.data}
    return {name: place for name, place in places.items() if place.exists()}


def _found(composite: Lineage, context: Context) -> dict[str, str]:
    """What the recorded commit and lock are here: the commit from git, the lock from the packages that were listed."""
    found = {}
    if composite.code_commit:
        commit = records.git(
            context, context.project.folder, "rev-parse", "--verify", "--quiet", f"{composite.code_commit}^{{commit}}"
        )
        if commit:
            found["code_commit"] = commit
    if composite.environment_lock:
        found["environment_lock"] = records.lock_digest(composite.environment.get("installed", ()))
    return found


def reproduce(
    context: Context, statements: tuple[Statement, ...], model: Path, tolerances: Mapping[str, float]
) -> grading.Grade:
    """Run the recorded job again and grade what came out. Nothing is recorded of it."""
    then = compose(statements)
    asked = statements[0].predicate["buildDefinition"]["externalParameters"]["job"]
    job = context.project.folder / str(asked["path"])
    if not job.is_file():
        raise InvalidInput("the recorded job is not there", hint="check out the recorded commit", file=job)
    train = context.project.settings.train
    started = context.now()
    trained = context.backend.train(
        job, model_output=train.model if train else "model", compute="", timeout=None, environment="current",
        on_line=context.say,
    )  # fmt: skip
    sums = folder_sums(trained.model)
    training, _ = training_of(context, job, trained, sums, started)
    now = compose([read_statement(seal(train_statement(training), None))])
    inputs = (
        {**grading.inputs_of(then), "job": f"sha256:{asked['digest']['sha256']}"},
        {**grading.inputs_of(now), "job": file_digest(job)},
    )
    recorded = tuple(FileSum(name, sha) for name, sha in statements[0].subjects.items() if name != SUMS_NAME)
    return grading.grade(
        inputs,
        grading.Outcome(recorded, predictions=_probe(context, model), metrics=then.metrics),
        grading.Outcome(sums, predictions=_probe(context, trained.model), metrics=now.metrics),
        volatile=then.volatile, tolerances=tolerances,
    )  # fmt: skip


def _probe(context: Context, model: Path) -> str | None:
    """The digest of the model's answers on the evaluation data, bit by bit; None where there is no such data."""
    data: Path | None = context.project.get("evaluate.data")
    evaluate = context.project.settings.evaluate
    if data is None or evaluate is None:
        return None
    with tempfile.TemporaryDirectory(prefix="gates-probe-") as fresh:  # no answer of another day
        answers = Path(fresh) / "answers.parquet"
        scoring.score_model(
            model, data, python=find_user_python(context.env, context.python), out=answers, env=context.env,
            cache=context.state_dir / "cache" / "environments", function=evaluate.score, timings=0, say=context.say,
        )  # fmt: skip
        return fingerprint(answers).content


def _tolerance(item: str) -> tuple[str, float]:
    name, _, allowed = item.partition("=")
    if not name or not allowed:
        raise InvalidInput(f"--tolerance: '{item}' is not a tolerance", hint="write metric=0.01")
    return name, number(allowed, "--tolerance")
