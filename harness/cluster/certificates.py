"""Identities by client certificate, signed by a cluster's own authority: the certificates API.

For clusters of which we are administrator and whose controllers sign: kind. The key never leaves this machine.
"""

from __future__ import annotations

import asyncio
import base64
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from harness.cluster.pki import IDENTITIES, file_name
from harness.core.errors import RunFault
from harness.core.ids import RUN_LABEL
from harness.core.kinds import Kind
from harness.kube.api import Api
from harness.kube.kubeconfig import ClientFiles, write_kubeconfig, write_private

REQUEST = Kind("certificates.k8s.io", "v1", "CertificateSigningRequest", "certificatesigningrequests", namespaced=False)

_SIGNER = "kubernetes.io/kube-apiserver-client"
_VALID_S = 24 * 3600
"""Longer than any run; a run that is not deleted with its cluster leaves no certificate that lasts."""
_SIGNED_LIMIT_S = 30.0
_POLL_S = 0.1


async def issue(api: Api, user: str, *, run_id: str, directory: Path, ca_file: Path, cluster: str) -> Path:
    """A kubeconfig (mode 0600) in `directory` by which the holder is `user`, of no group that has rights."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = await _sign(api, user, key, run_id)
    stem = file_name(user)
    cert_file, key_file = directory / f"{stem}.crt", directory / f"{stem}.key"
    write_private(cert_file, certificate)
    pem, pkcs8, plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    write_private(key_file, key.private_bytes(pem, pkcs8, plain))
    path = directory / f"{stem}.kubeconfig"
    write_kubeconfig(path, ClientFiles(api.server, ca_file, cert_file, key_file), user, cluster)
    return path


async def _sign(api: Api, user: str, key: ec.EllipticCurvePrivateKey, run_id: str) -> bytes:
    """The certificate, PEM. The request is labelled with the run, and taken away at once."""
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, IDENTITIES), x509.NameAttribute(NameOID.COMMON_NAME, user)]
    )
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    body = {
        "apiVersion": REQUEST.api_version,
        "kind": REQUEST.kind,
        "metadata": {"generateName": "harness-", "labels": {RUN_LABEL: run_id}},
        "spec": {
            "request": base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode(),
            "signerName": _SIGNER,
            "expirationSeconds": _VALID_S,
            "usages": ["client auth"],
        },
    }
    made = await api.create(REQUEST, body)
    name = made["metadata"]["name"]
    try:
        condition = {"type": "Approved", "status": "True", "reason": "Harness", "message": "an identity of a run"}
        made["status"] = {"conditions": [condition]}
        await api.transport.request_json("PUT", REQUEST.path(None, name, "approval"), body=made)
        deadline = time.monotonic() + _SIGNED_LIMIT_S
        while time.monotonic() < deadline:
            status = (await api.get(REQUEST, name)).get("status") or {}
            if status.get("certificate"):
                return base64.b64decode(status["certificate"])
            await asyncio.sleep(_POLL_S)
        words = "; ".join(str(one.get("message")) for one in status.get("conditions") or [])
        raise RunFault(f"the certificate of {user} was not signed within {_SIGNED_LIMIT_S:g} s: {words}", place=name)
    finally:
        await api.delete(REQUEST, name)
