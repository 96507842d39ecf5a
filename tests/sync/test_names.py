"""Every command, flag, input, output and file that a text names is there; our code reads the examples in texts."""

from __future__ import annotations

import re
import subprocess
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from gates import policy, project
from gates.inputs import declared
from gates.steps import COMMANDS, STEPS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
TEXTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
WORKFLOWS = sorted([
    *(ROOT / "examples").rglob(".github/workflows/*.yml"), *(ROOT / ".github").rglob("*.yml"),
    *(ROOT / "templates" / "github").rglob("*.yml"),
])  # fmt: skip
FLAGS = {f"--{option.flag}" for command in COMMANDS.values() for option in declared(command.load().Inputs)}
VARIABLES = {option.variable for command in COMMANDS.values() for option in declared(command.load().Inputs)}
OTHERS = {
    "GATES_REQUIRE",
    "GATES_SIGNING_KEY",
    "GATES_SIGNING_PASSWORD",
    "GATES_INTERPRETER",
    "GATES_EXTRAS",
    "GATES_STEP",
    "GATES_TOKEN",
}
PATH = re.compile(r"(?:gates|tests|docs|examples|actions|benchmarks|\.ci|\.github|lock|templates)/[\w./*-]+")
BANNED = re.compile(
    r"\b(?:TODO|FIXME|XXX|HACK|lorem ipsum|blazing(?:ly)?|seamless(?:ly)?)\b|(?<![\w.])/(?:home|root|Users)/\w"
)


def code(text: str) -> list[str]:
    """The code spans and the lines of fenced blocks."""
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```\w*\n.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
    return [*spans, *(line for block in fenced for line in block.splitlines())]


def wrong(text: str) -> list[str]:
    """What a text names that is not there."""
    found = []
    for piece in code(text):
        said = re.match(r"\s*(?:\$ )?(?:\.venv/bin/)?gates ([a-z][a-z-]*)(?: ([a-z]+)(?:\|[a-z|]+)?)?(.*)", piece)
        verbs = [" ".join(filter(None, said.groups()[:2])), said.group(1)] if said else []
        if said and said.group(1) != "help" and not any(verb in COMMANDS for verb in verbs):
            found.append(f"no command: {piece}")
        if said or re.fullmatch(r"--[a-z-]+(?:[= ].*)?", piece):
            flags = re.findall(r"(?<![\w-])--[a-z][a-z-]*", piece)
            found += [f"no flag: {flag} in {piece}" for flag in flags if flag not in FLAGS | {"--help", "--version"}]
        found += [f"no variable: {v}" for v in re.findall(r"\bGATES_[A-Z_]+\b", piece) if v not in VARIABLES | OTHERS]
    return found


@pytest.mark.parametrize("file", TEXTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_command_flag_and_variable_exists(file: Path) -> None:
    assert wrong(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        "`gates trian`",
        "`gates train --jbo x`",
        "`--alow-ungated`",
        "`GATES_REPROT_DIR`",
        "```console\ngates deploy\n```\n",
    ],
)
def test_a_name_that_does_not_exist_is_noticed(text: str) -> None:
    assert wrong(text) != []


@pytest.mark.parametrize("file", TEXTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_file_that_a_text_names_exists(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    missing = [link for link in links if link and not (file.parent / link).exists()]
    spans = [piece for piece in re.findall(r"`([^`\n]+)`", text) if PATH.fullmatch(piece)]
    missing += [span for span in spans if not any([*ROOT.glob(span.rstrip("/")), *file.parent.glob(span.rstrip("/"))])]
    assert missing == []


def workflow_steps(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if "uses" in value or "run" in value:
            yield value
        for inner in value.values():
            yield from workflow_steps(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from workflow_steps(inner)


def used(step: dict[str, Any]) -> Any:
    """The command that a step's `uses` names, None when it is not ours."""
    found = re.search(r"mlops-gates(?:/actions/([\w-]+))?@|^\./actions/([\w-]+)$", str(step.get("uses", "")))
    name = (found.group(1) or found.group(2)) if found else None
    return COMMANDS.get(name or "run") if found and name != "setup" else None


def blocks() -> list[Any]:
    """Workflows, and the YAML blocks of texts that use our actions."""
    found = [pytest.param(file.read_text(), id=str(file.relative_to(ROOT))) for file in WORKFLOWS]
    for file in TEXTS:
        for i, block in enumerate(re.findall(r"^```yaml\n(.*?)^```", file.read_text(), re.DOTALL | re.MULTILINE)):
            if "uses:" in block:
                found.append(pytest.param(block, id=f"{file.relative_to(ROOT)}-{i}"))
    return found


@pytest.mark.parametrize("text", blocks())
def test_workflows_use_inputs_and_outputs_that_are_declared(text: str) -> None:
    ids = {}
    for step in workflow_steps(yaml.safe_load(text)):
        command = used(step)
        if command is None:
            continue
        inputs = {option.flag for option in declared(command.load().Inputs)}
        assert set(step.get("with", {})) <= inputs, step
        if "id" in step:
            ids[step["id"]] = {option.flag for option in declared(command.load().Outputs)}
    for name, out in re.findall(r"steps\.([\w-]+)\.outputs\.([\w-]+)", text):
        assert name not in ids or out in ids[name], f"steps.{name}.outputs.{out}"


def test_the_readme_s_own_files_are_read(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = dict(re.findall(r"^```yaml\n# (mlops|policy)\.yml\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    (tmp_path / "mlops.yml").write_text(found["mlops"])
    assert project.load(tmp_path / "mlops.yml", {}).settings.model == "credit-risk"
    assert policy.load(found["policy"].encode(), Path("policy.yml"), today=date(2026, 1, 1)).stages.keys() == {
        "validate",
        "drift",
    }


def test_each_step_has_its_action() -> None:
    actions = {command.verb for command in COMMANDS.values() if command.action} - {"run"}
    assert {step.verb for step in STEPS} <= actions
    assert {path.parent.name for path in ROOT.glob("actions/*/action.yml")} == actions | {"setup"}


def tracked() -> list[Path]:
    said = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    return [path for name in said.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


def test_no_room_is_called_after_nothing_and_no_text_promises_later() -> None:
    files = tracked()
    assert [p for p in files if p.stem in ("utils", "helpers", "common", "managers", "misc")] == []
    texts = [p for p in files if p.suffix in (".py", ".md", ".yml", ".toml", ".sh") and p != Path(__file__)]
    said = {
        str(p.relative_to(ROOT)): match.group()
        for p in texts
        if (match := BANNED.search(p.read_text(encoding="utf-8", errors="replace")))
    }
    assert said == {}
