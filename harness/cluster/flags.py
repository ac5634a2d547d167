"""The command lines of the three servers of an embedded cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.cluster.choice import ETCD_QUOTA

LOOPBACK = "127.0.0.1"
ISSUER = "https://kubernetes.default.svc"
SERVICE_RANGE = "10.0.0.0/24"
SERVER_NAMES = (LOOPBACK, "localhost", "kubernetes.default.svc", "10.0.0.1")

CONTROLLERS = (
    "namespace-controller",  # a deleted namespace would stay Terminating
    "garbage-collector-controller",  # dependents would outlive their owners
    "serviceaccount-controller",
    "clusterrole-aggregation-controller",
)


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths of one embedded cluster inside its private directory."""

    root: Path

    @property
    def etcd_data(self) -> Path:
        """etcd's data directory."""
        return self.root / "etcd"

    @property
    def etcd_socket(self) -> Path:
        """A Unix socket in a private directory: no port, and no other user of the machine can read what is stored."""
        return self.root / "etcd.sock"

    @property
    def pki(self) -> Path:
        """Keys, certificates, kubeconfigs."""
        return self.root / "pki"

    @property
    def audit_policy(self) -> Path:
        """The audit policy, JSON."""
        return self.root / "audit-policy.json"

    @property
    def audit_log(self) -> Path:
        """The audit log, JSON lines; never rotated."""
        return self.root / "audit.log"


def etcd(binary: Path, layout: Layout, quota: int = ETCD_QUOTA) -> list[str]:
    """etcd without fsync: the data is thrown away, and a laptop's disk would otherwise be what is measured.

    The peer socket lands in the working directory; nobody connects to it, nor to the advertised URL.
    """
    return [
        str(binary),
        "etcd",
        "--name=embedded",
        f"--data-dir={layout.etcd_data}",
        f"--listen-client-urls=unix://{layout.etcd_socket}",
        "--advertise-client-urls=http://localhost:1",
        "--listen-peer-urls=unix://peer:1",
        "--initial-advertise-peer-urls=unix://peer:1",
        "--initial-cluster=embedded=unix://peer:1",
        "--unsafe-no-fsync",
        f"--quota-backend-bytes={quota}",
        "--enable-grpc-gateway=false",
        "--log-level=warn",
    ]


def apiserver(
    binary: Path,
    layout: Layout,
    *,
    port: int,
    ca_file: Path,
    server: tuple[Path, Path],
    service_account_key: Path,
    lift_inflight: bool,
    inflight: tuple[int, int] | None = None,
) -> list[str]:
    """kube-apiserver on loopback: TLS and client certificates only, RBAC, audit log written before each answer.

    `inflight`: most requests at a time (mutating, reading), without priority and fairness, which would queue instead of refuse.

    `blocking` audit: the default batches, which come up to 30 s late and are dropped under load.
    """
    command = [
        str(binary),
        "kube-apiserver",
        f"--etcd-servers=unix://{layout.etcd_socket}",
        f"--bind-address={LOOPBACK}",
        f"--advertise-address={LOOPBACK}",
        f"--secure-port={port}",
        f"--tls-cert-file={server[0]}",
        f"--tls-private-key-file={server[1]}",
        f"--client-ca-file={ca_file}",
        "--anonymous-auth=false",
        "--authorization-mode=RBAC",
        f"--service-account-issuer={ISSUER}",
        f"--service-account-key-file={service_account_key}",
        f"--service-account-signing-key-file={service_account_key}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--endpoint-reconciler-type=none",
        f"--audit-policy-file={layout.audit_policy}",
        f"--audit-log-path={layout.audit_log}",
        "--audit-log-mode=blocking",
        "--audit-log-maxsize=0",
        "--profiling=false",
        "--allow-privileged=true",  # as everywhere else: what is no manifest here would be none there
        "--v=1",
    ]
    if lift_inflight:
        inflight = (0, 0)  # of either, none
    if inflight is not None:
        command += [
            "--enable-priority-and-fairness=false",
            f"--max-mutating-requests-inflight={inflight[0]}",
            f"--max-requests-inflight={inflight[1]}",
        ]
    return command


QUOTA_CONTROLLER = "resourcequota-controller"
"""Without it every request that a ResourceQuota concerns is refused. It watches all kinds, so it runs only where one is used."""


WORKLOAD_CONTROLLERS = (
    "deployment-controller",
    "replicaset-controller",
    "statefulset-controller",
    "job-controller",
)
"""Those that make Pods. Without nodes these stay Pending, so they run only where a webhook of the subject must admit Pods."""


def controller_manager(binary: Path, kubeconfig: Path, more: Sequence[str] = ()) -> list[str]:
    """kube-controller-manager with the controllers that a cluster without nodes needs, and no port of its own."""
    return [
        str(binary),
        "kube-controller-manager",
        f"--kubeconfig={kubeconfig}",
        f"--controllers={','.join((*CONTROLLERS, *more))}",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=1000",
        "--kube-api-burst=2000",
        "--concurrent-namespace-syncs=10",
        "--profiling=false",
        "--v=1",
    ]
