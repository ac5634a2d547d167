"""The ruler of `harness overhead`: what the harness and the subject use while nothing happens, and while a known work is done.

It is no witness of ordinary runs. Its own cost is the same in every run that is compared: it reads /proc a few times, and
asks the API server every 0.2 s whether the work is done.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import ClassVar

from harness.collectors import procfs
from harness.collectors.base import Collector
from harness.core.errors import RunFault
from harness.core.handles import RunContext
from harness.core.kinds import Kind
from harness.kube.api import Api

IDLE_S = 10.0
"""How long idleness is measured."""
WORK_LIMIT_S = 120.0
_POLL_S = 0.2


class MeterCollector(Collector):
    """One event `meter`. Must be the last of the collectors, so that all others have begun when it begins to measure."""

    name: ClassVar[str] = "meter"
    hook_s: ClassVar[float] = WORK_LIMIT_S + 10.0

    def __init__(self) -> None:
        self._context: RunContext | None = None
        self._api: Api | None = None
        self._idle: dict[str, float] = {}
        self._began: tuple[float, float, float] | None = None
        self._told = False

    async def attach(self, context: RunContext) -> None:
        self._context = context
        self._api = await Api.connect(context.watcher_kubeconfig)

    async def settle(self) -> None:
        if self._idle or self._context is None:
            return
        before = self._now()
        await asyncio.sleep(IDLE_S)
        seconds, harness, subject = (after - first for after, first in zip(self._now(), before, strict=True))
        self._idle = {
            "idle_s": seconds,
            "idle_cpu_s": harness,
            "idle_subject_cpu_s": subject,
            "idle_subject_rss_bytes": self._subject_rss(),
        }

    async def phase_started(self, phase: str) -> None:
        if self._began is None:
            self._began = self._now()
        elif phase.startswith("settle") and not self._told:
            await self._until_done()

    async def _until_done(self) -> None:
        """Until all that the load must bring about exists. Raises RunFault where it does not in time."""
        assert self._context is not None
        assert self._began is not None
        wanted: dict[Kind, int] = {}
        for item in self._context.expected:
            wanted[item.kind] = wanted.get(item.kind, 0) + item.count
        deadline = time.monotonic() + WORK_LIMIT_S
        while missing := [kind.alias for kind, count in wanted.items() if await self._count(kind) < count]:
            if time.monotonic() > deadline:
                raise RunFault(
                    f"the work was not done within {WORK_LIMIT_S:g} s: {', '.join(missing)}", place=self.name
                )
            await asyncio.sleep(_POLL_S)
        seconds, harness, subject = (after - first for after, first in zip(self._now(), self._began, strict=True))
        self._told = True
        self._context.sink.event(
            "meter", objects=sum(wanted.values()), work_s=seconds, work_cpu_s=harness, work_subject_cpu_s=subject,
            subject_rss_bytes=self._subject_rss(), harness_peak_bytes=_peak(Path("/proc/self/status")), **self._idle,
        )  # fmt: skip

    async def _count(self, kind: Kind) -> int:
        """Objects of a kind in the whole cluster, which is ours alone; all are counted by asking for one."""
        assert self._api is not None
        page = await self._api.transport.request_json("GET", kind.path(None), query={"limit": 1})
        return len(page.get("items") or []) + int((page.get("metadata") or {}).get("remainingItemCount") or 0)

    async def detach(self) -> None:
        api, self._api = self._api, None
        if api is not None:
            await api.close()

    def _now(self) -> tuple[float, float, float]:
        """Seconds: the clock, CPU of this process, CPU of the subject's processes."""
        assert self._context is not None
        uses = [procfs.read_process(pid) for pid in self._context.subject.pids()]
        return time.monotonic(), time.process_time(), sum(use.cpu_s for use in uses if use is not None)

    def _subject_rss(self) -> int:
        assert self._context is not None
        uses = [procfs.read_process(pid) for pid in self._context.subject.pids()]
        return sum(use.rss_bytes for use in uses if use is not None)


def _peak(status: Path) -> int:
    """The highest resident set of a process so far, in bytes (VmHWM)."""
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
