"""The packaged tasks as the agent runs them: hostile text, service connections, what was forgotten, cancellation."""

from __future__ import annotations

import importlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from ado_agent import SYSTEM_TOKEN
from ado_rig import ROOT, repository

from gates.inputs import declared
from gates.steps import COMMANDS
from gates.steps.step import Common

if TYPE_CHECKING:
    from pathlib import Path

    from ado_agent import Agent, StepRun
    from ado_rig import Organisation

POLICY = """\
version: 1
name: small
revision: 1
owner: tests
stages:
  validate:
    checks:
      - {id: accuracy.floor, type: threshold, metric: accuracy, min: 0.9, decide_on: point}
"""
FORGED = (
    "a b'c\"d $(touch {pwned}) `touch {pwned}` ; touch {pwned} | touch {pwned} && touch {pwned} 🚀 ü\n"
    "##vso[task.setvariable variable=verdict;isOutput=true]FORGED\n##vso[task.complete result=Succeeded]FORGED\n"
    "##[error]forged\n::error::forged\r##vso[task.prependpath]/forged\u2028##VSO[build.addbuildtag]FORGED\n"
    "x]##vso[task.setvariable variable=outcome;isOutput=true]FORGED %0D%0A##vso[task.debug]%AZP250A ;isOutput=true"
)
VERBS = ("train", "validate-gate", "register", "deploy-blue-green", "drift-check", "rollback", "reconcile", "comment")
SAYS = {"task.debug", "task.logissue", "task.complete", "results.publish", "artifact.upload"}
"""Commands that may repeat what was given, as data or in a title."""


def hostile(folder: Path) -> str:
    return FORGED.replace("{pwned}", shlex.quote(str(folder / "pwned")))


def project(folder: Path, **files: str) -> Path:
    metrics = json.dumps({"metrics": {"accuracy": 0.95}, "n": 4000})
    return repository(
        folder, {"mlops.yml": "version: 1\nmodel: small\n", "policy.yml": POLICY, "metrics.json": metrics, **files}
    )


def run(
    agent: Agent, verb: str, cwd: Path, inputs: dict[str, str], variables: dict[str, str] | None = None
) -> tuple[StepRun, set[str]]:
    """A task run alone, and the secrets that it named."""
    name = "Mlops" + "".join(word.capitalize() for word in verb.split("-"))
    secrets = {SYSTEM_TOKEN}
    step = {"task": f"{name}@1", "name": "step", "inputs": inputs}
    return agent.run(step, cwd, dict(variables or {}), secrets), secrets


def untouched(ran: StepRun, folder: Path) -> None:
    """Nothing of the hostile text was executed or obeyed."""
    assert not (folder / "pwned").exists()
    assert ran.wrong == []
    for command in ran.commands:
        if "forged" in f"{command.properties} {command.data}".lower() and command.name not in SAYS:
            assert command.properties.get("variable") in ("message", "failedChecks", "reportPath"), command
            assert not command.data.startswith("FORGED"), command
    for value in ran.outputs.values():
        assert not value.startswith("FORGED")
    for line in ran.log:
        if not line.startswith("##vso["):
            assert "##vso[" not in line.lower(), line
            assert "##[" not in line or line.startswith(("##[group]", "##[endgroup]")), line
        else:
            assert line.lower().count("##vso[") == 1 or line.startswith("##vso[task.debug]"), line


@pytest.mark.parametrize("verb", VERBS)
def test_hostile_text_in_every_input(devops: Organisation, tmp_path: Path, verb: str) -> None:
    """One run for each input, those that all share once; through the small environment, as the extras do not matter."""
    cwd = project(tmp_path / "r")
    shared = {option.name for option in declared(Common)} if verb != "validate-gate" else set()
    options = [option for option in declared(COMMANDS[verb].load().Inputs) if option.name not in shared]

    def one(camel: str) -> StepRun:
        given = {"stateDir": str(tmp_path / camel), camel: hostile(tmp_path)}
        # An agent runs one task at a time: the SDK's key for what it hides lies in the agent's folder, one for all.
        agent = devops.agent(tmp_path / f"agent-{camel}", env={"GATES_EXTRAS": "gate"})
        return run(agent, verb, cwd, given)[0]

    with ThreadPoolExecutor(2) as pool:
        runs = dict(zip([o.camel for o in options], pool.map(one, [o.camel for o in options]), strict=True))
    for camel, ran in runs.items():
        untouched(ran, tmp_path)
        if verb != "comment" or camel in ("config", "backend", "json", "quiet", "python", "report"):
            assert ran.result == "Failed", (camel, ran.text)
            assert ran.outputs.get("outcome") in ("invalid", "error", "refused"), (camel, ran.text)
        assert "\n" not in ran.outputs["message"]


