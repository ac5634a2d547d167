"""What is kept of a kind, and the one way to its objects whatever is kept.

- `full`: a watch of whole objects, all of which are kept, and read from memory.
- `metadata`: a watch of PartialObjectMetadata, which are kept; an object is read from the API, one by name, several by a list.
- `adaptive`: as `metadata`, and the objects that were read last are kept whole, a fixed number of them; one that is no older than
  what the watch has told is read from memory.
- `none`: no watch, and nothing is kept. Where work begins with a change of the kind there is a watch of PartialObjectMetadata,
  of which the identity of each object is kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from enum import StrEnum

from prometheus_client import Counter

from harness.controllers.runtime.client import Api, ApiError
from harness.controllers.runtime.following import PAGE_SIZE
from harness.controllers.runtime.informer import Handler, Informer
from harness.controllers.runtime.resources import Object, Resource, is_newer, key_of, version_of


class CacheMode(StrEnum):
    """Values of the switches `cache.KIND`."""

    FULL = "full"
    METADATA = "metadata"
    ADAPTIVE = "adaptive"
    NONE = "none"


IDENTITY = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "deletionTimestamp",
    "labels",
    "ownerReferences",
)
"""What tells an object from others, from what it was, and whose it is."""

Query = Callable[[str], tuple[str | None, str]]
"""Namespace (None: all) and label selector that find on the server what an index finds under a value."""


def identity(obj: Object) -> Object:
    """The object without all that is not its identity; a `Transform`."""
    metadata = obj["metadata"]
    return {"metadata": {name: metadata[name] for name in IDENTITY if name in metadata}}


class Cache:
    """The objects of a kind. `informer` is None where nothing is watched."""

    def __init__(
        self, api: Api, resource: Resource, informer: Informer | None, mode: CacheMode, *, most: int, reads: Counter,
        queries: Mapping[str, Query] | None = None,
    ) -> None:  # fmt: skip
        self.resource = resource
        self.informer = informer
        self.whole = mode is CacheMode.FULL
        """Whether events and `known` bring whole objects."""
        self._api, self._mode, self._most = api, mode, most
        self._queries = queries or {}
        self._lately: OrderedDict[str, Object] = OrderedDict()
        self._hits, self._misses = (reads.labels(kind=resource.kind, source=source) for source in ("cache", "api"))
        if informer is not None and mode is CacheMode.ADAPTIVE:
            informer.on_event(lambda event: self._drop(key_of(event.obj)) if event.new is None else None)

    @property
    def metadata_suffices(self) -> bool:
        """Whether somebody who only asks if an object is there need not ask the API."""
        return self._mode in (CacheMode.FULL, CacheMode.METADATA)

    @property
    def held(self) -> int:
        """Whole objects in memory."""
        if self.whole and self.informer is not None:
            return len(self.informer.store)
        return len(self._lately)

    def on_event(self, handler: Handler) -> None:
        """Call `handler` with each change, if there is a watch. The objects are whole only where `whole` is."""
        if self.informer is not None:
            self.informer.on_event(handler)

    def known(self, key: str) -> Object | None:
        """The object as the watch has told it: its metadata at least. Nothing where there is no watch."""
        return None if self.informer is None else self.informer.store.get(key)

    def known_by(self, index: str, value: str) -> list[Object]:
        """What the watch has told of the objects that `index` finds under `value`."""
        return [] if self.informer is None else self.informer.store.by_index(index, value)

    def kept(self, key: str) -> Object | None:
        """The whole object if it is in memory, and is no older than what the watch has told."""
        if self.whole:
            return self.known(key)
        obj = self._lately.get(key)
        told = self.known(key)
        if obj is None or told is None or obj["metadata"]["uid"] != told["metadata"]["uid"]:
            return None
        fresh = version_of(obj) == version_of(told) or is_newer(version_of(obj), version_of(told))
        return obj if fresh else None

    def learn(self, obj: Object) -> None:
        """`obj` is the answer to a read or to a write of ours."""
        if self._mode is CacheMode.ADAPTIVE:
            key = key_of(obj)
            self._lately[key] = obj
            self._lately.move_to_end(key)
            while len(self._lately) > self._most:
                self._lately.popitem(last=False)

    async def get(self, key: str) -> Object | None:
        """The whole object, None where there is none. Raises what the client raises."""
        if self.informer is not None and self.known(key) is None:
            return None
        obj = self.kept(key)
        if obj is not None:
            self._hits.inc()
            if key in self._lately:
                self._lately.move_to_end(key)
            return obj
        self._misses.inc()
        namespace, _, name = key.rpartition("/")
        try:
            obj = await self._api.get(self.resource.path(namespace or None, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        self.learn(obj)
        return obj

    async def find(self, index: str, value: str) -> list[Object]:
        """The whole objects that `index` finds under `value`: those that are missing by name if it is one, else by a list."""
        told = self.known_by(index, value)
        if self.whole:
            self._hits.inc(len(told))
            return told
        missing = sum(self.kept(key_of(obj)) is None for obj in told)
        query = self._queries.get(index)
        if missing <= 1 or query is None:
            found = [await self.get(key_of(obj)) for obj in told]
            return [obj for obj in found if obj is not None]
        self._misses.inc()
        return await self._list(index, value, *query(value))

    async def _list(self, index: str, value: str, namespace: str | None, selector: str) -> list[Object]:
        assert self.informer is not None
        found: list[Object] = []
        query = {"labelSelector": selector, "limit": str(PAGE_SIZE)}
        while True:
            page = await self._api.get(self.resource.path(namespace), query)
            for obj in page["items"] or ():
                if value in self.informer.store.index_values(index, obj):
                    self.learn(obj)
                    found.append(obj)
            if not (token := page["metadata"].get("continue")):
                return found
            query["continue"] = token

    def _drop(self, key: str) -> None:
        self._lately.pop(key, None)
