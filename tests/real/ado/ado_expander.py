"""Expands Azure Pipelines YAML as the service does before a run: parameters, conditions, loops, templates, `extends`.

Only what our templates and starters use; any other construct is an ExpanderError, never passed over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml
from ado_expressions import FUNCTIONS, ExpressionError, Scope, as_text, evaluate, truth

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_WHOLE = re.compile(r"\s*\$\{\{(.*)\}\}\s*", re.DOTALL)
_DIRECTIVE = re.compile(r"(if|elseif|else|each)\b\s*(.*)", re.DOTALL)
_EACH = re.compile(r"([A-Za-z_]\w*)\s+in\s+(.+)", re.DOTALL)
LISTS = ("stages", "jobs", "steps")
TYPES = ("string", "boolean", "number", "object", "stepList")
LEVELS, FILES = 20, 100


class ExpanderError(ValueError):
    """What the service would refuse, or what this harness does not know."""


class _Loader(yaml.SafeLoader):
    """Scalars as the service reads them: only true and false are booleans, a date is a text; a key stands once."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value]
        if len(keys) != len(set(keys)):
            raise ExpanderError(f"line {node.start_mark.line + 1}: a key stands twice")
        return super().construct_mapping(node, deep=deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] in ("int", "float", "null")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("true|false|True|False"), list("tfTF"))


@dataclass
class Sources:
    """Where templates come from: the folder of the pipeline's own repository, and those of `resources`."""

    own: Path
    repositories: Mapping[str, Path] = field(default_factory=dict)
    read: int = 0

    def load(self, path: Path) -> dict[str, Any]:
        self.read += 1
        if self.read > FILES:
            raise ExpanderError(f"more than {FILES} files")
        if not path.is_file():
            raise ExpanderError(f"no template {path}")
        loaded = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # a SafeLoader
        if not isinstance(loaded, dict):
            raise ExpanderError(f"{path}: not a mapping")
        return loaded


