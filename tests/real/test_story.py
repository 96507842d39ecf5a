"""`make run` does the main job: the story under real act, with the summary that the README shows and nothing left.

And on Azure DevOps: the example through our templates, with the tasks of the extension, in the environment that act's
run filled, gives the reports that it gave.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from ado_agent import SYSTEM_TOKEN
from ado_rig import repository

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ado_rig import Organisation, Run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def told(
    tmp_path_factory: pytest.TempPathFactory, need: Callable[[str], str]
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The run folder and what the story printed."""
    need("act")
    run = tmp_path_factory.mktemp("story")
    env = {**os.environ, "RUN_DIR": str(run), "HOME": str(run / "home")}
    env.pop("KEEP", None)
    return (
        run,
        subprocess.run(
            [sys.executable, str(ROOT / ".ci/story.py")], cwd=ROOT, env=env, capture_output=True, text=True, timeout=900
        ),
    )


def shape(text: str) -> list[str]:
    """Lines without what differs from run to run: digests, figures, times, places."""
    text = re.sub(r"sha256:[0-9a-f]{64}", "sha256:…", text)
    text = re.sub(r"census-[0-9a-f]{10}", "census-…", text)
    text = re.sub(r"\s*\d+ s\b", " N s", text)
    return [line.strip() for line in text.strip().splitlines() if line.strip()]


@pytest.mark.xdist_group("story")
@pytest.mark.timeout(900)
def test_the_story_ends_as_the_readme_shows(told: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    run, done = told
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"<!-- story -->\n```text\n(.*?)```", readme, re.DOTALL)
    assert shown is not None
    summary = done.stdout.split("═" * 100)[1]
    printed = shape(summary.split("Reports:")[0])
    assert printed == shape(shown.group(1))
    assert len(list((run / "state/reports").glob("*/report.json"))) == 12


