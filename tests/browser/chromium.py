"""A headless Chromium, driven over the DevTools protocol: opens pages, presses keys, and tells what is on the screen."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest

_START_S = 60.0
_CALL_S = 60.0
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--disable-extensions",
    "--remote-debugging-port=0",
)  # fmt: skip
_GOING = ("target navigated or closed", "context was destroyed", "Cannot find context")
_KEYS = {"Tab": 9, "Enter": 13, "Escape": 27}


def program() -> str:
    """The browser: CHROMIUM, or one on PATH. Without one the tests fail, for nothing else would notice."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.fail(
            "these tests need Chromium: apt-get install chromium, or set CHROMIUM to the program", pytrace=False
        )
    return found


class Browser:
    """One page of one browser, with a profile of its own that is removed with it."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        """Errors of scripts, what a policy refused, and requests that left for somewhere else."""
        self._number = 0
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def __aenter__(self) -> Self:
        self._profile = tempfile.mkdtemp(prefix="harness-browser-")
        self._process = await asyncio.create_subprocess_exec(
            program(), *_FLAGS, f"--user-data-dir={self._profile}", "about:blank",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        self._session = aiohttp.ClientSession(trust_env=False)
        try:
            async with asyncio.timeout(_START_S):
                while not (port := await asyncio.to_thread(self._port)):  # noqa: ASYNC110 # a file tells it
                    await asyncio.sleep(0.1)
                pages: list[Any] = []
                while not pages:
                    async with self._session.get(f"http://127.0.0.1:{port}/json") as answer:
                        pages = [each for each in await answer.json() if each["type"] == "page"]
                    await asyncio.sleep(0.1)
            self._socket = await self._session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0)
            self._reader = asyncio.create_task(self._read())
            for domain in ("Page", "Runtime", "Log", "Network", "Security"):
                await self.call(f"{domain}.enable")
        except BaseException:
            await self._end()
            raise
        return self

    def _port(self) -> str:
        path = Path(self._profile) / "DevToolsActivePort"
        lines = path.read_text().split() if path.is_file() else []
        return lines[0] if lines else ""

    async def __aexit__(self, *_: object) -> None:
        self._reader.cancel()
        await self._socket.close()
        await self._end()

    async def _end(self) -> None:
        await self._session.close()
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), 10)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await asyncio.to_thread(shutil.rmtree, self._profile, ignore_errors=True)

    async def _read(self) -> None:
        async for message in self._socket:
            told = json.loads(message.data)
            if "id" in told:
                self._waiting.pop(told["id"]).set_result(told)
            else:
                self._event(told["method"], told["params"])

    def _event(self, method: str, params: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            self.problems.append(str(params["exceptionDetails"].get("exception", params["exceptionDetails"]))[:400])
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.problems.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif method == "Network.requestWillBeSent":
            url = params["request"]["url"]
            if not url.startswith(("http://127.0.0.1:", "data:", "blob:", "about:")):
                self.problems.append(f"a request to {url}")

    async def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """One command of the protocol."""
        return await self._result(method, await self._send(method, **parameters))

    async def _send(self, method: str, **parameters: object) -> asyncio.Future[dict[str, Any]]:
        self._number += 1
        number = self._number
        told = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        return told

    async def _result(self, method: str, answer: asyncio.Future[dict[str, Any]]) -> dict[str, Any]:
        told = await asyncio.wait_for(answer, _CALL_S)
        if "error" in told:
            raise AssertionError(f"{method}: {told['error']}")
        return dict(told["result"])

    async def size(self, width: int, height: int, *, mobile: bool = False) -> None:
        """The screen."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile
        )

    async def open(self, url: str) -> None:
        """Go there, and wait until all of it is loaded."""
        await self.call("Page.navigate", url=url)
        await self.arrive(f"location.href.startsWith({json.dumps(url)})")

    async def arrive(self, there: str) -> None:
        """Wait until an expression is true of the page and all of it is loaded: only then do its scripts hear keys."""
        await self.until(f"document.readyState === 'complete' && ({there})")

    async def evaluate(self, expression: str) -> Any:
        """What an expression is in the page."""
        told = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def until(self, expression: str, timeout_s: float = _CALL_S) -> None:
        """Wait until an expression is true in the page."""
        async with asyncio.timeout(timeout_s):
            while not await self._true_now(expression):  # noqa: ASYNC110 # the page has no way to call us
                await asyncio.sleep(0.1)

    async def _true_now(self, expression: str) -> bool:
        try:
            return bool(await self.evaluate(expression))
        except AssertionError as error:  # what is asked while another page comes gets no answer
            if any(words in str(error) for words in _GOING):
                return False
            raise

    async def press(self, *keys: str) -> None:
        """Press keys one after another: characters, Tab, Enter, Escape; `Shift+Tab` goes back.

        As a person does, without waiting for what the page makes of one before the next: pages know when each was pressed.
        """
        method = "Input.dispatchKeyEvent"
        answers = []
        now = time.time()
        for number, given in enumerate(keys):
            key, modifiers = given.removeprefix("Shift+"), 8 if given.startswith("Shift+") else 0
            text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
            code = _KEYS.get(key, ord(key[0].upper()))
            when = now + number / 100  # or it is when the browser comes to take the key
            common = {"key": key, "windowsVirtualKeyCode": code, "modifiers": modifiers, "timestamp": when}
            down = "keyDown" if text else "rawKeyDown"
            answers.append(await self._send(method, type=down, text=text, **common))
            answers.append(await self._send(method, type="keyUp", **common))
        for answer in answers:
            await self._result(method, answer)

    async def picture(self, path: Path) -> None:
        """The screen as a PNG."""
        told = await self.call("Page.captureScreenshot", captureBeyondViewport=False)
        await asyncio.to_thread(path.write_bytes, base64.b64decode(told["data"]))
