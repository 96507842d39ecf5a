"""GitHub Actions, and act: outputs and summary by file, annotations and masks by command."""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from gates.errors import Unavailable
from gates.platforms.text import MESSAGE_LIMIT, SUMMARY_LIMIT, cut, neutral

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

    from gates.platforms import Level

_PAIR = re.compile(r":(?=:)")
_SHOWN = 9  # of 10 annotations of a level that GitHub shows a step; the tenth says how many more


class GitHub:
    name = "github"

    def __init__(self, env: Mapping[str, str], stream: TextIO) -> None:
        self._env, self._stream = env, stream
        self._annotated: dict[str, int] = {}

    def say(self, text: str) -> None:
        print(neutral(text), file=self._stream, flush=True)

    def group(self, title: str) -> None:
        self._command("group", " ".join(title.split()))

    def end_group(self) -> None:
        self._command("endgroup", "")

    def mask(self, secret: str) -> None:
        for line in filter(None, secret.splitlines()):  # as it is: made harmless, it would be another text
            print(f"::add-mask::{_escaped(line)}", file=self._stream, flush=True)

    def annotate(self, level: Level, message: str, *, file: str = "", line: int = 0, title: str = "") -> None:
        count = self._annotated[level] = self._annotated.get(level, 0) + 1
        if count <= _SHOWN:
            self._command(level, cut(message, MESSAGE_LIMIT, "…"), file=file, line=str(line or ""), title=title)

    def set_outputs(self, outputs: Mapping[str, str]) -> None:
        self._append("GITHUB_OUTPUT", "".join(_heredoc(name, value) for name, value in outputs.items()))

    def append_summary(self, markdown: str) -> None:
        self._append(
            "GITHUB_STEP_SUMMARY", cut(markdown, SUMMARY_LIMIT, "\n\n… cut: the report file has the rest.\n") + "\n"
        )

    def publish(self, folder: Path, name: str, *, tests: bool) -> None:
        """actions/upload-artifact is the workflow's own choice."""

    def tag(self, *names: str) -> None:
        """GitHub has no tags for runs."""

    def complete(self, exit_code: int, message: str) -> None:  # noqa: ARG002  # GitHub reads the exit code itself
        for level, count in self._annotated.items():
            if count > _SHOWN:
                self._command(level, f"and {count - _SHOWN} more; see the job summary")

    def run(self) -> Mapping[str, str]:
        env = self._env
        server, repository, number = (
            env.get("GITHUB_SERVER_URL", ""),
            env.get("GITHUB_REPOSITORY", ""),
            env.get("GITHUB_RUN_ID", ""),
        )
        return {
            "builder": f"{server}/{repository}/.github/workflows" if repository else "",
            "id": number,
            "url": f"{server}/{repository}/actions/runs/{number}" if number else "",
            "commit": env.get("GITHUB_SHA", ""),
            "ref": env.get("GITHUB_REF", ""),
            "actor": env.get("GITHUB_ACTOR", ""),
        }

    def _append(self, variable: str, text: str) -> None:
        if path := self._env.get(variable):
            try:
                with Path(path).open("a", encoding="utf-8", newline="\n") as file:
                    file.write(text)
            except OSError as error:
                raise Unavailable(f"cannot write {variable} ({path}): {error.strerror}") from error

    def _command(self, command: str, data: str, **properties: str) -> None:
        given = ",".join(f"{key}={_escape(value, property=True)}" for key, value in properties.items() if value)
        data = _PAIR.sub(": ", _escape(data))  # act looks for the last `::` of a line where GitHub looks for the first
        print(f"::{command}{' ' + given if given else ''}::{data}", file=self._stream, flush=True)


def _escape(text: str, *, property: bool = False) -> str:  # noqa: A002  # the word of the workflow-command syntax
    if not property:
        return _escaped(neutral(text))
    return _escaped(" ".join(neutral(text).split("\n"))).replace(":", "%3A").replace(",", "%2C")


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _heredoc(name: str, value: str) -> str:
    delimiter = f"gates_{secrets.token_hex(16)}"
    return f"{name}<<{delimiter}\n{value}\n{delimiter}\n"