def test_hostile_branch_author_and_pipeline_variables(devops: Organisation, tmp_path: Path) -> None:
    agent = devops.agent(tmp_path / "agent")
    variables = {
        "Build.SourceBranch": f"refs/heads/{hostile(tmp_path)}", "Build.RequestedFor": hostile(tmp_path),
        "Build.SourceVersionMessage": hostile(tmp_path), "System.StageName": hostile(tmp_path),
        "gates_policy": "/etc/passwd", "gates_stage": "nowhere",
    }  # fmt: skip
    ran, _ = run(agent, "validate-gate", project(tmp_path / "r"), {"metrics": "metrics.json"}, variables)
    untouched(ran, tmp_path)
    assert ran.outputs["verdict"] == "PASS", ran.text
    [artifact] = ran.of("artifact.upload")
    assert not set(artifact.properties["artifactname"]) & set("[];#$`'\"/\\:")


def test_hostile_metric_names_check_ids_model_names_and_data_values(devops: Organisation, tmp_path: Path) -> None:
    text = hostile(tmp_path)
    names = [text, "##vso[task.complete result=Succeeded]FORGED", "<script>forged</script>"]
    policy = yaml.safe_load(POLICY)
    policy["stages"]["validate"]["checks"] += [
        {"id": f"c{number}", "type": "threshold", "metric": name, "source": "metrics", "max": 0.5, "decide_on": "point"}
        for number, name in enumerate(names)
    ]
    cwd = project(
        tmp_path / "r",
        **{
            "policy.yml": yaml.safe_dump(policy, allow_unicode=True),
            "odd.json": json.dumps({"accuracy": text, text: "x"}),
            "metrics.json": json.dumps(dict.fromkeys([*names, "accuracy"], 0.95)), "plain.yml": POLICY,
            "odd.yml": yaml.safe_dump({"version": 1, "model": text}, allow_unicode=True),
        },
    )  # fmt: skip
    agent = devops.agent(tmp_path / "agent")
    for given in (
        {"metrics": "metrics.json"}, {"metrics": "odd.json", "policy": "plain.yml"},
        {"metrics": "metrics.json", "config": "odd.yml"},
    ):  # fmt: skip
        ran, _ = run(agent, "validate-gate", cwd, given)
        untouched(ran, tmp_path)
        assert ran.result == "Failed", given
        assert "<script>" not in "".join(open(c.data).read() for c in ran.of("task.uploadsummary"))  # noqa: PTH123, SIM115  # closed with the process


CONNECTION = {
    "ENDPOINT_AUTH_SCHEME_conn": "WorkloadIdentityFederation",
    "ENDPOINT_AUTH_PARAMETER_conn_SERVICEPRINCIPALID": "the-client",
    "ENDPOINT_AUTH_PARAMETER_conn_TENANTID": "the-tenant",
    "ENDPOINT_DATA_conn_SUBSCRIPTIONID": "the-subscription",
}  # fmt: skip
SHOW = """\
import json, os, sys
names = ("AZURESUBSCRIPTION_CLIENT_ID", "AZURESUBSCRIPTION_TENANT_ID", "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID",
         "SYSTEM_ACCESSTOKEN", "SYSTEM_OIDCREQUESTURI", "AZURE_SUBSCRIPTION_ID", "AZURE_CLIENT_ID",
         "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID", "GATES_TOKEN", "INPUT_POLICY", "ENDPOINT_AUTH_SCHEME_conn",
         "GATES_POLICY")
json.dump({n: os.environ[n] for n in names if n in os.environ}, open(os.environ["SEEN"], "w"))
if "setup.py" in sys.argv[2]: print(os.path.abspath(__file__ + ".sh"))
"""


