"""A person's terminal, or any other place: plain lines, coloured only on a terminal that wants it.

While a group is open, such a terminal shows below the last line what runs and for how long. It is written over and
wiped, so that what stays is the same lines as everywhere else.
"""

from __future__ import annotations

import getpass
import threading
import time
from typing import TYPE_CHECKING

from gates.platforms.text import neutral

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import TextIO

    from gates.platforms import Level

_COLOURS = {"error": "31", "warning": "33", "notice": "36"}
_TICK = 1.0
_WIPE = "\r\x1b[K"


class Shell:
    name = "shell"

    def __init__(self, env: Mapping[str, str], stream: TextIO) -> None:
        self._env, self._stream = env, stream
        self._colour = stream.isatty() and not env.get("NO_COLOR") and env.get("TERM") != "dumb"
        self._turn, self._ended = threading.Lock(), threading.Event()
        self._shown = False

    def say(self, text: str) -> None:
        with self._turn:
            print(f"{_WIPE if self._shown else ''}{neutral(text)}", file=self._stream, flush=True)
            self._shown = False

    def group(self, title: str) -> None:
        self.end_group()
        self.say(self._paint(f"── {title}", "1"))
        if self._colour:
            self._ended = threading.Event()
            threading.Thread(target=self._progress, args=(neutral(title), self._ended), daemon=True).start()

    def end_group(self) -> None:
        """A terminal has no groups to close; what is in progress is wiped."""
        with self._turn:
            self._ended.set()
            if self._shown:
                print(_WIPE, end="", file=self._stream, flush=True)
            self._shown = False

    def _progress(self, title: str, ended: threading.Event) -> None:
        """Say what runs and for how long, until the group ends."""
        begun = time.monotonic()
        while not ended.wait(_TICK):
            with self._turn:
                if ended.is_set():
                    return
                seconds = time.monotonic() - begun
                print(f"{_WIPE}{title[:60]} … {seconds:.0f} s", end="", file=self._stream, flush=True)
                self._shown = True

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
