"""Whether the owner of a lease still lives: each holds a lock on a file of its own while its process does.

A lease alone can only be waited for. On one machine the system knows more: a file lock goes with its process, however
it dies, and holds across containers that share the folder, where a pid would mean something else. An owner without
such a file is not known to be dead.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from gates.backends.local.endpoint.layout import Layout


_HELD: dict[Path, int] = {}
"""The files that this process has locked: a second lock of its own on one of them would wait for ever."""


def hold(place: Layout, owner: str) -> None:
    """Lock the owner's file for as long as this process lives, or until `let_go`."""
    path = _path(place, owner)
    if path in _HELD:
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                _HELD[path] = descriptor
                return
        except FileNotFoundError:  # whoever buried a former owner of this name removed it in between
            os.close(descriptor)
            continue
        os.close(descriptor)


def let_go(place: Layout, owner: str) -> None:
    """The lease was given back: nobody need ask after this owner any more."""
    path = _path(place, owner)
    descriptor = _HELD.pop(path, None)
    if descriptor is not None:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def bury(place: Layout, owner: str) -> bool:
    """Whether `owner` is known to be dead; its file is then removed. False for one that never had a file."""
    path = _path(place, owner)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _path(place: Layout, owner: str) -> Path:
    return place.folder / "owners" / hashlib.sha256(owner.encode()).hexdigest()[:32]
