"""What the controllers keep in memory: one informer per kind, with the indexes by which they look things up."""

from __future__ import annotations

from collections.abc import Iterable

from harness.controllers.fleet import names
from harness.controllers.fleet.options import Options, SecretCache
from harness.controllers.runtime.client import Api
from harness.controllers.runtime.informer import Informer
from harness.controllers.runtime.resources import Object, labels_of, namespace_of
from harness.controllers.runtime.store import BY_NAMESPACE, by_namespace

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
    """The key of the Secret that a GitRepo names."""
    name = gitrepo["spec"].get("clientSecretName")
    return f"{namespace_of(gitrepo)}/{name}" if name else None


def _one(value: str | None) -> Iterable[str]:
    return () if value is None else (value,)


class Caches:
    """The informers. With `--namespace` they hold that namespace only, and what belongs to it elsewhere."""

    def __init__(self, api: Api, options: Options) -> None:
        where = options.namespace
        self.management = Informer(api, names.MANAGEMENT_CLUSTERS)
        self.clusters = Informer(
            api, names.CLUSTERS, namespace=where,
            indexers={BY_NAMESPACE: by_namespace, BY_MANAGEMENT: lambda obj: _one(management_of(obj))}, indexed=options.index,
        )  # fmt: skip
        self.gitrepos = Informer(
            api,
            names.GITREPOS,
            namespace=where,
            indexers={BY_CREDENTIALS: lambda obj: _one(secret_key_of(obj))},
            indexed=options.index,
        )
        self.bundles = Informer(
            api, names.BUNDLES, namespace=where,
            indexers={BY_NAMESPACE: by_namespace, BY_REPO: lambda obj: _one(repo_key_of(obj))}, indexed=options.index,
        )  # fmt: skip
        # BundleDeployments live in the namespaces of their Clusters, wherever their Bundles do.
        self.deployments = Informer(
            api, names.DEPLOYMENTS, label_selector=f"{names.BUNDLE_NAMESPACE_LABEL}={where}" if where else "",
            indexers={
                BY_BUNDLE: lambda obj: _one(bundle_key_of(obj)),
                BY_CLUSTER: lambda obj: _one(cluster_key_of(obj)),
            },
            indexed=options.index,
        )  # fmt: skip
        # Of a Namespace only its existence is asked.
        self.namespaces = Informer(
            api, names.NAMESPACES, label_selector=f"{names.MANAGED_LABEL}=true", metadata_only=True
        )
        self.secrets = (
            None
            if options.cache_secret is SecretCache.NONE
            else Informer(
                api, names.SECRETS, namespace=where, metadata_only=options.cache_secret is SecretCache.METADATA
            )
        )

    def informers(self) -> list[Informer]:
        """All of them."""
        always = [self.management, self.clusters, self.gitrepos, self.bundles, self.deployments, self.namespaces]
        return [*always, self.secrets] if self.secrets else always