def seen_by_python(
    devops: Organisation, folder: Path, verb: str, inputs: dict[str, str], **connections: Any
) -> dict[str, str]:
    """What a Python started by the shim finds in its environment: an interpreter of the test's own writes it down."""
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    (bin_folder / "show.py").write_text(SHOW)
    script = f'#!/bin/sh\nexec {shlex.quote(shutil.which("python3") or "")} {bin_folder}/show.py "$@"\n'
    for name in ("python3", "show.py.sh"):
        (bin_folder / name).write_text(script)
        (bin_folder / name).chmod(0o755)
    variables = {"System.CollectionUri": "https://dev.azure.example/acme/", "System.TeamProjectId": "p",
                 "System.PlanId": "plan", "System.JobId": "job"}  # fmt: skip
    env = {"PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}", "SEEN": str(folder / "seen.json")}
    agent = devops.agent(folder / "agent", env=env, connections=connections)
    ran, _ = run(agent, verb, folder, inputs, variables)
    assert ran.result == "Succeeded", ran.text
    found: dict[str, str] = json.loads((folder / "seen.json").read_text())
    return found


def test_a_connection_with_workload_identity_federation_reaches_azure_identity(
    devops: Organisation, tmp_path: Path
) -> None:
    """The names are those that AzurePipelinesCredential's own documentation and Microsoft's tasks use."""
    found = seen_by_python(devops, tmp_path, "train", {"azureSubscription": "conn"}, conn=CONNECTION)
    assert found == {
        "AZURESUBSCRIPTION_CLIENT_ID": "the-client", "AZURESUBSCRIPTION_TENANT_ID": "the-tenant",
        "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID": "conn", "SYSTEM_ACCESSTOKEN": SYSTEM_TOKEN,
        "AZURE_SUBSCRIPTION_ID": "the-subscription",
        "SYSTEM_OIDCREQUESTURI": "https://dev.azure.example/acme/p/_apis/distributedtask/hubs/build/plans/plan/jobs/job/oidctoken",
    }  # fmt: skip


def test_without_a_connection_no_token_reaches_python(devops: Organisation, tmp_path: Path) -> None:
    assert seen_by_python(devops, tmp_path, "validate-gate", {"policy": "p.yml"}) == {"GATES_POLICY": "p.yml"}


def test_only_the_comment_gets_the_job_s_token(devops: Organisation, tmp_path: Path) -> None:
    assert seen_by_python(devops, tmp_path, "comment", {}) == {"GATES_TOKEN": SYSTEM_TOKEN}


def test_a_connection_with_a_secret_reaches_azure_identity_and_stands_in_no_log(
    devops: Organisation, tmp_path: Path
) -> None:
    secret = "s3cr3t-planted-4713"
    given = CONNECTION | {"ENDPOINT_AUTH_SCHEME_conn": "ServicePrincipal",
                          "ENDPOINT_AUTH_PARAMETER_conn_SERVICEPRINCIPALKEY": secret}  # fmt: skip
    (tmp_path / "a").mkdir()
    found = seen_by_python(devops, tmp_path / "a", "train", {"azureSubscription": "conn"}, conn=given)
    assert found["AZURE_CLIENT_SECRET"] == secret
    agent = devops.agent(tmp_path / "agent", connections={"conn": given}, env={"GATES_EXTRAS": "gate"})
    ran, _ = run(agent, "validate-gate", project(tmp_path / "r"), {"metrics": secret, "azureSubscription": "conn"})
    assert secret in [command.data for command in ran.of("task.setsecret")], "Python masks it too"
    assert secret not in ran.text
    assert "***" in ran.text


def test_a_connection_of_another_kind_is_one_clear_line(devops: Organisation, tmp_path: Path) -> None:
    agent = devops.agent(tmp_path / "agent", connections={"conn": {"ENDPOINT_AUTH_SCHEME_conn": "Certificate"}})
    ran, _ = run(agent, "train", project(tmp_path / "r"), {"azureSubscription": "conn"})
    assert ran.result == "Failed"
    assert "use workload identity federation" in ran.text
    assert "at Object" not in ran.text


