"""What a Spark job of the workspace is asked, and what of its answer is taken."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import yaml
from small_project import DRIFT, MLOPS, VALIDATE, make

from gates import project
from gates.backends import RanThere
from gates.collect.drift_driver import Asked, Found
from gates.drift.found import ColumnDrift
from gates.drift.profile import build
from gates.drift.source import open_source
from gates.errors import InvalidInput, JobFailed, Unavailable
from gates.steps import drift_check
from gates.steps.step import Context

if TYPE_CHECKING:
    from collections.abc import Callable

REMOTE = Path("azureml://datastores/workspaceblobstore/paths/modelDataCollector/e/d/model_inputs")
FOUND = Found(rows=200, columns=(ColumnDrift("x", "numeric", 300, 200, ks=0.4, p=1e-9, psi=0.9, psi_raw=0.9),))


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., Any]:
    """`drift-check --drift-compute` in the small project, on a backend whose Spark answers `found`; what was asked."""
    from datetime import datetime, timezone
    from io import StringIO

    from gates.platforms import detect

    policy = f"version: 1\nname: small\nstages:\n{VALIDATE}{DRIFT.partition('    retrain')[0]}"
    folder = make(tmp_path / "p", mlops=MLOPS.replace("reference.csv", "profile.gates"), policy=policy)
    (folder / "profile.gates").write_bytes(build(open_source(folder / "reference.csv")).to_bytes())
    seen: dict[str, Any] = {}

    class Backend:
        name, shared = "azureml", False

        def __init__(self, answer: str | Exception) -> None:
            self.answer = answer

        def run_there(self, job: Path, *, output: str, on_line: Any) -> RanThere:
            seen.update(yaml.safe_load(job.read_text()))
            seen["asked"] = msgspec.json.decode((job.parent / "code/asked.json").read_bytes(), type=Asked)
            seen["package"] = zipfile.ZipFile(job.parent / "code/gates.zip").namelist()
            seen["profile"] = (job.parent / "code/profile.gates").read_bytes()
            if isinstance(self.answer, Exception):
                raise self.answer
            left = tmp_path / "left"
            left.mkdir(exist_ok=True)
            (left / "part-00000.txt").write_text(self.answer)
            (left / "_SUCCESS").write_text("")
            return RanThere("drift-check-1", left)

    def run(answer: Found | str | Exception, **given: Any) -> tuple[Any, Any, dict[str, Any]]:
        told = msgspec.json.encode(answer).decode() if isinstance(answer, Found) else answer
        context = Context(
            step="drift-check", env={"PATH": "/usr/bin:/bin"}, cwd=folder, platform=detect({}, StringIO()),
            now=lambda: datetime(2026, 1, 1, tzinfo=timezone.utc), project=project.load(folder / "mlops.yml", {}),
            state_dir=folder / ".gates", report_dir=folder / "r", python=None,
            open_backend=lambda _: Backend(told),  # type: ignore[arg-type,return-value]  # what this step asks of one
        )  # fmt: skip
        inputs = drift_check.Inputs(
            **{"backend": "azureml", "policy": folder / "policy.yml", "reference": "profile.gates", "current": REMOTE,
               "drift_compute": "serverless", **given}
        )  # fmt: skip
        out = drift_check.Outputs()
        return drift_check.run(inputs, context, out), out, seen

    return run


def test_the_counts_that_come_back_are_judged_here(check: Callable[..., Any]) -> None:
    ended, out, seen = check(FOUND)
    assert (ended.exit_code, out.verdict, out.drifted_columns) == (1, "FAIL", "x")
    assert seen["type"] == "spark"
    assert "compute" not in seen
    assert seen["resources"]["instance_type"] == "standard_e4s_v3"
    assert seen["inputs"]["current"] == {"type": "uri_folder", "path": REMOTE.as_posix().replace(":/", "://"),
                                         "mode": "direct"}  # fmt: skip
    assert seen["asked"] == Asked(left=("row_id",), target="y", collected=True)
    assert "gates/drift/spark.py" in seen["package"]
    assert json.loads(Path(out.report_path).read_text())["result"]["data"]["rows"] == 200


def test_an_attached_compute_and_a_time_column_are_named(check: Callable[..., Any]) -> None:
    _, _, seen = check(FOUND, drift_compute="pool", time_column="at", current=Path("azureml:loans:3"))
    assert seen["compute"] == "azureml:pool"
    assert "resources" not in seen
    assert seen["asked"] == Asked(left=("at", "row_id"), target="y")


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (Found(outcome="invalid", error="no column 'x'", hint="h"), InvalidInput, "no column 'x'; h"),
        (Found(outcome="error", error="Spark failed"), Unavailable, "Spark failed"),
        (Found(rows=5), Unavailable, "compared nothing"),
        ("", Unavailable, "is no comparison"),
        ('{"rows": 5, "columns": [{"name": "x"}]}', Unavailable, "is no comparison"),
        (JobFailed("job drift-check-1 failed"), Unavailable, "the comparison's job drift-check-1 failed"),
    ],
)
def test_what_is_no_comparison_is_no_verdict(
    check: Callable[..., Any], answer: Any, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        check(answer)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"current": Path("data.csv")}, "a path of this machine"),
        ({"reference": "reference.csv"}, "must be the profile"),
        ({"window": "7d", "time_column": "at"}, "--window: needs the data here"),
        ({"sample": 5.0}, "--sample: needs the data here"),
        ({"baseline": Path("b.csv")}, "--baseline: needs the data here"),
    ],
)
def test_what_cannot_be_done_there_is_refused_before_anything_is_sent(
    check: Callable[..., Any], given: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        check(AssertionError("it was sent"), **given)
