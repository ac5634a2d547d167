"""Manifests are read in order, and what is not one is named with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.kube.manifests import load_manifests


def manifest(name: str) -> str:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n"


def test_directories_files_documents_and_lists(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(manifest("b1") + "---\n" + manifest("b2") + "---\n")
    (tmp_path / "a.json").write_text(
        '{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}}]}'
    )
    (tmp_path / "notes.txt").write_text("not a manifest")
    extra = tmp_path / "extra"
    extra.write_text(manifest("c"))
    loaded = load_manifests([tmp_path, extra])
    assert [document["metadata"]["name"] for document in loaded] == ["a", "b1", "b2", "c"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: ConfigMap\nmetadata: {name: x}\n", "x.yaml: a document lacks apiVersion"),
        ("- 1\n", "x.yaml: a document lacks"),
        ("a: b\n  c: [\n", r"x.yaml:2:4: this is not YAML"),
    ],
)
def test_what_is_not_a_manifest_is_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(UsageError, match=words):
        load_manifests([tmp_path])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.yaml: cannot be read"):
        load_manifests([tmp_path / "none.yaml"])