def expand(
    file: Path,
    *,
    sources: Sources,
    parameters: Mapping[str, Any] | None = None,
    variables: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The pipeline of `file` with nothing left to expand. `variables` are those known before the run, by their name."""
    document = sources.load(file)
    root = sources.own
    scope = _scope(_parameters(document.pop("parameters", []), parameters or {}, file), variables or {})
    head = {key: _value(value, scope, file) for key, value in document.items() if key not in (*LISTS, "extends")}
    body = {key: value for key, value in document.items() if key in LISTS}
    _only_known(head, ("name", "trigger", "pr", "schedules", "resources", "variables", "pool"), file)
    given = _given_repositories(head.get("resources"), sources)
    if "extends" in document:
        called = _value(document["extends"], scope, file)
        _only_known(called, ("template", "parameters"), file)
        path, base = _find(str(called["template"]), file, root, given)
        return head | _body(path, base, called.get("parameters") or {}, variables or {}, sources, given, 1)
    return head | {
        key: _list(key, _value(value, scope, file), scope, file, root, sources, given, 1) for key, value in body.items()
    }


def _given_repositories(resources: Any, sources: Sources) -> dict[str, Path]:
    found = {}
    for repository in (resources or {}).get("repositories", []):
        alias = repository["repository"]
        if not str(repository.get("ref", "")).startswith("refs/tags/"):
            raise ExpanderError(f"repository {alias}: ref must be a tag")
        if alias not in sources.repositories:
            raise ExpanderError(f"repository {alias}: not here")
        found[alias] = sources.repositories[alias]
    return found


def _body(
    path: Path,
    base: Path,
    given: Mapping[str, Any],
    variables: Mapping[str, Any],
    sources: Sources,
    repositories: Mapping[str, Path],
    level: int,
) -> dict[str, Any]:
    """The lists of one template file, expanded."""
    if level > LEVELS:
        raise ExpanderError(f"more than {LEVELS} levels of templates")
    document = sources.load(path)
    scope = _scope(_parameters(document.pop("parameters", []), given, path), variables)
    _only_known(document, LISTS, path)
    if len(document) != 1:
        raise ExpanderError(f"{path}: a template holds one of {', '.join(LISTS)}")
    return {
        key: _list(key, _value(value, scope, path), scope, path, base, sources, repositories, level)
        for key, value in document.items()
    }


def _list(
    kind: str,
    value: Any,
    scope: Scope,
    file: Path,
    base: Path,
    sources: Sources,
    repositories: Mapping[str, Path],
    level: int,
) -> list[Any]:
    """An evaluated list of stages, jobs or steps with its templates put in place, and so the lists inside each.

    What was evaluated is not evaluated again: a value that holds `${{` stays a text.
    """
    found: list[Any] = []
    for item in value:
        if not isinstance(item, dict):
            raise ExpanderError(f"{file}: {kind} holds {item!r}")
        if "template" in item:
            _only_known(item, ("template", "parameters"), file)
            path, root = _find(str(item["template"]), file, base, repositories)
            variables = scope.contexts["variables"]
            inner = _body(path, root, item.get("parameters") or {}, variables, sources, repositories, level + 1)
            if list(inner) != [kind]:
                raise ExpanderError(f"{file}: {item['template']} holds {list(inner)}, not {kind}")
            found += inner[kind]
        else:
            found.append({
                key: _nested(key, part, scope, file, base, sources, repositories, level) for key, part in item.items()
            })  # fmt: skip
    return found


def _nested(
    key: str,
    part: Any,
    scope: Scope,
    file: Path,
    base: Path,
    sources: Sources,
    repositories: Mapping[str, Path],
    level: int,
) -> Any:
    if key in LISTS and isinstance(part, list):
        return _list(key, part, scope, file, base, sources, repositories, level)
    if key in ("strategy", "runOnce", "deploy", "on", "failure") and isinstance(part, dict):
        return {
            name: _nested(name, inner, scope, file, base, sources, repositories, level) for name, inner in part.items()
        }
    return part


def _find(name: str, file: Path, base: Path, repositories: Mapping[str, Path]) -> tuple[Path, Path]:
    """The file that `template:` names, and the root of its repository."""
    path, at, alias = name.partition("@")
    if at and alias != "self":
        if alias not in repositories:
            raise ExpanderError(f"{file}: no repository '{alias}' in resources")
        return repositories[alias] / path, repositories[alias]
    return (base / path.lstrip("/") if path.startswith("/") else file.parent / path), base


def _parameters(declared: Any, given: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """The typed parameters, each given or by its default."""
    if not isinstance(declared, list):
        raise ExpanderError(f"{file}: parameters must be a list of names with types")
    found: dict[str, Any] = {}
    for parameter in declared:
        _only_known(parameter, ("name", "displayName", "type", "default", "values"), file)
        name, kind = parameter["name"], parameter.get("type")
        if kind not in TYPES:
            raise ExpanderError(f"{file}: parameter {name} has the type '{kind}'")
        if name not in given and "default" not in parameter:
            raise ExpanderError(f"{file}: parameter {name} must be given")
        value = given[name] if name in given else parameter["default"]
        found[name] = _typed(value, kind, f"{file}: parameter {name}")
        if "values" in parameter and found[name] not in parameter["values"]:
            raise ExpanderError(f"{file}: parameter {name}: '{value}' is not one of {parameter['values']}")
    if unknown := sorted(set(given) - set(found)):
        raise ExpanderError(f"{file}: no parameter '{unknown[0]}'")
    return found


def _typed(value: Any, kind: str, where: str) -> Any:
    scalar = not isinstance(value, (dict, list))
    if kind == "boolean":
        if str(value).lower() not in ("true", "false"):
            raise ExpanderError(f"{where}: '{value}' is no boolean")
        return str(value).lower() == "true"
    if kind == "number":
        if not re.fullmatch(r"-?\d+(\.\d+)?", str(value)):
            raise ExpanderError(f"{where}: '{value}' is no number")
        return float(value) if "." in str(value) else int(value)
    if kind == "string":
        if not scalar:
            raise ExpanderError(f"{where}: an object where a text belongs")
        return as_text(value)
    if kind == "stepList" and not isinstance(value, list):
        raise ExpanderError(f"{where}: no list of steps")
    return value


def _scope(parameters: Mapping[str, Any], variables: Mapping[str, Any]) -> Scope:
    return Scope({"parameters": parameters, "variables": variables}, FUNCTIONS)


def _value(value: Any, scope: Scope, file: Path) -> Any:
    if isinstance(value, dict):
        return _mapping(value, scope, file)
    if isinstance(value, list):
        return _sequence(value, scope, file)
    if isinstance(value, str):
        return _text(value, scope, file)
    return value


def _text(text: str, scope: Scope, file: Path) -> Any:
    try:
        if (whole := _WHOLE.fullmatch(text)) and EXPRESSION.sub("", text).strip() == "":
            return evaluate(whole[1], scope)
        return EXPRESSION.sub(lambda match: as_text(evaluate(match[1], scope)), text)
    except ExpressionError as error:
        raise ExpanderError(f"{file}: {error}") from error


def _directive(key: Any) -> tuple[str, str] | None:
    """What `${{ if … }}` and its like ask for; None for any other key."""
    whole = _WHOLE.fullmatch(key) if isinstance(key, str) else None
    match = _DIRECTIVE.fullmatch(whole[1].strip()) if whole else None
    return (match[1], match[2].strip()) if match else None


class _Branches:
    """Which branch of if, elseif, else is taken; each of them must follow its `if` at once."""

    def __init__(self, scope: Scope, file: Path) -> None:
        self._scope, self._file = scope, file
        self._taken: bool | None = None

    def plain(self) -> None:
        self._taken = None

    def takes(self, word: str, condition: str) -> bool:
        if word != "if" and self._taken is None:
            raise ExpanderError(f"{self._file}: {word} without if")
        before = False if word == "if" else bool(self._taken)
        try:
            now = not before and (word == "else" or truth(evaluate(condition, self._scope)))
        except ExpressionError as error:
            raise ExpanderError(f"{self._file}: {error}") from error
        self._taken = None if word == "else" else before or now
        return now


def _sequence(items: list[Any], scope: Scope, file: Path) -> list[Any]:
    found: list[Any] = []
    branches = _Branches(scope, file)
    for item in items:
        asked = _directive(next(iter(item))) if isinstance(item, dict) and len(item) == 1 else None
        if asked is None:
            branches.plain()
            value = _value(item, scope, file)
            found += value if isinstance(item, str) and isinstance(value, list) else [value]
        elif asked[0] == "each":
            branches.plain()
            found += _each(asked[1], next(iter(item.values())), scope, file)
        elif branches.takes(*asked):
            inner = next(iter(item.values()))
            if not isinstance(inner, list):
                raise ExpanderError(f"{file}: a list must stand below {next(iter(item))}")
            found += _sequence(inner, scope, file)
    return found


def _each(asked: str, inner: Any, scope: Scope, file: Path) -> list[Any]:
    match = _EACH.fullmatch(asked)
    if match is None or not isinstance(inner, list):
        raise ExpanderError(f"{file}: each {asked}")
    found = []
    for value in evaluate(match[2], scope):
        found += _sequence(inner, Scope({**scope.contexts, match[1]: value}, scope.functions), file)
    return found


def _mapping(items: dict[Any, Any], scope: Scope, file: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    branches = _Branches(scope, file)
    for key, value in items.items():
        asked = _directive(key)
        if asked is None:
            branches.plain()
            new = {str(_text(str(key), scope, file)): _value(value, scope, file)}
        elif asked[0] == "each":
            raise ExpanderError(f"{file}: each over keys is not used here")
        elif not branches.takes(*asked):
            continue
        elif isinstance(value, dict):
            new = _mapping(value, scope, file)
        else:
            raise ExpanderError(f"{file}: a mapping must stand below {key}")
        if twice := set(new) & set(found):
            raise ExpanderError(f"{file}: the key '{min(twice)}' stands twice")
        found |= new
    return found


def _only_known(value: Any, known: tuple[str, ...], file: Path) -> None:
    for key in value:
        if key not in known:
            raise ExpanderError(f"{file}: '{key}' is not known here")
