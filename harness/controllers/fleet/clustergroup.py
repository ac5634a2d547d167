"""Controller `clustergroup`: counts the Clusters that a ClusterGroup selects, and sums up what is deployed to them."""

from __future__ import annotations

from harness.controllers.fleet import summary
from harness.controllers.fleet.context import SUMMARY_DELAY_S, Context, is_deleted, is_gone, on_change, wants_reconcile
from harness.controllers.runtime.controller import DONE, Controller, Result
from harness.controllers.runtime.informer import Event
from harness.controllers.runtime.resources import key_of, labels_of, namespace_of
from harness.controllers.runtime.status import is_true
from harness.controllers.runtime.store import BY_NAMESPACE


class ClusterGroupController:
    """Keys are those of ClusterGroups."""

    def __init__(self, context: Context) -> None:
        self._groups, self._clusters = context.caches.groups, context.caches.clusters
        self._selectors = context.selectors
        self._status = context.status_writer(self._groups)
        self.controller: Controller = context.controller("clustergroup", self.reconcile)
        queue = self.controller.queue
        on_change(self._groups, wants_reconcile, lambda event: queue.add(key_of(event.obj)))
        on_change(self._groups, is_gone, lambda event: self._selectors.forget_group(key_of(event.obj)))
        on_change(self._clusters, _counts, self._queue_groups)

    def _queue_groups(self, event: Event) -> None:
        """Those that the Cluster was in, or is in."""
        sides = [labels_of(obj) for obj in (event.old, event.new) if obj is not None]
        for group in self._groups.store.by_index(BY_NAMESPACE, str(namespace_of(event.obj))):
            selector = self._selectors.of_group(group)
            if any(selector.matches(labels) for labels in sides):
                self.controller.queue.add_after(key_of(group), SUMMARY_DELAY_S)

    async def reconcile(self, key: str) -> Result:
        """Write the status of one ClusterGroup."""
        group = self._groups.store.get(key)
        if group is None or is_deleted(group):
            return DONE
        selector = self._selectors.of_group(group)
        inside = [
            cluster
            for cluster in self._clusters.store.by_index(BY_NAMESPACE, str(namespace_of(group)))
            if not is_deleted(cluster) and selector.matches(labels_of(cluster))
        ]
        ready = sum(is_true(cluster, "Ready") for cluster in inside)
        total = summary.of_summaries((cluster.get("status") or {}).get("summary") for cluster in inside)
        status = self._status.latest(group).get("status") or {}
        fields = summary.status_fields(status, total, "readyBundles")
        fields["display"] = {**fields["display"], "readyClusters": f"{ready}/{len(inside)}"}
        counts = {"clusterCount": len(inside), "nonReadyClusterCount": len(inside) - ready}
        await self._status.write(group, {**counts, **fields})
        return DONE


def _counts(event: Event) -> bool:
    """Whether a change of a Cluster changes groups: come, gone, other labels, or another state of what it holds."""
    if wants_reconcile(event):
        return True
    old, new = ((obj or {}).get("status") or {} for obj in (event.old, event.new))
    return bool(old.get("summary") != new.get("summary") or old.get("conditions") != new.get("conditions"))
