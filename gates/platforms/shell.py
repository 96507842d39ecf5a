"""A person's terminal, or any other place: plain lines, coloured only on a terminal that wants it."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

from gates.platforms.text import neutral

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import TextIO

    from gates.platforms import Level

_COLOURS = {"error": "31", "warning": "33", "notice": "36"}


class Shell:
    name = "shell"

    def __init__(self, env: Mapping[str, str], stream: TextIO) -> None:
        self._env, self._stream = env, stream
        self._colour = stream.isatty() and not env.get("NO_COLOR") and env.get("TERM") != "dumb"

    def say(self, text: str) -> None:
        print(neutral(text), file=self._stream, flush=True)

    def group(self, title: str) -> None:
        self.say(self._paint(f"── {title}", "1"))

    def end_group(self) -> None:
        """A terminal has no groups to close."""

    def mask(self, secret: str) -> None:
        """A terminal has no masks; what is secret is not said."""

    def annotate(self, level: Level, message: str, *, file: str = "", line: int = 0, title: str = "") -> None:
        where = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        self.say(f"{self._paint(level, _COLOURS[level])}: {where}{title + ': ' if title else ''}{message}")

    def set_outputs(self, outputs: Mapping[str, str]) -> None:
        """outputs.json has them; `--json` prints them."""

    def append_summary(self, markdown: str) -> None:
        """The terminal's own rendering is said by the report; the summary stands in the report folder."""

    def publish(self, folder: Path, name: str, *, tests: bool) -> None:
        """The report stands in its folder."""

    def tag(self, *names: str) -> None:
        """A terminal has none."""

    def complete(self, exit_code: int, message: str) -> None:
        """The exit code is the last word."""

    def run(self) -> Mapping[str, str]:
        try:
            actor = getpass.getuser()
        except (KeyError, OSError):  # no such user in this container
            actor = ""
        return {"builder": "shell", "id": "", "url": "", "commit": "", "ref": "", "actor": actor}

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour else text
