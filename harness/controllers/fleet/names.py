"""Kinds, labels and generated names of the Fleet world."""

from __future__ import annotations

import hashlib
import re

from harness.controllers.runtime.resources import Object, Resource, labels_of, name_of

_FLEET = ("fleet.cattle.io", "v1alpha1")

SECRETS = Resource("", "v1", "Secret", "secrets")
NAMESPACES = Resource("", "v1", "Namespace", "namespaces", namespaced=False)
MANAGEMENT_CLUSTERS = Resource("management.cattle.io", "v3", "Cluster", "clusters", namespaced=False)
CLUSTERS = Resource(*_FLEET, "Cluster", "clusters")
GITREPOS = Resource(*_FLEET, "GitRepo", "gitrepos")
BUNDLES = Resource(*_FLEET, "Bundle", "bundles")
DEPLOYMENTS = Resource(*_FLEET, "BundleDeployment", "bundledeployments")
CLUSTER_GROUPS = Resource(*_FLEET, "ClusterGroup", "clustergroups")
IMAGE_SCANS = Resource(*_FLEET, "ImageScan", "imagescans")
CONFIG_MAPS = Resource("", "v1", "ConfigMap", "configmaps")

REPO_LABEL = "fleet.cattle.io/repo-name"
COMMIT_LABEL = "fleet.cattle.io/commit"
BUNDLE_LABEL = "fleet.cattle.io/bundle-name"
BUNDLE_NAMESPACE_LABEL = "fleet.cattle.io/bundle-namespace"
CLUSTER_LABEL = "fleet.cattle.io/cluster"
CLUSTER_NAMESPACE_LABEL = "fleet.cattle.io/cluster-namespace"
MANAGED_LABEL = "fleet.cattle.io/managed"
MANAGEMENT_NAME_LABEL = "management.cattle.io/cluster-name"
DISPLAY_NAME_LABEL = "management.cattle.io/cluster-display-name"
COPIED_LABELS = "harness.dev/copied-labels"
"""Annotation of a Fleet Cluster: the labels that came from the management Cluster, so that they can go with it."""
MANIFEST_ANNOTATION = "fleet.cattle.io/manifest"
"""Of a BundleDeployment: what is to be deployed."""
OWN_PREFIX = "harness.dev/"
"""Labels that mark the objects of a run; they are handed on to everything made because of such an object."""

_MAX_NAME = 63
_HASH_CHARS = 12
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


def digest(text: str) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def cluster_namespace(namespace: str, name: str) -> str:
    """The namespace of a Fleet Cluster's BundleDeployments: readable, at most 63 characters, unique by its hash."""
    return _with_hash(f"cluster-{namespace}-{name}", f"{namespace}/{name}")


def bundle_name(gitrepo: str, path: str) -> str:
    """The name of the Bundle of one path: `repo-path`; with a hash where that is not a name or would be ambiguous."""
    plain = path.strip("/")
    if plain in ("", "."):
        return gitrepo
    name = f"{gitrepo}-{plain}"
    if re.fullmatch(r"[a-z0-9-]*[a-z0-9]", plain) and len(name) <= _MAX_NAME:
        return name
    return _with_hash(re.sub(r"[^a-z0-9]+", "-", name.lower()), f"{gitrepo}/{path}")


def is_label_value(text: str) -> bool:
    """Whether `text` may be the value of a label."""
    return _LABEL_VALUE.fullmatch(text) is not None


def owner_reference(owner: Object, resource: Resource) -> Object:
    """What makes an object go when `owner` does."""
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": name_of(owner),
        "uid": owner["metadata"]["uid"],
        "controller": True,
    }


def own_labels(obj: Object) -> dict[str, str]:
    """The labels of `obj` that mark its run."""
    return {key: value for key, value in labels_of(obj).items() if key.startswith(OWN_PREFIX)}


def _with_hash(readable: str, unique: str) -> str:
    return f"{readable[: _MAX_NAME - _HASH_CHARS - 1].rstrip('-')}-{digest(unique)[:_HASH_CHARS]}"
