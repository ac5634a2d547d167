"""The manifests of a scenario's `setup`: read when the scenario is, so that its own kinds are known before anything starts.

They are applied, later, from the same files; what is read here is which kinds their CRDs define, and that they are manifests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from harness.core.errors import MALFORMED, ScenarioError
from harness.core.kinds import KINDS, Kind
from loadgen.depth import DEEPEST, too_deep

SUFFIXES = (".yaml", ".yml", ".json")
MAX_MANIFEST_BYTES = 16 * 2**20
_CRD = "CustomResourceDefinition"


class Unusable(Exception):
    """A path of `setup.apply` names nothing that can be applied. The text is the cause."""


@dataclass(slots=True)
class Manifests:
    """What the files of a setup hold."""

    kinds: list[Kind] = field(default_factory=list)
    """Kinds of its CRDs beyond those of the harness."""
    digests: dict[str, str] = field(default_factory=dict)
    """sha256 of each file, by its path relative to the scenario's directory."""


def read(base: Path, entry: str, shown_base: str, into: Manifests) -> None:
    """Add the files of one entry of `setup.apply`. Raises Unusable, or ScenarioError placed in the manifest.

    `shown_base` is what errors call the directory `base`.
    """
    for file in _files(base / entry):
        display = str(Path(entry) / file.name) if file != base / entry else entry
        content = _content(file)
        into.digests[display] = hashlib.sha256(content).hexdigest()
        place = str(Path(shown_base) / display)
        for document, line in _documents(content, place):
            if document.get("kind") == _CRD:
                kind = _kind(document, f"{place}:{line}")
                if all(kind.full_name != known.full_name for known in (*KINDS, *into.kinds)):
                    into.kinds.append(kind)


def _files(path: Path) -> list[Path]:
    try:
        if not path.is_dir():
            if not path.is_file():
                raise Unusable("there is no such file or directory")
            return [path]
        files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file())
    except OSError as error:
        raise Unusable(f"cannot be read: {(error.strerror or str(error)).lower()}") from None
    if not files:
        raise Unusable(f"the directory holds no manifest ({', '.join(SUFFIXES)})")
    return files


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        raise Unusable(f"{file.name} cannot be read: {(error.strerror or str(error)).lower()}") from None
    if len(content) > MAX_MANIFEST_BYTES:
        raise Unusable(f"{file.name} is larger than {MAX_MANIFEST_BYTES >> 20} MiB")
    return content


def _documents(content: bytes, place: str) -> Iterator[tuple[dict[str, Any], int]]:
    """Every manifest with its line; the items of a List have that of the List."""
    try:
        if too_deep(content):
            raise ScenarioError(f"nested more than {DEEPEST} deep", place=place)
        nodes = list(yaml.compose_all(content, Loader=yaml.CSafeLoader))
        documents = list(yaml.load_all(content, Loader=yaml.CSafeLoader))
    except (yaml.YAMLError, *MALFORMED) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{place}:{mark.line + 1}:{mark.column + 1}" if mark else place
        raise ScenarioError(f"this is not YAML: {getattr(error, 'problem', None) or error}", place=where) from None
    for node, document in zip(nodes, documents, strict=True):
        if document is None:
            continue
        line = node.start_mark.line + 1
        is_list = isinstance(document, dict) and document.get("kind") == "List"
        items = (document.get("items") or []) if is_list else [document]
        if not isinstance(items, list):
            raise ScenarioError("the items of a List are a list", place=f"{place}:{line}")
        for item in items:
            yield _manifest(item, f"{place}:{line}"), line


def _manifest(item: object, place: str) -> dict[str, Any]:
    metadata = item.get("metadata") if isinstance(item, dict) else None
    if not isinstance(item, dict) or not isinstance(metadata, dict):
        raise ScenarioError("a manifest needs apiVersion, kind and metadata", place=place)
    named = {"apiVersion": item.get("apiVersion"), "kind": item.get("kind"), "metadata.name": metadata.get("name")}
    for key, value in named.items():
        if not isinstance(value, str) or not value:
            raise ScenarioError(f"a manifest lacks {key}", place=place)
    return item


def _kind(crd: dict[str, Any], place: str) -> Kind:
    """The kind that a CRD defines, in its storage version; or the first that is served, where that one is not."""
    try:
        spec = crd["spec"]
        served = [version for version in spec["versions"] if version.get("served")]
        stored = [version for version in served if version.get("storage")]
        version = (stored or served)[0]
        names = spec["names"]
        status = "status" in (version.get("subresources") or {})
        kind = Kind(
            spec["group"], version["name"], names["kind"], names["plural"], spec["scope"] == "Namespaced", status
        )
    except IndexError:
        raise ScenarioError(f"the CRD {crd['metadata']['name']} serves no version", place=place) from None
    except (KeyError, TypeError, AttributeError) as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else "is malformed"
        raise ScenarioError(f"the CRD {crd['metadata']['name']} {what}", place=place) from None
    for value in (kind.group, kind.version, kind.kind, kind.plural):
        if not isinstance(value, str):
            raise ScenarioError(f"the CRD {crd['metadata']['name']} has {value!r} where a name belongs", place=place)
    return kind
