"""Counting kills for memory of a local process: the counters of its cgroup."""

from __future__ import annotations

from harness.core.handles import Cgroup, KillReading


class CgroupKills:
    """Implements `core.handles.KillWitness` by one memory cgroup."""

    def __init__(self, cgroup: Cgroup) -> None:
        self._cgroup = cgroup
        self.limit_bytes: int | None = cgroup.limit_bytes

    def read(self) -> KillReading:
        """The counters now; raises OSError when the cgroup is gone."""
        # Usage first: of all values it changes soonest after a kill.
        usage = self._cgroup.usage_bytes()
        return KillReading(
            self._cgroup.oom_kills(),
            self._cgroup.limit_hits(),
            usage,
            self._cgroup.pids(),
            evidence={"cgroup": str(self._cgroup.path), "cgroup_version": self._cgroup.version},
        )

    def peak_bytes(self) -> int | None:
        """Highest charge so far, None where the kernel does not tell or the cgroup is gone."""
        try:
            return self._cgroup.peak_bytes()
        except OSError:
            return None
