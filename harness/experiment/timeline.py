"""The steps of a run's timeline, one after the other: requests, settles, restarts, failovers, hooks and rests."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

from harness.cluster.embedded import EmbeddedCluster
from harness.collectors.latency import LatencyCollector
from harness.collectors.memory import MemoryCollector
from harness.collectors.metrics import MetricsCollector
from harness.collectors.tasks import TasksCollector
from harness.core.errors import RunFault
from harness.core.handles import Cluster
from harness.core.ids import RUN_ENV
from harness.core.kinds import find
from harness.experiment.agents import FakeAgents
from harness.experiment.failover import Electorate, NoTakeover, fail_over
from harness.experiment.hook import run_hook
from harness.experiment.leases import Leases
from harness.experiment.load import LoadGenerator
from harness.experiment.observe import SETTLE_S, Observation
from harness.experiment.settle import settle
from harness.experiment.stage import Stage
from harness.kube.api import Api
from harness.record.models import Phase, PhaseAction
from harness.scenario.model import Create, Failover, Flip, Hook, Restart, Settle
from harness.scenario.names import AnyStep, groups
from harness.scenario.names import Phase as Planned
from harness.scenario.rates import Changing, words
from harness.scenario.traffic import Pause, Traffic
from harness.subject.incarnations import Incarnations
from harness.subject.process import SubjectNotReady
from harness.subject.replicas import RunSubject

SETTLED_SECONDS = 2.0
"""The window over which settled values are averaged: part of the definition of "settled"."""

MORE_READINGS = 2
BETWEEN_READINGS_S = 0.25
"""The heap is read three times at a point and the least counts: the answer to a scrape of ours is in one, and not in all."""

POINT_SECONDS = 0.4
"""How long a measuring point lasts after its collection: four looks at the memory."""

_T = TypeVar("_T")


class SubjectGone(Exception):
    """The subject ended while something waited for it to work; not an error, but the end of the timeline."""


class StepFailed(Exception):
    """A step of the user's own failed; the reason is in its phase, and the run is invalid."""


