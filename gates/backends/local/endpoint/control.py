"""The wire between a command and the supervisor: one line of JSON there, one back, over a Unix socket of mode 600.

An error travels by the name of its class in gates.errors and is raised again on the other side, so that a rule broken
in the supervisor ends the command as if it had been broken there.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING, Any

import msgspec

from gates import errors

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    Handle = Callable[[str, dict[str, Any]], Awaitable[Any]]


class NobodyThere(errors.Unavailable):
    """Nobody listens on the socket, so nothing was asked."""


LIMIT = 64 * 1024 * 1024
_KNOWN = {cls.__name__: cls for cls in (errors.Conflict, errors.InvalidInput, errors.Unavailable, errors.Refused)}


def call(path: Path, do: str, arguments: dict[str, Any], *, timeout: float = 30.0) -> Any:
    """Ask the supervisor behind socket `path`. Unavailable when it does not answer within `timeout` seconds."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
            channel.settimeout(timeout)
            try:
                channel.connect(str(path))
            except OSError as error:
                raise NobodyThere(f"the endpoint's supervisor does not listen: {error}") from error
            channel.sendall(msgspec.json.encode({"do": do, "with": arguments}) + b"\n")
            with channel.makefile("rb") as lines:
                answer = lines.readline(LIMIT)
    except OSError as error:
        raise errors.Unavailable(f"the endpoint's supervisor does not answer: {error}") from error
    if not answer.endswith(b"\n"):
        raise errors.Unavailable(f"the endpoint's supervisor ended while it did '{do}'")
    reply = msgspec.json.decode(answer)
    if "error" in reply:
        raise _KNOWN.get(reply["error"], errors.Unavailable)(reply["what"], hint=reply["hint"])
    return reply["ok"]


async def serve(path: Path, handle: Handle, defect: Callable[[BaseException], None]) -> asyncio.AbstractServer:
    """Answer on socket `path`. `defect` hears of exceptions that are no error of ours; the caller hears only that."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readline()
            if line.endswith(b"\n"):
                writer.write(msgspec.json.encode(await answer(handle, line, defect)) + b"\n")
                await writer.drain()
        except ConnectionError:
            pass  # the command ended; what it asked for is done
        finally:
            writer.close()

    path.unlink(missing_ok=True)
    before = os.umask(0o177)
    try:
        return await asyncio.start_unix_server(one, path, limit=LIMIT)
    finally:
        os.umask(before)


async def answer(handle: Handle, line: bytes, defect: Callable[[BaseException], None]) -> dict[str, Any]:
    """The reply to one line."""
    try:
        request = msgspec.json.decode(line, type=dict[str, Any])
        return {"ok": await handle(request["do"], request["with"])}
    except errors.GatesError as error:
        return {"error": type(error).__name__, "what": error.what, "hint": error.hint}
    except Exception as error:  # noqa: BLE001  # the supervisor outlives a defect; it is logged, and the caller told
        defect(error)
        return {"error": "Unavailable", "what": f"the supervisor failed: {type(error).__name__}: {error}", "hint": ""}
