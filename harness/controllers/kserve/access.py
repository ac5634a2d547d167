"""The one way to a Secret, whatever the switches say: from a cache, by a read of its own, or the one until it costs too much.

The cache is what the official client's SharedInformer keeps: whole objects of the kind, listed in pages and then watched,
as plain JSON. What it does not hold, because a selector or other namespaces leave it out, is read by name.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from harness.controllers.kserve.names import SECRETS
from harness.controllers.kserve.options import Options, SecretsMode
from harness.controllers.kserve.series import Series
from harness.controllers.runtime import reclaim
from harness.controllers.runtime.client import Api, ApiError
from harness.controllers.runtime.informer import Event, Informer
from harness.controllers.runtime.resources import Object
from harness.controllers.runtime.tasks import named


class Secrets(Protocol):
    """Finds Secrets by name."""

    async def get(self, namespace: str, name: str) -> Object | None:
        """The Secret, None where there is none. Raises ApiError and what the client raises."""


class Direct:
    """A read for each look: nothing is kept."""

    def __init__(self, api: Api, series: Series) -> None:
        self._api = api
        self._reads = series.reads.labels(source="api")

    async def get(self, namespace: str, name: str) -> Object | None:
        """See `Secrets`."""
        self._reads.inc()
        try:
            return await self._api.get(SECRETS.path(namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise


class Cached:
    """Keeps Secrets, of all namespaces or of those chosen, until `drop`; from then on each is read by name.

    It is given up once and for all: a process that went over its threshold, or near its limit, would do so again. It is a
    `manager.Follower`: ready when everything is listed, or given up.
    """

    resource = SECRETS

    def __init__(self, api: Api, options: Options, series: Series) -> None:
        chosen = options.namespaces or ((options.namespace,) if options.namespace else (None,))
        self._informers: dict[str | None, Informer] = {
            namespace: Informer(
                api, SECRETS, namespace=namespace, label_selector=options.selector, page_size=options.page_size
            )
            for namespace in chosen
        }
        self._partial = bool(options.selector)
        self._threshold = options.threshold if options.secrets is SecretsMode.AUTO else None
        self._direct = Direct(api, series)
        self._series = series
        self._hits = series.reads.labels(source="cache")
        self._dropped = asyncio.Event()
        self._following: list[asyncio.Task[None]] = []
        self._log = logging.getLogger("kserve.secrets")
        self.synced = asyncio.Event()
        series.cached.set_function(self.__len__)
        for informer in self._informers.values():
            informer.on_event(self._count)

    def __len__(self) -> int:
        """Secrets that are kept."""
        return sum(len(informer.store) for informer in self._informers.values())

    async def get(self, namespace: str, name: str) -> Object | None:
        """See `Secrets`."""
        if not self._dropped.is_set():
            informer = self._informers.get(namespace) or self._informers.get(None)
            found = informer.store.get(f"{namespace}/{name}") if informer else None
            if found is not None or (informer is not None and not self._partial):
                self._hits.inc()
                return found
        return await self._direct.get(namespace, name)

    def drop(self, cause: str, why: str) -> None:
        """Give the cache up; `cause` is `threshold` or `pressure`. Its memory is given back within a turn of the loop."""
        if not self._dropped.is_set():
            self._dropped.set()
            for task in self._following:  # at once: not a page more
                task.cancel()
            self._series.drops.labels(cause=cause).inc()
            self._log.warning("%d Secrets are dropped and read by name from now on: %s", len(self), why)

    async def run(self) -> None:
        """Follow the API until `drop`; then give the memory back, and rest."""
        self._following = [
            asyncio.create_task(named(informer.run(), "secrets", "informer"), name="informer-secrets")
            for informer in self._informers.values()
        ]
        dropped = asyncio.create_task(self._dropped.wait(), name="secrets-dropped")
        syncing = asyncio.create_task(self._sync(), name="secrets-synced")
        tasks = [*self._following, dropped, syncing]
        try:
            done, _ = await asyncio.wait([*self._following, dropped], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if not task.cancelled():
                    task.result()  # of an informer it raises: they end by cancellation only, all else is a bug
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._informers.clear()
        self._following.clear()
        del tasks, syncing, done
        reclaim.collect()
        reclaim.trim()
        self.synced.set()
        await asyncio.Event().wait()

    async def _sync(self) -> None:
        for informer in list(self._informers.values()):
            await informer.synced.wait()
        self.synced.set()

    def _count(self, event: Event) -> None:
        if event.old is None and self._threshold is not None and len(self) > self._threshold:
            self.drop("threshold", f"there are more than {self._threshold}")
