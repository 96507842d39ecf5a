"""Stands between a process and its children, so that these never outlive it. Run as `python -I -S guard.py`.

The owner keeps the write end of a pipe that is this script's standard input, and writes nothing: end of file means
that the owner is gone, however it died. Then, and when the child ends, every descendant is killed. On Linux the guard
is a child subreaper, so descendants that left the process group, or whose parent died, are found too; elsewhere those
are found that are in the child's group or still hang in its tree. The child's exit status becomes the guard's own, a
death by signal included. Standard library only; imports are kept few, since every child waits for them.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

GRACE = 2.0
"""Seconds between asking (SIGTERM) and SIGKILL when the owner is gone; `--grace` sets it for forwarded signals too."""
LEFTOVER_GRACE = 0.3
"""Seconds that helpers of a child which ended by itself have to end by themselves (joblib's resource tracker)."""
NOT_STARTED = 127
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def main(argv: list[str]) -> int:
    """`guard.py [--grace SECONDS] -- COMMAND …`; returns only where the child did not die by a signal."""
    grace = GRACE
    if argv[:1] == ["--grace"]:
        grace, argv = float(argv[1]), argv[2:]
    if argv[:1] != ["--"] or len(argv) < 2:
        print("usage: guard.py [--grace SECONDS] -- COMMAND ...", file=sys.stderr)  # noqa: T201  # a script
        return 2
    if os.getsid(0) != os.getpid():
        os.setsid()
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    wake_read, wake_write = os.pipe()
    for end in (wake_read, wake_write):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    for number in (*FORWARDED, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    child = _spawn(argv[1:])
    status = _watch(child, wake_read, grace)
    _end_all(child, LEFTOVER_GRACE if status is not None else 0.0)
    return _pass_on(status)


def _spawn(command: list[str]) -> int:
    """Fork and run `command` in a session of its own, with signals as a shell would give them, stdin empty."""
    guard = os.getpid()
    child = os.fork()
    if child:
        return child
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (*FORWARDED, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # for a guard that is itself killed with SIGKILL
        if os.getppid() != guard:
            os._exit(NOT_STARTED)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.execvp(command[0], command)  # noqa: S606  # no shell is wanted
    except OSError as error:
        os.write(2, f"guard: cannot start {command[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(NOT_STARTED)


def _watch(child: int, wake: int, grace: float) -> int | None:
    """Wait for the child, forwarding signals. Its wait status; None when it had to be given up."""
    deadline: float | None = None
    sources = [0, wake]
    while True:
        status = _reap(child)
        if status is not None:
            return status
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return None
        ready, _, _ = select.select(sources, [], [], left)
        numbers: set[int] = set(os.read(wake, 512)) if wake in ready else set()
        if 0 in ready and not os.read(0, 512):
            sources.remove(0)
            numbers.add(signal.SIGTERM)
        for number in numbers & set(FORWARDED):
            _signal_group(child, number)
            limit = time.monotonic() + grace
            deadline = limit if deadline is None else min(deadline, limit)


def _reap(child: int) -> int | None:
    """Collect every child that ended, adopted ones too. The wait status of `child` if it is among them."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == child:
            found = status


def _end_all(child: int, patience: float) -> None:
    """Kill what is left of the tree, until nothing is: a process may fork while its parent is being killed."""
    patient_until = time.monotonic() + patience
    give_up = time.monotonic() + patience + 4.0
    while time.monotonic() < give_up:
        _reap(child)
        left = _descendants()
        if not left and not _group_lives(child):
            return
        if time.monotonic() >= patient_until:
            for pid in left:
                _signal(pid, signal.SIGKILL)
            _signal_group(child, signal.SIGKILL)
        time.sleep(0.01)


def _descendants() -> list[int]:
    """Every process below this one. Zombies are ours to reap and do not count."""
    parents = _parents_from_proc() if sys.platform == "linux" else _parents_from_ps()
    below = {os.getpid()}
    grown = True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in below} - below
        below |= more
        grown = bool(more)
    return sorted(below - {os.getpid()})


def _parents_from_proc() -> dict[int, int]:
    parents = {}
    for name in os.listdir("/proc"):  # noqa: PTH208  # pathlib would cost every child its import time
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123  # same
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue  # it ended while we looked
        if fields and fields[0] not in (b"Z", b"X"):
            parents[int(name)] = int(fields[1])
    return parents


def _parents_from_ps() -> dict[int, int]:
    parents = {}
    with os.popen("ps -A -o pid=,ppid=,pgid=,stat=") as listing:  # noqa: S605  # a fixed text
        for line in listing:
            pid, parent, group, state = line.split(None, 3)
            if not state.startswith("Z") and int(group) != os.getpgrp():  # ps itself is in our group
                parents[int(pid)] = int(parent)
    return parents


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return sys.platform == "linux"  # macOS says so of a group of zombies
    return True


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass  # it ended; or a set-uid program, which nobody but root can end


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        pass  # same


def _pass_on(status: int | None) -> int:
    """End as the child ended."""
    if status is None:
        status = signal.SIGKILL
    if os.WIFEXITED(status):
        return os.WEXITSTATUS(status)
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the child's core file is enough
    number = os.WTERMSIG(status)
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
