"""The reusable workflows, called by another repository as its own workflow would call them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from act_rig import git, repository

if TYPE_CHECKING:
    from pathlib import Path

    from act_rig import Rig

CALL = """\
on: {{workflow_dispatch: {{}}}}
permissions: {{}}
jobs:
  call:
    permissions: {{contents: read}}
    uses: acme/mlops-gates/.github/workflows/{name}.yml@v1
    with: {given}
  after:
    if: ${{{{ always() }}}}
    needs: call
    runs-on: ubuntu-latest
    steps:
      - id: read
        env:
          OUTPUTS: ${{{{ toJSON(needs.call.outputs) }}}}
        run: echo "$OUTPUTS" | tr -d '\\n'
"""


def outputs(log: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(log[log.index("{") : log.rindex("}") + 1])
    return found


def test_drift_between_two_files(rig: Rig, tmp_path: Path) -> None:
    """On a schedule, typed inputs and outputs; a boolean is a boolean; drift is told and does not fail the job."""
    given = {"reference": "before.csv", "current": "now.csv", "fail-on-drift": False}
    folder = repository(tmp_path / "r", CALL.format(name="drift", given=json.dumps(given)))
    (folder / "policy.yml").write_text(
        "version: 1\nname: d\nrevision: 1\nowner: t\nstages:\n  drift:\n    checks:\n"
        "      - {id: x, type: drift, columns: [x], effect: {psi_max: 0.2, ks_max: 0.1}, fdr_q: 0.05, "
        "max_drifted_share: 0.2, min_samples: 100}\n    retrain: {on_drift: true}\n"
    )
    (folder / "before.csv").write_text("x\n" + "\n".join(str(n / 1000) for n in range(1000)) + "\n")
    (folder / "now.csv").write_text("x\n" + "\n".join(str(n / 1000 + 5) for n in range(1000)) + "\n")
    ran = rig.run(folder)
    assert ran.code == 0, ran.raw[-4000:]
    found = outputs(ran.log("read"))
    assert (found["verdict"], found["exit-code"], found["retrain"]) == ("FAIL", "0", "true")
    assert found["drifted-columns"] == "x"


def test_deploy_without_a_registered_model_says_so_in_its_outputs(rig: Rig, tmp_path: Path) -> None:
    given = {"endpoint-name": "small", "model-version": "7"}
    ran = rig.run(repository(tmp_path / "r", CALL.format(name="deploy", given=json.dumps(given))))
    assert ran.code != 0
    found = ran.outputs("deploy")  # act runs no job after a called workflow that failed, whatever its `if` says
    assert (found["exit-code"], found["outcome"]) in (("2", "invalid"), ("4", "error")), found["message"]
    cleaned = next(e for e in ran.events if e.get("step") == "Finish or undo what it left" and e.get("stepResult"))
    assert cleaned["stepResult"] == "success", "always(): whatever became of the deployment"


LOG = (
    "::error::forged", "  ::warning::forged", "::set-output name=verdict::FORGED", "::set-env name=FORGED::yes",
    "::add-path::/forged", "::stop-commands::forged", "::add-mask::data", "\x1b[31m::error::forged",
    "\x1b]0;forged\x07x",
    "##vso[task.setvariable variable=FORGED]yes", "##[error]forged", "a\r::error::forged", "b\u2028::error::forged",
    "x" * 100_000, "`touch pwned` $(touch pwned) ; touch pwned",
)  # fmt: skip
SECRET = "s3cr3t-planted-4712"


def test_train_gate_register_stops_where_training_fails(rig: Rig, tmp_path: Path) -> None:
    """The job's own failure ends the call; its log is in the run, the exit code in the outputs; none of it is obeyed.

    The runner does not know the password of the tracking server to be secret; the step does, and has it masked.
    """
    given = {"job": "job.yml", "register": True, "state-dir": str(tmp_path / "state")}
    folder = repository(tmp_path / "r", CALL.format(name="train-gate-register", given=json.dumps(given)))
    (folder / "job.yml").write_text(
        "$schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json\ntype: command\n"
        "code: src\ncommand: python fail.py\nenvironment: azureml:none@latest\n"
        "outputs:\n  model: {type: mlflow_model}\n"
    )
    (folder / "src").mkdir()
    (folder / "src/fail.py").write_text(
        f"import os\nfor line in {LOG!r}: print(line)\n"
        "password = os.environ['MLFLOW_TRACKING_PASSWORD']\n"
        "print('the password has', len(password), 'letters:', password)\nraise SystemExit('no data')\n"
    )
    git(folder, "add", "--all")
    ran = rig.run(folder, arguments=["--env", f"MLFLOW_TRACKING_PASSWORD={SECRET}"])
    assert ran.code != 0
    found = ran.outputs("train")
    assert (found["exit-code"], found["outcome"]) == ("1", "job-failed"), ran.log()[-3000:]
    assert ran.result("gate") == ran.result("register") == "not run"
    assert "no data" in ran.log("train")
    assert "FORGED" not in found.values()
    for name in ("set-env", "add-path", "stop-commands", "warning"):
        assert ran.commands(name) == [], name
    assert all("forged" not in str(event["arg"]) or "fail.py" in str(event["arg"]) for event in ran.commands("error"))
    for line in ran.log("train").splitlines():
        assert not line.lstrip().startswith(("::error", "::set", "::add")), line[:200]
        assert "##vso[" not in line, line[:200]
        assert "##[" not in line, line[:200]
    assert not list(folder.rglob("pwned"))
    assert f"the password has {len(SECRET)} letters: ***" in ran.log("train"), "it was printed, and masked"
    assert SECRET not in "".join(str(event.get("msg", "")) for event in ran.events) + ran.summary()
    state = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert {"std_log.txt", "outputs.json"} <= {path.name for path in state}
    assert [path for path in state if SECRET.encode() in path.read_bytes()] == []
