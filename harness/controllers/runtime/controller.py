"""A controller: one work queue, its workers, and the function that brings one object to its desired state."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp

from harness.controllers.runtime.client import ApiError, ConflictError, ObjectGoneError
from harness.controllers.runtime.metrics import ControllerSeries, Metrics, QueueSeries
from harness.controllers.runtime.order import Order
from harness.controllers.runtime.tasks import named
from harness.controllers.runtime.workqueue import WorkQueue


@dataclass(frozen=True, slots=True)
class Result:
    """What a reconcile asks for: nothing, another try soon (`requeue`, rate-limited), or one at a time it knows."""

    requeue: bool = False
    requeue_after_s: float | None = None


DONE = Result()
AGAIN = Result(requeue=True)

Reconcile = Callable[[str], Awaitable[Result]]
"""Takes a key; the object may be gone by then. Is never called for one key twice at the same time."""


class Controller:
    """Runs `reconcile` on queued keys with `workers` tasks."""

    def __init__(
        self, name: str, reconcile: Reconcile, *, workers: int, metrics: Metrics, order: Order | None = None
    ) -> None:
        self.name = name
        self.workers = workers
        self._queue_series = QueueSeries(metrics, name)
        self.queue = WorkQueue(metrics=self._queue_series, order=order)
        self._reconcile = reconcile
        self._series = ControllerSeries(metrics, name, workers)
        self._stopping = False
        self._log = logging.getLogger(f"controller.{name}")

    def start(self, group: asyncio.TaskGroup) -> None:
        """Start the workers. Task and coroutine bear the controller's name, for whoever counts tasks."""
        # From here on: what waits in a replica that is no leader is not its work.
        self._queue_series.watch_depth(self.queue.__len__)
        for number in range(self.workers):
            group.create_task(named(self._work(), self.name, "worker"), name=f"{self.name}-worker-{number}")

    def stop(self) -> None:
        """Let every worker end after the key it is at; what waits is left."""
        self._stopping = True
        self.queue.shut_down()

    async def _work(self) -> None:
        while not self._stopping and (key := await self.queue.get()) is not None:
            began = time.perf_counter()
            self._series.started()
            outcome = "error"
            try:
                outcome = await self._once(key)
            finally:
                self._series.ended(outcome, time.perf_counter() - began)
                self.queue.done(key)
            await asyncio.sleep(0)  # a reconcile that finds nothing to do never waits: informers must get their turn

    async def _once(self, key: str) -> str:
        try:
            result = await self._reconcile(key)
        except ObjectGoneError:
            self.queue.forget(key)
            return "success"
        except ConflictError:
            self.queue.add_rate_limited(key)
            return "requeue"
        except (ApiError, aiohttp.ClientError, OSError, TimeoutError) as error:
            self._log.warning("reconcile of %s failed: %s: %s", key, type(error).__name__, error)
        except Exception:  # noqa: BLE001 - a bug at one object must not end the work on all others; it is retried and seen
            self._log.exception("reconcile of %s broke", key)
        else:
            if result.requeue_after_s is not None:
                self.queue.forget(key)
                self.queue.add_after(key, result.requeue_after_s)
                return "requeue_after"
            if result.requeue:
                self.queue.add_rate_limited(key)
                return "requeue"
            self.queue.forget(key)
            return "success"
        self.queue.add_rate_limited(key)
        return "error"
