"""Identities are what their certificates say, and keys are private."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from harness.cluster.pki import ADMIN, IDENTITIES, MASTERS, Authority, file_name
from harness.kube.kubeconfig import client_files


def subject(cert_file: Path) -> tuple[str, str]:
    """User and group, as the API server reads them."""
    name = x509.load_pem_x509_certificate(cert_file.read_bytes()).subject
    user, group = (name.get_attributes_for_oid(oid) for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME))
    return str(user[0].value), str(group[0].value)


def test_user_and_group_are_in_the_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "pki")
    assert subject(authority.client(ADMIN, MASTERS)[0]) == (ADMIN, MASTERS)
    user = "harness:subject:20261122-093015-k4x7q"
    assert subject(authority.client(user)[0]) == (user, IDENTITIES)


def test_everything_confidential_is_for_the_owner_only(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "pki")
    authority.server("127.0.0.1")
    kubeconfig = authority.kubeconfig("https://127.0.0.1:1", "x", "user")
    assert stat.S_IMODE((tmp_path / "pki").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "pki").iterdir()} == {0o600}
    files = client_files(kubeconfig)
    assert files.ca_file == authority.ca_file
    context = ssl.create_default_context(cafile=str(files.ca_file))
    assert files.cert_file is not None
    context.load_cert_chain(files.cert_file, files.key_file)


def test_file_names_differ_where_users_do() -> None:
    names = [file_name(user) for user in ("a:b", "a-b", "a/b", "../../etc/passwd", "a:b" * 60)]
    assert len(set(names)) == len(names)
    assert all("/" not in name and not name.startswith(".") and len(name) < 100 for name in names)
