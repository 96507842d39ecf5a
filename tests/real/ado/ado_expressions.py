"""The expression language of Azure Pipelines, as much of it as our templates use; anything else is an error.

Values are texts, booleans, numbers, None, and at compile time objects and lists. Comparison is the service's: texts
without regard to case, the right side converted to the kind of the left.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>-?\d+(?:\.\d+)?)|(?P<word>[A-Za-z_]\w*)|(?P<mark>[.,()\[\]]))"
)
STATUS = ("succeeded", "failed", "always", "succeededOrFailed")


class ExpressionError(ValueError):
    """What the harness does not know, or the service would refuse."""


@dataclass(frozen=True)
class Scope:
    """What an expression may look at: the contexts by name, and the functions that are known here."""

    contexts: Mapping[str, Any]
    functions: Mapping[str, Callable[..., Any]]


def evaluate(text: str, scope: Scope) -> Any:
    """The value of one expression, without its `${{ }}` or `$[ ]`."""
    parser = _Parser(_tokens(text), scope, text)
    value = parser.value()
    parser.end()
    return value


def as_text(value: Any) -> str:
    """As the service writes a value into a text: booleans as True and False."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, (dict, list)):
        raise ExpressionError(f"an object cannot stand inside a text: {value!r}")
    return str(value)


def truth(value: Any) -> bool:
    """A value as a condition: empty text, zero and null are false; every other text is true, `False` too."""
    return bool(value)


def equal(left: Any, right: Any) -> bool:
    """`eq`: the right side is converted to the kind of the left; texts are compared without regard to case."""
    if isinstance(left, bool):
        return left == truth(right)
    if isinstance(left, (int, float)):
        try:
            return float(left) == float(as_text(right) or 0)
        except ValueError:
            return False
    if isinstance(left, str):
        return not isinstance(right, (dict, list)) and left.lower() == as_text(right).lower()
    if left is None:
        return right is None
    raise ExpressionError(f"eq of an object: {left!r}")


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "eq": equal,
    "ne": lambda left, right: not equal(left, right),
    "and": lambda *values: all(truth(value) for value in _two(values)),
    "lower": lambda value: as_text(value).lower(),
}
"""The functions that our templates call at compile time and at run time."""


def _two(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(values) < 2:
        raise ExpressionError("and takes two values or more")
    return values


def _tokens(text: str) -> list[tuple[str, str]]:
    found, place = [], 0
    while text[place:].strip():
        match = _TOKEN.match(text, place)
        if match is None or match.lastgroup is None:
            raise ExpressionError(f"cannot read {text[place:]!r} in {text!r}")
        found.append((match.lastgroup, match[match.lastgroup]))
        place = match.end()
    return found


class _Parser:
    def __init__(self, tokens: Sequence[tuple[str, str]], scope: Scope, text: str) -> None:
        self._tokens, self._scope, self._text, self._place = tokens, scope, text, 0

    def end(self) -> None:
        if self._place != len(self._tokens):
            raise ExpressionError(f"more than one value in {self._text!r}")

    def value(self) -> Any:
        kind, token = self._next()
        if kind == "text":
            return token[1:-1].replace("''", "'")
        if kind == "number":
            return float(token) if "." in token else int(token)
        if kind != "word":
            raise ExpressionError(f"unexpected {token!r} in {self._text!r}")
        if token in ("true", "false", "True", "False"):
            return token.lower() == "true"
        if self._peek() == "(":
            return self._call(token)
        if token not in self._scope.contexts:
            raise ExpressionError(f"no context '{token}' here, in {self._text!r}")
        return self._members(self._scope.contexts[token], token)

    def _call(self, name: str) -> Any:
        function = self._scope.functions.get(name)
        if function is None:
            raise ExpressionError(f"no function '{name}' here, in {self._text!r}")
        self._expect("(")
        arguments = []
        while self._peek() != ")":
            arguments.append(self.value())
            if self._peek() != ")":
                self._expect(",")
        self._expect(")")
        try:
            return function(*arguments)
        except TypeError as error:
            raise ExpressionError(f"{name}: {error}, in {self._text!r}") from error

    def _members(self, value: Any, path: str) -> Any:
        while self._peek() in (".", "["):
            if self._next()[1] == ".":
                kind, name = self._next()
                if kind != "word":
                    raise ExpressionError(f"a name must follow '.', in {self._text!r}")
            else:
                name = self.value()
                self._expect("]")
            if not isinstance(value, dict):
                raise ExpressionError(f"'{path}' has no members, in {self._text!r}")
            if name not in value and path == "parameters":
                raise ExpressionError(f"no parameter '{name}', in {self._text!r}")
            value, path = value.get(name), f"{path}.{name}"
            value = {} if value is None and self._peek() in (".", "[") else value
        return value

    def _peek(self) -> str:
        return self._tokens[self._place][1] if self._place < len(self._tokens) else ""

    def _next(self) -> tuple[str, str]:
        if self._place == len(self._tokens):
            raise ExpressionError(f"{self._text!r} ends too early")
        self._place += 1
        return self._tokens[self._place - 1]

    def _expect(self, mark: str) -> None:
        if self._next()[1] != mark:
            raise ExpressionError(f"'{mark}' expected, in {self._text!r}")
