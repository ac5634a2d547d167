"""With a store or without: keeps the objects, or counts and drops them. Each object handed on counts as a reconcile."""

from __future__ import annotations

from harness.controllers.runtime.resources import Object
from harness.controllers.runtime.store import Store
from harness.controllers.watcher.series import Series


class Counting:
    """Looks at each object and drops it."""

    def __init__(self, series: Series) -> None:
        self._series = series

    def restarted(self, objects: list[Object]) -> None:
        """See `changes.Sink`."""
        for obj in objects:
            self._series.handed_on(obj, initial=True)

    def init(self) -> None:
        """See `changes.Sink`."""

    def init_apply(self, obj: Object) -> None:
        """See `changes.Sink`."""
        self._series.handed_on(obj, initial=True)

    def init_done(self) -> None:
        """See `changes.Sink`."""

    def applied(self, obj: Object) -> None:
        """See `changes.Sink`."""
        self._series.handed_on(obj, initial=False)

    def deleted(self, obj: Object) -> None:
        """See `changes.Sink`."""
        self._series.handed_on(obj, initial=False)


class Storing(Counting):
    """Keeps the objects too. What comes between `init` and `init_done` waits beside the old: readers never see half of it."""

    def __init__(self, series: Series) -> None:
        super().__init__(series)
        self.store = Store()
        self._coming = Store()
        series.stored.set_function(lambda: float(len(self.store)))

    def restarted(self, objects: list[Object]) -> None:
        """See `changes.Sink`."""
        fresh = Store()
        for obj in objects:
            fresh.put(obj)
        self.store = fresh
        super().restarted(objects)

    def init(self) -> None:
        """See `changes.Sink`."""
        self._coming = Store()

    def init_apply(self, obj: Object) -> None:
        """See `changes.Sink`."""
        self._coming.put(obj)
        super().init_apply(obj)

    def init_done(self) -> None:
        """See `changes.Sink`."""
        self.store, self._coming = self._coming, Store()

    def applied(self, obj: Object) -> None:
        """See `changes.Sink`."""
        self.store.put(obj)
        super().applied(obj)

    def deleted(self, obj: Object) -> None:
        """See `changes.Sink`."""
        self.store.remove(f"{obj['metadata']['namespace']}/{obj['metadata']['name']}")
        super().deleted(obj)
