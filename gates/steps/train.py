"""Run the training job and record what the model came from.

The job is an Azure ML CLI v2 YAML file. Its log is streamed, its model (an MLflow model folder) fetched and identified
by the sha256 of its bytes; metrics, environment, fingerprints of the data, the git commit and a reference profile for
drift-check are recorded in the model's lineage.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from gates.collect.signature import feature_names
from gates.errors import GatesError
from gates.files import write_whole
from gates.inputs import option, output
from gates.lineage import dvc
from gates.lineage.audit import Event
from gates.lineage.digest import file_digest, folder_sums, sums_digest
from gates.lineage.fingerprint import as_data, fingerprint
from gates.lineage.record import Data, Environment, Training
from gates.lineage.statement import train_statement
from gates.steps import judged, records, state
from gates.steps.execute import values_of
from gates.steps.step import Common, CommonOutputs, Context, Ended, done, ended
from gates.steps.train_stage import judge_training

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from gates.backends import TrainedRun
    from gates.lineage.digest import FileSum

SUMMARY = "Run the training job and record what the model came from."
REASON = "gates.reason"
"""The tag of a job that says why it was trained; MLflow and Azure ML show it beside the run."""
VOLATILE = ("MLmodel",)
"""MLflow writes an id and a time into this file; see gates.lineage.grade."""


@dataclass(frozen=True, kw_only=True)
class Inputs(Common):
    job: Path | None = option("The Azure ML CLI v2 job file.", kind="path", config="train.job")
    compute: str = option("The compute that runs it, in place of the job's own; local: this machine.")
    timeout: float | None = option("End the job after this long, in place of the job's own limit.", kind="duration")
    environment: str = option(
        "current: your interpreter as it is; build: an environment built from the job's own, cached.",
        kind="choice", default="current", choices=("current", "build"),
    )  # fmt: skip
    reason: str = option("Why it is trained, e.g. drift-check's retrain-reason: becomes a tag of the job.")


@dataclass(kw_only=True)
class Outputs(CommonOutputs):
    run_id: str = output("The MLflow run of the job.")
    job_url: str = output("Where the run can be looked at.")
    model_path: str = output("The model's folder.")
    model_digest: str = output("sha256 of the model's bytes: its identity from here on.")
    metrics_path: str = output("The metrics that the job logged, as a metrics file.")
    outputs_path: str = output("The folder of the job's outputs.")
    lineage_path: str = output("The folder of the model's lineage.")


def run(inputs: Inputs, context: Context, out: Outputs) -> Ended:
    """Train, identify, record, judge the stage 'train' when the policy has one."""
    job: Path = context.need(inputs.job, "train.job")
    started = context.now()
    policy, raw = _policy(context)
    train = context.project.settings.train
    with context.group(f"train: {job.name}"):
        trained = context.backend.train(
            job,
            model_output=train.model if train else "model",
            compute=inputs.compute,
            timeout=inputs.timeout,
            environment=inputs.environment,
            tags={REASON: inputs.reason} if inputs.reason else {},
            on_line=context.say,
        )
    for message in trained.notes:
        context.platform.annotate("warning", message)
    sums = folder_sums(trained.model)
    out.run_id, out.job_url = trained.run_id, trained.job_url
    out.model_path, out.model_digest = str(trained.model), sums_digest(sums)
    out.outputs_path = str(trained.outputs)
    out.metrics_path = str(_write_metrics(context, trained))
    out.lineage_path = str(_record(context, job, trained, sums, started, inputs.reason))
    report = (
        judge_training(context, policy, trained, out.model_digest, raw)
        if policy and "train" in policy.stages
        else done(context, stage="train", policy=policy, model=out.model_digest)
    )
    shown = {**values_of(out, "run_id", "job_url", "model_path", "model_digest"), **_figures(trained.metrics)}
    context.write_report(report, out, shown, policy_file=policy.file if policy else None)
    end = ended(report) if report.checks else Ended()
    if end.exit_code == 0:
        state.remember(context, "train", model=out.model_path, digest=out.model_digest, run_id=trained.run_id)
        return Ended(message=f"trained {context.project.settings.model}: {out.model_digest} in {trained.seconds:.0f} s")
    return end


def _policy(context: Context) -> tuple[Any, bytes]:
    """The policy when there is one; train needs none, but a broken one must be said before hours of training."""
    path: Path = context.project.get("policy")
    return judged.load_policy(context, path) if path.is_file() else (None, b"")


def _write_metrics(context: Context, trained: TrainedRun) -> Path:
    path = context.report_dir / "metrics.json"
    write_whole(path, json.dumps({"metrics": dict(sorted(trained.metrics.items()))}, indent=2) + "\n")
    return path


def _figures(metrics: Any) -> dict[str, str]:
    return {name: f"{value:.4g}" for name, value in sorted(metrics.items())[:20]}


def _record(
    context: Context, job: Path, trained: TrainedRun, sums: tuple[FileSum, ...], started: datetime, reason: str
) -> Path:
    """Write the train statement and the reference profile; note the event."""
    digest = sums_digest(sums)
    folder = records.lineage_of(context, digest)
    training, code_time = training_of(context, job, trained, sums, started)
    statement = records.seal(context, folder, train_statement(training, audit_head=records.audit(context).head()))
    records.note(
        context,
        Event(
            kind="trained", at=records.now(context), model_name=training.model_name, model=digest,
            data=tuple(d for item in training.data for d in (item.sha256, item.content) if d),
            code=training.code.commit if training.code else "", code_time=code_time,
            environment=training.environment.lock or "", statement=statement.digest,
            actor=training.run.actor, run=training.run.url or trained.run_id, reason=reason,
        ),
    )  # fmt: skip
    _profile(context, trained, folder.path, digest)
    return folder.path


def training_of(
    context: Context, job: Path, trained: TrainedRun, sums: tuple[FileSum, ...], started: datetime
) -> tuple[Training, str]:
    """What was trained from what, as the train statement says it; and when its code was committed."""
    data = tuple(
        _fingerprint(name, path, trained.assets.get(name), context) for name, path in sorted(trained.inputs.items())
    )
    code, code_time = records.code_of(context, trained.code)
    environment = trained.environment
    champion = context.backend.find(context.project.settings.model, alias="champion")
    training = Training(
        model_name=context.project.settings.model,
        files=sums,
        environment=Environment(
            python=str(environment.get("python", "")),
            lock=environment.get("lock"),
            installed=tuple(environment.get("installed", ())),
            platform=str(environment.get("platform", "")),
            image=environment.get("image"),
            declared=tuple(environment.get("declared", ())),
            differences=tuple(environment.get("differences", ())),
        ),
        run=records.run_of(context, started),
        job=_relative(job, context),
        job_digest=file_digest(job),
        code=code,
        data=data,
        parameters=dict(trained.params),
        metrics=dict(trained.metrics.items()),
        champion=champion.digest if champion else None,
        volatile=VOLATILE,
    )
    return training, code_time


def _fingerprint(name: str, path: Path, asset: str | None, context: Context) -> Data:
    found = dvc.recorded(path)
    data = as_data(name, fingerprint(path), dvc=str(found) if found else None)
    return replace(data, path=_relative(path, context), asset=asset)


def _profile(context: Context, trained: TrainedRun, folder: Path, digest: str) -> None:
    """The reference profile of the first tabular input that holds the model's features."""
    from gates.drift import profile, source

    features = feature_names(trained.model)
    for name, path in {**trained.read, **trained.inputs}.items():  # in a pipeline, what the training step read
        try:
            table = source.open_source(path)
        except GatesError:
            continue  # not a table: a configuration file, images
        columns = [column for column in table.names if column in features] if features else list(table.names)
        if columns and (not features or len(columns) == len(features)):
            made = profile.build(table, columns=columns, data_digest=file_digest(path), model_digest=digest)
            write_whole(folder / records.PROFILE, made.to_bytes())
            context.say(f"reference profile of {len(columns)} columns from input '{name}'")
            return
    context.platform.annotate(
        "warning", "no input of the job is a table with the model's features; drift-check will need --reference"
    )


def _relative(path: Path, context: Context) -> str:
    try:
        return path.resolve().relative_to(context.project.folder.resolve()).as_posix()
    except ValueError:
        return path.name
