"""The CPU limit of the subject, and how often it held the subject back.

On cgroup v2 it is a file of the cgroup that also limits memory; on v1 the CPU controller has a hierarchy of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.subject.cgroups import read_table, write

PERIOD_US = 100_000
"""The kernel's own default, and the kubelet's."""


@dataclass(frozen=True, slots=True)
class Throttling:
    """Cumulative counters of one CPU cgroup."""

    periods: int
    """Periods in which the limit was used up."""
    seconds: float
    """Time for which processes that wanted to run were held back, summed over CPUs."""


class CpuCgroup:
    """A cgroup with a CPU limit. After `seal` it answers from the last reading."""

    def __init__(self, path: Path, version: Literal[1, 2], cpus: float) -> None:
        self.path = path
        self.version = version
        self.cpus = cpus
        self._sealed: Throttling | None = None

    def throttling(self) -> Throttling:
        """The counters now. Raises OSError when the cgroup was removed without `seal`."""
        return self._sealed or self._read()

    def seal(self) -> None:
        """Keep the counters as they are: the cgroup is about to be removed."""
        if self._sealed is None:
            self._sealed = self._read()

    def _read(self) -> Throttling:
        table = read_table(self.path / "cpu.stat")
        seconds = table["throttled_usec"] / 1e6 if self.version == 2 else table["throttled_time"] / 1e9
        return Throttling(table["nr_throttled"], seconds)


def set_cpu_limit(path: Path, version: Literal[1, 2], cpus: float) -> None:
    """Give a cgroup its CPU limit; raises OSError."""
    quota = max(1000, round(cpus * PERIOD_US))  # the kernel refuses less than a millisecond
    if version == 2:
        write(path / "cpu.max", f"{quota} {PERIOD_US}")
        return
    write(path / "cpu.cfs_period_us", str(PERIOD_US))
    write(path / "cpu.cfs_quota_us", str(quota))