@pytest.mark.xdist_group("story")
def test_the_endpoint_answered_from_the_second_version(told: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    run, done = told
    outputs = json.loads((run / "state/reports/deploy-v2/outputs.json").read_text())
    answer = re.search(r"answers, from (\S+):\n\s+(\[\[.*\]\])", done.stdout)
    assert answer is not None
    assert answer.group(1) == outputs["live-deployment"]
    rows = json.loads(answer.group(2))
    assert all(abs(sum(row) - 1) < 1e-9 for row in rows)


@pytest.mark.xdist_group("story")
def test_customers_lost_no_request(told: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    _, done = told
    assert re.search(r"^\s*0 failed$", done.stdout, re.MULTILINE)


@pytest.mark.xdist_group("story")
def test_nothing_is_left_running(told: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    run, _ = told
    left = [p.info for p in psutil.process_iter(["pid", "cmdline", "cwd"]) if str(run) in str(p.info)]
    assert left == []


GATES = """\
trigger: none
resources:
  repositories:
    - {repository: gates, type: github, endpoint: github, name: ORG/mlops-gates, ref: refs/tags/v1}
"""
WHOLE = """\
extends:
  template: templates/ado/extends/pipeline.yml@gates
  parameters: {stateDir: STATE, job: jobs/train-v1.yml, stagingEnvironment: ''}
"""
AGAIN = """\
steps:
  - template: templates/ado/steps/validate-gate.yml@gates
    parameters: {stateDir: FRESH, model: MODEL}
  - template: templates/ado/steps/drift-check.yml@gates
    parameters: {stateDir: THEIRS, reportDir: FRESH/drift, current: data/production_same.parquet}
"""
DEPLOY = """\
jobs:
  - template: templates/ado/jobs/deploy.yml@gates
    parameters: {stateDir: STATE, environment: production, modelVersion: '1', rollout: 'ROLLOUT'}
"""
ROLLOUT = "{steps: [100], interval: 1s, mirror: 0, bake: 12s, keep_old: 0s}"
LOG = (
    "##vso[task.setvariable variable=verdict;isOutput=true]FORGED", "x ##VSO[task.complete result=Succeeded;]FORGED",
    "##[error]forged", "##[group]forged", "a\r##vso[build.addbuildtag]FORGED", "b\u2028##vso[task.setsecret]FORGED",
    "\x1b[31m##vso[task.prependpath]/forged", "::error::forged", "`touch pwned` $(touch pwned) ; touch pwned",
)  # fmt: skip


@dataclass(frozen=True)
class Pipelines:
    """The example as a repository on Azure DevOps; `act` is the folder of act's run."""

    organisation: Organisation
    act: Path
    folder: Path

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    @property
    def env(self) -> dict[str, str]:
        home = self.act / "home"
        return {"HOME": str(home), "AGENT_TOOLSDIRECTORY": str(home / ".cache/act/tool_cache")}

    def run(self, text: str, name: str, **given: Any) -> Run:
        file = self.repository / f"{name}.yml"
        file.write_text(GATES + text.replace("STATE", str(self.state)))
        return self.organisation.run(file, self.repository, self.folder / name, env=self.env, **given)

    def report(self, path: Path | str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(Path(path).read_text())["result"]
        return found

    def journal(self) -> list[dict[str, Any]]:
        file = self.state / "endpoints/census-income/journal.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []


@pytest.fixture(scope="module")
def pipelines(
    told: tuple[Path, subprocess.CompletedProcess[str]], devops: Organisation, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pipelines]:
    folder = tmp_path_factory.mktemp("pipelines")
    shutil.copytree(ROOT / "examples/census-income", folder / "repository",
                    ignore=shutil.ignore_patterns(".gates", "__pycache__"))  # fmt: skip
    repository(folder / "repository", {})
    made = Pipelines(devops, told[0], folder)
    yield made
    stop = [sys.executable, "-m", "gates", "endpoint", "stop", "--config", "mlops.yml", "--state-dir", str(made.state)]
    subprocess.run(stop, cwd=made.repository, check=False, capture_output=True)


@pytest.fixture(scope="module")
def whole(pipelines: Pipelines) -> Run:
    """The whole flow, whose deployment nobody approved."""
    return pipelines.run(WHOLE, "whole", environments={"production": False})


@pytest.mark.timeout(900)
def test_on_azure_devops_an_environment_s_approvers_come_before_its_deployment(
    pipelines: Pipelines, whole: Run
) -> None:
    assert whole.wrong() == []
    assert whole.runner.asked == ["production"]
    assert whole.results == {"model": "SucceededWithIssues", "production": "Failed"}, whole.log()
    assert pipelines.journal() == []


def without_ids(result: Mapping[str, Any]) -> Any:
    """A report without what is new in each run: the identity of a model's bytes, and what is bound to it."""
    text = json.dumps({key: value for key, value in result.items() if key != "evidence"}, sort_keys=True)
    return json.loads(text.replace(str(result["model"]["digest"]), "model"))


@pytest.mark.timeout(900)
def test_the_templates_on_azure_devops_give_the_reports_of_act(pipelines: Pipelines, whole: Run) -> None:
    """Trained twice, so the model's bytes carry other ids; every verdict, figure and interval is the same."""
    job = whole.stages["model"].jobs["model"]
    for name, step in (("train-v1", "train"), ("gate-v1", "validateGate"), ("register-v1", "register")):
        theirs = pipelines.report(pipelines.act / f"state/reports/{name}/report.json")
        ours = pipelines.report(job.step(step).outputs["reportPath"])
        assert without_ids(ours) == without_ids(theirs), name
        assert [e["name"] for e in ours["evidence"]] == [e["name"] for e in theirs["evidence"]]
    [tag] = job.step("register").of("build.addbuildtag")
    assert (tag.data, job.step("validateGate").of("build.addbuildtag")[0].data) == ("census-income-1", "gate-pass")


@pytest.mark.timeout(900)
def test_the_same_model_gives_the_same_report_bytes_on_azure_devops_and_under_act(pipelines: Pipelines) -> None:
    reports = pipelines.act / "state/reports"
    model = json.loads((reports / "train-v1/outputs.json").read_text())["model-path"]
    text = AGAIN.replace("FRESH", str(pipelines.folder / "fresh")).replace("MODEL", model)
    ran = pipelines.run(text.replace("THEIRS", str(pipelines.act / "state")), "again", node="20")
    steps = ran.stages["__default"].jobs["__default"]
    for name, step in (("gate-v1", "validateGate"), ("drift-same", "driftCheck")):
        theirs = json.loads((reports / name / "outputs.json").read_text())
        assert steps.step(step).outputs["reportDigest"] == theirs["report-digest"], ran.log()


@pytest.mark.timeout(900)
def test_a_deployment_is_interrupted_by_either_signal_and_goes_on(pipelines: Pipelines, whole: Run) -> None:
    """The agent signals the task alone; Python writes it down, and the same pipeline ends what was begun.

    SIGINT while the new deployment is made, SIGTERM while it bakes.
    """
    version = whole.stages["model"].jobs["model"].step("register").outputs["modelVersion"]
    task = pipelines.organisation.tasks["MlopsDeployBlueGreen@1"].folder / "index.js"
    given = {"INPUT_STATEDIR": str(pipelines.state), "INPUT_MODELVERSION": version, "INPUT_ROLLOUT": ROLLOUT}
    cuts = (("20", signal.SIGINT, "GREEN_CREATING"), ("24", signal.SIGTERM, "BAKING"))
    for count, (node, number, state) in enumerate(cuts, start=1):
        agent = pipelines.organisation.agent(pipelines.folder / f"cut-{node}", env=pipelines.env)
        env = {**agent.env, **given, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
               "TF_BUILD": "True", "AGENT_TEMPDIRECTORY": str(agent.folder / "tmp")}  # fmt: skip
        log = agent.folder / "log"
        with log.open("w") as stream:
            process = subprocess.Popen([pipelines.organisation.nodes[node], task], cwd=pipelines.repository, env=env,
                                       stdout=stream, stderr=subprocess.STDOUT, start_new_session=True)  # fmt: skip
            deadline = time.monotonic() + 240
            while state not in [record["state"] for record in pipelines.journal()] and process.poll() is None:
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            process.send_signal(number)
            process.wait(timeout=120)
        said = log.read_text()
        assert [r["state"] for r in pipelines.journal()].count("INTERRUPTED") == count, said
        assert "variable=outcome;isOutput=true;]cancelled" in said
        assert "##vso[task.complete result=Failed;]" in said
    ran = pipelines.run(DEPLOY.replace("ROLLOUT", ROLLOUT), "deploy", environments={"production": True})
    assert ran.results["__default"] in ("Succeeded", "SucceededWithIssues"), ran.log()
    outputs = ran.stages["__default"].jobs["deploy"].step("deployBlueGreen").outputs
    assert (outputs["state"], outputs["outcome"]) == ("SUCCEEDED", "passed")
    assert len({record["deploy_id"] for record in pipelines.journal()}) == 1, "the same deployment from first to last"


@pytest.mark.timeout(900)
def test_a_hostile_log_of_the_training_job_is_shown_and_not_obeyed(pipelines: Pipelines, tmp_path: Path) -> None:
    cwd = repository(tmp_path / "r", {
        "mlops.yml": "version: 1\nmodel: small\n",
        "job.yml": "$schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json\ntype: command\n"
        "code: src\ncommand: python fail.py\nenvironment: azureml:none@latest\n"
        "outputs:\n  model: {type: mlflow_model}\n",
        "src/fail.py": f"import os\nfor line in {LOG!r}: print(line)\nprint('the token is', os.environ.get("
        "'MLFLOW_TRACKING_TOKEN'))\nraise SystemExit('##vso[task.complete result=Succeeded;]no data')\n",
    })  # fmt: skip
    token = "s3cr3t-planted-4714"
    agent = pipelines.organisation.agent(tmp_path / "agent", env=pipelines.env | {"MLFLOW_TRACKING_TOKEN": token})
    step = {"task": "MlopsTrain@1", "name": "train", "inputs": {"job": "job.yml"}}
    ran = agent.run(step, cwd, {}, {SYSTEM_TOKEN})
    assert (ran.result, ran.outputs["outcome"]) == ("Failed", "job-failed"), ran.text
    assert ran.wrong == []
    assert "no data" in ran.text
    assert "FORGED" not in " ".join(command.data for command in ran.commands if command.name != "task.logissue")
    for line in ran.log:
        ours = line.startswith(("##vso[", "##[group]train: job.yml", "##[endgroup]"))
        assert ours or ("##vso[" not in line.lower() and "##[" not in line), line
    assert not list(tmp_path.rglob("pwned"))
    assert "the token is" in ran.text
    assert token not in ran.text
