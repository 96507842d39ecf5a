"""Make a repository ready to be gated: what it has is found and used, what it lacks is written, nothing is asked.

Writes mlops.yml, policy.yml, the job, endpoint and deployment files that are missing, workflows or pipelines (the
model's code and data, and the five steps), a CODEOWNERS line for the policy, and a pre-commit hook. An Azure ML
repository, one made from mlops-v2 too, keeps its YAML files: they are found by their schema. A repository without any
model gets a small one that runs as it is. No file that is there is changed without `--force true`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gates.files import write_whole
from gates.inputs import option
from gates.steps.step import Common, CommonOutputs, Context, Ended

if TYPE_CHECKING:
    from pathlib import Path

    from gates.scaffold.plan import Plan

SUMMARY = "Make a repository ready: finds what is there, writes what is missing."


@dataclass(frozen=True, kw_only=True)
class Inputs(Common):
    name: str = option("The model's name. Default: the repository's.")
    platform: str = option(
        "Where its pipelines run. Default: where the remote is.", kind="choice",
        choices=("github", "azure-devops", "both"),
    )  # fmt: skip
    job: Path | None = option("The training job. Default: the Azure ML job file that makes a model.", kind="path")
    data: Path | None = option("The evaluation data, csv or parquet. Default: what is called test.", kind="path")
    target: str = option("The column to predict. Default: the one that a sample request lacks, or by its name.")
    owner: str = option("Who answers for the policy: a person or a team. Default: the remote's owner.")
    force: bool = option("Overwrite files that are there.", kind="bool", default=False)


@dataclass(kw_only=True)
class Outputs(CommonOutputs):
    """The common ones; the answer, on stdout, is what was found, written and kept."""


def run(inputs: Inputs, context: Context, out: Outputs) -> Ended:  # noqa: ARG001  # a query's answer is its text
    from gates.scaffold import found, plan

    folder = context.project.folder
    platforms = {"": (), "both": ("github", "azure-devops")}.get(inputs.platform, (inputs.platform,))
    wishes = plan.Wishes(
        inputs.name, platforms, inputs.job and inputs.job.resolve(), inputs.data and inputs.data.resolve(),
        inputs.target, inputs.owner,
    )  # fmt: skip
    made = plan.make(found.look(folder.resolve()), wishes)
    return Ended(text="\n".join(_write(folder, made, context.project.file.name, force=inputs.force)))


def _write(folder: Path, plan: Plan, config: str, *, force: bool) -> list[str]:
    """Write what is not there; one line a thing that was found, written, kept, or should be looked at."""
    said = [f"found  {line}" for line in plan.found]
    for name, text in sorted(plan.files.items()):
        name = config if name == "mlops.yml" else name  # noqa: PLW2901  # --config may call it otherwise
        path = folder / name
        if path.exists() and not force:
            said.append(f"kept   {name}: it is there already; --force true writes it anew")
            continue
        write_whole(path, text)
        said.append(f"wrote  {name}")
    for name, line in sorted(plan.lines.items()):
        path = folder / name
        before = path.read_text(encoding="utf-8") if path.is_file() else ""
        if line.split()[0] in (row.split()[0] for row in before.splitlines() if row.strip()):
            said.append(f"kept   {name}: it has a line for {line.split()[0]}")
            continue
        write_whole(path, before + ("\n" if before and not before.endswith("\n") else "") + line + "\n")
        said.append(f"wrote  {name}: {line}")
    said += [f"look   {line}" for line in plan.look]
    run = f"gates run --steps {plan.steps}" if plan.steps else "gates run"
    return [*said, f"next   gates policy check, then {run}"]
