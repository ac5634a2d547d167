"""List and watch of one collection into a store.

The list is read in pages and stored page by page: its peak is one page, not the collection. When everything has to be listed
anew, the handlers hear the differences to the store, not everything again. The rest is what `following` says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.controllers.runtime.client import Api
from harness.controllers.runtime.following import BACKOFF_S, PAGE_SIZE, Following
from harness.controllers.runtime.resources import Object, Resource, key_of, version_of
from harness.controllers.runtime.store import IndexFunction, Store


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


class Informer(Following):
    """A store that follows the API; handlers are called from its task and must not block."""

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
        super().__init__(
            api,
            resource,
            namespace=namespace,
            label_selector=label_selector,
            accept=_accept("PartialObjectMetadata", metadata_only=metadata_only),
            backoff_s=backoff_s,
        )
        self.store = Store(indexers, indexed=indexed)
        self.lists = 0
        """How often everything was listed: more than once means that a watch could not be resumed."""
        self.changes = 0
        """Events so far."""
        self._accept_list = _accept("PartialObjectMetadataList", metadata_only=metadata_only)
        self._transform = transform
        self._page_size = page_size
        self._handlers: list[Handler] = []

    def on_event(self, handler: Handler) -> None:
        """Call `handler` with every change from now on. To be called before `run`."""
        self._handlers.append(handler)

    def kept(self, key: str) -> Object | None:
        """The object as the store has it."""
        return self.store.get(key)

    def learn(self, obj: Object) -> None:
        """`obj` is the answer to a write of ours: nothing to be done, its watch event will come."""

    async def _begin(self) -> None:
        self._version = await self._list()
        self.synced.set()

    async def _list(self) -> str:
        initial = not self.synced.is_set()
        gone_now = set(self.store.keys())
        query = {"limit": str(self._page_size), **self._selector}
        while True:
            page = await self._api.get(self._path, query, self._accept_list)
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

    def _change(self, kind: str, obj: Object) -> None:
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


def _accept(partial: str, *, metadata_only: bool) -> str:
    return f"application/json;as={partial};g=meta.k8s.io;v=v1" if metadata_only else "application/json"
