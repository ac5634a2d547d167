"""The configuration of a kind cluster: a file's topology, and what the harness needs in every cluster of its own.

That is: the API on loopback, an audit log that this machine can read, and etcd as the embedded cluster has it (no fsync,
8 GiB), so that the two can be compared and a laptop's disk is not what is measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from harness.cluster.choice import ETCD_QUOTA
from harness.core.errors import UsageError
from harness.core.paths import data_dir
from harness.kube.document import read_mapping

DEFAULT = "one-node"
POLICY_FILE, LOG_FILE = "audit-policy.json", "audit.log"
PODS_DIR = "pods"
"""In the shared directory: what subjects in pods share with the harness; no pod sees more of it than its own run's."""
PODS_IN_NODE = "/harness-pods"
_IN_NODE = "/harness"
"""Where the shared directory is in the control plane's node, and in the API server's pod."""
_CONTROL_PLANE = "control-plane"


def shipped() -> list[str]:
    """Names of the files of manifests/kind."""
    return sorted(file.stem for file in (data_dir("manifests") / "kind").glob("*.yaml"))


def load(name: str | None) -> dict[str, Any]:
    """The kind `Cluster` of a shipped name, or of a file of the user's; UsageError with the place where it is neither."""
    name = name or DEFAULT
    file = data_dir("manifests") / "kind" / f"{name}.yaml" if name in shipped() else Path(name)
    try:
        document = read_mapping(file, "kind configuration")
    except UsageError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        known = ", ".join(shipped())
        raise UsageError(f"there is no kind configuration {name!r}", remedy=f"use {known}, or a file's path") from error
    if document.get("kind") != "Cluster":
        raise UsageError("this is not a kind configuration (kind: Cluster)", place=str(file))
    nodes = document.setdefault("nodes", [{"role": _CONTROL_PLANE}])
    if not isinstance(nodes, list) or not all(isinstance(node, dict) for node in nodes):
        raise UsageError("nodes must be a list of nodes", place=str(file))
    for holder, key, sort in (
        (document, "networking", dict), (document, "kubeadmConfigPatches", list),
        *((node, "extraMounts", list) for node in nodes),
    ):  # fmt: skip
        if not isinstance(holder.get(key) or sort(), sort):
            raise UsageError(f"{key} must be a {'mapping' if sort is dict else 'list'}", place=str(file))
    planes = sum(node.get("role", _CONTROL_PLANE) == _CONTROL_PLANE for node in nodes)
    if planes != 1:
        raise UsageError(f"it has {planes} control planes", place=str(file), remedy="the audit log needs exactly one")
    return document


def complete(
    document: Mapping[str, Any],
    shared: Path,
    *,
    inflight: tuple[int, int] | None = None,
    etcd_quota: int = ETCD_QUOTA,
) -> str:
    """The configuration as YAML for `kind create cluster`; `shared` is the directory of policy and log on this machine.

    `inflight`: most requests at a time (mutating, reading), 0 for none, without priority and fairness; None leaves all as it is.
    `etcd_quota`: the most bytes that etcd may hold.
    """
    networking = {"apiServerAddress": "127.0.0.1", **(document.get("networking") or {})}
    nodes = [dict(node) for node in document["nodes"]]
    for node in nodes:
        mounts = [{"hostPath": str(shared / PODS_DIR), "containerPath": PODS_IN_NODE}]
        if node.get("role", _CONTROL_PLANE) == _CONTROL_PLANE:
            mounts.append({"hostPath": str(shared), "containerPath": _IN_NODE})
        node["extraMounts"] = [*(node.get("extraMounts") or []), *mounts]
    # kind takes each patch for documents of its own apiVersion: which one kubeadm gets depends on kind and Kubernetes.
    patches = [yaml.safe_dump(_kubeadm(version, inflight, etcd_quota)) for version in ("v1beta3", "v1beta4")]
    patches += document.get("kubeadmConfigPatches") or []
    return yaml.safe_dump({**document, "networking": networking, "nodes": nodes, "kubeadmConfigPatches": patches})


def _kubeadm(version: str, inflight: tuple[int, int] | None, etcd_quota: int) -> dict[str, Any]:
    server = {
        "audit-policy-file": f"{_IN_NODE}/{POLICY_FILE}",
        "audit-log-path": f"{_IN_NODE}/{LOG_FILE}",
        "audit-log-mode": "blocking",  # the default batches, which come up to 30 s late and are dropped under load
        "audit-log-maxsize": "0",
    }
    if inflight is not None:
        server |= {
            "enable-priority-and-fairness": "false",
            "max-mutating-requests-inflight": str(inflight[0]),
            "max-requests-inflight": str(inflight[1]),
        }
    etcd = {"unsafe-no-fsync": "true", "quota-backend-bytes": str(etcd_quota)}
    volume = {"name": "harness", "hostPath": _IN_NODE, "mountPath": _IN_NODE, "pathType": "Directory"}
    return {
        "apiVersion": f"kubeadm.k8s.io/{version}",
        "kind": "ClusterConfiguration",
        "apiServer": {"extraArgs": _arguments(server, version), "extraVolumes": [volume]},
        "etcd": {"local": {"extraArgs": _arguments(etcd, version)}},
    }


def _arguments(flags: Mapping[str, str], version: str) -> Mapping[str, str] | Sequence[Mapping[str, str]]:
    """A map up to v1beta3, a list from v1beta4 on."""
    return flags if version == "v1beta3" else [{"name": name, "value": value} for name, value in flags.items()]
