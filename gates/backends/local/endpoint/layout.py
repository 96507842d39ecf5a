"""Where an endpoint lives: `<state-dir>/endpoints/<name>/`, private to its user.

state.json        what survives (state.py)         key               the bearer key, mode 600
lock              held while a supervisor runs     start.lock        held while one is being started
run.json          pid, url, socket folder          supervisor.log    the supervisor's own words, never a key
deployments/<d>/  model/, code/, server.conf.py, log
run/              Unix sockets; when that path would be too long for a socket, a private temporary folder
"""

from __future__ import annotations

import os
import re
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec

from gates.errors import InvalidInput
from gates.files import write_whole

_NAME = re.compile(r"[A-Za-z](?:[A-Za-z0-9-]{1,30}[A-Za-z0-9])")
_LONGEST_SOCKET_FOLDER = 60
"""sun_path holds 104 bytes on macOS, 108 on Linux; a socket's name here is `d-` and up to 32 characters."""


class Running(msgspec.Struct, frozen=True):
    """What a supervisor says about itself in run.json."""

    pid: int
    url: str
    run: str

    @property
    def control(self) -> Path:
        return Path(self.run) / "control"


@dataclass(frozen=True)
class Layout:
    """The paths of one endpoint."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def state(self) -> Path:
        return self.folder / "state.json"

    @property
    def key(self) -> Path:
        return self.folder / "key"

    @property
    def lock(self) -> Path:
        return self.folder / "lock"

    @property
    def start_lock(self) -> Path:
        return self.folder / "start.lock"

    @property
    def running(self) -> Path:
        return self.folder / "run.json"

    @property
    def log(self) -> Path:
        return self.folder / "supervisor.log"

    def deployment(self, name: str) -> Path:
        return self.folder / "deployments" / name


def locate(state_dir: Path, name: str) -> Layout:
    """The layout of endpoint `name` under `state_dir`. Raises InvalidInput for a name that Azure would refuse."""
    if _NAME.fullmatch(name) is None:
        raise InvalidInput(
            f"endpoint name {name!r} is not allowed",
            hint="3 to 32 letters, digits and -, a letter first, no - at the end",
        )
    return Layout(state_dir.resolve() / "endpoints" / name)


def prepare(layout: Layout) -> str:
    """Make the folder and the key unless they are there; the key."""
    layout.folder.mkdir(parents=True, exist_ok=True)
    layout.folder.chmod(0o700)
    if not layout.key.exists():
        write_whole(layout.key, secrets.token_urlsafe(32), mode=0o600)
    layout.key.chmod(0o600)
    return read_key(layout)


def read_key(layout: Layout) -> str:
    return layout.key.read_text("ascii").strip()


def run_folder(layout: Layout, former: Running | None) -> Path:
    """A folder, mode 700, whose path is short enough for sockets. A former temporary one is used again."""
    own = layout.folder / "run"
    if len(os.fsencode(own)) <= _LONGEST_SOCKET_FOLDER:
        own.mkdir(mode=0o700, exist_ok=True)
        return own
    if former is not None:
        folder = Path(former.run)
        if folder.is_dir() and not folder.is_symlink():
            about = folder.stat()
            if about.st_uid == os.getuid() and about.st_mode & 0o777 == 0o700:
                return folder
    return Path(tempfile.mkdtemp(prefix="gates-", dir="/tmp"))  # TMPDIR may be long too; mkdtemp is private


def read_running(layout: Layout) -> Running | None:
    """What the last supervisor said; None when there was none."""
    try:
        return msgspec.json.decode(layout.running.read_bytes(), type=Running)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
