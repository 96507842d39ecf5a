"""What each value of a pipeline's step stands for: a text, a path made absolute, or what another step writes.

`${{parent.inputs.x}}` and `${{parent.jobs.a.outputs.b}}` are resolved here, and components are found. Whatever cannot
be bound is an error with the line of the file that it stands in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gates import document
from gates.backends.local import expressions, job_file
from gates.backends.local.job_file import Input

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gates.document import Document, Key


@dataclass(frozen=True)
class Link:
    """What another step writes: its name, and the name of its output."""

    step: str
    output: str
    mode: str = ""


@dataclass(frozen=True)
class Scope:
    """A pipeline whose jobs are being read: the values of its inputs, and where its outputs come from."""

    file: Document
    at: Key
    jobs: Mapping[str, Any]
    inputs: Mapping[str, Input | Link]
    outputs: Mapping[str, Any]
    prefix: str = ""

    def error(self, what: str, *path: str, hint: str = "") -> Exception:
        return self.file.error(what, (*self.at, *path), hint)


def component_of(file: Document, raw: Mapping[str, Any], at: Key) -> tuple[Document, Key, Mapping[str, Any]]:
    """Where a step's process is described: in a component file, in the step's `component`, or in the step itself."""
    component = raw.get("component")
    if component is None:
        return file, at, raw
    if isinstance(component, dict):
        return file, (*at, "component"), component
    name = str(component)
    if name.startswith("azureml:"):
        raise file.error(f"component: {name} stands in a workspace", (*at, "component"), "name its YAML file")
    loaded = document.load_yaml(file.file.absolute().parent / name.removeprefix("file:"), "component file")
    return loaded, (), loaded.value


def bound_inputs(
    scope: Scope, name: str, raw: Mapping[str, Any], component: Mapping[str, Any], file: Document
) -> dict[str, Input | Link]:
    """The inputs of a step: what it is given, else its component's defaults."""
    given = {str(key): _value(scope, value, name, str(key)) for key, value in (raw.get("inputs") or {}).items()}
    if component is raw:
        return given
    return bind(component, given, file, lambda what, *path: scope.error(what, "jobs", name, *path))


def bind(
    component: Mapping[str, Any], given: Mapping[str, Input | Link], file: Document, error: Any
) -> dict[str, Input | Link]:
    declared = {str(name): job_file.input_of(value) for name, value in (component.get("inputs") or {}).items()}
    for name in given:
        if name not in declared:
            known = document.did_you_mean(name, list(declared))
            raise error(f"inputs.{name} is not an input of the component; {known}", "inputs", name)
    bound: dict[str, Input | Link] = {}
    for name, wanted in declared.items():
        one = given.get(name, anchored(wanted, file))
        if isinstance(one, Input):
            if wanted.type in job_file.DATA_TYPES and one.reference is None and one.literal is not None:
                one = anchored(Input(wanted.type, reference=one.literal, mode=one.mode), file)
            one = replace(one, type=wanted.type, optional=wanted.optional, mode=one.mode or wanted.mode)
            if one.reference is None and one.literal is None and not one.optional:
                raise error(f"inputs.{name}: the component needs a value", "inputs")
        bound[name] = one
    return bound


def _value(scope: Scope, value: Any, step: str, name: str) -> Input | Link:
    """A step's input as its pipeline gives it."""
    text = value.get("path") if isinstance(value, dict) else value
    mode = str(value.get("mode") or "") if isinstance(value, dict) else ""
    if not isinstance(text, str) or not expressions.references(text):
        return anchored(job_file.input_of(value), scope.file)
    whole = expressions.PLACEHOLDER.fullmatch(text.strip())
    if whole is None:
        return Input("literal", literal=text_of(scope, text, step, "inputs"))
    found = _referred(scope, whole.group(1), step, ("inputs", name))
    return replace(found, mode=mode) if mode else found


def _referred(scope: Scope, name: str, step: str, path: tuple[str, ...]) -> Input | Link:
    """What `parent.inputs.x` or `parent.jobs.a.outputs.b` stands for."""
    parts = name.split(".")
    if parts[:2] == ["parent", "inputs"] and (len(parts) == 3 or parts[3:] == ["path"]):
        if parts[2] in scope.inputs:
            return scope.inputs[parts[2]]
        known = document.did_you_mean(parts[2], list(scope.inputs))
        raise scope.error(f"${{{{{name}}}}}: the pipeline has no such input; {known}", "jobs", step, *path)
    if parts[:2] == ["parent", "jobs"] and len(parts) == 5 and parts[3] == "outputs":
        if parts[2] in scope.jobs:
            return Link(f"{scope.prefix}{parts[2]}", parts[4])
        known = document.did_you_mean(parts[2], list(scope.jobs))
        raise scope.error(f"${{{{{name}}}}}: the pipeline has no such step; {known}", "jobs", step, *path)
    hint = "write ${{parent.inputs.NAME}} or ${{parent.jobs.STEP.outputs.NAME}}"
    raise scope.error(f"${{{{{name}}}}} is not known here", "jobs", step, *path, hint=hint)


def text_of(scope: Scope, text: str, step: str, key: str) -> str:
    """A text with the pipeline's own literal inputs in it."""

    def value(name: str) -> str:
        found = _referred(scope, name, step, (key,))
        if isinstance(found, Link) or found.literal is None:
            raise scope.error(f"${{{{{name}}}}} is data, and can only stand alone as an input", "jobs", step, key)
        return found.literal

    return expressions.PLACEHOLDER.sub(lambda match: value(match.group(1)), text)


def anchored(given: Input, file: Document) -> Input:
    """A path relative to the file that names it, made absolute."""
    if given.reference is None or "//" in given.reference or given.reference.startswith("azureml:"):
        return given
    return replace(given, reference=str(file.file.absolute().parent / Path(given.reference).expanduser()))
