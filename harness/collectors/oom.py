"""Kills by the kernel at the subject's memory limit, witnessed by the counters of its cgroup.

Exit code 137 alone proves nothing (it may be somebody's SIGKILL). A kill is a growth of the cgroup's own counter, and
the event carries what was known around it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness.collectors.base import Collector
from harness.collectors.sampling import Sampler
from harness.core.errors import EnvironmentFault
from harness.core.handles import Cgroup, RunContext

INTERVAL_S = 0.1
_HEARTBEAT_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class _Reading:
    kills: int
    limit_hits: int
    usage_bytes: int
    pids: tuple[int, ...]
    by_replica: tuple[int, ...] = ()
    """Kills of the running incarnation of each replica, where there are several."""


class OomCollector(Collector):
    """Samples `oom.kills` and `oom.limit_hits` since attach, and writes one `oom_kill` event for each kill."""

    name: ClassVar[str] = "oom"

    def __init__(self) -> None:
        self._context: RunContext | None = None
        self._sampler = Sampler(self.name, self._take, INTERVAL_S)
        self._cgroup: Cgroup | None = None
        self._base: _Reading | None = None
        self._last: _Reading | None = None
        self._carried = (0, 0)
        """Kills and limit hits of the incarnations before."""
        self._written: tuple[int, int] | None = None
        self._written_ns = 0

    @property
    def kills(self) -> int:
        """Kills seen since attach."""
        return self._sums()[0] if self._last and self._base else 0

    async def attach(self, context: RunContext) -> None:
        if context.subject.cgroup is None:
            raise EnvironmentFault(
                "the subject has no memory cgroup of its own, so kills by a limit cannot be witnessed",
                place=self.name,
                remedy="give the subject a memory_limit",
            )
        self._context = context
        self._cgroup = context.subject.cgroup
        self._base = self._last = _read(context.subject.cgroup, context)
        self._write(context)
        self._sampler.start()

    async def phase_ended(self, phase: str) -> None:  # noqa: ARG002
        await self._take()  # a kill in this phase is an event of it, not of the next

    async def detach(self) -> None:
        context, self._context = self._context, None
        await self._sampler.stop()
        if context is not None:
            self._look(context)
            self._written = None  # the last value is written in any case
            self._write(context)

    async def _take(self) -> None:
        if self._context is not None:
            self._look(self._context)
            self._write(self._context)

    def _look(self, context: RunContext) -> None:
        cgroup = context.subject.cgroup
        assert cgroup is not None
        assert self._cgroup is not None
        self._count(context, self._cgroup)
        if cgroup is not self._cgroup:  # restarted: what the last one told stands, and the new one counts from zero
            self._carried = self._sums()
            self._cgroup = cgroup
            self._base = self._last = _Reading(0, 0, 0, ())
            self._count(context, cgroup)

    def _count(self, context: RunContext, cgroup: Cgroup) -> None:
        before = self._last
        assert before is not None
        try:
            now = _read(cgroup, context)
        except OSError:
            return  # the cgroup is gone: what was read last stands
        self._last = now
        for number in range(before.kills + 1, now.kills + 1):
            self._report(context, cgroup, before, now, number)

    def _report(self, context: RunContext, cgroup: Cgroup, before: _Reading, now: _Reading, number: int) -> None:
        assert self._base is not None
        context.sink.event(
            "oom_kill",
            number=self._carried[0] + number - self._base.kills,
            t_ns=context.clock.now_ns(),
            limit_bytes=cgroup.limit_bytes,
            usage_before_bytes=before.usage_bytes,
            usage_after_bytes=now.usage_bytes,
            peak_bytes=_peak(cgroup),
            counter_before=before.kills,
            counter_after=now.kills,
            limit_hits_before=before.limit_hits,
            limit_hits_after=now.limit_hits,
            pids_before=list(before.pids),
            pids_gone=sorted(set(before.pids) - set(now.pids)),
            cgroup=str(cgroup.path),
            cgroup_version=cgroup.version,
            replica=_grown(before.by_replica, now.by_replica),
        )

    def _sums(self) -> tuple[int, int]:
        """Kills and limit hits since attach, over all incarnations."""
        assert self._last is not None
        assert self._base is not None
        kills, hits = self._carried
        return (
            kills + self._last.kills - self._base.kills,
            hits + self._last.limit_hits - self._base.limit_hits,
        )

    def _write(self, context: RunContext) -> None:
        values = self._sums()
        t_ns = context.clock.now_ns()
        if values == self._written and t_ns - self._written_ns < _HEARTBEAT_NS:
            return
        self._written, self._written_ns = values, t_ns
        context.sink.sample(self.name, "oom.kills", values[0], t_ns=t_ns)
        context.sink.sample(self.name, "oom.limit_hits", values[1], t_ns=t_ns)


def _read(cgroup: Cgroup, context: RunContext) -> _Reading:
    # Usage first: of all values it changes soonest after a kill.
    usage = cgroup.usage_bytes()
    replicas = context.subject.replicas
    kills = tuple(each.cgroup.oom_kills() for each in replicas if each.cgroup) if len(replicas) > 1 else ()
    return _Reading(cgroup.oom_kills(), cgroup.limit_hits(), usage, tuple(cgroup.pids()), kills)


def _grown(before: tuple[int, ...], now: tuple[int, ...]) -> int | None:
    """The replica whose kills grew, None where there is one, or nobody can tell."""
    return next((number for number, (old, new) in enumerate(zip(before, now, strict=False)) if new > old), None)


def _peak(cgroup: Cgroup) -> int | None:
    try:
        return cgroup.peak_bytes()
    except OSError:
        return None
