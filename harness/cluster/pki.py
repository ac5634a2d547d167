"""The certificate authority of one embedded cluster. It lives in memory; only what servers and clients need is written."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import trustme

from harness.kube.kubeconfig import ClientFiles, write_kubeconfig, write_private

ADMIN = "harness:admin"
MASTERS = "system:masters"
"""The group that RBAC allows everything."""
IDENTITIES = "harness:identities"
"""The group of every other identity; nothing is bound to it."""

_CLIENT_SAN = (
    "client.invalid"  # trustme marks names as critical, and Go refuses a certificate with an empty list of them
)


class Authority:
    """Issues the certificates of one cluster into a private directory (mode 0700, keys 0600)."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ca = trustme.CA(organization_name="harness embedded cluster")
        self.ca_file = directory / "ca.crt"
        self.service_account_key = directory / "service-account.key"
        directory.mkdir(mode=0o700, parents=True)
        write_private(self.ca_file, self._ca.cert_pem.bytes())
        # Only the key of this certificate is used: it signs and checks service account tokens.
        tokens = self._ca.issue_cert("service-accounts.invalid", organization_name=IDENTITIES)
        write_private(self.service_account_key, tokens.private_key_pem.bytes())

    def server(self, *names: str) -> tuple[Path, Path]:
        """Certificate and key of a server that is reached by these names and addresses."""
        return self._write("server", self._ca.issue_cert(*names, organization_name=IDENTITIES))

    def client(self, user: str, group: str = IDENTITIES) -> tuple[Path, Path]:
        """Certificate and key by which the holder is `user`, of `group`, to the API server."""
        certificate = self._ca.issue_cert(_CLIENT_SAN, common_name=user, organization_name=group)
        return self._write(file_name(user), certificate)

    def kubeconfig(self, server: str, cluster_name: str, user: str, group: str = IDENTITIES) -> Path:
        """A kubeconfig of mode 0600 by which the holder is `user`, of `group`."""
        cert_file, key_file = self.client(user, group)
        path = self._directory / f"{file_name(user)}.kubeconfig"
        write_kubeconfig(path, ClientFiles(server, self.ca_file, cert_file, key_file), user, cluster_name)
        return path

    def _write(self, name: str, certificate: trustme.LeafCert) -> tuple[Path, Path]:
        cert_file, key_file = self._directory / f"{name}.crt", self._directory / f"{name}.key"
        write_private(cert_file, b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
        write_private(key_file, certificate.private_key_pem.bytes())
        return cert_file, key_file


def file_name(user: str) -> str:
    """A file name for a user name: readable, and different for different users."""
    readable = re.sub(r"[^a-zA-Z0-9]+", "-", user).strip("-")[:64]
    return f"{readable}-{hashlib.sha256(user.encode()).hexdigest()[:8]}"
