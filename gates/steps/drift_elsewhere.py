"""Current data compared where it lies: a Spark job of the workspace counts, and the policy judges here by its counts.

The reference must be a recorded profile: it goes along, with this very package; counts and figures a column come back.
"""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import yaml

import gates
from gates.collect import drift_driver
from gates.collect.drift_driver import Asked, Found
from gates.collect.gather import union
from gates.errors import InvalidInput, JobFailed, Unavailable
from gates.files import write_whole
from gates.inputs import remote
from gates.steps.drift_evidence import PROFILE_SUFFIX, columns_listed
from gates.steps.gate_elsewhere import NEEDS, SERVERLESS

if TYPE_CHECKING:
    from gates.policy import Stage
    from gates.steps.step import Context

ENTRY, PACKAGE = "drift_driver.py", "gates.zip"
RUNTIME = "3.4"
INSTANCE = "standard_e4s_v3"
SIZES = {
    "spark.driver.cores": 1, "spark.driver.memory": "4g", "spark.executor.cores": 2, "spark.executor.memory": "6g",
    "spark.executor.instances": 2,
}  # fmt: skip
COLLECTOR = "modelDataCollector/"
"""What stands in the path of everything that Azure's data collector writes."""


def compare_there(
    context: Context, stage: Stage, profile: Path, current: Path, time_column: str, compute: str
) -> Found:
    """What a Spark job found. InvalidInput where the data is not in the workspace; Unavailable when the job failed."""
    where = remote(current)
    if not where:
        raise InvalidInput(
            f"--drift-compute: {current} is a path of this machine", hint="name azureml:NAME:VERSION, or leave it out"
        )
    if profile.suffix != PROFILE_SUFFIX:
        raise InvalidInput(
            "--drift-compute: the reference must be the profile that training recorded", hint="write reference: profile"
        )
    home = context.state_dir / "azureml" / "drift"
    shutil.rmtree(home, ignore_errors=True)
    _stage(home, _asked(context, stage, time_column, where), profile)
    write_whole(home / "drift-check.yml", yaml.safe_dump(_job(context, where, compute), sort_keys=False))
    try:
        with context.group(f"{context.step} on {compute}"):
            ran = context.backend.run_there(home / "drift-check.yml", output="found", on_line=context.say)
    except JobFailed as error:
        raise Unavailable(f"the comparison's {error.what}", hint="see its log in the studio") from error
    return _read(ran.folder)


def _asked(context: Context, stage: Stage, time_column: str, where: str) -> Asked:
    listed, every = columns_listed([need for need in union(stage.checks) if need.kind == "drift"])
    evaluate = context.project.settings.evaluate
    return Asked(
        columns=tuple(listed), every=every, left=tuple(filter(None, (time_column, "row_id"))),
        target=evaluate.target if evaluate else "", collected=COLLECTOR in where,
    )  # fmt: skip


def _stage(home: Path, asked: Asked, profile: Path) -> None:
    code, package = home / "code", Path(gates.__file__).parent
    code.mkdir(parents=True)
    shutil.copyfile(Path(drift_driver.__file__), code / ENTRY)
    shutil.copyfile(profile, code / drift_driver.PROFILE)
    write_whole(code / drift_driver.ASKED, msgspec.json.encode(asked))
    with zipfile.ZipFile(code / PACKAGE, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(package.rglob("*.py")):
            archive.writestr(zipfile.ZipInfo(f"gates/{path.relative_to(package).as_posix()}"), path.read_bytes())
    conda = {"name": "drift", "channels": ["conda-forge"], "dependencies": ["python=3.10", "pip", {"pip": [*NEEDS]}]}
    write_whole(home / "conda.yml", yaml.safe_dump(conda))


def _job(context: Context, where: str, compute: str) -> dict[str, Any]:
    name = context.project.settings.model
    job = {
        "type": "spark", "experiment_name": f"{name}-drift", "display_name": f"{context.step} {name}", "code": "code",
        "entry": {"file": ENTRY}, "py_files": [PACKAGE], "conf": SIZES,
        "files": [drift_driver.PROFILE, drift_driver.ASKED],
        "inputs": {"current": {"type": "uri_folder", "path": where, "mode": "direct"}},
        "outputs": {"found": {"type": "uri_folder", "mode": "direct"}},
        "args": "--current ${{inputs.current}} --found ${{outputs.found}} --beside .",
        "environment": {"image": "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04", "conda_file": "conda.yml"},
    }  # fmt: skip
    if compute == SERVERLESS:
        return {**job, "resources": {"instance_type": INSTANCE, "runtime_version": RUNTIME}}
    return {**job, "compute": f"azureml:{compute.removeprefix('azureml:')}"}


def _read(folder: Path) -> Found:
    """What the driver wrote: one line of text in one of Spark's parts."""
    lines = [line for part in sorted(folder.rglob("part-*")) for line in part.read_text(encoding="utf-8").splitlines()]
    try:
        found = msgspec.json.decode("".join(lines), type=Found)
    except msgspec.DecodeError as error:
        raise Unavailable(f"what the Spark job left is no comparison: {error}", hint="check drift again") from error
    if found.outcome == "invalid":
        raise InvalidInput(found.error, hint=found.hint)
    if found.outcome != "compared" or not found.columns:
        raise Unavailable(found.error or "the Spark job compared nothing", hint=found.hint)
    return found
