"""What shall go wrong, by call: a plan in the state folder that tests write and the server reads before each request.

A rule: `match` is a shell pattern (after `re:` a regular expression) over `METHOD host/path`, case aside, `skip` the
number of matching calls that pass before it begins, `times` how often it strikes (default once). `do` is one of

    status   answer `status` (with `code`, and `headers` such as Retry-After) and do nothing
    late     do it, then answer `status` all the same
    reset    end the connection and do nothing
    lost     do it, then end the connection without an answer
    slow     wait `seconds`, then do it
    hang     never answer (for `seconds`)
    fail     the long-running operation that this call starts fails midway
    expired  401: the token is not taken
"""

from __future__ import annotations

import fnmatch
import json
import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Rule:
    id: str
    match: str
    do: str
    status: int = 500
    code: str = "InternalServerError"
    message: str = "planted"
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    skip: int = 0
    times: int = 1


class Plan:
    """The rules of `path`, and how often each has matched since this process began."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._seen: dict[str, int] = {}

    def strike(self, method: str, host: str, path: str) -> Rule | None:
        """The first rule that strikes this call."""
        if not self._path.exists():
            return None
        what = f"{method} {host}{path}".lower()
        with self._lock:
            for given in json.loads(self._path.read_text()):
                rule = Rule(**given)
                if not _matches(rule.match, what):
                    continue
                count = self._seen[rule.id] = self._seen.get(rule.id, 0) + 1
                if rule.skip < count <= rule.skip + rule.times:
                    return rule
        return None


def _matches(match: str, what: str) -> bool:
    if match.startswith("re:"):
        return re.fullmatch(match[3:], what, re.IGNORECASE) is not None
    return fnmatch.fnmatchcase(what, match.lower())


def write(path: Path, rules: list[dict[str, Any]]) -> None:
    """Replace the plan. A rule without an `id` gets a new one, so that its count begins at nothing."""
    import uuid

    beside = path.with_suffix(".new")
    beside.write_text(json.dumps([{"id": uuid.uuid4().hex, **rule} for rule in rules]))
    beside.replace(path)
