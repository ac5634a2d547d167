"""List and watch of one collection, for as long as the process lives, each way of reading the initial list being a switch.

A list that is buffered is gathered from all its pages and handed over at once; a streamed one is handed on page by page.
With `watch_list` there is no list: the watch begins with all objects and a bookmark that says so (`sendInitialEvents`),
and buffering then gathers events. The rest is what `runtime.following` says.
"""

from __future__ import annotations

import asyncio

from harness.controllers.runtime.client import Api
from harness.controllers.runtime.following import Following
from harness.controllers.runtime.resources import Object, Resource, version_of
from harness.controllers.watcher.changes import Sink
from harness.controllers.watcher.options import InitialList, Options
from harness.controllers.watcher.series import Series

END_OF_INITIAL = "k8s.io/initial-events-end"
"""Annotation of the bookmark after the initial events (KEP-3157)."""


class Watch(Following):
    """Ready when the initial list has been handed on."""

    def __init__(self, api: Api, resource: Resource, options: Options, sink: Sink, series: Series) -> None:
        super().__init__(api, resource, namespace=options.namespace)
        self._sink, self._series = sink, series
        self._buffered = options.initial_list is InitialList.BUFFERED
        self._page_size = options.page_size
        self._watch_list = options.watch_list
        self._coming: list[Object] | None = None
        """Initial objects of a `watch_list` that is buffered; None outside of it."""

    async def _begin(self) -> None:
        if not self._watch_list:
            self._version = await self._list()
            self.synced.set()

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

    def _from(self) -> dict[str, str]:
        if self._version is not None:
            return super()._from()
        self._begin_initial()
        return {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}

    def _begin_initial(self) -> None:
        self._series.begin()
        self._coming = []
        if not self._buffered:
            self._sink.init()

    def _change(self, kind: str, obj: Object) -> None:
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
