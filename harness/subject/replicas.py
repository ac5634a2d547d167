"""Two replicas of a subject: each an incarnation after another of its own, seen as one subject by the rest of the run.

Each has its own cgroup, limited by itself, so what counts for memory is the replica that has the most; kills, CPU time and
throttling add up. A replica that is being restarted counts as living; one that ends by itself ends the subject.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

from harness.core.handles import Cgroup, CpuLimit, Ending, KillReading, Stats
from harness.subject.cpu import Throttling
from harness.subject.incarnations import Incarnations
from harness.subject.kills import CgroupKills
from harness.subject.process import STOP_GRACE_S

_T = TypeVar("_T")


class AllCgroups:
    """The memory cgroups of all replicas as one, implementing `core.handles.Cgroup`; those replaced meanwhile still count."""

    def __init__(self, members: Sequence[Incarnations]) -> None:
        self._members = members
        self._known: list[Cgroup] = []

    @property
    def version(self) -> Literal[1, 2]:
        """That of any."""
        return self._current()[0].version

    @property
    def path(self) -> Path:
        """The run's cgroup, in which all of them are."""
        return self._current()[0].path.parent

    @property
    def limit_bytes(self) -> int:
        """The limit of one replica."""
        return self._current()[0].limit_bytes

    def usage_bytes(self) -> int:
        """Memory charged to the replica that has the most."""
        return max(cgroup.usage_bytes() for cgroup in self._current())

    def peak_bytes(self) -> int | None:
        """Highest charge of any of them so far."""
        return max((peak for cgroup in self._all() if (peak := cgroup.peak_bytes()) is not None), default=None)

    def oom_kills(self) -> int:
        """Cumulative kills in all of them."""
        return sum(cgroup.oom_kills() for cgroup in self._all())

    def limit_hits(self) -> int:
        """Cumulative times any limit was reached."""
        return sum(cgroup.limit_hits() for cgroup in self._all())

    def pids(self) -> list[int]:
        """Processes of all of them."""
        return [pid for cgroup in self._current() for pid in cgroup.pids()]

    def _current(self) -> list[Cgroup]:
        return [member.cgroup for member in self._members if member.cgroup is not None]

    def _all(self) -> list[Cgroup]:
        self._known += [cgroup for cgroup in self._current() if cgroup not in self._known]
        return self._known


class AllKills(CgroupKills):
    """Kills in all of them, and in which."""

    def __init__(self, cgroup: AllCgroups, members: Sequence[Incarnations]) -> None:
        super().__init__(cgroup)
        self._members = members

    def read(self) -> KillReading:
        """The counts now."""
        own = [member.cgroup.oom_kills() for member in self._members if member.cgroup is not None]
        return replace(super().read(), by_replica=own)


class AllCpuLimits:
    """The CPU limits of all replicas as one, implementing `core.handles.CpuLimit`."""

    def __init__(self, members: Sequence[Incarnations]) -> None:
        self._members = members
        self._known: list[CpuLimit] = []

    @property
    def cpus(self) -> float:
        """How many CPUs one replica may use."""
        return next(member.cpu.cpus for member in self._members if member.cpu is not None)

    def throttling(self) -> Throttling:
        """The sums over all of them."""
        current = [member.cpu for member in self._members if member.cpu is not None]
        self._known += [limit for limit in current if limit not in self._known]
        readings = [limit.throttling() for limit in self._known]
        return Throttling(sum(each.periods for each in readings), sum(each.seconds for each in readings))


class Replicas:
    """Implements `core.handles.Subject` by several; what there is but one of is that of the first."""

    kind = "process"

    def __init__(self, members: Sequence[Incarnations]) -> None:
        self.replicas = members
        self._cgroup = AllCgroups(members) if all(member.cgroup is not None for member in members) else None
        self.kills = None if self._cgroup is None else AllKills(self._cgroup, members)
        self.stats: Stats | None = None
        self._cpu = AllCpuLimits(members) if all(member.cpu is not None for member in members) else None
        first = members[0]
        self.command, self.user, self.kubeconfig = first.command, first.user, first.kubeconfig
        self.runtime, self.started_ns = first.runtime, first.started_ns
        self.metrics_url, self.pprof_url = first.metrics_url, first.pprof_url
        self.agent_socket, self.memory_limit = first.agent_socket, first.memory_limit

    @property
    def pid(self) -> int:
        """Main process of the first replica."""
        return self.replicas[0].pid

    @property
    def cgroup(self) -> AllCgroups | None:
        """All memory cgroups as one, None without a limit."""
        return self._cgroup

    @property
    def cpu(self) -> AllCpuLimits | None:
        """All CPU limits as one, None without one."""
        return self._cpu

    @property
    def ready_ns(self) -> int | None:
        """When the last of them was ready."""
        return self._of(max, [member.ready_ns for member in self.replicas])

    def pids(self) -> list[int]:
        """Every live process of all of them."""
        return [pid for member in self.replicas for pid in member.pids()]

    def ending(self) -> Ending | None:
        """How the first that ended by itself did; None while all live."""
        return self._of(lambda found: min(found, key=lambda ending: ending.t_ns), [m.ending() for m in self.replicas])

    async def wait_ended(self) -> Ending:
        """Wait until one of them has ended for good."""
        waiting = [asyncio.ensure_future(member.wait_ended()) for member in self.replicas]
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            return next(iter(done)).result()
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def stop(self, grace_s: float = STOP_GRACE_S) -> Ending:
        """End all of them at once; how the first did. Again is harmless."""
        endings = await asyncio.gather(*(member.stop(grace_s) for member in self.replicas), return_exceptions=True)
        for ending in endings:
            if isinstance(ending, BaseException):
                raise ending
        first = endings[0]
        assert isinstance(first, Ending)
        return first

    @staticmethod
    def _of(choose: Callable[[list[_T]], _T], values: Sequence[_T | None]) -> _T | None:
        found = [value for value in values if value is not None]
        return choose(found) if found else None


RunSubject: TypeAlias = Incarnations | Replicas
"""What a run holds on to: one subject over its incarnations, or two replicas."""
