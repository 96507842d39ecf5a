"""What comes back from a gate that ran elsewhere is held to what was asked, digest by digest."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from small_project import make

from gates import canonical
from gates.backends import ModelVersion, RanThere
from gates.errors import Conflict, InvalidInput, JobFailed, Refused, Unavailable
from gates.lineage.digest import model_digest
from gates.steps import gate_elsewhere
from gates.steps.gate_inside import Champion, Request
from gates.verdict import CheckResult, EvidenceItem, GateReport, Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

DIGESTS = {name: f"sha256:{name[0] * 64}" for name in ("policy", "model", "champion", "data")}
REQUEST = Request(
    step="validate-gate", stage="validate", day="2026-01-01", source="file", policy=DIGESTS["policy"],
    model=DIGESTS["model"], data=DIGESTS["data"],
    champion=Champion(name="m", version="3", digest=DIGESTS["champion"], uri="azureml:m:3"),
)  # fmt: skip
REPORT = GateReport(
    step="validate-gate", stage="validate", verdict=Verdict.FAIL, decision="refuse",
    policy={"digest": DIGESTS["policy"], "name": "p", "revision": 1, "source": "file"},
    model={"digest": DIGESTS["model"]}, champion={"digest": DIGESTS["champion"], "version": "3"},
    data={"digest": DIGESTS["data"], "rows": 9},
    checks=(CheckResult("a", "threshold", Status.FAIL, "0.7 is below 0.8.", observed=0.7, interval=(0.6, 0.8),
                        required={"min": 0.8}, n=9, line=5),),
    evidence=(EvidenceItem("manifest", DIGESTS["data"]),),
)  # fmt: skip


def left(folder: Path, report: GateReport = REPORT, **ended: Any) -> Path:
    """What the job left."""
    result = report.to_json()
    folder.mkdir(exist_ok=True)
    (folder / "report.json").write_text(json.dumps({"schema": "report.v1", "result": result, "run": {}}))
    (folder / "ended.json").write_text(json.dumps({"outcome": "judged", "digest": canonical.digest(result), **ended}))
    return folder


def test_a_report_that_is_what_was_asked_is_taken_whole(tmp_path: Path) -> None:
    assert gate_elsewhere._held_to(left(tmp_path), REQUEST) == REPORT
    assert gate_elsewhere._held_to(left(tmp_path), replace_request(data="")) == REPORT
    bare = replace(REPORT, champion=None, columns=({"name": "x"},), retrain={"decide": False}, note="n")
    assert gate_elsewhere._held_to(left(tmp_path, bare), replace_request(champion=None)) == bare


def replace_request(**changes: Any) -> Request:
    from msgspec.structs import replace as changed

    return changed(REQUEST, **changes)


OTHER = f"sha256:{'f' * 64}"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"policy": {**REPORT.policy, "digest": OTHER}}, "policy"), ({"model": {"digest": OTHER}}, "model"),
        ({"policy": {**REPORT.policy, "source": "ref:main"}}, "source"), ({"stage": "register"}, "stage"),
        ({"champion": {"digest": OTHER}}, "champion"), ({"champion": None}, "champion"), ({"step": "train"}, "step"),
        ({"data": {"digest": OTHER, "rows": 9}}, "data"),
    ],
)  # fmt: skip
def test_a_report_of_something_else_is_none(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    with pytest.raises(Unavailable, match=f"not of what was asked: {named} differs"):
        gate_elsewhere._held_to(left(tmp_path, replace(REPORT, **change)), REQUEST)


def test_a_report_of_no_data_is_none_even_where_nobody_knows_the_data(tmp_path: Path) -> None:
    bare = left(tmp_path, replace(REPORT, data={"digest": "", "rows": 0}))
    with pytest.raises(Unavailable, match="not of what was asked"):
        gate_elsewhere._held_to(bare, replace_request(data=""))


def test_a_verdict_that_was_changed_on_the_way_is_seen(tmp_path: Path) -> None:
    folder = left(tmp_path)
    text = (folder / "report.json").read_text()
    (folder / "report.json").write_text(text.replace('"refuse"', '"allow"').replace('"FAIL"', '"PASS"'))
    with pytest.raises(Unavailable, match="digest differs"):
        gate_elsewhere._held_to(folder, REQUEST)
    (folder / "report.json").write_text('{"schema": "report.v1", "result": {"verdict": "PASS"}}')
    with pytest.raises(Unavailable, match="is no report"):
        gate_elsewhere._held_to(folder, REQUEST)


MANIFEST = f"sha256:{hashlib.sha256(b'{}').hexdigest()}"


def evidence(folder: Path, raw: bytes = b"{}") -> None:
    (folder / "evidence").mkdir(exist_ok=True)
    (folder / "evidence" / MANIFEST[7:]).write_bytes(raw)


def test_evidence_that_may_leave_comes_whole_and_no_row_is_asked_for(tmp_path: Path) -> None:
    items = (EvidenceItem("manifest", MANIFEST), EvidenceItem("candidate-predictions", OTHER))
    report = replace(REPORT, evidence=items)
    came, kept = tmp_path / "evidence", tmp_path / "kept"
    for raw in (None, b"{ }"):
        if raw is not None:
            evidence(tmp_path, raw)
        with pytest.raises(Unavailable, match=f"missing or was changed: {MANIFEST[7:]}"):
            gate_elsewhere._keep(report, came, kept)
    evidence(tmp_path)
    gate_elsewhere._keep(report, came, kept)
    assert [path.name for path in kept.iterdir()] == [MANIFEST[7:]]


def test_a_key_that_we_do_not_know_is_not_dropped_in_silence(tmp_path: Path) -> None:
    folder = left(tmp_path)
    said = json.loads((folder / "report.json").read_text())
    said["result"]["extra"] = 1
    (folder / "report.json").write_text(json.dumps(said))
    left_digest = canonical.digest(said["result"])
    (folder / "ended.json").write_text(json.dumps({"outcome": "judged", "digest": left_digest}))
    with pytest.raises(Unavailable, match="its form differs"):
        gate_elsewhere._held_to(folder, REQUEST)


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        ("invalid", InvalidInput),
        ("error", Unavailable),
        ("refused", Refused),
        ("conflict", Conflict),
        ("", Unavailable),
    ],
)
def test_how_it_ended_there_is_how_it_ends_here(tmp_path: Path, outcome: str, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"no column 'y'; write it"):
        gate_elsewhere._held_to(left(tmp_path, outcome=outcome, what="no column 'y'", hint="write it"), REQUEST)


CHECK = (
    "version: 1\nname: small\nstages:\n  validate:\n    checks:\n"
    "      - {id: a, type: threshold, metric: accuracy, min: 0.8}\n"
)


@pytest.fixture
def there(tmp_path: Path) -> Callable[..., Any]:
    """`validate-gate --gate-compute` in the small project, on a backend whose compute is `ran`."""
    from datetime import datetime, timezone

    from gates import project
    from gates.platforms import detect
    from gates.steps import validate_gate
    from gates.steps.step import Context

    folder = make(tmp_path / "p", policy=CHECK)
    (folder / "m").mkdir()
    (folder / "m/MLmodel").write_text("mlflow_version: 3.1.0\n")
    (folder / "m/requirements.txt").write_text("scikit_learn==1.5\nNumPy==1.26.4  # pinned\n")

    class Backend:
        name, shared = "azureml", False

        def __init__(self, ran: Callable[[Path], RanThere]) -> None:
            self.ran = ran

        def find(self, name: str, **_: str) -> ModelVersion | None:
            return None

        def run_there(self, job: Path, **_: Any) -> RanThere:
            return self.ran(job)

    def run(ran: Callable[[Path], RanThere], **given: Any) -> Any:
        context = Context(
            step="validate-gate", env={"PATH": "/usr/bin:/bin"}, cwd=folder, platform=detect({}, io.StringIO()),
            now=lambda: datetime(2026, 1, 1, tzinfo=timezone.utc), project=project.load(folder / "mlops.yml", {}),
            state_dir=folder / ".gates", report_dir=folder / "r", python=None,
            open_backend=lambda _: Backend(ran),  # type: ignore[arg-type,return-value]  # what this step asks of one
        )  # fmt: skip
        inputs = validate_gate.Inputs(
            **{"backend": "azureml", "model": "m", "policy": folder / "policy.yml", "data": folder / "data.csv",
               "gate_compute": "cpu", **given}
        )  # fmt: skip
        out = validate_gate.Outputs()
        return validate_gate.run(inputs, context, out), out

    return run


def test_a_job_that_fails_is_no_verdict(there: Callable[..., Any]) -> None:
    def ran(job: Path) -> RanThere:
        raise JobFailed("job validate-gate-1 failed", tail=("no such package",))

    with pytest.raises(Unavailable, match="the gate's job validate-gate-1 failed"):
        there(ran)


def test_what_goes_along_is_this_package_and_what_judging_needs(there: Callable[..., Any], tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    def ran(job: Path) -> RanThere:
        seen.update(yaml.safe_load(job.read_text()), conda=yaml.safe_load((job.parent / "conda.yml").read_text()))
        code = job.parent / "code"
        seen["files"] = {path.name for path in code.iterdir()}
        seen["own"] = (code / "gates/steps/gate_inside.py").is_file()
        below = code / "state/lineage"
        seen["lineage"] = [path.relative_to(below).as_posix() for path in below.rglob("*") if path.is_file()]
        shutil.rmtree(tmp_path / "p/.gates/lineage", ignore_errors=True)  # it has no statement that a gate could follow
        seen["project"] = json.loads((code / "mlops.yml").read_text())
        seen["request"] = json.loads((code / "request.json").read_text())
        asked = seen["request"]
        made = replace(
            REPORT, policy={**REPORT.policy, "digest": asked["policy"]}, model={"digest": asked["model"]},
            champion=None, data={"digest": asked["data"], "rows": 200},
            evidence=(EvidenceItem("manifest", MANIFEST), EvidenceItem("candidate-predictions", OTHER)),
        )  # fmt: skip
        folder = left(tmp_path / "left", made)
        evidence(folder)
        return RanThere("validate-gate-1", folder)

    lineage = tmp_path / "p/.gates/lineage" / model_digest(tmp_path / "p/m")[7:39]
    lineage.mkdir(parents=True)
    (lineage / "profile.gates").write_text("")
    ended, out = there(ran)
    assert seen["lineage"] == [f"{lineage.name}/profile.gates"]
    assert seen["inputs"]["data"] == {"type": "uri_file", "path": str(tmp_path / "p/data.csv")}
    assert (ended.exit_code, out.verdict, out.failed_checks) == (1, "FAIL", "a")
    assert seen["own"]
    assert seen["files"] == {"gates", "policy.yml", "request.json", "mlops.yml", "state"}
    assert seen["compute"] == "azureml:cpu"
    assert (seen["project"]["evaluate"]["target"], seen["project"]["evaluate"]["compute"]) == ("y", None)
    assert seen["request"]["day"] == "2026-01-01"
    pip = seen["conda"]["dependencies"][-1]["pip"]
    assert [line for line in pip if line.lower().startswith("numpy")] == ["NumPy==1.26.4  # pinned"]
    assert {"mlflow==3.1.0", "msgspec>=0.19,<1"} <= set(pip)
    report = json.loads(Path(out.report_path).read_text())
    assert report["run"]["paths"]["rows"] == "azureml://jobs/validate-gate-1/outputs/rows"
    there(ran, gate_compute="serverless")
    assert "compute" in seen  # the dictionary of before, whose key the second job does not set
    there(ran, gate_compute="azureml:gpu")
    assert seen["compute"] == "azureml:gpu"


@pytest.mark.parametrize("flag", ["predictions", "champion_predictions", "metrics", "python"])
def test_what_only_this_machine_can_do_is_refused_before_anything_is_sent(there: Callable[..., Any], flag: str) -> None:
    def ran(job: Path) -> RanThere:
        pytest.fail("it was sent")

    value = "x" if flag in ("metrics", "python") else Path("x")
    with pytest.raises(InvalidInput, match=f"--{flag.replace('_', '-')}: a gate on the workspace's compute"):
        there(ran, **{flag: value})
    with pytest.raises(InvalidInput, match="no such data file"):
        there(ran, data=Path("none.csv"))


def test_what_it_installs_is_what_the_package_declares() -> None:
    lines = (Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    declared = " ".join(line for line in lines if line.startswith(('  "', "stats = ")))
    for line in gate_elsewhere.NEEDS:
        assert f'"{line}"' in declared
