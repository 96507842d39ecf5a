"""A gate sent to where the data is: a job on the workspace's compute judges, and its report is fetched and held to it.

The job runs this very package, which travels with it. What comes back must name the policy, the model, the champion
and the data that were asked for, and have the digest that the job says; anything else is no report. Only figures come
back: the rows that were scored stay in the workspace, so `gates replay` needs them fetched from there.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import yaml

import gates
from gates.canonical import digest as canonical_digest
from gates.collect.gather import union
from gates.document import load_json
from gates.errors import Conflict, GatesError, Inconclusive, InvalidInput, JobFailed, Refused, Unavailable
from gates.files import write_whole
from gates.inputs import remote
from gates.lineage.digest import file_digest, hexdigest
from gates.reports.json import SCHEMA
from gates.runtime.scoring import model_requirements
from gates.steps import records
from gates.steps.gate_inside import BASELINE, ENDED, POLICY, REPORT, REQUEST, STAYS, Champion, Request
from gates.verdict import GateReport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gates.policy import Policy
    from gates.steps.gating import Asked
    from gates.steps.step import Context

IMAGE = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04"
SERVERLESS = "serverless"
NEEDS = (
    "msgspec>=0.19,<1", "pyyaml>=6.0.1,<7", "rfc8785>=0.1.4,<0.2", "numpy>=1.26,<3", "pyarrow>=16", "scipy>=1.11,<2",
)  # fmt: skip
"""What this package needs to judge: its dependencies and those of its extra `stats`."""
_ENDS: dict[str, type[GatesError]] = {
    kind.outcome: kind for kind in (Refused, InvalidInput, Inconclusive, Unavailable, Conflict)
}


def judge_there(
    asked: Asked, context: Context, policy: Policy, raw: bytes, compute: str
) -> tuple[GateReport, bytes, str]:
    """The report, the baseline of drift-check, and where the rows stand. raw: the policy's bytes.

    Raises what the gate raised there; Unavailable when the job failed or what came back is not what was asked for.
    """
    _possible(asked)
    home = context.state_dir / "azureml" / "gates" / hexdigest(asked.digest)[:16] / asked.stage
    shutil.rmtree(home, ignore_errors=True)
    request = _request(asked, context, policy)
    _stage(home, asked, context, policy, raw, request, compute)
    try:
        with context.group(f"{context.step} on {compute}"):
            ran = context.backend.run_there(home / "validate-gate.yml", output="report", on_line=context.say)
    except JobFailed as error:
        for line in error.tail[-10:]:
            context.say(f"  | {line}")
        raise Unavailable(
            f"the gate's {error.what}", hint="its log's end is above; the environment or the compute is at fault"
        ) from error
    report = _held_to(ran.folder, request)
    _keep(report, ran.folder / "evidence", context.report_dir / "evidence")
    file = ran.folder / BASELINE
    found = file.read_bytes() if file.is_file() else b""
    return report, found, f"azureml://jobs/{ran.name}/outputs/rows"


def _keep(report: GateReport, came: Path, into: Path) -> None:
    """The evidence that may leave the workspace, each file with the digest that the report names."""
    wanted = {hexdigest(item.sha256) for item in report.evidence if item.name not in STAYS}
    here = {path.name: path for path in came.iterdir()} if came.is_dir() else {}
    bad = sorted(wanted - here.keys()) + sorted(name for name in here if file_digest(here[name]) != f"sha256:{name}")
    if bad:
        raise Unavailable(f"evidence of the gate's job is missing or was changed: {', '.join(bad)}", hint="gate again")
    into.mkdir(parents=True, exist_ok=True)
    for name, path in here.items():
        shutil.copyfile(path, into / name)


def _possible(asked: Asked) -> None:
    """What only this machine can do is said before anything is sent."""
    here = {
        "--predictions": asked.predictions, "--champion-predictions": asked.champion_predictions,
        "--metrics": asked.metrics, "--python": asked.python,
    }  # fmt: skip
    named = next((flag for flag, value in here.items() if value), "")
    if named:
        raise InvalidInput(
            f"{named}: a gate on the workspace's compute scores there, with the model's own environment",
            hint=f"leave out {named}, or --gate-compute (evaluate.compute)",
        )
    if asked.model is None:
        raise InvalidInput("nothing says which model to judge", hint="give --model, or run `gates train` first")
    if asked.data is None:
        raise InvalidInput("nothing says what 'evaluate.data' is", hint="add the key evaluate.data, or give --data")
    if not remote(asked.data) and not asked.data.is_file():
        raise InvalidInput("no such data file", file=asked.data)


def _request(asked: Asked, context: Context, policy: Policy) -> Request:
    assert asked.data is not None  # noqa: S101  # _possible has seen to it
    version = asked.champion
    return Request(
        step=asked.step, stage=asked.stage, day=context.now().date().isoformat(), source=policy.source,
        policy=policy.digest, model=asked.digest, data="" if remote(asked.data) else file_digest(asked.data),
        champion=None if version is None else Champion(
            name=version.name, version=version.version, digest=version.digest, uri=version.uri
        ),
        approvals=asked.approvals, version=asked.version,
    )  # fmt: skip


def _stage(
    home: Path, asked: Asked, context: Context, policy: Policy, raw: bytes, request: Request, compute: str
) -> None:
    """`home/validate-gate.yml` and, in `home/code`, what goes with it."""
    code = home / "code"
    shutil.copytree(Path(gates.__file__).parent, code / "gates", ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    write_whole(code / POLICY, raw)
    write_whole(code / REQUEST, msgspec.json.encode(request, order="deterministic"))
    write_whole(code / "mlops.yml", json.dumps(_project(context)))
    lineage = records.lineage_of(context, asked.digest).path
    if lineage.is_dir():
        shutil.copytree(lineage, code / "state" / "lineage" / lineage.name)
    for path in _needed(asked, context, policy):
        target = code / path.relative_to(context.project.folder.resolve())
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(path, target) if path.is_dir() else shutil.copyfile(path, target)
    job = _job(asked, context, compute)
    write_whole(home / "conda.yml", yaml.safe_dump(_environment(Path(str(asked.model)))))
    write_whole(home / "validate-gate.yml", yaml.safe_dump(job, sort_keys=False))


def _project(context: Context) -> dict[str, Any]:
    """mlops.yml as far as judging needs it."""
    settings = context.project.settings
    kept: dict[str, Any] = {"version": 1, "model": settings.model, "policy": POLICY}
    if settings.evaluate is not None:
        kept["evaluate"] = {**msgspec.to_builtins(settings.evaluate), "compute": None, "predictions": None}
    return kept


def _needed(asked: Asked, context: Context, policy: Policy) -> Iterator[Path]:
    """Files of the project that checks of the stage read: findings of tools, and code of the user's own figures."""
    folder = context.project.folder.resolve()
    for need in union(policy.stages[asked.stage].checks):
        wanted: list[Path] = []
        if need.kind == "findings":
            wanted = [folder / need.name]
        elif need.kind == "metric" and need.options.get("source") == "import_path":
            top = need.name.partition(":")[0].partition(".")[0]
            wanted = [folder / top, folder / f"{top}.py"]
        for path in wanted:
            if path.exists() and path.resolve().is_relative_to(folder):
                yield path


