"""From what was found to the files to write, and to what a person should look at."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gates.errors import InvalidInput
from gates.scaffold import found as finding
from gates.scaffold import policy, starter, table, texts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gates.scaffold.found import Found, Script
    from gates.scaffold.table import Table

TRAIN_DATA, MODEL_OUT = "${{inputs.train_data}}", "${{outputs.model}}"


@dataclass(frozen=True)
class Wishes:
    """What somebody said; empty texts are found out. Paths are absolute or None."""

    name: str = ""
    platforms: tuple[str, ...] = ()
    job: Path | None = None
    data: Path | None = None
    target: str = ""
    owner: str = ""


@dataclass
class Plan:
    """files: text by path; lines: a line that a file must hold, added where it lacks; found, look: for people;
    steps: those that can be run already, "" for all."""

    files: dict[str, str] = field(default_factory=dict)
    lines: dict[str, str] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)
    look: list[str] = field(default_factory=list)
    steps: str = ""


def make(found: Found, wishes: Wishes) -> Plan:
    """Everything that a repository needs to be gated. Raises errors.InvalidInput for a wish that cannot be had."""
    plan = Plan()
    name = _name(wishes.name or found.repository)
    if _empty(found, wishes):
        plan.files |= starter.files()
        plan.look.append(
            "there was no training job, no script and no data: src and data hold a made-up model to start from"
        )
        return _with_starter(plan, found, wishes, name)
    used = _used(found, wishes)
    judged, warning = (wishes.data, "") if wishes.data else table.held_out(found.tables, used)
    if warning:
        plan.look.append(warning)
    shown = _table(found, wishes, judged, plan)
    training = next(iter(used), None) or table.training(found.tables)
    job, model = _job(found, wishes, name, training, shown, plan)
    parts = _Parts(job, model, shown, judged, table.current(found.tables))
    return _rest(plan, found, wishes, name, parts)


@dataclass(frozen=True)
class _Parts:
    """What the files speak of. judged, current: data that is there; job is relative to the repository."""

    job: str
    model: str
    shown: Table | None
    judged: Path | None
    current: Path | None


def _empty(found: Found, wishes: Wishes) -> bool:
    return not (found.jobs or found.script or found.tables or wishes.job or wishes.data)


def _name(said: str) -> str:
    """A model's and an endpoint's name: letters, digits and dashes, 3 to 32 of them (an Azure ML endpoint's rule)."""
    clean = re.sub(r"[^a-z0-9]+", "-", said.lower()).strip("-")
    clean = re.sub(r"^[^a-z]+", "", clean)[:32].rstrip("-")
    return clean if len(clean) >= 3 else f"{clean or 'my'}-model"


def _used(found: Found, wishes: Wishes) -> list[Path]:
    """The tables that the training job reads."""
    job = wishes.job or next(iter(found.jobs), None)
    return finding.inputs_of(found, job) if job is not None and job in found.documents else []


def _table(found: Found, wishes: Wishes, judged: Path | None, plan: Plan) -> Table | None:
    if judged is None:
        plan.look.append("no csv or parquet file was found: name the evaluation data with --data, and --target")
        return None
    shown, why = table.try_read(judged, wishes.target, found.requests)
    if shown is None:
        plan.look.append(f"the evaluation data could not be read: {why}")
        return None
    plan.found.append(f"{_inside(found, judged)}: evaluation data, {shown.rows:,} rows")
    said = {"binary": "two labels", "classes": "several labels", "numbers": "numbers"}[shown.task]
    plan.found.append(f"evaluate.target: {shown.target} ({shown.why_target}), {said}")
    if "guess" in shown.why_target:
        plan.look.append(f"evaluate.target in mlops.yml: {shown.target} is a guess")
    return shown


def _job(
    found: Found, wishes: Wishes, name: str, training: Path | None, shown: Table | None, plan: Plan
) -> tuple[str, str]:
    """The training job's path and its model output; a job is written where there is none."""
    job = wishes.job or next(iter(found.jobs), None)
    if job is not None:
        if not job.is_file():
            raise InvalidInput(f"--job: no file {job}", hint="name an Azure ML job file")
        model = finding.model_output(found.documents.get(job, {}))
        plan.found.append(f"{_inside(found, job)}: the training job; its output '{model}' is the model")
        return _inside(found, job), model
    script = found.script
    if script is None:
        plan.files |= {name: (starter.FOLDER / name).read_text(encoding="utf-8") for name in starter.FILES}
        plan.look.append("there was no training script: src/train.py trains a first model on any table")
        code, command = "../src", _starter_command(shown)
    else:
        plan.found.append(f"{_inside(found, script.path)}: the training script")
        code = os.path.relpath(script.path.parent, found.folder / "jobs")
        command = _command(script, training is not None, plan)
    if found.conda is None:
        plan.files["environment/conda.yml"] = texts.conda(name, _packages(found, plan))
    conda = found.conda or found.folder / "environment/conda.yml"
    data = os.path.relpath(training, found.folder / "jobs") if training else ""
    if training is None:
        plan.look.append("jobs/train.yml has no input: no data was found that the script could learn from")
    plan.files["jobs/train.yml"] = texts.job(
        name, code=code, command=command, data=data, conda=os.path.relpath(conda, found.folder / "jobs")
    )
    return "jobs/train.yml", "model"


def _starter_command(shown: Table | None) -> list[str]:
    target = shown.target if shown else starter.TARGET
    task = "numbers" if shown and shown.task == "numbers" else "classes"
    return ["python train.py", f"--train-data {TRAIN_DATA}", f"--model-out {MODEL_OUT}", f"--target {_shell(target)}",
            f"--task {task}"]  # fmt: skip


def _command(script: Script, data: bool, plan: Plan) -> list[str]:
    """The script with what its options say they take: a model's folder, training data."""
    command, known = [f"python {script.path.name}"], False
    for option, required in script.options:
        word = option.lstrip("-").lower()
        value = ""
        if re.search(r"model|^out(put)?([_-]?(dir|path|folder))?$|save|artifact", word):
            value, known = MODEL_OUT, True
        elif data and re.search(r"data|train|input", word) and not re.search(r"test|valid|eval|split|size", word):
            value = TRAIN_DATA
        elif required:
            plan.look.append(f"jobs/train.yml: {script.path.name} needs {option}; give it a value")
            value = "FILL_IN"
        if value:
            command.append(f"{option} {value}" if option.startswith("-") else value)
    if not known:
        plan.look.append(
            f"{script.path.name} has no option for the model's folder: let it save an MLflow model "
            "(mlflow.sklearn.save_model) to a folder that it is given, and pass " + MODEL_OUT + " in jobs/train.yml"
        )
    return command


def _shell(word: str) -> str:
    return word if re.fullmatch(r"[\w.-]+", word) else "'" + word.replace("'", "'\\''") + "'"


def _packages(found: Found, plan: Plan) -> Sequence[str]:
    """What the training code needs: the lines of its requirements, else the starter's."""
    if found.requirements is None:
        plan.files.setdefault("requirements.txt", "".join(f"{line}\n" for line in starter.REQUIREMENTS))
        return starter.REQUIREMENTS
    lines = (line.partition(" #")[0].strip() for line in found.requirements.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith(("#", "-"))]


def _with_starter(plan: Plan, found: Found, wishes: Wishes, name: str) -> Plan:
    """Around the starter's own files, which are not there yet."""
    shown = table.Table(
        path=found.folder / "data/test.csv", rows=starter.TABLES["data/test.csv"][0],
        columns=(("row_id", "integer"), ("age", "integer"), ("sex", "string"), ("income", "integer"),
                 ("debt", "integer"), ("months", "integer"), ("region", "string"), ("default", "integer")),
        complete=frozenset(("row_id", "age", "sex", "income", "debt", "months", "region", "default")),
        target=starter.TARGET, why_target="made up", task="binary", positive=1, sensitive=("sex",),
        sample=((0, 41, "f", 30_000, 9_000, 24, "north", 0), (1, 23, "m", 18_500, 21_000, 48, "west", 1)),
    )  # fmt: skip
    plan.files["environment/conda.yml"] = texts.conda(name, _packages(found, plan))
    plan.files["jobs/train.yml"] = texts.job(
        name, code="../src", command=_starter_command(shown), data="../data/train.csv", conda="../environment/conda.yml"
    )
    current = found.folder / "data/production.csv"
    return _rest(plan, found, wishes, name, _Parts("jobs/train.yml", "model", shown, shown.path, current))


def _rest(plan: Plan, found: Found, wishes: Wishes, name: str, parts: _Parts) -> Plan:
    endpoint, deployment = _endpoint(found, name, plan)
    sample = _sample(found, parts.shown, plan)
    current = _inside(found, parts.current) if parts.current else ""
    if not current:
        plan.look.append("no current data was found: set drift.current in mlops.yml, for drift-check")
    plan.files["mlops.yml"] = texts.mlops(
        name, job=parts.job, model=parts.model, table=parts.shown,
        data=_inside(found, parts.judged) if parts.judged else "", endpoint=endpoint, deployment=deployment,
        sample=sample, current=current,
    )  # fmt: skip
    plan.files["policy.yml"] = policy.text(name, parts.shown)
    plan.steps = "" if current else "train,validate-gate,register,deploy-blue-green"
    plan.files[".pre-commit-config.yaml"] = texts.PRE_COMMIT
    plan.files["pyproject.toml"] = texts.TOOLS
    plan.lines[".gitignore"] = texts.IGNORED
    _pipelines(plan, found, wishes, name, drift=bool(current))
    return plan


def _endpoint(found: Found, name: str, plan: Plan) -> tuple[str, str]:
    """The files of endpoint and deployment that are there, a pair where they can be paired; else new ones."""
    if found.endpoints:
        endpoint = found.endpoints[0]
        called = found.documents[endpoint].get("name")
        ours = [path for path in found.deployments if found.documents[path].get("endpoint_name") == called]
        deployment = next(iter([*ours, *found.deployments]), None)
        plan.found.append(f"{_inside(found, endpoint)}: the online endpoint")
        if deployment is not None:
            plan.found.append(f"{_inside(found, deployment)}: its deployment")
            return _inside(found, endpoint), _inside(found, deployment)
        plan.files["deploy/deployment.yml"] = texts.deployment(str(called or name))
        return _inside(found, endpoint), "deploy/deployment.yml"
    plan.files["deploy/endpoint.yml"] = texts.endpoint(name)
    plan.files["deploy/deployment.yml"] = texts.deployment(name)
    return "deploy/endpoint.yml", "deploy/deployment.yml"


def _sample(found: Found, shown: Table | None, plan: Plan) -> str:
    if found.requests:
        plan.found.append(f"{_inside(found, found.requests[0])}: a sample request")
        return _inside(found, found.requests[0])
    if shown is None:
        return ""
    plan.files["deploy/sample.json"] = texts.sample(shown)
    return "deploy/sample.json"


def _pipelines(plan: Plan, found: Found, wishes: Wishes, name: str, *, drift: bool) -> None:
    source, tests = _code(found, plan)
    requirements = (
        _inside(found, found.requirements) if found.requirements
        else "requirements.txt" if "requirements.txt" in plan.files else ""
    )  # fmt: skip
    for platform in wishes.platforms or found.platforms:
        if platform == "github":
            plan.files[".github/workflows/code.yml"] = texts.github_code(source, tests, requirements)
            plan.files[".github/workflows/pipeline.yml"] = texts.github_pipeline(name, requirements, drift=drift)
            owner = wishes.owner.lstrip("@") or found.owner
            if owner:
                plan.lines[".github/CODEOWNERS"] = texts.owners(owner)
            else:
                plan.look.append("no remote says who owns this: add a line '/policy.yml @PERSON' to .github/CODEOWNERS")
        else:
            plan.files["azure-pipelines.yml"] = texts.azure_pipeline(requirements)
            plan.files["azure-pipelines-code.yml"] = texts.azure_code(source, tests, requirements)
            plan.look.append(
                "Azure DevOps has no CODEOWNERS: add a branch policy that includes reviewers for /policy.yml"
            )


def _code(found: Found, plan: Plan) -> tuple[str, str]:
    """(the folder of the code, the folder of its tests or '')."""
    tests = next(
        (p for p in ("tests", "test", "unit-tests", "data-science/unit-tests") if (found.folder / p).is_dir()), ""
    )
    if any(name.startswith("tests/") for name in plan.files):
        tests = "tests"
    if "src/train.py" in plan.files or found.script is None:
        return "src", tests
    return _inside(found, found.script.path.parent), tests


def _inside(found: Found, path: Path) -> str:
    """As mlops.yml writes it: relative to the repository."""
    return os.path.relpath(path, found.folder)
