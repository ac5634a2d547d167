"""The subject's own Prometheus metrics: work queues, reconciles and runtime, scraped every second."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import aiohttp

from harness.collectors import census
from harness.collectors.base import Collector
from harness.collectors.exposition import Exposition, Series, largest_families
from harness.collectors.sampling import Sampler, Slices
from harness.core.errors import EnvironmentFault
from harness.core.handles import RunContext, Subject

INTERVAL_S = 1.0
_TIMEOUT = aiohttp.ClientTimeout(total=2)
_KEPT = (
    b"controller_runtime_",
    b"workqueue_",
    b"rest_client_",
    b"process_",
    b"leader_election_",
    b"go_goroutines",
    b"go_memstats_",
    b"python_gc_",
    b"calibrated_truth_",  # what the reference controller of that name knows of itself: see docs/accuracy.md
    b"kserve_",  # what the reference controllers tell of their switches
    b"watcher_",
    b"fleet_objects_",  # not those by Bundle: metrics=unbounded makes thousands of them
    b"fleet_selectors_",
    b"fleet_reads_",
    b"fleet_cached_",
    b"fleet_reclaims_",
    b"tokio_",
)
_TOKIO_TASKS = re.compile(r"tokio_(\w+_)?((live|alive|active)_tasks(_count)?|tasks_(live|alive|active))")
"""Gauges by which exporters of tokio's runtime metrics tell its tasks; tokio itself calls them `num_alive_tasks`."""
_MAX_STORED = 1000
_FAMILIES = 20
"""How many families are counted one by one, at rest."""
_MAX_BYTES = 64 << 20


@dataclass(slots=True)
class _Reading:
    """What one scrape told; None: nothing of it."""

    series: int
    depth: float | None = None
    reconciles: float | None = None
    goroutines: float | None = None
    tokio: float | None = None

    def take(self, name: str, value: float) -> None:
        """One sample of the kept families."""
        if name == "workqueue_depth":
            self.depth = (self.depth or 0.0) + value
        elif name == "controller_runtime_reconcile_total":
            self.reconciles = (self.reconciles or 0.0) + value
        elif name == "go_goroutines":
            self.goroutines = value
        elif name.startswith("tokio_") and _TOKIO_TASKS.fullmatch(name):
            self.tokio = (self.tokio or 0.0) + value

    @property
    def tasks(self) -> float | None:
        """What the runtime calls its tasks."""
        return self.tokio if self.goroutines is None else self.goroutines


class _Counter:
    """A counter over the incarnations of a replica: each counts from zero again, and what the last had counted stands."""

    def __init__(self) -> None:
        self._before = self._last = 0.0
        self._process: tuple[int, int] | None = None

    @property
    def total(self) -> float:
        """All that was counted."""
        return self._before + self._last

    def take(self, value: float, process: tuple[int, int]) -> None:
        """A reading of the process (pid, start)."""
        if process != self._process or value < self._last:
            self._before += self._last
        self._process, self._last = process, value


