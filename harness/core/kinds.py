"""The Kubernetes kinds that scenarios name by a short alias.

Two groups have a kind `Cluster`; an alias that is ambiguous must be written with its group, as
`Cluster.management.cattle.io`. Versions are those of the CRDs in manifests/crds and of the real projects.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """One resource of the API: where it lives and what the scenario calls it."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    status: bool = False
    """Whether it has a status subresource."""

    @property
    def api_version(self) -> str:
        """`v1` or `fleet.cattle.io/v1alpha1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def full_name(self) -> str:
        """`Cluster.fleet.cattle.io`; `Secret` in the core group."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @property
    def alias(self) -> str:
        """The shortest unambiguous name: `GitRepo`, `Cluster.fleet.cattle.io`. Used in metric names and records."""
        return self.kind if sum(other.kind == self.kind for other in KINDS) <= 1 else self.full_name

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The API path of the collection, or of one object; `namespace=None` spans all namespaces."""
        parts = ["/apis", self.group, self.version] if self.group else ["/api", self.version]
        if self.namespaced and namespace is not None:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name is not None:
            parts.append(name)
        if subresource is not None:
            parts.append(subresource)
        return "/".join(parts)


def _fleet(kind: str, plural: str, *, namespaced: bool = True, status: bool = True) -> Kind:
    return Kind("fleet.cattle.io", "v1alpha1", kind, plural, namespaced, status)


KINDS: tuple[Kind, ...] = (
    Kind("", "v1", "Secret", "secrets", namespaced=True),
    Kind("", "v1", "ConfigMap", "configmaps", namespaced=True),
    Kind("", "v1", "Namespace", "namespaces", namespaced=False),
    Kind("", "v1", "ServiceAccount", "serviceaccounts", namespaced=True),
    _fleet("GitRepo", "gitrepos"),
    _fleet("Bundle", "bundles"),
    _fleet("BundleDeployment", "bundledeployments"),
    _fleet("Cluster", "clusters"),
    _fleet("ClusterGroup", "clustergroups"),
    _fleet("Content", "contents", namespaced=False),
    _fleet("ImageScan", "imagescans"),
    Kind("management.cattle.io", "v3", "Cluster", "clusters", namespaced=False, status=True),
    Kind("serving.kserve.io", "v1beta1", "InferenceService", "inferenceservices", namespaced=True, status=True),
)


def find(name: str) -> Kind:
    """The kind a scenario calls `name`. Raises ValueError that names the nearest known kinds, or the ambiguity."""
    matches = [kind for kind in KINDS if name in (kind.kind, kind.full_name)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        choices = " or ".join(kind.full_name for kind in matches)
        raise ValueError(f"kind {name!r} is ambiguous; write {choices}")
    known = [alias for kind in KINDS for alias in {kind.alias, kind.full_name}]
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known kinds: {', '.join(sorted(k.alias for k in KINDS))}"
    raise ValueError(f"unknown kind {name!r}; {hint}")


def of_resource(group: str, plural: str) -> Kind | None:
    """The kind behind an API group and plural resource name, as audit lines name it; None where it is not ours."""
    return next((kind for kind in KINDS if (kind.group, kind.plural) == (group, plural)), None)
