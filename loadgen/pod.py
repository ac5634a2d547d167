"""By what a load worker in a pod is itself to the API server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

MOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def in_pod(environment: Mapping[str, str], mount: Path = MOUNT) -> dict[str, str] | None:
    """Server, CA and token of the pod that we are in; None outside a cluster."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT_HTTPS", "443")
    if not host or not (mount / "token").is_file():
        return None
    server = f"https://{f'[{host}]' if ':' in host else host}:{port}"
    return {"server": server, "ca_file": str(mount / "ca.crt"), "token_file": str(mount / "token")}
