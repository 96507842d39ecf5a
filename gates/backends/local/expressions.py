"""The `${{…}}` and `$[[ … ]]` of Azure ML commands, replaced so that a shell reads each value as one word.

Azure ML pastes values as they are, so a path with a space breaks there and a value may be code. Here a value is quoted
for the place it stands in: bare, inside double quotes, or inside single quotes. What Azure runs, runs here the same,
but for a bare literal with spaces, which Azure would split into words: `spaced` finds these, to be warned of.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from gates.errors import InvalidInput

PLACEHOLDER = re.compile(r"\$\{\{\s*([^{}]+?)\s*\}\}")
_OPTIONAL = re.compile(r"\$\[\[(.*?)\]\]", re.DOTALL)


def references(text: str) -> tuple[str, ...]:
    """Every name between `${{` and `}}`, in order: `inputs.data`, `parent.jobs.prep.outputs.out`."""
    return tuple(match.group(1) for match in PLACEHOLDER.finditer(text))


def render(command: str, values: Mapping[str, str | None], where: Callable[[str], InvalidInput]) -> str:
    """`command` with every reference replaced by its value, quoted.

    values: by full name, `inputs.x`; None is an optional input that was not given, and drops its `$[[ ]]` block.
    `where` makes the error for a message; it is raised for a name that is not there.
    """

    def keep(block: re.Match[str]) -> str:
        inside = block.group(1)
        return "" if any(values.get(name, "") is None for name in references(inside)) else inside

    text = _OPTIONAL.sub(keep, command)
    out: list[str] = []
    for piece, quote, name in _pieces(text):
        out.append(piece)
        if name is not None:
            if name not in values:
                raise where(f"${{{{{name}}}}} is not an input or output of this job")
            value = values[name]
            if value is None:
                raise where(f"${{{{{name}}}}} is optional and has no value; put it into $[[ ]]")
            out.append(quoted(value, quote))
    return "".join(out)


def quoted(value: str, quote: str) -> str:
    """`value` for a place in a shell command: bare (``''``), inside double (``'"'``) or single quotes (``"'"``)."""
    if quote == "'":
        return value.replace("'", "'\\''")
    if quote == '"':
        return re.sub(r'([\\"$`])', r"\\\1", value)
    return shlex.quote(value)


def spaced(command: str, values: Mapping[str, str | None]) -> tuple[str, ...]:
    """Names that stand bare in the command and whose value holds white space."""
    found = (name for _, quote, name in _pieces(_OPTIONAL.sub(r"\1", command)) if name is not None and not quote)
    return tuple(dict.fromkeys(name for name in found if len((values.get(name) or "").split()) > 1))


def _pieces(text: str) -> Iterator[tuple[str, str, str | None]]:
    """(text before, the quote that is open there, the reference or None), following the shell's quoting."""
    quote, start = "", 0
    for match in PLACEHOLDER.finditer(text):
        piece = text[start : match.start()]
        quote = _quote_after(piece, quote)
        yield piece, quote, match.group(1)
        start = match.end()
    yield text[start:], quote, None


def _quote_after(text: str, quote: str) -> str:
    skip = False
    for char in text:
        if skip:
            skip = False
        elif char == "\\" and quote != "'":
            skip = True
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
    return quote
