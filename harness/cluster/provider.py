"""Choosing where Kubernetes comes from by name."""

from __future__ import annotations

from pathlib import Path

from harness.cluster import embedded
from harness.cluster.embedded import EmbeddedCluster, EmbeddedOptions
from harness.core.errors import UsageError
from harness.core.handles import Progress

AVAILABLE = (embedded.PROVIDER,)
_PLANNED = ("kind", "kubeconfig")


def check(provider: str) -> None:
    """Raises UsageError for a provider that is unknown, or not available yet."""
    if provider in AVAILABLE:
        return
    what = "is not available yet in this version" if provider in _PLANNED else "is unknown"
    raise UsageError(f"the cluster provider {provider!r} {what}", remedy=f"use {' or '.join(AVAILABLE)}")


async def start(
    provider: str,
    *,
    name: str,
    work_dir: Path,
    run_id: str,
    progress: Progress,
    options: EmbeddedOptions | None = None,
) -> EmbeddedCluster:
    """Start a cluster of its own for a run; see `embedded.start`."""
    check(provider)
    return await embedded.start(name=name, work_dir=work_dir, run_id=run_id, progress=progress, options=options)
