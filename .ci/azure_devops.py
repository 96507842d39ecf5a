"""The Azure DevOps face, generated from the declared inputs: ado-tasks/*/task.json and templates/ado/steps/*.yml.

A task and a step template exist for every command that is an action, and for setup. Two facts are kept by hand: a
task's GUID (ado-tasks/guids.json), and the service connection, an input that only tasks have.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gates import __version__
from gates.inputs import Option, declared
from gates.steps import COMMANDS
from gates.steps.step import Common

ROOT = Path(__file__).resolve().parents[1]
MAJOR = 1
PREFIX = "Mlops"
CONNECTION = "azureSubscription"
_CONNECTION_HELP = (
    "For `backend: azureml`: an Azure Resource Manager service connection, best with workload identity federation."
)
_TOKEN = "comment"  # the one command that speaks to the platform's own REST API
_FRAME = ("use", "stepName", "displayName", "condition", CONNECTION)
_COMMON = {option.name for option in declared(Common)}


@dataclass(frozen=True)
class Face:
    """What a task and a step template are made from."""

    verb: str
    module: str
    summary: str
    inputs: tuple[Option, ...]
    outputs: tuple[Option, ...]

    @property
    def pascal(self) -> str:
        return "".join(word.capitalize() for word in self.verb.split("-"))

    @property
    def task(self) -> str:
        """As a pipeline names it: `MlopsValidateGate@1`."""
        return f"{PREFIX}{self.pascal}@{MAJOR}"

    @property
    def folder(self) -> str:
        return f"{self.pascal}V{MAJOR}"


SETUP = Face(
    "setup", "__init__", "Build, or find in the tool cache, the environment that the other steps run in.",
    (Option("extras", "What is wanted.", kind="choice", default="local", choices=("gate", "stats", "local", "azure")),),
    (Option("python", "The interpreter of that environment: run `PYTHON -I -m gates`."),),
)  # fmt: skip


def faces() -> tuple[Face, ...]:
    """Every command that is an action, and setup."""
    found = [
        Face(command.verb, command.module, command.summary, declared(command.load().Inputs),
             declared(command.load().Outputs))
        for command in COMMANDS.values() if command.action
    ]  # fmt: skip
    return (*found, SETUP)


def files() -> dict[Path, str]:
    """Every generated file of this face with its text."""
    guids = json.loads((ROOT / "ado-tasks/guids.json").read_text(encoding="utf-8"))
    found: dict[Path, str] = {}
    for face in faces():
        if face.verb not in guids:
            raise SystemExit(f"error: ado-tasks/guids.json has no GUID for '{face.verb}'; add a new one")
        task = json.dumps(task_json(face, guids[face.verb]), indent=2, ensure_ascii=False) + "\n"
        found[ROOT / "ado-tasks" / face.folder / "task.json"] = task
        found[ROOT / "templates/ado/steps" / f"{face.verb}.yml"] = step_template(face)
    return found


def describe(option: Option) -> str:
    default = f" Default: {option.default_text}." if option.default_text else ""
    return option.help + (f" One of {', '.join(option.choices)}." if option.choices else "") + default


def task_json(face: Face, guid: str) -> dict[str, Any]:
    """The manifest of one task."""
    own = [option for option in face.inputs if option.name not in _COMMON]
    common = [option for option in face.inputs if option.name in _COMMON]
    inputs = [_task_input(option) for option in own]
    if face is not SETUP:
        inputs.append({"name": CONNECTION, "type": "connectedService:AzureRM", "label": "Azure subscription",
                       "required": False, "helpMarkDown": _CONNECTION_HELP})  # fmt: skip
    inputs += [_task_input(option) | {"groupName": "where"} for option in common]
    return {
        "$schema": "https://raw.githubusercontent.com/Microsoft/azure-pipelines-task-lib/master/tasks.schema.json",
        "id": guid,
        "name": face.task.partition("@")[0],
        "friendlyName": f"MLOps Gates: {face.verb}",
        "description": face.summary,
        "helpMarkDown": "Every input may stay empty: then mlops.yml says it, or the default holds. "
        "[The same step everywhere](https://github.com/ORG/mlops-gates/blob/v1/docs/how-to/azure-devops.md).",
        "category": "Utility",
        "visibility": ["Build", "Release"],
        "author": "MLOps Gates",
        "version": version(),
        "minimumAgentVersion": "3.232.1",
        "instanceNameFormat": f"gates {face.verb}",
        "showEnvironmentVariables": True,
        "groups": [{"name": "where", "displayName": "Where things are", "isExpanded": False}] if common else [],
        "inputs": inputs,
        "outputVariables": [{"name": option.camel, "description": option.help} for option in face.outputs],
        "restrictions": {"settableVariables": {"allowed": [option.camel for option in face.outputs]}},
        "execution": {"Node20_1": {"target": "index.js"}, "Node24": {"target": "index.js"}},
    }


def version() -> dict[str, int]:
    """`@1` is the interface; the library's version stands in minor and patch, so that 0.1.0 < 1.0.0 < 1.2.0."""
    major, minor, patch = (int(part) for part in __version__.split("."))
    return {"Major": MAJOR, "Minor": 100 * major + minor, "Patch": patch}


