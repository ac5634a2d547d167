"""The cache of an informer: objects by key, and indexes over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from harness.controllers.runtime.resources import Object, key_of

IndexFunction = Callable[[Object], Iterable[str]]
"""The values under which an object is found, such as its namespace."""

BY_NAMESPACE = "namespace"


def by_namespace(obj: Object) -> Iterable[str]:
    """Index function: the namespace."""
    namespace = obj["metadata"].get("namespace")
    return (namespace,) if namespace else ()


class Store:
    """Objects by `namespace/name`. What it hands out is shared and must not be changed."""

    def __init__(self, indexers: Mapping[str, IndexFunction] | None = None, *, indexed: bool = True) -> None:
        """`indexed=False` keeps no index: `by_index` then looks at every object, as controllers without one do."""
        self._objects: dict[str, Object] = {}
        self._indexers = dict(indexers or {})
        self._indexed = indexed
        self._indexes: dict[str, dict[str, dict[str, None]]] = {name: {} for name in self._indexers}
        self.examined = 0
        """Objects that `by_index` has looked at."""

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[Object]:
        return iter(list(self._objects.values()))

    def get(self, key: str) -> Object | None:
        """The object, None where there is none."""
        return self._objects.get(key)

    def keys(self) -> list[str]:
        """All keys, oldest first."""
        return list(self._objects)

    def by_index(self, index: str, value: str) -> list[Object]:
        """Objects found under `value`, in the order in which they came."""
        if not self._indexed:
            function = self._indexers[index]
            self.examined += len(self._objects)
            return [obj for obj in self._objects.values() if value in function(obj)]
        found = [self._objects[key] for key in self._indexes[index].get(value, ())]
        self.examined += len(found)
        return found

    def index_values(self, index: str, obj: Object) -> Iterable[str]:
        """The values under which `index` would find `obj`."""
        return self._indexers[index](obj)

    def put(self, obj: Object) -> Object | None:
        """Keep `obj`; the object it replaces, None where it is new."""
        key = key_of(obj)
        old = self._objects.get(key)
        if old is not None and self._indexed:
            self._unindex(key, old)
        self._objects[key] = obj
        for name, function in self._indexers.items() if self._indexed else ():
            for value in function(obj):
                self._indexes[name].setdefault(value, {})[key] = None  # a dict: a set that keeps its order
        return old

    def remove(self, key: str) -> Object | None:
        """Forget the object; what it was, None where there was none."""
        old = self._objects.pop(key, None)
        if old is not None and self._indexed:
            self._unindex(key, old)
        return old

    def _unindex(self, key: str, obj: Object) -> None:
        for name, function in self._indexers.items():
            for value in function(obj):
                keys = self._indexes[name].get(value)
                if keys is not None:
                    keys.pop(key, None)
                    if not keys:
                        del self._indexes[name][value]
