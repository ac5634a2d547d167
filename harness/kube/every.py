"""Everything of one label in a cluster, whatever its kind: what shows that nothing of a run was left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.errors import HarnessError
from harness.core.kinds import Kind
from harness.kube import transport as wire
from harness.kube.api import Api
from harness.kube.errors import ApiError

_AT_ONCE = 8
_CALL_LIMIT_S = 30.0
_METADATA_OR_ALL = f"{wire.PARTIAL_LIST},{wire.JSON_TYPE}"
"""Aggregated API servers may not know how to answer with metadata alone."""
_GONE, _NOT_ALLOWED = 404, 405


@dataclass(frozen=True, slots=True)
class Found:
    """One object: its kind, and its metadata."""

    kind: Kind
    metadata: dict[str, Any]

    @property
    def name(self) -> str:
        """As people write it: `Secret run-x/a`, `ClusterRole a`."""
        namespace = self.metadata.get("namespace")
        return f"{self.kind.full_name} {f'{namespace}/' if namespace else ''}{self.metadata['name']}"


@dataclass(frozen=True, slots=True)
class Everything:
    """What was found, and what could not be looked at, in words."""

    objects: Sequence[Found]
    kinds: Sequence[Kind]
    unseen: Sequence[str]


async def kinds(api: Api) -> tuple[list[Kind], list[str]]:
    """Every kind that can be listed, in the version the server prefers, and groups that did not answer, in words."""
    groups = (await api.transport.request_json("GET", "/apis")).get("groups") or []
    roots = [("", "v1")]
    roots += [(group["name"], group["preferredVersion"]["version"]) for group in groups]
    gate, unseen = asyncio.Semaphore(_AT_ONCE), list[str]()

    async def one(group: str, version: str) -> list[Kind]:
        path = f"/apis/{group}/{version}" if group else f"/api/{version}"
        try:
            async with gate:
                resources = (await api.transport.request_json("GET", path)).get("resources") or []
        except HarnessError as error:
            if not isinstance(error, ApiError) or error.status != _GONE:  # its last CRD went meanwhile
                unseen.append(f"the group {group or 'core'}: {error}")
            return []
        return [
            Kind(group, version, resource["kind"], resource["name"], resource["namespaced"])
            for resource in resources
            if "/" not in resource["name"] and "list" in (resource.get("verbs") or ())
        ]

    found = await asyncio.gather(*(one(group, version) for group, version in roots))
    return [kind for listed in found for kind in listed], unseen


async def labelled(
    api: Api,
    selector: str,
    among: Sequence[Kind] | None = None,
    concerning: Callable[[Kind], bool] = lambda _kind: True,
) -> Everything:
    """All objects of every kind (or of those in `among`) that a label selector chooses. Only metadata is asked for.

    Kinds that do not concern anybody (`concerning`) are not asked for: what is refused anyway looks like an attack.
    """
    listable, unseen = (list(among), []) if among is not None else await kinds(api)
    listable = [kind for kind in listable if concerning(kind)]
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(kind: Kind) -> list[Found]:
        try:
            async with gate:
                return [Found(kind, item["metadata"]) for item in await _list(api, kind, selector)]
        except ApiError as error:
            if error.status not in (_GONE, _NOT_ALLOWED):  # its CRD went meanwhile, or it cannot be listed after all
                unseen.append(f"{kind.full_name}: {error.status} {error.reason}")
            return []
        except HarnessError as error:
            unseen.append(f"{kind.full_name}: {error}")
            return []

    found = await asyncio.gather(*(one(kind) for kind in listable))
    return Everything([item for objects in found for item in objects], listable, unseen)


async def _list(api: Api, kind: Kind, selector: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    query: dict[str, str | int] = {"labelSelector": selector, "limit": 500}
    while True:
        page = await api.transport.request_json(
            "GET", kind.path(), query=query, accept=_METADATA_OR_ALL, timeout_s=_CALL_LIMIT_S
        )
        items += page.get("items") or []
        following = (page.get("metadata") or {}).get("continue")
        if not following:
            return items
        query["continue"] = following
