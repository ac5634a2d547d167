"""What every controller of this process shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from harness.controllers.fleet.caches import Caches
from harness.controllers.fleet.options import Options
from harness.controllers.fleet.selectors import Selectors
from harness.controllers.runtime.client import Api
from harness.controllers.runtime.controller import Controller, Reconcile
from harness.controllers.runtime.informer import Event
from harness.controllers.runtime.metrics import Metrics
from harness.controllers.runtime.order import Fair, Fifo, QueueOrder, by_namespace
from harness.controllers.runtime.resources import Object, generation_of, labels_of
from harness.controllers.runtime.shards import share_of
from harness.controllers.runtime.status import Kept, StatusWriter

SUMMARY_DELAY_S = 0.5
"""How long a summary over many objects waits, so that a burst of changes is counted once and not once per change."""


@dataclass(frozen=True, slots=True)
class Context:
    """API, caches and switches; the way to make a controller and to write a status."""

    api: Api
    caches: Caches
    options: Options
    metrics: Metrics
    selectors: Selectors

    def controller(
        self, name: str, reconcile: Reconcile, *, flow_of: Callable[[str], str] = by_namespace
    ) -> Controller:
        """A controller with the workers, the order of its queue and the share of the keys that the switches give it.

        `flow_of` tells of a key between which others `queue=fair` takes turns.
        """
        options = self.options
        order = Fair(flow_of) if options.queue is QueueOrder.FAIR else Fifo()
        made = Controller(name, reconcile, workers=options.workers[name], metrics=self.metrics, order=order)
        if options.shard is not None:
            made.queue.keep_to(share_of(options.shard, options.shards))
        return made

    def status_writer(self, objects: Kept) -> StatusWriter:
        """A writer that compares or does not, and meets conflicts, as the switches say."""
        return StatusWriter(self.api, objects, self.options.status_patch, self.options.conflict)


def now() -> str:
    """The time as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_deleted(obj: Object | None) -> bool:
    """Whether the object is gone or on its way out."""
    return obj is None or "deletionTimestamp" in obj["metadata"]


def is_gone(event: Event) -> bool:
    """Whether the object is there no more."""
    return event.new is None


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


def unless_partial(relevant: Callable[[Event], bool], *, whole: bool) -> Callable[[Event], bool]:
    """A predicate on status or spec, for a kind of which events may bring the metadata only: then any change may be one."""
    return relevant if whole else lambda _: True


def on_change(objects: Kept, relevant: Callable[[Event], bool], queue: Callable[[Event], None]) -> None:
    """Call `queue` with each relevant event of an informer or cache."""

    def handle(event: Event) -> None:
        if relevant(event):
            queue(event)

    objects.on_event(handle)
