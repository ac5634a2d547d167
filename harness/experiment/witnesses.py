"""The collectors of a run, driven together. One that fails costs its own metrics and a warning, never the run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from harness.collectors.base import Collector
from harness.core.errors import HarnessError, of_the_disk
from harness.core.handles import Launch, RunContext
from harness.core.sinks import Sink
from harness.record.models import CollectorFacts

_AFTER_EXIT_SECONDS = 240.0
"""The flame graph of a large capture takes its time after the measurement is over."""

_C = TypeVar("_C", bound=Collector)


class Witnesses:
    """All collectors of a run. `facts` is what run.json says of them."""

    def __init__(self, collectors: Sequence[Collector], sink: Sink) -> None:
        self._collectors = collectors
        self._sink = sink
        self.facts = [CollectorFacts(name=item.name, state="on", heavy=item.heavy) for item in collectors]
        self._attached: list[Collector] = []
        self._prepared: list[Collector] = []

    def drop(self, name: str, reason: str) -> None:
        """A collector of which it is known that it cannot witness: its metrics are null with that reason."""
        for collector in self._collectors:
            if collector.name == name:
                self._failed(collector, reason)

    def find(self, kind: type[_C]) -> _C | None:
        """The collector of a class, None where it is off or has failed."""
        for collector, facts in zip(self._collectors, self.facts, strict=True):
            if isinstance(collector, kind) and facts.state == "on":
                return collector
        return None

    async def prepare(self, launch: Launch) -> None:
        """Let every collector change how the subject will start."""
        for collector in self._collectors:
            self._prepared.append(collector)  # also one that fails may have something to take back
            await self._call(collector, lambda c=collector: c.prepare(launch))  # type: ignore[misc] # bound now

    async def attach(self, context: RunContext) -> None:
        """Let every collector that could be prepared begin."""
        for collector in self._on():
            if await self._call(collector, lambda c=collector: c.attach(context)):  # type: ignore[misc] # bound now
                self._attached.append(collector)
                self._sink.event("attach", collector=collector.name)

    async def phase_started(self, phase: str) -> None:
        """Tell all that a phase begins."""
        await self._each(lambda collector: collector.phase_started(phase))

    async def phase_ended(self, phase: str) -> None:
        """Tell all that a phase is over."""
        await self._each(lambda collector: collector.phase_ended(phase))

    async def restarting(self) -> None:
        """Tell all that the subject is about to be restarted."""
        await self._each(lambda collector: collector.restarting())

    async def restarted(self) -> None:
        """Tell all that the next incarnation is ready."""
        await self._each(lambda collector: collector.restarted())

    async def settle(self) -> None:
        """Tell all that the system is quiet."""
        await self._each(lambda collector: collector.settle())

    async def ask(self, collector: _C, hook: Callable[[_C], Awaitable[None]]) -> None:
        """Have one collector do something; that it cannot is told as for any hook."""
        await self._call(collector, lambda: hook(collector))

    async def detach(self, *, subject_ended: bool = True) -> None:
        """Take off all that can be by now, also those that failed half-way; idempotent."""
        for collector in reversed(self._prepared.copy()):
            if collector.after_exit and not subject_ended:
                await self._call(collector, collector.ending)
                continue
            self._prepared.remove(collector)
            await self._call(collector, collector.detach, _AFTER_EXIT_SECONDS if collector.after_exit else None)
            if collector in self._attached:
                self._attached.remove(collector)
                self._sink.event("detach", collector=collector.name)

    def _on(self) -> list[Collector]:
        return [item for item, facts in zip(self._collectors, self.facts, strict=True) if facts.state == "on"]

    async def _each(self, hook: Callable[[Collector], Awaitable[None]]) -> None:
        for collector in self._attached:
            await self._call(collector, lambda c=collector: hook(c))  # type: ignore[misc] # bound now

    async def _call(
        self, collector: Collector, hook: Callable[[], Awaitable[None]], limit: float | None = None
    ) -> bool:
        limit = collector.hook_s if limit is None else limit
        try:
            async with asyncio.timeout(limit):
                await hook()
        except HarnessError as error:
            self._failed(collector, str(error).removeprefix(f"{collector.name}: "))
        except TimeoutError:
            self._failed(collector, f"did not answer within {limit:.0f} s")
        except Exception as error:  # noqa: BLE001 # a broken witness must not take the run with it; the reason is kept
            self._failed(collector, of_the_disk(error) or f"a bug of the harness: {type(error).__name__}: {error}")
        else:
            return True
        finally:
            self.facts[self._collectors.index(collector)].heavy |= collector.heavy  # it may become so on the way
        return False

    def _failed(self, collector: Collector, reason: str) -> None:
        facts = self.facts[self._collectors.index(collector)]
        if facts.state == "on":
            facts.state, facts.reason = "failed", reason
            self._sink.event("collector_failed", collector=collector.name, reason=reason)
