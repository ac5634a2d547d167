"""Kills by the kernel at the subject's memory limit, witnessed by the counters of its cgroup, or by the kubelet.

Exit code 137 alone proves nothing (it may be somebody's SIGKILL). A kill is a growth of a count of kills, and the event
carries what was known around it and who counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from harness.collectors.base import Collector
from harness.collectors.sampling import Sampler
from harness.core.errors import EnvironmentFault
from harness.core.handles import KillReading, KillWitness, RunContext

INTERVAL_S = 0.1
_HEARTBEAT_NS = 1_000_000_000


class OomCollector(Collector):
    """Samples `oom.kills` and `oom.limit_hits` since attach, and writes one `oom_kill` event for each kill."""

    name: ClassVar[str] = "oom"

    def __init__(self) -> None:
        self._context: RunContext | None = None
        self._sampler = Sampler(self.name, self._take, INTERVAL_S)
        self._witness: KillWitness | None = None
        self._base: KillReading | None = None
        self._last: KillReading | None = None
        self._carried: tuple[int, int | None] = (0, 0)
        """Kills and limit hits of the incarnations before."""
        self._written: tuple[int, int | None] | None = None
        self._written_ns = 0

    @property
    def kills(self) -> int:
        """Kills seen since attach."""
        return self._sums()[0] if self._last and self._base else 0

    async def attach(self, context: RunContext) -> None:
        witness = context.subject.kills
        if witness is None:
            raise EnvironmentFault(
                "the subject has no memory cgroup of its own, so kills by a limit cannot be witnessed",
                place=self.name,
                remedy="give the subject a memory_limit",
            )
        self._context = context
        self._witness = witness
        self._base = self._last = witness.read()
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
        witness = context.subject.kills
        assert witness is not None
        assert self._witness is not None
        self._count(context, self._witness)
        if witness is not self._witness:  # restarted: what the last one told stands, and the new one counts from zero
            self._carried = self._sums()
            self._witness = witness
            self._base = self._last = KillReading(0, 0, None)
            self._count(context, witness)

    def _count(self, context: RunContext, witness: KillWitness) -> None:
        before = self._last
        assert before is not None
        try:
            now = witness.read()
        except OSError:
            return  # the cgroup is gone: what was read last stands
        self._last = now
        for number in range(before.kills + 1, now.kills + 1):
            self._report(context, witness, before, now, number)

    def _report(
        self, context: RunContext, witness: KillWitness, before: KillReading, now: KillReading, number: int
    ) -> None:
        assert self._base is not None
        context.sink.event(
            "oom_kill",
            number=self._carried[0] + number - self._base.kills,
            t_ns=context.clock.now_ns(),
            limit_bytes=witness.limit_bytes,
            usage_before_bytes=before.usage_bytes,
            usage_after_bytes=now.usage_bytes,
            peak_bytes=witness.peak_bytes(),
            counter_before=before.kills,
            counter_after=now.kills,
            limit_hits_before=before.limit_hits,
            limit_hits_after=now.limit_hits,
            pids_before=list(before.pids),
            pids_gone=sorted(set(before.pids) - set(now.pids)),
            replica=_grown(before.by_replica, now.by_replica),
            **now.evidence,
        )

    def _sums(self) -> tuple[int, int | None]:
        """Kills and limit hits since attach, over all incarnations."""
        assert self._last is not None
        assert self._base is not None
        kills, hits = self._carried
        return (
            kills + self._last.kills - self._base.kills,
            None if hits is None or self._last.limit_hits is None
            else hits + self._last.limit_hits - (self._base.limit_hits or 0),
        )  # fmt: skip

    def _write(self, context: RunContext) -> None:
        values = self._sums()
        t_ns = context.clock.now_ns()
        if values == self._written and t_ns - self._written_ns < _HEARTBEAT_NS:
            return
        self._written, self._written_ns = values, t_ns
        context.sink.sample(self.name, "oom.kills", values[0], t_ns=t_ns)
        if values[1] is not None:
            context.sink.sample(self.name, "oom.limit_hits", values[1], t_ns=t_ns)


def _grown(before: Sequence[int], now: Sequence[int]) -> int | None:
    """The replica whose kills grew, None where there is one, or nobody can tell."""
    return next((number for number, (old, new) in enumerate(zip(before, now, strict=False)) if new > old), None)
