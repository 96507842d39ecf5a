"""Logging commands as the agent reads them from a line: `##vso[area.event key=value;…]data`."""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = "##vso["
KNOWN = {
    "task.setvariable": {"variable", "isoutput", "issecret"},
    "task.complete": {"result"},
    "task.logissue": {"type", "sourcepath", "linenumber"},
    "task.issue": {"type", "source"},
    "task.uploadsummary": set(),
    "task.setsecret": set(),
    "task.debug": set(),
    "results.publish": {"type", "resultfiles", "runtitle", "mergeresults", "publishrunattachments"},
    "build.addbuildtag": set(),
    "artifact.upload": {"artifactname", "containerfolder"},
}


class CommandError(ValueError):
    """A command that the agent would refuse, or that this harness does not know."""


@dataclass(frozen=True)
class Command:
    name: str
    properties: dict[str, str]
    data: str


def parse(line: str) -> Command | None:
    """The command in a line: the first `##vso[` anywhere in it, up to the next `]`. None for plain text."""
    start = line.lower().find(PREFIX)
    if start < 0:
        return None
    end = line.find("]", start)
    if end < 0:
        raise CommandError(f"no ] in {line!r}")
    name, _, rest = line[start + len(PREFIX) : end].partition(" ")
    properties = {}
    for part in filter(None, (piece.strip() for piece in rest.split(";"))):
        key, equals, value = part.partition("=")
        if not equals:
            raise CommandError(f"a property without a value in {line!r}")
        properties[key.lower()] = unescape(value, property=True)
    name = name.lower()
    if name not in KNOWN:
        raise CommandError(f"'{name}' is not known here: {line!r}")
    if unknown := set(properties) - KNOWN[name]:
        raise CommandError(f"{name} has no property '{min(unknown)}': {line!r}")
    return Command(name, properties, unescape(line[end + 1 :]))


def unescape(text: str, *, property: bool = False) -> str:  # noqa: A002  # the agent's own word
    """As the agent undoes what task-lib and our platform write."""
    pairs = [("%3B", ";"), ("%5D", "]")] if property else []
    for escaped, character in [*pairs, ("%0D", "\r"), ("%0A", "\n"), ("%AZP25", "%")]:
        text = text.replace(escaped, character)
    return text