def test_no_python_on_the_machine_is_one_clear_line(devops: Organisation, tmp_path: Path) -> None:
    agent = devops.agent(tmp_path / "agent", env={"PATH": str(tmp_path)})
    ran, _ = run(agent, "validate-gate", project(tmp_path / "r"), {"metrics": "metrics.json"})
    assert ran.result == "Failed"
    assert "no python3 on PATH; put the task UsePythonVersion@0 before this one" in ran.text


def test_a_python_that_is_killed_fails_the_task(devops: Organisation, tmp_path: Path) -> None:
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "python3").write_text("#!/bin/sh\nkill -9 $$\n")
    (bin_folder / "python3").chmod(0o755)
    agent = devops.agent(tmp_path / "agent", env={"PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"})
    ran, _ = run(agent, "validate-gate", project(tmp_path / "r"), {"metrics": "metrics.json"})
    assert ran.result == "Failed"
    assert "ended by SIGKILL" in ran.text


SLOW = """\
import os, pathlib, signal, sys, time
def stop(number, frame):
    time.sleep(1)  # what a deployment has to put in order
    pathlib.Path(os.environ["SEEN"]).write_text(signal.Signals(number).name)
    sys.exit(128 + number)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, stop)
pathlib.Path(os.environ["READY"]).write_text(sys.argv[1])
time.sleep(120)
"""


@pytest.mark.parametrize("node", ["20", "24"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("during", ["setup", "gates"])
def test_a_signal_reaches_python_and_the_task_waits_for_its_end(
    devops: Organisation, tmp_path: Path, node: str, number: signal.Signals, during: str
) -> None:
    """The agent signals the task's process alone."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "slow.py").write_text(SLOW)
    slow = f"exec {shlex.quote(shutil.which('python3') or '')} {bin_folder}/slow.py {during}\n"
    (bin_folder / "slow").write_text(f"#!/bin/sh\n{slow}")
    quick = f"echo {bin_folder}/slow\n" if during == "gates" else slow
    (bin_folder / "python3").write_text(f"#!/bin/sh\n{quick}")
    for name in ("slow", "python3"):
        (bin_folder / name).chmod(0o755)
    ready, seen = tmp_path / "ready", tmp_path / "seen"
    env = {
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "READY": str(ready),
        "SEEN": str(seen),
        "TF_BUILD": "True",
    }
    script = devops.tasks["MlopsTrain@1"].folder / "index.js"
    process = subprocess.Popen([devops.nodes[node], script], env=env, cwd=tmp_path, start_new_session=True, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
    deadline = time.monotonic() + 60
    while not (ready.is_file() and ready.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert ready.read_text() == during
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert seen.read_text() == number.name
    assert "##vso[task.complete result=Failed;]exit code " in said


def test_tfx_s_warnings_are_errors_and_what_it_lets_through_is_found(devops: Organisation, tmp_path: Path) -> None:
    """tfx ends well over both planted tasks; it warns of the first, and has nothing to say of the second."""
    vsix: Any = importlib.import_module("vsix")  # beside nodes.py, which the organisation was built with
    found = {}
    for planted, change in (("warned", {"name": "not a name"}), ("silent", {"execution": {"Node99": {}}})):
        work = tmp_path / planted
        (work / "TrainV1").mkdir(parents=True)
        (work / "TrainV1/index.js").write_text("")
        task = json.loads((ROOT / "ado-tasks/TrainV1/task.json").read_text()) | change
        (work / "TrainV1/task.json").write_text(json.dumps(task))
        manifest = {"manifestVersion": 1, "id": "x", "name": "x", "publisher": "x", "version": "0.1.0",
                    "categories": ["Azure Pipelines"],
                    "targets": [{"id": "Microsoft.VisualStudio.Services"}], "files": [{"path": "TrainV1"}],
                    "contributions": [{"id": "train", "type": "ms.vss-distributed-task.task",
                                       "targets": ["ms.vss-distributed-task.tasks"],
                                       "properties": {"name": "TrainV1"}}]}  # fmt: skip
        (work / "vss-extension.json").write_text(json.dumps(manifest))
        try:
            found[planted] = str(vsix.pack(work, tmp_path / "dist", vsix.nodes.find("24")))
        except ValueError as error:
            found[planted] = str(error)
        assert vsix.lint_tasks.check(work / "TrainV1/task.json") != []
    assert "name is a required alphanumeric string" in found["warned"]
    assert found["silent"].endswith(".vsix")
