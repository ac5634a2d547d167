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
_AFTER_S = 1.0
"""Beyond the end of the work: what it brings about is then seen, counted and written, and its CPU time is in the reading."""
_DEALT = "GitRepo"
"""The kind of which the work is made: as many of them as there are of all, so much of everything must exist."""


class MeterCollector(Collector):
    """One event `meter`. Must be the last of the collectors, so that all others have begun when it begins to measure.

    The work comes in helpings, each a step of the load with a settle behind it. What a step costs by itself, whatever it does,
    is in all of them alike, and what an event costs is the difference of a large one and a small one.
    """

    name: ClassVar[str] = "meter"
    hook_s: ClassVar[float] = WORK_LIMIT_S + 10.0

    def __init__(self) -> None:
        self._context: RunContext | None = None
        self._api: Api | None = None
        self._idle: dict[str, float] = {}
        self._began: tuple[float, float, float] | None = None
        self._began_ns = 0
        self._helpings: list[dict[str, float]] = []

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
        if self._context is None:
            return
        if not phase.startswith("settle"):
            self._began, self._began_ns = self._now(), self._context.clock.now_ns()
        elif self._began is not None:
            await self._until_done(self._began)
            self._began = None

    async def _until_done(self, began: tuple[float, float, float]) -> None:
        """Until all that the load has brought about so far exists. Raises RunFault where it does not in time."""
        assert self._context is not None
        wanted: dict[Kind, int] = {}
        for item in self._context.expected:
            wanted[item.kind] = wanted.get(item.kind, 0) + item.count
        dealt = next(kind for kind in wanted if kind.kind == _DEALT)
        share = await self._count(dealt) / wanted[dealt]
        deadline = time.monotonic() + WORK_LIMIT_S
        while missing := [kind.alias for kind, count in wanted.items() if await self._count(kind) < count * share]:
            if time.monotonic() > deadline:
                raise RunFault(
                    f"the work was not done within {WORK_LIMIT_S:g} s: {', '.join(missing)}", place=self.name
                )
            await asyncio.sleep(_POLL_S)
        work_s, _, subject = (after - first for after, first in zip(self._now(), began, strict=True))
        subject_rss = self._subject_rss()
        await asyncio.sleep(_AFTER_S)
        seconds, harness, _ = (after - first for after, first in zip(self._now(), began, strict=True))
        self._helpings.append(
            {
                "work_s": work_s, "subject_cpu_s": subject, "seconds": seconds, "cpu_s": harness,
                "from_ns": self._began_ns, "until_ns": self._context.clock.now_ns(),
            }
        )  # fmt: skip
        if share >= 1:
            self._context.sink.event(
                "meter", objects=sum(wanted.values()), helpings=self._helpings, subject_rss_bytes=subject_rss,
                harness_peak_bytes=_peak(Path("/proc/self/status")), **self._idle,
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
