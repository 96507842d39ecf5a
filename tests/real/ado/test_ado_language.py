"""The harness itself: every function, construct and command that our templates use, and that any other is an error."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ado_agent import macros
from ado_commands import CommandError, parse
from ado_expander import ExpanderError, Sources, expand
from ado_expressions import FUNCTIONS, STATUS, ExpressionError, Scope, as_text, evaluate

ROOT = Path(__file__).resolve().parents[3]
TEMPLATES = sorted((ROOT / "templates/ado").rglob("*.yml"))
SCOPE = Scope(
    {"parameters": {"yes": True, "no": False, "text": "Ab", "empty": "", "list": ["a", "b"], "map": {"k": "v"}},
     "variables": {"Build.Reason": "Schedule"},
     "dependencies": {"a": {"result": "Succeeded", "outputs": {"j.s.v": "true"}}}},
    FUNCTIONS,
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("eq('a', 'A')", True), ("eq('a', 'b')", False), ("eq(1, '1')", True), ("eq(1, 'x')", False),
        ("eq(true, 'False')", True),  # a text that is not empty is true
        ("eq(parameters.yes, true)", True), ("eq(parameters.no, true)", False), ("eq('True', parameters.yes)", True),
        ("eq(parameters.empty, '')", True), ("ne(parameters.text, '')", True), ("ne('a', 'A')", False),
        ("and(true, 'x', 1)", True), ("and(true, '')", False), ("lower(parameters.yes)", "true"),
        ("lower('ÄB')", "äb"), ("'it''s'", "it's"), ("-1.5", -1.5),
        ("parameters.list", ["a", "b"]), ("parameters.map.k", "v"), ("variables['Build.Reason']", "Schedule"),
        ("variables['None.Such']", None), ("dependencies.a.outputs['j.s.v']", "true"),
        ("dependencies.b.outputs['j.s.v']", None),
        ("and(eq(dependencies.a.result, 'succeeded'), eq(dependencies.a.outputs['j.s.v'], 'true'))", True),
    ],
)  # fmt: skip
def test_an_expression(text: str, value: Any) -> None:
    assert evaluate(text, SCOPE) == value


@pytest.mark.parametrize(
    "text",
    ["contains('a', 'b')", "not(true)", "or(true, false)", "format('{0}', 1)",
     "coalesce('a')", "pipeline.x", "eq('a')", "and(true)", "eq('a', 'b'", "'open", "a b", "",
     "parameters.none", "eq('a', 'b') 'c'", "parameters.list.x", "$(x)", "iif(true, 1, 2)", "parameters[0"],
)  # fmt: skip
def test_what_is_not_known_is_an_error(text: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(text, SCOPE)


def test_our_templates_use_exactly_the_functions_that_are_known_and_tested() -> None:
    texts = "".join(file.read_text() for file in TEMPLATES)
    parts = re.findall(r"\$\{\{.*?\}\}|\$\[.*|condition: .*|default: '\w+\(\)'", texts)
    used = {name for part in parts for name in re.findall(r"\b([a-zA-Z]+)\(", part)}
    assert used - set(STATUS) == set(FUNCTIONS)
    assert {"succeeded", "succeededOrFailed"} <= used


@pytest.mark.parametrize(("value", "text"), [(True, "True"), (False, "False"), (None, ""), (3, "3"), (2.0, "2")])
def test_a_value_inside_a_text(value: Any, text: str) -> None:
    assert as_text(value) == text


def expanded(folder: Path, text: str, *, templates: dict[str, str] | None = None, **parameters: Any) -> dict[str, Any]:
    (folder / "p.yml").write_text(text)
    for name, content in (templates or {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    sources = Sources(folder, {"gates": folder / "gates"})
    return expand(folder / "p.yml", sources=sources, parameters=parameters, variables={"Build.Reason": "Manual"})


STEPS = "parameters: [{{name: p, type: {type}}}]\nsteps:\n  - script: x\n    env: {{V: '${{{{ parameters.p }}}}'}}\n"


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [("string", "a", "a"), ("string", 3, "3"), ("string", True, "True"), ("boolean", "TRUE", True), ("number", "3", 3),
     ("object", {"a": [1]}, {"a": [1]})],
)  # fmt: skip
def test_a_typed_parameter(tmp_path: Path, kind: str, given: Any, value: Any) -> None:
    assert expanded(tmp_path, STEPS.format(type=kind), p=given)["steps"][0]["env"] == {"V": value}


@pytest.mark.parametrize(
    ("kind", "given"), [("boolean", "yes"), ("number", "many"), ("string", ["a"]), ("stepList", "x"), ("jobList", [])]
)
def test_a_parameter_of_another_type_is_an_error(tmp_path: Path, kind: str, given: Any) -> None:
    with pytest.raises(ExpanderError):
        expanded(tmp_path, STEPS.format(type=kind), p=given)


CONSTRUCTS = [
    ("- ${{ if eq(1, 1) }}:\n  - script: a\n- ${{ else }}:\n  - script: b\n", ["a"]),
    ("- ${{ if eq(1, 2) }}:\n  - script: a\n- ${{ else }}:\n  - script: b\n", ["b"]),
    (
        "- ${{ if eq(1, 2) }}:\n  - script: a\n- ${{ elseif eq(1, 1) }}:\n  - script: b\n"
        "- ${{ else }}:\n  - script: c\n",
        ["b"],
    ),
    ("- ${{ if eq(1, 1) }}:\n  - script: a\n- ${{ elseif eq(1, 1) }}:\n  - script: b\n", ["a"]),
    ("- ${{ each n in parameters.names }}:\n  - script: ${{ n }}!\n", ["x!", "y!"]),
    ("- ${{ each s in parameters.first }}:\n  - ${{ s }}\n- script: z\n", ["one", "two", "z"]),
    ("- ${{ parameters.first }}\n", ["one", "two"]),
    ("- ${{ if eq(variables['Build.Reason'], 'Manual') }}:\n  - ${{ if true }}:\n    - script: deep\n", ["deep"]),
    ("- script: a\n  ${{ if eq(1, 1) }}:\n    displayName: d\n", ["a"]),
]


@pytest.mark.parametrize(("steps", "scripts"), CONSTRUCTS)
def test_a_construct(tmp_path: Path, steps: str, scripts: list[str]) -> None:
    head = (
        "parameters:\n- {name: names, type: object, default: [x, y]}\n"
        "- {name: first, type: stepList, default: [{script: one}, {script: two}]}\n"
    )
    assert [step["script"] for step in expanded(tmp_path, f"{head}steps:\n{steps}")["steps"]] == scripts


@pytest.mark.parametrize(
    "text",
    [
        "steps:\n- ${{ else }}:\n  - script: a\n", "steps:\n- ${{ if eq(1, 1) }}:\n    script: a\n",
        "steps:\n- script: a\n  ${{ insert }}: {b: c}\n", "steps:\n- ${{ each x of parameters.y }}:\n  - script: a\n",
        "steps:\n- script: a\n  script: b\n", "steps:\n- script: a\n  ${{ if true }}:\n    script: b\n",
        "steps:\n- template: none.yml\n", "steps:\n- template: t.yml@other\n", "step:\n- script: a\n",
        "parameters: {a: b}\nsteps: []\n", "parameters: [{name: a, type: string}]\nsteps: []\n",
        "parameters: [{name: a, type: string, default: c, values: [b]}]\nsteps: []\n",
        "steps:\n- template: t.yml\n  parameters: {unknown: 1}\n", "steps:\n- template: jobs.yml\n",
        "steps:\n- script: x ${{ parameters.none }}\n", "steps:\n- script: ${{ parameters }} and more\n",
        "steps:\n- template: loop.yml\n", "- a list\n",
        "resources: {repositories: [{repository: gates, ref: refs/heads/main}]}\nsteps: []\n",
        "resources: {repositories: [{repository: other, ref: refs/tags/v1}]}\nsteps: []\n",
    ],
)  # fmt: skip
def test_a_construct_that_the_service_or_the_harness_does_not_know_is_an_error(tmp_path: Path, text: str) -> None:
    templates = {"t.yml": "steps: []\n", "jobs.yml": "jobs: []\n", "loop.yml": "steps:\n- template: loop.yml\n"}
    with pytest.raises(ExpanderError):
        expanded(tmp_path, text, templates=templates)


def test_templates_are_found_beside_the_file_at_the_root_and_in_another_repository(tmp_path: Path) -> None:
    inner = "parameters: [{name: n, type: string}]\nsteps:\n- script: ${{ parameters.n }}\n"
    templates = {
        "gates/a/b.yml": "steps:\n- template: ../c/d.yml\n  parameters: {n: up}\n"
        "- template: /c/d.yml\n  parameters: {n: top}\n",
        "gates/c/d.yml": inner, "own/e.yml": inner,
        "gates/x.yml": "parameters: [{name: who, type: string}]\nsteps:\n- template: a/b.yml\n"
        "- script: ${{ parameters.who }}\n",
    }  # fmt: skip
    resources = "resources: {repositories: [{repository: gates, type: github, name: o/r, ref: refs/tags/v1}]}\n"
    text = resources + "steps:\n- template: own/e.yml\n  parameters: {n: own}\n- template: a/b.yml@gates\n"
    assert [step["script"] for step in expanded(tmp_path, text, templates=templates)["steps"]] == ["own", "up", "top"]
    extending = resources + "extends:\n  template: x.yml@gates\n  parameters: {who: me}\n"
    found = expanded(tmp_path, extending, templates=templates)
    assert [step["script"] for step in found["steps"]] == ["up", "top", "me"]
    assert "extends" not in found


def test_a_value_is_evaluated_once(tmp_path: Path) -> None:
    """Text that came in by a parameter and looks like an expression stays text, however deep templates hand it on."""
    inner = "parameters: [{name: n, type: string}]\nsteps:\n- script: ${{ parameters.n }}\n"
    text = (
        "parameters: [{name: n, type: string}]\nsteps:\n- template: t.yml\n  parameters: {n: '${{ parameters.n }}'}\n"
    )
    hostile = "${{ variables['Build.Reason'] }} $(Build.Reason) $[variables.x]"
    assert expanded(tmp_path, text, templates={"t.yml": inner}, n=hostile)["steps"][0]["script"] == hostile


@pytest.mark.parametrize(
    ("line", "name", "properties", "data"),
    [
        ("##vso[task.setvariable variable=a;isOutput=true;]b", "task.setvariable",
         {"variable": "a", "isoutput": "true"}, "b"),
        ("before ##vso[task.debug]x", "task.debug", {}, "x"),
        ("##VSO[task.complete result=Failed;]m ##vso[task.debug]", "task.complete",
         {"result": "Failed"}, "m ##vso[task.debug]"),
        ("##vso[task.logissue type=error;sourcepath=a%3Bb%5D;]c%0Ad%AZP25", "task.logissue",
         {"type": "error", "sourcepath": "a;b]"}, "c\nd%"),
    ],
)  # fmt: skip
def test_a_logging_command(line: str, name: str, properties: dict[str, str], data: str) -> None:
    command = parse(line)
    assert command is not None
    assert (command.name, command.properties, command.data) == (name, properties, data)


def test_plain_text_is_no_command() -> None:
    assert parse("# #vso[task.debug]x") is None


@pytest.mark.parametrize(
    "line",
    ["##vso[task.prependpath]/x", "##vso[task.setvariable name=a;]b", "##vso[task.debug", "##vso[task.complete x]"],
)
def test_a_command_that_is_not_known_is_an_error(line: str) -> None:
    with pytest.raises(CommandError):
        parse(line)


@pytest.mark.parametrize(
    ("text", "value"), [("$(A.b)-$(a)", "1-2"), ("$(none) $(cmd -x)", "$(none) $(cmd -x)"), ("$(loop)", "$(a)")]
)
def test_macros(text: str, value: str) -> None:
    assert macros(text, {"a.b": "1", "A": "2", "loop": "$(a)"}) == value


def test_every_parameter_of_a_template_is_typed_used_and_handed_what_it_takes() -> None:
    for file in TEMPLATES:
        document = yaml.safe_load(file.read_text())
        body = re.sub(r"^parameters:\n(?:  .*\n)*", "", file.read_text(), flags=re.MULTILINE)
        for given in document.get("parameters", []):
            assert given["type"] in ("string", "boolean", "number", "object", "stepList"), file
            assert f"parameters.{given['name']}" in body, f"{file}: {given['name']} is declared and not used"
