"""One declared input, everywhere: flag, variable, action, task, template, docs; and what tfx lets through in a task."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gates import cli
from gates.inputs import Option, declared
from gates.steps import COMMANDS, STEPS, train

ROOT = Path(__file__).resolve().parents[2]
ACTIONS = [command for command in COMMANDS.values() if command.action]
TASKS = sorted(ROOT.glob("ado-tasks/*/task.json"))
FRAME = {"use", "stepName", "displayName", "condition", "azureSubscription"}


def _load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, ROOT / f".ci/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


lint_tasks, sync = _load("lint_tasks"), _load("sync")


def pascal(verb: str) -> str:
    return "".join(word.capitalize() for word in verb.split("-"))


def surfaces(verb: str) -> dict[str, list[str]]:
    """The inputs of one command on every surface, read from the files, each by the name of its own dialect."""
    action = ROOT / ("action.yml" if verb == "run" else f"actions/{verb}/action.yml")
    task = json.loads((ROOT / f"ado-tasks/{pascal(verb)}V1/task.json").read_text())
    template = (ROOT / f"templates/ado/steps/{verb}.yml").read_text()
    parameters = [given["name"] for given in yaml.safe_load(template)["parameters"]]
    script = template.partition("${{ else }}:")[2]
    helped = cli.parser_of(COMMANDS[verb]).format_help().partition("outputs:")[0]
    return {
        "action": list(yaml.safe_load(action.read_text())["inputs"]),
        "task": sorted(given["name"] for given in task["inputs"] if given["name"] != "azureSubscription"),
        "parameter": [name for name in parameters if name not in FRAME],
        "variable of the action": sorted(set(re.findall(r"(GATES_\w+): \$\{\{ inputs\.", action.read_text()))),
        "variable of the template": re.findall(r"(GATES_\w+): \$\{\{", script),
        "flag": re.findall(r"^  --([\w-]+) ", helped, re.MULTILINE),
    }


@pytest.mark.parametrize("verb", [command.verb for command in ACTIONS])
def test_one_declared_input_everywhere(verb: str) -> None:
    options = declared(COMMANDS[verb].load().Inputs)
    flags = [option.flag for option in options]
    camels = [option.camel for option in options]
    variables = [option.variable for option in options]
    assert surfaces(verb) == {
        "action": flags, "task": sorted(camels), "parameter": camels, "variable of the action": sorted(variables),
        "variable of the template": variables, "flag": flags,
    }  # fmt: skip


@pytest.mark.parametrize("verb", [command.verb for command in STEPS])
def test_a_step_s_inputs_and_outputs_stand_in_the_docs(verb: str) -> None:
    row = next(line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith(f"| `gates {verb}`"))
    module = COMMANDS[verb].load()
    common = {option.name for option in declared(COMMANDS["reconcile"].load().Inputs)}
    for option in (*declared(module.Inputs), *declared(module.Outputs)):
        shared = option.name in common or option.name in (
            "exit_code",
            "outcome",
            "message",
            "report_path",
            "report_digest",
        )
        assert shared or f"`{option.flag}`" in row, option.flag


def test_a_new_input_makes_every_surface_stale(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = dict(train.Inputs.__dataclass_fields__)
    monkeypatch.setattr(sync, "declared", lambda cls: _with_one_more(cls))
    monkeypatch.setattr(sync.azure_devops, "declared", lambda cls: _with_one_more(cls))
    assert sync.main(["--check"]) == 1
    said = capsys.readouterr().err
    for file in (
        "actions/train/action.yml",
        "ado-tasks/TrainV1/task.json",
        "templates/ado/steps/train.yml",
        "README.md",
    ):
        assert f"stale: {file};" in said
    assert fields == dict(train.Inputs.__dataclass_fields__)


def _with_one_more(cls: Any) -> tuple[Option, ...]:
    return (*declared(cls), Option("brand_new", "Something new.")) if cls is train.Inputs else declared(cls)


@pytest.mark.parametrize("verb", [*(command.verb for command in ACTIONS), "setup"])
def test_outputs_of_a_task_are_the_command_s_and_no_other_may_be_set(verb: str) -> None:
    task = json.loads((ROOT / f"ado-tasks/{pascal(verb)}V1/task.json").read_text())
    wanted = ["python"] if verb == "setup" else [o.camel for o in declared(COMMANDS[verb].load().Outputs)]
    assert [given["name"] for given in task["outputVariables"]] == wanted
    assert task["restrictions"]["settableVariables"]["allowed"] == wanted


def test_a_template_s_types_are_the_declared_ones() -> None:
    for command in ACTIONS:
        parameters = yaml.safe_load((ROOT / f"templates/ado/steps/{command.verb}.yml").read_text())["parameters"]
        typed = {given["name"]: given for given in parameters}
        for option in declared(command.load().Inputs):
            given = typed[option.camel]
            if option.kind == "bool" and not option.config:
                assert (given["type"], given["default"]) == ("boolean", option.default), option
            else:
                assert (given["type"], given["default"]) == ("string", ""), "a default would hide mlops.yml"
                assert given.get("values", [""]) == ["", *option.choices], option


def test_every_task_has_a_guid_of_its_own_and_a_template() -> None:
    found = [json.loads(file.read_text())["id"] for file in TASKS]
    assert len(set(found)) == len(found) == len(ACTIONS) + 1
    kept = json.loads((ROOT / "ado-tasks/guids.json").read_text())
    assert set(found) == {guid for verb, guid in kept.items() if verb != "//"}
    templates = {file.stem for file in ROOT.glob("templates/ado/steps/*.yml")}
    assert templates == {command.verb for command in ACTIONS} | {"setup"}


def test_no_task_is_found_wrong() -> None:
    assert [line for file in TASKS for line in lint_tasks.check(file)] == []
    assert len(TASKS) > 8


@pytest.mark.parametrize(
    ("where", "value", "found"),
    [
        (("id",), "1234", "is no GUID"),
        (("name",), "validate gate", "name: 'validate gate' must match"),
        (("friendlyName",), "x" * 41, "longer than 40 characters"),
        (("version",), {"Major": "1", "Minor": 0, "Patch": 0}, "must be whole numbers"),
        (("category",), "Gates", "category: 'Gates'"),
        (("minimumAgentVersion",), "3", "minimumAgentVersion"),
        (("colour",), "red", "unknown key 'colour'"),
        (("execution",), {"Node20_1": {"target": "index.js"}, "Node99": {"target": "index.js"}}, "no handler 'Node99'"),
        (("execution",), {"Node20_1": {"target": "index.js"}}, "execution: no Node24"),
        (("execution", "Node24", "target"), "main.js", "target must be index.js"),
        (("inputs", 0, "name"), "policy-ref", "input policy-ref: must match"),
        (("inputs", 0, "name"), "Policy", "twice"),
        (("inputs", 0, "type"), "filePath", "type 'filePath' is not one of"),
        (("inputs", 0, "type"), "pickList", "a pickList without options"),
        (("inputs", 0, "defaultValue"), "x", "would hide mlops.yml"),
        (("inputs", 0, "required"), "false", "required must be true or false"),
        (("inputs", 0, "groupName"), "nowhere", "there is no group 'nowhere'"),
        (("inputs", 0, "helpMarkDown"), " ", "no helpMarkDown"),
        (("inputs", 0, "lable"), "x", "unknown key 'lable'"),
        (("outputVariables", 0, "name"), "exit-code", "output exit-code: must match"),
        (("restrictions",), {}, "restrictions.settableVariables.allowed"),
    ],
)  # fmt: skip
def test_what_tfx_lets_through_is_found(where: tuple[Any, ...], value: Any, found: str, tmp_path: Path) -> None:
    task = json.loads((ROOT / "ado-tasks/ValidateGateV1/task.json").read_text())
    part = task
    for key in where[:-1]:
        part = part[key]
    part[where[-1]] = value
    (tmp_path / "task.json").write_text(json.dumps(task))
    assert any(found in line for line in lint_tasks.check(tmp_path / "task.json")), lint_tasks.check(
        tmp_path / "task.json"
    )


def test_a_task_that_is_no_json_and_a_staged_one_without_its_script_are_found(tmp_path: Path) -> None:
    (tmp_path / "task.json").write_text("{")
    assert "not JSON" in lint_tasks.check(tmp_path / "task.json")[0]
    (tmp_path / "library").mkdir()
    (tmp_path / "task.json").write_text((ROOT / "ado-tasks/TrainV1/task.json").read_text())
    found = lint_tasks.check(tmp_path / "task.json")
    assert any("index.js is not there" in line for line in found)
    assert any("no icon.png" in line for line in found)
