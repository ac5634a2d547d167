"""Controller `cluster`: each Fleet Cluster gets a namespace for its BundleDeployments, and a summary over them."""

from __future__ import annotations

from harness.controllers.fleet import names, summary
from harness.controllers.fleet.caches import BY_CLUSTER, cluster_key_of
from harness.controllers.fleet.context import (
    SUMMARY_DELAY_S,
    Context,
    is_deleted,
    on_change,
    unless_partial,
    wants_reconcile,
)
from harness.controllers.runtime.client import ApiError
from harness.controllers.runtime.controller import DONE, Controller, Result
from harness.controllers.runtime.informer import Event
from harness.controllers.runtime.resources import Object, key_of, name_of, namespace_of


class ClusterController:
    """Keys are those of Fleet Clusters."""

    def __init__(self, context: Context) -> None:
        self._caches = context.caches
        self._api = context.api
        self._status = context.status_writer(context.caches.clusters)
        self.controller: Controller = context.controller("cluster", self.reconcile)
        queue = self.controller.queue
        on_change(self._caches.clusters, wants_reconcile, lambda event: queue.add(key_of(event.obj)))
        counts = unless_partial(_counts, whole=self._caches.deployments.whole)
        on_change(self._caches.deployments, counts, self._queue_summary)
        on_change(self._caches.namespaces, lambda event: event.new is None, self._queue_owner)

    def _queue_summary(self, event: Event) -> None:
        if key := cluster_key_of(event.obj):
            self.controller.queue.add_after(key, SUMMARY_DELAY_S)

    def _queue_owner(self, event: Event) -> None:
        annotations = event.obj["metadata"].get("annotations") or {}
        namespace, name = (annotations.get(a) for a in (names.CLUSTER_NAMESPACE_LABEL, names.CLUSTER_LABEL))
        if namespace and name:
            self.controller.queue.add(f"{namespace}/{name}")

    async def reconcile(self, key: str) -> Result:
        """Make the namespace, and write the status. What is deployed to a Cluster that is gone the Bundles take away."""
        cluster = self._caches.clusters.store.get(key)
        if cluster is None or is_deleted(cluster):
            return DONE
        status = self._status.latest(cluster).get("status") or {}
        namespace = status.get("namespace") or names.cluster_namespace(str(namespace_of(cluster)), name_of(cluster))
        if self._caches.namespaces.store.get(namespace) is None:
            await self._create_namespace(namespace, cluster)
        total = summary.of_deployments(await self._caches.deployments.find(BY_CLUSTER, key))
        fields = summary.status_fields(status, total, "readyBundles")
        await self._status.write(cluster, {"namespace": namespace, **fields})
        return DONE

    async def _create_namespace(self, name: str, cluster: Object) -> None:
        namespace = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": name,
                "labels": {names.MANAGED_LABEL: "true", **names.own_labels(cluster)},
                "annotations": {
                    names.CLUSTER_LABEL: name_of(cluster),
                    names.CLUSTER_NAMESPACE_LABEL: namespace_of(cluster),
                },
            },
        }
        try:
            await self._api.create(names.NAMESPACES.path(), namespace)
        except ApiError as error:
            if error.status != 409:  # there already: the cache lags, or somebody else made it
                raise


def _counts(event: Event) -> bool:
    """Whether a change of a BundleDeployment changes the sums it is part of."""
    if event.old is None or event.new is None:
        return True
    return summary.is_ready(event.old) != summary.is_ready(event.new)
