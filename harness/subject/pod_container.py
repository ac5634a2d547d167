"""One container of a subject's pod, seen from this machine as far as that goes: its cgroup, its main process, its log."""

from __future__ import annotations

import os
import select
import threading
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
        self._outlived = 0
        self._suspected = 0
        self._pidfd, self._wake = -1, -1
        self._thread: threading.Thread | None = None
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

    def outlived_a_kill(self) -> bool:
        """Whether a process of it was killed, and its main process has lived on; true once for each such kill.

        Asked about once a second. A kill counts from the second time on that it is seen: the main process may be the one
        that is dying.
        """
        if self.died_ns is not None or self.termination is not None or not self.pid:
            return False
        before, self._suspected = self._suspected, self.kills
        if before <= self._outlived:
            return False
        self._outlived = before
        return True

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
        self._wake = os.eventfd(0)
        self._thread = threading.Thread(target=self._wait_for_death, name="pod-death", daemon=True)
        self._thread.start()

    def _wait_for_death(self) -> None:
        """In a thread of its own: the event loop may be busy for as long as the cgroup still stands."""
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        if self._pidfd in {fd for fd, _ in poll.poll()}:
            assert self.cgroup is not None
            self.cgroup.seal()
            self.died_ns = time.monotonic_ns()

    def _forget_process(self) -> None:
        thread, self._thread = self._thread, None
        if thread is None:
            return
        os.eventfd_write(self._wake, 1)
        thread.join()
        os.close(self._pidfd)
        os.close(self._wake)


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
