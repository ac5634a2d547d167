"""Reconciles Items: holds, waits, writes, leaves behind and ends as the switches say, and keeps the truth of it."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import time
from typing import Any

from harness.controllers.calibrated import endings
from harness.controllers.calibrated.ledger import Ledger
from harness.controllers.calibrated.options import Options
from harness.controllers.calibrated.truth import due
from harness.controllers.runtime.client import Api, ApiError, ObjectGoneError
from harness.controllers.runtime.controller import DONE, Controller, Result
from harness.controllers.runtime.informer import Event, Informer
from harness.controllers.runtime.metrics import Metrics
from harness.controllers.runtime.resources import Object, Resource, generation_of, key_of, name_of, namespace_of
from harness.controllers.runtime.tasks import named

ITEMS = Resource("calibrated.harness.dev", "v1", "Item", "items")


def lean(obj: Object) -> Object:
    """What the store keeps of an Item: the less there is beside the bytes held on purpose, the better they can be weighed."""
    kept = ("name", "namespace", "uid", "resourceVersion", "generation")
    return {
        "metadata": {key: obj["metadata"][key] for key in kept},
        "spec": {"index": obj["spec"]["index"]},
    }


class CalibratedController:
    """Keys are those of Items."""

    def __init__(self, api: Api, options: Options, metrics: Metrics, ledger: Ledger) -> None:
        self.informer = Informer(api, ITEMS, namespace=options.namespace, transform=lean)
        self.controller = Controller("calibrated", self.reconcile, workers=options.workers, metrics=metrics)
        self._api, self._options, self._doses, self._ledger = api, options, options.doses, ledger
        self._held: dict[str, bytearray] = {}
        self._ballast: bytearray | None = None
        self._leaked: list[bytearray] = []
        self._left: list[asyncio.Task[None]] = []
        self._numbers = itertools.count(1)
        self._events: dict[str, int] = {}
        """When the newest event of a key that waits for its reconcile came."""
        self.informer.on_event(self._on_event)

    def _on_event(self, event: Event) -> None:
        """Queue what was created, deleted or given another spec; our own status writes change no generation."""
        if event.old is None or event.new is None or generation_of(event.old) != generation_of(event.new):
            key = key_of(event.obj)
            self._events.setdefault(key, time.monotonic_ns())
            # Not a wait of the worker: many objects may have their latency at the same time.
            self.controller.queue.add_after(key, 0 if event.new is None else self._options.latency_s)

    async def reconcile(self, key: str) -> Result:
        """Bring about the one effect, and what else is due."""
        event_ns = self._events.pop(key, None) or time.monotonic_ns()
        item = self.informer.store.get(key)
        if item is None:
            gone = self._held.pop(key, None)
            if gone is not None:
                self._ledger.held_bytes.dec(len(gone))
                self._ledger.objects.dec()
            return DONE
        self._hold(key, item["spec"]["index"])
        self._burn()
        sent_ns, done_ns = await self._write(item, {"conditions": [{"type": "Ready", "status": "True"}]})
        number = next(self._numbers)
        extra, noop = due(self._doses.extra_writes, number), due(self._doses.noop_writes, number)
        for _ in range(extra):
            await self._write(item, {})
        for _ in range(noop):
            await self._write(item, None)
        self._leave_behind(number)
        self._ledger.reconciles.inc()
        self._ledger.line(
            "reconcile", number=number, name=name_of(item), namespace=namespace_of(item), index=item["spec"]["index"],
            event_ns=event_ns, sent_ns=sent_ns, done_ns=done_ns, held_bytes=len(self._held[key]),
            extra_writes=extra, noop_writes=noop, tasks_left=len(self._left), leaked_bytes=sum(map(len, self._leaked)),
        )  # fmt: skip
        self._end(number)
        return DONE

    def _hold(self, key: str, index: int) -> None:
        if self._ballast is None:
            self._ballast = bytearray(self._doses.ballast)
            self._ballast[:: endings.PAGE_BYTES] = b"\1" * len(
                self._ballast[:: endings.PAGE_BYTES]
            )  # else no page is there
            self._ledger.held_bytes.inc(len(self._ballast))
        if key not in self._held:
            self._held[key] = self._doses.content(index)
            self._ledger.held_bytes.inc(len(self._held[key]))
            self._ledger.objects.inc()

    def _burn(self) -> None:
        if self._options.cpu_s:
            began = time.thread_time()
            while (spent := time.thread_time() - began) < self._options.cpu_s:
                pass
            self._ledger.cpu_seconds.inc(spent)

    async def _write(self, item: Object, status: dict[str, Any] | None) -> tuple[int, int]:
        """Patch the status; with what no write before had in it, or (None) with nothing at all. When sent and answered."""
        sent_ns = time.monotonic_ns()
        patch = {} if status is None else {"status": {**status, "written": str(sent_ns)}}
        try:
            await self._api.merge_patch(ITEMS.path(namespace_of(item), name_of(item), "status"), patch)
        except ApiError as error:
            if error.status == 404:
                raise ObjectGoneError(name_of(item)) from error
            raise
        done_ns = time.monotonic_ns()
        self._ledger.writes.inc()
        if status is None:
            self._ledger.noop_writes.inc()
        return sent_ns, done_ns

    def _leave_behind(self, number: int) -> None:
        if self._doses.leak:
            self._leaked.append(bytearray(b"\1" * self._doses.leak))
            self._ledger.leaked_bytes.inc(self._doses.leak)
        for _ in range(due(self._doses.tasks_left, number)):
            self._left.append(asyncio.create_task(named(_for_ever(), "calibrated", "left"), name="left"))
            self._ledger.tasks_left.inc()

    def _end(self, number: int) -> None:
        options = self._options
        for how, at in (("kill", options.kill_at), ("thrash", options.thrash_at), ("exit", options.exit_at),
                        ("signal", options.signal_at)):  # fmt: skip
            if at != number:
                continue
            self._ledger.line("end", how=how, number=number, t_ns=time.monotonic_ns())
            logging.getLogger("calibrated").info("ending by %s after %d reconciles", how, number)
            match how:
                case "kill":
                    endings.allocate_past_the_limit()
                case "thrash":
                    endings.thrash()
                case "exit":
                    os._exit(options.exit_code)
                case "signal":
                    endings.die_of(options.signal)


async def _for_ever() -> None:
    await asyncio.get_running_loop().create_future()
