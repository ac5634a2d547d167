"""The verbs of the Kubernetes API, on raw JSON objects."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from harness.core.kinds import Kind
from harness.kube import transport as wire
from harness.kube.discovery import NAMESPACE, Discovery
from harness.kube.errors import ApiError, ApiUnreachable
from harness.kube.transport import DEFAULT_TIMEOUT_S, Transport

Object = dict[str, Any]

FIELD_MANAGER = "harness"
_PAGE = 500
_GONE, _NOT_FOUND, _GATEWAY_TIMEOUT = 410, 404, 504
_POLL_S = 0.05
_COLLECTION_S = 300.0


class ObjectList(NamedTuple):
    """The objects of a list, and the resource version from which a watch continues it."""

    items: Sequence[Object]
    resource_version: str


class Api:
    """One API server as one identity. `async with await Api.connect(kubeconfig) as api: …`

    Every call has a deadline. A refusal raises ApiError, silence ApiUnreachable.
    """

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.discovery = Discovery(transport)

    @classmethod
    async def connect(cls, kubeconfig: Path, context: str | None = None) -> Self:
        """Read a kubeconfig (exec plugins and tokens included); raises UsageError if it cannot be used."""
        return cls(await Transport.connect(kubeconfig, context))

    @property
    def server(self) -> str:
        """URL of the API server."""
        return self.transport.server

    async def close(self) -> None:
        """Close all connections."""
        await self.transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def version(self) -> str:
        """The server's version, such as `v1.36.3`."""
        return str((await self.transport.request_json("GET", "/version"))["gitVersion"])

    async def get(
        self,
        kind: Kind,
        name: str,
        namespace: str | None = None,
        *,
        metadata_only: bool = False,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> Object:
        """One object; ApiError 404 where it does not exist."""
        accept = wire.PARTIAL_OBJECT if metadata_only else wire.JSON_TYPE
        return await self.transport.request_json("GET", kind.path(namespace, name), accept=accept, timeout_s=timeout_s)

    async def pages(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        metadata_only: bool = False,
        page_size: int = _PAGE,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> AsyncIterator[ObjectList]:
        """A list in pages of `page_size`, all of one resource version; `timeout_s` is for each page.

        ApiError 410 where the list took so long that the server forgot that version.
        """
        query: dict[str, str | int] = {"limit": page_size}
        if label_selector:
            query["labelSelector"] = label_selector
        accept = wire.PARTIAL_LIST if metadata_only else wire.JSON_TYPE
        while True:
            page = await self.transport.request_json(
                "GET", kind.path(namespace), query=query, accept=accept, timeout_s=timeout_s
            )
            metadata = page.get("metadata") or {}
            yield ObjectList(page.get("items") or [], str(metadata.get("resourceVersion", "")))
            if not metadata.get("continue"):
                return
            query["continue"] = metadata["continue"]

    async def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        metadata_only: bool = False,
        page_size: int = _PAGE,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> ObjectList:
        """All objects (`namespace=None`: of all namespaces); begins again if the list outlived its version."""
        while True:
            items: list[Object] = []
            version = ""
            try:
                async for page in self.pages(
                    kind,
                    namespace,
                    label_selector=label_selector,
                    metadata_only=metadata_only,
                    page_size=page_size,
                    timeout_s=timeout_s,
                ):
                    items.extend(page.items)
                    version = page.resource_version
            except ApiError as error:
                if error.status != _GONE:
                    raise
                page_size *= 2  # fewer, larger pages are done sooner
                continue
            return ObjectList(items, version)

    async def create(
        self, kind: Kind, body: Mapping[str, Any], namespace: str | None = None, *, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> Object:
        """Create one object and return it as stored; ApiError 409 where it exists."""
        return await self.transport.request_json(
            "POST", kind.path(namespace), query={"fieldManager": FIELD_MANAGER}, body=body, timeout_s=timeout_s
        )

    async def apply(
        self, manifest: Mapping[str, Any], namespace: str | None = None, *, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> Object:
        """Server-side apply as field manager `harness`, taking over fields that others manage.

        `namespace` is for namespaced manifests that name none.
        """
        kind = await self.discovery.kind(str(manifest["apiVersion"]), str(manifest["kind"]))
        metadata = manifest["metadata"]
        place = metadata.get("namespace") or namespace
        return await self.transport.request_json(
            "PATCH",
            kind.path(place if kind.namespaced else None, metadata["name"]),
            query={"fieldManager": FIELD_MANAGER, "force": "true"},
            body=manifest,
            content_type="application/apply-patch+yaml",
            timeout_s=timeout_s,
        )

    async def merge_patch(
        self,
        kind: Kind,
        name: str,
        patch: Mapping[str, Any],
        namespace: str | None = None,
        *,
        subresource: str | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> Object:
        """JSON merge patch of one object, or of its `status`."""
        return await self.transport.request_json(
            "PATCH",
            kind.path(namespace, name, subresource),
            query={"fieldManager": FIELD_MANAGER},
            body=patch,
            content_type="application/merge-patch+json",
            timeout_s=timeout_s,
        )

    async def delete(self, kind: Kind, name: str, namespace: str | None = None) -> bool:
        """Ask for deletion; its dependents go in the background. False where it did not exist."""
        try:
            await self.transport.request(
                "DELETE", kind.path(namespace, name), query={"propagationPolicy": "Background"}
            )
        except ApiError as error:
            if error.status == _NOT_FOUND:
                return False
            raise
        return True

    async def delete_collection(
        self, kind: Kind, namespace: str | None = None, *, label_selector: str | None = None
    ) -> None:
        """Delete all objects that match; the server gives up after a minute on large ones, so ask until it is done."""
        query: dict[str, str | int] = {"propagationPolicy": "Background"}
        if label_selector:
            query["labelSelector"] = label_selector
        deadline = time.monotonic() + _COLLECTION_S
        while True:
            left = deadline - time.monotonic()
            try:
                await self.transport.request("DELETE", kind.path(namespace), query=query, timeout_s=max(left, 1.0))
            except ApiError as error:
                if error.status != _GATEWAY_TIMEOUT or left <= 0:
                    raise
            else:
                return

    async def ensure_namespace(
        self, name: str, labels: Mapping[str, str] | None = None, annotations: Mapping[str, str] | None = None
    ) -> Object:
        """The namespace, made if it is not there, with these labels and annotations on it."""
        metadata = {"name": name, "labels": dict(labels or {}), "annotations": dict(annotations or {})}
        return await self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    async def wait_namespace_gone(self, name: str, timeout_s: float = 120.0) -> None:
        """Wait until a namespace that is being deleted is gone; ApiUnreachable after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                namespace = await self.get(NAMESPACE, name)
            except ApiError as error:
                if error.status == _NOT_FOUND:
                    return
                raise
            await asyncio.sleep(4 * _POLL_S)
        conditions = json.dumps((namespace.get("status") or {}).get("conditions") or [])
        raise ApiUnreachable(f"namespace {name} is still there {timeout_s:g} s after its deletion: {conditions[:500]}")
