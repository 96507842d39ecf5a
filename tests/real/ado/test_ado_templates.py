"""Templates and starters, expanded for every reason of a run, against Microsoft's own schema; then really run.

The scripts and the packaged tasks of the extension run on Node 20 and 24; outputs cross jobs and stages.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from ado_agent import tasks_of
from ado_expander import Sources, expand
from ado_rig import PREDEFINED, ROOT, repository
from ado_schema import findings

if TYPE_CHECKING:
    from ado_rig import Organisation

STARTERS = sorted((ROOT / "templates/ado/starters").glob("*.yml"))
REASONS = ("Manual", "IndividualCI", "PullRequest", "Schedule")
SOURCE_TASKS = tasks_of(ROOT / "ado-tasks")
GIVEN: dict[str, dict[str, Any]] = {"deploy": {"modelVersion": "3"}}
GATES = """\
resources:
  repositories:
    - {repository: gates, type: github, endpoint: github, name: ORG/mlops-gates, ref: refs/tags/v1}
"""
GATE = f"""\
{GATES}
steps:
  - template: templates/ado/steps/validate-gate.yml@gates
    parameters: {{metrics: metrics.json}}
"""
POLICY = """\
version: 1
name: small
revision: 1
owner: tests
stages:
  validate:
    checks:
      - {id: accuracy.floor, type: threshold, metric: accuracy, min: 0.9, decide_on: point}
      - {id: accuracy.wish, type: threshold, metric: accuracy, min: 0.99, decide_on: point, severity: warn}
"""


def opened(file: Path, reason: str, **parameters: Any) -> dict[str, Any]:
    sources = Sources(file.parent, {"gates": ROOT})
    return expand(file, sources=sources, parameters=parameters, variables={**PREDEFINED, "Build.Reason": reason})


def small(folder: Path, accuracy: float = 0.995, **files: str) -> Path:
    """A repository that is gated on a metrics file."""
    metrics = json.dumps({"metrics": {"accuracy": accuracy}, "n": 4000})
    return repository(
        folder, {"mlops.yml": "version: 1\nmodel: small\n", "policy.yml": POLICY, "metrics.json": metrics, **files}
    )


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("file", STARTERS, ids=lambda file: file.stem)
def test_a_starter_expands_to_what_microsoft_s_schema_accepts(file: Path, reason: str) -> None:
    document = opened(file, reason, **GIVEN.get(file.stem, {}))
    assert findings(document, SOURCE_TASKS) == []
    assert "${{" not in json.dumps(document)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"MlopsValidateGate@1"', '"MlopsValidateGat@1"'), ('"metrics": "metrics.json"', '"metrics": {"a": "b"}'),
        ('"trigger"', '"triger"'), ('"condition": "succeededOrFailed()"', '"conditoin": "succeededOrFailed()"'),
    ],
)  # fmt: skip
def test_the_schema_refuses_planted_defects(old: str, new: str) -> None:
    text = json.dumps(opened(ROOT / "templates/ado/starters/gate.yml", "PullRequest"))
    assert old in text
    assert findings(json.loads(text.replace(old, new)), SOURCE_TASKS) != []


def test_an_input_that_a_task_does_not_have_is_refused_by_the_schema() -> None:
    document = {"steps": [{"task": "MlopsTrain@1", "inputs": {"jbo": "x"}}]}
    assert findings(document, SOURCE_TASKS) != []
    assert findings({"steps": [{"task": "MlopsTrain@1", "inputs": {"job": "x"}}]}, SOURCE_TASKS) == []


def stages(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {stage["stage"]: stage for stage in document["stages"]}


def test_the_whole_flow_for_each_reason_of_a_run() -> None:
    file = ROOT / "templates/ado/starters/pipeline.yml"
    pushed, asked, nightly = (stages(opened(file, reason)) for reason in ("IndividualCI", "PullRequest", "Schedule"))
    assert list(pushed) == ["model", "staging", "production"]
    assert pushed["production"]["dependsOn"] == ["model", "staging"]
    assert list(nightly) == ["drift", "model", "staging", "production"]
    assert "driftCheck.retrain" in nightly["model"]["condition"]
    assert list(asked) == ["model"]
    steps = {step.get("name"): step for step in asked["model"]["jobs"][0]["steps"]}
    assert "register" not in steps, "a pull request's model is not registered"
    assert steps["validateGate"]["inputs"]["policyRef"] == "origin/$(System.PullRequest.TargetBranchName)"
    assert steps["comment"]["condition"] == "succeededOrFailed()"
    for stage in (pushed["staging"], pushed["production"]):
        [job] = stage["jobs"]
        assert job["environment"] == stage["stage"], "approvals stand on environments"
        assert job["strategy"]["runOnce"]["on"]["failure"]["steps"][-1]["name"] == "reconcile"


WHY_EXPRESSION = "$[ stageDependencies.drift.drift.outputs['driftCheck.retrainReason'] ]"


@pytest.mark.parametrize("starter", ["drift", "pipeline"])
def test_the_reason_to_train_again_reaches_the_training(starter: str) -> None:
    """By a variable of the job that trains, since the outputs of another stage are known only when it runs."""
    nightly = stages(opened(ROOT / f"templates/ado/starters/{starter}.yml", "Schedule"))
    assert nightly["model"]["dependsOn"] == ["drift"]
    [job] = nightly["model"]["jobs"]
    assert {one["name"]: one["value"] for one in job["variables"]}["trainReason"] == WHY_EXPRESSION
    [train] = [step for step in job["steps"] if step.get("name") == "train"]
    assert (train["task"], train["inputs"]["reason"]) == ("MlopsTrain@1", "$(trainReason)")
    assert nightly["drift"]["jobs"][0]["job"] == "drift"
    assert "driftCheck" in [step.get("name") for step in nightly["drift"]["jobs"][0]["steps"]]


def test_without_drift_there_is_no_reason() -> None:
    pushed = stages(opened(ROOT / "templates/ado/starters/pipeline.yml", "IndividualCI"))
    assert pushed["model"]["jobs"][0]["variables"] == [{"name": "trainReason", "value": ""}]


DRIFTED = f"""\
{GATES}
stages:
  - template: templates/ado/stages/drift.yml@gates
    parameters: {{config: mlops.yml}}
  - stage: model
    dependsOn: [drift]
    condition: and(succeeded(), eq(dependencies.drift.outputs['drift.driftCheck.retrain'], 'true'))
    jobs:
      - job: train
        variables:
          - {{name: trainReason, value: "{WHY_EXPRESSION}"}}
        steps:
          - bash: echo "trained since $WHY"
            env: {{WHY: $(trainReason)}}
