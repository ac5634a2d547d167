"""Names in the Kubernetes API, and the few fields of an object that every controller reads.

Objects are plain dictionaries as they came from JSON: models would cost the small memory limit most of its room.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
"""One Kubernetes object, as its JSON. Objects from a store are shared: never change one in place."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One collection of the API."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """`v1` or `fleet.cattle.io/v1alpha1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The API path of the collection (`namespace=None`: of all namespaces), of one object, or of its subresource."""
        path = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        if self.namespaced and namespace is not None:
            path += f"/namespaces/{namespace}"
        path += f"/{self.plural}"
        if name is not None:
            path += f"/{name}"
        if subresource is not None:
            path += f"/{subresource}"
        return path

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


def name_of(obj: Object) -> str:
    """`metadata.name`."""
    return str(obj["metadata"]["name"])


def namespace_of(obj: Object) -> str | None:
    """`metadata.namespace`; None for an object without one."""
    namespace: str | None = obj["metadata"].get("namespace")
    return namespace


def key_of(obj: Object) -> str:
    """`namespace/name`, or `name` alone: the key of stores and queues."""
    metadata = obj["metadata"]
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])


def labels_of(obj: Object) -> dict[str, str]:
    """`metadata.labels`; empty where there are none. Not to be changed."""
    return obj["metadata"].get("labels") or {}


def generation_of(obj: Object) -> int:
    """`metadata.generation`, which grows with the spec only; 0 for kinds that keep none."""
    return int(obj["metadata"].get("generation", 0))


def version_of(obj: Object) -> str:
    """`metadata.resourceVersion`."""
    return str(obj["metadata"]["resourceVersion"])


def is_newer(left: str, right: str) -> bool:
    """Whether resourceVersion `left` is later than `right`.

    Within one kind they are comparable as numbers (KEP-5504); where a server hands out something else, the answer
    is False, which the callers treat as "do not know".
    """
    return left.isdigit() and right.isdigit() and int(left) > int(right)