class MetricsCollector(Collector):
    """Samples `queue.depth`, `reconciles.total`, `metrics.series`, `tasks` of Go and tokio, and the kept families by name.

    Of several replicas the sums (of `metrics.series` the most); their own samples carry `{replica}`. Histogram buckets are
    counted but not stored. A scrape that fails is one warning, not an error: a starved subject that
    does not answer is a finding of other collectors.
    """

    name: ClassVar[str] = "metrics"

    def __init__(self) -> None:
        self._context: RunContext | None = None
        self._session: aiohttp.ClientSession | None = None
        self._sampler = Sampler(self.name, self._take, INTERVAL_S)
        self._queue_depth: float | None = None
        self._paused = False
        self._reconciles: dict[int, _Counter] = {}
        self._readings: dict[int, _Reading] = {}
        """The newest of each replica that answers."""
        self._one_at_a_time = asyncio.Lock()
        self._failing_over = False
        self._by_family = False
        self._warned: set[str] = set()
        self._stored: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
        self._expositions: dict[int, Exposition] = {}

    def queue_depth(self) -> float | None:
        """Items waiting over all work queues at the last scrape; None where the subject does not tell."""
        return self._queue_depth

    async def attach(self, context: RunContext) -> None:
        if context.subject.metrics_url is None:
            raise EnvironmentFault(
                "the subject has no metrics URL",
                place=self.name,
                remedy="say where it serves them: subject.metrics in the scenario, or --subject-metrics",
            )
        self._context = context
        self._session = aiohttp.ClientSession(trust_env=False, timeout=_TIMEOUT)
        await self._take()  # its connection is there from now on, and no change of the subject's tasks later
        self._sampler.start()

    async def phase_started(self, phase: str) -> None:
        self._failing_over = phase.startswith("failover")  # a replica that does not answer is then meant not to

    async def phase_ended(self, phase: str) -> None:  # noqa: ARG002
        self._failing_over = False

    async def restarting(self) -> None:
        # The next incarnation counts from zero again: what this one has counted is kept.
        await self._take()
        self._paused = True
        self._queue_depth = None

    async def restarted(self) -> None:
        self._paused = False

    async def settle(self) -> None:
        self._by_family = True
        try:
            await self._take()
        finally:
            self._by_family = False
        tokio = _sum(each.tokio for each in self._readings.values())
        if tokio is not None and self._context is not None and self._context.subject.runtime == "other":
            row = census.Row("tokio", "(tasks of the runtime)", None, None, round(tokio))
            census.write(self._context.sink, [row], {"tokio": "the runtime's metrics tell a number, no names"})

    async def detach(self) -> None:
        context, self._context = self._context, None
        session, self._session = self._session, None
        try:
            await self._sampler.stop()
            if context is not None and session is not None and context.subject.ending() is None:
                await self._scrape(context, session)
        finally:
            if session is not None:
                await session.close()

    async def _take(self) -> None:
        if (
            not self._paused
            and self._context is not None
            and self._session is not None
            and self._context.subject.ending() is None
        ):
            await self._scrape(self._context, self._session)

    async def _scrape(self, context: RunContext, session: aiohttp.ClientSession) -> None:
        async with self._one_at_a_time:  # a late answer with smaller counters would look like a new process
            await self._ask(context, session)

    async def _ask(self, context: RunContext, session: aiohttp.ClientSession) -> None:
        for number, replica in enumerate(context.subject.replicas):
            process = (replica.pid, replica.started_ns)
            reading = await self._scrape_one(context, session, number, replica)
            if self._paused:  # a scrape that was under way when the restart began
                return
            if reading is None:
                self._readings.pop(number, None)
                continue
            self._readings[number] = reading
            if reading.reconciles is not None:
                self._reconciles.setdefault(number, _Counter()).take(reading.reconciles, process)
        self._write(context)

    async def _scrape_one(
        self, context: RunContext, session: aiohttp.ClientSession, number: int, replica: Subject
    ) -> _Reading | None:
        url = replica.metrics_url
        assert url is not None
        try:
            async with session.get(url, headers={"Accept": "text/plain;version=0.0.4"}) as response:
                if response.status != 200:
                    self._warn(context, "status", f"{url} answered with status {response.status}")
                    return None
                if response.content_type == "text/html":
                    self._warn(context, "html", f"{url} is a web page, not Prometheus metrics")
                    return None
                body = await response.content.read(_MAX_BYTES)
                while chunk := await response.content.read(_MAX_BYTES - len(body)):
                    body += chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if not self._failing_over:
                self._warn(context, "scrape", f"{url} could not be scraped: {str(error) or type(error).__name__}")
            return None
        labels = {"replica": str(number)} if len(context.subject.replicas) > 1 else {}
        try:
            return await self._keep(context, body, context.clock.now_ns(), number, labels)
        except (ValueError, IndexError, KeyError) as error:
            self._warn(context, "parse", f"{url} does not hold Prometheus metrics: {error}")
            return None

    async def _keep(
        self, context: RunContext, body: bytes, t_ns: int, number: int, replica: dict[str, str]
    ) -> _Reading:
        exposition = self._expositions.setdefault(number, Exposition(_KEPT, replica))
        count, kept = await exposition.read(body)
        if count == 0:
            raise ValueError("it has no samples")
        reading = _Reading(count)
        slices = Slices()
        if self._by_family:
            for family, samples in await largest_families(body, _FAMILIES):
                context.sink.sample(self.name, "metrics.series", samples, {"family": family, **replica}, t_ns)
        for series, value in kept:
            await slices.pause()
            if series.kept is None:
                series.kept = self._room_for(context, series)
            if series.kept:
                context.sink.sample(self.name, series.name, value, series.labels, t_ns)
            reading.take(series.name, value)
        return reading

    def _write(self, context: RunContext) -> None:
        """The sums over all replicas that answer; of the series the most."""
        readings, t_ns = self._readings.values(), context.clock.now_ns()
        if not readings:
            return
        self._queue_depth = _sum(each.depth for each in readings)
        context.sink.sample(self.name, "metrics.series", max(each.series for each in readings), t_ns=t_ns)
        for metric, total in (
            ("queue.depth", self._queue_depth),
            ("reconciles.total", _sum(each.total for each in self._reconciles.values())),
            ("tasks", _sum(each.tasks for each in readings)),
        ):
            if total is not None:
                context.sink.sample(self.name, metric, total, t_ns=t_ns)

    def _room_for(self, context: RunContext, series: Series) -> bool:
        key = (series.name, tuple(sorted(series.labels.items())))
        if key in self._stored:
            return True
        if len(self._stored) >= _MAX_STORED:
            self._warn(context, "cap", f"more than {_MAX_STORED} series: the rest is counted but not stored")
            return False
        self._stored.add(key)
        return True

    def _warn(self, context: RunContext, topic: str, message: str) -> None:
        if topic not in self._warned:
            self._warned.add(topic)
            context.sink.event("warning", source=self.name, message=message)


def _sum(values: Iterable[float | None]) -> float | None:
    """None where nobody tells."""
    told = [value for value in values if value is not None]
    return sum(told) if told else None
