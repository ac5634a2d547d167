"""What we created and the informer has not seen yet.

Between a create and its watch event the store does not know the object. A reconcile in between would create it again,
or, when it is not wanted any more, would not find it to delete: it would stay for ever. client-go's controllers keep
*expectations* for the same reason.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from harness.controllers.runtime.informer import Event, Informer
from harness.controllers.runtime.resources import Object, key_of

FORGET_S = 60.0
"""An object that was created and deleted again before anybody looked leaves no event: it is not believed in for ever."""


class Creations:
    """The objects of one informer under one of its indexes, those included that it has yet to see."""

    def __init__(self, informer: Informer, index: str) -> None:
        self._store = informer.store
        self._index = index
        self._unseen: dict[str, dict[str, tuple[float, Object]]] = {}  # index value -> key -> when, object
        informer.on_event(self._seen)

    def add(self, obj: Object) -> None:
        """`obj` is the answer to a create."""
        key = key_of(obj)
        if self._store.get(key) is None:
            for value in self._store.index_values(self._index, obj):
                self._unseen.setdefault(value, {})[key] = (time.monotonic(), obj)

    def find(self, value: str) -> dict[str, Object]:
        """Objects by key that are indexed under `value`."""
        return self.with_unseen(value, self._store.by_index(self._index, value))

    def with_unseen(self, value: str, known: Iterable[Object]) -> dict[str, Object]:
        """By key the objects that are `known` to be indexed under `value`, and those that the store has yet to see."""
        found = {key_of(obj): obj for obj in known}
        for key, (since, obj) in list(self._unseen.get(value, {}).items()):
            if time.monotonic() - since > FORGET_S:
                self._drop(value, key)
            else:
                found.setdefault(key, obj)
        return found

    def _seen(self, event: Event) -> None:
        if self._unseen:
            for value in self._store.index_values(self._index, event.obj):
                self._drop(value, key_of(event.obj))

    def _drop(self, value: str, key: str) -> None:
        unseen = self._unseen.get(value)
        if unseen is not None:
            unseen.pop(key, None)
            if not unseen:
                del self._unseen[value]