def _job(asked: Asked, context: Context, compute: str) -> dict[str, Any]:
    data = str(asked.data)
    inputs: dict[str, Any] = {
        "model": {"type": "uri_folder", "path": str(asked.model)},
        "data": {"type": "uri_file", "path": remote(Path(data)) or data},
    }
    command = (
        f"python -m gates gate-inside --request {REQUEST} --config mlops.yml --state-dir state --report-dir judged"
        " --model ${{inputs.model}} --data ${{inputs.data}} --into ${{outputs.report}}"
        " --rows-into ${{outputs.rows}}"
    )
    if asked.champion is not None and asked.champion.digest != asked.digest:
        inputs["champion"] = {"type": "mlflow_model", "path": asked.champion.uri}
        command += " --champion-model ${{inputs.champion}}"
    name = context.project.settings.model
    job = {
        "type": "command", "experiment_name": f"{name}-gate", "display_name": f"{context.step} {asked.stage} {name}",
        "tags": {"gates.model_digest": asked.digest}, "code": "code", "command": command, "inputs": inputs,
        "outputs": {"report": {"type": "uri_folder"}, "rows": {"type": "uri_folder"}},
        "environment": {"image": IMAGE, "conda_file": "conda.yml"},
    }  # fmt: skip
    return job if compute == SERVERLESS else {**job, "compute": f"azureml:{compute.removeprefix('azureml:')}"}


def _environment(model: Path) -> dict[str, Any]:
    """The model's own requirements, and ours where they leave room: one environment, so that nothing is built later."""
    named = model_requirements(model)
    pinned = {_name(line) for line in named}
    ours = [line for line in NEEDS if _name(line) not in pinned]
    return {
        "name": "gate", "channels": ["conda-forge"],
        "dependencies": [f"python={sys.version_info.major}.{sys.version_info.minor}", "pip", {"pip": [*named, *ours]}],
    }  # fmt: skip


def _name(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[^A-Za-z0-9._-]", requirement.strip(), maxsplit=1)[0]).lower()


def _held_to(folder: Path, request: Request) -> GateReport:
    """The report that came back. Raises what the gate raised, and Unavailable for one that is not what was asked."""
    ended = load_json(folder / ENDED, "the gate's end")
    if ended.get("outcome") != "judged":
        kind = _ENDS.get(str(ended.get("outcome")), Unavailable)
        raise kind(str(ended.get("what") or "the gate ended badly"), hint=str(ended.get("hint") or ""))
    said: Any = load_json(folder / REPORT, "the gate's report")
    try:
        result = said["result"]
        report = GateReport.from_json(result)
        same = said["schema"] == SCHEMA and canonical_digest(report.to_json()) == canonical_digest(result)
        whose = {
            "digest": canonical_digest(result), "step": report.step, "stage": report.stage,
            "policy": report.policy["digest"], "source": report.policy["source"], "model": report.model["digest"],
            "champion": (report.champion or {}).get("digest"), "data": report.data["digest"],
        }  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unavailable(f"what the gate's job left is no report: {error!r}", hint="gate again") from error
    asked = {
        "digest": ended.get("digest"), "step": request.step, "stage": request.stage, "policy": request.policy,
        "source": request.source, "model": request.model,
        "champion": request.champion.digest if request.champion else None, "data": request.data or whose["data"],
    }  # fmt: skip
    differ = [key for key in asked if asked[key] != whose[key]]
    if differ or not same or not whose["data"]:
        raise Unavailable(
            f"the report that came back is not of what was asked: {', '.join(differ) or 'its form'} differs",
            hint="somebody changed the job's output; gate again",
        )
    return report
