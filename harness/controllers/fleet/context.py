"""What every controller of this process shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from harness.controllers.fleet.caches import Caches
from harness.controllers.fleet.options import Options
from harness.controllers.runtime.client import Api
from harness.controllers.runtime.controller import Controller, Reconcile
from harness.controllers.runtime.informer import Event, Informer
from harness.controllers.runtime.metrics import Metrics
from harness.controllers.runtime.resources import Object, generation_of, labels_of
from harness.controllers.runtime.status import StatusWriter

SUMMARY_DELAY_S = 0.5
"""How long a summary over many objects waits, so that a burst of changes is counted once and not once per change."""


@dataclass(frozen=True, slots=True)
class Context:
    """API, caches and switches; the way to make a controller and to write a status."""

    api: Api
    caches: Caches
    options: Options
    metrics: Metrics

    def controller(self, name: str, reconcile: Reconcile) -> Controller:
        """A controller with the number of workers that the switches give it."""
        return Controller(name, reconcile, workers=self.options.workers[name], metrics=self.metrics)

    def status_writer(self, informer: Informer) -> StatusWriter:
        """A writer that compares or does not, as `status_patch` says."""
        return StatusWriter(self.api, informer, self.options.status_patch)


def now() -> str:
    """The time as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_deleted(obj: Object | None) -> bool:
    """Whether the object is gone or on its way out."""
    return obj is None or "deletionTimestamp" in obj["metadata"]


def wants_reconcile(event: Event) -> bool:
    """Whether a change concerns more than the status: created, deleted, on its way out, another spec or other labels.

    Without this predicate a controller would answer each of its own status writes with another reconcile.
    """
    old, new = event.old, event.new
    if old is None or new is None:
        return True
    return (
        generation_of(old) != generation_of(new)
        or labels_of(old) != labels_of(new)
        or is_deleted(old) != is_deleted(new)
    )


def on_change(informer: Informer, relevant: Callable[[Event], bool], queue: Callable[[Event], None]) -> None:
    """Call `queue` with each relevant event of `informer`."""

    def handle(event: Event) -> None:
        if relevant(event):
            queue(event)

    informer.on_event(handle)
