"""Manifests from files, applied in an order that works: namespaces and CRDs first, the rest when these are served."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from harness.core.errors import MALFORMED, RunFault, UsageError
from harness.core.kinds import Kind
from harness.kube.api import Api
from harness.kube.discovery import CRD
from harness.kube.errors import ApiError
from loadgen.depth import DEEPEST, too_deep

_SUFFIXES = (".yaml", ".yml", ".json")
_KUSTOMIZE = "kustomization.yaml"
"""What kustomize makes of a folder; no manifest itself."""
_NOT_FOUND = 404
_POLL_S = 0.05
_SERVED_S = 60.0


def load_manifests(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """All documents of these files and directories (not recursive), in the order of names; a `List` is unpacked.

    Raises UsageError with file and line for what is not a manifest.
    """
    documents: list[dict[str, Any]] = []
    for path in paths:
        for file in _files(path):
            try:
                text = file.read_text(encoding="utf-8")
                if too_deep(text):
                    raise UsageError(f"nested more than {DEEPEST} deep", place=str(file))
                loaded = list(yaml.load_all(text, Loader=yaml.CSafeLoader))  # a safe loader
            except (OSError, UnicodeDecodeError) as error:
                raise UsageError(f"cannot be read: {error}", place=str(file)) from error
            except (yaml.YAMLError, *MALFORMED) as error:
                mark = getattr(error, "problem_mark", None)
                place = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else str(file)
                raise UsageError(
                    f"this is not YAML: {getattr(error, 'problem', None) or error}", place=place
                ) from error
            for document in loaded:
                if document is not None:
                    documents.extend(_manifests(document, file))
    return documents


async def apply_files(api: Api, paths: Sequence[Path], namespace: str | None = None) -> list[dict[str, Any]]:
    """Apply all manifests by server-side apply and return them as stored, CRDs and namespaces first.

    CRDs are waited for until the server really serves their resources, a minute at most.
    """
    documents = load_manifests(paths)
    crds = [document for document in documents if document["kind"] == CRD.kind]
    namespaces = [document for document in documents if document["kind"] == "Namespace"]
    first = crds + namespaces
    stored = list(await asyncio.gather(*(_apply(api, document) for document in first)))
    await _wait_all_served(api, crds)
    rest = [document for document in documents if document["kind"] not in (CRD.kind, "Namespace")]
    stored.extend([await _apply(api, document, namespace) for document in rest])
    return stored


async def add_missing(
    api: Api, paths: Sequence[Path], labels: Mapping[str, str], namespace: str | None = None
) -> list[str]:
    """Create what is not there yet, with `labels` on it; returns the names of what was there, which is left as it is.

    CRDs are waited for, whoever made them.
    """
    documents = load_manifests(paths)
    crds = [document for document in documents if document["kind"] == CRD.kind]
    rest = [document for document in documents if document["kind"] != CRD.kind]
    there = [name for crd in crds if (name := await _add(api, crd, labels)) is not None]
    await _wait_all_served(api, crds)
    rest.sort(key=lambda document: document["kind"] != "Namespace")
    there += [name for document in rest if (name := await _add(api, document, labels, namespace)) is not None]
    return there


async def _add(
    api: Api, document: dict[str, Any], labels: Mapping[str, str], namespace: str | None = None
) -> str | None:
    """Create one; its name where it was there already."""
    name = f"{document['kind']} {document['metadata']['name']}"
    metadata = {**document["metadata"], "labels": {**(document["metadata"].get("labels") or {}), **labels}}
    try:
        kind = await api.discovery.kind(str(document["apiVersion"]), str(document["kind"]))
        place = (metadata.get("namespace") or namespace) if kind.namespaced else None
        await api.create(kind, {**document, "metadata": metadata}, place)
    except ApiError as error:
        if error.reason == "AlreadyExists":
            return name
        raise ApiError(error.status, error.reason, error.message, place=name) from error
    return None


async def _apply(api: Api, document: dict[str, Any], namespace: str | None = None) -> dict[str, Any]:
    """Apply one; what is refused is named as its file names it, not by the path of a request."""
    try:
        return await api.apply(document, namespace)
    except ApiError as error:
        place = f"{document['kind']} {document['metadata']['name']}"
        raise ApiError(error.status, error.reason, error.message, place=place) from error


async def _wait_all_served(api: Api, crds: Sequence[dict[str, Any]]) -> None:
    deadline = time.monotonic() + _SERVED_S
    await asyncio.gather(*(_wait_served(api, crd, deadline) for crd in crds))


async def _wait_served(api: Api, crd: dict[str, Any], deadline: float) -> None:
    """Established, and every served version answers a list: the two are some milliseconds apart."""
    name, spec = crd["metadata"]["name"], crd["spec"]
    conditions: list[dict[str, Any]] = []
    while time.monotonic() < deadline:
        conditions = ((await api.get(CRD, name)).get("status") or {}).get("conditions") or []
        status = {condition["type"]: condition["status"] for condition in conditions}
        if status.get("Established") == "True" and await _answers(api, spec):
            return
        if status.get("NamesAccepted") == "False":
            break
        await asyncio.sleep(_POLL_S)
    words = "; ".join(f"{c['type']}={c['status']} {c.get('message', '')}" for c in conditions) or "no conditions yet"
    raise RunFault(f"the CRD is not established: {words}", place=name)


async def _answers(api: Api, spec: dict[str, Any]) -> bool:
    names = spec["names"]
    for version in (entry["name"] for entry in spec["versions"] if entry.get("served")):
        kind = Kind(spec["group"], version, names["kind"], names["plural"], spec["scope"] == "Namespaced")
        try:
            await api.transport.request("GET", kind.path(), query={"limit": 1})
        except ApiError as error:
            if error.status == _NOT_FOUND:
                return False
            raise
    return True


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = (file for file in path.iterdir() if file.suffix in _SUFFIXES and file.name != _KUSTOMIZE)
    return sorted(file for file in files if file.is_file())


def _manifests(document: object, file: Path) -> list[dict[str, Any]]:
    if isinstance(document, dict) and document.get("kind") == "List":
        items = document.get("items") or []
        if not isinstance(items, list):
            raise UsageError("the items of a List are a list", place=str(file))
        return [manifest for item in items for manifest in _manifests(item, file)]
    complete = (
        isinstance(document, dict)
        and isinstance(document.get("apiVersion"), str)
        and isinstance(document.get("kind"), str)
        and isinstance(document.get("metadata"), dict)
        and isinstance(document["metadata"].get("name"), str)
    )
    if not complete:
        raise UsageError("a document lacks apiVersion, kind or metadata.name", place=str(file))
    assert isinstance(document, dict)
    return [document]
