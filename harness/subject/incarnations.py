"""The subject over all its incarnations: what a run holds on to while the process behind it is replaced."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol

from harness.core.handles import Cgroup, CpuLimit, Ending, KillWitness, Stats, Subject, SubjectRuntime
from harness.subject.process import STOP_GRACE_S


class Incarnation(Subject, Protocol):
    """One incarnation of the subject, whether process or pod: the handle, and what only its owner may do."""

    incarnation: int
    """0 for the first, 1 after the first restart."""
    ready_ns: int | None
    """Run time at which it was ready."""
    log: Path
    thrashed_s: float
    """Set by whoever stops it because of thrashing: for how long it had gone on."""

    async def wait_ended(self, timeout: float | None = None) -> Ending:
        """Wait until it has ended. Raises TimeoutError after `timeout` seconds."""

    def send_signal(self, number: int) -> None:
        """Signal its main process."""

    async def stop(self, grace_s: float = STOP_GRACE_S) -> Ending:
        """End it with all that belongs to it; again is harmless."""


Starter = Callable[[int, Callable[[Incarnation], None]], Awaitable[Incarnation]]
"""Starts the incarnation of that number, tells of it as soon as its process is there, and returns it when it is ready."""


class Incarnations:
    """Implements `core.handles.Subject` by the incarnation that runs now.

    While a restart is under way the subject counts as living: `ending` is None and `wait_ended` goes on waiting. Its cgroup
    and pids are those of the new incarnation from the moment its process is there, so what a cold start needs is seen.
    """

    def __init__(self, starter: Starter) -> None:
        self._starter = starter
        self.kind = "process"
        self._current: Incarnation | None = None
        self._steady = asyncio.Event()
        self._steady.set()
        self.command: Sequence[str] = ()
        self.user = ""
        self.kubeconfig = Path()
        self.runtime: SubjectRuntime = "other"
        self.started_ns = 0
        self.metrics_url: str | None = None
        self.pprof_url: str | None = None
        self.agent_socket: Path | None = None
        self.memory_limit: int | None = None

    @classmethod
    async def start(cls, starter: Starter) -> Incarnations:
        """The first incarnation, ready. Raises what the starter raises."""
        incarnations = cls(starter)
        await starter(0, incarnations._adopt)
        return incarnations

    @property
    def current(self) -> Incarnation:
        """The incarnation that runs now, or ran last."""
        assert self._current is not None
        return self._current

    @property
    def pid(self) -> int:
        """Its main process, 0 where that is not seen from this machine."""
        return self.current.pid

    @property
    def cgroup(self) -> Cgroup | None:
        """The memory cgroup of the current incarnation, None without a limit."""
        return self.current.cgroup

    @property
    def kills(self) -> KillWitness | None:
        """Who counts kills for memory of the current incarnation."""
        return self.current.kills

    @property
    def stats(self) -> Stats | None:
        """The kubelet, of a subject in a pod."""
        return self.current.stats

    @property
    def cpu(self) -> CpuLimit | None:
        """The CPU limit of the current incarnation, None without one."""
        return self.current.cpu

    @property
    def incarnation(self) -> int:
        """0 for the first, 1 after the first restart."""
        return self.current.incarnation

    @property
    def ready_ns(self) -> int | None:
        """Run time at which the current incarnation was ready."""
        return self.current.ready_ns

    @property
    def log(self) -> Path:
        """Where all incarnations write."""
        return self.current.log

    @property
    def thrashed_s(self) -> float:
        """See `ProcessSubject.thrashed_s`."""
        return self.current.thrashed_s

    @thrashed_s.setter
    def thrashed_s(self, value: float) -> None:
        self.current.thrashed_s = value

    @property
    def replicas(self) -> Sequence[Incarnations]:
        """Itself: it is the only one."""
        return [self]

    def pids(self) -> list[int]:
        """Every live process of the subject."""
        return self.current.pids()

    def ending(self) -> Ending | None:
        """How it ended; None while it lives or is being restarted."""
        return self.current.ending() if self._steady.is_set() else None

    async def wait_ended(self) -> Ending:
        """Wait until it has ended for good: the end of an incarnation that is replaced does not count."""
        while True:
            await self._steady.wait()
            current = self.current
            ending = await current.wait_ended()
            if self._steady.is_set() and current is self._current:
                return ending

    async def restart(self, number: int, between: Callable[[], Awaitable[None]]) -> Ending:
        """End this incarnation with a signal, do what is to be done `between`, start the next; how this one ended.

        Where it turns out to have died of something else (killed for memory just then) nothing is started, and `ending` tells.
        Raises SubjectNotReady where the next does not become ready; then it has ended.
        """
        before = self.current
        if (found := before.ending()) is not None:
            return found
        self._steady.clear()
        try:
            if number == signal.SIGTERM:
                ending = await before.stop(STOP_GRACE_S)
            else:
                before.send_signal(number)
                await before.wait_ended(STOP_GRACE_S)
                ending = await before.stop(0)
            if ending.kind == "our_signal":
                await between()
                await self._starter(before.incarnation + 1, self._adopt)
            return ending
        finally:
            self._steady.set()

    async def stop(self, grace_s: float = STOP_GRACE_S) -> Ending:
        """End the current incarnation; again is harmless."""
        return await self.current.stop(grace_s)

    def _adopt(self, subject: Incarnation) -> None:
        self._current, self.kind = subject, subject.kind
        self.command, self.user, self.kubeconfig = subject.command, subject.user, subject.kubeconfig
        self.runtime, self.started_ns = subject.runtime, subject.started_ns
        self.metrics_url, self.pprof_url = subject.metrics_url, subject.pprof_url
        self.agent_socket, self.memory_limit = subject.agent_socket, subject.memory_limit
