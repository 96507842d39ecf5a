"""YAML and JSON files that people write: parsed strictly, with the line of every key, into frozen values.

Rules: UTF-8; only `true` and `false` are booleans; dates stay text; duplicate keys, anchors of other tags, NaN and
infinity are refused; `1e-6` is refused with the spelling that YAML 1.1 reads as a number. Every complaint is one
`errors.InvalidInput` with file, line and what to write instead.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import yaml

from gates.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

T = TypeVar("T")
Key = tuple["str | int", ...]


@dataclass(frozen=True)
class Document:
    """A parsed file: its value, and the line (from 1) of every key and item by path."""

    file: Path
    value: Any
    raw: bytes
    lines: Mapping[Key, int] = field(default_factory=dict)

    def line(self, path: Key) -> int | None:
        """The line of the nearest known ancestor of a path."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)

    def error(self, what: str, path: Key = (), hint: str = "") -> InvalidInput:
        return InvalidInput(what, file=self.file, line=self.line(path), hint=hint)


def read_bytes(path: Path, what: str) -> bytes:
    """The bytes of a file that the user named; `what` says what it is, for the message."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InvalidInput(f"{what} not found", file=path, hint="check the path") from None
    except IsADirectoryError:
        raise InvalidInput(f"{what} is a directory", file=path, hint="name a file") from None
    except OSError as error:
        raise InvalidInput(f"{what} cannot be read: {error.strerror}", file=path) from error


def parse_yaml(raw: bytes, file: Path, what: str, *, env: Mapping[str, str] | None = None) -> Document:
    """Parse one YAML document. With `env`, `${env:NAME}` in values is replaced; an unset one is an error."""
    text = _text(raw, file, what)
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise InvalidInput(
            f"not YAML: {error.problem or error.context or error}", file=file, line=mark.line + 1 if mark else None,
            hint="check indentation, quotes and colons on this line",
        ) from None  # fmt: skip
    except yaml.YAMLError as error:
        raise InvalidInput(f"not YAML: {error}", file=file) from None
    except RecursionError:
        raise InvalidInput(f"{what} is nested too deeply", file=file, line=1, hint="write it flatter") from None
    if node is None:
        raise InvalidInput(f"{what} is empty", file=file, line=1, hint="an empty file decides nothing")
    lines: dict[Key, int] = {}
    try:
        value = _build(node, (), lines, file, env)
    except RecursionError:
        raise InvalidInput(f"{what} is nested too deeply", file=file, line=1, hint="write it flatter") from None
    if not isinstance(value, dict):
        raise InvalidInput(
            f"{what} must be a mapping of keys", file=file, line=1, hint="write lines of the form `key: value`"
        )
    return Document(file, value, raw, lines)


def load_yaml(path: Path, what: str, *, env: Mapping[str, str] | None = None) -> Document:
    return parse_yaml(read_bytes(path, what), path, what, env=env)


def load_json(path: Path, what: str, *, allow_nan: bool = False) -> Any:
    """Strict JSON: no duplicate keys; NaN and infinity only with `allow_nan` (a check refuses them)."""
    raw = read_bytes(path, what)
    if not raw.strip():
        raise InvalidInput(f"{what} is empty", file=path, line=1, hint="an empty file decides nothing")

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        for key, value in items:
            if key in seen:
                raise InvalidInput(f"duplicate key {key!r} in {what}", file=path, hint="keep one of them")
            seen[key] = value
        return seen

    def constant(name: str) -> float:
        if allow_nan:
            return float(name)
        raise InvalidInput(f"{name} is not JSON", file=path, hint="write null, or leave the key out")

    try:
        return json.loads(_text(raw, path, what), object_pairs_hook=pairs, parse_constant=constant)
    except json.JSONDecodeError as error:
        raise InvalidInput(
            f"not JSON: {error.msg}", file=path, line=error.lineno, hint="double quotes, no comments, no trailing comma"
        ) from None
    except RecursionError:
        raise InvalidInput(f"{what} is nested too deeply", file=path) from None


def convert(document: Document, into: type[T], *, at: Key = (), value: Any = None) -> T:
    """Bind a part of a document to a msgspec type; errors carry the line, and 'did you mean' for unknown keys."""
    part = _get(document.value, at) if value is None else value
    try:
        return msgspec.convert(part, into)
    except msgspec.ValidationError as error:
        raise _explain(document, into, at, part, str(error)) from None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint: the nearest known word or the only one that begins so, or all of them when none is near."""
    names = sorted(known)
    begun = [name for name in names if len(word) > 2 and name.startswith(word)]
    near = begun if len(begun) == 1 else difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(names)}"


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the C loader where libyaml is there
    """YAML 1.1 without its surprises: yes/no/on/off, dates and 1:30 stay text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  # PyYAML's own attribute


_FLOAT = re.compile(
    r"^[-+]?(?:\d[\d_]*\.[\d_]*(?:[eE][-+]\d+)?|\.\d[\d_]*(?:[eE][-+]\d+)?|\.(?:inf|Inf|INF))$|^\.(?:nan|NaN|NAN)$",
    re.ASCII,
)
_BARE_EXPONENT = re.compile(r"^[-+]?(\d+)[eE]([-+]?)(\d+)$|^[-+]?(\d+\.\d*)[eE](\d+)$")
for _tag, _pattern, _first in (
    ("bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), "tTfF"),
    ("int", re.compile(r"^[-+]?(?:0|[1-9][0-9_]*)$"), "-+0123456789"),
    ("float", _FLOAT, "-+0123456789."),
    ("null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    ("merge", re.compile(r"^<<$"), "<"),
):
    for _character in _first:
        _Loader.yaml_implicit_resolvers.setdefault(_character, []).append((f"tag:yaml.org,2002:{_tag}", _pattern))

_MOST_VALUES = 200_000
_ENV = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")


def _text(raw: bytes, file: Path, what: str) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise InvalidInput(f"{what} is not UTF-8", file=file, line=line, hint="save it as UTF-8") from None


def _build(node: Any, path: Key, lines: dict[Key, int], file: Path, env: Mapping[str, str] | None) -> Any:
    line = node.start_mark.line + 1
    lines.setdefault(path, line)
    if len(lines) > _MOST_VALUES:  # aliases of aliases: a few lines that stand for billions of values
        raise InvalidInput(f"over {_MOST_VALUES:,} values", file=file, line=line, hint="write fewer, or no aliases")
    if isinstance(node, yaml.MappingNode):
        return _build_mapping(node, path, lines, file, env)
    if isinstance(node, yaml.SequenceNode):
        return [_build(item, (*path, i), lines, file, env) for i, item in enumerate(node.value)]
    return _scalar(node, line, file, env)


def _build_mapping(node: Any, path: Key, lines: dict[Key, int], file: Path, env: Mapping[str, str] | None) -> Any:
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode) or key_node.tag.endswith(":merge") or not _is_text(key_node.value):
            raise InvalidInput(
                "a key must be plain text", file=file, line=line, hint="merge keys (<<) are not supported"
            )
        key = key_node.value
        if key in mapping:
            raise InvalidInput(f"duplicate key '{key}'", file=file, line=line, hint="keep one of them")
        here = (*path, key)
        lines[here] = line
        mapping[key] = _build(value_node, here, lines, file, env)
    return mapping


def _scalar(node: Any, line: int, file: Path, env: Mapping[str, str] | None) -> Any:
    text, tag = node.value, node.tag.rpartition(":")[2]
    if not _is_text(text):
        raise InvalidInput("half of a surrogate pair is no character", file=file, line=line, hint="write the character")
    if not node.style and _BARE_EXPONENT.match(text):
        number = f"{float(text):e}"
        mantissa, _, exponent = number.partition("e")
        mantissa = mantissa.rstrip("0") + ("0" if mantissa.rstrip("0").endswith(".") else "")
        raise InvalidInput(f"{text} is text in YAML 1.1, not a number", file=file, line=line,
                           hint=f"write {mantissa}e{exponent[0]}{int(exponent[1:])}")  # fmt: skip
    if tag == "null":
        return None
    if tag == "bool":
        return text.lower() == "true"
    if tag == "int":
        return int(text.replace("_", ""))
    if tag == "float":
        if "n" in text.lower():
            raise InvalidInput(f"{text} decides nothing", file=file, line=line, hint="write a finite number")
        return float(text.replace("_", ""))
    if tag != "str":
        raise InvalidInput(f"tag {node.tag} is not supported", file=file, line=line, hint="write plain YAML")
    return text if env is None else _ENV.sub(lambda match: _variable(match, env, file, line), text)


def _variable(match: re.Match[str], env: Mapping[str, str], file: Path, line: int) -> str:
    name = match.group(1)
    if name not in env:
        raise InvalidInput(
            f"environment variable {name} is not set", file=file, line=line, hint=f"set {name} or write the value"
        )
    return env[name]


def _is_text(value: str) -> bool:
    """False for what no UTF-8 file can hold: a lone surrogate, from an escape as `\\ud800`."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _get(value: Any, path: Key) -> Any:
    for key in path:
        value = value[key]
    return value


