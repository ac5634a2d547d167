"""Controller `bundle`: a Bundle meets the Clusters that its targets select and becomes BundleDeployments.

Shaped as published (SEEDS.md row 2): each reconcile writes the status when it begins and again when it ends; and with
`event_mapping=all` each change of a Cluster queues every Bundle of its namespace.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.controllers.fleet import names, summary
from harness.controllers.fleet.caches import BY_BUNDLE, bundle_key_of
from harness.controllers.fleet.context import Context, is_deleted, on_change, wants_reconcile
from harness.controllers.fleet.helm import Helm
from harness.controllers.fleet.options import EventMapping
from harness.controllers.fleet.selectors import bundle_matches
from harness.controllers.fleet.series import BundleSeries
from harness.controllers.runtime.client import ApiError
from harness.controllers.runtime.controller import AGAIN, DONE, Controller, Result
from harness.controllers.runtime.creations import Creations
from harness.controllers.runtime.informer import Event
from harness.controllers.runtime.resources import Object, generation_of, key_of, labels_of, name_of, namespace_of
from harness.controllers.runtime.store import BY_NAMESPACE


class BundleController:
    """Keys are those of Bundles."""

    def __init__(self, context: Context) -> None:
        self._caches = context.caches
        self._api = context.api
        self._deployments = Creations(context.caches.deployments, BY_BUNDLE)
        self._mapping = context.options.event_mapping
        self._helm = Helm(context.options.helm_cache)
        self._series = BundleSeries(context.metrics.registry, context.options.series)
        self._status = context.status_writer(context.caches.bundles)
        self.controller: Controller = context.controller("bundle", self.reconcile)
        queue = self.controller.queue
        on_change(self._caches.bundles, wants_reconcile, lambda event: queue.add(key_of(event.obj)))
        on_change(self._caches.deployments, _state_differs, self._queue_bundle)
        on_change(self._caches.clusters, _retargets, self._queue_targets)

    def _queue_bundle(self, event: Event) -> None:
        if key := bundle_key_of(event.obj):
            self.controller.queue.add(key)

    def _queue_targets(self, event: Event) -> None:
        bundles = self._caches.bundles.store.by_index(BY_NAMESPACE, str(namespace_of(event.obj)))
        for bundle in concerned(event, bundles, self._mapping):
            self.controller.queue.add(key_of(bundle))

    async def reconcile(self, key: str) -> Result:
        """Create, change and delete the BundleDeployments of one Bundle."""
        bundle = self._caches.bundles.store.get(key)
        present = self._deployments.find(key)
        if bundle is None or is_deleted(bundle):
            self._helm.forget(key)
            self._series.forget(key)
            await self._delete(present)
            return DONE
        checksum = self._helm.render(key, bundle).checksum
        bundle = await self._status.write(
            bundle, {"observedGeneration": generation_of(bundle), "resourcesSha256Sum": checksum}
        )
        again = False
        kept: list[Object] = []
        for cluster in self._targets(bundle):
            wanted = make_deployment(bundle, cluster, checksum)
            deployment = present.pop(key_of(wanted), None)
            made = await self._create(wanted) if deployment is None else await self._update(wanted, deployment)
            again |= made is None
            kept.append(made or wanted)
        await self._delete(present)
        total = summary.of_deployments(kept)
        self._series.observe(key, total["desiredReady"], total["ready"])
        fields = summary.status_fields(bundle.get("status") or {}, total, "readyClusters")
        await self._status.write(bundle, fields)
        return AGAIN if again else DONE

    def _targets(self, bundle: Object) -> list[Object]:
        """The Clusters that are selected, alive, and have a namespace to deploy to."""
        return [
            cluster
            for cluster in self._caches.clusters.store.by_index(BY_NAMESPACE, str(namespace_of(bundle)))
            if not is_deleted(cluster)
            and _target_namespace(cluster)
            and bundle_matches(bundle, name_of(cluster), labels_of(cluster))
        ]

    async def _create(self, wanted: Object) -> Object | None:
        """The new BundleDeployment; None where one of this name is there that is not known to be this Bundle's."""
        try:
            made = await self._api.create(names.DEPLOYMENTS.path(namespace_of(wanted)), wanted)
        except ApiError as error:
            if error.status == 409:
                return None
            raise
        self._deployments.add(made)
        return made

    async def _update(self, wanted: Object, present: Object) -> Object:
        patch: Object = {}
        if present["spec"].get("deploymentID") != wanted["spec"]["deploymentID"]:
            patch["spec"] = wanted["spec"]
        labels = labels_of(present)
        if missing := {key: value for key, value in labels_of(wanted).items() if labels.get(key) != value}:
            patch["metadata"] = {"labels": missing}
        if not patch:
            return present
        return await self._api.merge_patch(names.DEPLOYMENTS.path(namespace_of(present), name_of(present)), patch)

    async def _delete(self, deployments: dict[str, Object]) -> None:
        for item in deployments.values():
            if not is_deleted(item):
                path = names.DEPLOYMENTS.path(namespace_of(item), name_of(item))
                await self._api.delete(path, uid=item["metadata"]["uid"])


def concerned(event: Event, bundles: Iterable[Object], mapping: EventMapping) -> Iterable[Object]:
    """The Bundles of the Cluster's namespace that a change of the Cluster queues.

    `matching` takes those that select it as it was or as it is; one that does both stays in, for what is deployed may
    be made from the Cluster's labels.
    """
    if mapping is EventMapping.ALL:
        return bundles
    sides = [(name_of(obj), labels_of(obj)) for obj in (event.old, event.new) if obj is not None]
    return [bundle for bundle in bundles if any(bundle_matches(bundle, name, labels) for name, labels in sides)]


def make_deployment(bundle: Object, cluster: Object, checksum: str) -> Object:
    """The BundleDeployment of `bundle` on `cluster`, as it is created."""
    return {
        "apiVersion": names.DEPLOYMENTS.api_version,
        "kind": names.DEPLOYMENTS.kind,
        "metadata": {
            "name": name_of(bundle),
            "namespace": _target_namespace(cluster),
            "labels": {
                **labels_of(bundle),
                names.MANAGED_LABEL: "true",
                names.BUNDLE_LABEL: name_of(bundle),
                names.BUNDLE_NAMESPACE_LABEL: namespace_of(bundle),
                names.CLUSTER_LABEL: name_of(cluster),
                names.CLUSTER_NAMESPACE_LABEL: namespace_of(cluster),
            },
        },
        "spec": {"deploymentID": f"s-{checksum}", "stagedDeploymentID": f"s-{checksum}"},
    }


def _target_namespace(cluster: Object) -> str | None:
    namespace: str | None = (cluster.get("status") or {}).get("namespace")
    return namespace


def _retargets(event: Event) -> bool:
    """Whether a change of a Cluster may change what is deployed to it: other labels, another namespace, come, gone."""
    if wants_reconcile(event):
        return True
    assert event.old is not None
    assert event.new is not None
    return _target_namespace(event.old) != _target_namespace(event.new)


def _state_differs(event: Event) -> bool:
    """Whether a change of a BundleDeployment concerns its Bundle: gone, applied, ready, or changed by somebody else.

    A new one is the Bundle's own doing; one found at the start may belong to a Bundle that is no more.
    """
    if event.old is None or event.new is None:
        return event.initial or event.new is None
    return _state(event.old) != _state(event.new)


def _state(deployment: Object) -> tuple[object, ...]:
    status = deployment.get("status") or {}
    return deployment["spec"].get("deploymentID"), status.get("appliedDeploymentID"), summary.is_ready(deployment)
