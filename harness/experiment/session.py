"""The living part of a run: cluster, subject, collectors and load, brought up in order and taken down in reverse."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from harness.collectors import registry
from harness.collectors.base import Collector
from harness.collectors.latency import LatencyCollector
from harness.collectors.ondemand import Settings
from harness.core.clock import RunClock
from harness.core.errors import HarnessError
from harness.core.handles import Cluster
from harness.core.sinks import RequestRow
from harness.experiment import agents, bringup, outside, subjects
from harness.experiment.failover import Electorate
from harness.experiment.launch import start_subject
from harness.experiment.leases import Leases
from harness.experiment.load import LoadGenerator
from harness.experiment.options import Observer, RunOptions
from harness.experiment.pauses import no_long_pauses
from harness.experiment.stage import Stage
from harness.experiment.thrash import ThrashGuard
from harness.experiment.timeline import StepFailed, SubjectGone, Timeline
from harness.experiment.triggers import Triggers
from harness.experiment.witnesses import Witnesses
from harness.kube.api import Api
from harness.record.models import Run
from harness.record.writer import RecordWriter
from harness.scenario.model import Scenario
from harness.subject.replicas import RunSubject

IDLE_SECONDS = 2.0
"""The window over which idle values are averaged."""

_TICK_SECONDS = 0.5


def _collectors(scenario: Scenario, options: RunOptions, observer: Observer) -> list[Collector]:
    """The scenario's collectors, and always those without which nobody knows when the system is settled (`latency`) or
    whether the run can be trusted (`host`, `apiserver`)."""
    pyroscope = options.pyroscope or scenario.pyroscope
    wanted = scenario.profiling
    windows = Settings(wanted.windows, wanted.length, wanted.cool_down, wanted.at_most)
    return registry.create(
        options.collectors if options.collectors is not None else [*scenario.collect, "latency", "host", "apiserver"],
        memray=options.memray or scenario.memray,
        memray_since=options.memray_since,
        pyroscope=None if pyroscope == "off" else pyroscope,
        on_demand=windows if wanted.on_demand else None,
        progress=observer,
    )


class Session:
    """One run while it lives."""

    def __init__(
        self,
        scenario: Scenario,
        facts: Run,
        writer: RecordWriter,
        clock: RunClock,
        command: subjects.SubjectCommand,
        options: RunOptions,
        observer: Observer,
    ) -> None:
        witnesses = Witnesses(_collectors(scenario, options, observer), writer)
        self._stage = Stage(scenario, facts, writer, clock, command, options, observer, witnesses)
        self._generator: LoadGenerator | None = None
        self._agents: agents.FakeAgents | None = None

    @property
    def directory(self) -> Path:
        """The run's record."""
        return self._stage.directory

    async def run(self, stack: AsyncExitStack) -> None:
        """From nothing to detached; what must be taken down is pushed on `stack` as it comes up."""
        cluster = await bringup.start_cluster(self._stage, stack)
        api = await stack.enter_async_context(await Api.connect(cluster.kubeconfig))
        await bringup.prepare(self._stage, api, cluster)
        await bringup.apply_setup(self._stage, api, cluster)
        leases = Leases(api, None if cluster.throwaway else self._stage.facts.namespace)
        await leases.remember()
        electorate = self._electorate(api)
        subject = await start_subject(self._stage, stack, api, cluster, electorate)
        self._stage.tell_subject(subject)
        watch = asyncio.create_task(outside.watch(self._stage, cluster, self._agents_fault), name="outside")
        stack.callback(watch.cancel)
        work = asyncio.create_task(self._measure(stack, api, cluster, subject, (leases, electorate)), name="timeline")
        stack.callback(work.cancel)
        await asyncio.wait({watch, work}, return_when=asyncio.FIRST_COMPLETED)
        if watch.done():
            watch.result()
        await work

    async def _measure(
        self,
        stack: AsyncExitStack,
        api: Api,
        cluster: Cluster,
        subject: RunSubject,
        election: tuple[Leases, Electorate | None],
    ) -> None:
        """From attaching the collectors to taking them off, whether or not the subject lived that long."""
        stage = self._stage
        context = await bringup.context(stage, api, cluster, subject)
        await stage.witnesses.attach(context)
        if stage.options.live is not None:
            stage.options.live.attached(context)
        stack.enter_context(no_long_pauses(stage.writer))
        helpers = [
            asyncio.create_task(self._tick_forever(subject), name="ticker"),
            *(
                asyncio.create_task(ThrashGuard(each, stage.writer, self._progress).watch(), name="thrash-guard")
                for each in subject.replicas
            ),
        ]
        if armed := stage.scenario.profiling.armed:
            triggers = Triggers(armed, stage.witnesses, stage.writer.latest, subject.memory_limit)
            helpers.append(asyncio.create_task(triggers.watch(), name="triggers"))
        timeline = Timeline(stage, cluster, subject, *election, api=api)
        try:
            await stage.witnesses.settle()
            await timeline.rest("idle", IDLE_SECONDS)
            self._agents = await agents.start(stage, stack, api, cluster)
            if stage.options.observe is not None:
                where = f"KUBECONFIG={cluster.kubeconfig} namespace {stage.facts.namespace}"
                stage.options.observe.begin()
                stage.observer.phase_ended("load it now", where)
                await timeline.observe(stage.options.observe, self._agents)
            else:
                self._generator = await bringup.start_load(stage, stack, api, cluster, self._on_rows)
                await timeline.run(self._generator, self._agents)
        except (SubjectGone, StepFailed):
            for phase in stage.facts.phases:
                stage.end_phase(phase)
        finally:
            for helper in helpers:
                helper.cancel()
        await self._take_off(subject)

    def _electorate(self, api: Api) -> Electorate | None:
        """Who votes by which Lease, where there are replicas."""
        stage, lease = self._stage, self._stage.command.lease
        if stage.scenario.subject.replicas == 1:
            return None
        assert lease is not None
        namespace, name = (each.replace("{namespace}", stage.facts.namespace) for each in lease)
        return Electorate(api, namespace, name, stage.clock.now_ns)

    async def _take_off(self, subject: RunSubject) -> None:
        """End the load, the collectors and the subject, in the order in which they can still tell something."""
        stage = self._stage
        stage.take_ending(subject)
        end = stage.begin_phase("end", "end")
        if self._generator is not None:
            await self._generator.stop()
        if self._agents is not None:
            await self._agents.stop()
        stage.observer.step("detaching the collectors")
        await stage.witnesses.detach(subject_ended=False)
        stage.take_ending(subject)
        stage.observer.step("stopping the subject")
        await subject.stop()
        stage.observer.step("reading the profiles")
        await stage.witnesses.detach()
        stage.end_phase(end)

    def _on_rows(self, rows: list[RequestRow]) -> None:
        """Each request that was done is the cause of what probes wait for."""
        latency = self._stage.witnesses.find(LatencyCollector)
        if latency is None:
            return
        for row in rows:
            if row.error is None:
                latency.cause(row.phase, row.name, row.intended_ns, row.sent_ns, row.done_ns)

    def _agents_fault(self) -> HarnessError | None:
        """What keeps the agents of a fleet from answering ever again: etcd is full."""
        return None if self._agents is None else self._agents.full

    async def _tick_forever(self, subject: RunSubject) -> None:
        """Tell the observer twice a second how the run stands."""
        stage = self._stage
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            done = self._generator.done if self._generator else None
            latency = stage.witnesses.find(LatencyCollector)
            missing = latency.missing() if latency else None
            stage.observer.tick(stage.status(done, subject.memory_limit, missing))
            if stage.options.live is not None:
                stage.options.live.waiting(missing)

    def _progress(self) -> float | None:
        """A counter that grows while the subject gets work done, None where nobody counts."""
        return self._stage.writer.latest("reconciles.total")