_PATH_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")


def _explain(document: Document, into: Any, at: Key, part: Any, message: str) -> InvalidInput:
    what, _, where = message.partition(" - at `$")
    steps: list[str | int] = [
        int(index) if index.isdigit() else index or name for name, index in _PATH_STEP.findall(where.rstrip("`"))
    ]
    unknown = re.search(r"unknown field `(.+?)`", what)
    got = re.search(r"got `(\w+)`", what)
    path = _locate(part, steps, unknown.group(1) if unknown else None, _TYPES.get(got.group(1)) if got else None)
    value = _try_get(part, path)
    if unknown:
        key = unknown.group(1)
        known = _fields(into, part, path)
        return document.error(
            f"unknown key '{key}'", (*at, *path, key), did_you_mean(key, known) if known else "remove it"
        )
    missing = re.search(r"missing required field `(.+?)`", what)
    if missing:
        return document.error(f"missing key '{missing.group(1)}'", (*at, *path), "add it")
    name = ".".join(str(step) for step in (*at, *path)) or "the file"
    shown = "" if isinstance(value, (dict, list)) else f", got {json.dumps(value, ensure_ascii=False)}"
    what = re.sub(r", got `\w+`$", "", what).replace("`", "")
    what = re.sub(r"^Expected str matching regex .*$", "not of its form", what)
    what = re.sub(r"^Invalid (?:value|enum value) .*$", lambda _: _allowed(into, part, path), what)
    what = re.sub(r"\b(str|int|float|bool|array|object)\b", lambda found: _WORDS[found.group()], what)
    what = what[0].lower() + what[1:]
    return document.error(f"{name}: {what}{shown}", (*at, *path), _description(into, part, path).rstrip("."))


