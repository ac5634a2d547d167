"""The cluster of the pod that the harness runs in, by what the kubelet puts there: address, authority, token.

It is used only where `--cluster in-cluster` names it: a pod's token alone is no leave to load a cluster. The kubeconfig that is
made of it names the token's file, so that a renewed token is read from there.
"""

from __future__ import annotations

import os
from pathlib import Path

from harness.cluster import guard
from harness.cluster.choice import IN_CLUSTER
from harness.cluster.isolation import KUBECONFIG, Isolated
from harness.core.errors import EnvironmentFault, UsageError
from harness.kube.kubeconfig import ClientFiles, write_kubeconfig

MOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
HOST, PORT = "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT_HTTPS"
_REMEDY = "run it in a pod with a ServiceAccount (docs/in-cluster.md), or use --cluster kubeconfig --context NAME"


def check(*, allowed: bool) -> None:
    """Raises EnvironmentFault where this is no pod with a token, UsageError where its namespace looks like production and
    that is not `allowed`."""
    _server()
    for name in ("token", "ca.crt"):
        path = MOUNT / name
        try:
            with path.open("rb") as file:
                file.read(1)
        except OSError as error:
            raise EnvironmentFault(
                f"there is no ServiceAccount to be in a cluster with: {error.strerror}", place=str(path), remedy=_REMEDY
            ) from error
    namespace = _namespace()
    if namespace is not None and guard.looks_like_production(namespace) and not allowed:
        raise UsageError(
            f"this cluster looks like production: the namespace of this pod is {namespace!r}",
            remedy=f"use a namespace of the harness's own, or add {guard.OVERRIDE}",
        )


def isolate(directory: Path) -> Isolated:
    """A kubeconfig (mode 0600) in `directory` with this cluster and nothing else."""
    server, ca_file = _server(), MOUNT / "ca.crt"
    kubeconfig = directory / KUBECONFIG
    write_kubeconfig(kubeconfig, ClientFiles(server, ca_file, None, None, MOUNT / "token"), IN_CLUSTER, IN_CLUSTER)
    return Isolated(kubeconfig, ca_file, server)


def _server() -> str:
    host, port = os.environ.get(HOST), os.environ.get(PORT, "443")
    if not host:
        raise EnvironmentFault(f"this is no pod: {HOST} is not set", remedy=_REMEDY)
    return f"https://{f'[{host}]' if ':' in host else host}:{port}"


def _namespace() -> str | None:
    try:
        return (MOUNT / "namespace").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
