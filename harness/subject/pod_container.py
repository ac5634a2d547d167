"""One container of a subject's pod, seen from this machine as far as that goes: its cgroup, its main process, its log."""

from __future__ import annotations

import asyncio
import os
import time

from harness.core.handles import JSON
from harness.subject.cgroups import Counters
from harness.subject.cpu import CpuCgroup
from harness.subject.ending import Witness
from harness.subject.kernel_log import KernelLog, OomKill
from harness.subject.pod_cgroup import ContainerCgroup
from harness.subject.pod_log import PodLog
from harness.subject.pod_watch import Termination


class Container:
    """From when it is found running until its pod is gone.

    The kernel tells of the death of its main process at once (a pidfd), a second or two before the kubelet does, and the
    counters of its cgroup are read in that moment: soon after, the cgroup is removed.
    """

    def __init__(self, identity: str, cgroup: ContainerCgroup | None, cpu: CpuCgroup | None, log: PodLog) -> None:
        self.identity = identity
        self.cgroup = cgroup
        self.cpu = cpu
        self.log = log
        self.died_ns: int | None = None
        """`time.monotonic_ns()` at which its main process ended, where that is seen from here."""
        self.termination: Termination | None = None
        self._kernel = KernelLog()
        self._kernel_kills: list[OomKill] = []
        self._before = cgroup.counters() if cgroup else None
        self.pid = _main(cgroup)
        self._pidfd = -1
        if self.pid:
            self._watch_process()

    @property
    def kills(self) -> int:
        """Processes of it that were killed for memory, by whoever counts most of them."""
        counted = 0
        if self.cgroup is not None and self._before is not None:
            counted = self.cgroup.counters().oom_kills - self._before.oom_kills
        told = 1 if self.termination is not None and self.termination.oom_killed else 0
        return max(counted, told, len(self._kernel_kills))

    @property
    def limit_hits(self) -> int | None:
        """How often its limit was reached; None where its cgroup is not seen."""
        if self.cgroup is None or self._before is None:
            return None
        return self.cgroup.counters().limit_hits - self._before.limit_hits

    def ended(self, termination: Termination) -> None:
        """The kubelet tells of its end."""
        self.termination = termination
        self.seal()

    def witness(self) -> Witness:
        """What was counted from its beginning to now."""
        self.seal()
        if self.cgroup is None or self._before is None:
            return Witness()
        return Witness((self._before, self._now()), None, self._kernel_kills)

    def evidence(self) -> dict[str, JSON]:
        """Who counts, for the record."""
        found: dict[str, JSON] = {"container_id": self.identity}
        if self.cgroup is not None:
            found |= {"cgroup": str(self.cgroup.path), "cgroup_version": self.cgroup.version}
        if self._kernel_kills:
            found["kernel_log"] = len(self._kernel_kills)
        if self.termination is not None:
            found["kubelet"] = self.termination.as_json()
        return found

    def seal(self) -> None:
        """Read the counters and the kernel's log a last time, where that is still to be done."""
        if self.cgroup is None:
            return
        self._kernel_kills += self.cgroup.normalised(self._kernel.oom_kills(self.cgroup.path))
        self.cgroup.seal()
        if self.cpu is not None:
            try:
                self.cpu.seal()
            except OSError:
                self.cpu = None  # removed with the container

    async def close(self, log_s: float) -> None:
        """Give back what it holds; its log may take so long to be complete."""
        await self.log.finish(log_s)
        self._kernel.close()
        self._forget_process()

    def _now(self) -> Counters:
        assert self.cgroup is not None
        before = self._before.oom_kills if self._before else 0
        self.cgroup.at_least(before + self.kills)
        return self.cgroup.counters()

    def _watch_process(self) -> None:
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except OSError:
            return
        asyncio.get_running_loop().add_reader(self._pidfd, self._on_death)

    def _on_death(self) -> None:
        self.died_ns = time.monotonic_ns()
        self._forget_process()
        self.seal()

    def _forget_process(self) -> None:
        if self._pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1


def _main(cgroup: ContainerCgroup | None) -> int:
    """PID 1 of the container as this machine numbers it; 0 where it is not seen."""
    for pid in cgroup.pids() if cgroup else ():
        try:
            with open(f"/proc/{pid}/status", encoding="utf-8") as file:  # noqa: PTH123 # as collectors read /proc
                inner = next((line.split() for line in file if line.startswith("NSpid:")), [])
        except OSError:
            continue
        if inner[-1:] == ["1"]:
            return pid
    return 0