_WORDS = {"str": "text", "int": "integer", "float": "number", "bool": "true or false", "array": "list",
          "object": "mapping"}  # fmt: skip
_TYPES: dict[str, type] = {"str": str, "int": int, "float": float, "bool": bool, "array": list, "object": dict}


def _locate(part: Any, steps: list[str | int], unknown: str | None, got: type | None) -> Key:
    """The path msgspec means. Where it says '[...]' (some key of a mapping): the first that fits the complaint."""
    if not steps:
        return ()
    head, rest = steps[0], steps[1:]
    if head != "...":
        return (head, *_locate(_try_get(part, (head,)), rest, unknown, got))
    for key, value in part.items() if isinstance(part, dict) else ():
        tail = _locate(value, rest, unknown, got)
        found = _try_get(value, tail)
        if (isinstance(found, dict) and unknown in found) if unknown else got is None or type(found) is got:
            return (key, *tail)
    return ()


def _try_get(value: Any, path: Key) -> Any:
    try:
        return _get(value, path)
    except (KeyError, IndexError, TypeError):
        return None


def _type_at(into: Any, part: Any, path: Key, said: list[str] | None = None) -> Any:
    """msgspec's description of the type at a path; `said` takes the descriptions that wrap it, the outermost first."""
    from msgspec import inspect as mi

    info: Any = mi.type_info(into)
    for key in (*path, None):
        if said is not None:
            said.clear()
        while isinstance(info, (mi.Metadata, mi.UnionType)):
            if isinstance(info, mi.Metadata):
                if said is not None:
                    said.append((info.extra_json_schema or {}).get("description", ""))
                info = info.type
                continue
            structs = [t for t in info.types if isinstance(t, mi.StructType)]
            tagged = [t for t in structs if isinstance(part, dict) and t.tag_field and part.get(t.tag_field) == t.tag]
            rest = [t for t in info.types if not isinstance(t, mi.NoneType)]
            info = (tagged or structs or rest)[0]
        if key is None:
            break
        if isinstance(info, mi.StructType):
            info = next((f.type for f in info.fields if f.encode_name == key), None)
        elif isinstance(info, mi.DictType):
            info = info.value_type
        else:
            info = getattr(info, "item_type", None)
        part = _try_get(part, (key,))
    return info


def _description(into: Any, part: Any, path: Key) -> str:
    """What the declaration says of the value at a path."""
    said: list[str] = []
    _type_at(into, part, path, said)
    return next((text for text in reversed(said) if text), "")


def _fields(into: Any, part: Any, path: Key) -> tuple[str, ...]:
    info = _type_at(into, part, path)
    return tuple(f.encode_name for f in getattr(info, "fields", ()))


def _allowed(into: Any, part: Any, path: Key) -> str:
    values = [str(value).lower() if isinstance(value, bool) else str(value)
              for value in getattr(_type_at(into, part, path), "values", ())]  # fmt: skip
    if not values:
        return "a value that is not allowed"
    return f"expected one of {', '.join(values)}" if len(values) > 1 else f"expected {values[0]}"
