"""Controller `bundle`: a Bundle meets the Clusters that its targets select and becomes BundleDeployments.

Shaped as published (docs/claims.md row 2): each reconcile writes the status when it begins and again when it ends; and with
`event_mapping=all` each change of a Cluster queues every Bundle of its namespace. With `queue=fair` those for which the change
makes a difference do not stand behind those for which it makes none, nor behind those of one large GitRepo.
"""

from __future__ import annotations

from harness.controllers.fleet import names, summary
from harness.controllers.fleet.caches import BY_BUNDLE, bundle_key_of, repo_key_of
from harness.controllers.fleet.context import Context, is_deleted, is_gone, on_change, unless_partial, wants_reconcile
from harness.controllers.fleet.helm import Helm, Release
from harness.controllers.fleet.manifest import Manifests
from harness.controllers.fleet.mapping import Mapping
from harness.controllers.fleet.series import BundleSeries
from harness.controllers.runtime.client import ApiError
from harness.controllers.runtime.controller import AGAIN, DONE, Controller, Result
from harness.controllers.runtime.creations import Creations
from harness.controllers.runtime.informer import Event
from harness.controllers.runtime.order import by_namespace
from harness.controllers.runtime.resources import Object, generation_of, key_of, labels_of, name_of, namespace_of
from harness.controllers.runtime.store import BY_NAMESPACE


class BundleController:
    """Keys are those of Bundles."""

    def __init__(self, context: Context) -> None:
        self._caches = context.caches
        self._api = context.api
        assert context.caches.deployments.informer is not None
        self._deployments = Creations(context.caches.deployments.informer, BY_BUNDLE)
        self._selectors = context.selectors
        self._mapping = Mapping(context)
        self._manifests = Manifests(context.api, context.options.manifest)
        self._helm = Helm(context.options.helm_cache)
        self._series = BundleSeries(context.metrics.registry, context.options.series)
        self._status = context.status_writer(context.caches.bundles)
        self.controller: Controller = context.controller("bundle", self.reconcile, flow_of=self._flow_of)
        queue = self.controller.queue
        on_change(self._caches.bundles, wants_reconcile, lambda event: queue.add(key_of(event.obj)))
        # Not only in the reconcile: that may be another shard's, and the selectors are of all Bundles.
        on_change(self._caches.bundles, is_gone, lambda event: self._selectors.forget_bundle(key_of(event.obj)))
        deployments = self._caches.deployments
        state = unless_partial(_state_differs, whole=deployments.whole)
        on_change(deployments, lambda event: _not_our_own(event) and state(event), self._queue_bundle)
        on_change(self._caches.clusters, _retargets, self._queue_targets)
        on_change(self._caches.groups, wants_reconcile, self._queue_targets_of_group)

    def _flow_of(self, key: str) -> str:
        bundle = self._caches.bundles.known(key)
        return (repo_key_of(bundle) if bundle else None) or by_namespace(key)

    def _queue_bundle(self, event: Event) -> None:
        if key := bundle_key_of(event.obj):
            self.controller.queue.add(key)

    def _queue_targets(self, event: Event) -> None:
        for key, work in self._mapping.of_cluster(event):
            self.controller.queue.add(key, work)

    def _queue_targets_of_group(self, event: Event) -> None:
        for key, work in self._mapping.of_group(event):
            self.controller.queue.add(key, work)

    async def reconcile(self, key: str) -> Result:
        """Create, change and delete the BundleDeployments of one Bundle."""
        bundle = await self._caches.bundles.get(key)
        present = self._deployments.with_unseen(key, await self._caches.deployments.find(BY_BUNDLE, key))
        if bundle is None or is_deleted(bundle):
            self._helm.forget(key)
            self._selectors.forget_bundle(key)
            self._series.forget(key)
            await self._delete(present)
            return DONE
        release = self._helm.render(key, bundle)
        checksum = release.checksum
        bundle = await self._status.write(
            bundle, {"observedGeneration": generation_of(bundle), "resourcesSha256Sum": checksum}
        )
        again = False
        kept: list[Object] = []
        for cluster in self._targets(bundle):
            wanted = make_deployment(bundle, cluster, release, self._manifests.annotations(release))
            deployment = present.pop(key_of(wanted), None)
            if deployment is None:
                made = await self._create(wanted, release)
            else:
                made = await self._update(wanted, deployment, release)
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
        namespace = str(namespace_of(bundle))
        groups = self._caches.groups.store.by_index(BY_NAMESPACE, namespace)
        return [
            cluster
            for cluster in self._caches.clusters.store.by_index(BY_NAMESPACE, namespace)
            if not is_deleted(cluster)
            and _target_namespace(cluster)
            and self._selectors.bundle_matches(bundle, self._selectors.candidate(cluster, groups))
        ]

    async def _create(self, wanted: Object, release: Release) -> Object | None:
        """The new BundleDeployment; None where one of this name is there that is not known to be this Bundle's."""
        try:
            made = await self._api.create(names.DEPLOYMENTS.path(namespace_of(wanted)), wanted)
        except ApiError as error:
            if error.status == 409:
                return None
            raise
        self._deployments.add(made)
        self._caches.deployments.learn(made)
        await self._manifests.keep(made, release)
        return made

    async def _update(self, wanted: Object, present: Object, release: Release) -> Object:
        patch: Object = {}
        changed = present["spec"].get("deploymentID") != wanted["spec"]["deploymentID"]
        if changed:
            patch["spec"] = wanted["spec"]
        if changed or not summary.is_ready(present):  # whoever deploys it may be waiting for it
            await self._manifests.keep(present, release)
        metadata: Object = {}
        for field in ("labels", "annotations"):
            there = present["metadata"].get(field) or {}
            if missing := {k: v for k, v in (wanted["metadata"].get(field) or {}).items() if there.get(k) != v}:
                metadata[field] = missing
        if metadata:
            patch["metadata"] = metadata
        if not patch:
            return present
        return await self._api.merge_patch(names.DEPLOYMENTS.path(namespace_of(present), name_of(present)), patch)

    async def _delete(self, deployments: dict[str, Object]) -> None:
        for item in deployments.values():
            if not is_deleted(item):
                path = names.DEPLOYMENTS.path(namespace_of(item), name_of(item))
                await self._api.delete(path, uid=item["metadata"]["uid"])


def make_deployment(bundle: Object, cluster: Object, release: Release, annotations: dict[str, str]) -> Object:
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
            "annotations": annotations,
        },
        "spec": {"deploymentID": f"s-{release.checksum}", "stagedDeploymentID": f"s-{release.checksum}"},
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


def _not_our_own(event: Event) -> bool:
    """A new BundleDeployment is the Bundle's own doing; one found at the start may belong to a Bundle that is no more."""
    return event.old is not None or event.initial


def _state_differs(event: Event) -> bool:
    """Whether a change of a BundleDeployment concerns its Bundle: gone, applied, ready, or changed by somebody else."""
    if event.old is None or event.new is None:
        return True
    return _state(event.old) != _state(event.new)


def _state(deployment: Object) -> tuple[object, ...]:
    status = deployment.get("status") or {}
    return deployment["spec"].get("deploymentID"), status.get("appliedDeploymentID"), summary.is_ready(deployment)