def _task_input(option: Option) -> dict[str, Any]:
    # No default value: one would hide mlops.yml. No `filePath`: the agent makes the repository's root of an empty one.
    # No `boolean`: the agent makes `false` of an empty one.
    words = option.flag.replace("-", " ")
    found: dict[str, Any] = {
        "name": option.camel, "type": "string", "label": words[0].upper() + words[1:], "required": False,
        "helpMarkDown": describe(option),
    }  # fmt: skip
    choices = option.choices or (("true", "false") if option.kind == "bool" else ())
    if choices:
        found |= {"type": "pickList", "options": {choice: choice for choice in choices},
                  "properties": {"EditableOptions": "True"}}  # fmt: skip
    return found


def step_template(face: Face) -> str:
    """The step as a template: the task, or (`use: package`) the command of the package that setup.yml installed."""
    assert not {option.camel for option in face.inputs} & set(_FRAME), face.verb
    head = f"# Generated by .ci/sync.py from the inputs declared in gates/steps/{face.module}.py; do not edit.\n"
    parameters = [
        _parameter("use", "string", "task", ("task", "package")),
        _parameter("stepName", "string", face.pascal[0].lower() + face.pascal[1:]),
        _parameter("displayName", "string", face.verb),
        _parameter("condition", "string", "succeeded()"),
    ]
    if face is SETUP:
        parameters.append(_parameter("package", "string", f"mlops-gates[local]=={__version__}"))
    else:
        parameters.append(_parameter(CONNECTION, "string", ""))
    parameters += [_declared(option) for option in face.inputs]
    body = _setup_steps(face) if face is SETUP else _steps(face)
    return head + "parameters:\n" + "".join(parameters) + "steps:\n" + body


def _typed(option: Option) -> bool:
    """A boolean that mlops.yml cannot set is a boolean of the template; another must be able to stay unsaid."""
    return option.kind == "bool" and not option.config and option.default is not None


def _declared(option: Option) -> str:
    if _typed(option):
        return _parameter(option.camel, "boolean", option.default)
    choices = option.choices or (("true", "false") if option.kind == "bool" else ())
    return _parameter(option.camel, "string", "", ("", *choices) if choices else ())


def _parameter(name: str, kind: str, default: str | bool, values: tuple[str, ...] = ()) -> str:
    chosen = f", values: [{', '.join(_quote(value) for value in values)}]" if values else ""
    return f"  - {{ name: {name}, type: {kind}, default: {_quote(default)}{chosen} }}\n"


def _quote(value: str | bool) -> str:
    """A YAML scalar; a text that YAML would read as something else is quoted."""
    if isinstance(value, bool):
        return str(value).lower()
    plain = value and not set(value) & set("[]()=, ") and value not in ("true", "false")
    return value if plain else f"'{value}'"


def _value(option: Option) -> str:
    """A boolean parameter reads `True`; every dialect of ours writes `true`."""
    given = f"parameters.{option.camel}"
    return f"${{{{ {f'lower({given})' if _typed(option) else given} }}}}"


_HEAD = """\
        name: ${{ parameters.stepName }}
        displayName: ${{ parameters.displayName }}
        condition: ${{ parameters.condition }}
"""


def _steps(face: Face) -> str:
    command = f"'exec \"${{GATES_INTERPRETER:?put steps/setup.yml before this step}}\" -I -m gates {face.verb}'"
    env = "".join(f"          {option.variable}: {_value(option)}\n" for option in face.inputs)
    if face.verb == _TOKEN:
        env += "          GATES_TOKEN: $(System.AccessToken)\n"
    inputs = _when_given(CONNECTION) + "".join(
        _when_given(option.camel) if option.choices else f"          {option.camel}: {_value(option)}\n"
        for option in face.inputs
    )
    return (
        "  - ${{ if eq(parameters.use, 'task') }}:\n"
        f"      - task: {face.task}\n{_HEAD}        inputs:\n{inputs}"
        "  - ${{ elseif ne(parameters.azureSubscription, '') }}:\n"
        f"      - task: AzureCLI@2\n{_HEAD}        inputs:\n"
        f"          azureSubscription: ${{{{ parameters.{CONNECTION} }}}}\n"
        "          scriptType: bash\n          scriptLocation: inlineScript\n"
        f"          inlineScript: {command}\n"
        f"        env:\n          SYSTEM_ACCESSTOKEN: $(System.AccessToken)\n{env}"
        "  - ${{ else }}:\n"
        f"      - bash: {command}\n{_HEAD}        env:\n{env}"
    )


def _when_given(name: str) -> str:
    return f"          ${{{{ if ne(parameters.{name}, '') }}}}:\n            {name}: ${{{{ parameters.{name} }}}}\n"


def _setup_steps(face: Face) -> str:
    return (
        "  - ${{ if eq(parameters.use, 'task') }}:\n"
        f"      - task: {face.task}\n{_HEAD}        inputs:\n{_when_given('extras')}"
        "  - ${{ else }}:\n      - bash: |\n"
        "          set -euo pipefail\n"
        '          home="$AGENT_TEMPDIRECTORY/mlops-gates"\n'
        '          python3 -m venv "$home"\n'
        '          "$home/bin/python" -m pip install --quiet --disable-pip-version-check -- "$PACKAGE"\n'
        '          echo "##vso[task.setvariable variable=GATES_INTERPRETER]$home/bin/python"\n'
        f"{_HEAD}        env:\n          PACKAGE: ${{{{ parameters.package }}}}\n"
    )
