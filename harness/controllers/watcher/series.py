"""What the watcher tells of itself: how many objects it handed on, and what reading the initial list took."""

from __future__ import annotations

import time

from prometheus_client import Gauge

from harness.controllers.runtime.metrics import Metrics
from harness.controllers.runtime.resources import Object


class Series:
    """Series beside those of every controller. Times count from the first request; of the last initial list."""

    def __init__(self, metrics: Metrics) -> None:
        registry = metrics.registry
        self._handed_on = metrics.reconciles.labels(controller="watcher", result="success")
        self.stored = Gauge("watcher_objects_stored", "Objects in the store; 0 without one", registry=registry)
        self._initial = Gauge("watcher_initial_objects", "Objects of the initial list handed on", registry=registry)
        self._first = Gauge("watcher_first_object_seconds", "Until the first object was handed on", registry=registry)
        self._done = Gauge("watcher_initial_seconds", "Until the last object was handed on", registry=registry)
        self._cpu = Gauge("watcher_initial_cpu_seconds", "CPU time of the process in that time", registry=registry)
        self._bytes = Gauge("watcher_payload_bytes", "Payload of the initial objects, as encoded", registry=registry)
        self._began = self._cpu_began = 0.0
        self._count = self._payload = 0

    def begin(self) -> None:
        """The initial list is asked for now."""
        self._began, self._cpu_began = time.perf_counter(), time.process_time()
        self._count = self._payload = 0

    def handed_on(self, obj: Object, *, initial: bool) -> None:
        """An object has come to who wants it, who looks at what is in it."""
        self._handed_on.inc()
        if initial:
            if not self._count:
                self._first.set(time.perf_counter() - self._began)
            self._count += 1
            self._payload += sum(len(value) for value in (obj.get("data") or {}).values())

    def end(self) -> None:
        """All of the initial list has been handed on."""
        self._done.set(time.perf_counter() - self._began)
        self._cpu.set(time.process_time() - self._cpu_began)
        self._initial.set(self._count)
        self._bytes.set(self._payload)
