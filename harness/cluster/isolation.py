"""A copy of one context of a kubeconfig, alone in a file of ours.

Whoever is given it (hooks, collectors, kubectl by hand) can reach this cluster and no other, whatever the user makes the
current context meanwhile.
"""

from __future__ import annotations

import base64
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.core.errors import UsageError
from harness.kube.kubeconfig import lacks, read_kubeconfig, write_private

KUBECONFIG = "context.kubeconfig"
_PATHS = ("client-certificate", "client-key", "tokenFile")
_CANNOT = {
    "insecure-skip-tls-verify": "it does not verify the server's certificate",
    "proxy-url": "it goes through a proxy",
    "tls-server-name": "it names the server's certificate otherwise than by its address",
}
"""What the load generator, plain HTTPS, cannot follow."""


@dataclass(frozen=True, slots=True)
class Isolated:
    """`kubeconfig` (mode 0600) has one context; `ca_file` is the authority of its server."""

    kubeconfig: Path
    ca_file: Path
    server: str


def isolate(source: Path, context: str | None, directory: Path) -> Isolated:
    """Copy a context (None: the current one) into `directory`; UsageError for a file that cannot be used."""
    document = read_kubeconfig(source)
    try:
        named = context or document["current-context"]
        chosen = _entry(document, "contexts", named)["context"]
        cluster = dict(_entry(document, "clusters", chosen["cluster"])["cluster"])
        user = dict(_entry(document, "users", chosen["user"]).get("user") or {})
        server = str(cluster["server"]).rstrip("/")
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UsageError(
            f"this kubeconfig {lacks(error)}", place=str(source), remedy="check it with kubectl"
        ) from error
    for key, what in _CANNOT.items():
        if cluster.get(key):
            raise UsageError(f"{key}: {what}", place=str(source), remedy="use a context without it")
    if not server.startswith("https://"):
        raise UsageError(f"its server {server!r} is not https", place=str(source))
    base = source.resolve().parent
    ca_file = directory / "cluster-ca.crt"
    write_private(ca_file, _authority(cluster, base, source))
    for key in _PATHS:
        if user.get(key):
            user[key] = str(base / user[key])
    plugin = user.get("exec")
    if isinstance(plugin, dict) and "/" in str(plugin.get("command", "")):  # as client-go: relative to its file
        user["exec"] = {**plugin, "command": str(base / plugin["command"])}
    copy = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": chosen["cluster"], "cluster": {"server": server, "certificate-authority": str(ca_file)}}],
        "users": [{"name": chosen["user"], "user": user}],
        "contexts": [{"name": named, "context": chosen}],
        "current-context": named,
    }
    kubeconfig = directory / KUBECONFIG
    write_private(kubeconfig, yaml.safe_dump(copy, sort_keys=False).encode())
    return Isolated(kubeconfig, ca_file, server)


def _entry(document: dict[str, Any], plural: str, name: str) -> dict[str, Any]:
    for entry in document.get(plural) or []:
        if entry.get("name") == name:
            return dict(entry)
    raise KeyError(f"{plural[:-1]} {name}")


def _authority(cluster: dict[str, Any], base: Path, source: Path) -> bytes:
    """The authority's certificates, PEM: inline, from a file, or else those that this machine trusts."""
    try:
        if data := cluster.get("certificate-authority-data"):
            return base64.b64decode(data, validate=True)
        if name := cluster.get("certificate-authority"):
            return Path(base / name).read_bytes()
        trusted = ssl.get_default_verify_paths().openssl_cafile  # not what SSL_CERT_FILE says
        return Path(trusted).read_bytes()
    except (OSError, ValueError) as error:  # not base64, or a path that is none
        raise UsageError(f"its certificate authority cannot be read: {error}", place=str(source)) from error