"""
WATCHED = """\
version: 1
name: small
stages:
  drift:
    checks:
      - {id: features, type: drift, columns: [x]}
    retrain: {on_drift: true}
"""


def test_drift_asks_for_training_and_says_why(devops: Organisation, tmp_path: Path) -> None:
    """The check really runs; what would train reads the reason that it gave."""
    before, after = ("x\n" + "".join(f"{n / 100 + shift}\n" for n in range(300)) for shift in (0, 9))
    mlops = "version: 1\nmodel: small\npolicy: policy.yml\ndrift: {reference: before.csv, current: after.csv}\n"
    files = {"mlops.yml": mlops, "policy.yml": WATCHED, "before.csv": before, "after.csv": after, "p.yml": DRIFTED}
    repo = repository(tmp_path / "r", files)
    ran = devops.run(repo / "p.yml", repo, tmp_path / "agent")
    assert ran.wrong() == []
    assert ran.results == {"drift": "Succeeded", "model": "Succeeded"}, ran.log()
    said = ran.stages["drift"].jobs["drift"].step("driftCheck").outputs
    assert (said["retrain"], said["retrainReason"]) == ("true", "drift: 1 of 1 columns drifted (x)")
    assert f"trained since {said['retrainReason']}" in ran.stages["model"].jobs["train"].steps[0].text


@pytest.mark.parametrize("file", sorted((ROOT / "templates/ado").rglob("*.yml")), ids=lambda file: file.stem)
def test_no_template_can_keep_a_gate_from_blocking(file: Path) -> None:
    text = file.read_text()
    assert "continueOnError" not in text
    assert "always()" not in text
    assert "refs/heads" not in text


@pytest.mark.parametrize("file", sorted((ROOT / "templates/ado/steps").glob("*.yml")), ids=lambda file: file.stem)
def test_no_value_stands_inside_a_script(file: Path) -> None:
    for step in _scripts(yaml.safe_load(file.read_text())["steps"]):
        assert "${{" not in step
        assert "$(" not in step


def _scripts(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [text for key in ("bash", "script", "inlineScript") if isinstance(text := value.get(key), str)]
        return own + [text for inner in value.values() for text in _scripts(inner)]
    return [text for inner in value for text in _scripts(inner)] if isinstance(value, list) else []


CROSSING = """\
{gates}
stages:
  - stage: first
    jobs:
      - job: gate
        steps:
          - template: templates/ado/steps/setup.yml@gates
            parameters: {{use: USE, package: 'PACKAGE', extras: gate}}
          - template: templates/ado/steps/validate-gate.yml@gates
            parameters: {{use: USE, metrics: metrics.json}}
      - job: after
        dependsOn: gate
        variables:
          - name: verdict
            value: $[ dependencies.gate.outputs['validateGate.verdict'] ]
        steps:
          - bash: echo "the verdict is $V"
            env: {{V: $(verdict)}}
      - job: onFailure
        dependsOn: gate
        condition: failed()
        steps:
          - bash: echo "it failed"
      - job: whatever
        dependsOn: gate
        condition: always()
        steps:
          - bash: echo "whatever happened"
  - stage: second
    condition: and(succeeded(), eq(dependencies.first.outputs['gate.validateGate.decision'], 'allow'))
    jobs:
      - job: reads
        variables:
          - name: digest
            value: $[ stageDependencies.first.gate.outputs['validateGate.reportDigest'] ]
        steps:
          - script: echo "bound to $D"
            env: {{D: $(digest)}}
  - stage: third
    dependsOn: first
    condition: failed()
    jobs:
      - job: cleans
        steps:
          - bash: echo "cleaning up"
