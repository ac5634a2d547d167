"""List and watch of one collection, for as long as the process lives, each way of reading the initial list being a switch.

A list that is buffered is gathered from all its pages and handed over at once; a streamed one is handed on page by page.
With `watch_list` there is no list: the watch begins with all objects and a bookmark that says so (`sendInitialEvents`),
and buffering then gathers events. The rest is what runtime.informer does.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random

import aiohttp

from harness.controllers.runtime.client import Api, ApiError
from harness.controllers.runtime.informer import BACKOFF_S, IDLE_S, WATCH_S
from harness.controllers.runtime.resources import Object, Resource, version_of
from harness.controllers.watcher.changes import Sink
from harness.controllers.watcher.options import InitialList, Options
from harness.controllers.watcher.series import Series

END_OF_INITIAL = "k8s.io/initial-events-end"
"""Annotation of the bookmark after the initial events (KEP-3157)."""


class _Gone(Exception):
    """The resourceVersion to go on from is not kept any more."""


class Watch:
    """A `manager.Follower`: ready when the initial list has been handed on."""

    def __init__(self, api: Api, resource: Resource, options: Options, sink: Sink, series: Series) -> None:
        self.resource = resource
        self.synced = asyncio.Event()
        self._api, self._sink, self._series = api, sink, series
        self._path = resource.path(options.namespace)
        self._buffered = options.initial_list is InitialList.BUFFERED
        self._page_size = options.page_size
        self._watch_list = options.watch_list
        self._version: str | None = None
        self._coming: list[Object] | None = None
        """Initial objects of a `watch_list` that is buffered; None outside of it."""
        self._failures = 0
        self._log = logging.getLogger(f"watch.{resource}")

    async def run(self) -> None:
        """List, then watch, for ever. Ends only by cancellation."""
        while True:
            try:
                if self._version is None and not self._watch_list:
                    self._version = await self._list()
                    self.synced.set()
                await self._watch(self._version)
            except _Gone as gone:
                self._log.info("the watch cannot be resumed (%s): beginning anew", gone)
                self._version = None
                self._failures = 1
            except (ApiError, aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
                self._failures += 1
                if isinstance(error, ApiError) and error.status == 410:
                    self._version = None
                self._log.warning("%s: %s", type(error).__name__, error)
            if self._failures:
                least, most = BACKOFF_S
                delay = min(most, least * 2 ** min(self._failures - 1, 30))
                await asyncio.sleep(delay * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, nothing secret

    async def _list(self) -> str:
        self._series.begin()
        query = {"limit": str(self._page_size)}
        gathered: list[Object] = []
        if not self._buffered:
            self._sink.init()
        while True:
            page = await self._api.get(self._path, query)
            for obj in page["items"] or ():
                if self._buffered:
                    gathered.append(obj)
                else:
                    self._sink.init_apply(obj)
            version, token = str(page["metadata"]["resourceVersion"]), page["metadata"].get("continue")
            del page  # else it would be held until the next one is there
            if not token:
                break
            query["continue"] = token
            await asyncio.sleep(0)  # others get their turn between two pages
        if self._buffered:
            self._sink.restarted(gathered)
        else:
            self._sink.init_done()
        self._series.end()
        return version

    async def _watch(self, version: str | None) -> None:
        seconds = random.uniform(*WATCH_S)  # noqa: S311 - jitter, nothing secret
        query = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(int(seconds))}
        if version is None:
            query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
            self._begin_initial()
        else:
            query["resourceVersion"] = version
        async with self._api.stream(
            self._path, query, accept="application/json", total_s=seconds + IDLE_S, idle_s=IDLE_S
        ) as content:
            self._failures = 0
            rest = bytearray()
            async for chunk in content.iter_any():
                rest += chunk
                end = rest.rfind(b"\n")
                if end >= 0:
                    lines, rest = rest[:end], rest[end + 1 :]
                    for line in lines.split(b"\n"):
                        self._take(json.loads(line))
        await asyncio.sleep(BACKOFF_S[0])  # it ended in good order; still never reconnect in a tight loop

    def _begin_initial(self) -> None:
        self._series.begin()
        self._coming = []
        if not self._buffered:
            self._sink.init()

    def _take(self, event: Object) -> None:
        kind, obj = event["type"], event["object"]
        if kind == "ERROR":
            if obj.get("code") == 410:
                raise _Gone(obj.get("message", "410"))
            raise ApiError("WATCH", self._path, int(obj.get("code", 0)), obj.get("reason", ""), obj.get("message", ""))
        if self._coming is not None:
            self._take_initial(kind, obj, self._coming)
            return
        self._version = version_of(obj)
        if kind == "DELETED":
            self._sink.deleted(obj)
        elif kind in ("ADDED", "MODIFIED"):
            self._sink.applied(obj)

    def _take_initial(self, kind: str, obj: Object, coming: list[Object]) -> None:
        """An event before the bookmark that ends the initial ones. The version is taken over with that bookmark only."""
        if kind == "BOOKMARK" and (obj["metadata"].get("annotations") or {}).get(END_OF_INITIAL) == "true":
            self._coming = None
            self._version = version_of(obj)
            if self._buffered:
                self._sink.restarted(coming)
            else:
                self._sink.init_done()
            self._series.end()
            self.synced.set()
        elif kind in ("ADDED", "MODIFIED"):
            if self._buffered:
                coming.append(obj)
            else:
                self._sink.init_apply(obj)
