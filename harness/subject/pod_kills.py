"""Counting kills for memory in a pod: each once, by the kernel's counters where these are seen, else by the kubelet's word."""

from __future__ import annotations

from collections.abc import Mapping

from harness.core.handles import JSON, KillReading
from harness.subject.pod_container import Container
from harness.subject.pod_manifest import PodSpec
from harness.subject.pod_watch import PodWatch


class PodKills:
    """Implements `core.handles.KillWitness` over all containers that the kubelet makes of one pod."""

    def __init__(self, spec: PodSpec, watch: PodWatch, containers: Mapping[str, Container]) -> None:
        self.limit_bytes = spec.memory_limit
        self._pod = f"{spec.namespace}/{spec.name}"
        self._watch = watch
        self._containers = containers

    def read(self) -> KillReading:
        """The counts now, and who counts."""
        containers = list(self._containers.values())
        hits = [container.limit_hits for container in containers]
        passed = [each for each in self._watch.terminations.values() if each.container_id not in self._containers]
        newest = containers[-1] if containers else None
        cgroup = newest.cgroup if newest else None
        evidence: dict[str, JSON] = {
            "pod": self._pod,
            "restart_count": self._watch.restart_count,
            "restarts_unseen": self._watch.unseen,
            **(newest.evidence() if newest else {}),
        }
        return KillReading(
            sum(container.kills for container in containers) + sum(each.oom_killed for each in passed),
            None if None in hits or not hits else sum(hit or 0 for hit in hits),
            cgroup.usage_bytes() if cgroup else None,
            cgroup.pids() if cgroup else (),
            evidence=evidence,
        )

    def peak_bytes(self) -> int | None:
        """Highest charge of the newest container; None where it is not seen."""
        containers = list(self._containers.values())
        cgroup = containers[-1].cgroup if containers else None
        return cgroup.peak_bytes() if cgroup else None