"""


@pytest.mark.parametrize("node", ["20", "24"])
def test_outputs_cross_jobs_and_stages_and_conditions_hold(devops: Organisation, tmp_path: Path, node: str) -> None:
    text = CROSSING.format(gates=GATES).replace("USE", "task").replace("PACKAGE", "x")
    repo = small(tmp_path / "r", 0.995, **{"azure-pipelines.yml": text})
    ran = devops.run(repo / "azure-pipelines.yml", repo, tmp_path / "agent", node=node)
    assert ran.wrong() == []
    assert ran.results == {"first": "Succeeded", "second": "Succeeded", "third": "Skipped"}, ran.log()
    jobs = ran.stages["first"].jobs
    gate = jobs["gate"].step("validateGate")
    assert gate.outputs["verdict"] == "PASS"
    assert "the verdict is PASS" in jobs["after"].steps[0].text
    assert (jobs["onFailure"].result, jobs["whatever"].result) == ("Skipped", "Succeeded")
    assert f"bound to {gate.outputs['reportDigest']}" in ran.stages["second"].jobs["reads"].steps[0].text


def test_a_refusal_stops_what_depends_on_it_and_is_said_everywhere(devops: Organisation, tmp_path: Path) -> None:
    text = CROSSING.format(gates=GATES).replace("USE", "task").replace("PACKAGE", "x")
    repo = small(tmp_path / "r", 0.5, **{"azure-pipelines.yml": text})
    ran = devops.run(repo / "azure-pipelines.yml", repo, tmp_path / "agent")
    assert ran.results == {"first": "Failed", "second": "Skipped", "third": "Succeeded"}, ran.log()
    jobs = ran.stages["first"].jobs
    assert [jobs[name].result for name in ("gate", "after", "onFailure", "whatever")] == [
        "Failed",
        "Skipped",
        "Succeeded",
        "Succeeded",
    ]
    gate = jobs["gate"].step("validateGate")
    assert gate.outputs | {"outcome": "refused", "verdict": "FAIL", "exitCode": "1"} == gate.outputs
    [tests] = gate.of("results.publish")
    assert tests.properties["type"] == "JUnit"
    assert '<failure message="' in Path(tests.properties["resultfiles"]).read_text()
    assert "❌ FAIL" in Path(gate.of("task.uploadsummary")[0].data).read_text()
    assert [command.data for command in gate.of("build.addbuildtag")] == ["gate-fail"]
    [artifact] = gate.of("artifact.upload")
    assert json.loads(Path(artifact.data).read_text())["result"]["verdict"] == "FAIL"
    errors = [command for command in gate.of("task.logissue") if command.properties["type"] == "error"]
    assert errors[0].properties == {"sourcepath": "policy.yml", "linenumber": "8", "type": "error"}


def test_a_warning_is_succeeded_with_issues(devops: Organisation, tmp_path: Path) -> None:
    repo = small(tmp_path / "r", 0.95, **{"p.yml": GATE})
    ran = devops.run(repo / "p.yml", repo, tmp_path / "agent")
    assert ran.results == {"__default": "SucceededWithIssues"}


def test_without_the_extension_the_package_gives_the_same_report(devops: Organisation, tmp_path: Path) -> None:
    """`use: package`, installed by pip from where it is told to."""
    results = {}
    for use in ("task", "package"):
        text = CROSSING.format(gates=GATES).replace("USE", use).replace("PACKAGE", f"mlops-gates @ file://{ROOT}")
        repo = small(tmp_path / use, 0.995, **{"azure-pipelines.yml": text})
        ran = devops.run(repo / "azure-pipelines.yml", repo, tmp_path / f"agent-{use}")
        assert ran.results == {"first": "Succeeded", "second": "Succeeded", "third": "Skipped"}, ran.log()
        assert ran.wrong() == []
        results[use] = ran.stages["first"].jobs["gate"].step("validateGate").outputs["reportDigest"]
    assert results["task"] == results["package"]
