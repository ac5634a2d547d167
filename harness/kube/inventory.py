"""Counting what a cluster holds, page by page, keeping sizes and label keys and nothing else.

Memory is bounded by one page: an object may have 1.5 MB, so those that carry payload come twenty at a time. Of Secrets the
length of each value is taken from its base64 text, which is not decoded; text and names are dropped with the page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.core.errors import EnvironmentFault
from harness.core.handles import Progress
from harness.core.inventory import Held, Inventory
from harness.core.kinds import Kind, find
from harness.kube.api import Api
from harness.kube.errors import ApiError, ApiUnreachable

_PAYLOAD_PAGE, _METADATA_PAGE = 20, 500
_EXPIRED, _NOT_FOUND, _FORBIDDEN = 410, 404, 403
_ATTEMPTS = 3
REPO_LABEL = "fleet.cattle.io/repo-name"
"""By which Fleet says that a GitRepo brought a Bundle about."""


def secret_size(secret: Mapping[str, Any]) -> int:
    """Bytes of all values of a Secret, from the length of their base64 text."""
    return sum(len(text) * 3 // 4 - text[-2:].count("=") for text in (secret.get("data") or {}).values())


def bundle_size(bundle: Mapping[str, Any]) -> int:
    """Characters of all resources of a Bundle, as stored (compressed ones stay so)."""
    resources = (bundle.get("spec") or {}).get("resources") or []
    return sum(len(resource.get("content") or "") for resource in resources)


_COUNTED: tuple[tuple[Kind, Callable[[Mapping[str, Any]], int] | None], ...] = (
    (find("Secret"), secret_size),
    (find("GitRepo"), None),
    (find("Bundle"), bundle_size),
    (find("BundleDeployment"), None),
    (find("Cluster.management.cattle.io"), None),
    (find("Cluster.fleet.cattle.io"), None),
)


async def take(api: Api, namespace: str | None, progress: Progress) -> Inventory:
    """Count a cluster, or what one namespace holds; cluster-scoped kinds always. Raises EnvironmentFault where it cannot."""
    try:
        progress.step("reading counts and sizes")
        version = await api.version()
        if namespace is not None:
            await api.get(find("Namespace"), namespace, metadata_only=True)
        held = [await _held(api, kind, size, namespace, progress) for kind, size in _COUNTED]
    except ApiUnreachable as error:
        raise EnvironmentFault(str(error), remedy="is the cluster up, and the kubeconfig still valid?") from error
    except ApiError as error:
        remedy = "use an identity that may list it" if error.status == _FORBIDDEN else None
        raise EnvironmentFault(str(error), remedy=remedy) from error
    return Inventory(version, namespace, {item.kind.alias: item for item in held})


async def _held(
    api: Api, kind: Kind, size: Callable[[Mapping[str, Any]], int] | None, namespace: str | None, progress: Progress
) -> Held:
    for attempt in range(1, _ATTEMPTS + 1):
        held = Held(kind)
        try:
            async for page in api.pages(
                kind,
                namespace if kind.namespaced else None,
                metadata_only=size is None,
                page_size=_METADATA_PAGE if size is None else _PAYLOAD_PAGE,
            ):
                for item in page.items:
                    labels = (item.get("metadata") or {}).get("labels") or {}
                    held.count += 1
                    held.labels.add(labels)
                    held.owned += REPO_LABEL in labels
                    if size is not None:
                        held.sizes.add(size(item))
                progress.detail(f"{held.count:,} {kind.alias}")
        except ApiError as error:
            if error.status == _NOT_FOUND:
                return Held(kind)  # this cluster does not serve the kind
            if error.status != _EXPIRED or attempt == _ATTEMPTS:
                raise
        else:
            return held
    raise AssertionError("the loop returns or raises")
