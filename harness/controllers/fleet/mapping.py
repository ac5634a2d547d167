"""Which Bundles a change of a Cluster or of a ClusterGroup queues, and what is known of each (`runtime.order.Work`)."""

from __future__ import annotations

from collections.abc import Iterator

from harness.controllers.fleet.context import Context
from harness.controllers.fleet.options import EventMapping
from harness.controllers.fleet.selectors import Candidate, Selectors
from harness.controllers.runtime.informer import Event
from harness.controllers.runtime.order import QueueOrder, Work
from harness.controllers.runtime.resources import Object, key_of, namespace_of
from harness.controllers.runtime.store import BY_NAMESPACE


class Mapping:
    """Maps events to keys of Bundles of the namespace in which they were.

    With `event_mapping=all` that is every Bundle, as published; with `matching` those that select the Cluster as it was or as it
    is. One that does both stays in, for what is deployed may be made from the Cluster's labels. `queue=fair` asks in both cases
    which Bundles select it only before or only after: those come in a class of their own. A Bundle of which only the metadata
    is at hand, and whose selectors are not kept, may be one of them.
    """

    def __init__(self, context: Context) -> None:
        self._caches, self._selectors = context.caches, context.selectors
        self._all = context.options.event_mapping is EventMapping.ALL
        self._fair = context.options.queue is QueueOrder.FAIR

    def of_cluster(self, event: Event) -> Iterator[tuple[str, Work]]:
        """Keys of the Bundles that a change of a Cluster queues."""
        namespace = str(namespace_of(event.obj))
        groups = self._caches.groups.store.by_index(BY_NAMESPACE, namespace)
        before, after = (
            None if obj is None else self._selectors.candidate(obj, groups) for obj in (event.old, event.new)
        )
        moved = event.old is not None and event.new is not None and _namespace(event.old) != _namespace(event.new)
        for bundle in self._caches.bundles.known_by(BY_NAMESPACE, namespace):
            if self._all and not self._fair:
                yield key_of(bundle), Work.MAYBE
                continue
            found = difference(self._selectors, bundle, before, after)
            if moved and found is Work.MAYBE and selects(self._selectors, bundle, after):
                found = Work.CHANGED
            if found is not None or self._all:
                yield key_of(bundle), Work.MAYBE if found is None else found

    def of_group(self, event: Event) -> Iterator[tuple[str, Work]]:
        """Keys of the Bundles that a change of a ClusterGroup queues: those with a target that speaks of groups."""
        for bundle in self._caches.bundles.known_by(BY_NAMESPACE, str(namespace_of(event.obj))):
            targets = self._selectors.of_bundle(bundle)
            if targets is None or any(each.group or each.group_selector for each in targets.targets):
                yield key_of(bundle), Work.MAYBE


def difference(selectors: Selectors, bundle: Object, before: Candidate | None, after: Candidate | None) -> Work | None:
    """What a change of a Cluster is to a Bundle: None if it selects it neither before nor after."""
    sides = [cluster and selectors.bundle_matches(bundle, cluster) for cluster in (before, after)]
    if any(cluster is not None and side is None for cluster, side in zip((before, after), sides, strict=True)):
        return Work.MAYBE
    was, is_ = map(bool, sides)
    if was != is_:
        return Work.CHANGED
    return Work.MAYBE if was else None


def selects(selectors: Selectors, bundle: Object, cluster: Candidate | None) -> bool:
    """Whether it is known that the Bundle selects the Cluster."""
    return bool(cluster and selectors.bundle_matches(bundle, cluster))


def _namespace(cluster: Object) -> object:
    return (cluster.get("status") or {}).get("namespace")
