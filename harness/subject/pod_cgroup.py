"""The cgroup of a pod's container where this machine sees it: nodes that are containers of this machine, or this machine.

The kernel's counters are exact and can be read at any moment; the kubelet's own are ten seconds old and forget.
"""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import islice
from pathlib import Path

from harness.subject.cgroups import Counted, Counters, MemoryCgroup, MemoryCgroupV1, MemoryCgroupV2
from harness.subject.cpu import CpuCgroup
from harness.subject.kernel_log import OomKill
from harness.subject.limits import Kernel, find_hierarchy

_MAX_DIRECTORIES = 20_000


class ContainerCgroup(Counted):
    """The memory cgroup of one container, implementing `core.handles.Cgroup`; after its end it answers from the last reading.

    The pod's own cgroup above it has the same limit and holds the pause container too, so it is usually the one whose limit is
    reached: hits of both count.
    """

    def __init__(self, own: MemoryCgroup, pod: MemoryCgroup) -> None:
        self.version = own.version
        self.path = own.path
        self.limit_bytes = min(own.limit_bytes, pod.limit_bytes)
        self._own = own
        self._pod = pod
        self._last = self._read()
        self._known_kills = 0
        self._gone = False

    def counters(self) -> Counters:
        """All counters now; the last ones where the container is gone."""
        if not self._gone:
            try:
                self._last = self._read()
            except (OSError, ValueError):
                self._gone = True
                self._last = self._without_own()
        return replace(self._last, oom_kills=max(self._last.oom_kills, self._known_kills))

    def at_least(self, kills: int) -> None:
        """Others (the kubelet, the kernel's log) tell of that many kills; the counter may have gone before it was read."""
        self._known_kills = max(self._known_kills, kills)

    def seal(self) -> Counters:
        """Keep the counters as they are."""
        counters = self.counters()
        self._gone = True
        return counters

    def pids(self) -> list[int]:
        """Processes in it, as this machine numbers them."""
        return [] if self._gone else self._own.pids()

    def normalised(self, kills: list[OomKill]) -> list[OomKill]:
        """A kill at the limit of the pod's cgroup is one at the container's own: they are equal."""
        return [
            OomKill(kill.victim, kill.victim) if kill.limit and kill.victim.rpartition("/")[0] == kill.limit else kill
            for kill in kills
        ]

    def _without_own(self) -> Counters:
        """The last reading, with what the pod's cgroup has counted since: that one outlives the container's."""
        try:
            pod = self._pod.counters()
        except (OSError, ValueError):
            return self._last
        hits = max(self._last.limit_hits, pod.limit_hits)
        peak = max(self._last.peak_bytes or 0, pod.peak_bytes or 0) or None
        return replace(self._last, limit_hits=hits, peak_bytes=peak, limit_ooms=pod.limit_ooms)

    def _read(self) -> Counters:
        own, pod = self._own.counters(), self._pod.counters()
        if self.version == 2:  # what happens in a child counts in its parents too
            return replace(own, limit_hits=pod.limit_hits, limit_ooms=pod.limit_ooms)
        return replace(own, limit_hits=own.limit_hits + pod.limit_hits)


def find(
    container_id: str, cpu_limit: float | None, kernel: Kernel | None = None
) -> tuple[ContainerCgroup, CpuCgroup | None] | None:
    """The cgroups of a container, found by its id; None where this machine does not see them.

    Walks the directories of the memory controller (some hundred); call it from a thread.
    """
    kernel = kernel or Kernel()
    memory = find_hierarchy(kernel)
    path = None if memory is None else _directory(memory.mount, container_id)
    if memory is None or path is None:
        return None
    kind = MemoryCgroupV1 if memory.version == 1 else MemoryCgroupV2
    try:
        cgroup = ContainerCgroup(kind(path), kind(path.parent))
    except (OSError, ValueError):  # it has ended meanwhile
        return None
    return cgroup, None if cpu_limit is None else _cpu(kernel, container_id, cpu_limit)


def _cpu(kernel: Kernel, container_id: str, cpu_limit: float) -> CpuCgroup | None:
    hierarchy = find_hierarchy(kernel, "cpu")
    path = None if hierarchy is None else _directory(hierarchy.mount, container_id)
    return None if hierarchy is None or path is None else CpuCgroup(path, hierarchy.version, cpu_limit)


def _directory(mount: Path, container_id: str) -> Path | None:
    for top, directories, _ in islice(os.walk(mount), _MAX_DIRECTORIES):
        for name in directories:
            if container_id in name:
                return Path(top, name)
    return None
