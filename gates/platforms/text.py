"""Making text harmless before it is said: no line of it can be a workflow command, on any platform."""

from __future__ import annotations

import re

_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_ADO = re.compile(r"##(?=(?:vso)?\[)", re.IGNORECASE)
_STOP = re.compile(r"^(\s*(?:\x1b\[[0-9;]*m)*\s*):(?=:)")
SUMMARY_LIMIT = 900 * 1024
MESSAGE_LIMIT = 4096


def neutral(text: str) -> str:
    """`text` with nothing a runner would obey: `::` at the start of a line, `##[` and `##vso[` anywhere.

    Lines are cut wherever any runner cuts them (lone CR, form feed, U+2028 too); control characters other than tab
    and colour, and characters that turn the reading direction, are dropped.
    """
    return "\n".join(_line(line) for line in text.splitlines())


def _line(line: str) -> str:
    parts = _COLOUR.split(line)
    clean = "".join(part if index % 2 else _CONTROL.sub("", part) for index, part in enumerate(parts))
    return _STOP.sub(r"\1: ", _ADO.sub("# #", clean))


def cut(text: str, limit: int, note: str) -> str:
    """`text` within `limit` bytes of UTF-8, ending with `note` where something was left out."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= limit:
        return text
    return raw[: limit - len(note.encode())].decode("utf-8", "ignore") + note
