"""A pipeline job as a flat list of steps: components are read, inner pipelines unfolded, every value bound.

A step's input is a value, a path, or a link to what another step writes. Whatever cannot be bound is an error before
anything runs, with the line of the file that it stands in.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from gates.backends.local import bindings, commands, expressions, job_file, sweeps
from gates.backends.local.bindings import Link, Scope
from gates.backends.local.job_file import Input

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from gates.backends.local.job_file import Command, Job
    from gates.document import Key

_RUNNABLE = ("command", "pipeline", "sweep")


@dataclass(frozen=True)
class Step:
    """A process, or a sweep of them, of a pipeline. `name`: `train`, or `outer/train` inside a pipeline component."""

    name: str
    command: Command
    links: Mapping[str, Link]
    sweep: sweeps.Sweep | None = None

    @property
    def group(self) -> str:
        return self.name.rpartition("/")[0]

    @property
    def after(self) -> frozenset[str]:
        """Names of the steps that must have ended."""
        return frozenset(link.step for link in self.links.values())


@dataclass(frozen=True)
class Graph:
    """A pipeline. outputs: which step writes each of its outputs; given: its data inputs, paths made absolute."""

    steps: tuple[Step, ...]
    outputs: Mapping[str, Link]
    given: Mapping[str, Input]
    go_on: bool = False


@dataclass
class _Reading:
    """What has been found so far. alias: (pipeline's name, its output) to who writes it."""

    steps: list[Step] = field(default_factory=list)
    alias: dict[tuple[str, str], Link] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def read(job: Job) -> tuple[Graph, tuple[str, ...]]:
    """The steps of a pipeline job, and warnings of keys that they do not honour."""
    file, at, raw = bindings.component_of(job.document, job.document.value, ())
    given = {str(name): bindings.anchored(job_file.input_of(value), job.document)
             for name, value in (job.document.value.get("inputs") or {}).items()}  # fmt: skip
    inputs: dict[str, Input | Link] = dict(given)
    if raw is not job.document.value:
        inputs = bindings.bind(raw, {**given}, file, lambda what, *path: job.document.error(what, path))
    found = _Reading()
    scope = Scope(file, at, raw.get("jobs") or {}, inputs, raw.get("outputs") or {})
    _unfold(scope, found)
    settings = job.document.value.get("settings") or {}
    writers = {name: _writer(found, "", name) for name in scope.outputs}
    for name, link in writers.items():
        if link is None:
            raise scope.error(f"outputs.{name}: no step writes it", "outputs", name,
                              hint=f"give a step's output the value ${{{{parent.outputs.{name}}}}}")  # fmt: skip
    steps = tuple(_resolved(step, found) for step in found.steps)
    _refuse_cycles(steps, job)
    outputs = {name: link for name, link in writers.items() if link is not None}
    go_on = settings.get("continue_on_step_failure") is True
    return Graph(steps, outputs, given, go_on), tuple(found.warnings)


def inputs_of(graph: Graph, assets: Path | None) -> dict[str, Path]:
    """The data that the pipeline reads: by the name of its input, or `step.input` where a step names a path itself."""
    names = {given.reference: name for name, given in graph.given.items() if given.reference is not None}
    found = {}
    for step in graph.steps:
        paths = commands.references(step.command, assets)
        for name, path in paths.items():
            reference = step.command.inputs[name].reference or ""
            found[names.get(reference, f"{step.name.replace('/', '.')}.{name}")] = path
    return found


def _unfold(scope: Scope, found: _Reading) -> None:
    for name, raw in scope.jobs.items():
        at = (*scope.at, "jobs", str(name))
        kind = str(raw.get("type") or ("pipeline" if "jobs" in raw else "command"))
        if kind not in _RUNNABLE:
            raise scope.error(f"jobs.{name}: a step of type {kind} does not run locally", "jobs", str(name), "type",
                              hint="write command, sweep or pipeline, or run the job on azureml")  # fmt: skip
        found.warnings += job_file.check_keys(scope.file, f"{kind} step", raw, at)
        full = f"{scope.prefix}{name}"
        for output, value in (raw.get("outputs") or {}).items():
            _bind_output(scope, found, str(name), str(output), value)
        if kind == "pipeline":
            _unfold(_inner(scope, str(name), raw, at), found)
        elif kind == "sweep":
            found.steps.append(_sweep_step(scope, full, str(name), raw, at))
        else:
            found.steps.append(_command_step(scope, full, str(name), raw, at, found))


def _inner(scope: Scope, name: str, raw: Mapping[str, Any], at: Key) -> Scope:
    file, inner_at, component = bindings.component_of(scope.file, raw, at)
    inputs = bindings.bound_inputs(scope, name, raw, component, file)
    return Scope(
        file, inner_at, component.get("jobs") or {}, inputs, component.get("outputs") or {}, f"{scope.prefix}{name}/"
    )


def _command_step(scope: Scope, full: str, name: str, raw: Mapping[str, Any], at: Key, found: _Reading) -> Step:
    file, inner_at, component = bindings.component_of(scope.file, raw, at)
    if component is not raw:
        found.warnings += job_file.check_keys(file, "component", component, inner_at)
    command = job_file.command_of(file, component, inner_at)
    if component is not raw:
        own = job_file.command_of(scope.file, {"command": "", **_overrides(raw)}, at)
        command = replace(
            command,
            variables={**command.variables, **own.variables},
            timeout=own.timeout if own.timeout is not None else command.timeout,
            environment=own.environment if "environment" in raw else command.environment,
        )
    variables = {
        key: bindings.text_of(scope, value, name, "environment_variables") for key, value in command.variables.items()
    }
    bound = bindings.bound_inputs(scope, name, raw, component, file)
    return _step(full, replace(command, variables=variables), bound)


def _overrides(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {key: raw[key] for key in ("environment_variables", "limits", "environment") if key in raw}


def _sweep_step(scope: Scope, full: str, name: str, raw: Mapping[str, Any], at: Key) -> Step:
    sweep = sweeps.read(scope.file, raw, at)
    component = {"inputs": sweep.declared} if sweep.declared is not None else raw
    searched = set(sweep.space)
    given = {**raw, "inputs": {key: value for key, value in (raw.get("inputs") or {}).items() if key not in searched}}
    wanted = {key: value for key, value in (component.get("inputs") or {}).items() if key not in searched}
    bound = bindings.bound_inputs(scope, name, given, {**component, "inputs": wanted}, scope.file)
    variables = {key: bindings.text_of(scope, text, name, "trial") for key, text in sweep.trial.variables.items()}
    step = _step(full, replace(sweep.trial, variables=variables), bound)
    return replace(step, sweep=replace(sweep, trial=step.command))


def _step(full: str, command: Command, bound: Mapping[str, Input | Link]) -> Step:
    links = {name: one for name, one in bound.items() if isinstance(one, Link)}
    plain = {name: one if isinstance(one, Input) else Input("uri_folder", mode=one.mode) for name, one in bound.items()}
    return Step(full, replace(command, inputs=plain), links)


def _bind_output(scope: Scope, found: _Reading, step: str, output: str, value: Any) -> None:
    """Note that a step's output is its pipeline's, `${{parent.outputs.x}}`."""
    text = value.get("path") if isinstance(value, dict) else value
    if text is None:
        return
    match = expressions.PLACEHOLDER.fullmatch(str(text).strip())
    parts = match.group(1).split(".") if match else []
    if parts[:2] != ["parent", "outputs"] or len(parts) != 3:
        raise scope.error(f"outputs.{output}: {text} cannot be written by a local run", "jobs", step, "outputs", output,
                          hint="leave the path out, or write ${{parent.outputs.NAME}}")  # fmt: skip
    if parts[2] not in scope.outputs:
        raise scope.error(
            f"${{{{{'.'.join(parts)}}}}}: the pipeline has no such output", "jobs", step, "outputs", output
        )
    place = (scope.prefix.rstrip("/"), parts[2])
    if place in found.alias:
        raise scope.error(f"outputs.{parts[2]} is written by two steps", "jobs", step, "outputs", output)
    found.alias[place] = Link(f"{scope.prefix}{step}", output)


def _writer(found: _Reading, name: str, output: str) -> Link | None:
    """The step that really writes an output, through inner pipelines."""
    steps = {step.name: step for step in found.steps}
    if name in steps:
        known = steps[name].command.outputs
        return Link(name, output) if output in known else None
    link = found.alias.get((name, output))
    return None if link is None else _writer(found, link.step, link.output)


def _resolved(step: Step, found: _Reading) -> Step:
    links = {}
    for name, link in step.links.items():
        writer = _writer(found, link.step, link.output)
        if writer is None:
            raise step.command.error(f"step {step.name}, inputs.{name}: step {link.step} has no output {link.output!r}")
        links[name] = replace(writer, mode=link.mode)
    return replace(step, links=links)


def _refuse_cycles(steps: tuple[Step, ...], job: Job) -> None:
    left = {step.name: step for step in steps}
    while left:
        free = [name for name, step in left.items() if not step.after & set(left)]
        if not free:
            raise job.document.error(f"these steps wait for one another: {', '.join(left)}", ("jobs",))
        for name in free:
            del left[name]


def groups(steps: tuple[Step, ...]) -> Iterator[str]:
    """Names of the inner pipelines, outer ones first."""
    seen: dict[str, None] = {}
    for step in steps:
        parts = step.name.split("/")[:-1]
        seen |= {"/".join(parts[: n + 1]): None for n in range(len(parts))}
    yield from seen
