"""Foreign judges over the actions, workflows and starters: zizmor, actionlint, the published schemas, our own lint.

Each judge is shown a planted defect too: a judge that finds nothing there judges nothing here.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
ACTIONS = [ROOT / "action.yml", *sorted(ROOT.glob("actions/*/action.yml"))]
REUSABLE = ("train-gate-register", "deploy", "reconcile", "drift")
WORKFLOWS = sorted([*ROOT.glob(".github/workflows/*.yml"), *ROOT.glob("templates/github/*.yml"),
                    *ROOT.glob("examples/*/.github/workflows/*.yml")])  # fmt: skip


def _load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, ROOT / f".ci/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


lint_actions = _load("lint_actions")


def run(*command: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)


def zizmor(tool: str, *inputs: Path) -> subprocess.CompletedProcess[str]:
    return run(tool, "--offline", "--persona=pedantic", "--strict-collection", "--no-progress",
               "--config", ROOT / ".github/zizmor.yml", *inputs)  # fmt: skip


def test_generated_files_are_fresh() -> None:
    done = run(sys.executable, ROOT / ".ci/sync.py", "--check")
    assert done.returncode == 0, done.stderr


def test_a_stale_file_is_named_with_the_command_that_mends_it(tmp_path: Path) -> None:
    for name in (".ci", "gates", "actions", "ado-tasks", "templates"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    for name in ("action.yml", "action-types.yml", "README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    stale = tmp_path / "actions/train/action.yml"
    stale.write_text(stale.read_text() + "# by hand\n")
    done = run(sys.executable, tmp_path / ".ci/sync.py", "--check")
    assert done.returncode == 1
    assert "stale: actions/train/action.yml; run `python .ci/sync.py`" in done.stderr


def test_zizmor_finds_nothing(need: Callable[[str], str]) -> None:
    done = zizmor(need("zizmor"), ROOT / ".github", ROOT / "actions", ROOT / "action.yml", *WORKFLOWS)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("        with:\n          persist-credentials: false\n", "        env: { X: '${{ toJSON(secrets) }}' }\n"),
        ("@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2", "@v4"),
        ("        with:\n          persist-credentials: false\n", ""),
        ('-r "$REQUIREMENTS"', "-r ${{ inputs.requirements }}"),
    ],
)
def test_zizmor_sees_planted_defects(need: Callable[[str], str], tmp_path: Path, old: str, new: str) -> None:
    text = (ROOT / ".github/workflows/train-gate-register.yml").read_text().replace("--requirement", "-r")
    assert old in text
    planted = tmp_path / ".github/workflows/w.yml"
    planted.parent.mkdir(parents=True)
    planted.write_text(text.replace(old, new))
    assert zizmor(need("zizmor"), planted).returncode != 0


def test_a_called_workflow_leaves_permissions_to_its_caller_and_every_caller_says_them() -> None:
    """One that asked for `id-token: write` would not even start for callers that do not grant it."""
    for name in REUSABLE:
        called = yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text())
        assert list(called[True]) == ["workflow_call"]  # YAML 1.1 reads the key `on` so
        assert "permissions" not in called
        assert not [job for job in called["jobs"].values() if "permissions" in job]
    callers = [file for file in WORKFLOWS if file.stem not in REUSABLE or "workflows" not in file.parts]
    assert len(callers) >= 6
    for file in callers:
        text = yaml.safe_load(file.read_text())
        assert text["permissions"] == {}, file
        assert all(job["permissions"] for job in text["jobs"].values()), file


def test_actionlint_finds_nothing(need: Callable[[str], str]) -> None:
    done = run(need("actionlint"), "-no-color", *WORKFLOWS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_actionlint_sees_a_planted_defect(need: Callable[[str], str], tmp_path: Path) -> None:
    planted = tmp_path / "w.yml"
    text = (ROOT / ".github/workflows/deploy.yml").read_text()
    planted.write_text(text.replace("inputs.rollout", "inputs.rolout"))
    done = run(need("actionlint"), "-no-color", planted)
    assert done.returncode != 0
    assert "rolout" in done.stdout


@pytest.mark.parametrize(
    ("schema", "files"), [("vendor.github-actions", ACTIONS), ("vendor.github-workflows", WORKFLOWS)]
)
def test_the_published_schemas_accept_every_file(need: Callable[[str], str], schema: str, files: list[Path]) -> None:
    done = run(need("check-jsonschema"), "--builtin-schema", schema, *files)
    assert done.returncode == 0, done.stdout


def test_the_published_schema_refuses_a_planted_defect(need: Callable[[str], str], tmp_path: Path) -> None:
    planted = tmp_path / "action.yml"
    planted.write_text((ROOT / "actions/train/action.yml").read_text().replace("using: composite", "using: compsite"))
    assert run(need("check-jsonschema"), "--builtin-schema", "vendor.github-actions", planted).returncode != 0


def test_our_lint_finds_nothing() -> None:
    assert [line for file in lint_actions.files() for line in lint_actions.lint(file)] == []
    assert len(lint_actions.files()) > 15


GATE = ROOT / "actions/validate-gate/action.yml"
CALLED = ROOT / ".github/workflows/train-gate-register.yml"


@pytest.mark.parametrize(
    ("file", "old", "new", "found"),
    [
        (GATE, "inputs.policy }}", "inputs.polcy }}", "inputs.polcy is not declared"),
        (GATE, "        GATES_STAGE: ${{ inputs.stage }}\n", "", "input stage is declared and not used"),
        (GATE, "steps.setup.outputs", "steps.stup.outputs", "steps.stup is no step before this one"),
        (GATE, "steps.gates.outputs.verdict", "steps.gate.outputs.verdict", "steps.gate is no step before this one"),
        (GATE, "-m gates validate-gate", "-m gates validate-gate ${{ inputs.model }}", "an expression inside run"),
        (GATE, "      shell: bash\n", "", "run without shell"),
        (CALLED, "@11bd71901bbe5b1630ceea73d27597364c9af683", "@v4", "is not pinned to a commit"),
        (CALLED, "          policy-ref: ", "          polcy-ref: ", "has no input polcy-ref"),
        (CALLED, "steps.train.outputs.model-path", "steps.train.outputs.model", "has no output model"),
        (CALLED, "      - id: gate\n", "      - id: gaet\n", "steps.gate is no step before this one"),
        (CALLED, "inputs.alias", "inputs.job", "input alias is declared and not used"),
    ],
)
def test_our_lint_sees_planted_defects(tmp_path: Path, file: Path, old: str, new: str, found: str) -> None:
    text = file.read_text()
    assert old in text
    planted = tmp_path / file.name
    planted.write_text(text.replace(old, new))
    assert any(found in line for line in lint_actions.lint(planted)), lint_actions.lint(planted)


@pytest.mark.parametrize("file", ACTIONS, ids=lambda file: file.parent.name)
def test_action_types_name_exactly_the_inputs_and_outputs(file: Path) -> None:
    action, types = yaml.safe_load(file.read_text()), yaml.safe_load((file.parent / "action-types.yml").read_text())
    kinds = {"string", "boolean", "integer", "float", "list", "enum"}
    for part in ("inputs", "outputs"):
        assert list(types[part]) == list(action[part])
        assert {value["type"] for value in types[part].values()} <= kinds


@pytest.mark.parametrize("file", ACTIONS, ids=lambda file: file.parent.name)
def test_every_input_of_an_action_reaches_code_through_env_alone(file: Path) -> None:
    for step in yaml.safe_load(file.read_text())["runs"]["steps"]:
        assert "${{" not in step["run"]
        assert "GITHUB_ENV" not in step["run"]
        assert all(name.startswith("GATES_") for name in step["env"])
    assert "uses:" not in file.read_text(), "no third-party action in the core path"


@pytest.mark.parametrize("name", REUSABLE)
def test_a_reusable_workflow_is_typed_and_serial(name: str) -> None:
    workflow = yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text())
    called = workflow[True]["workflow_call"]  # `on` reads as a boolean in YAML 1.1
    assert all(given["type"] in ("string", "boolean", "number") for given in called["inputs"].values())
    assert all(given["description"] for given in (*called["inputs"].values(), *called["outputs"].values()))
    for job in workflow["jobs"].values():
        assert job["concurrency"]["cancel-in-progress"] is False
        assert job["timeout-minutes"]
        assert set(called["secrets"]) == set(job["env"])


def test_deployments_to_one_endpoint_wait_for_one_another() -> None:
    jobs = [
        yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text())["jobs"][name]
        for name in ("deploy", "reconcile")
    ]
    groups = {job["concurrency"]["group"] for job in jobs}
    assert len(groups) == 1
    assert "${{ inputs.endpoint-name }}" in min(groups)
    assert "github.ref" not in min(groups), "two branches would deploy at once"


def test_what_a_deployment_left_is_reconciled_however_it_ended_and_on_a_schedule() -> None:
    last = yaml.safe_load((ROOT / ".github/workflows/deploy.yml").read_text())["jobs"]["deploy"]["steps"][-1]
    assert "/actions/reconcile@" in last["uses"]
    assert last["if"].startswith("always() && "), "also where the deployment failed or was cancelled"
    starter = yaml.safe_load((ROOT / "templates/github/deploy.yml").read_text())
    assert starter[True]["schedule"]
    assert "/workflows/reconcile.yml@" in starter["jobs"]["reconcile"]["uses"]


@pytest.mark.parametrize("file", sorted(ROOT.glob("templates/github/*.yml")), ids=lambda file: file.stem)
def test_starters_give_reusable_workflows_inputs_that_they_have(file: Path) -> None:
    for job in yaml.safe_load(file.read_text())["jobs"].values():
        if "uses" in job:
            path = job["uses"].split("/", 2)[2].split("@")[0]
            called = yaml.safe_load((ROOT / path).read_text())[True]["workflow_call"]
            assert set(job["with"]) <= set(called["inputs"])
            assert {n for n, given in called["inputs"].items() if given.get("required")} <= set(job["with"])
            assert not set(job) & {"runs-on", "steps"}


def test_starters_and_workflows_never_use_a_branch() -> None:
    for file in WORKFLOWS:
        assert "@main" not in file.read_text(), file
        assert "@master" not in file.read_text(), file


def test_the_release_workflow_attests_what_it_publishes() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]
    uses = [step.get("uses", "").split("@")[0] for step in jobs["build"]["steps"]]
    assert "actions/attest-build-provenance" in uses
    assert jobs["build"]["permissions"] == {"contents": "read", "id-token": "write", "attestations": "write"}
    assert jobs["publish"]["needs"] == "build"
    assert jobs["publish"]["permissions"] == {"contents": "write"}
    assert "actions/checkout" not in json.dumps(jobs["publish"]), "nothing of the source runs where a tag can be moved"
