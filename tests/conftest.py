"""What every test may use. Three rules stand here.

Unit tests open no socket and start no process. A tool that is missing is a skip with its reason on a laptop, and a
failure where GATES_REQUIRE=1 says that everything must be there. No drawn example is late: a loaded machine takes its
time.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
import urllib3.util.connection  # noqa: F401  # on its first import it binds a socket to see whether there is IPv6
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
UNIT = Path(__file__).parent / "unit"
FORBIDDEN = (
    (socket.socket, "connect"), (socket.socket, "connect_ex"), (socket.socket, "bind"), (subprocess.Popen, "__init__"),
    (os, "fork"), (os, "forkpty"), (os, "posix_spawn"), (os, "posix_spawnp"), (os, "system"),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _no_socket_no_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stands in tests/unit fails when it reaches out, also where the code under test catches errors."""
    if UNIT not in request.path.parents:
        return
    for owner, name in FORBIDDEN:
        monkeypatch.setattr(owner, name, _refuse(f"{getattr(owner, '__name__', owner)}.{name}"))


def _refuse(name: str) -> Callable[..., NoReturn]:
    def refuse(*args: object, **kwargs: object) -> NoReturn:
        pytest.fail(f"a unit test called {name}; it belongs to tests/real")

    return refuse


@pytest.fixture(scope="session")
def need() -> Callable[[str], str]:
    """`need("git")`: its path, beside our interpreter or on PATH. Absent: skips, or fails under GATES_REQUIRE=1."""

    def find(tool: str) -> str:
        found = shutil.which(tool, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
        if found is None and os.environ.get("GATES_REQUIRE") == "1":
            pytest.fail(f"{tool} is not installed, and GATES_REQUIRE=1")
        if found is None:
            pytest.skip(f"{tool} is not installed")
        return found

    return find
