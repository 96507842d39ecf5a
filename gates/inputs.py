"""An input is declared once and read once.

A step's `Inputs` is a frozen dataclass whose fields are made by `option()`. From `declared()` come the command-line
flags, the actions' inputs, the tasks' inputs and the docs; `read()` makes the value, by one precedence for all: flag,
then environment (`GATES_…`), then `mlops.yml`, then the default. An empty text means 'not given' (that is what a
workflow passes for an input that nobody set).
"""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from gates.document import did_you_mean
from gates.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Kind = Literal["text", "path", "bool", "duration", "list", "number", "choice"]
T = TypeVar("T")
REMOTE = "azureml:"
"""How a reference to data in a workspace begins, where a path may stand."""


@dataclass(frozen=True)
class Option:
    """One declared input or output. `config` is the dotted key of mlops.yml that may set it."""

    name: str
    help: str
    kind: Kind = "text"
    default: Any = None
    config: str = ""
    choices: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        return self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return "GATES_" + self.name.upper()

    @property
    def camel(self) -> str:
        head, *rest = self.name.split("_")
        return head + "".join(word.capitalize() for word in rest)

    @property
    def default_text(self) -> str:
        """The default as every dialect writes it."""
        return "" if self.default is None else to_text(self.default)


def option(
    help: str,  # noqa: A002  # the word of argparse, of actions and of tasks
    *,
    kind: Kind = "text",
    default: Any = None,
    config: str = "",
    choices: tuple[str, ...] = (),
) -> Any:
    """Declare an input as a dataclass field. A text that nobody gave is "", any other kind None."""
    if default is None and kind in ("text", "choice"):
        default = ""
    return dataclasses.field(
        default=default, metadata={"option": {"help": help, "kind": kind, "config": config, "choices": choices}}
    )


def output(help: str) -> Any:  # noqa: A002  # as above
    """Declare an output: a text, empty until it is known."""
    return dataclasses.field(default="", metadata={"option": {"help": help}})


def declared(cls: Any) -> tuple[Option, ...]:
    """Every option or output of a dataclass, in the order of declaration."""
    return tuple(
        Option(name=field.name, default=field.default, **field.metadata["option"])
        for field in dataclasses.fields(cls)
        if "option" in field.metadata
    )


def read(
    cls: type[T],
    *,
    flags: Mapping[str, str | None],
    env: Mapping[str, str],
    config: Callable[[str], Any] = lambda _: None,
    base: Path | None = None,
) -> T:
    """One value of `cls`. `config` maps a dotted key to what mlops.yml says (paths there already resolved).

    Relative paths of flags and environment are relative to `base` (the working directory).
    """
    values: dict[str, Any] = {}
    for declaration in declared(cls):
        given, where = flags.get(declaration.name) or "", f"--{declaration.flag}"
        if not given:
            given, where = env.get(declaration.variable, ""), declaration.variable
        if given:
            values[declaration.name] = parse(declaration, given, where, base)
        elif declaration.config and (configured := config(declaration.config)) is not None:
            values[declaration.name] = configured
        elif declaration.kind == "path" and declaration.default is not None:
            values[declaration.name] = Path(declaration.default) if base is None else base / declaration.default
    return cls(**values)


def parse(declaration: Option, text: str, where: str, base: Path | None = None) -> Any:
    """Parse the text of one input by its kind; the message names the flag or the variable that carried it."""
    if "\x00" in text:
        raise InvalidInput(f"{where}: a NUL character", hint="remove it")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidInput(f"{where}: {_short(text)!a} is not UTF-8", hint="rename it, or set a UTF-8 locale")
    text = text.strip()
    if declaration.kind == "path":
        return Path(text) if base is None or text.startswith(REMOTE) else base / text
    if declaration.kind == "bool":
        if text not in ("true", "false"):
            raise InvalidInput(f"{where}: expected true or false, got '{_short(text)}'", hint="write true or false")
        return text == "true"
    if declaration.kind == "duration":
        return duration(text, where)
    if declaration.kind == "list":
        return tuple(item.strip() for item in text.split(",") if item.strip())
    if declaration.kind == "number":
        return number(text, where)
    if declaration.kind == "choice" and text not in declaration.choices:
        raise InvalidInput(f"{where}: '{_short(text)}' is not known", hint=did_you_mean(text, declaration.choices))
    return text


def remote(path: Path) -> str:
    """The `azureml:` reference that a path input holds; '' for a path. Path has made one slash of two."""
    text = path.as_posix()
    return re.sub(r"^azureml:/+", "azureml://", text) if text.startswith(REMOTE) else ""


def number(text: str, where: str) -> float:
    if not re.fullmatch(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?", text, re.ASCII):
        raise InvalidInput(f"{where}: expected a number, got '{_short(text)}'", hint="write e.g. 0.05")
    if math.isinf(value := float(text)):
        raise InvalidInput(f"{where}: '{_short(text)}' is beyond every number", hint="write e.g. 0.05")
    return value


_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST = 1000 * 86400.0  # the operating system's own waits overflow beyond


def duration(text: str, where: str) -> float:
    """Seconds of `60s`, `10m`, `2h`, `7d`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip(), re.ASCII)
    if not match:
        raise InvalidInput(f"{where}: expected a duration, got '{_short(text)}'", hint="write e.g. 60s, 10m, 2h or 7d")
    seconds = float(match.group(1)) * _UNITS[match.group(2)]
    if seconds > _LONGEST:
        raise InvalidInput(f"{where}: '{_short(text)}' is longer than 1000 days", hint="write e.g. 60s, 10m, 2h or 7d")
    return seconds


def to_text(value: Any) -> str:
    """A value as outputs and defaults are written: booleans true or false, lists comma-separated, nothing as ''."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ",".join(to_text(item) for item in value)
    if isinstance(value, float):
        return f"{value:.10g}"
    return str(value)


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
