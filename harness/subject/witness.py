"""Reading, at the start and at the end of an incarnation, what tells its ways of ending apart."""

from __future__ import annotations

from pathlib import Path

from harness.subject.cgroups import MemoryCgroup
from harness.subject.ending import Witness
from harness.subject.kernel_log import KernelLog

VMSTAT = Path("/proc/vmstat")


class Observation:
    """Readings from the start on; `close` it when the subject has ended."""

    def __init__(self, cgroup: MemoryCgroup | None) -> None:
        self._cgroup = cgroup
        self._counters = cgroup.counters() if cgroup else None
        self._node = node_oom_kills()
        self._log = KernelLog()

    def witness(self) -> Witness:
        """The readings of the start and of now. The cgroup must still be there, or be sealed."""
        counters = (self._counters, self._cgroup.counters()) if self._cgroup and self._counters else None
        now = node_oom_kills()
        node = None if self._node is None or now is None else (self._node, now)
        return Witness(counters, node, self._log.oom_kills(self._cgroup.path) if self._cgroup else ())

    def close(self) -> None:
        """Stop observing."""
        self._log.close()


def node_oom_kills(vmstat: Path = VMSTAT) -> int | None:
    """OOM kills on this machine since it started; None where the kernel does not tell."""
    try:
        table = dict(line.split() for line in vmstat.read_text().splitlines())
    except (OSError, ValueError):
        return None
    return int(table["oom_kill"]) if "oom_kill" in table else None
