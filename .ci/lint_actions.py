"""What no public linter sees in composite actions and reusable workflows: `python .ci/lint_actions.py [FILE…]`.

Rules: every `inputs.x` is declared, and every declared input is used; every `steps.x` names a step that stands before;
no `${{` inside `run:`; every run step has `shell`; third-party `uses:` are pinned to 40 hex digits with the version
beside them; inputs given to an action of ours are inputs that it has, outputs read from it are outputs that it has.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_PINNED = re.compile(r"^[\w.-]+/[\w./-]+@[0-9a-f]{40}$")
_OURS = re.compile(r"^(?:[\w.-]+/mlops-gates(?P<remote>/actions/[\w-]+)?@v\d+|\.(?P<local>/actions/[\w-]+)?/?)$")


def files() -> list[Path]:
    """Every action, workflow and starter of this repository."""
    return sorted([
        ROOT / "action.yml", *ROOT.glob("actions/*/action.yml"), *ROOT.glob(".github/workflows/*.yml"),
        *ROOT.glob("templates/github/*.yml"), *ROOT.glob("examples/*/.github/workflows/*.yml"),
    ])  # fmt: skip


def lint(file: Path) -> list[str]:
    """What is wrong with one file, one line each."""
    document = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # texts only
    found: list[str] = []
    if "runs" in document:
        declared = set(document.get("inputs") or {})
        found += _inputs(document, declared, required=declared)
        found += _steps(document["runs"]["steps"], composite=True)
        found += _step_references([document.get("outputs")], {str(s.get("id")) for s in document["runs"]["steps"]})
    else:
        events = document.get("on")
        called = (events.get("workflow_call") or {}) if isinstance(events, dict) else {}
        asked = (events.get("workflow_dispatch") or {}) if isinstance(events, dict) else {}
        declared = set((called or {}).get("inputs") or {}) | set((asked or {}).get("inputs") or {})
        found += _inputs(document, declared, required=declared)
        for job in document["jobs"].values():
            found += _uses(job, "a job")
            found += _steps(job.get("steps") or [], composite=False)
            named = {str(step.get("id")) for step in job.get("steps") or []}
            found += _step_references([job.get("outputs")], named)
    return [f"{file.relative_to(ROOT) if file.is_relative_to(ROOT) else file}: {line}" for line in found]


def _inputs(document: Any, declared: set[str], *, required: set[str]) -> list[str]:
    used = {name for text in _expressions(document) for name in re.findall(r"(?<![\w.-])inputs\.([\w-]+)", text)}
    return [f"inputs.{name} is not declared" for name in sorted(used - declared)] + [
        f"input {name} is declared and not used" for name in sorted(required - used)
    ]


def _steps(steps: list[dict[str, Any]], *, composite: bool) -> list[str]:
    found: list[str] = []
    before: dict[str, str] = {}
    for number, step in enumerate(steps, start=1):
        name = f"step {step.get('id') or number}"
        if "run" in step:
            if "${{" in step["run"]:
                found.append(f"{name}: an expression inside run; pass it through env")
            if composite and "shell" not in step:
                found.append(f"{name}: run without shell")
        found += _uses(step, name)
        found += [f"{name}: {line}" for line in _step_references([step], set(before))]
        found += [f"{name}: {line}" for line in _output_references(step, before)]
        if "id" in step:
            before[step["id"]] = step.get("uses", "")
    return found


def _uses(step: dict[str, Any], name: str) -> list[str]:
    uses = step.get("uses", "")
    if not uses or uses.startswith("./.github/workflows/") or "/mlops-gates/.github/workflows/" in uses:
        return []
    ours = _OURS.match(uses)
    if ours is None:
        pinned = uses.startswith("./") or _PINNED.match(uses)
        return [] if pinned else [f"{name}: {uses} is not pinned to a commit (40 hex digits)"]
    known = _action(uses).get("inputs") or {}
    return [f"{name}: {uses} has no input {given}" for given in step.get("with") or {} if given not in known]


def _action(uses: str) -> dict[str, Any]:
    """The action of ours that `uses` names, parsed; empty for another's."""
    ours = _OURS.match(uses)
    if ours is None:
        return {}
    folder = ours["remote"] or ours["local"] or ""
    file = ROOT / folder.lstrip("/") / "action.yml"
    if not file.is_file():
        return {}
    parsed: dict[str, Any] = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # texts
    return parsed


def _step_references(parts: list[Any], known: set[str]) -> list[str]:
    used = {name for text in _expressions(parts) for name in re.findall(r"(?<![\w.-])steps\.([\w-]+)", text)}
    return [f"steps.{name} is no step before this one" for name in sorted(used - known)]


def _output_references(part: Any, steps: dict[str, str]) -> list[str]:
    found = []
    for text in _expressions(part):
        for name, output in re.findall(r"(?<![\w.-])steps\.([\w-]+)\.outputs\.([\w-]+)", text):
            action = _action(steps.get(name, ""))
            if action and output not in (action.get("outputs") or {}):
                found.append(f"{steps[name]} has no output {output}")
    return found


def _expressions(value: Any) -> list[str]:
    """The text of every `${{ … }}`, and every `if:`, below a value."""
    if isinstance(value, dict):
        nested = [text for item in value.values() for text in _expressions(item)]
        bare = value.get("if")
        return nested + ([bare] if isinstance(bare, str) and "${{" not in bare else [])
    if isinstance(value, list):
        return [text for item in value for text in _expressions(item)]
    return _EXPRESSION.findall(value) if isinstance(value, str) else []


def main(argv: list[str]) -> int:
    found = [line for file in ([Path(name).absolute() for name in argv] or files()) for line in lint(file)]
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
