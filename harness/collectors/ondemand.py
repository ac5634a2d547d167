"""Profiling on demand: only in windows, which phases of the load or triggers open. In between nothing of it is at work.

A window of a Python subject attaches memray and detaches it; one of a Go subject takes heap and goroutines at both its ends
and CPU profiles in between. What a window does is in `window_tools`; who opens it, and when it may, is here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from harness.collectors.base import Collector
from harness.collectors.window_tools import Memray, Pprof, Tool, refusal
from harness.core.errors import HarnessError
from harness.core.handles import Launch, Progress, RunContext
from harness.core.sinks import Sink

NAME = "on-demand"


@dataclass(frozen=True, slots=True)
class Settings:
    """Which phases are windows, and what triggers may do. Times in seconds."""

    phases: Sequence[str] = ()
    length: float = 10.0
    cool_down: float = 60.0
    at_most: int = 5


class OnDemandCollector(Collector):
    """Events `attach` and `detach` of each window, with its number, and `trigger` whenever one has begun to hold."""

    name: ClassVar[str] = NAME
    after_exit: ClassVar[bool] = True  # captures are read when nothing is measured any more

    def __init__(self, progress: Progress, settings: Settings) -> None:
        self._progress = progress
        self._settings = settings
        self._tool: Tool | None = None
        self._sink: Sink | None = None
        self._context: RunContext | None = None
        self._phase = "start"
        self._lock = asyncio.Lock()
        self._reasons: list[str] = []
        """Why the window is open: it closes with the last of them."""
        self._number = 0
        self._opened = 0.0
        self._by_triggers = 0
        self._closed: float | None = None
        self._over = False
        self._resting = False
        """What is averaged now must not be disturbed."""
        self._timer: asyncio.Task[None] | None = None

    async def prepare(self, launch: Launch) -> None:
        if (fault := refusal(launch)) is not None:
            raise fault
        self._sink = launch.sink
        tool: Tool = Pprof(launch) if launch.runtime == "go" else Memray(launch, self._progress)
        await tool.prepare()
        self._tool = tool

    async def attach(self, context: RunContext) -> None:
        assert self._tool is not None
        self._context = context
        self._tool.attach(context)

    async def phase_started(self, phase: str) -> None:
        self._phase, self._resting = phase, False
        if phase in self._settings.phases:
            await self._open(f"phase {phase}")

    async def phase_ended(self, phase: str) -> None:
        if phase in self._settings.phases:
            await self._close(f"phase {phase}", "the phase is over")

    async def triggered(self, trigger: str, value: float) -> None:
        """A trigger has begun to hold, or holds still. Opens a window, unless one is open or has just been."""
        if (why_not := self._why_not()) is not None:
            self._tell(trigger, value, None, why_not)
            return
        self._by_triggers += 1
        reason = f"trigger {trigger}"
        number = self._number + 1
        self._tell(trigger, value, str(number), "opens a window")
        if await self._open(reason):
            self._timer = asyncio.create_task(self._close_later(reason), name="window-timer")

    @property
    def may_open(self) -> bool:
        """Whether a trigger that holds would open a window now."""
        return self._why_not() is None

    async def restarting(self) -> None:
        await self._close(None, "the subject is restarted")

    async def settle(self) -> None:
        self._resting = True
        await self._close(None, "the system is at rest")

    async def ending(self) -> None:
        self._over = True
        await self._close(None, "the run is over")

    async def detach(self) -> None:
        await self.ending()
        tool, self._tool = self._tool, None
        if tool is not None:
            for problem in await tool.finish():
                self._warn(problem)

    # -- windows -------------------------------------------------------------------------------------------------------

    def _why_not(self) -> str | None:
        if self._reasons or self._lock.locked():  # also one that is being opened or closed, which takes its time
            return "a window is open"
        if self._resting:
            return "the system is at rest, for idle or settled values"
        if self._by_triggers >= self._settings.at_most:
            return f"there were {self._by_triggers} windows by triggers already"
        if self._closed is not None:
            left = self._closed + self._settings.cool_down - time.monotonic()
            if left > 0:
                return f"cooling down for {left:.1f} s more"
        return None

    async def _open(self, reason: str) -> bool:
        """Whether a window is open now. One that cannot be opened is told, and the run goes on."""
        async with self._lock:
            tool, context, sink = self._tool, self._context, self._sink
            if self._over or tool is None or context is None or sink is None or context.subject.ending() is not None:
                return False
            if self._reasons:
                self._reasons.append(reason)
                return True
            self._number += 1
            since_ns = context.clock.now_ns()
            try:
                facts = await tool.open(self._number, self._phase)
            except HarnessError as error:
                self._warn(f"window {self._number} ({reason}) could not be opened: {error}")
                self._closed = time.monotonic()
                return False
            self.heavy |= tool.heavy
            self._reasons, self._opened = [reason], time.monotonic()
            sink.event(
                "attach", collector=self.name, window=str(self._number), tool=tool.name, why=reason, since_ns=since_ns,
                **facts,
            )  # fmt: skip
            return True

    async def _close_later(self, reason: str) -> None:
        await asyncio.sleep(self._settings.length)
        await self._close(reason, "its time is over")

    async def _close(self, reason: str | None, why: str) -> None:
        """One reason for the window is gone (None: all are); it closes with the last."""
        async with self._lock:
            if not self._reasons:
                return
            self._reasons = [] if reason is None else [each for each in self._reasons if each != reason]
            if self._reasons:
                return
            timer, self._timer = self._timer, None
            if timer is not None and timer is not asyncio.current_task():
                timer.cancel()
            assert self._tool is not None
            assert self._context is not None
            assert self._sink is not None
            seconds = time.monotonic() - self._opened
            until_ns = None
            try:
                await self._tool.close(self._number, self._phase)
            except HarnessError as error:
                if self._context.subject.ending() is None:
                    self._warn(f"window {self._number}: {error}")
            if (ending := self._context.subject.ending()) is not None:
                why, until_ns = "the subject had ended", ending.t_ns
            self._closed = time.monotonic()
            self._sink.event(
                "detach", collector=self.name, window=str(self._number), tool=self._tool.name, why=why, seconds=seconds,
                until_ns=until_ns if until_ns is not None else self._context.clock.now_ns(),
            )  # fmt: skip

    def _tell(self, trigger: str, value: float, window: str | None, answer: str) -> None:
        if self._sink is not None:
            self._sink.event("trigger", collector=self.name, expr=trigger, value=value, window=window, answer=answer)

    def _warn(self, message: str) -> None:
        if self._sink is not None:
            self._sink.event("warning", source=self.name, message=message)