class Timeline:
    """The steps of one run, worked through while its subject lives."""

    def __init__(
        self,
        stage: Stage,
        cluster: Cluster,
        subject: RunSubject,
        leases: Leases,
        electorate: Electorate | None = None,
        *,
        api: Api,
    ) -> None:
        self._api = api
        self._stage = stage
        self._cluster = cluster
        self._subject = subject
        self._leases = leases
        self._electorate = electorate
        self._generator: LoadGenerator | None = None
        self._agents: FakeAgents | None = None
        self._points = 0

    async def run(self, generator: LoadGenerator, agents: FakeAgents | None = None) -> None:
        """Every step of the scenario's load, then the last measurement. Raises SubjectGone and StepFailed."""
        self._generator, self._agents = generator, agents
        for group in groups(self._stage.scenario):
            await self._group(group)
        await self._settled()

    async def observe(self, observation: Observation, agents: FakeAgents | None = None) -> None:
        """Instead of a load: watch what somebody else's does. Raises SubjectGone."""
        self._agents = agents
        phase = self._stage.begin_phase("observe", "observe")
        await self._stage.witnesses.phase_started("observe")
        await self._while_alive(observation.wait())
        await self._stage.witnesses.phase_ended("observe")
        self._stage.end_phase(phase)
        assert phase.ended_ns is not None
        self._stage.observer.phase_ended("observe", f"{(phase.ended_ns - phase.started_ns) / 1e9:.1f} s")
        await self._settle("settle", Settle.model_validate({"timeout": f"{SETTLE_S:g}s"}))
        if self._stage.facts.phases[-1].settled:
            await self._stage.witnesses.settle()
            await self.rest("settled", SETTLED_SECONDS)

    async def _group(self, group: list[Planned[AnyStep]]) -> None:
        """One step, or those that run at the same time."""
        name, step = group[0].name, group[0].step
        match step:
            case Settle():
                await self._settle(name, step)
            case Pause():
                await self.rest(name, step.seconds)
                self._stage.observer.phase_ended(name, f"{step.seconds:g} s")
            case Restart(of="apiserver"):
                await self._restart_apiserver(name)
            case Restart():
                await self._restart(name, step)
            case Failover():
                await self._failover(name, step)
            case Hook():
                await self._hook(name, step)
            case _:
                await self._requests([(each.name, each.step) for each in group])

    async def _requests(self, steps: list[tuple[str, AnyStep]]) -> None:
        """Phases of the load generator, at the same time."""
        assert self._generator is not None
        phases: dict[str, Phase] = {}
        timeouts: dict[str, float] = {}
        for name, step in steps:
            assert isinstance(step, Create | Flip | Traffic)
            action = cast("PhaseAction", step.action)
            phase = self._stage.begin_phase(
                name, action, kind=step.resource.alias, requested=self._generator.requested(name)
            )
            phase.requested_per_s = step.rate if isinstance(step.rate, float) else None
            phase.schedule = words(step.rate)
            phase.until_failure = isinstance(step.rate, Changing) and step.rate.until_failure
            phases[name], timeouts[name] = phase, step.timeout
            await self._stage.witnesses.phase_started(name)
        # Samples belong to one phase: of several to the first.
        self._stage.writer.phase = steps[0][0]
        work = self._generator.run_phases(timeouts, lambda message: self._take_end(phases[message["phase"]], message))
        try:
            await self._while_alive(work)
        except SubjectGone:
            for name, phase in phases.items():
                if phase.done is None:
                    phase.done, phase.failed = min(self._generator.done(name), phase.requested or 0), 0
            raise
        for name in phases:
            self._stage.writer.phase = name  # what is read at the end of a phase is its own
            await self._stage.witnesses.phase_ended(name)

    def _take_end(self, phase: Phase, message: dict[str, Any]) -> None:
        """The load generator has ended a phase."""
        phase.started_ns = message["started_ns"] or phase.started_ns
        phase.requested, phase.done, phase.failed = message["requested"], message["done"], message["failed"]
        phase.requested_per_s, phase.achieved_per_s = message["requested_per_s"], message["achieved_per_s"]
        phase.sustained_per_s, phase.failed_at_per_s = message.get("sustained_per_s"), message.get("failed_at_per_s")
        self._stage.end_phase(phase, message["t_ns"])
        of_asked = "" if phase.requested_per_s is None else f" of {phase.requested_per_s:,.0f}/s"
        kept = f", kept {phase.sustained_per_s or 0:,.0f}/s" if phase.until_failure else ""
        failed = f", {phase.failed} failed" if phase.failed else ""
        self._stage.observer.phase_ended(
            phase.name,
            f"{phase.done:,}/{phase.requested:,} at {phase.achieved_per_s or 0:,.0f}/s{of_asked}{kept}{failed}",
        )

    async def _settle(self, name: str, step: Settle) -> None:
        latency = self._stage.witnesses.find(LatencyCollector)
        if latency is None and self._stage.options.collectors is not None:
            await self._not_settled(name, step)
            return
        if latency is None:
            raise RunFault("cannot tell when the system is settled: the latency collector does not work")
        phase = self._stage.begin_phase(name, "settle")
        await self._stage.witnesses.phase_started(name)
        quiet = settle(
            latency,
            self._stage.witnesses.find(MetricsCollector),
            quiet_for=step.quiet_for,
            timeout=step.timeout,
            waiting=self._unanswered,
        )
        phase.settled = await self._while_alive(quiet)
        await self._stage.witnesses.phase_ended(name)
        self._stage.end_phase(phase)
        assert phase.ended_ns is not None
        seconds = (phase.ended_ns - phase.started_ns) / 1e9
        how = "quiet" if phase.settled else f"not quiet within {step.timeout:.0f} s"
        self._stage.observer.phase_ended(name, f"{how} after {seconds:.1f} s")
        if step.point:
            await self._point(trim=step.trim)

    def _unanswered(self) -> int:
        """What the fake agents have seen and will still answer."""
        return 0 if self._agents is None else self._agents.waiting

    async def _point(self, *, trim: bool) -> None:
        """A measuring point: force a collection, then look; with `trim` once more after free memory was given back."""
        self._points += 1
        phase = self._stage.begin_phase(f"point-{self._points}", "point")
        await self._while_alive(self._stage.witnesses.settle())
        tasks = self._stage.witnesses.find(TasksCollector)
        for _ in range(MORE_READINGS):
            await self._while_alive(asyncio.sleep(BETWEEN_READINGS_S))
            if tasks is not None:
                await self._while_alive(self._stage.witnesses.ask(tasks, TasksCollector.look))
        await self._look()
        self._stage.end_phase(phase)
        if not trim:
            return
        phase = self._stage.begin_phase(f"trim-{self._points}", "trim")
        reason = "nobody is inside the subject" if tasks is None else await self._while_alive(tasks.trim())
        started = self._stage.clock.now_ns()
        await self._look()
        self._stage.writer.event("trim", point=self._points, since_ns=started, reason=reason)
        self._stage.end_phase(phase)

    async def _look(self) -> None:
        """A short window with one look at the memory at least, however busy the machine is."""
        await self._while_alive(asyncio.sleep(POINT_SECONDS))
        memory = self._stage.witnesses.find(MemoryCollector)
        if memory is not None:
            memory.look()

    async def _not_settled(self, name: str, step: Settle) -> None:
        """Where nobody watches, nobody knows: the time that quiet would have to last, and no settled values."""
        phase = self._stage.begin_phase(name, "settle")
        await self._stage.witnesses.phase_started(name)
        await self._while_alive(asyncio.sleep(step.quiet_for))
        await self._stage.witnesses.phase_ended(name)
        self._stage.end_phase(phase)

    async def _restart(self, name: str, step: Restart) -> None:
        phase = self._stage.begin_phase(name, "restart")
        await self._stage.witnesses.phase_started(name)
        await self._stage.witnesses.restarting()
        cleared = list[str]()

        async def between() -> None:
            cleared.extend(await self._leases.clear())

        subject = self._subject
        assert isinstance(subject, Incarnations)  # a scenario with replicas has no restart
        before = subject.incarnation
        try:
            ending = await subject.restart(signal.SIGTERM if step.signal == "TERM" else signal.SIGKILL, between)
        except SubjectNotReady as error:
            phase.failure = str(error)
            await self._stage.witnesses.phase_ended(name)
            self._stage.observer.phase_ended(name, phase.failure)
            raise SubjectGone from error
        finally:
            if subject.incarnation != before:
                self._stage.writer.event(
                    "restart", incarnation=subject.incarnation, signal=step.signal, started_ns=subject.started_ns,
                    ready_ns=subject.ready_ns, leases_cleared=cleared,
                )  # fmt: skip
        if subject.incarnation == before:  # it had died of something else, just then
            raise SubjectGone
        self._stage.tell_subject(subject)
        await self._stage.witnesses.restarted()
        await self._stage.witnesses.phase_ended(name)
        self._stage.end_phase(phase)
        assert subject.ready_ns is not None
        seconds = (subject.ready_ns - subject.started_ns) / 1e9
        self._stage.observer.phase_ended(name, f"{ending.sentence}; ready again after {seconds:.1f} s")

    async def _restart_apiserver(self, name: str) -> None:
        """A relist storm: every watch drops, and the new server's watch caches begin after what its clients saw last.

        A write just before makes sure of the second: to resume from before it is refused with 410.
        """
        assert isinstance(self._cluster, EmbeddedCluster)  # preflight refuses any other
        phase = self._stage.begin_phase(name, "restart")
        await self._stage.witnesses.phase_started(name)
        mark: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "storm-"}}
        await self._api.create(find("ConfigMap"), mark, self._stage.facts.namespace)
        killed_ns = self._stage.clock.now_ns()
        await self._while_alive(self._cluster.restart_apiserver())
        ready_ns = self._stage.clock.now_ns()
        self._stage.writer.event("apiserver_restarted", killed_ns=killed_ns, ready_ns=ready_ns)
        await self._stage.witnesses.phase_ended(name)
        self._stage.end_phase(phase)
        self._stage.observer.phase_ended(
            name, f"the API server was killed; ready again after {(ready_ns - killed_ns) / 1e9:.1f} s"
        )

    async def _failover(self, name: str, step: Failover) -> None:
        """End the leader, measure the takeover, start the ended one again. The Lease is left as the leader leaves it."""
        phase = self._stage.begin_phase(name, "failover")
        await self._stage.witnesses.phase_started(name)
        try:
            assert self._electorate is not None
            done = await fail_over(self._stage, self._electorate, self._subject.replicas, step, self._while_alive)
            if done is None:
                raise SubjectGone
        except (NoTakeover, SubjectNotReady) as error:
            phase.failure = str(error)
            await self._stage.witnesses.phase_ended(name)
            self._stage.observer.phase_ended(name, phase.failure)
            raise (StepFailed if isinstance(error, NoTakeover) else SubjectGone) from error
        await self._stage.witnesses.phase_ended(name)
        self._stage.end_phase(phase)
        self._stage.observer.phase_ended(name, done)

    async def _hook(self, name: str, step: Hook) -> None:
        phase = self._stage.begin_phase(name, "hook")
        await self._stage.witnesses.phase_started(name)
        env = {**os.environ, "KUBECONFIG": str(self._cluster.kubeconfig), RUN_ENV: self._stage.facts.run_id}
        log = self._stage.directory / f"{name}.log"
        hook = run_hook(step.command, env=env, log=log, timeout_s=step.timeout)
        phase.failure = await self._while_alive(hook)
        await self._stage.witnesses.phase_ended(name)
        self._stage.end_phase(phase)
        self._stage.observer.phase_ended(name, phase.failure or "done")
        if phase.failure is not None:
            raise StepFailed

    async def _settled(self) -> None:
        """The last measurement: force a collection, then rest; only where the system did become quiet."""
        last = groups(self._stage.scenario)[-1:]
        if not last or not isinstance(last[0][0].step, Settle):
            await self._settle("settle", Settle())
        if self._stage.facts.phases[-1].settled:
            await self._stage.witnesses.settle()
            await self.rest("settled", SETTLED_SECONDS)

    async def rest(self, name: str, seconds: float) -> None:
        action: PhaseAction = "idle" if name == "idle" else "settled" if name == "settled" else "pause"
        phase = self._stage.begin_phase(name, action)
        await self._while_alive(asyncio.sleep(seconds))
        self._stage.end_phase(phase)

    async def _while_alive(self, work: Coroutine[Any, Any, _T]) -> _T:
        """The result of `work`, or SubjectGone as soon as the subject ends."""
        task = asyncio.ensure_future(work)
        ended = asyncio.ensure_future(self._subject.wait_ended())
        try:
            await asyncio.wait({task, ended}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise SubjectGone
        finally:
            task.cancel()
            ended.cancel()
            await asyncio.gather(task, ended, return_exceptions=True)
