"""Which cluster a run is to have, as the command line says it; plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

EMBEDDED, KIND, KUBECONFIG, IN_CLUSTER = "embedded", "kind", "kubeconfig", "in-cluster"
GUESTS = (KUBECONFIG, IN_CLUSTER)
"""Providers of clusters that are somebody else's."""
ETCD_QUOTA = 8 * 2**30
"""Bytes, of an etcd of ours: its own default, 2 GiB, fills up in long runs."""


@dataclass(frozen=True, slots=True)
class ClusterChoice:
    """A provider and what may be chosen about it. What belongs to another provider than the chosen one must be left out.

    Of `kind`: `kind_name` names a cluster to reuse where it is there already (it is then never deleted), or to make;
    `kind_image` is the node image (None: KIND_NODE_IMAGE, else the one pinned in the kind binary); `kind_config` is a
    file of `manifests/kind` without its suffix, or a file of the user's. Of `kubeconfig`: `context` must be named,
    `kubeconfig` is the file (None: KUBECONFIG, else the usual place), `certain` allows what looks like production. `in-cluster`
    is the cluster of the pod that the harness runs in; nothing else is chosen about it.
    """

    provider: str = EMBEDDED
    kind_name: str | None = None
    kind_image: str | None = None
    kind_config: str | None = None
    context: str | None = None
    kubeconfig: Path | None = None
    certain: bool = False


@dataclass(frozen=True, slots=True)
class ClusterNeeds:
    """What a scenario asks of its cluster, whichever it is.

    `lift_inflight`: no limits on requests in flight; `inflight`: limits of its own (mutating, reading). `controllers`: more
    than those that every run needs (a real cluster has all). `port`: of the API server, None for a free one. `etcd_quota`:
    the most bytes that etcd may hold.
    """

    lift_inflight: bool = False
    inflight: tuple[int, int] | None = None
    controllers: Sequence[str] = ()
    port: int | None = None
    etcd_quota: int = ETCD_QUOTA
