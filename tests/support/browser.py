"""A headless Chromium for tests, driven over the Chrome DevTools Protocol: pages as people see them."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp

from .waiting import HANG_SECONDS

#: Names that distributions give the program.
NAMES = ("chromium", "chromium-browser", "google-chrome", "chromium-headless-shell")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)


def unavailable_reason() -> str | None:
    """Why there is no browser, None where there is one. Where TESTS_REQUIRE_CHROMIUM is set, tests need one."""
    if os.environ.get("TESTS_REQUIRE_CHROMIUM") or _program():
        return None
    return "no Chromium is installed (apt-get install chromium)"


def _program() -> str | None:
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Tab:
    """One page. What its scripts throw or log as errors, and what its policy forbids, is in `complaints`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.complaints: list[str] = []
        self._socket = socket
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loaded = asyncio.Event()

    async def listen(self) -> None:
        """Take what the browser says; for ever."""
        async for message in self._socket:
            told = message.json()
            if (asked := self._asked.pop(told.get("id", 0), None)) is not None and not asked.done():
                asked.set_result(told)
            self._heard(told.get("method", ""), told.get("params", {}))

    def _heard(self, method: str, told: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self._loaded.set()
        elif method == "Runtime.exceptionThrown":
            details = told["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.complaints.append(" ".join(str(one.get("value", one.get("description"))) for one in told["args"]))
        elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the protocol; its result."""
        number = next(self._numbers)
        asked = self._asked[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        told = await asyncio.wait_for(asked, HANG_SECONDS)
        assert "error" not in told, f"{method}: {told['error']}"
        result: dict[str, Any] = told["result"]
        return result

    async def open(self, url: str) -> None:
        """Go to a page and wait until it is loaded."""
        self._loaded.clear()
        await self.send("Page.navigate", url=url)
        await asyncio.wait_for(self._loaded.wait(), HANG_SECONDS)

    async def value(self, expression: str) -> Any:
        """What an expression of the page's language is; a promise is awaited."""
        told = await self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, f"{expression}: {told['exceptionDetails']}"
        return told["result"].get("value")

    async def until(self, condition: str, seconds: float = HANG_SECONDS) -> Any:
        """Wait until an expression is true, looking with each change of the page; its value."""
        return await self.value(
            f"""new Promise((resolve, reject) => {{
              const look = () => {{ const value = ({condition}); if (value) {{ done(); resolve(value); }} return value; }};
              const watcher = new MutationObserver(look);
              const timer = setTimeout(() => {{ done(); reject(new Error("not within {seconds:g} s: " +
                document.body.innerText.slice(0, 2000))); }}, {seconds * 1000:g});
              const done = () => {{ watcher.disconnect(); clearTimeout(timer); }};
              if (!look()) watcher.observe(document, {{
                subtree: true, childList: true, attributes: true, characterData: true }});
            }})"""
        )

    async def click(self, selector: str) -> None:
        """Click on the middle of an element, as a mouse does."""
        point = await self.value(
            f"""(() => {{ const node = document.querySelector({selector!r}); node.scrollIntoView({{block: "center"}});
            const box = node.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }})()"""
        )
        for kind in ("mousePressed", "mouseReleased"):
            where = {"x": point[0], "y": point[1], "button": "left", "clickCount": 1}
            await self.send("Input.dispatchMouseEvent", type=kind, **where)

    async def type(self, selector: str, text: str) -> None:
        """Click into a field and type, in the place of what is there."""
        await self.click(selector)
        await self.value(f"document.querySelector({selector!r}).select()")
        await self.send("Input.insertText", text=text)

    async def colours(self, scheme: str) -> None:
        """Prefer `light` or `dark`."""
        await self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    async def size(self, width: int, height: int, *, phone: bool = False) -> None:
        """The size of the window; as a phone shows it."""
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone
        )

    async def picture(self) -> bytes:
        """What is seen, as PNG."""
        told = await self.send("Page.captureScreenshot", format="png")
        return base64.b64decode(told["data"])


@asynccontextmanager
async def browser_tab() -> AsyncIterator[Tab]:
    """A tab of a browser that lives as long as the block, with a profile of its own."""
    program = _program()
    assert program, "no Chromium is installed"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            *(program, *OPTIONS, f"--user-data-dir={profile}", "about:blank"),
            stderr=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            port = await asyncio.wait_for(_port(process), HANG_SECONDS)
            async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                (first,) = [one for one in await answer.json() if one["type"] == "page"]
                async with session.ws_connect(first["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    tab = Tab(socket)
                    listener = asyncio.create_task(tab.listen())
                    for domain in ("Page", "Runtime", "Log"):
                        await tab.send(f"{domain}.enable")
                    yield tab
                    listener.cancel()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # it has processes of its own
            await process.communicate()


async def _port(process: asyncio.subprocess.Process) -> int:
    """The port on which it listens, as it says on standard error."""
    assert process.stderr is not None
    told: list[str] = []
    async for line in process.stderr:
        told.append(line.decode(errors="replace"))
        if "DevTools listening on ws://" in told[-1]:
            return int(told[-1].partition("ws://")[2].partition("/")[0].rpartition(":")[2])
    raise AssertionError(f"Chromium did not start: {''.join(told)}")
