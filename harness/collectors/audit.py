"""Writes and reads of the subject as the API server itself logged them.

A controller's own metrics count what it believes to have done. The audit log counts what reached the server, and shows
writes that changed nothing.
"""

from __future__ import annotations

import asyncio
import time
from typing import ClassVar

from harness.collectors.audit_lines import AuditLedger
from harness.collectors.base import Collector
from harness.collectors.sampling import Sampler, Slices
from harness.collectors.tail import Tail
from harness.core import etcd
from harness.core.errors import EnvironmentFault
from harness.core.handles import RunContext

INTERVAL_S = 0.25
_HISTORY_BYTES = 16 << 20
"""How far back to look at attach: the subject's first requests were made before it was ready."""
_DRAIN_S = 6.0
_BATCH = 32
"""Lines between two looks at the clock."""


class AuditCollector(Collector):
    """Samples `writes.total`, `writes.noop`, `writes.conflict`, `api.requests` by kind and verb, `startup.first_read`.

    Counts are those of the subject's identity, which is the run's own, from its very first request.
    """

    name: ClassVar[str] = "audit"

    def __init__(self) -> None:
        self._context: RunContext | None = None
        self._sampler = Sampler(self.name, self._take, INTERVAL_S, max_share=1.0)
        self._tail: Tail | None = None
        self._ledger: AuditLedger | None = None
        self._first_written: set[str] = set()
        self._aliases: frozenset[str] = frozenset()
        self._lines = 0
        self._lists = 0
        self._busy_s = 0.0
        self._told_full = False

    async def attach(self, context: RunContext) -> None:
        log = context.cluster.audit_log
        if log is None:
            raise EnvironmentFault(
                context.cluster.audit_reason or "provider has no audit log",
                place=self.name,
                remedy="use --cluster embedded to count writes",
            )
        try:
            self._tail = Tail(log, history_bytes=_HISTORY_BYTES)
        except OSError as error:
            raise EnvironmentFault(f"the audit log cannot be read: {error}", place=str(log)) from error
        self._ledger = AuditLedger(context.subject.user, context.kinds)
        self._aliases = frozenset(kind.alias for kind in context.kinds)
        self._context = context
        self._sampler.start()

    async def detach(self) -> None:
        context, self._context = self._context, None
        await self._sampler.stop()
        tail, self._tail = self._tail, None
        if context is None or tail is None or self._ledger is None:
            return
        try:
            async with asyncio.timeout(_DRAIN_S):
                await self._drain(tail)
        except TimeoutError:
            context.sink.event(
                "warning", source=self.name, message=f"the audit log was not read to its end in {_DRAIN_S} s"
            )
        finally:
            tail.close()
        self._write(context, self._ledger)
        context.sink.event(
            "audit",
            lines=self._lines,
            microseconds_per_line=round(1e6 * self._busy_s / self._lines, 1) if self._lines else None,
            unjudged_writes=self._ledger.unjudged,
            broken_lines=self._ledger.broken,
        )

    async def _take(self) -> None:
        if self._context is not None and self._tail is not None and self._ledger is not None:
            await self._drain(self._tail)
            self._write(self._context, self._ledger)

    async def _drain(self, tail: Tail) -> None:
        """Read up to the present end, in slices."""
        assert self._ledger is not None
        slices = Slices()
        while lines := tail.read():
            for first in range(0, len(lines), _BATCH):
                batch = lines[first : first + _BATCH]
                started = time.perf_counter()
                for line in batch:
                    self._ledger.feed(line)
                self._busy_s += time.perf_counter() - started
                self._lines += len(batch)
                await slices.pause()

    def _write(self, context: RunContext, ledger: AuditLedger) -> None:
        t_ns = context.clock.now_ns()
        for series, count in ledger.changed():
            context.sink.sample(self.name, series.metric, count, series.labels, t_ns)
        for kind, came, seconds in ledger.lists[self._lists :]:
            sink_ns = max(0, context.clock.from_wall(came))
            context.sink.sample(self.name, "api.list", seconds, {"kind": kind}, sink_ns)
        self._lists = len(ledger.lists)
        if ledger.etcd_full and not self._told_full:
            self._told_full = True
            context.sink.event(etcd.EVENT, message=etcd.SENTENCE)
        for kind in ledger.first_reads.keys() & self._aliases - self._first_written:
            self._first_written.add(kind)
            moment_s = context.clock.from_wall(ledger.first_reads[kind]) / 1e9
            context.sink.sample(self.name, "startup.first_read", moment_s, {"kind": kind}, t_ns)
