"""A real headless Chromium over its DevTools protocol: pages are opened, measured, asked and photographed.

The browser is Debian's chromium-headless-shell (or chromium); `.ci/browser.sh` installs it. It gets a profile of its
own in a temporary folder, is told to reach nothing but files, and ends with the test.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND", "--remote-debugging-port=0",
    "--remote-allow-origins=*",
)  # fmt: skip


class Page:
    """One tab: `call` speaks the protocol, `events` are what the browser said by itself."""

    def __init__(self, socket: Any) -> None:
        self._socket, self._number = socket, 0  # aiohttp.ClientWebSocketResponse, whose type parameters vary
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.events: list[dict[str, Any]] = []
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            said = json.loads(message.data)
            if "id" in said:
                self._waiting.pop(said["id"]).set_result(said)
            else:
                self.events.append(said)

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        self._waiting[self._number] = answer = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        said = await asyncio.wait_for(answer, 120)
        if "error" in said:
            raise RuntimeError(f"{method}: {said['error']}")
        result: dict[str, Any] = said["result"]
        return result

    async def ask(self, script: str) -> Any:
        """The value of an expression in the page; promises are awaited."""
        said = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in said:
            raise RuntimeError(said["exceptionDetails"].get("exception", said["exceptionDetails"]))
        return said["result"].get("value")

    async def open(self, file: Path, *, width: int, height: int = 900, dark: bool = False) -> None:
        """A file at a width, without the page's own policy standing in the way of what tests inject."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.call(f"{domain}.enable")
        await self.call("Page.setBypassCSP", enabled=True)
        await self.size(width, height)
        await self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}],
        )
        await self.call("Page.navigate", url=file.absolute().as_uri())
        await self.until(lambda: self.ask("document.readyState === 'complete'"))

    async def size(self, width: int, height: int) -> None:
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    async def until(self, done: Callable[[], Awaitable[Any]]) -> None:
        for _ in range(600):
            if await done():
                return
            await asyncio.sleep(0.1)
        raise RuntimeError("the page did not get there in a minute")

    async def picture(self, to: Path, *, tallest: int = 12_000) -> None:
        """The whole page as PNG."""
        size = (await self.call("Page.getLayoutMetrics"))["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], tallest), "scale": 1}
        shot = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(base64.b64decode(shot["data"]))

    async def press(self, key: str, code: int) -> None:
        for kind in ("rawKeyDown", "keyUp"):
            await self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def complaints(self) -> list[str]:
        """Console messages, exceptions and log entries: a sound page says nothing."""
        found = []
        for event in self.events:
            kind, said = event["method"], event["params"]
            if kind == "Runtime.exceptionThrown":
                found.append(str(said["exceptionDetails"]))
            elif kind == "Runtime.consoleAPICalled":
                found.append(f"console: {said['args']}")
            elif kind == "Log.entryAdded":
                found.append(f"{said['entry']['level']}: {said['entry']['text']}")
        return found

    def requested(self) -> list[str]:
        """Addresses that the page asked for."""
        found = [e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"]
        return [url for url in found if not url.startswith("data:")]


@contextlib.asynccontextmanager
async def browser(program: str) -> AsyncIterator[Callable[[], Awaitable[Page]]]:
    """Yields a function that opens a tab."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            told = Path(profile) / "DevToolsActivePort"
            until = time.monotonic() + 60
            while not (told.is_file() and len(told.read_text().splitlines()) >= 2):
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"{program} did not start")
                await asyncio.sleep(0.05)
            port = told.read_text().splitlines()[0]
            async with aiohttp.ClientSession() as session:

                async def tab() -> Page:
                    async with session.put(f"http://127.0.0.1:{port}/json/new?about:blank") as answer:
                        where = (await answer.json())["webSocketDebuggerUrl"]
                    return Page(await session.ws_connect(where, max_msg_size=0))

                yield tab
        finally:
            process.kill()
            process.wait()
