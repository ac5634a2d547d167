"""When changes took effect, by watching: every event is stamped with the client's clock as its bytes arrive."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterable, Mapping
from typing import ClassVar

from harness.collectors.base import Collector
from harness.collectors.propagation import LabelIndex, Propagation, Sighting
from harness.collectors.sampling import Sampler
from harness.core.errors import HarnessError, RunFault
from harness.core.handles import Expected, RunContext
from harness.core.ids import RUN_LABEL
from harness.core.kinds import Kind
from harness.kube.api import Api
from harness.kube.watch import WatchEvent, follow

INTERVAL_S = 0.25
_SYNC_S = 30.0
_SECRET = "Secret"  # noqa: S105  # the kind


class _Seen:
    """Distinct objects seen that meet one expectation; of a final or remaining one those that are there."""

    __slots__ = ("count", "final", "keys", "remaining")

    def __init__(self, count: int, *, final: bool, remaining: bool) -> None:
        self.count = count
        self.final = final
        self.remaining = remaining
        self.keys: set[tuple[str, str]] = set()


class _Kind:
    """One watched kind: what exists of it, and what was expected and seen."""

    def __init__(self, kind: Kind, expected: Iterable[Expected]) -> None:
        self.kind = kind
        self.labels = {"kind": kind.alias}
        self.synced = asyncio.Event()
        self.alive: set[tuple[str, str]] = set()
        self.events = 0
        self.terminating: dict[tuple[str, str], list[str]] = {}
        """Objects that are deleted but not gone, with the finalizers that they wait for."""
        self.expected: list[_Seen] = []
        self.index: LabelIndex[_Seen] = LabelIndex()
        self.written: dict[str, int] = {}
        self.shapes: dict[tuple[str, str], object] = {}
        """Of a kind with heartbeats: what of each object more than a status write would change."""
        for item in expected:
            seen = _Seen(item.count, final=item.final, remaining=item.remaining)
            self.expected.append(seen)
            self.index.add(seen, item.labels, namespace=item.namespace)

    def values(self) -> dict[str, int]:
        """Its samples as they stand; expectations only where there are any."""
        values = {"objects": len(self.alive), "watch.events": self.events}
        if self.expected:
            # Objects beyond an expectation's count do not make up for those that another one lacks.
            values["objects.matched"] = sum(min(len(seen.keys), seen.count) for seen in self.expected)
        if any(seen.final for seen in self.expected):
            values["objects.surplus"] = sum(max(0, len(seen.keys) - seen.count) for seen in self.expected if seen.final)
        return values


class LatencyCollector(Collector):
    """Samples `objects`, `objects.matched`, `watch.events` per kind, and writes propagation rows for the probes.

    Secrets are always watched by metadata only, other kinds too unless a probe asks for a condition or a JSONPath. Events
    count only if they belong to the run: in its namespace, labelled with its id or naming its namespace in a label (as
    what Fleet makes in other namespaces does), or expected or awaited by their labels.
    """

    name: ClassVar[str] = "latency"

    def __init__(self) -> None:
        self._context: RunContext | None = None
        self._api: Api | None = None
        self._kinds: dict[Kind, _Kind] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._propagation = Propagation(())
        self._sampler = Sampler(self.name, self._take, INTERVAL_S)
        self._last_event_ns = time.monotonic_ns()

    def quiet_seconds(self) -> float:
        """Seconds since the last event of the run on any watched kind."""
        return (time.monotonic_ns() - self._last_event_ns) / 1e9

    def missing(self) -> int:
        """Effects that reported causes must still bring about."""
        return self._propagation.missing

    def so_far(self, probe: str, quantile: float) -> float | None:
        """A quantile (nearest rank) of a probe's latencies in seconds, effects still awaited counting with their age."""
        if self._context is None:
            return None
        found = self._propagation.so_far(probe, self._context.clock.now_ns())
        return found[max(0, math.ceil(quantile * len(found)) - 1)] / 1e9 if found else None

    def objects(self, kind: Kind) -> int:
        """Objects of a watched kind that exist now, of this run."""
        return len(self._kinds[kind].alive) if kind in self._kinds else 0

    def cause(self, phase: str, cause_id: str, intended_ns: int, sent_ns: int, acked_ns: int) -> None:
        """A request of the load is over; times are run time. `cause_id` is the name of the object it changed."""
        self._propagation.cause(phase, cause_id, intended_ns, sent_ns, acked_ns)

    async def attach(self, context: RunContext) -> None:
        self._propagation = Propagation(context.probes)
        wanted = [*context.kinds, *(probe.kind for probe in context.probes), *(item.kind for item in context.expected)]
        conditional = {probe.kind for probe in context.probes if probe.needs_content}
        for kind in dict.fromkeys(wanted):
            self._kinds[kind] = _Kind(kind, [item for item in context.expected if item.kind == kind])
        self._context = context
        try:
            self._api = await Api.connect(context.watcher_kubeconfig)
            for kind, state in self._kinds.items():
                metadata_only = kind not in conditional or (not kind.group and kind.kind == _SECRET)
                job = self._watch(context, self._api, state, metadata_only)
                self._tasks.append(asyncio.create_task(job, name=f"watch-{kind.alias}"))
            await self._wait_synced()
        except BaseException:
            await self._close()
            self._context = None
            raise
        self._last_event_ns = time.monotonic_ns()
        self._sampler.start()

    async def detach(self) -> None:
        context, self._context = self._context, None
        if context is None:
            return
        failures = [error for task in self._tasks if task.done() and (error := task.exception())]
        await self._close()
        try:
            await self._sampler.stop()
        finally:
            self._write(context)
            context.sink.propagation(self._propagation.give_up())
            self._tell_undeleted(context)
            if self._propagation.unreported:
                message = f"{self._propagation.unreported} causes of probes were never sent"
                context.sink.event("warning", source=self.name, message=message)
        if failures:
            raise _as_fault(failures[0])

    def _tell_undeleted(self, context: RunContext) -> None:
        """Of each kind one object that was deleted and is still there, and why."""
        for state in self._kinds.values():
            if state.terminating:
                (namespace, name), finalizers = next(iter(state.terminating.items()))
                context.sink.event(
                    "undeleted", kind=state.kind.alias, count=len(state.terminating), namespace=namespace, name=name,
                    finalizers=finalizers,
                )  # fmt: skip

    async def _close(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        api, self._api = self._api, None
        if api is not None:
            await api.close()

    async def _wait_synced(self) -> None:
        """Until every watch has told of all objects there were; raises what ended one of them."""
        synced = asyncio.create_task(self._all_synced())
        waiting = {synced, *self._tasks}
        try:
            done, _ = await asyncio.wait(waiting, timeout=_SYNC_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            synced.cancel()
        for task in self._tasks:
            if task in done and (error := task.exception()):
                raise _as_fault(error)
        if not done:
            late = ", ".join(state.kind.alias for state in self._kinds.values() if not state.synced.is_set())
            raise RunFault(f"watches were not ready within {_SYNC_S:.0f} s: {late}", place=self.name)

    async def _all_synced(self) -> None:
        for state in self._kinds.values():
            await state.synced.wait()

    async def _watch(self, context: RunContext, api: Api, state: _Kind, metadata_only: bool) -> None:
        def take(event: WatchEvent) -> None:
            if event.type == "SYNCED":
                state.synced.set()
            else:
                self._on_event(context, state, event)

        await follow(api, state.kind, take, None, metadata_only)

    def _on_event(self, context: RunContext, state: _Kind, event: WatchEvent) -> None:
        metadata = event.object["metadata"]
        key = metadata.get("namespace", ""), metadata["name"]
        labels = metadata.get("labels") or {}
        sighting = Sighting(context.clock.from_monotonic_ns(event.received_ns), *key)
        if event.type == "DELETED":
            state.terminating.pop(key, None)
            if key not in state.alive:
                return
            state.alive.discard(key)
            for seen in state.expected:
                if seen.final or seen.remaining:
                    seen.keys.discard(key)
            self._propagation.gone(state.kind, sighting, labels, event.object)
        else:
            ours = key in state.alive or _belongs(context, key[0], labels)
            for seen in state.index.find(*key, labels):
                seen.keys.add(key)
                ours = True
            ours |= self._propagation.seen(state.kind, sighting, labels, event.object)
            if not ours:
                return
            state.alive.add(key)
            if "deletionTimestamp" in metadata:
                state.terminating[key] = list(metadata.get("finalizers") or ())
        state.events += 1
        if state.kind not in context.beating or _moved(state, key, event):
            self._last_event_ns = event.received_ns

    async def _take(self) -> None:
        if self._context is not None:
            self._write(self._context)

    def _write(self, context: RunContext) -> None:
        t_ns = context.clock.now_ns()
        for state in self._kinds.values():
            for metric, value in state.values().items():
                if state.written.get(metric) != value:
                    state.written[metric] = value
                    context.sink.sample(self.name, metric, value, state.labels, t_ns)
        rows = self._propagation.take_rows()
        if rows:
            context.sink.propagation(rows)


def _moved(state: _Kind, key: tuple[str, str], event: WatchEvent) -> bool:
    """Whether more than the status of an object has changed."""
    if event.type == "DELETED":
        state.shapes.pop(key, None)
        return True
    metadata = event.object["metadata"]
    shape = metadata.get("generation"), metadata.get("labels"), metadata.get("deletionTimestamp")
    before = state.shapes.get(key)
    state.shapes[key] = shape
    return before != shape


def _belongs(context: RunContext, namespace: str, labels: Mapping[str, str]) -> bool:
    return (
        namespace == context.namespace
        or labels.get(RUN_LABEL) == context.run_id
        or context.namespace in labels.values()
    )


def _as_fault(error: BaseException) -> HarnessError:
    if isinstance(error, HarnessError):
        return error
    return RunFault(f"a watch ended: {type(error).__name__}: {error}", place="latency")
