"""What `gates init` writes into an empty repository runs under act as it is: the code's CI, the data checks, all five
steps; and what it writes for Azure DevOps names only templates and parameters that there are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from act_rig import ROOT, git

if TYPE_CHECKING:
    from act_rig import ActRun, Rig

pytestmark = pytest.mark.timeout(1800)


def gates(folder: Path, *arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    tools = str(Path(sys.executable).parent)
    env = {**os.environ, "HOME": str(home), "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(
        [sys.executable, "-m", "gates", *arguments], cwd=folder, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def scaffolded(rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty repository of acme's, made ready."""
    folder = tmp_path_factory.mktemp("scaffold") / "loan-default"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "remote", "add", "origin", "https://github.com/acme/loan-default")
    done = gates(folder, "init", "--platform", "both", home=rig.home)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def ran(rig: Rig, scaffolded: Path) -> ActRun:
    """Both workflows, as a push to main starts them."""
    return rig.run(scaffolded, event="push", timeout=1500)


def test_the_scaffolded_policy_is_sound(scaffolded: Path, rig: Rig) -> None:
    done = gates(scaffolded, "policy", "check", home=rig.home)
    assert done.returncode == 0, done.stderr
    assert "is sound (train 1, validate 3, canary 2, drift 1)" in done.stdout


def test_the_code_s_own_workflow_passes(ran: ActRun) -> None:
    assert ran.code == 0, ran.raw[-4000:]
    said = ran.log()
    assert "Required test coverage of 70% reached" in said
    assert "3 passed" in said
    assert "Success: no issues found in 1 source file" in said
    assert "2 files already formatted" in said
    assert ran.outputs("data")["verdict"] == "PASS"
    assert "8000 rows keep all that is promised of 8 columns" in ran.log("data")


def test_all_five_steps_pass_and_the_model_serves(ran: ActRun) -> None:
    for step in ("train", "gate", "register", "deploy", "drift"):
        assert ran.outputs(step).get("exit-code") == "0", (step, ran.log(step)[-2000:])
    assert ran.outputs("gate")["verdict"] == "PASS"
    assert ran.outputs("register")["model-version"] == "1"
    assert ran.outputs("deploy")["state"] == "SUCCEEDED"
    assert ran.outputs("drift")["verdict"] == "PASS"


def test_the_summary_of_a_rollout_is_a_chart_on_github(ran: ActRun) -> None:
    said = ran.summary("deploy")
    assert said.startswith("## deploy-blue-green: ")
    assert "```mermaid\ngantt\n    title Traffic of loan-default" in said
    assert said.index("## deploy") < said.index("```mermaid") < said.index("<details>")


def test_nothing_is_left_running(ran: ActRun, rig: Rig) -> None:
    """The pipeline's last step stops the endpoint: a laptop is no runner that is thrown away."""
    assert ran.result("stop") == "success"
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert [line for line in listed.splitlines() if str(rig.home) in line and "endpoint" in line] == []


def templates(value: Any) -> list[tuple[str, dict[str, Any]]]:
    """(template, parameters) of every use of a template of ours."""
    if isinstance(value, list):
        return [use for item in value for use in templates(item)]
    if not isinstance(value, dict):
        return []
    own = [(str(value["template"]), dict(value.get("parameters") or {}))] if "template" in value else []
    return own + [use for item in value.values() for use in templates(item)]


@pytest.mark.parametrize("name", ["azure-pipelines.yml", "azure-pipelines-code.yml"])
def test_azure_pipelines_use_templates_and_parameters_that_there_are(scaffolded: Path, name: str) -> None:
    document = yaml.safe_load((scaffolded / name).read_text(encoding="utf-8"))
    uses = [(where.removesuffix("@gates"), given) for where, given in templates(document) if where.endswith("@gates")]
    assert uses
    for where, given in uses:
        declared = yaml.safe_load((ROOT / where).read_text(encoding="utf-8"))["parameters"]
        assert set(given) <= {parameter["name"] for parameter in declared}, where
