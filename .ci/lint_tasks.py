"""What tfx lets through and Azure DevOps refuses or misreads in a task.json: `python .ci/lint_tasks.py [FILE …]`.

The rules are those of the published task schema and of the agent: handlers it knows, names it turns into environment
variables, defaults that it invents.
"""

from __future__ import annotations

import json
import re
import sys
import uuid
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
HANDLERS = {"Node20_1", "Node24"}
TYPES = {"string", "pickList", "connectedService:AzureRM"}
KEYS = {
    "$schema", "id", "name", "friendlyName", "description", "helpMarkDown", "category", "visibility", "author",
    "version", "minimumAgentVersion", "instanceNameFormat", "showEnvironmentVariables", "groups", "inputs",
    "outputVariables", "restrictions", "execution",
}  # fmt: skip
INPUT_KEYS = {"name", "type", "label", "required", "helpMarkDown", "groupName", "options", "properties", "defaultValue"}
CATEGORIES = {"Build", "Utility", "Test", "Package", "Deploy"}
NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*")
SCRIPT = "index.js"


def check(file: Path) -> list[str]:
    """What is wrong with one task, one line each. `index.js` and the icon are looked for where the folder is staged."""
    try:
        task = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        return [f"{file}: not JSON: {error}"]
    if not isinstance(task, dict):
        return [f"{file}: not an object"]
    staged = (file.parent / "library").is_dir()
    found = [*_head(task), *_inputs(task), *_outputs(task), *_execution(task, file.parent if staged else None)]
    if staged and not (file.parent / "icon.png").is_file():
        found.append("no icon.png beside it")
    return [f"{file.parent.name}/task.json: {line}" for line in found]


def _head(task: dict[str, Any]) -> list[str]:
    found = [f"unknown key '{key}'" for key in sorted(set(task) - KEYS)]
    found += [f"the key '{key}' is missing" for key in sorted(KEYS - {"$schema"} - set(task))]
    try:
        uuid.UUID(str(task.get("id")))
    except ValueError:
        found.append(f"id: '{task.get('id')}' is no GUID")
    if not NAME.fullmatch(str(task.get("name"))):
        found.append(f"name: '{task.get('name')}' must match {NAME.pattern}")
    if not 0 < len(str(task.get("friendlyName", ""))) <= 40:
        found.append("friendlyName: longer than 40 characters, or empty")
    version = task.get("version")
    parts = [version.get(part) for part in ("Major", "Minor", "Patch")] if isinstance(version, dict) else []
    if len(parts) != 3 or not all(isinstance(part, int) and part >= 0 for part in parts):
        found.append(f"version: {version} must be whole numbers Major, Minor and Patch")
    if task.get("category") not in CATEGORIES:
        found.append(f"category: '{task.get('category')}' is not one of {', '.join(sorted(CATEGORIES))}")
    if not re.fullmatch(r"\d+\.\d+\.\d+", str(task.get("minimumAgentVersion"))):
        found.append(f"minimumAgentVersion: '{task.get('minimumAgentVersion')}' must be like 3.232.1")
    return found


def _inputs(task: dict[str, Any]) -> list[str]:
    groups = {group.get("name") for group in task.get("groups") or []}
    found, names = [], set()
    for given in task.get("inputs") or []:
        name = str(given.get("name"))
        where = f"input {name}"
        found += [f"{where}: unknown key '{key}'" for key in sorted(set(given) - INPUT_KEYS)]
        if not NAME.fullmatch(name):
            found.append(f"{where}: must match {NAME.pattern}, or its variable is another")
        if name.lower() in names:
            found.append(f"{where}: twice; the agent tells names apart without regard to case")
        names.add(name.lower())
        if given.get("type") not in TYPES:
            found.append(f"{where}: type '{given.get('type')}' is not one of {', '.join(sorted(TYPES))}")
        if given.get("type") == "pickList" and not given.get("options"):
            found.append(f"{where}: a pickList without options")
        if given.get("defaultValue"):
            found.append(f"{where}: a default value would hide mlops.yml")
        if not isinstance(given.get("required"), bool):
            found.append(f"{where}: required must be true or false")
        if "groupName" in given and given["groupName"] not in groups:
            found.append(f"{where}: there is no group '{given['groupName']}'")
        found += [f"{where}: no {key}" for key in ("label", "helpMarkDown") if not str(given.get(key, "")).strip()]
    return found


def _outputs(task: dict[str, Any]) -> list[str]:
    names = [str(given.get("name")) for given in task.get("outputVariables") or []]
    found = [f"output {name}: must match {NAME.pattern}" for name in names if not NAME.fullmatch(name)]
    allowed = ((task.get("restrictions") or {}).get("settableVariables") or {}).get("allowed")
    if allowed != names:
        found.append("restrictions.settableVariables.allowed must name the output variables and nothing else")
    return found


def _execution(task: dict[str, Any], folder: Path | None) -> list[str]:
    execution = task.get("execution") or {}
    found = [f"execution: the agent knows no handler '{name}'" for name in sorted(set(execution) - HANDLERS)]
    found += [f"execution: no {name}" for name in sorted(HANDLERS - set(execution))]
    for name, handler in execution.items():
        if handler.get("target") != SCRIPT:
            found.append(f"execution.{name}: target must be {SCRIPT}")
        elif folder is not None and not (folder / SCRIPT).is_file():
            found.append(f"execution.{name}: {SCRIPT} is not there")
    return found


def main(argv: list[str]) -> int:
    files = [Path(name) for name in argv] or sorted((ROOT / "ado-tasks").glob("*/task.json"))
    found = [line for file in files for line in check(file)]
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found or not files else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
