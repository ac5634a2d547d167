"""Choosing where Kubernetes comes from by name."""

from __future__ import annotations

from pathlib import Path

from harness.cluster import embedded, kind, kubeconfig
from harness.cluster.choice import EMBEDDED, GUESTS, IN_CLUSTER, KIND, KUBECONFIG, ClusterChoice, ClusterNeeds
from harness.cluster.embedded import EmbeddedOptions
from harness.core.errors import UsageError
from harness.core.handles import Cluster, Progress

AVAILABLE = (EMBEDDED, KIND, KUBECONFIG, IN_CLUSTER)
_BELONGS = {
    "--kind-name": (KIND, "kind_name"),
    "--kind-image": (KIND, "kind_image"),
    "--kind-config": (KIND, "kind_config"),
    "--context": (KUBECONFIG, "context"),
    "--kubeconfig": (KUBECONFIG, "kubeconfig"),
}


def check(choice: ClusterChoice) -> None:
    """What can be known before anything starts: UsageError for what cannot be meant, EnvironmentFault for what is missing.

    Asks Docker or the cluster, some seconds at most; starts and changes nothing.
    """
    if choice.provider not in AVAILABLE:
        raise UsageError(f"the cluster provider {choice.provider!r} is unknown", remedy=f"use {' or '.join(AVAILABLE)}")
    for option, (provider, name) in _BELONGS.items():
        if choice.provider != provider and getattr(choice, name) is not None:
            raise UsageError(
                f"{option} is about --cluster {provider}, not {choice.provider}", remedy="leave one of the two out"
            )
    if choice.provider == KIND:
        kind.check(choice)
    elif choice.provider in GUESTS:
        kubeconfig.check(choice)


async def start(
    choice: ClusterChoice,
    *,
    name: str,
    work_dir: Path,
    run_id: str,
    progress: Progress,
    needs: ClusterNeeds | None = None,
) -> Cluster:
    """A cluster that one run may use, ready; `stop` it in a `finally`. Logs go to `work_dir`.

    Raises what `check` raises, and EnvironmentFault where the cluster does not come up.
    """
    needs = needs or ClusterNeeds()
    if choice.provider == KIND:
        return await kind.start(choice, needs, work_dir=work_dir, run_id=run_id, progress=progress)
    if choice.provider in GUESTS:
        return await kubeconfig.start(choice, run_id=run_id, progress=progress)
    options = EmbeddedOptions(
        port=needs.port,
        lift_inflight=needs.lift_inflight,
        inflight=needs.inflight,
        controllers=tuple(needs.controllers),
        etcd_quota=needs.etcd_quota,
    )
    return await embedded.start(name=name, work_dir=work_dir, run_id=run_id, progress=progress, options=options)
