"""List and watch of one collection into a store, for as long as the process lives.

- The list is read in pages and stored page by page: its peak is one page, not the collection.
- A watch that ends is taken up again at the last resourceVersion seen (bookmarks move it on where nothing happens).
- Only when the server says that this version is gone (410) is everything listed anew; the handlers then hear the
  differences to the store, not everything again.
- After an error: exponential delay with jitter, so that many clients do not come back at the same moment.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import aiohttp

from harness.controllers.runtime.client import Api, ApiError
from harness.controllers.runtime.resources import Object, Resource, key_of, version_of
from harness.controllers.runtime.store import IndexFunction, Store

PAGE_SIZE = 500
"""Objects per list request: client-go's default."""
WATCH_S = (300.0, 600.0)
"""How long a watch is asked for, drawn anew each time (client-go's range), so that reconnections spread."""
IDLE_S = 150.0
"""A watch without a byte for so long is dead: the server sends a bookmark about once a minute."""
BACKOFF_S = (0.2, 30.0)

_TOO_LARGE = "Too large resource version"
"""What a server says that has lost its data since, where it does not say 410."""


@dataclass(frozen=True, slots=True)
class Event:
    """A change of the store: created (`old` None), deleted (`new` None) or changed."""

    old: Object | None
    new: Object | None
    initial: bool = False
    """Whether it comes from the first list: the object is not new, only the controller is."""

    @property
    def obj(self) -> Object:
        """The object as it is, or as it last was."""
        obj = self.new if self.new is not None else self.old
        assert obj is not None
        return obj


Handler = Callable[[Event], None]

Transform = Callable[[Object], Object]
"""What is kept of an object (client-go's SetTransform). Name, namespace, uid and resourceVersion must stay."""


class _Gone(Exception):
    """The resourceVersion to resume from is not kept by the server any more."""


class Informer:
    """A store that follows the API. `run()` is its task; handlers are called from it and must not block."""

    def __init__(
        self,
        api: Api,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str = "",
        metadata_only: bool = False,
        indexers: Mapping[str, IndexFunction] | None = None,
        indexed: bool = True,
        transform: Transform | None = None,
        page_size: int = PAGE_SIZE,
        backoff_s: tuple[float, float] = BACKOFF_S,
    ) -> None:
        self.resource = resource
        self.store = Store(indexers, indexed=indexed)
        self.synced = asyncio.Event()
        self.lists = 0
        """How often everything was listed: more than once means that a watch could not be resumed."""
        self.changes = 0
        """Events so far."""
        self._api = api
        self._path = resource.path(namespace)
        self._selector = {"labelSelector": label_selector} if label_selector else {}
        self._metadata_only = metadata_only
        self._transform = transform
        self._page_size = page_size
        self._backoff_s = backoff_s
        self._failures = 0
        self._handlers: list[Handler] = []
        self._version: str | None = None
        self._log = logging.getLogger(f"informer.{resource}")

    def on_event(self, handler: Handler) -> None:
        """Call `handler` with every change from now on. To be called before `run`."""
        self._handlers.append(handler)

    def kept(self, key: str) -> Object | None:
        """The object as the store has it."""
        return self.store.get(key)

    def learn(self, obj: Object) -> None:
        """`obj` is the answer to a write of ours: nothing to be done, its watch event will come."""

    async def run(self) -> None:
        """List, then watch, for ever. Ends only by cancellation."""
        while True:
            try:
                if self._version is None:
                    self._version = await self._list()
                    self.synced.set()
                await self._watch(self._version)
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

    def _delay(self) -> float:
        least, most = self._backoff_s
        delay = float(min(most, least * 2 ** min(self._failures - 1, 30)))
        return delay * random.uniform(0.5, 1.5)  # noqa: S311 - jitter, nothing secret

    def _accept(self, partial: str) -> str:
        return f"application/json;as={partial};g=meta.k8s.io;v=v1" if self._metadata_only else "application/json"

    async def _list(self) -> str:
        initial = not self.synced.is_set()
        gone_now = set(self.store.keys())
        query = {"limit": str(self._page_size), **self._selector}
        while True:
            page = await self._api.get(self._path, query, self._accept("PartialObjectMetadataList"))
            for obj in page["items"] or ():  # null for an empty list of metadata
                gone_now.discard(key_of(obj))
                self._put(obj, initial=initial)
            token = page["metadata"].get("continue")
            if not token:
                break
            query["continue"] = token
            await asyncio.sleep(0)  # a page is work for the handlers: let others run between two
        for key in gone_now:
            self._remove(key, None)
        self.lists += 1
        return str(page["metadata"]["resourceVersion"])

    async def _watch(self, version: str) -> None:
        seconds = random.uniform(*WATCH_S)  # noqa: S311 - jitter, nothing secret
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(int(seconds)),
            **self._selector,
        }
        accept = self._accept("PartialObjectMetadata")
        async with self._api.stream(
            self._path, query, accept=accept, total_s=seconds + IDLE_S, idle_s=IDLE_S
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
        await asyncio.sleep(self._backoff_s[0])  # it ended in good order; still never reconnect in a tight loop

    def _take(self, event: Object) -> None:
        kind, obj = event["type"], event["object"]
        if kind == "ERROR":
            if obj.get("code") == 410:
                raise _Gone(obj.get("message", "410"))
            raise ApiError("WATCH", self._path, int(obj.get("code", 0)), obj.get("reason", ""), obj.get("message", ""))
        self._version = version_of(obj)
        if kind == "DELETED":
            self._remove(key_of(obj), obj)
        elif kind in ("ADDED", "MODIFIED"):
            self._put(obj, initial=False)

    def _put(self, obj: Object, *, initial: bool) -> None:
        if self._transform is not None:
            obj = self._transform(obj)
        old = self.store.put(obj)
        if old is not None and version_of(old) == version_of(obj):
            return
        if old is not None and old["metadata"].get("uid") != obj["metadata"].get("uid"):
            self._tell(Event(old, None))  # deleted and created again while nobody watched
            old = None
        self._tell(Event(old, obj, initial))

    def _remove(self, key: str, last: Object | None) -> None:
        old = self.store.remove(key)
        if old is not None:
            self._tell(Event(last or old, None))

    def _tell(self, event: Event) -> None:
        self.changes += 1
        for handler in self._handlers:
            handler(event)
