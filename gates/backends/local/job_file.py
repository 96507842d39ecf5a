"""Reads an Azure ML job file with the SDK's own loader, so that what runs here is what Azure accepts.

The SDK judges, and the values are then taken from the file as it stands, with their lines: the SDK's entities hide
some. What it prints is kept away from standard output; its nested errors become one line with file and line number.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gates import document
from gates.backends.local import declared, keys
from gates.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from gates.document import Document, Key

DATA_TYPES = ("uri_file", "uri_folder", "mltable", "mlflow_model", "custom_model", "triton_model", "path")
FILE_TYPES = ("uri_file",)
_INPUT_KEYS = {"type", "path", "value", "default", "optional", "mode", "description", "min", "max", "enum"}
_RECORDED = {"description": "mlflow.note.content", "name": "gates.job_name", "compute": "gates.compute"}


@dataclass(frozen=True)
class Input:
    """`literal` is the text that a command sees, or None; `reference` the path or `azureml:` name of data, or None."""

    type: str
    literal: str | None = None
    reference: str | None = None
    optional: bool = False
    mode: str = ""


@dataclass(frozen=True)
class Command:
    """One process of a job. `at` is where it stands in the document, for the lines of errors.

    search: the values of `${{search_space.x}}`, in a sweep's trial.
    """

    command: str
    code: Path | None
    inputs: Mapping[str, Input]
    outputs: Mapping[str, str]
    environment: declared.Declared
    variables: Mapping[str, str]
    timeout: float | None
    base: Path
    document: Document = field(repr=False)
    at: Key = ()
    search: Mapping[str, str] = field(default_factory=dict)

    def error(self, what: str, *path: str) -> InvalidInput:
        return self.document.error(what, (*self.at, *path))


@dataclass(frozen=True)
class Job:
    """A job file that Azure ML accepts. warnings: keys that are not honoured locally.

    command: of a command job; plan: of a pipeline (graph.Graph) or a sweep (sweeps.Sweep), see jobs.load_job.
    """

    kind: str
    path: Path
    document: Document = field(repr=False)
    warnings: tuple[str, ...] = ()
    command: Command | None = None
    display_name: str = ""
    experiment: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    entity: Any = field(default=None, repr=False)
    plan: object = field(default=None, repr=False)


def load_job(path: Path) -> Job:
    """Parse a command, pipeline or sweep job. InvalidInput with file and line for what Azure or a local run refuses."""
    file = document.load_yaml(path, "job file")
    kind = str(file.value.get("type") or "command")
    if kind not in keys.JOBS:
        raise file.error(f"type: {kind} is not a job that runs locally", ("type",), "write command, pipeline or sweep")
    raw = file.value
    _refuse_groups(file, raw, ())
    entity = ask_sdk(file)
    tags = {str(k): str(v) for k, v in {**(raw.get("properties") or {}), **(raw.get("tags") or {})}.items()}
    tags |= {tag: str(raw[key]) for key, tag in _RECORDED.items() if raw.get(key) is not None}
    return Job(
        kind=kind,
        path=path,
        document=file,
        warnings=check_keys(file, kind, raw, ()),
        command=command_of(file, raw, ()) if kind == "command" else None,
        display_name=str(raw.get("display_name") or raw.get("name") or path.stem),
        experiment=str(raw.get("experiment_name") or "Default"),
        tags=tags,
        entity=entity,
    )


def command_in(job: Job) -> Command:
    """The process of a command job."""
    if job.command is None:
        raise job.document.error(f"a {job.kind} job has more than one process", ("type",))
    return job.command


def command_of(file: Document, raw: Mapping[str, Any], at: Key) -> Command:
    """The process that `raw` (a command job, a component, a sweep's trial) describes."""
    base = file.file.absolute().parent
    code = raw.get("code")
    limits = raw.get("limits") or {}
    return Command(
        command=str(raw["command"]),
        code=None if code is None else _code(file, str(code), base, at),
        inputs={str(name): input_of(value) for name, value in (raw.get("inputs") or {}).items()},
        outputs={str(name): _output(value) for name, value in (raw.get("outputs") or {}).items()},
        environment=declared.read(raw.get("environment"), base),
        variables={str(k): _text(v) for k, v in (raw.get("environment_variables") or {}).items()},
        timeout=float(limits["timeout"]) if limits.get("timeout") is not None else None,
        base=base,
        document=file,
        at=at,
    )


def input_of(value: Any) -> Input:
    """A job's input, or a component's: a literal, data, or a declared type with its default."""
    if not isinstance(value, dict):
        return Input("literal", literal=_text(value))
    kind = str(value.get("type") or "uri_folder")
    optional = value.get("optional") is True
    mode = str(value.get("mode") or "")
    if "path" in value:
        return Input(kind, reference=str(value["path"]), optional=optional, mode=mode)
    if kind in DATA_TYPES:
        return Input(kind, optional=optional, mode=mode)
    default = value.get("value", value.get("default"))
    return Input(kind, literal=None if default is None else _text(default), optional=optional)


def _refuse_groups(file: Document, raw: Mapping[str, Any], at: Key) -> None:
    """A group of inputs, of the job or of what it holds, is refused by its name: the SDK only says what it is not."""
    for name, value in (raw.get("inputs") or {}).items() if isinstance(raw.get("inputs"), dict) else ():
        if isinstance(value, dict) and value and (value.get("type") == "group" or not set(value) & _INPUT_KEYS):
            values = (value.get("values") if value.get("type") == "group" else value) or {"VALUE": ""}
            hint = f"write each of its values as an input of its own, e.g. {name}_{next(iter(values))}"
            raise file.error(f"inputs.{name}: a group of inputs does not run locally", (*at, "inputs", str(name)), hint)
    inside: dict[Key, Any] = {(key,): raw.get(key) for key in ("component", "trial")}
    if isinstance(raw.get("jobs"), dict):
        inside |= {("jobs", str(name)): step for name, step in raw["jobs"].items()}
    for path, part in inside.items():
        if isinstance(part, dict):
            _refuse_groups(file, part, (*at, *path))


def check_keys(file: Document, kind: str, raw: Mapping[str, Any], at: Key) -> tuple[str, ...]:
    """Warnings for keys that a local run does not honour; InvalidInput for one that it must refuse."""
    said = []
    for name, value in _dotted(raw):
        rule = keys.TABLES[kind].get(name)
        if rule is None or rule.how not in ("warned", "refused") or value in rule.unless:
            continue
        path = (*at, *name.split("."))
        if rule.how == "refused":
            raise file.error(f"{name}: {rule.why}", path, "remove it, or run the job on azureml")
        said.append(f"{file.file}:{file.line(path)}: {name} is not honoured: {rule.why}")
    return tuple(said)


def _dotted(raw: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in raw.items():
        yield str(name), value
        if name in ("resources", "settings") and isinstance(value, dict):
            yield from ((f"{name}.{inner}", item) for inner, item in value.items())


def _code(file: Document, code: str, base: Path, at: Key) -> Path:
    if re.match(r"^(azureml:|https?:|git\+|wasbs?:|abfss?:)", code):
        raise file.error(f"code: {code} cannot be run locally", (*at, "code"), "name a local file or folder")
    path = base / code
    if not path.exists():
        raise file.error(f"code: no such file or folder: {path}", (*at, "code"), "paths are relative to the job file")
    return path.resolve()


def _output(value: Any) -> str:
    return str(value.get("type") or "uri_folder") if isinstance(value, dict) else "uri_folder"


def _text(value: Any) -> str:
    """A literal as the SDK sends it: `str` of the value, so `True` for true."""
    return str(value)


def ask_sdk(file: Document) -> Any:
    with _quiet():
        try:
            from azure.ai.ml import load_job as sdk_load_job
        except ImportError as error:
            raise Unavailable(
                f"the Azure ML SDK is needed to read job files: {error}", hint="install mlops-gates[local]"
            ) from error
        try:
            return sdk_load_job(str(file.file))
        except Exception as error:
            raise _explain(file, error) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The SDK prints and logs notes about experimental classes: none of it is ours to say."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _explain(file: Document, error: Exception) -> InvalidInput:
    """The SDK's innermost complaint, as one line of ours."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    for one in reversed(chain):
        messages = getattr(one, "messages", None)
        if isinstance(messages, dict):
            path, what = _worst(messages)
            return file.error(_said(path, what, file), path)
    what = " ".join(str(chain[0]).split())[:500] or type(chain[0]).__name__
    reference = re.search(r"\$\{\{.*?\}\}", what)
    place = _where(file.value, reference.group(0)) if reference else None
    return file.error(what, place or ())


def _where(value: Any, text: str, path: Key = ()) -> Key | None:
    """The path of the first value that holds `text`."""
    if isinstance(value, str):
        return path if text in value else None
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = (_where(inner, text, (*path, key)) for key, inner in items)
    return next((one for one in found if one is not None), None)


def _said(path: Key, what: str, file: Document) -> str:
    name = ".".join(str(part) for part in path)
    if what.startswith("Unknown field") and len(path) == 1:
        kind = str(file.value.get("type") or "command")
        known = [key for key in keys.TABLES[kind] if "." not in key]
        return f"unknown key {name!r}; {document.did_you_mean(str(path[0]), known)}"
    return f"{name}: {what}" if name else what


def _worst(messages: Mapping[Any, Any]) -> tuple[Key, str]:
    """The complaint to show: an unknown key explains a missing one, so it comes first; then the order of the file."""
    found = list(_leaves(messages, ()))
    for path, what in found:
        if what.startswith("Unknown field") and len(path) == 1:
            return path, what
    return found[0] if found else ((), "is not a job that Azure ML accepts")


def _leaves(node: Any, path: Key) -> Iterator[tuple[Key, str]]:
    if isinstance(node, dict):
        for name, value in node.items():
            # marshmallow's own words for 'the value of a mapping', 'the schema', 'no field'
            inner = path if name in ("value", "_schema", None, "null") else (*path, str(name))
            yield from _leaves(value, inner)
    elif isinstance(node, list):
        alternatives = [item for item in node if isinstance(item, dict)]
        if alternatives:  # a union: the alternative that got furthest complains least about unknown fields
            yield from _leaves(min(alternatives, key=lambda item: str(item).count("Unknown field")), path)
        for item in node:
            if isinstance(item, str):
                yield path, item
    elif isinstance(node, str):
        yield path, node
