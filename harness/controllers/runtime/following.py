"""Following one collection of the API for as long as the process lives: what every list and watch does alike.

- A watch that ends is taken up again at the last resourceVersion seen (bookmarks move it on where nothing happens).
- Only when the server says that this version is gone (410) everything begins anew.
- After an error: exponential delay with jitter, so that many clients do not come back at the same moment.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from abc import ABC, abstractmethod

import aiohttp

from harness.controllers.runtime.client import Api, ApiError
from harness.controllers.runtime.resources import Object, Resource

PAGE_SIZE = 500
"""Objects per list request: client-go's default."""
WATCH_S = (300.0, 600.0)
"""How long a watch is asked for, drawn anew each time (client-go's range), so that reconnections spread."""
IDLE_S = 150.0
"""A watch without a byte for so long is dead: the server sends a bookmark about once a minute."""
BACKOFF_S = (0.2, 30.0)

_TOO_LARGE = "Too large resource version"
"""What a server says that has lost its data since, where it does not say 410."""


class _Gone(Exception):
    """The resourceVersion to resume from is not kept by the server any more."""


class Following(ABC):
    """A `manager.Follower`. `run()` is its task; `synced` is set by what it has of the beginning."""

    def __init__(
        self,
        api: Api,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        accept: str = "application/json",
        backoff_s: tuple[float, float] = BACKOFF_S,
    ) -> None:
        self.resource = resource
        self.synced = asyncio.Event()
        self._api = api
        self._path = resource.path(namespace)
        self._selector = {"labelSelector": label_selector} if label_selector else {}
        self._accept = accept
        self._backoff_s = backoff_s
        self._failures = 0
        self._version: str | None = None
        """Where the watch goes on; None: everything is to be read anew."""
        self._log = logging.getLogger(f"following.{resource}")

    async def run(self) -> None:
        """Read everything, then watch, for ever. Ends only by cancellation."""
        while True:
            try:
                if self._version is None:
                    await self._begin()
                await self._watch()
            except _Gone as gone:
                self._log.info("watch cannot be resumed (%s): listing anew", gone)
                self._version = None
                self._failures = 1  # the server answers: whatever went wrong before is over
            except ApiError as error:
                self._failures += 1
                if error.status == 410 or _TOO_LARGE in str(error):
                    self._version = None
                self._log.warning("%s", error)
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
                self._failures += 1
                self._log.warning("%s: %s", type(error).__name__, error)
            if self._failures:
                await asyncio.sleep(self._delay())

    @abstractmethod
    async def _begin(self) -> None:
        """Read everything and set the version, unless the watch itself begins with all there is."""

    @abstractmethod
    def _change(self, kind: str, obj: Object) -> None:
        """An event of the watch that is no error. Moves the version on."""

    def _from(self) -> dict[str, str]:
        """Where the watch begins, as parameters of its request."""
        assert self._version is not None
        return {"resourceVersion": self._version}

    def _delay(self) -> float:
        least, most = self._backoff_s
        delay = float(min(most, least * 2 ** min(self._failures - 1, 30)))
        return delay * random.uniform(0.5, 1.5)  # noqa: S311 - jitter, nothing secret

    async def _watch(self) -> None:
        seconds = random.uniform(*WATCH_S)  # noqa: S311 - jitter, nothing secret
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(int(seconds)),
            **self._from(),
            **self._selector,
        }
        async with self._api.stream(
            self._path, query, accept=self._accept, total_s=seconds + IDLE_S, idle_s=IDLE_S
        ) as content:
            self._failures = 0
            rest = bytearray()
            async for chunk in content.iter_any():
                rest += chunk
                rest = self._take_lines(rest)
                del chunk  # else the last burst, up to hundreds of KB, is held till the next event comes
        await asyncio.sleep(self._backoff_s[0])  # it ended in good order; still never reconnect in a tight loop

    def _take_lines(self, text: bytearray) -> bytearray:
        """All whole lines; what is left is the beginning of the next one."""
        end = text.rfind(b"\n")
        if end < 0:
            return text
        for line in text[:end].split(b"\n"):
            self._take(json.loads(line))
        return text[end + 1 :]

    def _take(self, event: Object) -> None:
        kind, obj = event["type"], event["object"]
        if kind == "ERROR":
            if obj.get("code") == 410:
                raise _Gone(obj.get("message", "410"))
            raise ApiError("WATCH", self._path, int(obj.get("code", 0)), obj.get("reason", ""), obj.get("message", ""))
        self._change(kind, obj)
