"""What the controllers keep in memory: one informer per kind, with the indexes by which they look things up.

Of Fleet Clusters, ClusterGroups, ImageScans and Namespaces there is no choice: every reconcile of a Bundle needs the labels
and the namespace of all Clusters, and the others are few and small.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import Counter

from harness.controllers.fleet import names
from harness.controllers.fleet.options import Options
from harness.controllers.runtime.cache import Cache, CacheMode, Query, identity
from harness.controllers.runtime.client import Api
from harness.controllers.runtime.informer import Informer
from harness.controllers.runtime.metrics import Metrics
from harness.controllers.runtime.resources import Object, Resource, labels_of, namespace_of
from harness.controllers.runtime.store import BY_NAMESPACE, IndexFunction, by_namespace

BY_MANAGEMENT = "management"
BY_REPO = "repo"
BY_BUNDLE = "bundle"
BY_CLUSTER = "cluster"
BY_CREDENTIALS = "credentials"


def management_of(cluster: Object) -> str | None:
    """The name of the management Cluster from which a Fleet Cluster was made."""
    return labels_of(cluster).get(names.MANAGEMENT_NAME_LABEL)


def repo_key_of(bundle: Object) -> str | None:
    """The key of the GitRepo that owns a Bundle."""
    repo = labels_of(bundle).get(names.REPO_LABEL)
    owners = bundle["metadata"].get("ownerReferences") or ()
    owned = any(owner["kind"] == names.GITREPOS.kind and owner["name"] == repo for owner in owners)
    return f"{namespace_of(bundle)}/{repo}" if owned else None


def bundle_key_of(deployment: Object) -> str | None:
    """The key of the Bundle of a BundleDeployment."""
    labels = labels_of(deployment)
    name, namespace = labels.get(names.BUNDLE_LABEL), labels.get(names.BUNDLE_NAMESPACE_LABEL)
    return f"{namespace}/{name}" if name and namespace else None


def cluster_key_of(deployment: Object) -> str | None:
    """The key of the Fleet Cluster of a BundleDeployment."""
    labels = labels_of(deployment)
    name, namespace = labels.get(names.CLUSTER_LABEL), labels.get(names.CLUSTER_NAMESPACE_LABEL)
    return f"{namespace}/{name}" if name and namespace else None


def secret_key_of(gitrepo: Object) -> str | None:
    """The key of the Secret that a GitRepo names; None too where only its metadata is at hand."""
    name = (gitrepo.get("spec") or {}).get("clientSecretName")
    return f"{namespace_of(gitrepo)}/{name}" if name else None


def _one(value: str | None) -> Iterable[str]:
    return () if value is None else (value,)


def _bundles_of_repo(key: str) -> tuple[str | None, str]:
    namespace, _, name = key.rpartition("/")
    return namespace, f"{names.REPO_LABEL}={name}"


def _deployments_of_bundle(key: str) -> tuple[str | None, str]:
    namespace, _, name = key.rpartition("/")
    return None, f"{names.BUNDLE_NAMESPACE_LABEL}={namespace},{names.BUNDLE_LABEL}={name}"


def _deployments_of_cluster(key: str) -> tuple[str | None, str]:
    namespace, _, name = key.rpartition("/")
    return None, f"{names.CLUSTER_NAMESPACE_LABEL}={namespace},{names.CLUSTER_LABEL}={name}"


class Caches:
    """The caches and informers. With `--namespace` they hold that namespace only, and what belongs to it elsewhere."""

    def __init__(self, api: Api, options: Options, metrics: Metrics) -> None:
        self._api, self._options = api, options
        self._reads = Counter(
            "fleet_reads", "Whole objects asked for, by where they were found", ("kind", "source"),
            registry=metrics.registry,
        )  # fmt: skip
        where = options.namespace
        self.management = self._cache(names.MANAGEMENT_CLUSTERS, switch="Cluster.management.cattle.io")
        self.clusters = Informer(
            api, names.CLUSTERS, namespace=where,
            indexers={BY_NAMESPACE: by_namespace, BY_MANAGEMENT: lambda obj: _one(management_of(obj))}, indexed=options.index,
        )  # fmt: skip
        self.groups = Informer(
            api, names.CLUSTER_GROUPS, namespace=where, indexers={BY_NAMESPACE: by_namespace}, indexed=options.index
        )
        self.gitrepos = self._cache(
            names.GITREPOS, namespace=where, indexers={BY_CREDENTIALS: lambda obj: _one(secret_key_of(obj))}
        )
        self.scans = Informer(api, names.IMAGE_SCANS, namespace=where)
        self.bundles = self._cache(
            names.BUNDLES, namespace=where, queries={BY_REPO: _bundles_of_repo},
            indexers={BY_NAMESPACE: by_namespace, BY_REPO: lambda obj: _one(repo_key_of(obj))},
        )  # fmt: skip
        # BundleDeployments live in the namespaces of their Clusters, wherever their Bundles do.
        self.deployments = self._cache(
            names.DEPLOYMENTS, label_selector=f"{names.BUNDLE_NAMESPACE_LABEL}={where}" if where else "",
            queries={BY_BUNDLE: _deployments_of_bundle, BY_CLUSTER: _deployments_of_cluster},
            indexers={
                BY_BUNDLE: lambda obj: _one(bundle_key_of(obj)),
                BY_CLUSTER: lambda obj: _one(cluster_key_of(obj)),
            },
        )  # fmt: skip
        # Of a Namespace only its existence is asked.
        self.namespaces = Informer(
            api, names.NAMESPACES, label_selector=f"{names.MANAGED_LABEL}=true", metadata_only=True
        )
        # Not the manifests that are kept in Secrets so that nobody caches them.
        self.secrets = self._cache(
            names.SECRETS, watched=False, namespace=where, label_selector=f"!{names.MANAGED_LABEL}"
        )  # fmt: skip

    def caches(self) -> list[Cache]:
        """Those that can be chosen."""
        return [self.management, self.gitrepos, self.bundles, self.deployments, self.secrets]

    def informers(self) -> list[Informer]:
        """All that follow the API."""
        found = [self.management.informer, self.clusters, self.groups, self.gitrepos.informer, self.scans,
                 self.bundles.informer, self.deployments.informer, self.namespaces, self.secrets.informer]  # fmt: skip
        return [informer for informer in found if informer is not None]

    def _cache(
        self, resource: Resource, *, switch: str = "", watched: bool = True, queries: Mapping[str, Query] | None = None,
        namespace: str | None = None, label_selector: str = "", indexers: Mapping[str, IndexFunction] | None = None,
    ) -> Cache:  # fmt: skip
        """`watched`: work begins with a change of this kind, so that `none` cannot do without a watch."""
        mode = self._options.caches[switch or resource.kind]
        informer = None
        if watched or mode is not CacheMode.NONE:
            informer = Informer(
                self._api, resource, namespace=namespace, label_selector=label_selector, indexers=indexers,
                indexed=self._options.index, metadata_only=mode is not CacheMode.FULL,
                transform=identity if mode is CacheMode.NONE else None,
            )  # fmt: skip
        return Cache(
            self._api, resource, informer, mode, most=self._options.cache_size, reads=self._reads, queries=queries
        )
