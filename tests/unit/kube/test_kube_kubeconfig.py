"""Kubeconfigs are private, and read back as what a plain HTTPS client needs."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.kube.kubeconfig import ClientFiles, client_files, write_kubeconfig, write_private


def test_round_trip_and_mode(tmp_path: Path) -> None:
    files = ClientFiles("https://127.0.0.1:6443", tmp_path / "ca.crt", tmp_path / "u.crt", tmp_path / "u.key")
    path = tmp_path / "config"
    write_kubeconfig(path, files, "harness:user", "embedded")
    assert client_files(path) == files
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_write_private_replaces_an_open_file_by_a_private_one_and_leaves_no_parts(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[", "cannot be read"),
        ("clusters: []\n", "has no 'contexts'"),
        (
            """
            contexts: [{name: x, context: {cluster: c, user: u}}]
            current-context: x
            clusters: [{name: c, cluster: {server: 'https://h', certificate-authority-data: Zm9v}}]
            users: [{name: u, user: {token: abc}}]
            """,
            "has no 'certificate-authority'; name CA, certificate and key by file",
        ),
    ],
)
def test_what_the_load_generator_cannot_use_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(UsageError, match=words) as refusal:
        client_files(path)
    assert str(refusal.value).startswith(str(path))
    assert "\n" not in str(refusal.value)
