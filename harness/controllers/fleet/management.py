"""Controller `management`: each management Cluster has a Fleet Cluster of its name, with its labels.

The Fleet Cluster lives in the namespace `spec.fleetWorkspaceName` and goes when the management Cluster does.
"""

from __future__ import annotations

from harness.controllers.fleet import names
from harness.controllers.fleet.caches import BY_MANAGEMENT, management_of
from harness.controllers.fleet.context import Context, is_deleted, on_change, wants_reconcile
from harness.controllers.runtime.client import ApiError
from harness.controllers.runtime.controller import AGAIN, DONE, Controller, Result
from harness.controllers.runtime.creations import Creations
from harness.controllers.runtime.informer import Event
from harness.controllers.runtime.resources import Object, labels_of, name_of, namespace_of


class ManagementController:
    """Keys are names of management Clusters."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._caches = context.caches
        self._api = context.api
        self._clusters = Creations(context.caches.clusters, BY_MANAGEMENT)
        self.controller: Controller = context.controller("management", self.reconcile)
        queue = self.controller.queue
        on_change(self._caches.management, wants_reconcile, lambda event: queue.add(name_of(event.obj)))
        # A Fleet Cluster that somebody changes or deletes gets its labels, or itself, back.
        on_change(self._caches.clusters, wants_reconcile, self._queue_origin)

    def _queue_origin(self, event: Event) -> None:
        if name := management_of(event.obj):
            self.controller.queue.add(name)

    async def reconcile(self, name: str) -> Result:
        """Make the Fleet Cluster of the management Cluster `name`, bring its labels up to date, or delete it."""
        cluster = await self._caches.management.get(name)
        workspace = None if cluster is None or is_deleted(cluster) else cluster["spec"].get("fleetWorkspaceName")
        made = self._clusters.find(name)
        for fleet in made.values():
            if namespace_of(fleet) != workspace and not is_deleted(fleet):
                await self._api.delete(
                    names.CLUSTERS.path(namespace_of(fleet), name_of(fleet)), uid=fleet["metadata"]["uid"]
                )
        if cluster is None or not workspace or self._context.options.namespace not in (None, workspace):
            return DONE
        key = f"{workspace}/{name}"
        present = made.get(key) or self._caches.clusters.store.get(key)
        if present is None:
            return await self._create(cluster, workspace)
        patch = label_patch(cluster, present)
        if patch:
            await self._api.merge_patch(names.CLUSTERS.path(workspace, name), {"metadata": patch})
        return DONE

    async def _create(self, cluster: Object, workspace: str) -> Result:
        fleet = {
            "apiVersion": names.CLUSTERS.api_version,
            "kind": names.CLUSTERS.kind,
            "metadata": {
                "name": name_of(cluster),
                "namespace": workspace,
                "labels": wanted_labels(cluster),
                "annotations": {names.COPIED_LABELS: _listed(labels_of(cluster))},
            },
            "spec": {},
        }
        try:
            self._clusters.add(await self._api.create(names.CLUSTERS.path(workspace), fleet))
        except ApiError as error:
            if error.status == 409:  # it is there and the cache has not seen it yet
                return AGAIN
            raise
        return DONE


def wanted_labels(cluster: Object) -> dict[str, str]:
    """The labels that the Fleet Cluster of a management Cluster must have."""
    wanted = {**labels_of(cluster), names.MANAGEMENT_NAME_LABEL: name_of(cluster)}
    display = cluster["spec"].get("displayName") or ""
    if names.is_label_value(display):
        wanted[names.DISPLAY_NAME_LABEL] = display
    return wanted


def label_patch(cluster: Object, fleet: Object) -> Object:
    """The merge patch of `metadata` that brings the labels over; empty where they are there already.

    Labels that the Fleet Cluster has of its own stay; those copied earlier that the origin has lost go.
    """
    wanted, present = wanted_labels(cluster), labels_of(fleet)
    annotations = fleet["metadata"].get("annotations") or {}
    copied = annotations.get(names.COPIED_LABELS, "")
    labels: dict[str, str | None] = {key: value for key, value in wanted.items() if present.get(key) != value}
    labels |= {key: None for key in copied.split(",") if key and key in present and key not in wanted}
    patch: Object = {"labels": labels} if labels else {}
    if copied != (listed := _listed(labels_of(cluster))):
        patch["annotations"] = {names.COPIED_LABELS: listed}
    return patch


def _listed(labels: dict[str, str]) -> str:
    return ",".join(sorted(labels))
