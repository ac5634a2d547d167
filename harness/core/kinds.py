"""The Kubernetes kinds that scenarios name by a short alias.

Two groups have a kind `Cluster`; an alias that is ambiguous must be written with its group, as
`Cluster.management.cattle.io`. Versions are those of the CRDs in manifests/crds and of the real projects. A scenario may bring
kinds of its own; they are known while it is read (`knowing`), and records name them in full, as `Widget.example.com`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
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
        """The shortest unambiguous name: `GitRepo`, `Cluster.fleet.cattle.io`. Used in metric names and records.

        Of a scenario's own kind always the full one, so that a record reads the same beside those of other scenarios.
        """
        same = [other.full_name for other in KINDS if other.kind == self.kind]
        return self.kind if same == [self.full_name] else self.full_name

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


def _fleet(kind: str, plural: str, *, namespaced: bool = True) -> Kind:
    return Kind("fleet.cattle.io", "v1alpha1", kind, plural, namespaced, status=True)


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


_own: ContextVar[tuple[Kind, ...] | None] = ContextVar("own_kinds", default=None)
_FULL_NAME = re.compile(r"[A-Z][A-Za-z0-9]{0,62}(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?){2,}")


@contextmanager
def knowing(own: Iterable[Kind]) -> Iterator[None]:
    """While a scenario is read: its own kinds are known beside `KINDS`, and none else are."""
    token = _own.set(tuple(own))
    try:
        yield
    finally:
        _own.reset(token)


def is_own(kind: Kind) -> bool:
    """Whether a kind is a scenario's own, not one of `KINDS`."""
    return all(kind.full_name != known.full_name for known in KINDS)


def find(name: str) -> Kind:
    """The kind a scenario calls `name`. Raises ValueError that names the nearest known kinds, or the ambiguity."""
    everything = (*KINDS, *(_own.get() or ()))
    matches = [kind for kind in everything if name in (kind.kind, kind.full_name)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        choices = " or ".join(kind.full_name for kind in matches)
        raise ValueError(f"kind {name!r} is ambiguous; write {choices}")
    known = [alias for kind in everything for alias in {kind.alias, kind.full_name}]
    known += [kind.kind for kind in _own.get() or ()]
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    listed = ", ".join(sorted(kind.alias for kind in everything))
    hint = f"did you mean {' or '.join(near)}?" if near else f"known kinds: {listed}"
    raise ValueError(f"unknown kind {name!r}; {hint}")


def alias_in_name(name: str) -> str:
    """The alias of a kind that stands in the name of a metric. Raises ValueError as `find` does.

    A record is read without the manifests of its scenario: then a full name, as `Widget.example.com`, is its own alias.
    """
    if _own.get() is None and _FULL_NAME.fullmatch(name) and all(name != kind.full_name for kind in KINDS):
        return name
    return find(name).alias


def of_resource(group: str, plural: str, own: Iterable[Kind] = ()) -> Kind | None:
    """The kind behind an API group and plural resource name, as audit lines name it; None where it is not ours."""
    return next((kind for kind in (*KINDS, *own) if (kind.group, kind.plural) == (group, plural)), None)
